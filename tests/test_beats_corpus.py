"""Compare end to end with madmom: its file reading through ffmpeg, its networks, its HMM. Prints its counts (use -s).

For each stem and every setting, two results are compared: the beats decoded from madmom's activations, and the beats
tracked from the file. test_beats.py tests the stems in tests/data/metrics.
"""

import shutil

import numpy as np
import pytest
import soundfile

import beats_peers
from conftest import clicks
from mtbench import beats
from mtbench.suites import band

pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg, through which madmom reads files"),
    pytest.mark.filterwarnings("ignore:Chunk"),  # SciPy warns about WAV files that contain floats
]
# at fps 100 the time bases are the same
SETTINGS = [(100, 100, "real"), (100, 50, "real")] + [
    (fps, transition_lambda, timebase)
    for fps in (150, 200)
    for transition_lambda in (100, 50)
    for timebase in ("real", "published")
]


def notes(seconds, rate, random, every):
    """Return decaying tones, one about every `every` s, float64 [n]."""
    wave = np.zeros(round(seconds * rate))
    start = random.uniform(0, every)
    while start < seconds - 0.3:
        time = np.arange(round(0.3 * rate)) / rate
        tone = np.sin(2 * np.pi * random.choice([110, 220, 330, 440, 880]) * time) * np.exp(-time / 0.08)
        at = round(start * rate)
        wave[at : at + len(tone)] += random.uniform(0.1, 0.6) * tone
        start += random.uniform(0.8, 1.2) * every
    return wave


def song(seconds, rate, random):
    """Return something like music: a drifting pulse with accents, and noise."""
    wave, start, count, bpm = np.zeros(round(seconds * rate)), random.uniform(0, 0.5), 0, random.uniform(70, 170)
    bar = random.integers(3, 5)
    while start < seconds - 0.2:
        time = np.arange(round(0.15 * rate)) / rate
        pitch = 80 if count % bar == 0 else 300
        at = round(start * rate)
        wave[at : at + len(time)] += (
            (0.6 if count % bar == 0 else 0.3) * np.sin(2 * np.pi * pitch * time) * np.exp(-time / 0.03)
        )
        start += 60 / bpm * random.normal(1, 0.01)
        count += 1
    return (wave + 0.01 * random.standard_normal(len(wave))).clip(-1, 1)


def band_songs(count):
    for seed in band.seeds("heldout")[:count]:
        for stem, wave in band.song(seed).stems.items():
            yield f"{seed}-{stem}.wav", wave, band.SAMPLE_RATE, "PCM_16"


def silence():
    for rate in (16000, 44100):
        for subtype in ("PCM_16", "FLOAT"):
            yield f"{rate}-{subtype}.wav", np.zeros(5 * rate), rate, subtype
    whisper = np.random.default_rng(0).integers(-1, 2, 80000) / 32768  # one 16-bit step
    yield "whisper.wav", whisper, 16000, "PCM_16"


def click_tracks():
    for bpm in range(40, 280, 20):
        yield f"{bpm}.wav", clicks(bpm, 10.24), 16000, "PCM_16"


def noises():
    random = np.random.default_rng(1)
    for n, level in enumerate([0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5]):
        noise = level * random.standard_normal(163840)
        yield f"white{n}.wav", noise.clip(-1, 1), 16000, "PCM_16"
        walk = np.cumsum(noise)  # brown noise
        yield f"brown{n}.wav", 0.9 * walk / np.abs(walk).max(), 16000, "PCM_16"


def sparse_notes():
    random = np.random.default_rng(2)
    for n, every in enumerate([0.7, 1.1, 1.7, 2.3, 3.1, 4.7, 6.0, 9.0] * 2):
        yield f"{n}.wav", notes(10.24, 16000, random, every), 16000, "PCM_16"


def float_at_44100():
    random = np.random.default_rng(3)
    for n in range(12):
        yield f"{n}.wav", song(10, 44100, random), 44100, "FLOAT"


