"""Markdown that shows text exactly as it is, whoever wrote the text."""

from collections.abc import Iterable, Sequence

PLAIN = " .,:;/+-%=()[]–↓↑"  # the characters, besides letters and digits, that are left alone


def literal(text: str) -> str:
    """Return text that markdown shows as it is, and that neither links nor notifies anybody.

    Everything except plain characters becomes an entity, and so does what would turn brackets into a link.
    """
    shown = "".join(c if c.isalnum() or c in PLAIN else f"&#{ord(c)};" if c.isprintable() else " " for c in text)
    return shown.replace("](", "]&#40;").replace("][", "]&#91;").replace("]:", "]&#58;")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], align_right: bool = False) -> str:
    """Return a table. align_right: of every column except the first."""
    rule = ["---", *["---:" if align_right else "---"] * (len(head) - 1)]
    lines = [map(literal, head), rule, *(map(literal, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
