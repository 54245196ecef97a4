"""What MkDocs asks of this repository beyond Markdown: reference tables made from the code, and links out of docs/.

A page contains a marker such as ``<!-- generated: cli -->``, which is replaced at build time. The tables are therefore
always those of the installed mtbench. The build fails if a key of the configuration has no description here.
"""

import logging
import posixpath
import re
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from typer.main import get_command

from mtbench.cli import COMMANDS, app
from mtbench.config import Grid, Model, RunConfig

# A warning of this logger fails a strict build.
log = logging.getLogger("mkdocs.hooks.mtbench")

MEANINGS = {
    "RunConfig": {
        "models": "The rows of the tables: installed models by name, folders of audio as `folder:PATH`, or mappings "
        "with the keys [below](#models). The controls, which are explained below this table, are added.",
        "suite": "The suite that supplies the reference and held-out songs, and the clip length. `mtbench suites` "
        "lists the installed suites; `folder:PATH` is a folder of your own audio.",
        "task": "`total` generates all stems. `arrangement` generates some stems to fit the others, which are taken "
        "from held-out songs.",
        "subsets": "For `arrangement` only: the stems to generate, each subset as initials (`BP`), as names joined by "
        "`+` (`bass+piano`) or as a list of names. Empty: every subset.",
        "n": "Samples per model and subset.",
        "seed": "Random seed for generation.",
        "embeddings": "The embeddings for which the Fréchet audio distance (FAD) is computed.",
        "grid": "The settings of the rhythm metrics, with the keys [below](#grid).",
    },
    "Model": {
        "name": "The installed model, as `mtbench models` lists it, or `folder:PATH`.",
        "label": "The name in tables and files. Default: the name of the model or of the folder; a folder named like a "
        "control is prefixed with its parent's name.",
        "weights": "A checkpoint, as the model expects it: usually a path, and `published` for some models. Default: "
        "the model's own.",
        "options": "Options of the model, passed to it as keyword arguments.",
    },
    "Grid": {
        "fps": "Frames per second of the beat decoder.",
        "transition_lambda": "The beat decoder's penalty on tempo changes: with larger values, it finds fewer of them.",
        "window": "Lengths of the windows of the cross-track beat synchronization (CBS), in seconds.",
        "timebase": "`real`: beat times are in real seconds. `published`: they are as the scripts behind the published "
        "numbers compute them (see [Timebases](../explanation/timebase.md)).",
    },
}