def stereo():
    random = np.random.default_rng(4)
    for n, (rate, subtype, suffix) in enumerate(
        [(44100, "PCM_16", "wav"), (44100, "FLOAT", "wav"), (16000, "PCM_16", "wav"), (48000, "PCM_16", "flac")] * 3
    ):
        left = song(10, rate, random)
        yield (
            f"{n}.{suffix}",
            np.stack([left, 0.5 * left + notes(10, rate, random, 0.9)], axis=1).clip(-1, 1),
            rate,
            subtype,
        )


def at_48000():
    random = np.random.default_rng(5)
    for n, subtype in enumerate(["PCM_16", "PCM_24", "FLOAT"] * 4):
        yield f"{n}.wav", song(10, 48000, random), 48000, subtype


def other_rates():
    random = np.random.default_rng(6)
    for n, rate in enumerate([8000, 11025, 22050, 24000, 32000, 96000]):
        yield f"{n}.flac", song(10, rate, random), rate, "PCM_16"


def three_minutes():
    random = np.random.default_rng(7)
    yield "a.wav", song(180, 16000, random), 16000, "PCM_16"
    yield "b.wav", notes(180, 44100, random, 0.6), 44100, "PCM_16"
    yield "c.flac", song(180, 48000, random), 48000, "PCM_16"


KINDS = {
    "band": lambda: band_songs(20),
    "silence": silence,
    "clicks": click_tracks,
    "noise": noises,
    "sparse": sparse_notes,
    "float": float_at_44100,
    "stereo": stereo,
    "48k": at_48000,
    "rates": other_rates,
    "long": three_minutes,
}


def compare(file, settings, counts):
    theirs = beats_peers.activations_of_file(file)
    ours = beats.activations([beats.read_44100(file)], 44100)[0]
    assert ours.shape == theirs.shape, file
    counts["off"] = max(counts["off"], float(np.abs(ours - theirs).max()))
    for fps, transition_lambda, timebase in settings:
        at_fps = beats.to_frame_rate(theirs, fps) if timebase == "real" else theirs
        frames, positions = beats_peers.decode(at_fps, fps, transition_lambda)
        expected = [(frames / fps).tolist(), positions.tolist()]
        decoded = [x.tolist() for x in beats.decode(theirs, fps, transition_lambda, timebase)]
        end_to_end = [x.tolist() for x in beats.decode(ours, fps, transition_lambda, timebase)]
        counts["compared"] += 1
        counts["decoded"] += decoded == expected
        counts["identical"] += end_to_end == expected
        if end_to_end != expected:
            print(file.name, fps, transition_lambda, timebase, "not identical")


def report(kind, stems, counts):
    print(
        f"\n{kind}: {stems} stems, {counts['compared']} decodes compared; identical from madmom's activations "
        f"{counts['decoded']}, from the file {counts['identical']}; activations off by at most {counts['off']:.1e}"
    )
    assert counts["decoded"] == counts["compared"]
    assert counts["identical"] == counts["compared"]
    assert counts["off"] <= 1e-3


def fresh_counts():
    return {"compared": 0, "decoded": 0, "identical": 0, "off": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_corpus(tmp_path, kind):
    counts, stems = fresh_counts(), 0
    for name, wave, rate, subtype in KINDS[kind]():
        soundfile.write(tmp_path / name, wave, rate, subtype=subtype)
        compare(tmp_path / name, SETTINGS, counts)
        stems += 1
    report(kind, stems, counts)


def test_one_of_each_kind(tmp_path):
    """Compare a few seconds of one stem of each kind, in two settings."""
    counts = fresh_counts()
    for kind in ("silence", "clicks", "noise", "sparse", "float", "stereo", "48k"):
        name, wave, rate, subtype = next(iter(KINDS[kind]()))
        soundfile.write(tmp_path / name, wave[: 4 * rate], rate, subtype=subtype)
        compare(tmp_path / name, [(100, 100, "real"), (150, 50, "published")], counts)
    report("one of each", 7, counts)
