"""``mtbench models`` and ``mtbench suites``: what is installed."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from mtbench.cli.terminal import console, guarded
from mtbench.progress import literal


@guarded
def models(
    name: Annotated[str | None, typer.Argument(help="Load this model and show what it can do.", metavar="NAME")] = None,
) -> None:
    """List the installed models, or show what one of them can do and where its weights are."""
    from mtbench import registry  # imports NumPy

    points = registry.models()
    if name is None:
        table = Table("model", "package", box=None, header_style="bold")
        for model, point in points.items():
            table.add_row(literal(model), literal(point.dist.name if point.dist else point.module))
        console.print(table)
        console.print("[dim]mtbench models NAME shows what a model can do and where its weights are[/dim]")
        return
    generator = registry.make_model(name, suite=registry.open_suite("band"))
    table = Table(show_header=False, box=None)
    for title, text in (
        ("model", name),
        ("package", getattr(points[name].dist, "name", points[name].module) if name in points else "-"),
        ("tasks", ", ".join(sorted(generator.tasks))),
        ("stems", ", ".join(generator.stems)),
        ("sample rate", f"{generator.sample_rate} Hz"),
        ("weights", weights_in_words(generator.provenance)),
    ):
        table.add_row(f"[bold]{title}[/bold]", literal(text))
    console.print(table)


@guarded
def suites() -> None:
    """List the suites: sets of songs, each with a reference (for FAD) and, usually, held-out songs (the target)."""
    from mtbench import registry  # imports NumPy

    table = Table("suite", "what", "where", box=None, header_style="bold")
    for row in registry.describe_suites():
        table.add_row(*(literal(text) for text in row))
    console.print(table)


def weights_in_words(provenance: Mapping[str, Any]) -> str:
    if "weights" in provenance:
        return f"{provenance['weights']} (SHA-256 {str(provenance.get('weights_sha256', '?'))[:12]})"
    return str(provenance.get("what", "none"))
