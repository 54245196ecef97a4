"""Find FluidSynth and a General MIDI sound font, and run FluidSynth."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtbench.audio import Wave
from mtbench.errors import MtbenchError, UsageError

# Where Debian, Fedora, Arch and a user put sound fonts. Homebrew and conda have no General MIDI sound font.
FONT_FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/opt/homebrew/share/soundfonts",
    "~/.local/share/soundfonts",
)
FONT_FILES = ("FluidR3_GM.sf2", "default-GM.sf2", "default.sf2", "TimGM6mb.sf2", "default-GM.sf3")

RATE = 44100  # Hz. FluidSynth starts notes only every 64 samples: 1.5 ms at this rate, but 4 ms at 16 kHz
LATE = 128  # samples by which FluidSynth's notes are late: 82 to 161, measured
TIME_LIMIT = 30.0  # s; a stem takes about 0.2

INSTALL = (
    "Install FluidSynth and a General MIDI sound font: apt-get install fluidsynth fluid-soundfont-gm (Debian, Ubuntu), "
    "brew install fluid-synth (macOS), or conda install -c conda-forge fluidsynth; the last two need a sound font from "
    "elsewhere, such as FluidR3_GM.sf2"
)
SETTINGS = {
    "synth.dynamic-sample-loading": "1",  # otherwise the complete sound font is read for each stem
    "synth.reverb.active": "0",
    "synth.chorus.active": "0",
    "synth.sample-rate": str(RATE),
    "synth.gain": "0.2",
    "synth.lock-memory": "0",  # fails, with a warning, where a process may lock little memory
    "audio.period-size": "64",
    "audio.file.type": "raw",
    "audio.file.format": "float",  # 16 bits would be dithered
    "audio.file.endian": "little",
}


@dataclass(frozen=True)
class Synthesizer:
    """FluidSynth and a sound font. version: of FluidSynth. font_digest: SHA-256 of the sound font, in hexadecimal."""

    program: str
    version: str
    font: Path
    font_digest: str

    def render(self, midi: bytes) -> Wave:
        """Render a MIDI file: float32 [n] at 44.1 kHz, channels averaged. Raises MtbenchError if FluidSynth fails."""
        options = [word for name, value in SETTINGS.items() for word in ("-o", f"{name}={value}")]
        with tempfile.TemporaryDirectory(prefix="mtbench-") as folder:
            score, sound = Path(folder, "stem.mid"), Path(folder, "stem.raw")
            score.write_bytes(midi)
            empty = Path(folder, "empty.conf")  # instead of the user's configuration, which could change the sound
            empty.touch()
            command = [self.program, "-n", "-i", "-q", "-f", str(empty), *options, "-F", str(sound)]
            text = _run([*command, str(self.font), str(score)], TIME_LIMIT)
            samples = np.fromfile(sound, "<f4") if sound.is_file() else np.zeros(0, np.float32)
        if "Failed to load SoundFont" in text or not len(samples):
            raise MtbenchError(f"{self.program} cannot render with {self.font}: {_first_line(text) or 'no audio'}")
        stereo = samples[: len(samples) // 2 * 2].reshape(-1, 2)
        return ((stereo[LATE:, 0] + stereo[LATE:, 1]) / 2).astype(np.float32, copy=False)


def find_synthesizer(font: Path | None = None, folders: Iterable[str] = FONT_FOLDERS) -> Synthesizer:
    """Find FluidSynth on the PATH, and the sound font `font` or, if None, one in the usual places.

    Raises UsageError, with the commands that install them, if one of them is missing or does not work.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise UsageError(f"fluidsynth: not found on the PATH. {INSTALL}")
    found = re.search(r"version (\d+\.\d+\.\d+)", _run([program, "--version"], TIME_LIMIT))
    if not found:
        raise UsageError(f"{program} --version does not name a version. {INSTALL}")
    if int(found[1].split(".")[0]) < 2:
        raise UsageError(f"{program} is version {found[1]}; 2.0 or newer is needed")
    font = font or _usual_font(folders)
    try:
        with font.open("rb") as file:
            head = file.read(12)
            if head[:4] != b"RIFF" or head[8:] != b"sfbk":
                raise UsageError(f"{font}: not a sound font (.sf2 or .sf3)")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{font}: cannot be read ({error.strerror})") from None
    return Synthesizer(program, found[1], font, digest)


def _usual_font(folders: Iterable[str]) -> Path:
    places = [Path(folder).expanduser() / name for name in FONT_FILES for folder in folders]
    font = next((place for place in places if place.is_file()), None)
    if font is None:
        raise UsageError(f"no General MIDI sound font in {', '.join(folders)}. {INSTALL}")
    return font


def _run(command: list[str], limit: float) -> str:
    """Run a command and return what it prints. Raises MtbenchError if it fails or takes longer than `limit` s."""
    try:
        result = subprocess.run(command, capture_output=True, timeout=limit, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        raise MtbenchError(f"{command[0]} took longer than {limit:.0f} s") from None
    except OSError as error:
        raise MtbenchError(f"{command[0]}: cannot be run ({error.strerror})") from None
    text = (result.stdout + result.stderr).decode(errors="replace")
    if result.returncode:
        raise MtbenchError(f"{command[0]} failed with status {result.returncode}: {_first_line(text)}")
    return text


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")
