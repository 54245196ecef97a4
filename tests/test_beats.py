"""Beats, compared with values computed by hand, with madmom's own networks, and with the golden beats."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

import beats_peers
from goldens import DECODINGS, GOLDENS, METRICS_DATA
from mtbench import beats
from mtbench.beats import _madmom, compiled, frontend, network, resampling, tracking

ROOT = Path(__file__).parents[1]
needs_numba = pytest.mark.skipif(not compiled.AVAILABLE, reason=f"Numba: {compiled.reason}")

ACTIVATIONS = dict(np.load(METRICS_DATA / "activations.npz"))  # madmom's, by <clip>/stem_<k>
AUDIO = sorted(METRICS_DATA.glob("audio/stem_*/*.flac"))


def clicks(sample_rate, seconds=10.24, bpm=120):
    """Short noise bursts every 60 / bpm seconds, float32."""
    burst = np.random.default_rng(0).uniform(-0.8, 0.8, sample_rate // 100) * np.linspace(1, 0, sample_rate // 100)
    samples = np.zeros(int(seconds * sample_rate), np.float32)
    for start in np.arange(0, seconds - 0.1, 60 / bpm):
        first = round(start * sample_rate)
        samples[first : first + len(burst)] = burst
    return samples


@pytest.fixture(scope="module")
def click_activations():
    return beats.activations([clicks(16000)], 16000)[0]


def regular_activations(period, beats_per_bar, frames=1000):
    """Return a beat in every `period`-th frame from frame 10 on; the first of each bar is a downbeat."""
    made = np.full((frames, 2), 0.001, np.float32)
    for i, frame in enumerate(range(10, frames, period)):
        made[frame, 1 if i % beats_per_bar == 0 else 0] = 0.9
    return made


@pytest.mark.parametrize("beats_per_bar", [3, 4])
def test_regular_beats_are_found(beats_per_bar):
    times, positions = beats.decode(regular_activations(50, beats_per_bar), fps=100)
    assert times.dtype == np.float64 and positions.dtype == np.int64
    assert times.tolist() == [(10 + 50 * i) / 100 for i in range(20)]
    assert positions.tolist() == [1 + i % beats_per_bar for i in range(20)]


def test_published_time_base_divides_frames_by_fps():
    times, _ = beats.decode(regular_activations(50, 4), fps=150, timebase="published")
    assert times.tolist() == [(10 + 50 * i) / 150 for i in range(20)]


@pytest.mark.parametrize("fps, period", [(50, 40), (200, 51)])  # periods that are among the model's tempi
def test_true_time_base_gives_seconds_at_any_fps(fps, period):
    times, _ = beats.decode(regular_activations(period, 4), fps=fps, timebase="real")
    expected = np.arange(10, 1000, period) / 100
    np.testing.assert_allclose(times, expected, atol=1e-12)


def test_time_bases_agree_at_100():
    activations = ACTIVATIONS["clean_05/stem_1"]
    for true, published in zip(beats.decode(activations), beats.decode(activations, timebase="published")):
        assert true.tolist() == published.tolist()


def test_interpolation_by_hand():
    activations = np.array([[0, 0.8], [0.3, 0.4], [0.9, 0]], np.float32)  # at 0, 10, 20 ms
    by_fps = {
        200: [[0, 0.8], [0.15, 0.6], [0.3, 0.4], [0.6, 0.2], [0.9, 0]],  # 0, 5, 10, 15, 20 ms
        150: [[0, 0.8], [0.2, 1.6 / 3], [0.5, 0.8 / 3], [0.9, 0]],  # 0, 6.67, 13.33, 20 ms
        50: [[0, 0.8], [0.9, 0]],  # 0, 20 ms
        80: [[0, 0.8], [0.45, 0.3]],  # 0, 12.5 ms; 25 ms would be beyond the last frame
    }
    for fps, expected in by_fps.items():
        np.testing.assert_allclose(beats.to_frame_rate(activations, fps), expected, atol=1e-7)
    assert beats.to_frame_rate(activations[:1], 150).tolist() == activations[:1].tolist()


def test_nothing_over_the_threshold_means_no_beats():
    for activations in (np.full((500, 2), 0.049, np.float32), np.zeros((1, 2), np.float32)):
        times, positions = beats.decode(activations)
        assert times.shape == positions.shape == (0,)
        assert times.dtype == np.float64 and positions.dtype == np.int64


def test_frames_outside_the_threshold_do_not_matter():
    activations = regular_activations(50, 4)
    longer = np.pad(activations, ((30, 200), (0, 0)), constant_values=0.02)
    np.testing.assert_allclose(beats.decode(longer)[0], beats.decode(activations)[0] + 0.3, atol=1e-12)


@pytest.mark.parametrize(
    "activations",
    [
        np.empty((0, 2)),
        np.zeros(10),
        np.zeros((10, 3)),
        np.full((10, 2), np.nan),
        np.full((10, 2), 1.5),
        np.full((10, 2), -0.1),
    ],
)
def test_invalid_activations_are_refused(activations):
    with pytest.raises(ValueError, match="activations"):
        beats.decode(activations)


def test_activations_without_a_path_are_refused():
    certain = np.zeros((300, 2), np.float32)
    certain[[10, 11, 60, 200], 0] = 1  # certain beats 10 ms apart and none elsewhere
    with pytest.raises(ValueError, match="no path"):
        beats.decode(certain)


@pytest.mark.parametrize(
    "setting",
    [
        {"fps": 0},
        {"fps": -100},
        {"fps": float("nan")},
        {"fps": 4.9},
        {"transition_lambda": -1},
        {"transition_lambda": float("inf")},
        {"timebase": "wrong"},
    ],
)
def test_bad_settings_are_named(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=name):
        beats.decode(np.zeros((10, 2)), **setting)
    with pytest.raises(ValueError, match=name):
        beats.track(np.zeros(1000, np.float32), sample_rate=16000, **setting)


def assert_decoded_frames(activations, fps, transition_lambda, frames):
    times, positions = beats.decode(activations, fps, transition_lambda, timebase="published")
    assert times.tolist() == [frame / fps for frame in frames]
    assert set(np.diff(positions)) <= {1, -2, -3}  # 1 2 3 1 or 1 2 3 4 1, without gaps


def madmoms_frames(stem, fps, transition_lambda):
    clip, _, k = stem.partition("/stem_")
    return GOLDENS["beats"][f"fps{fps}_tl{transition_lambda}"][clip][int(k)]


A_STEM_OF_EACH_KIND = [
    "clean_00/stem_0",
    "clean_05/stem_1",
    "clean_09/stem_3",
    "offset_06/stem_0",
    "jitter_06/stem_1",
    "drift_06/stem_2",
    "silent_03/stem_3",
    "allsilent_00/stem_2",
    "sparse_00/stem_3",
    "noise_01/stem_0",
    "identical_00/stem_1",
]


@pytest.mark.parametrize("fps, transition_lambda", DECODINGS)
def test_decoded_frames_match_madmom(fps, transition_lambda):
    for stem in A_STEM_OF_EACH_KIND:
        frames = madmoms_frames(stem, fps, transition_lambda)
        assert_decoded_frames(ACTIVATIONS[stem], fps, transition_lambda, frames)


@pytest.mark.slow
@pytest.mark.parametrize("fps, transition_lambda", DECODINGS)
def test_decoded_frames_match_madmom_for_all_stems(fps, transition_lambda):
    assert len(ACTIVATIONS) == 46 * 4
    for stem, activations in ACTIVATIONS.items():
        assert_decoded_frames(activations, fps, transition_lambda, madmoms_frames(stem, fps, transition_lambda))


@pytest.mark.parametrize("frame_size, bands_per_octave, bands", [(1024, 3, 21), (2048, 6, 45), (4096, 12, 91)])
def test_filterbank(frame_size, bands_per_octave, bands):
    bank = frontend.filterbank(frame_size, bands_per_octave)
    assert bank.shape == (frame_size // 2, bands) and bank.dtype == np.float32
    np.testing.assert_allclose(bank.sum(axis=0), 1, atol=1e-6)
    centres = np.argmax(bank, axis=0)
    assert (np.diff(centres) > 0).all()
    assert centres[0] * 44100 / frame_size >= 30 and centres[-1] * 44100 / frame_size <= 17000


def test_features_of_an_impulse_by_hand():
    """With one sample a in the middle of frame 10, every bin has magnitude a * window(middle), in any band."""
    signal = np.zeros(44100, np.float32)
    signal[4410] = 0.5
    made = frontend.features(signal)
    assert made.shape == (100, 314) and made.dtype == np.float32
    column = 0
    for frame_size, bands in ((1024, 21), (2048, 45), (4096, 91)):
        middle = 0.5 - 0.5 * np.cos(2 * np.pi * (frame_size // 2) / (frame_size - 1))
        np.testing.assert_allclose(made[10, column : column + bands], np.log10(1 + 0.5 * middle), atol=1e-6)
        column += 2 * bands
    assert (made[:5] == 0).all() and (made[15:] == 0).all()  # 4096 samples reach 2048 / 441 = 4.6 frames
    # the differences look back one frame (1024, 2048) or two (4096); negative ones are 0
    for bands, lag, column in ((21, 1, 0), (45, 1, 42), (91, 2, 132)):
        now, difference = made[:, column : column + bands], made[:, column + bands : column + 2 * bands]
        np.testing.assert_array_equal(difference[lag:], np.maximum(now[lag:] - now[:-lag], 0))
        assert (difference[:lag] == 0).all()


def test_features_of_16_bit_samples_are_divided_by_32767():
    samples = np.random.default_rng(1).integers(-32768, 32768, 20000).astype(np.int16)
    np.testing.assert_allclose(frontend.features(samples), frontend.features(samples / 32767), atol=1e-6)


@pytest.mark.parametrize("n, frames", [(1, 1), (441, 1), (442, 2), (883, 3), (451584, 1024)])
def test_number_of_frames(n, frames):
    assert frontend.features(np.zeros(n, np.int16)).shape == (frames, 314)


def test_features_refuse_an_empty_signal():
    with pytest.raises(ValueError, match="signal"):
        frontend.features(np.empty(0, np.int16))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_features_match_madmom(dtype):
    x = np.random.default_rng(2).normal(0, 0.2, 44100).clip(-1, 1) * np.linspace(0, 1, 44100) ** 2
    x = (32767 * x).astype(np.int16) if dtype == np.int16 else x.astype(np.float32)
    np.testing.assert_allclose(frontend.features(x), beats_peers.features(x), atol=1e-6)


def test_stages():
    golden = dict(np.load(METRICS_DATA / "stages.npz"))
    clip, stem = str(golden["clip"]).split("/")
    # test_beats_resampling.py compares this signal with the golden one.
    signal = resampling.to_44100(*soundfile.read(METRICS_DATA / "audio" / stem / f"{clip}.flac", dtype="int16"))
    np.testing.assert_allclose(frontend.features(signal), golden["features"], atol=1e-4)
    outputs = network.network_outputs(golden["features"][None])[0]
    np.testing.assert_allclose(outputs, golden["network_outputs"], atol=1e-5)
    activations = beats.activations([signal], 44100)[0]
    np.testing.assert_allclose(activations, golden["activations"], atol=1e-5)


@pytest.mark.parametrize("available", [True, False])
def test_networks_match_madmom(monkeypatch, available):
    monkeypatch.setattr(compiled, "AVAILABLE", available and compiled.AVAILABLE)
    features = np.random.default_rng(3).gamma(0.5, 0.3, (2, 150, 314)).astype(np.float32)
    outputs = network.network_outputs(features)
    assert outputs.shape == (2, 8, 150, 3) and outputs.dtype == np.float32
    for m, peer in enumerate(_madmom.load_networks()):
        for b in range(2):
            np.testing.assert_allclose(outputs[b, m], peer(features[b]), atol=1e-5)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1, atol=1e-6)


def test_torch_version_of_the_networks():
    """Run it on the CPU; a GPU uses the same code."""
    from mtbench.beats import on_gpu

    features = np.random.default_rng(3).gamma(0.5, 0.3, (3, 150, 314)).astype(np.float32)
    np.testing.assert_allclose(on_gpu.network_outputs(features, "cpu"), network.outputs_plain(features), atol=1e-5)


def test_a_gpu_is_used_only_for_many_stems(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert tracking._device(63) == "cpu" and tracking._device(64) == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert tracking._device(1000) == "cpu"


@needs_numba
def test_compiled_sigmoid_and_tanh():
    x = np.linspace(-130, 130, 20001).astype(np.float32)
    np.testing.assert_allclose([compiled.sigmoid(v) for v in x], 0.5 + 0.5 * np.tanh(x / 2.0), atol=1.5e-7)
    np.testing.assert_allclose([compiled.tanh(v) for v in x], np.tanh(x.astype(np.float64)), atol=3e-7)


@needs_numba
def test_without_a_writable_folder_it_compiles_in_memory():
    run_python("""
        import tempfile
        def refuse(*arguments, **options):
            raise PermissionError("read-only")
        tempfile.TemporaryFile = refuse  # with which Numba tries its folders
        from mtbench.beats import compiled
        assert compiled.AVAILABLE and compiled.sigmoid(compiled.np.float32(0)) == 0.5
    """)


@needs_numba
def test_without_numba_beats_are_the_same(tmp_path, click_activations):
    """Run without Numba in a separate process, where it cannot be imported."""
    soundfile.write(tmp_path / "clicks.wav", clicks(16000), 16000, subtype="PCM_16")
    run_python(f"""
        import sys
        import numpy as np
        sys.modules["numba"] = None
        from mtbench.beats import compiled, track
        assert not compiled.AVAILABLE and "ModuleNotFoundError" in compiled.reason
        assert track({str(tmp_path / "clicks.wav")!r}).tolist() == {beats.track(tmp_path / "clicks.wav").tolist()}
    """)


@needs_numba
def test_numba_that_cannot_compile_is_treated_as_missing():
    run_python("""
        import numba
        def njit(**options):
            def decorate(function):
                def refuse(*arguments):
                    raise RuntimeError("LLVM: no such processor")
                return refuse
            return decorate
        numba.njit = njit
        from mtbench.beats import compiled
        assert not compiled.AVAILABLE and compiled.reason == "RuntimeError: LLVM: no such processor"
    """)


@pytest.mark.parametrize(
    "fps, timebase, interval",
    [
        (100, "real", 0.5),
        (150, "real", 0.5),
        (200, "real", 0.5),
        (100, "published", 0.5),
        (150, "published", 1 / 3),
        (200, "published", 0.25),
    ],
)
def test_click_track_of_120_bpm(click_activations, fps, timebase, interval):
    times, _ = beats.decode(click_activations, fps, 100, timebase)
    scale = interval / 0.5
    assert len(times) in (20, 21)
    np.testing.assert_allclose(times, scale * 0.5 * np.arange(len(times)), atol=0.03 * scale)
    intervals = np.diff(times)
    assert np.median(intervals) == pytest.approx(interval, abs=1e-9)
    np.testing.assert_allclose(intervals, interval, atol=0.0101)


def test_track_is_activations_and_decode(click_activations):
    expected, _ = beats.decode(click_activations, 150, 50, "published")
    assert beats.track(clicks(16000), 150, 50, "published", sample_rate=16000).tolist() == expected.tolist()


def test_silence_has_no_beats():
    times = beats.track(np.zeros(160000, np.int16), sample_rate=16000)
    assert times.shape == (0,) and times.dtype == np.float64


def test_16_bit_and_float_samples_at_16_khz_agree():
    pcm = (32767 * clicks(16000, seconds=2)).astype(np.int16)
    from_int, from_float = beats.activations([pcm, pcm / np.float32(32768)], 16000)
    np.testing.assert_allclose(from_int, from_float, atol=1e-5)


def test_a_batch_of_stems_equals_each_stem_alone():
    rng = np.random.default_rng(4)
    stems = [
        clicks(16000, seconds=3),
        rng.normal(0, 0.1, 48000).astype(np.float32),
        np.zeros(48000, np.float32),
        clicks(16000, seconds=2, bpm=90),
    ]
    together = beats.activations(stems, 16000)
    assert [a.shape for a in together] == [(300, 2)] * 3 + [(200, 2)]
    for stem, activations in zip(stems, together):
        assert activations.dtype == np.float32
        alone = beats.activations([stem], 16000)[0]
        np.testing.assert_allclose(activations, alone, atol=1e-5)
        assert beats.decode(activations)[0].tolist() == beats.decode(alone)[0].tolist()
    as_array = beats.activations(np.stack(stems[:3]), 16000)
    assert all((a == b).all() for a, b in zip(as_array, together))
    assert beats.activations([], 16000) == []


def test_stems_whose_lengths_differ_by_a_sample_may_differ_by_a_frame():
    assert [len(a) for a in beats.activations([np.zeros(96000), np.zeros(96001)], 96000)] == [100, 101]


def test_splitting_batches_limits_memory(monkeypatch):
    stems = [clicks(16000, seconds=1, bpm=bpm) for bpm in (100, 120, 140)]
    together = beats.activations(stems, 16000)
    monkeypatch.setattr(tracking, "FRAMES_AT_ONCE", {"cpu": 1})
    for a, b in zip(beats.activations(stems, 16000), together):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_channels_are_averaged(tmp_path):
    left = clicks(16000, seconds=4)
    right = np.random.default_rng(5).normal(0, 0.01, len(left)).astype(np.float32)
    stereo = np.stack([left, right], axis=1)
    expected = beats.track((left + right) / 2, sample_rate=16000)
    assert len(expected) > 0
    assert beats.track(stereo, sample_rate=16000).tolist() == expected.tolist()
    soundfile.write(tmp_path / "stereo.wav", stereo, 16000, subtype="FLOAT")
    assert beats.track(tmp_path / "stereo.wav").tolist() == expected.tolist()


@pytest.mark.parametrize(
    "rate, name, subtype",
    [
        (8000, "a.wav", "PCM_16"),
        (22050, "a.flac", "PCM_24"),
        (44100, "a.wav", "FLOAT"),
        (44100, "a.wav", "PCM_16"),
        (44100, "a.ogg", "VORBIS"),
        (48000, "a.wav", "PCM_24"),
    ],
)
def test_files_of_any_rate_and_format(tmp_path, rate, name, subtype):
    soundfile.write(tmp_path / name, clicks(rate), rate, subtype=subtype)
    times = beats.track(str(tmp_path / name))
    assert len(times) in (20, 21)
    np.testing.assert_allclose(times, 0.5 * np.arange(len(times)), atol=0.03)


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.empty(0, np.float32), "empty"),
        (np.array([0, np.nan], np.float32), "NaN"),
        (np.array([0, np.inf], np.float32), "infinite"),
        (np.zeros(10, np.int32), "int32"),
        (np.zeros((2, 16000), np.float32), "channels"),
        (np.zeros((4, 2, 2), np.float32), "shape"),
    ],
)
def test_bad_samples_are_named(samples, message):
    with pytest.raises(ValueError, match=message):
        beats.track(samples, sample_rate=16000)
    with pytest.raises(ValueError, match="stem 1"):
        beats.activations([np.zeros(100, np.float32), samples], 16000)


@pytest.mark.parametrize("rate", [0, -16000, 16000.5, None])
def test_bad_sample_rate_is_named(rate):
    with pytest.raises(ValueError, match="sample_rate"):
        beats.track(np.zeros(100, np.float32), sample_rate=rate)


def test_a_sample_rate_for_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="sample_rate"):
        beats.track(tmp_path / "a.wav", sample_rate=16000)


def check_audio(paths, decodings):
    """Activations are within 1e-4 of madmom's (through ffmpeg), and all beats are the same."""
    stems = [soundfile.read(path, dtype="int16")[0] for path in paths]
    for path, activations in zip(paths, beats.activations(stems, 16000)):
        stem = f"{path.stem}/{path.parent.name}"
        np.testing.assert_allclose(activations, ACTIVATIONS[stem], atol=1e-4)
        for decoding in decodings:
            assert_decoded_frames(activations, *decoding, madmoms_frames(stem, *decoding))


