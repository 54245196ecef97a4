"""A folder of audio as a model: all there is of a system whose code is not to be had."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import STEMS, StemSet, Suite
from mtbench.suites.folder import clip_hashes, stem_folder


class FolderModel:
    """The complete clips of a folder, in the order of their names: sample i is clip i, at the rate of its files.

    The layout is that of `stem_folder`, which says what it raises. UsageError, too, if no clip is complete.
    """

    stems, tasks = STEMS, frozenset({"total"})

    def __init__(self, path: str, suite: Suite):
        found = stem_folder(path)
        if not found.clips:
            raise UsageError(f"{path}: no clip has all of {', '.join(STEMS)}")
        self.name, self._suite_rate = f"folder:{path}", suite.sample_rate
        self._clips, self.available = list(found.clips.items()), len(found.clips)
        _, self.sample_rate = audio.info(found.clips[self._clips[0][0]][STEMS[0]])
        content = "".join(f"{clip}\0{content}\n" for clip, content in clip_hashes(found.clips).items())
        self.provenance: Mapping[str, Any] = {
            "what": "a folder of audio",
            "clips": len(found.clips),
            "incomplete": len(found.incomplete),
            "content_sha256": hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest(),
        }

    def generate(self, n: int, stems: Sequence[str], *, given=None, seed: int = 0, start: int = 0) -> Iterator[StemSet]:
        for clip, files in self._clips[start : start + n]:
            read = {stem: audio.read(files[stem]) for stem in stems}
            rates = {rate for _, rate in read.values()}
            rate = rates.pop() if len(rates) == 1 else self._suite_rate  # a StemSet has one
            yield StemSet(clip, {stem: audio.resample(wave, its, rate) for stem, (wave, its) in read.items()}, rate)
