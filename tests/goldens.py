"""Results of the SyncTrack release's metric scripts and of madmom 0.16.1 for 46 clips (see data/README.md)."""

import gzip
import json
from pathlib import Path

import numpy as np

METRICS_DATA = Path(__file__).parent / "data" / "metrics"
GOLDENS = json.loads(gzip.decompress((METRICS_DATA / "goldens.json.gz").read_bytes()))

DECODINGS = [(fps, transition_lambda) for fps in (100, 150, 200) for transition_lambda in (10, 50, 100)]
# The release divides frames by the decoder's fps; true_seconds divides them by 100, the rate of the activations.
SETTINGS = [f"fps{fps}_tl{transition_lambda}" for fps, transition_lambda in DECODINGS]
SETTINGS += ["fps150_tl100_true_seconds", "fps200_tl100_true_seconds"]


def seconds(setting: str, clip: str) -> list[np.ndarray]:
    """Return the beats of a clip's four stems."""
    frames_of = setting.removesuffix("_true_seconds")
    fps = 100 if frames_of != setting else int(setting[3:6])
    return [np.array(frames) / fps for frames in GOLDENS["beats"][frames_of][clip]]
