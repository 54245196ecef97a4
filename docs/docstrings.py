"""A Griffe extension: the descriptions of parameters in docstrings, for the API reference.

Docstrings here describe parameters and attributes in running text, as ``n: samples per model. seed: random seed.``,
which reads well in an editor. The site shows them as a list.
"""

import re
from typing import Any

import griffe

# Names and a colon, where a sentence or a clause may begin.
ENTRY = re.compile(r"(?:^|(?<=[.;]\s))(?P<names>`{0,2}\w+`{0,2}(?:, `{0,2}\w+`{0,2})*): ", re.MULTILINE)


class ParameterLists(griffe.Extension):
    """Turn paragraphs that describe parameters or attributes into lists."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        _list_entries(func, {parameter.name for parameter in func.parameters})

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        _list_entries(cls, set(cls.members))


def _list_entries(documented: griffe.Object, names: set[str]) -> None:
    if documented.docstring:
        text = documented.docstring.value.replace("\nRaises ", "\n\nRaises ")  # not part of the last entry
        paragraphs = text.split("\n\n")
        documented.docstring.value = "\n\n".join(_with_list(paragraph, names) for paragraph in paragraphs)


def _with_list(paragraph: str, names: set[str]) -> str:
    entries = [
        entry for entry in ENTRY.finditer(paragraph) if set(re.sub("[` ]", "", entry["names"]).split(",")) <= names
    ]
    if not entries or paragraph.startswith(" "):  # code is indented
        return paragraph
    ends = [*(entry.start() for entry in entries[1:]), len(paragraph)]
    items = [
        f"- {_as_code(entry['names'])}: {_one_line(paragraph[entry.end() : end])}" for entry, end in zip(entries, ends)
    ]
    return "\n\n".join(filter(None, [_one_line(paragraph[: entries[0].start()]), "\n".join(items)]))


def _as_code(names: str) -> str:
    return ", ".join(f"`{name.strip('` ')}`" for name in names.split(","))


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(";")
