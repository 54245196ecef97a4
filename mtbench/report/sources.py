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
from mtbench.results.load import load_run

REPORTED_KEYS = [
    "task",
    "given",
    "model",
    "suite",
    "metric",
    "track",
    "fps",
    "transition_lambda",
    "window",
    "timebase",
    "embedding",
]
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
NUMBERS = ("value", "fps", "transition_lambda", "window")


@dataclass(frozen=True)
class Run:
    """A finished run. name: its folder's, made unique on a site; slug: the same as a part of a file name.

    comparisons: without rows where nothing was compared. samples and failures are None where the folder has none, as
    under ``results/``, which may keep the scores alone.
    """

    name: str
    slug: str
    path: Path
    record: dict[str, Any]
    scores: pd.DataFrame
    comparisons: pd.DataFrame
    samples: pd.DataFrame | None
    failures: pd.DataFrame | None

    def trained_on(self, model: str) -> str:
        """What an embedded or otherwise marked model was trained on; empty if its provenance does not say."""
        return str(self.record["models"].get(model, {}).get("trained_on", ""))


@dataclass(frozen=True)
class Sources:
    """The runs, most scores first; published.csv as it is (texts) or None; releases, newest first."""

    runs: list[Run]
    published: pd.DataFrame | None
    releases: list[dict[str, Any]]


def read(paths: Sequence[Path]) -> Sources:
    """Runs from run folders, and from folders that hold some, which may also hold published.csv and releases.yaml.

    Raises UsageError, naming the file, for a folder that holds no finished run, or a damaged file.
    """
    folders, published, releases = [], None, []
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
    made, number = text, 2
    while made in taken:
        made, number = again.format(text, number), number + 1
    taken.add(made)
    return made


def reported(published: pd.DataFrame | None) -> pd.DataFrame:
    """The reported scores that a board may show beside measured ones, one a paper and key, `value` and settings as floats.

    As docs/published.md selects them: objective metrics of ours on a suite's own clips, not repeated from another
    table, under no further condition. Models' names and tracks are made ours.
    """
    if published is None:
        return pd.DataFrame(columns=REPORTED_COLUMNS)
    held = published[
        (published["kind"] == "objective")
        & published["metric"].isin(metrics())
        & (published["suite"] == "slakh2100/test")
        & (published["length"] == "10.24")
        & (published["value"] != "")
    ]
    for column in ("repeats", "conditioning", "sample", "source"):
        held = held[held[column] == ""]
    held = held.assign(**{column: pd.to_numeric(held[column]) for column in NUMBERS})
    # A paper names the stems that were generated where a run says `generated`.
    alone = (held["task"] == "arrangement") & (held["metric"] == "fad") & (held["track"] != "mixture")
    held = held.assign(track=held["track"].where(~alone, "generated"))
    return held.drop_duplicates(["paper", *REPORTED_KEYS])


def _run(folder: Path, names: set[str], slugs: set[str]) -> Run:
    run = load_run(folder)
    name = os.fsencode(folder.resolve().name).decode(errors="backslashreplace")
    name = unique(name, names, "{} ({})")
    return Run(
        name,
        unique(slug(name), slugs),
        folder,
        dict(run.record),
        run.scores,
        run.comparisons,
        run.samples,
        run.failures,
    )


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
