"""MoisesDB (Pereira et al., "MoisesDB: A Dataset for Source Separation Beyond 4-Stems", ISMIR 2023).

``moisesdb`` has the eleven stems of its own taxonomy, all of them optional, since no song has all. ``moisesdb-4`` has
vocals, bass, drums and other, which is the sum of the other eight, like ``mix_4_stems`` of the authors' package. The
data set is distributed without splits; those here are mtbench's own, by a hash of the song's ID. The folder is that of
``mtbench prepare moisesdb``.
"""

from dataclasses import replace

from mtbench.stems import CLIPS_IN_WORDS
from mtbench.suites.tracks import DataSet, family

STEMS = (
    "bass", "bowed_strings", "drums", "guitar", "other", "other_keys", "other_plucked", "percussion", "piano", "vocals",
    "wind",
)  # fmt: skip
ALONE = ("bass", "drums", "vocals")  # of the four stems, those that are not a sum

ALL = DataSet(
    "moisesdb",
    "moisesdb",
    {stem: [stem] for stem in STEMS},
    what=f"MoisesDB: eleven stems, {CLIPS_IN_WORDS}",
    remedy="Prepare it with 'mtbench prepare moisesdb FOLDER'. MTBENCH_DATA is the folder that contains moisesdb/",
    version="1",
    optional=STEMS,
)
FOUR = replace(
    ALL,
    name="moisesdb-4",
    stems={stem: [stem] for stem in ALONE} | {"other": [stem for stem in STEMS if stem not in ALONE]},
    what=f"MoisesDB: bass, drums, vocals and other, {CLIPS_IN_WORDS}",
    optional=(*ALONE, "other"),
)

FAMILY = family([ALL])
FAMILY_OF_FOUR = family([FOUR])
