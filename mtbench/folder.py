"""A folder of audio as a model, for systems whose code is not available."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtbench import audio
from mtbench.stems import FOLDER, STEMS, StemSet, Suite
from mtbench.suites.folder import clip_hashes, complete_clips


class FolderModel:
    """The complete clips of a folder, in the order of their names: sample i is clip i, at the rate of its files.

    The layout is that of `stem_folder`. Raises UsageError as that does, and if no clip is complete; AudioError if the
    first file cannot be read.
    """

    stems: tuple[str, ...] = STEMS
    tasks = frozenset({"total"})

    def __init__(self, path: str, suite: Suite):
        folder = complete_clips(path)
        self.name, self._suite_rate = f"{FOLDER}{path}", suite.sample_rate
        self._clips, self.available = list(folder.clips.items()), len(folder.clips)
        _, first_files = self._clips[0]
        _, self.sample_rate = audio.info(first_files[STEMS[0]])
        contents = "".join(f"{clip}\0{content}\n" for clip, content in clip_hashes(folder.clips).items())
        self.provenance: Mapping[str, Any] = {
            "what": "a folder of audio",
            "clips": len(folder.clips),
            "incomplete": len(folder.incomplete),
            "content_sha256": hashlib.sha256(contents.encode(errors="surrogateescape")).hexdigest(),
        }

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Clips start ... start + n - 1, or fewer at the end of the folder. Raises AudioError for unreadable files."""
        for clip, files in self._clips[start : start + n]:
            waves = {stem: audio.read(files[stem]) for stem in stems}
            rates = {rate for _, rate in waves.values()}
            rate = rates.pop() if len(rates) == 1 else self._suite_rate  # a StemSet has a single rate
            yield StemSet(
                clip, {stem: audio.resample(wave, own_rate, rate) for stem, (wave, own_rate) in waves.items()}, rate
            )
