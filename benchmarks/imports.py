"""Show the structure of a checkout in numbers and as a plot: imports between modules, cycles, long functions.

    python benchmarks/imports.py . --out docs/imports.svg
    python benchmarks/imports.py ../an-older-checkout . --out both.svg

Imports inside functions are included, since they can hide cycles. Imports for type checking only are excluded.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.axes import Axes

LONG = 60  # lines


def modules_of(checkout: Path) -> dict[str, Path]:
    """Return {module: file} of the package mtbench."""
    modules = {}
    for file in sorted((checkout / "mtbench").rglob("*.py")):
        name = ".".join(file.relative_to(checkout).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = file
    return modules


def import_graph(checkout: Path) -> nx.DiGraph:
    """Return a graph with an edge from each module to each module of mtbench that it imports, anywhere in its code."""
    modules = modules_of(checkout)
    graph = nx.DiGraph()
    graph.add_nodes_from(modules)
    for module, file in modules.items():
        for node in imports_in(ast.parse(file.read_text(encoding="utf-8"))):
            for target in targets_of(node):
                while target and target not in modules:
                    target = target.rpartition(".")[0]
                if target and target != module:
                    graph.add_edge(module, target)
    return graph


def imports_in(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            yield from imports_in(node)


def targets_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names] if node.module else []


def cycles_of(graph: nx.DiGraph) -> list[list[str]]:
    """Return groups of modules that import each other, unless all belong to the same package or file below mtbench."""
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len({room(m) for m in group}) > 1]


def long_functions(checkout: Path) -> list[tuple[int, str]]:
    """Return (lines, file:name) of every function with more than LONG lines in mtbench/ and adapters/."""
    lengths = []
    for folder in ("mtbench", "adapters"):
        for file in sorted((checkout / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = node.end_lineno - node.lineno + 1
                    lengths.append((lines, f"{file.relative_to(checkout)}:{node.name}"))
    return sorted((length for length in lengths if length[0] > LONG), reverse=True)


def room(module: str) -> str:
    """Return the package or file directly below mtbench that a module belongs to."""
    return [*module.split("."), "mtbench"][1]


def draw(axes: Axes, graph: nx.DiGraph, title: str) -> None:
    """Draw packages and files in layers, importing ones above imported ones; imports within cycles are red.

    Imports implied by a chain of other imports are omitted.
    """
    rooms = nx.DiGraph()
    rooms.add_nodes_from({room(module) for module in graph})
    rooms.add_edges_from({(room(a), room(b)) for a, b in graph.edges if room(a) != room(b)})
    condensed = nx.condensation(rooms)
    depth = {}
    for component in reversed(list(nx.topological_sort(condensed))):
        below = [depth[child] for child in condensed.successors(component)]
        depth[component] = 1 + max(below, default=-1)
    layers: dict[int, list[str]] = {}
    for component, layer in depth.items():
        layers.setdefault(layer, []).extend(sorted(condensed.nodes[component]["members"]))
    place = {}
    for layer, names in layers.items():
        for i, name in enumerate(sorted(names)):
            place[name] = ((i + 1) / (len(names) + 1) + 0.04 * (layer % 2), layer)
    members = condensed.nodes(data="members")
    for above, below in nx.transitive_reduction(condensed).edges:
        for edge in rooms.edges:
            if edge[0] in members[above] and edge[1] in members[below]:
                join(axes, place[edge[0]], place[edge[1]], color="#7f8c8d", lw=1)
    for edge in rooms.edges:
        if any({*edge} <= group for _, group in members):
            join(axes, place[edge[0]], place[edge[1]], color="#c0392b", lw=1.6)
    for name, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.35", "fc": "#ecf0f1", "ec": "#2c3e50"}
        axes.text(x, y, name, ha="center", va="center", fontsize=9, bbox=box)
    axes.set(title=title, xlim=(0, 1.08), ylim=(-0.7, max(layers) + 0.7))
    axes.axis("off")


def join(axes: Axes, start: tuple[float, float], end: tuple[float, float], **style: object) -> None:
    arrow = {"arrowstyle": "-|>", "shrinkA": 12, "shrinkB": 12, "connectionstyle": "arc3,rad=0.06", **style}
    axes.annotate("", xy=end, xytext=start, arrowprops=arrow)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", nargs="+", type=Path, help="folders that contain mtbench/")
    parser.add_argument("--out", type=Path, help="write the plot to this file")
    arguments = parser.parse_args()
    figure, grid = plt.subplots(1, len(arguments.checkout), figsize=(8 * len(arguments.checkout), 8), squeeze=False)
    for axes, checkout in zip(grid[0], arguments.checkout):
        graph = import_graph(checkout)
        cycles, long = cycles_of(graph), long_functions(checkout)
        print(f"{checkout}: {len(graph)} modules, {graph.number_of_edges()} imports, {len(cycles)} cycles, "
              f"{len(long)} functions with more than {LONG} lines")  # fmt: skip
        for cycle in cycles:
            print(f"  cycle: {', '.join(cycle)}")
        for lines, name in long:
            print(f"  {lines} lines: {name}")
        draw(axes, graph, f"{len(graph)} modules, {len(cycles)} cycles")
    if arguments.out:
        figure.savefig(arguments.out, bbox_inches="tight")
        print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
