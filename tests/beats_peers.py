"""Parts of madmom itself, with which the tests compare mtbench.beats. Nothing else in the package runs them."""

import subprocess
import warnings
from functools import lru_cache

import numpy as np

from mtbench.beats import _madmom


@lru_cache(maxsize=8)
def hmms(fps, transition_lambda):
    """Return madmom's ``HiddenMarkovModel`` for bars of 3 and 4 beats, as in its DBNDownBeatTrackingProcessor."""
    _madmom.madmom()
    from madmom.features.beats_hmm import BarStateSpace, BarTransitionModel, RNNDownBeatTrackingObservationModel
    from madmom.ml.hmm import HiddenMarkovModel

    spaces = [BarStateSpace(beats, 60.0 * fps / 300.0, 60.0 * fps / 30.0, 60) for beats in (3, 4)]
    return [
        HiddenMarkovModel(BarTransitionModel(space, transition_lambda), RNNDownBeatTrackingObservationModel(space, 16))
        for space in spaces
    ]


def viterbi(activations, fps, transition_lambda):
    """Return (path uint32 [K], log-probability, model) of the likelier bar length."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a log probability of -inf is the expected result here
        results = [(*model.viterbi(activations), model) for model in hmms(fps, transition_lambda)]
    return results[int(np.argmax([log_probability for _, log_probability, _ in results]))]


def decode(activations, fps, transition_lambda):
    """Return (frames, positions) of the beats in activations at `fps`, as in DBNDownBeatTrackingProcessor.process."""
    above = np.nonzero(activations >= 0.05)[0]
    if not above.any():
        return np.empty(0, int), np.empty(0, int)
    first = above[0]
    activations = np.ascontiguousarray(activations[first : above[-1] + 1])
    path, _, model = viterbi(activations, fps, transition_lambda)
    beat_range = model.observation_model.pointers[path] >= 1
    edges = np.nonzero(np.diff(beat_range.astype(int)))[0] + 1
    if beat_range[0]:
        edges = np.r_[0, edges]
    if beat_range[-1]:
        edges = np.r_[edges, beat_range.size]
    beats = np.array([np.argmax(activations[left:right]) // 2 + left for left, right in edges.reshape(-1, 2)], int)
    return first + beats, model.transition_model.state_space.state_positions[path[beats]].astype(int) + 1


def track(activations, fps, transition_lambda, **options):
    """Track beats with madmom's DBNDownBeatTrackingProcessor. options: its beats_per_bar, min_bpm, max_bpm.

    Returns float64 [n, 2], times and positions.
    """
    _madmom.madmom()
    from madmom.features.downbeats import DBNDownBeatTrackingProcessor

    def results(process, arguments):  # NumPy no longer makes an array of results of different shapes by itself
        for argument in arguments:
            result = np.empty(2, object)
            result[:] = process(argument)
            yield result

    tracker = DBNDownBeatTrackingProcessor(fps=fps, transition_lambda=transition_lambda, num_threads=1, **options)
    tracker.map = results
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tracker(activations)


def processor():
    """Return a new ``RNNDownBeatProcessor``, because each caches the scale of the first samples it receives."""
    _madmom.madmom()
    from madmom.features.downbeats import RNNDownBeatProcessor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about dtypes pickled before NumPy 2.4
        return RNNDownBeatProcessor()


def features(samples_44100):
    """Compute the features with madmom's steps before the networks."""
    _madmom.madmom()
    from madmom.audio.signal import Signal

    return processor().processors[0](Signal(samples_44100, sample_rate=44100))


def activations_of_file(path):
    """Compute activations from a file, through ffmpeg if madmom needs it."""
    return processor()(str(path))


def samples_of_file(path):
    """Return the input that madmom's networks get from a file: mono at 44.1 kHz, int16 or float32."""
    _madmom.madmom()
    from madmom.audio.signal import Signal

    return np.asarray(Signal(str(path), sample_rate=44100, num_channels=1))


def ffmpeg_44100(samples, sample_rate):
    """Convert int16 [n] to 44.1 kHz with ffmpeg, with madmom's options."""
    rate = str(sample_rate)
    done = subprocess.run(
        [
            "ffmpeg",
            "-v",
            "quiet",
            "-f",
            "s16le",
            "-ac",
            "1",
            "-ar",
            rate,
            "-i",
            "pipe:0",
            "-f",
            "s16le",
            "-ac",
            "1",
            "-ar",
            "44100",
            "pipe:1",
        ],
        input=samples.astype("<i2").tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return np.frombuffer(done.stdout, "<i2")
