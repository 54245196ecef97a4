"""What a wheel holds: all of the package, and enough to score songs away from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"mtbench": "mtbench", "adapters": "", "configs": "mtbench/configs", "leaderboard": "mtbench/leaderboard"}


def held(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """The wheel of a copy of the repository, unpacked: building writes beside the sources."""
    copy, wheels = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheels")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.partial"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(wheels), str(copy)], check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as file:
        file.extractall(wheels / "unpacked")
    return wheels / "unpacked"


@pytest.mark.parametrize(("source", "target"), FOLDERS.items())
def test_the_wheel_holds_every_file(unpacked, source, target):
    wanted = held(ROOT / source)
    assert len(wanted) > 5 and wanted <= held(unpacked / target)


def test_it_works_away_from_the_repository(unpacked, tmp_path):
    script = (
        "import mtbench, msg_ld; from mtbench.registry import open_suite; from mtbench.config import load; "
        "print(mtbench.__file__); print(open_suite('band').reference()[0].id, load('band.yaml', {}).n)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    where, told = done.stdout.splitlines()
    assert Path(where).is_relative_to(unpacked) and told == "band-2-0 32"
