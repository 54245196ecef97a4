"""The error for audio that cannot be scored."""

from mtbench.errors import MtbenchError


class AudioError(MtbenchError):
    """Audio that cannot be scored: unreadable, truncated, empty, non-finite, or at a rate that cannot be resampled."""
