"""The model ``folder:PATH``: a folder of audio, for systems whose code is not available."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtbench import audio
from mtbench.stems import FOLDER, StemSet, Suite, optional_stems, with_silence
from mtbench.suites.folder import clip_hashes, complete_clips, stem_folder, with_clips


class FolderModel:
    """The complete clips of a folder, in the order of `layouts.in_order`, at the sample rate of its files.

    Its stems are those of the suite if the folder has all of them, and otherwise those that it has. Raises UsageError
    like `complete_clips`, and AudioError if the first file cannot be read. notices: how the folder was read.
    """

    tasks = frozenset({"total"})

    def __init__(self, path: str, suite: Suite):
        optional = optional_stems(suite)
        folder = stem_folder(path, suite.stems)
        if all(stem in folder.found or stem in optional for stem in suite.stems):
            folder = complete_clips(path, [stem for stem in suite.stems if stem in folder.found], True, optional)
        else:
            folder = with_clips(folder)
        self.name, self._suite_rate = f"{FOLDER}{path}", suite.sample_rate
        of_suite = (stem for stem in suite.stems if stem in folder.stems or stem in optional)
        self.stems = tuple(dict.fromkeys((*of_suite, *folder.stems)))
        self._optional = optional
        self.notices = [notice for notice in (folder.in_words, folder.left_out) if notice]
        self._clips, self.available = list(folder.clips.items()), len(folder.clips)
        _, first_files = self._clips[0]
        _, self.sample_rate = audio.info(next(iter(first_files.values())))
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
        """Yield clips start ... start + n - 1, or fewer if the folder ends before that.

        Raises AudioError for unreadable files.
        """
        for clip, files in self._clips[start : start + n]:
            read = {stem: audio.read_measured(files[stem]) for stem in stems if stem in files}
            rates = {rate for _, rate, _ in read.values()}
            rate = rates.pop() if len(rates) == 1 else self._suite_rate  # all stems of a StemSet share one rate
            waves = {}
            for stem, (wave, own_rate, _) in read.items():
                with audio.of_file(files[stem]):
                    waves[stem] = audio.resample(wave, own_rate, rate)
            cancelled = [stem for stem, (_, _, levels) in read.items() if levels.cancelled]
            yield with_silence(StemSet(clip, waves, rate, cancelled), stems, self._optional)
