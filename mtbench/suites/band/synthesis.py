"""Render a `band` score: turn notes into four stems, using only NumPy and SciPy.

Almost every sound is a bank of decaying sinusoids (`modes`). Strings, piano, metal and drum skins differ in the
frequencies of their partials, their initial amplitudes and their decay times. Filtered noise adds hammers, picks, snare
wires and the wash of cymbals.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # submodules are imported on first use, which saves `mtbench suites` a second
from numpy.typing import ArrayLike, NDArray

from mtbench.suites.band.composition import DRUM_RING, PREROLL_SECONDS, STEMS, Note, Score

SAMPLE_RATE = 16_000
N_SAMPLES = 163_840  # 10.24 s; the length of a clip is a multiple of this
PREROLL = int(PREROLL_SECONDS * SAMPLE_RATE)
NYQUIST_GUARD = 7_600.0  # Hz; there are no partials above
RELEASE = {"bass": 0.05, "guitar": 0.05, "piano": 0.12}  # s, fade-out after a note is released
LONGEST = {"bass": 3.0, "guitar": 3.0, "piano": 4.0}  # s, maximum length of a tone
LEVEL_DB = {"bass": -20.0, "drums": -20.5, "guitar": -25.0, "piano": -24.0}  # RMS of the active frames, dB
BLOCK = 256  # samples per row in `modes`

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Song:
    """A rendered clip at 16 kHz, mono, with n samples per stem: 163,840 or a multiple.

    A stem that is silent throughout is all zeros.
    """

    seed: int
    stems: dict[str, NDArray[np.float32]]  # [n], in the order bass, drums, guitar, piano
    beats: Floats  # [beats], seconds, the true beats inside the clip
    downbeats: Floats  # [bars], seconds, the beats that start a bar
    tempo: float  # BPM
    meter: int  # beats per bar, 3 or 4
    style: str
    swing: float  # first note's share of a swung pair; 0.5 is straight
    key: str
    onsets: dict[str, Floats]  # [notes], seconds, the notes that start inside the clip, as played

    @property
    def mixture(self) -> NDArray[np.float32]:
        """The sum of the stems, float32 [n]; it may exceed 1."""
        total: NDArray[np.float32] = np.sum(list(self.stems.values()), axis=0, dtype=np.float32)
        return total


def modes(frequency: ArrayLike, decay: ArrayLike, amplitude: ArrayLike, phase: ArrayLike, n: int) -> Floats:
    """Compute the sum of K decaying sinusoids, float64 [n]: a_k exp(-t / d_k) cos(2 pi f_k t + p_k).

    frequency (Hz), decay (s), amplitude and phase (radians) are [K] or a number. Partials at or above 7600 Hz, and
    those below 1e-4 of the loudest, are left out.

    Since exp(s (iB + j)) = exp(s i B) exp(s j), n samples of all K partials are the product of an [n / B, K] and a
    [K, B] matrix instead of n K exponentials.
    """
    columns: tuple[Floats, ...] = np.broadcast_arrays(*map(np.atleast_1d, (frequency, decay, amplitude, phase)))
    f, d, a, p = columns
    heard = (f < NYQUIST_GUARD) & (np.abs(a) > 1e-4 * np.abs(a).max())
    f, d, a, p = (column[heard] for column in columns)
    s = (-1 / d + 2j * np.pi * f) / SAMPLE_RATE
    n_blocks = -(-n // BLOCK)
    outer = (a * np.exp(1j * p)) * np.exp(np.outer(np.arange(n_blocks) * BLOCK, s))
    inner = np.exp(np.outer(s, np.arange(BLOCK)))
    blocks: Floats = np.hstack([outer.real, -outer.imag]) @ np.vstack([inner.real, inner.imag])
    return blocks.ravel()[:n]


def bandpass(order: int, low: float, high: float, wave: Floats) -> Floats:
    """Filter a wave [n] with a Butterworth band-pass between `low` and `high` Hz; returns float64 [n]."""
    band = scipy.signal.butter(order, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos")
    filtered: Floats = scipy.signal.sosfilt(band, wave)
    return filtered


def noise_burst(rng: np.random.Generator, n: int, decay: float, low: float, high: float) -> Floats:
    """Return noise between `low` and `high` Hz with decay time `decay` s, float64 [n]; unit RMS before the decay."""
    noise = bandpass(2, low, min(high, 7_900.0), rng.standard_normal(n + 200))[200:]
    burst: Floats = noise / noise.std() * np.exp(-np.arange(n) / (decay * SAMPLE_RATE))
    return burst


def attack(tone: Floats, seconds: float) -> Floats:
    """Apply a raised-cosine onset to a tone in place, so that it does not start with a click."""
    n = min(len(tone), max(2, int(seconds * SAMPLE_RATE)))
    tone[:n] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    return tone


def hertz(pitch: int) -> float:
    """Return the frequency of a MIDI pitch at A = 440 Hz."""
    return 440.0 * 2 ** ((pitch - 69) / 12)


# Plucked strings: pick position (share of the string's length), spectral slope, decay of the fundamental (s at A2),
# frequency-dependent loss, pick noise, stiffness, and roll-off frequency of a bass speaker (Hz)
STRINGS = {
    "fingered": (0.22, 1.25, 1.3, 1.6, 0.02, 8e-5, 1_800),
    "picked": (0.11, 0.95, 1.5, 1.0, 0.06, 8e-5, 1_800),
    "upright": (0.30, 1.60, 0.55, 2.2, 0.05, 5e-5, 1_800),
    "acoustic": (0.13, 0.80, 1.2, 0.8, 0.10, 6e-5, np.inf),
    "nylon": (0.25, 1.25, 0.8, 1.5, 0.04, 3e-5, np.inf),
    "clean": (0.10, 0.90, 1.4, 0.9, 0.05, 5e-5, np.inf),
    "jazz": (0.28, 1.40, 1.0, 1.8, 0.02, 5e-5, np.inf),
    "overdrive": (0.12, 0.80, 2.2, 0.7, 0.05, 5e-5, np.inf),
}


def string_tone(rng: np.random.Generator, sound: str, pitch: int, velocity: float, kind: str, n: int) -> Floats:
    """Synthesize a plucked string, float64 [n]: the pick position shapes the harmonics, and high ones decay faster."""
    plucked_at, slope, decay, loss, noise, stiffness, speaker = STRINGS[sound]
    f0 = hertz(pitch)
    k = np.arange(1, min(64, int(NYQUIST_GUARD / f0)) + 1)
    frequency = f0 * k * np.sqrt(1 + stiffness * k**2)
    amplitude = np.sin(np.pi * k * plucked_at) * k ** (-slope - 0.6 * (1 - velocity))
    amplitude = amplitude / (1 + (frequency / speaker) ** 2)
    tau = decay * (110 / f0) ** 0.5 / (1 + loss * (frequency / 1500) ** 1.3)
    if kind == "mute":  # the palm damps all harmonics, the high ones most
        tau, amplitude = 0.10 * tau / (1 + frequency / 1800), amplitude / (1 + (frequency / 1200) ** 2)
    elif kind == "dead":
        tau, amplitude, noise = np.full(len(k), 0.018), amplitude * 0.5, noise * 3 + 0.1
    tone = modes(frequency, tau, amplitude, rng.uniform(-0.5, 0.5, len(k)) - np.pi / 2, n)
    scratch = min(n, 1_200)
    tone[:scratch] += noise * velocity * noise_burst(rng, scratch, 0.008, 900, 5_500)
    return attack(tone, 0.0025 if sound in ("picked", "acoustic", "clean", "overdrive") else 0.005)


def piano_tone(rng: np.random.Generator, sound: str, pitch: int, velocity: float, kind: str, n: int) -> Floats:
    """Synthesize a struck string with two-stage decay and hammer noise, or the tine and bar of an electric piano.

    Returns float64 [n].
    """
    f0 = hertz(pitch)
    if sound == "electric":
        frequency = f0 * np.array([1, 2, 3, 4, 6.7, 11.2])
        amplitude = np.array(
            [1, 0.35 * velocity, 0.12 * velocity, 0.1 * velocity**2, 0.12 * velocity**2, 0.05 * velocity**2]
        )
        tau = np.array([1.6, 0.9, 0.5, 0.35, 0.10, 0.05]) * (220 / f0) ** 0.3
        return attack(modes(frequency, tau, amplitude, -np.pi / 2, n), 0.003)
    k = np.arange(1, min(40, int(NYQUIST_GUARD / f0)) + 1)
    frequency = f0 * k * np.sqrt(1 + 2.5e-4 * 2 ** ((pitch - 48) / 12) * k**2)
    cutoff = 500 + 2_200 * velocity**1.5  # louder notes sound brighter
    amplitude = k**-0.7 * np.exp(-frequency / cutoff) * (0.35 + np.abs(np.sin(np.pi * k / 8)))
    quick = 0.9 * (220 / f0) ** 0.5 / (1 + frequency / 2_500)
    phase = rng.uniform(0, 2 * np.pi, len(k))
    tone = modes(
        np.r_[frequency, frequency * 1.0004],
        np.r_[quick, 4 * quick],
        np.r_[amplitude, 0.3 * amplitude],
        np.r_[phase, phase + 0.8],
        n,
    )
    tone /= np.sqrt(np.sum(amplitude**2)) + 1e-9
    thump = min(n, 1_600)
    tone[:thump] += 0.10 * velocity * noise_burst(rng, thump, 0.012, 150, 2_500)
    return attack(tone, 0.002)


# Tuning of the kits: kick (Hz), its decay (s), snare (Hz), decay of the snare wires (s), highest tom (Hz)
KITS = {"rock": (52, 0.16, 185, 0.11, 165), "tight": (58, 0.11, 205, 0.08, 180), "jazz": (68, 0.14, 215, 0.10, 195)}


def swept(n: int, low: float, high: float, sweep: float, decay: float) -> Floats:
    """Synthesize a struck drum skin, float64 [n]: a decaying sine that falls from `high` to `low` Hz in `sweep` s."""
    t = np.arange(n) / SAMPLE_RATE
    cycles = low * t + (high - low) * sweep * (1 - np.exp(-t / sweep))
    skin: Floats = np.sin(2 * np.pi * cycles) * np.exp(-t / decay)
    return skin


def metal(rng: np.random.Generator, n: int, n_modes: int, low: float, high: float, decay: float) -> Floats:
    """Synthesize the dense inharmonic partials of a cymbal, float64 [n], with unit energy at the start.

    High partials decay slightly faster.
    """
    frequency = np.exp(rng.uniform(np.log(low), np.log(high), n_modes))
    tau = decay * rng.uniform(0.4, 1.2, n_modes) * (low / frequency) ** 0.3
    amplitude = rng.uniform(0.3, 1, n_modes) * np.sqrt(2 / n_modes)
    return modes(frequency, tau, amplitude, rng.uniform(0, 6.28, n_modes), n)


def drum_hit(rng: np.random.Generator, kit: str, tuning: float, piece: str) -> Floats:
    """Synthesize one stroke at full loudness on a piece of the kit, float64 [length of its ring]."""
    kick, kick_decay, snare, wires, tom = KITS[kit]
    n = int(SAMPLE_RATE * DRUM_RING[piece])
    if piece == "kick":
        hit = 1.1 * swept(n, kick * tuning, 3.2 * kick * tuning, 0.022, kick_decay)
        hit[:400] += 0.35 * noise_burst(rng, 400, 0.004, 1_000, 5_000)
    elif piece == "snare":
        hit = modes(np.array([1, 1.62, 2.3]) * snare * tuning, [0.06, 0.04, 0.03], [0.5, 0.35, 0.2], -np.pi / 2, n)
        hit = hit + 0.42 * noise_burst(rng, n, wires, 800, 7_500)
        hit = hit + 0.3 * noise_burst(rng, n, 0.012, 300, 6_000)
    elif piece == "rim":
        hit = modes(
            np.array([480, 1_650, 2_480, 4_100]) * tuning,
            [0.012, 0.02, 0.016, 0.01],
            [0.3, 0.6, 0.4, 0.3],
            -np.pi / 2,
            n,
        )
        hit = hit + 0.25 * noise_burst(rng, n, 0.006, 1_500, 7_000)
    elif piece == "cowbell":
        hit = modes(
            np.array([562, 845, 1_720, 2_530]) * tuning, [0.12, 0.10, 0.04, 0.03], [0.3, 0.35, 0.12, 0.1], -np.pi / 2, n
        )
    elif piece.endswith("tom"):
        pitch = tuning * tom * {"hightom": 1.0, "midtom": 0.78, "lowtom": 0.58}[piece]
        hit = 0.8 * swept(n, pitch, 1.5 * pitch, 0.03, 0.17) + 0.2 * noise_burst(rng, n, 0.015, 300, 4_000)
    elif piece in ("hat", "pedal", "openhat"):
        decay = {"hat": 0.035, "pedal": 0.025, "openhat": 0.28}[piece]
        hit = 0.22 * metal(rng, n, 30, 2_800, 7_600, decay * 1.4)
        hit = hit + 0.28 * noise_burst(rng, n, decay, 4_500, 7_800)
        hit[:200] += 0.15 * noise_burst(rng, 200, 0.002, 2_000, 7_500)
    elif piece == "ride":
        hit = 0.13 * metal(rng, n, 60, 500, 7_500, 0.7) + 0.10 * noise_burst(rng, n, 0.25, 3_500, 7_800)
        hit += modes(np.array([2_950, 4_330, 5_710]) * tuning, [0.05, 0.05, 0.04], [0.18, 0.16, 0.12], 0.0, n)
        hit[:300] += 0.30 * noise_burst(rng, 300, 0.003, 1_500, 7_500)
    else:  # crash
        hit = 0.35 * metal(rng, n, 70, 400, 7_500, 0.9) + 0.38 * noise_burst(rng, n, 0.5, 1_800, 7_800)
    ending: Floats = np.minimum(1, (n - np.arange(n)) / 400)
    return attack(hit, 0.0008) * ending


def place(track: Floats, tone: Floats, note: Note, release: float, gain: float) -> None:
    """Add a note to a track that begins PREROLL samples before the clip, with a fade-out over `release` s."""
    first = PREROLL + round(note.onset * SAMPLE_RATE)
    fade = int(release * SAMPLE_RATE)
    body = min(len(tone), int(note.duration * SAMPLE_RATE) + fade)
    sound = gain * tone[:body]
    sound[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, len(sound[-fade:]) + 1) / len(sound[-fade:]))
    cut, end = max(0, -first), min(len(track), first + body)
    if end > first + cut:
        track[first + cut : end] += sound[cut : end - first]


def render_pitched(rng: np.random.Generator, stem: str, sound: str, notes: list[Note], n: int) -> Floats:
    """Render bass, guitar or piano, float64 [PREROLL + n].

    Equal notes share one tone, which is as long as the longest of them needs.
    """
    tone_of = piano_tone if stem == "piano" else string_tone
    keys = [(note.pitch, note.kind, round(note.velocity * 4) / 4) for note in notes]
    longest: dict[tuple[int, str, float], float] = {}  # s
    for key, note in zip(keys, notes):
        longest[key] = max(longest.get(key, 0.0), min(note.duration, LONGEST[stem]))
    tones = {
        (pitch, kind, velocity): tone_of(
            rng, sound, pitch, max(velocity, 0.25), kind, int((seconds + RELEASE[stem]) * SAMPLE_RATE)
        )
        for (pitch, kind, velocity), seconds in longest.items()
    }
    track = np.zeros(PREROLL + n)
    for key, note in zip(keys, notes):
        place(track, tones[key], note, RELEASE[stem] if note.kind == "open" else 0.02, note.velocity)
    return track


def render_drums(rng: np.random.Generator, kit: str, notes: list[Note], n: int) -> Floats:
    """Render the drums, float64 [PREROLL + n], with two takes of each piece that is used."""
    tuning = rng.uniform(0.92, 1.09)
    pieces = sorted({note.kind for note in notes})
    takes = {piece: [drum_hit(rng, kit, tuning, piece) for _ in range(2)] for piece in pieces}
    track = np.zeros(PREROLL + n)
    for note, take in zip(notes, rng.integers(0, 2, len(notes))):
        place(track, takes[note.kind][take], note, 0.02, note.velocity**1.3)
    return track


def colour(stem: str, sound: str, track: Floats) -> Floats:
    """Apply the amplifier, wooden body or limiter after the instrument to a track; returns float64 [samples]."""
    if sound == "overdrive":
        return bandpass(2, 90, 4_200, np.tanh(4.0 * track / active_rms(track) / 3))
    if stem == "guitar" and sound in ("acoustic", "nylon"):
        return track + 0.6 * bandpass(1, 90, 320, track)
    if stem == "drums":
        limited: Floats = np.tanh(track)
        return limited
    return track


def active_rms(track: Floats) -> float:
    """Return the RMS over the 50 ms frames that are within 40 dB of the loudest frame."""
    power = np.mean(track[: len(track) // 800 * 800].reshape(-1, 800) ** 2, axis=1)
    return float(np.sqrt(power[power > 1e-4 * power.max()].mean()))


def room(rng: np.random.Generator) -> Floats:
    """Return the reverberation tail of a small room with unit energy, float64 [0.35 s]."""
    t = np.arange(int(0.35 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(t)) * np.exp(-t / rng.uniform(0.04, 0.1)) * np.minimum(1, t / 0.008)
    tail = bandpass(1, 200, 5_000, tail)
    unit: Floats = tail / np.sqrt(np.sum(tail**2))
    return unit


def render(score: Score) -> Song:
    """Render a score to stems, float32 [n]. This is a pure function of the score."""
    rngs = {stem: np.random.default_rng([score.seed, 10 + i]) for i, stem in enumerate((*STEMS, "mix"))}
    mix, n = rngs["mix"], score.clips * N_SAMPLES
    tail = room(mix)
    tracks = {}
    for stem in STEMS:
        gain_db = LEVEL_DB[stem] + mix.normal(0, 1.8)
        wet = mix.uniform(0.06, 0.2) * (0.5 if stem == "bass" else 1)
        notes, sound = score.notes[stem], score.sounds[stem]
        if not notes:
            tracks[stem] = np.zeros(n)
            continue
        track = (
            render_drums(rngs[stem], sound, notes, n)
            if stem == "drums"
            else render_pitched(rngs[stem], stem, sound, notes, n)
        )
        track = colour(stem, sound, track)
        track = (track + wet * scipy.signal.oaconvolve(track, tail)[: len(track)])[PREROLL:]
        tracks[stem] = track * (10 ** (gain_db / 20) / active_rms(track))
    # most mixtures peak below 1; a few exceed it, like sums of real stems
    peak = np.clip(mix.normal(0.75, 0.13), 0.45, 1.1)
    scale = peak / np.abs(sum(tracks.values())).max()
    stems = {stem: (scale * track).astype(np.float32) for stem, track in tracks.items()}
    onsets = {stem: np.array([note.onset for note in score.notes[stem] if note.onset >= 0]) for stem in STEMS}
    return Song(
        score.seed,
        stems,
        score.beats,
        score.downbeats,
        score.tempo,
        score.meter,
        score.style,
        score.swing,
        score.key,
        onsets,
    )
