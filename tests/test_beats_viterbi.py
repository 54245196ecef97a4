"""The decoder, compared with madmom's HMM: both versions give bit-identical paths and log-probabilities."""

import numpy as np
import pytest

import beats_peers
from mtbench import beats
from mtbench.beats import compiled, viterbi

SETTINGS = [(100, 100), (150, 100), (200, 50), (100, 10), (50, 0), (33.3, 1000), (7.5, 3), (5, 100), (320, 100)]
FORMS = [
    "_search_plain",
    pytest.param("_search", marks=pytest.mark.skipif(not compiled.AVAILABLE, reason=f"Numba: {compiled.reason}")),
]


def bumps(frames, period, random, noise=0.05):
    """Return activations like the networks': a beat about every `period` frames, every third or fourth a downbeat."""
    made = noise * random.random((frames, 2)) ** 2
    bar = random.integers(3, 5)
    for n, frame in enumerate(np.arange(random.integers(0, 30), frames, period)):
        made[int(frame), 0 if n % bar else 1] = random.uniform(0.2, 0.9)
    return (made / np.maximum(made.sum(axis=1, keepdims=True), 1)).astype(np.float32)


def cases():
    random = np.random.default_rng(7)
    yield "beats", bumps(600, 48.3, random)
    yield "slow beats", bumps(500, 171, random)
    yield "noise", (random.random((500, 2)) / 2).astype(np.float32)
    yield "short noise", (random.random((21, 2)) / 2).astype(np.float32)
    yield "all alike", np.full((400, 2), 0.25, np.float32)  # only ties
    yield "rounded", (np.rint(4 * random.random((400, 2))) / 8).astype(np.float32)  # many ties
    yield "rare", np.where(random.random((300, 2)) < 0.02, 0.3, 1e-7).astype(np.float32)
    yield "zeros", np.zeros((200, 2), np.float32)
    yield "a sum above 1", np.full((60, 2), 0.5000001, np.float32)  # madmom takes the log of a negative number
    yield "one certain beat", np.eye(150, 1, -70, np.float32).repeat(2, axis=1) * np.array([0, 1], np.float32)
    yield "one frame", np.array([[0.3, 0.2]], np.float32)
    yield "two frames", np.array([[0.3, 0.2], [0.1, 0.6]], np.float32)


def states_of(path, tables, frames):
    """Return the states of madmom's model on a path: all places of the bar's first beat, then of the second, ..."""
    lengths = np.diff(np.maximum(path.first, 0), append=frames)
    place = np.cumsum(tables.intervals) - tables.intervals
    state = tables.beat[path.lane] * tables.intervals.sum() + place[path.tempo] - path.first
    return np.repeat(state, lengths) + np.arange(frames)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fps, transition_lambda", SETTINGS)
def test_paths_match_madmom_bit_for_bit(form, fps, transition_lambda):
    tables = viterbi.model(fps, transition_lambda)
    for name, activations in cases():
        expected, log_probability, model = beats_peers.viterbi(activations, fps, transition_lambda)
        path, made = getattr(viterbi, form)(viterbi.log_densities(activations), tables)
        assert made == log_probability, name  # bit for bit
        if path is None:
            assert log_probability == -np.inf and len(expected) == 0, name
            continue
        assert states_of(path, tables, len(activations)).tolist() == expected.tolist(), name
        assert (3 if path.lane[0] < 3 else 4) == model.transition_model.state_space.num_beats, name


@pytest.mark.parametrize("fps, transition_lambda", SETTINGS)
def test_tables_match_madmom_bit_for_bit(fps, transition_lambda):
    tables = viterbi.model(fps, transition_lambda)
    for model, lanes in zip(beats_peers.hmms(fps, transition_lambda), tables.bar_lanes):
        pointers = np.concatenate([table[:, lane] for lane in lanes for table in tables.pointers])
        assert pointers.tolist() == model.observation_model.pointers.tolist()
        space, change = model.transition_model.state_space, model.transition_model
        for b in range(len(lanes)):
            for i, state in enumerate(space.first_states[b]):
                here = slice(change.pointers[state], change.pointers[state + 1])
                possible = np.flatnonzero(tables.transition[:, i] > -np.inf)
                assert space.last_states[b - 1][possible].tolist() == change.states[here].tolist()
                assert tables.transition[possible, i].tolist() == change.log_probabilities[here].tolist()


