"""Write Markdown that shows text exactly as it is, even if the text comes from an untrusted source."""

from collections.abc import Iterable, Sequence

PLAIN = " .,:;/+-%=()[]–↓↑"  # characters that are not escaped, in addition to letters and digits


def literal(text: str) -> str:
    """Escape text, so that Markdown shows it as it is, without links or notifications of users.

    All characters except letters, digits and PLAIN become entities; so do characters that would turn brackets into a
    link. Unprintable characters become spaces.
    """
    shown = "".join(c if c.isalnum() or c in PLAIN else f"&#{ord(c)};" if c.isprintable() else " " for c in text)
    return shown.replace("](", "]&#40;").replace("][", "]&#91;").replace("]:", "]&#58;")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], align_right: bool = False) -> str:
    """Return a Markdown table. align_right: align all columns except the first to the right."""
    rule = ["---", *["---:" if align_right else "---"] * (len(head) - 1)]
    lines = [map(literal, head), rule, *(map(literal, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
