import numpy as np
import pytest

from mtbench.metrics.metrical_level import metrical_agreement


def test_pairs_at_one_tempo_are_counted():
    # 120, 118 and 60 BPM: one pair of three agrees. A track with a single beat has no tempo.
    tracks = {"a": np.arange(20) * 0.5, "b": np.arange(20) * 60 / 118, "c": np.arange(10) * 1.0, "d": [3.0]}
    assert metrical_agreement(tracks, 10.0) == pytest.approx(1 / 3)
    assert metrical_agreement({"a": tracks["a"], "b": tracks["b"]}, 10.0) == 1.0
    assert np.isnan(metrical_agreement({"a": tracks["a"], "d": tracks["d"]}, 10.0))