@pytest.mark.skipif(not compiled.AVAILABLE, reason=f"Numba: {compiled.reason}")
@pytest.mark.parametrize("chunk", [1, 64, 299, 300, 301])
def test_long_files_are_decoded_in_chunks(monkeypatch, chunk):
    tables = viterbi.model(100, 100)
    densities = viterbi.log_densities(bumps(600, 48.3, np.random.default_rng(1)))
    expected, log_probability = viterbi._search(densities, tables)
    monkeypatch.setattr(viterbi, "CHUNK", chunk)
    path, made = viterbi._search(densities, tables)
    assert made == log_probability
    assert [x.tolist() for x in path] == [x.tolist() for x in expected]


@pytest.mark.parametrize("fps, transition_lambda", [(100, 100), (150, 50), (200, 10)])
@pytest.mark.parametrize("available", [True, False])
def test_beats_and_positions_match_madmom(monkeypatch, fps, transition_lambda, available):
    monkeypatch.setattr(compiled, "AVAILABLE", available and compiled.AVAILABLE)
    random = np.random.default_rng(3)
    for period in (31.7, 50, 77.7):
        activations = np.pad(bumps(500, period, random), ((17, 30), (0, 0)))
        for timebase in ("real", "published"):
            at_fps = beats.to_frame_rate(activations, fps) if timebase == "real" else activations
            frames, positions = beats_peers.decode(at_fps, fps, transition_lambda)
            made = beats.decode(activations, fps, transition_lambda, timebase)
            assert len(frames) > 1
            assert made[0].tolist() == (frames / fps).tolist() and made[1].tolist() == positions.tolist()


METERS = [
    {"beats_per_bar": [3, 4]},
    {"beats_per_bar": [2]},
    {"beats_per_bar": [1]},
    {"beats_per_bar": [5, 7]},
    {"beats_per_bar": [4, 3, 2]},
    {"beats_per_bar": [12]},
    {"beats_per_bar": [3, 4], "min_bpm": 55, "max_bpm": 215},
    {"beats_per_bar": [3, 4], "min_bpm": 120, "max_bpm": 400},
    {"beats_per_bar": [6], "min_bpm": 20, "max_bpm": 75.5},
    {"beats_per_bar": [4], "min_bpm": 120, "max_bpm": 120},
]


@pytest.mark.parametrize("options", METERS, ids=str)
@pytest.mark.parametrize("available", [True, False])
def test_any_meter_gives_the_beats_of_madmoms_tracker(monkeypatch, options, available):
    monkeypatch.setattr(compiled, "AVAILABLE", available and compiled.AVAILABLE)
    random = np.random.default_rng(5)
    meter = beats.Meter(**{**options, "beats_per_bar": tuple(options["beats_per_bar"])})
    for period in (20, 31.7, 50, 97.3):
        activations = np.pad(bumps(600, period, random), ((17, 30), (0, 0)))
        expected = beats_peers.track(activations, 100, 100, **{"min_bpm": 30, "max_bpm": 300, **options})
        times, positions = beats.decode(activations, 100, 100, meter=meter)
        assert len(times) > 1
        assert times.tolist() == expected[:, 0].tolist() and positions.tolist() == expected[:, 1].tolist()


@pytest.mark.parametrize(
    "meter, problem",
    [
        (beats.Meter(()), r"beats_per_bar must be positive whole numbers, 32 in total \(got \[\]\)"),
        (beats.Meter((3, 0)), "beats_per_bar"),
        (beats.Meter((30, 3)), "beats_per_bar"),
        (beats.Meter((3, 4), 0), "min_bpm must be positive and not larger than max_bpm"),
        (beats.Meter((3, 4), 100, 90), "got 100 and 90"),
        (beats.Meter((3, 4), 30, float("nan")), "min_bpm"),
        (beats.Meter((3, 4), 30, 7000), "fps must be from 116.667 to 1000"),
        (beats.Meter((3, 4), 0.5), "min_bpm must be at least 1 at 100 frames/s"),
    ],
)
def test_a_meter_that_cannot_be_decoded_is_refused(meter, problem):
    with pytest.raises(ValueError, match=problem):
        beats.decode(np.zeros((10, 2), np.float32), meter=meter)
