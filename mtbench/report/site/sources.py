"""Read the sources of the site: finished runs, published numbers and the list of releases."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from mtbench.errors import UsageError
from mtbench.files import read_yaml
from mtbench.registry import metrics
from mtbench.results.keys import KEY, SETTING_NUMBERS
from mtbench.results.load import FinishedRun, load_run

REPORTED_KEYS = [column for column in KEY if column not in ("reference", "version")]
REPORTED_COLUMNS = [
    "paper",
    "table",
    *REPORTED_KEYS,
    "value",
    "kind",
    "length",
    "repeats",
    "conditioning",
    "sample",
    "source",
]


@dataclass(frozen=True)
class SiteRun(FinishedRun):
    """A finished run on a site. name: its folder's name, made unique; slug: the name in a form safe for file names."""

    name: str
    slug: str

    def trained_on(self, model: str) -> str:
        """Return what a model was trained on; empty if its provenance does not state it."""
        return str(self.provenances.get(model, {}).get("trained_on", ""))


@dataclass(frozen=True)
class Sources:
    """The runs, most scores first; published.csv unchanged (as texts) or None; the releases, newest first."""

    runs: list[SiteRun]
    published: pd.DataFrame | None
    releases: list[dict[str, Any]]


def gather(paths: Sequence[Path]) -> Sources:
    """Read run folders and folders of run folders; the latter may also contain published.csv and releases.yaml.

    Raises UsageError, naming the file, if a folder contains no finished run or a file is damaged.
    """
    folders: list[Path] = []
    published: pd.DataFrame | None = None
    releases: list[dict[str, Any]] = []
    for path in map(Path, paths):
        inner = [] if (path / "scores.csv").is_file() else sorted(file.parent for file in path.glob("*/scores.csv"))
        folders += inner or [path]
        if inner and (path / "published.csv").is_file():
            published = _published(path / "published.csv")
        if inner and (path / "releases.yaml").is_file():
            releases = _releases(path / "releases.yaml")
    names: set[str] = set()
    slugs: set[str] = set()
    runs = [_run(folder, names, slugs) for folder in {folder.resolve(): folder for folder in folders}.values()]
    runs.sort(key=lambda run: (-len(run.scores), run.slug))
    return Sources(runs, published, releases)


def slug(text: str) -> str:
    """Return a text in a form safe for file names on every system: lower case, with a hash if anything was changed.

    A text that ends like such a hash also gets one, so that it cannot collide with the result for another text.
    """
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip(".-_")[:60]
    own = plain == text and not re.search(r"-[0-9a-f]{6}$", text)
    return text if own else f"{plain or 'x'}-{sha256(text.encode(errors='surrogateescape')).hexdigest()[:6]}"


def unique(text: str, taken: set[str], again: str = "{}-{}") -> str:
    """Return a text that is not in `taken`, and add it there.

    If the text is taken, `again` is formatted with the text and a number, counting from 2.
    """
    name, number = text, 2
    while name in taken:
        name, number = again.format(text, number), number + 1
    taken.add(name)
    return name


def reported(published: pd.DataFrame | None) -> pd.DataFrame:
    """Return the reported scores that a board may show, one per paper and key, with `value` and settings as floats.

    They are selected as docs/published.md describes: objective scores, for metrics that mtbench has, on clips of a
    suite and of its length, not repeated from another table, without further conditions. Tracks are renamed as in runs.
    """
    if published is None:
        return pd.DataFrame(columns=REPORTED_COLUMNS)
    table = published[
        (published["kind"] == "objective")
        & published["metric"].isin(list(metrics()))
        & (published["suite"] == "slakh2100/test")
        & (published["length"] == "10.24")
        & (published["value"] != "")
    ]
    for column in ("repeats", "conditioning", "sample", "source"):
        table = table[table[column] == ""]
    table = table.assign(**{column: pd.to_numeric(table[column]) for column in ("value", *SETTING_NUMBERS)})
    # A paper names the generated stems; a run calls their sum `generated`.
    alone = (table["task"] == "arrangement") & (table["metric"] == "fad") & (table["track"] != "mixture")
    table = table.assign(track=table["track"].where(~alone, "generated"))
    return table.drop_duplicates(["paper", *REPORTED_KEYS])


def _run(folder: Path, names: set[str], slugs: set[str]) -> SiteRun:
    run = load_run(folder)
    name = unique(os.fsencode(folder.resolve().name).decode(errors="backslashreplace"), names, "{} ({})")
    return SiteRun(**vars(run), name=name, slug=unique(slug(name), slugs))


def _published(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: cannot be read as a table ({error})") from None
    if missing := [column for column in REPORTED_COLUMNS if column not in table]:
        raise UsageError(f"{path}: not a table of published numbers; missing columns: {', '.join(missing)}")
    return table


def _releases(path: Path) -> list[dict[str, Any]]:
    releases = read_yaml(path).get("releases")
    if not isinstance(releases, list) or not all(
        isinstance(release, dict)
        and {"version", "date", "changes"} <= release.keys()
        and isinstance(release["changes"], list)
        for release in releases
    ):
        raise UsageError(f"{path}: 'releases' must be a list of mappings with version, date and changes (a list)")
    return releases
