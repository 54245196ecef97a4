"""Which code made a run's samples: versions, the commit, and whether anything has changed since."""

import hashlib
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

from mtbench import registry
from mtbench.version import __version__

SOURCE = Path(__file__).resolve().parents[2]


def code_of(model: str, commit: str | None) -> str:
    """What the samples of an installed model are made by: the version of mtbench, its commit where that is known, and
    the version of the package that brings the model."""
    point = registry.models().get(model)
    code = f"mtbench {__version__}" + (f" at commit {commit}" if commit else "")
    package = point.dist if point else None
    return f"{code}, {package.name} {package.version}" if package and package.name != "mtbench" else code


def git_commit(source: Path) -> str | None:
    """The commit of mtbench's source tree, or None if `source` is not the top of a checkout of it. Where code has
    changed since, a hash of the changes stands behind it."""
    try:
        question = ["git", "rev-parse", "--show-toplevel", "HEAD"]
        answer = subprocess.run(question, cwd=source, capture_output=True, text=True)
        top, commit = answer.stdout.splitlines()
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        difference = ["git", "diff", "HEAD", "--", "mtbench", "adapters"]
        changes = subprocess.run(difference, cwd=source, capture_output=True).stdout
    except (OSError, ValueError, KeyError):  # no git, no checkout, no pyproject
        return None
    if Path(top).resolve() != source.resolve() or project != "mtbench":
        return None
    return f"{commit}+{hashlib.sha256(changes).hexdigest()[:8]}" if changes else commit


def notices(older: Mapping[str, Mapping[str, int]], codes: Mapping[str, str]) -> list[str]:
    """A line for each code other than today's that made samples.

    older: {row: {code: number of samples}}; codes: {row: today's code}.
    """
    rows_of: dict[tuple[str, str], list[str]] = {}
    for row, counts in older.items():
        for code in sorted(counts.keys() - {"", codes[row]}):
            rows_of.setdefault((code, codes[row]), []).append(f"{counts[code]} of {row}")
    return [
        f"samples made by {code}, not by today's code ({today}), are scored as they are ({', '.join(rows)}): "
        "choose another --out to make them again"
        for (code, today), rows in rows_of.items()
    ]
