"""Samples to listen to: their selection, stems as FLAC, mel spectrograms as pictures, and beats."""

import base64
import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from mtbench import audio
from mtbench.metrics import Metric
from mtbench.metrics.embeddings import SAMPLE_RATE, log_mel
from mtbench.registry import metrics
from mtbench.report import selection, text
from mtbench.report.site.models import COLOURED
from mtbench.report.site.sources import SiteRun, slug
from mtbench.results.keys import BEAT_COLUMNS, NAN
from mtbench.results.store import RunFolder
from mtbench.settings import Setting

JUDGE = "cbs"  # the metric that selects the best and the worst sample
FIXED = 2  # number of samples shown whatever their scores: the first ones of each model
SHOWN = (-4.0, 3.5)  # log-mel range from the first colour to the last, the same in all pictures
# Dark violet to pale yellow with evenly increasing lightness: (r, g, b) at equal distances.
COLOURS = ((10, 8, 28), (58, 18, 94), (128, 37, 115), (196, 60, 92), (243, 118, 76), (253, 196, 128), (252, 246, 202))


Beats = tuple[NDArray[np.float64], NDArray[np.bool_]]  # times [n] in real seconds, whether each begins a bar [n]


@dataclass(frozen=True)
class Sample:
    """A sample to listen to.

    why: one or more of 'fixed', 'best' and 'worst', the last two by cross-track beat synchronization (CBS). kept: the
    number of samples with audio that it was selected from. stems: {stem: WAV}. given: the stems that were given, not
    generated, joined by ``+``. beats: {stem: its beats}. scores: its rows of samples.csv at the setting.
    """

    run: SiteRun
    task: str
    given: str
    model: str
    id: str
    why: tuple[str, ...]
    kept: int
    stems: Mapping[str, Path]
    beats: Mapping[str, Beats]
    scores: pd.DataFrame
    setting: Setting

    @property
    def page(self) -> str:
        """The path of the sample's page, relative to the site's root."""
        where = slug("-".join(word for word in (self.task, self.given.replace("+", "-")) if word))
        return f"listening/{self.run.slug}/{where}/{slug(self.model)}/{slug(self.id)}.html"

    def score(self, metric: Metric, track: str) -> str:
        """Return a score as text; MISSING if it is undefined."""
        of_track = self.scores[(self.scores["metric"] == metric.name) & (self.scores["track"] == track)]
        values = of_track["value"].dropna().tolist()
        return text.number(values[0], metric.digits) if values else text.MISSING


@dataclass(frozen=True)
class Lane:
    """A stem of the player.

    audio: the hash that names its files. colour: the name of the stem, or empty if the stem has no colour. scores: as
    text. beats: (time in s as text, whether the beat begins a bar).
    """

    stem: str
    audio: str
    colour: str
    given: bool
    scores: list[str]
    beats: list[tuple[str, bool]]


def choose(run: SiteRun) -> list[Sample]:
    """Select the samples of a run to listen to: for each model the first two and the worst and best by CBS.

    In arrangement, which has many subsets of given stems, only the worst and best over all subsets. Only samples whose
    audio was kept are selected.
    """
    setting = None if run.samples is None else selection.standard_setting(run.samples)
    if setting is None or run.samples is None or not (run.path / "audio").is_dir():
        return []
    scores = selection.at_setting(run.samples, setting)
    return [
        sample
        for task, model in scores[["task", "model"]].drop_duplicates().sort_values(["task", "model"]).to_numpy()
        for sample in _chosen(run, setting, scores[(scores["task"] == task) & (scores["model"] == model)])
    ]


def _chosen(run: SiteRun, setting: Setting, scores: pd.DataFrame) -> list[Sample]:
    """Select the samples of one task and model, given its scores."""
    task, model = scores["task"].iloc[0], scores["model"].iloc[0]
    folders = {given: Path(f"{task}-{given}" if given else task) / model for given in dict.fromkeys(scores["given"])}
    folders = {given: folder for given, folder in folders.items() if _within(run.path / "audio", folder)}
    kept = {
        (given, name): stems
        for given, folder in folders.items()
        for name, stems in _stems(run.path / "audio" / folder, set(scores[scores["given"] == given]["sample"])).items()
    }
    judged = scores[scores["metric"] == JUDGE].dropna(subset="value").sort_values(["value", "given", "sample"])
    ordered = [key for key in zip(judged["given"], judged["sample"]) if key in kept]
    why: dict[tuple[str, str], list[str]] = {}
    for key in list(kept)[:FIXED] if task != "arrangement" else ():
        why.setdefault(key, []).append("fixed")
    for key, word in ((ordered[-1], "best"), (ordered[0], "worst")) if ordered else ():
        why.setdefault(key, []).append(word)
    beats = {given: _beats(run.path, folders[given], setting) for given in {given for given, _ in why}}
    order = ("fixed", "best", "worst")
    return [
        Sample(
            run=run,
            task=task,
            given=given,
            model=model,
            id=name,
            why=tuple(why[given, name]),
            kept=len(kept),
            stems=kept[given, name],
            beats=beats[given].get(name, {}),
            scores=scores[(scores["given"] == given) & (scores["sample"] == name)],
            setting=setting,
        )
        for given, name in sorted(why, key=lambda key: (min(order.index(word) for word in why[key]), key))
    ]


