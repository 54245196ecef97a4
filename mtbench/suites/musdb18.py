"""MUSDB18 and MUSDB18-HQ (Rafii et al., 2017 and 2019): songs with the stems vocals, drums, bass and other.

The two contain the same 150 songs; MUSDB18 is compressed with AAC, MUSDB18-HQ is not. The split ``test`` is the one
that is distributed; ``validation`` has the 14 songs of the distributed ``train`` that the authors' package musdb takes
for validation, and ``train`` has the other 86. The folders are those of ``mtbench prepare musdb18`` and ``musdb18-hq``.
"""

from mtbench.stems import CLIPS_IN_WORDS
from mtbench.suites.tracks import DataSet, family

STEMS = ("bass", "drums", "other", "vocals")
# validation_tracks in musdb/configs/mus.yaml of https://github.com/sigsep/sigsep-mus-db.
VALIDATION = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)


def _data(name: str, what: str) -> DataSet:
    return DataSet(
        name,
        name,
        {stem: [stem] for stem in STEMS},
        what=f"{what}: bass, drums, other and vocals, {CLIPS_IN_WORDS}",
        remedy=f"Prepare it with 'mtbench prepare {name} FOLDER'. MTBENCH_DATA is the folder that contains {name}/",
        version="1",
    )


FAMILY = family([_data("musdb18", "MUSDB18")])
HQ = family([_data("musdb18-hq", "MUSDB18-HQ")])