def test_beats_from_audio():
    assert len(AUDIO) == 12 * 4
    check_audio(AUDIO[::5], [(150, 100)])


@pytest.mark.slow
def test_beats_from_audio_for_all_stems():
    check_audio(AUDIO, DECODINGS)


def run_python(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", [[], ["pkg_resources", "distutils"]])
def test_the_names_defined_for_madmom_are_removed(missing):
    run_python(f"""
        import collections, sys
        import numpy as np
        sys.modules.update(dict.fromkeys({missing}))  # None: cannot be imported
        from mtbench import beats
        from mtbench.beats import network
        assert beats.identity()["weights_sha256"] and "madmom" not in sys.modules
        before = {{name: sys.modules.get(name) for name in ("pkg_resources", "distutils")}}
        assert len(beats.decode(np.full((300, 2), 0.1, np.float32))[0]) and "madmom" not in sys.modules
        assert len(network.load_ensemble().layers) == 3 and "madmom" in sys.modules
        assert not hasattr(np, "float") and not hasattr(np, "int")
        assert not hasattr(collections, "MutableSequence")
        assert "pkg_resources" not in sys.modules or sys.modules["pkg_resources"] is None
    """)


def test_identity():
    import hashlib

    joined = b"".join(file.read_bytes() for file in _madmom.weight_files())
    assert beats.identity() == {"engine": beats.VERSION, "weights_sha256": hashlib.sha256(joined).hexdigest()}
    _madmom.madmom()
    from madmom.models import DOWNBEATS_BLSTM

    assert [str(file) for file in _madmom.weight_files()] == DOWNBEATS_BLSTM
