"""Reference sets: the songs that models are measured against.

``band`` is embedded and needs nothing; ``slakh2100/<split>`` reads the data set from disk; ``folder:PATH`` is
anybody's audio. A suite gives its songs as StemSets at its own sample rate and duration: 10.24 s, and with ``/30s`` or
``/60s`` at the end of the first two names three or six times that, 30.72 and 61.44 s.
"""

from functools import partial

from mtbench.errors import UsageError, unknown_name
from mtbench.stems import LENGTHS, N_SAMPLES, SAMPLE_RATE, Suite


def open_suite(name: str) -> Suite:
    """The suite of this name. Raises UsageError for an unknown name, or if its files are not where they should be."""
    from mtbench.suites.band.suite import Band  # these import what is above
    from mtbench.suites.folder import Folder
    from mtbench.suites.slakh2100 import SPLITS, Slakh2100

    kind, _, rest = name.partition(":")
    if kind == "folder" and rest:
        return Folder(rest)
    of_any_length = {"band": Band} | {f"slakh2100/{split}": partial(Slakh2100, split) for split in SPLITS}
    known = {base + length: partial(make, length) for base, make in of_any_length.items() for length in LENGTHS}
    base, _, length = name.rpartition("/")
    if name not in known and base in of_any_length:
        raise UsageError(
            f"suite '{base}' has no clips of the length '{length}'; there are "
            + ", ".join(f"{base}{end} ({n * N_SAMPLES / SAMPLE_RATE:g} s)" for end, n in LENGTHS.items())
        )
    if name not in known:
        raise unknown_name("suite", name, [*known, "folder:PATH"])
    return known[name]()


def describe() -> list[tuple[str, str, str]]:
    """(name, what it is, where it is or what to do about it) of every suite, for `mtbench suites` and `doctor`."""
    from mtbench.suites import slakh2100

    clips = "10.24 s at 16 kHz; with /30s or /60s behind the name 30.72 or 61.44 s"
    rows = [("band", f"songs composed and rendered by mtbench itself, {clips}", "embedded")]
    for split in slakh2100.SPLITS:
        folder = slakh2100.data_folder() / split
        where = str(folder) if folder.is_dir() else f"not here: put it at {folder}, or set MTBENCH_DATA"
        rows.append(
            (f"slakh2100/{split}", f"Slakh2100: bass, drums, guitar and piano, as cut for MSDM, {clips}", where)
        )
    rows.append(("folder:PATH", "your own audio: a subfolder a stem, the same file names in each", "any folder"))
    return rows
