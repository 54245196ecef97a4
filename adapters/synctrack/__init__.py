"""SyncTrack: multi-track music generation with track-shared and track-specific modules."""

from synctrack.network import SyncTrackConfig, SyncTrackUNet

__all__ = ["SyncTrackConfig", "SyncTrackUNet"]
