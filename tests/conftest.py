"""Short clips of clicks for the tests of the harness, and a cache separate from the user's."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

STEMS = ("bass", "drums", "guitar", "piano")
RATE = 16000


def clicks(bpm: float, seconds: float, offset: float = 0.1, rate: int = RATE, tone: float = 1000.0) -> np.ndarray:
    """Return short decaying tones at `bpm`, float32 [n], the first at `offset` s."""
    wave = np.zeros(round(seconds * rate), np.float32)
    time = np.arange(round(0.04 * rate)) / rate
    click = (0.8 * np.sin(2 * np.pi * tone * time) * np.exp(-time / 0.01)).astype(np.float32)
    for start in np.round(np.arange(offset, seconds - 0.05, 60 / bpm) * rate).astype(int):
        wave[start : start + len(click)] += click
    return wave


def write_clips(
    folder: Path, names, seconds: float = 10.24, rate: int = RATE, suffix: str = ".wav", seed: int = 0
) -> Path:
    """Write a folder with one subfolder per stem; all stems click together at 120 BPM over a little noise."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(names):
        for pitch, stem in enumerate(STEMS):
            (folder / stem).mkdir(parents=True, exist_ok=True)
            wave = clicks(120, seconds, offset=0.1 + 0.01 * number, rate=rate, tone=400.0 * (pitch + 1))
            wave += 0.003 * random.standard_normal(len(wave)).astype(np.float32)
            soundfile.write(folder / stem / f"{name}{suffix}", wave, rate)
    return folder


def killed_at(call: int, work):
    """Return `work`, except that call number `call` raises KeyboardInterrupt, as Ctrl-C would."""
    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return work(*arguments)

    return killed


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Use one cache per session, so that tests neither read nor fill the user's."""
    monkeypatch.setenv("MTBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def suite_folder(tmp_path_factory) -> Path:
    """A `folder:` suite with four reference clips and four held-out clips."""
    folder = tmp_path_factory.mktemp("suite")
    write_clips(folder / "reference", [f"r{i}" for i in range(4)], seed=1)
    write_clips(folder / "heldout", [f"h{i}" for i in range(4)], seed=2)
    return folder
