"""What the site is built from: finished runs, and what ``results/`` holds beside them."""

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
    """A finished run on a site. name: its folder's, made unique there; slug: the same as a part of a file name."""

    name: str
    slug: str

    def trained_on(self, model: str) -> str:
        """What an embedded or otherwise marked model was trained on; empty if its provenance does not say."""
        return str(self.provenances.get(model, {}).get("trained_on", ""))


@dataclass(frozen=True)
class Sources:
    """The runs, most scores first; published.csv as it is (texts) or None; releases, newest first."""

    runs: list[SiteRun]
    published: pd.DataFrame | None
    releases: list[dict[str, Any]]


def gather(paths: Sequence[Path]) -> Sources:
    """Runs from run folders, and from folders that hold some, which may also hold published.csv and releases.yaml.

    Raises UsageError, naming the file, for a folder that holds no finished run, or a damaged file.
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
    """A text as a part of a file name, the same on every system: lower case; a hash where something was changed.

    A text that ends like such a hash gets one too, so that it is never the name of another.
    """
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip(".-_")[:60]
    own = plain == text and not re.search(r"-[0-9a-f]{6}$", text)
    return text if own else f"{plain or 'x'}-{sha256(text.encode(errors='surrogateescape')).hexdigest()[:6]}"


def unique(text: str, taken: set[str], again: str = "{}-{}") -> str:
    """A text that is new to `taken`, which it joins: where it is not, the form `again` of it and a number from 2 on."""
    name, number = text, 2
    while name in taken:
        name, number = again.format(text, number), number + 1
    taken.add(name)
    return name


def reported(published: pd.DataFrame | None) -> pd.DataFrame:
    """The reported scores that a board may show beside measured ones, one per paper and key, `value` and settings as
    floats.

    As docs/published.md selects them: objective metrics of ours on a suite's own clips, not repeated from another
    table, under no further condition. Models' names and tracks are made ours.
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
    # A paper names the stems that were generated where a run says `generated`.
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
    if lacking := [column for column in REPORTED_COLUMNS if column not in table]:
        raise UsageError(f"{path}: not the published numbers, it has no column {', '.join(lacking)}")
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