def judge() -> Metric:
    """Return the metric that selects the best and the worst sample."""
    return metrics()[JUDGE]


def lanes(sample: Sample) -> list[Lane]:
    """Return the stems of a sample's player: the stems with a colour first, in their fixed order."""
    stems = [stem for stem in dict.fromkeys((*COLOURED, *sample.stems)) if stem in sample.stems]
    return [_lane(sample, stem) for stem in stems]


def _lane(sample: Sample, stem: str) -> Lane:
    times, downbeats = sample.beats.get(stem, (np.empty(0), np.empty(0, bool)))
    scores = [(metric, sample.score(metric, stem)) for metric in selection.judged(selection.of_tracks())]
    return Lane(
        stem=stem,
        audio=file_hash(sample.stems[stem].read_bytes()),
        colour=stem if stem in COLOURED else "",
        given=stem in sample.given.split("+"),
        scores=[
            f"{metric.title} {value}" + (f" {metric.unit}" if metric.unit and value != text.MISSING else "")
            for metric, value in scores
        ],
        beats=[(f"{time:.3f}", down) for time, down in zip(times.tolist(), downbeats.tolist())],
    )


def file_hash(content: bytes) -> str:
    """Return the name of an audio file or of its picture."""
    return sha256(content).hexdigest()[:16]


def flac(path: Path) -> bytes:
    """Encode a WAV as FLAC, with the same bytes every time."""
    samples, rate = soundfile.read(path, dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def audio_script(name: str, path: Path) -> str:
    """Return a script that passes a stem to the player, since a page opened from disk cannot fetch files."""
    return f'mtbenchAudio("{name}","{base64.b64encode(flac(path)).decode()}")\n'


def mel(paths: Iterable[Path]) -> tuple[NDArray[np.float64], float]:
    """Return the log-mel spectrogram of the files' sum, float64 [columns, 64] of 20 ms each, and its length in s."""
    waves = [audio.read_canonical(path, SAMPLE_RATE).samples for path in paths]
    mixture = audio.mix(waves)[0]
    columns = log_mel(mixture)
    columns = columns[: len(columns) // 2 * 2].reshape(-1, 2, columns.shape[1]).mean(axis=1)
    return columns, len(mixture) / SAMPLE_RATE


def picture(columns: NDArray[np.float64]) -> bytes:
    """Encode a log-mel spectrogram [columns, bands] as a 16-colour PNG, low bands at the bottom; deterministic."""
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
    """Return a FLAC file with clicks at a steady tempo, the first one at 0.25 s."""
    time = np.arange(round(0.03 * rate)) / rate
    click = 0.8 * np.sin(2 * np.pi * 1000 * time) * np.exp(-time / 0.006)
    wave = np.zeros(round(seconds * rate))
    for start in np.arange(0.25, seconds - 0.1, 60 / bpm):
        wave[round(start * rate) :][: len(click)] += click
    file = io.BytesIO()
    soundfile.write(file, audio.to_pcm16(wave), rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _within(root: Path, path: Path) -> bool:
    """Return whether `path` stays inside `root`: it is built from names in a table, which may be ``..`` or absolute."""
    return (root / path).resolve().is_relative_to(root.resolve())


def _stems(folder: Path, names: set[str]) -> dict[str, dict[str, Path]]:
    """Return {sample: {stem: WAV}} for the named samples whose audio was kept, sorted by name."""
    stems: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*/*.wav"), key=lambda path: (path.stem, path.parent.name)):
        if path.stem in names:
            stems.setdefault(path.stem, {})[path.parent.name] = path
    return stems


def _beats(run: Path, folder: Path, setting: Setting) -> dict[str, dict[str, Beats]]:
    """Return {sample: {stem: its beats}}, with times in real seconds whatever the timebase."""
    file = folder.parent / f"{folder.name}.csv"
    path = Path("beats") / file
    if not _within(run / "beats", file) or not (run / path).is_file():
        return {}
    table = selection.at_setting(RunFolder(run).read_table(str(path), BEAT_COLUMNS).assign(window=NAN), setting)
    factor = setting.fps / 100 if setting.timebase == "published" else 1.0
    beats: dict[str, dict[str, Beats]] = {}
    for (sample, stem), of_stem in table.groupby(["sample", "track"], sort=False):
        times = of_stem["time"].to_numpy(np.float64) * factor
        beats.setdefault(str(sample), {})[str(stem)] = (times, (of_stem["position"] == 1).to_numpy(bool))
    return beats
