"""Measure the memory and time that reading long audio files takes.

``python benchmarks/reading.py`` writes files of half an hour of stereo, reads each in a new process, and prints
``benchmarks/results/reading.md``.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

FILES = [
    ("wav", "PCM_16", 44100),
    ("wav", "PCM_16", 48000),
    ("wav", "FLOAT", 48000),
    ("flac", "PCM_24", 44100),
    ("ogg", "VORBIS", 44100),
    ("mp3", None, 44100),
]
WAYS = {
    "audio.read": "audio.read(path)[0].nbytes",
    "audio.read_canonical, 16 kHz": "audio.read_canonical(path, 16000).samples.nbytes",
    "beats.read_44100": "beats.read_44100(path).nbytes",
}
SCRIPT = """
import json, resource, sys, time
import numpy as np
from mtbench import {module}
path = sys.argv[1]
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
result = {way}
seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([before / 1e6, after / 1e6, result / 1e9, seconds]))
"""


def write(path: Path, subtype: str | None, rate: int, minutes: float) -> None:
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, 2, subtype) as file:
        for _ in range(round(6 * minutes)):
            for _ in range(10):  # libsndfile crashes if much Vorbis is written at once
                file.write(0.1 * random.standard_normal((rate, 2)).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    print("# Memory of reading long files\n")
    print(
        f"`python benchmarks/reading.py --minutes {options.minutes:g}`: stereo, {platform.machine()}, Python", end=" "
    )
    print(f"{platform.python_version()}, soundfile {soundfile.__version__}.\n")
    print("Peak memory is that of the whole process; in parentheses, its memory before reading, after the imports.\n")
    print("| file | way | result, GB | peak memory, GB | seconds |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for suffix, subtype, rate in FILES:
            path = Path(folder) / f"a.{suffix}"
            write(path, subtype, rate, options.minutes)
            for name, way in WAYS.items():
                command = [
                    sys.executable,
                    "-c",
                    SCRIPT.replace("{module}", way.split(".")[0]).replace("{way}", way),
                    str(path),
                ]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                before, after, size, seconds = json.loads(output)
                kind = f"{suffix} {subtype or ''}".strip()
                print(f"| {kind}, {rate} Hz | `{name}` | {size:.2f} | {after:.2f} ({before:.2f}) | {seconds:.1f} |")
            path.unlink()


if __name__ == "__main__":
    main()