# What the JSON schema does not show: a model may be given by its name alone.
KINDS = {("RunConfig", "models"): "list of names or mappings"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the leaderboard to the tabs if its address is known."""
    if (url := config.extra.get("leaderboard")) and config.nav is not None:
        config.nav.append({"Leaderboard": url})
    return config


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the generated tables, then lead links to files outside docs/ to the repository."""
    markdown = re.sub(r"^<!-- generated: (\w+) -->$", _generated, markdown, flags=re.MULTILINE)
    return _with_links_out(markdown, page, config)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Correct what MkDocs leaves as it is: links of notebooks, and code blocks announced by ``::`` in docstrings."""
    if page.file.src_uri.endswith(".ipynb"):
        return re.sub(r'href="(?P<target>[^":#]+\.md)(?P<anchor>#[^"]*)?"', partial(_notebook_link, page, files), html)
    return html.replace("::</p>", ":</p>") if page.file.src_uri == "reference/api.md" else html


def _notebook_link(page: Page, files: Files, link: re.Match[str]) -> str:
    """A link from a notebook to the source of another page, as one to the page itself."""
    source = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link["target"]))
    file = files.get_file_from_path(source)
    if file is None:
        log.warning("%s links to %s, which is not a page", page.file.src_uri, link["target"])
        return link[0]
    return f'href="{file.url_relative_to(page.file)}{link["anchor"] or ""}"'


def _generated(marker: re.Match[str]) -> str:
    makers = {
        "cli": _commands,
        "config": lambda: _keys(RunConfig),
        "models": lambda: _keys(Model),
        "grid": lambda: _keys(Grid),
    }
    if marker[1] not in makers:
        raise PluginError(f"unknown marker {marker[0]}; available: {', '.join(makers)}")
    return makers[marker[1]]()


def _table(titles: list[str], rows: list[list[str]]) -> str:
    cells = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in cells)


def _cell(text: str) -> str:
    """A cell of a table, in which Markdown cannot escape the bar inside of code."""
    code = re.sub(r"`([^`]*\|[^`]*)`", lambda span: f"<code>{escape(span[1])}</code>", text)
    return code.replace("|", "&#124;")


# The command line.


def _commands() -> str:
    return "\n\n".join(_command(name, command) for name, command in get_command(app).commands.items())


def _command(name: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    options = [parameter for parameter in shown if parameter.param_type_name == "option"]
    usage = " ".join([f"mtbench {name}", *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    parts = [f"## mtbench {name}", _in_markdown(command.help), f"```text\n{usage}\n```"]
    if arguments:
        rows = [[f"`{_argument(argument).strip('[]')}`", _in_markdown(argument.help)] for argument in arguments]
        parts.append(_table(["Argument", "Meaning"], rows))
    if options:
        parts.append(_table(["Option", "Meaning"], [_option(option) for option in options]))
    _, examples = COMMANDS[name]
    lines = "\n".join(f"$ {example}" for example in examples)
    parts.append(f"{'Example' if len(examples) == 1 else 'Examples'}:\n\n```console\n{lines}\n```")
    return "\n\n".join(parts)


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> list[str]:
    """The cells of an option: how it is typed, and what it means."""
    kinds = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}
    kind = option.metavar or kinds.get(option.type_descriptor.annotation, "VALUE")
    value = "" if option.is_flag else f" {kind}"
    names = ", ".join([*option.opts, *option.secondary_opts])
    meaning = _in_markdown(option.help)
    has_default = option.default is not None and not option.is_flag
    if has_default and "Default:" not in meaning:
        meaning += f" Default: `{option.default}`."
    return [f"`{names}{value}`", meaning]


def _in_markdown(text: str | None) -> str:
    """A help text, whose defaults are in the terminal's brackets and whose backslashes keep them from being markup."""
    paragraphs = re.sub(r"\s*\n\s*", " ", (text or "").strip()).replace("\\[", "[")

    def default(words: re.Match[str]) -> str:
        return f" Default: {words[1]}." if " " in words[1] else f" Default: `{words[1]}`."

    return re.sub(r"\s*\[default: (.*?)\]", default, paragraphs)


# The configuration.


def _keys(kind: type[RunConfig | Model | Grid]) -> str:
    schema, meanings = kind.model_json_schema(), MEANINGS[kind.__name__]
    if unknown := meanings.keys() - kind.model_fields.keys():
        raise PluginError(f"docs/hooks.py describes {kind.__name__}.{min(unknown)}, which does not exist")
    rows = []
    for key in [*(key for key in meanings), *(key for key in kind.model_fields if key not in meanings)]:
        meaning = kind.model_fields[key].description or meanings.get(key)
        if meaning is None:
            raise PluginError(f"docs/hooks.py does not describe {kind.__name__}.{key}")
        kinds, limits = _kinds_and_limits(schema["properties"][key])
        rows.append([f"`{key}`", KINDS.get((kind.__name__, key), kinds), _default(kind, key), limits, meaning])
    return _table(["Key", "Type", "Default", "Limits", "Meaning"], rows)


def _kinds_and_limits(schema: dict[str, Any], plural: bool = False) -> tuple[str, str]:
    """The type of a value, and what values it takes, from its JSON schema."""
    if "anyOf" in schema:
        pairs = [_kinds_and_limits(option, plural) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(kind for kind, _ in pairs), "; ".join(limits for _, limits in pairs if limits)
    if schema.get("type") == "array":
        items, limits = _kinds_and_limits(schema["items"], plural=True)
        return f"list{'s' if plural else ''} of {items}", limits
    kind = "mapping" if "$ref" in schema or schema["type"] == "object" else schema["type"]
    limits = " or ".join(f"`{value}`" for value in schema.get("enum", ())) or ", ".join(_limits(schema))
    return kind + ("s" if plural else ""), limits


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    for name, sign in signs.items():
        if name in schema:
            value = schema[name]
            yield f"{sign}&nbsp;2^63^" if value == 2**63 else f"{sign}&nbsp;{value:,}"
    if "pattern" in schema:
        yield "letters, digits, `.`, `_` and `-`, starting with a letter or digit"


def _default(kind: type[RunConfig | Model | Grid], key: str) -> str:
    field = kind.model_fields[key]
    if field.is_required():
        return "required"
    if isinstance(field.default, Grid):
        return "see below"
    if field.default is None:
        return ""
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`".replace("'", "")


# Links to files of the repository that are not part of the site.

LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])+)\]\((?P<target>\.\.?/[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def _with_links_out(markdown: str, page: Page, config: MkDocsConfig) -> str:
    docs, repository = Path(config.docs_dir).resolve(), config.extra.get("repository")

    def replaced(link: re.Match[str]) -> str:
        target = (Path(page.file.abs_src_path or docs).parent / link["target"]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, link["target"])
        if not repository:  # its address is known only where the site is published
            return link["text"] if re.search(r"[\s`]", link["text"]) else f"`{link['text']}`"
        kind = "tree" if target.is_dir() else "blob"
        return f"[{link['text']}]({repository}/{kind}/main/{target.relative_to(docs.parent)}{link['anchor'] or ''})"

    return LINK.sub(replaced, markdown)
