"""Samples to listen to: which, their stems as FLAC, the pictures of their mel spectrograms, and their beats."""

import base64
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from mtbench import audio
from mtbench.metrics.embeddings import SAMPLE_RATE, log_mel
from mtbench.report.sources import Run
from mtbench.report.tables import at_setting, standard_setting
from mtbench.results.store import RunFolder
from mtbench.settings import Setting

FIXED = 2  # samples of a model that are shown whatever they score: its first
SHOWN = (-4.0, 3.5)  # log-mel from the first colour to the last, alike in all pictures
# Dark violet to pale yellow, lightness rising evenly: (r, g, b) at equal distances.
COLOURS = ((10, 8, 28), (58, 18, 94), (128, 37, 115), (196, 60, 92), (243, 118, 76), (253, 196, 128), (252, 246, 202))


@dataclass(frozen=True)
class Sample:
    """A sample to listen to. why: 'fixed', 'best' or 'worst' (by CBS), one or more; kept: of how many with audio.

    stems: {stem: WAV}; given: those that were given, not generated; beats: {stem: (times float64 [n] in true seconds,
    downbeats bool [n])}; scores: its rows of samples.csv under the setting.
    """

    run: Run
    task: str
    given: str
    model: str
    id: str
    why: tuple[str, ...]
    kept: int
    stems: Mapping[str, Path]
    beats: Mapping[str, tuple[np.ndarray, np.ndarray]]
    scores: pd.DataFrame
    setting: Setting


def choose(run: Run) -> list[Sample]:
    """The samples of a run to listen to: of each model the first two and the worst and best by CBS, where audio is kept.

    In arrangement, which has many subsets of given stems, the worst and best over all of them alone.
    """
    chosen = []
    setting = None if run.samples is None else standard_setting(run.samples)
    if setting is None or not (run.path / "audio").is_dir():
        return []
    near = at_setting(run.samples, setting)
    for (task, model), part in near.groupby(["task", "model"], sort=False):
        folders = {given: Path(f"{task}-{given}" if given else task) / model for given in dict.fromkeys(part["given"])}
        folders = {given: folder for given, folder in folders.items() if _within(run.path / "audio", folder)}
        kept = {
            (given, name): stems
            for given, folder in folders.items()
            for name, stems in _stems(run.path / "audio" / folder, set(part[part["given"] == given]["sample"])).items()
        }
        cbs = part[part["metric"] == "cbs"].dropna(subset="value").sort_values(["value", "given", "sample"])
        ordered = [key for key in zip(cbs["given"], cbs["sample"]) if key in kept]
        why: dict[tuple[str, str], list[str]] = {}
        for key in list(kept)[:FIXED] if task != "arrangement" else ():
            why.setdefault(key, []).append("fixed")
        for key, word in ((ordered[-1], "best"), (ordered[0], "worst")) if ordered else ():
            why.setdefault(key, []).append(word)
        beats = {given: _beats(run.path, folders[given], setting) for given in {given for given, _ in why}}
        for given, name in sorted(
            why, key=lambda key: (min(("fixed", "best", "worst").index(word) for word in why[key]), key)
        ):
            rows = part[(part["given"] == given) & (part["sample"] == name)]
            chosen.append(
                Sample(
                    run,
                    task,
                    given,
                    model,
                    name,
                    tuple(why[given, name]),
                    len(kept),
                    kept[given, name],
                    beats[given].get(name, {}),
                    rows,
                    setting,
                )
            )
    return chosen


def flac(path: Path) -> bytes:
    """A WAV as FLAC, the same bytes every time."""
    samples, rate = soundfile.read(path, dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def audio_script(name: str, path: Path) -> str:
    """A stem as a script that hands it to the player: a page opened from disk may load scripts, but fetch nothing."""
    return f'mtbenchAudio("{name}","{base64.b64encode(flac(path)).decode()}")\n'


def mel(paths: Sequence[Path]) -> tuple[np.ndarray, float]:
    """(Log-mel spectrogram of the files' sum, float64 [columns, 64], 20 ms a column; its length in s)."""
    waves = [audio.read_canonical(path, SAMPLE_RATE).samples for path in paths]
    mixture = audio.mix(waves)[0]
    columns = log_mel(mixture)
    columns = columns[: len(columns) // 2 * 2].reshape(-1, 2, columns.shape[1]).mean(axis=1)
    return columns, len(mixture) / SAMPLE_RATE


def picture(columns: np.ndarray) -> bytes:
    """A log-mel spectrogram [columns, bands] as a PNG of 16 colours, low bands below; the same bytes every time."""
    low, high = SHOWN
    levels = np.clip((columns.T[::-1] - low) / (high - low) * 15, 0, 15).round().astype(np.uint8)  # [bands, columns]
    height, width = levels.shape
    padded = np.pad(levels, ((0, 0), (0, width % 2)))
    packed = padded[:, 0::2] << 4 | padded[:, 1::2]
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    at = np.linspace(0, len(COLOURS) - 1, 16)
    palette = np.stack([np.interp(at, np.arange(len(COLOURS)), channel) for channel in zip(*COLOURS)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.round().astype(np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def click_track(bpm: float = 120.0, seconds: float = 10.0, rate: int = SAMPLE_RATE) -> bytes:
    """A FLAC of clicks at a steady tempo, the first at 0.25 s."""
    time = np.arange(round(0.03 * rate)) / rate
    click = 0.8 * np.sin(2 * np.pi * 1000 * time) * np.exp(-time / 0.006)
    wave = np.zeros(round(seconds * rate))
    for start in np.arange(0.25, seconds - 0.1, 60 / bpm):
        wave[round(start * rate) :][: len(click)] += click
    file = io.BytesIO()
    soundfile.write(file, audio.to_pcm16(wave), rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _within(root: Path, path: Path) -> bool:
    """Whether `path`, made of names from a table, stays in `root`: a name may be ``..`` or an absolute path."""
    return (root / path).resolve().is_relative_to(root.resolve())


def _stems(folder: Path, names: set[str]) -> dict[str, dict[str, Path]]:
    """{sample: {stem: WAV}} of the samples of these names whose audio was kept, by name."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*/*.wav"), key=lambda path: (path.stem, path.parent.name)):
        if path.stem in names:
            found.setdefault(path.stem, {})[path.parent.name] = path
    return found


def _beats(run: Path, folder: Path, setting: Setting) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """{sample: {stem: (times, downbeats)}}; times in true seconds, whatever the timebase."""
    file = folder.parent / f"{folder.name}.csv"
    path = Path("beats") / file
    if not _within(run / "beats", file) or not (run / path).is_file():
        return {}
    columns = ["sample", "track", "fps", "transition_lambda", "timebase", "time", "position"]
    table = RunFolder(run).read_table(str(path), columns)
    timebase, fps, tl, _ = setting
    table = table[(table["fps"] == fps) & (table["transition_lambda"] == tl) & (table["timebase"] == timebase)]
    factor = fps / 100 if timebase == "published" else 1.0
    found: dict[str, dict] = {}
    for (sample, stem), part in table.groupby(["sample", "track"], sort=False):
        found.setdefault(sample, {})[stem] = (part["time"].to_numpy() * factor, (part["position"] == 1).to_numpy())
    return found
