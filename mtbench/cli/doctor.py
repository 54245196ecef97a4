"""``mtbench doctor``."""

import platform
from importlib.metadata import version

from rich.table import Table

from mtbench.cli.models import suites, weights_in_words
from mtbench.cli.terminal import console, guarded
from mtbench.progress import literal
from mtbench.version import __version__


@guarded
def doctor() -> None:
    """Show what is installed, which weights and suites are available, and how to get the rest."""
    # These import torch, which takes seconds: not for --help.
    import torch

    from mtbench import beats, registry
    from mtbench.cache import Cache
    from mtbench.metrics.embeddings import missing

    names = ("torch", "numpy", "scipy", "madmom", "soundfile")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    console.print(f"mtbench {__version__}, Python {platform.python_version()}, {versions}")
    gpus = "".join(f", cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))
    console.print(f"devices: cpu ({torch.get_num_threads()} threads){gpus}")
    console.print(f"beat networks: madmom's, SHA-256 {beats.identity()['weights_sha256'][:12]} (CC BY-NC-SA 4.0)")
    compiled = (
        "compiled by Numba"
        if beats.is_compiled()
        else "not compiled, which is ten times slower: install a working numba"
    )
    console.print(f"beat engine: {compiled}")
    console.print(f"cache: {literal(str(Cache().path))} (MTBENCH_CACHE moves it)")
    console.print("\n[bold]models[/bold]")
    table = Table("model", "package", "tasks", "weights", box=None, header_style="bold")
    band = registry.open_suite("band")
    for name, point in registry.models().items():
        try:
            generator = registry.make_model(name, suite=band)
            tasks, weights = ", ".join(sorted(generator.tasks)), weights_in_words(generator.provenance)
        except Exception as error:  # one bad package must not hide the others
            tasks, weights = "-", f"not ready: {error}"
        package = point.dist.name if point.dist else point.module
        table.add_row(*(literal(text) for text in (name, package, tasks, weights)))
    console.print(table)
    console.print("\n[bold]suites[/bold]")
    suites()
    console.print("\n[bold]embeddings[/bold]")
    for name in registry.embeddings():
        console.print(f"{name}: {literal(missing(name) or 'ready')}")
    console.print("\n[bold]metrics[/bold]")
    for metric in registry.metrics().values():
        console.print(f"{metric.name} {metric.version}: {literal(metric.about)}")
