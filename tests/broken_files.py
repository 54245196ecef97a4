"""Break audio files in every way that happens, and read them.

``python tests/broken_files.py`` makes the corpus, reads each file in a process of its own, and writes
``benchmarks/results/broken-files.md``. The tests read a sample of it.

Each of 14 original files, of 0.5 s, is broken in these ways:

- fields: each group of 4 bytes among the first 64 is set to 0, 1, 2^31 - 1 and 2^32 - 1;
- cut: the file is truncated at 10 places;
- header, body: one bit in the first 128 bytes, or one after them, is flipped;
- before, after: junk (zeros, random bytes, text, another file of the format) is added;
- nothing: the file has no bytes, or only its first four.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from mtbench import audio
from mtbench.errors import MtbenchError

RATE, SECONDS = 44100, 0.5
TIME_LIMIT = 20  # s per file; longer is a hang
EXTREMES = (0, 1, 2**31 - 1, 2**32 - 1)
RESULT = Path(__file__).parents[1] / "benchmarks" / "results" / "broken-files.md"


@dataclass(frozen=True)
class Outcome:
    """kind: "error" (a message that names the file), "equal" or "different" (accepted; the samples of the original, or
    others), "unnamed" (a message without the file), "prints" (a library wrote to the terminal), "traceback", "crash" or
    "hang". memory: MB, above that of a process
    that reads nothing. of_ffmpeg: MB, if ffmpeg ran. seconds: to read it."""

    kind: str
    detail: str
    memory: float
    of_ffmpeg: float
    seconds: float


def originals(folder: Path) -> dict[str, Path]:
    """Write the original files. Returns {format: file}; without M4A if there is no ffmpeg."""
    n = int(RATE * SECONDS)
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / RATE) + 0.05 * np.random.default_rng(0).standard_normal(n)
    stereo = np.stack([wave, wave / 2], axis=1)
    for name, options in {
        "wav.wav": {"format": "WAV", "subtype": "PCM_16"},
        "float.wav": {"format": "WAV", "subtype": "FLOAT"},
        "extensible.wav": {"format": "WAVEX", "subtype": "PCM_24"},
        "rf64.wav": {"format": "RF64", "subtype": "PCM_16"},
        "w64.w64": {"format": "W64", "subtype": "PCM_16"},
        "aiff.aiff": {"format": "AIFF", "subtype": "PCM_16"},
        "caf.caf": {"format": "CAF", "subtype": "PCM_16"},
        "au.au": {"format": "AU", "subtype": "PCM_16"},
        "flac.flac": {"format": "FLAC", "subtype": "PCM_16"},
        "vorbis.ogg": {"format": "OGG", "subtype": "VORBIS"},
        "mp3.mp3": {"format": "MP3"},
    }.items():
        soundfile.write(folder / name, stereo, RATE, **options)
    soundfile.write(folder / "opus.opus", stereo[:24000], 48000, format="OGG", subtype="OPUS")
    data = (folder / "mp3.mp3").read_bytes()
    (folder / "bare.mp3").write_bytes(data[_first_frame(data) :])
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 2, RATE, 16000, 1, 0, 12, 1, 2, 1000, 1, 1393)
    stream = data[_first_frame(data) :]
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(stream)) + stream
    (folder / "mp3-in-wav.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    if shutil.which("ffmpeg"):
        command = ["ffmpeg", "-v", "error", "-i", folder / "wav.wav", "-movflags", "+faststart", folder / "m4a.m4a"]
        subprocess.run(command, check=True)
    return {path.stem: path for path in sorted(folder.iterdir())}


def _first_frame(data: bytes) -> int:
    """Return the length of the Xing frame at the start of an MP3."""
    return data.index(data[:2], 4)


def broken(data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (way, bytes) of a file in every way."""
    random = np.random.default_rng(seed)
    for at in range(4, 64, 4):
        for value in EXTREMES:
            yield "fields", data[:at] + struct.pack("<I", value) + data[at + 4 :]
    for place in range(10):
        yield "cut", data[: max(len(data) * place // 10, 1 + 13 * place)]
    for way, first, last in (("header", 0, 128), ("body", 128, len(data))):
        for _ in range(20):
            at, bit = int(random.integers(first, last)), int(random.integers(8))
            yield way, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    for junk in (bytes(1000), random.bytes(1000), b"text\n" * 200, data):
        yield "before", junk[: len(junk) - (junk is data)] + data
        yield "after", data + junk
    yield "nothing", b""
    yield "nothing", data[:4]


def read_apart(path: Path, expected: audio.Wave) -> Outcome:
    """Read a file in a process of its own."""
    receiver, sender = os.pipe()
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns about forks beside threads; the child only reads the file
        child = os.fork()
    if child == 0:
        os.close(receiver)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even within a library
        signal.alarm(TIME_LIMIT)
        with tempfile.TemporaryFile() as printed:
            os.dup2(printed.fileno(), 2)
            outcome = _read(path, expected)
            if written := os.fstat(2).st_size and os.pread(2, 400, 0).decode(errors="replace"):
                outcome = ("prints", written, *outcome[2:])
        os.write(sender, json.dumps(outcome).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        answer = pipe.read()
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - began
    kind, detail, memory, of_ffmpeg = json.loads(answer) if answer else ("crash", f"signal {status}", 0.0, 0.0)
    if not answer and os.WTERMSIG(status) == signal.SIGALRM:
        kind = "hang"
    return Outcome(kind, detail, memory or usage.ru_maxrss / 1000, of_ffmpeg, seconds)


def _read(path: Path, expected: audio.Wave) -> tuple[str, str, float, float]:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # reset the peak of the resident memory, which a fork inherits
    before = _peak()
    try:
        samples, _ = audio.read(path)
        kind, detail = "equal" if np.array_equal(samples, expected) else "different", f"{len(samples)} samples"
    except MtbenchError as error:
        kind, detail = "error" if str(path) in str(error) else "unnamed", str(error)
    except BaseException as error:
        kind, detail = "traceback", f"{type(error).__name__}: {error}"
    return kind, detail[:500], _peak() - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def _peak() -> float:
    """Return the largest resident memory so far, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def corpus(folder: Path, every: int = 1) -> Iterator[tuple[str, str, Path, audio.Wave]]:
    """Yield (format, way, file, samples of the original) of every `every`-th broken file, one file at a time."""
    (folder / "originals").mkdir()
    number = 0
    for seed, (form, original) in enumerate(originals(folder / "originals").items()):
        expected, data = audio.read(original)[0], original.read_bytes()
        for way, content in broken(data, seed):
            number += 1
            if number % every == 0:
                path = folder / f"{number:05d}-{form}-{way}{original.suffix}"
                path.write_bytes(content)
                yield form, way, path, expected
                path.unlink()


def table(counts: dict[str, Counter[str]], what: str) -> list[str]:
    kinds = ("error", "equal", "different", "unnamed", "prints", "traceback", "crash", "hang")
    heads = ("error that names the file", "accepted, equal", "accepted, different", *kinds[3:])
    lines = [f"| {what} | files | {' | '.join(heads)} |", f"|---|{'---:|' * (len(kinds) + 1)}"]
    total: Counter[str] = sum(counts.values(), Counter())
    for name, count in [*counts.items(), ("all", total)]:
        lines.append(f"| {name} | {count.total()} | {' | '.join(str(count[kind]) for kind in kinds)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="read only every Nth file")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    of_format: dict[str, Counter[str]] = defaultdict(Counter)
    of_way: dict[str, Counter[str]] = defaultdict(Counter)
    most = of_ffmpeg = slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for form, way, path, expected in corpus(Path(folder), options.every):
            outcome = read_apart(path, expected)
            of_format[form][outcome.kind] += 1
            of_way[way][outcome.kind] += 1
            most, slowest = max(most, outcome.memory), max(slowest, outcome.seconds)
            of_ffmpeg = max(of_ffmpeg, outcome.of_ffmpeg)
            if outcome.kind in ("unnamed", "prints", "traceback", "crash", "hang"):
                print(path.name, outcome, file=sys.stderr)
    machine = f"Python {platform.python_version()}, soundfile {soundfile.__version__}"
    machine += f", libsndfile {soundfile.__libsndfile_version__}"
    lines = [
        "# Broken audio files",
        "",
        f"`python tests/broken_files.py`, {machine}. The script describes how files are broken.",
        "",
        f"Largest memory while reading a file: {most:.0f} MB more than before; ffmpeg, which decodes M4A, took up to "
        f"{of_ffmpeg:.0f} MB. Longest time: {slowest:.1f} s. (The original files are 0.5 s long.)",
        "",
        *table(of_format, "format"),
        "",
        *table(of_way, "way"),
        "",
        "*Equal*: the samples are those of the original, bit for bit. *Different*: mostly flipped bits in formats",
        "without checksums, changed numbers of channels or encodings, and MP3s with a damaged frame.",
    ]
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
