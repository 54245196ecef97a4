"""Check results/published.csv against the papers: sizes and sums of tables, and the errors listed in docs/published.md.

Metrics: Fréchet audio distance (FAD), inner-track rhythmic stability (IRS), cross-track beat synchronization (CBS) and
cross-track beat dispersion (CBD).
"""

import csv
import itertools
import math
import re
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from mtbench.metrics.embeddings import EMBEDDING_NAMES
from mtbench.registry import metrics
from mtbench.results.keys import KEY

ROOT = Path(__file__).resolve().parents[1]
SYNC, MT, LADA = "synctrack-iclr2026", "mt-musicldm-2024", "lada-band-2026"
SETTINGS = [
    "task",
    "given",
    "conditioning",
    "model",
    "against",
    "suite",
    "split",
    "metric",
    "track",
    "sample",
    "length",
    "fps",
    "transition_lambda",
    "window",
    "timebase",
    "embedding",
]

with open(ROOT / "results" / "published.csv", encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))
DOCS = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")

# Counted in the papers: rows, columns, cells without a number, and the sum of all numbers of a table (in SyncTrack's
# Table 3 including the spreads). Changing, losing or adding a cell changes a sum.
TABLES = {
    (SYNC, "1"): (1, 5, 0, "17.46"),
    (SYNC, "2"): (3, 4, 0, "32.727"),
    (SYNC, "3"): (3, 8, 0, "76.2"),
    (SYNC, "4"): (4, 4, 0, "0.455"),
    (SYNC, "5"): (4, 4, 0, "5.0683"),
    (SYNC, "6"): (7, 6, 1, "224.951"),
    (SYNC, "A1"): (12, 4, 0, "12.3887"),
    (SYNC, "A2"): (4, 4, 0, "4.0393"),
    (SYNC, "A3"): (45, 1, 10, "369437228"),
    (SYNC, "A4"): (5, 8, 0, "6.788"),
    (SYNC, "A5"): (4, 5, 0, "6.1059"),
    (SYNC, "A6"): (4, 8, 0, "5.1769"),
    (MT, "1"): (4, 1, 0, "10.72"),
    (MT, "2"): (2, 2, 0, "21.63"),
    (MT, "3"): (4, 14, 0, "134.95"),
    (LADA, "1"): (7, 10, 10, "1289.34"),
    (LADA, "2"): (7, 8, 0, "2841.34"),
    (LADA, "3"): (6, 3, 0, "579.32"),
}

# Read from the papers a second time, cell by cell.
SPOT = {
    (SYNC, "1"): [
        ("FAD", "MSDM", 6.55),
        ("FAD", "STEMGEN", 4.3),
        ("FAD", "JEN-1 Composer", 4.04),
        ("FAD", "MSG-LD", 1.31),
        ("FAD", "SyncTrack", 1.26),
    ],
    (SYNC, "2"): [
        ("SyncTrack", "Drum", 0.710),
        ("MSG-LD", "Guitar", 1.830),
        ("MSDM", "Bass", 6.304),
        ("MSDM", "Piano", 5.563),
    ],
    (SYNC, "3"): [
        ("Ground Truth", "Mixture 3", 4.7),
        ("SyncTrack", "Mixture 4", 3.9),
        ("MSG-LD", "Drum 2", 1.3),
        ("Ground Truth", "Guitar 1", 2.9),
        ("SyncTrack", "Guitar 2", 1.8),
    ],
    (SYNC, "4"): [
        ("Ground Truth", "Drum", 0.005),
        ("SyncTrack", "Guitar", 0.024),
        ("MSG-LD", "Bass", 0.041),
        ("MSDM", "Piano", 0.046),
    ],
    (SYNC, "5"): [
        ("CBS ↑", "MSDM", 0.4694),
        ("CBD (mean) ↓", "SyncTrack", 0.2681),
        ("CBD (std) ↓", "MSG-LD", 0.2642),
        ("CBD (median) ↓", "Ground Truth", 0.2066),
    ],
    (SYNC, "6"): [
        ("Backbone", "Piano", 6.170),
        ("Backbone w/ (a)", "Promotion", 27.67),
        ("Backbone w/ (a)+(b)", "Drum", 0.758),
        ("Backbone w/ (a)+(c)", "Mixture", 1.429),
        ("SyncTrack-alternate", "Guitar", 2.663),
        ("SyncTrack-reorder", "Bass", 0.957),
    ],
    (SYNC, "A1"): [
        ("fps@100 tl@50, CBD (std) ↓", "MSDM", 0.2370),
        ("fps@100 tl@100, CBD (mean) ↓", "MSG-LD", 0.3829),
        ("fps@150 tl@100, CBD (median) ↓", "SyncTrack", 0.2258),
        ("fps@200 tl@100, CBD (std) ↓", "MSDM", 0.2134),
        ("fps@200 tl@100, CBD (median) ↓", "Ground Truth", 0.2316),
    ],
    (SYNC, "A2"): [
        ("Slakh2100, ①", "CBD(std)", 0.0481),
        ("Slakh2100, ②", "CBS", 0.7857),
        ("Generated from baselines, ③", "CBD(median)", 0.1522),
        ("Generated from baselines, ④", "CBD(mean)", 0.3975),
    ],
    (SYNC, "A3"): [
        ("SyncTrack -", "Param #", 128_122_516),
        ("- Track-shared Module 4-18", "Param #", 23_621_120),
        ("- Track-specific Module 4-31", "Param #", 771_584),
        ("- Conv2d 4-36", "Param #", 9_224),
    ],
    (SYNC, "A4"): [
        ("MSDM", "CBD(std) ↓", 0.222),
        ("MUSDB18", "CBS ↑", 0.512),
        ("MUSDB18", "IRS(G) ↓", 0.029),
        ("Slakh2100", "IRS(D) ↓", 0.005),
    ],
    (SYNC, "A5"): [
        ("CBS ↑", "B", 0.5620),
        ("CBD(std) ↓", "BP", 0.1940),
        ("CBD(median) ↓", "BGP", 0.2304),
        ("CBD(mean) ↓", "BP", 0.2579),
    ],
    (SYNC, "A6"): [
        ("30s", "CBD ↓ mean", 0.2344),
        ("30s", "IRS ↓ Drum", 0.007),
        ("60s", "IRS ↓ Guitar", 0.0425),
        ("full-song", "CBS ↑", 0.4844),
        ("full-song", "CBD ↓ std", 0.2466),
    ],
    (MT, "1"): [
        ("MT-MusicLDM (Uncond)", "FAD ↓", 1.36),
        ("MT-MusicLDM (Audio Cond)", "FAD ↓", 1.13),
        ("MusicLDM*", "FAD ↓", 1.68),
    ],
    (MT, "2"): [
        ("Soft Music", "Target Category Soft Music", 4.32),
        ("Soft Music", "Target Category Energetic Music", 6.50),
        ("Energetic Music", "Target Category Soft Music", 6.82),
        ("Energetic Music", "Target Category Energetic Music", 3.99),
    ],
    (MT, "3"): [
        ("MSDM (Baseline), FAD Mixture [4]", "G", 0.11),
        ("MSDM (Baseline), FAD Mixture [4]", "BGP", 4.90),
        ("MT-MusicLDM, FAD Mixture [4]", "BDP", 0.89),
        ("MSDM (Baseline), FAD Standard", "BG", 6.69),
        ("MT-MusicLDM, FAD Standard", "GP", 2.53),
        ("MT-MusicLDM, FAD Standard", "DGP", 1.42),
    ],
    (LADA, "1"): [
        ("Short-form (10s), MCLite-3.7B Cont. Lat.", "Global Coherence Coh. ↑", 3.15),
        ("Long-form, ACE-Step-3.7B Cont. Lat.", "RTF ↓", 0.07),
        ("Long-form, SongEcho-3.6B Cont. Lat.", "Dynamic Orch. CLaMP ↑", 10.20),
        ("Long-form, LaDA-Band-3.0B Disc. Diff.", "Acoustic Auth. Nat. ↑", 3.69),
    ],
    (LADA, "2"): [
        ("ACE-Step-3.7B, Text (Zero-shot)", "IHP Realworld CLaMP ↑", 6.61),
        ("SongEcho-3.6B, Text (Zero-shot)", "IHP Realworld FAD ↓", 68.1),
        ("SongEcho-3.6B, Text + Lyrics", "Suno70k Academic Onset F1 ↑", 59.9),
        ("LaDA-Band-3.0B, Text (Zero-shot)", "IHP Realworld HPCP Sim. ↑", 94.8),
    ],
    (LADA, "3"): [
        ("w/o NAR (AR decoding)", "FAD", 26.1),
        ("w/o Dual-track (Single-stream)", "Onset F1", 28.7),
        ("w/o RTD Loss", "CLaMP", 16.71),
    ],
}

DIRECTIONS = {name: metric.direction for name, metric in metrics().items()} | {
    "rating_5pt": 1,
    "rating_3pt": 1,
    "rating_5pt_spread": 0,
    "rating_3pt_spread": 0,
    "fad_reduction": 1,
    "cbs_increase": 1,
    "cbd_mean_reduction": 1,
    "parameters": 0,
    "parameters_trainable": 0,
    "parameters_frozen": 0,
    "clarity": 1,
    "naturalness": 1,
    "coherence": 1,
    "musicality": 1,
    "memorability": 1,
    "onset_f1": 1,
    "hpcp_similarity": 1,
    "clamp": 1,
    "rtf": -1,
}


def cell(paper: str, table: str, row: str, column: str) -> dict[str, str]:
    """Return the cell with the printed labels; for a rating, the row of its mean."""
    (found,) = (
        r
        for r in ROWS
        if (r["paper"], r["table"], r["row"], r["column"]) == (paper, table, row, column)
        and not r["metric"].endswith("_spread")
    )
    return found


def number(paper: str, table: str, row: str, column: str) -> float:
    return float(cell(paper, table, row, column)["value"])


def half_unit(printed: str) -> float:
    """Return half a unit of the last printed digit."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def test_every_table_is_complete():
    cells = defaultdict(dict)
    for row in ROWS:
        if row["table"]:
            cells[row["paper"], row["table"]][row["row"], row["column"]] = row
    assert cells.keys() == TABLES.keys()
    sums = defaultdict(Decimal)
    for row in ROWS:
        if row["table"] and row["value"]:
            sums[row["paper"], row["table"]] += Decimal(row["value"])
    counted = {}
    for table, held in cells.items():
        rows, columns = (len({labels[i] for labels in held}) for i in (0, 1))
        assert len(held) == rows * columns, table
        counted[table] = rows, columns, sum(row["value"] == "" for row in held.values()), str(sums[table])
    assert counted == TABLES
    values = Counter((row["paper"], row["table"]) for row in ROWS)
    # Only Table 3 has two numbers per cell, a mean and a spread.
    more = {table: n for table, n in values.items() if table[1] and n != math.prod(TABLES[table][:2])}
    assert more == {(SYNC, "3"): 48}


@pytest.mark.parametrize("table", TABLES, ids="-".join)
def test_spot_values(table):
    assert len(SPOT[table]) >= 3
    assert {(row, column): number(*table, row, column) for row, column, _ in SPOT[table]} == {
        (row, column): value for row, column, value in SPOT[table]
    }


def test_values_match_the_printed_numbers():
    for row in ROWS:
        shown = row["printed"]
        if row["value"] == "":
            assert shown in ("-", "OOM") and f"printed as {shown}" in row["notes"]
            continue
        assert math.isfinite(float(row["value"])) and re.fullmatch(r"\d+(\.\d+)?", row["value"])
        mean, _, spread = shown.partition("±")
        taken = spread if row["metric"].endswith("_spread") else mean
        assert taken.replace(",", "").rstrip("%M") == row["value"]
        assert shown.endswith("%") == (row["kind"] == "derived" and row["unit"] == "%")


def test_every_number_has_a_unique_place():
    assert {row["paper"] for row in ROWS} == {SYNC, MT, LADA}
    for row in ROWS:
        assert bool(row["table"]) != bool(row["section"]) and row["row"] and row["column"] and row["printed"]
    twice = Counter((r["paper"], r["table"], r["section"], r["row"], r["column"], r["metric"]) for r in ROWS)
    assert max(twice.values()) == 1


def test_metrics_have_a_known_direction():
    assert {row["metric"] for row in ROWS} <= DIRECTIONS.keys()
    for row in ROWS:
        assert int(row["direction"]) == DIRECTIONS[row["metric"]]
        for arrow, direction in (("↑", 1), ("↓", -1)):
            if arrow in row["row"] + row["column"]:
                assert int(row["direction"]) == direction


def test_settings_are_those_of_the_score_key():
    assert set(ROWS[0]) == {
        "paper",
        "table",
        "section",
        "row",
        "column",
        "printed",
        "value",
        "unit",
        "kind",
        "direction",
        "repeats",
        "source",
        "assumed",
        "notes",
        *SETTINGS,
    }
    assert set(KEY) - set(ROWS[0]) == {"reference", "version"}  # a paper has neither
    for row in ROWS:
        rhythm = row["metric"].startswith(("irs", "cbs", "cbd"))
        assert row["timebase"] == ("published" if rhythm else "")
        assert bool(row["fps"]) == bool(row["transition_lambda"]) == rhythm
        assert bool(row["window"]) == row["metric"].startswith("cbs")
        assert row["embedding"] in ("", "clap", *EMBEDDING_NAMES)
        assert row["embedding"] == "" or row["metric"].startswith("fad")
        assert row["kind"] in ("objective", "subjective", "derived", "size")
        for column in row["assumed"].split():
            assert row[column] != "", row
        for column in ("fps", "transition_lambda", "window"):
            assert row[column] == "" or float(row[column]) > 0
        if row["metric"] in metrics() and row["unit"]:
            assert row["unit"] == metrics()[row["metric"]].unit
        stems = {"bass", "drums", "guitar", "piano"}
        if row["task"] == "arrangement":
            assert stems > set(row["given"].split("+"))
            made = set(row["track"].split("+"))
            assert made in ({"all"}, {"mixture"}) or made == stems - set(row["given"].split("+"))


def test_no_score_is_listed_twice():
    keys = Counter(
        (row["paper"], *(row[column] for column in SETTINGS))
        for row in ROWS
        if not row["repeats"] and row["value"] and row["printed"] not in WRONG  # WRONG repeats Table 6
    )
    assert {key: n for key, n in keys.items() if n > 1} == {}


def test_the_selection_for_a_board_has_one_value_per_key():
    """The selection for a leaderboard is defined in docs/published.md."""
    shown = [
        row
        for row in ROWS
        if row["kind"] == "objective"
        and row["suite"] == "slakh2100/test"
        and row["length"] == "10.24"
        and not (row["repeats"] or row["conditioning"] or row["sample"] or row["source"])
    ]
    keys = Counter((row["paper"], *(row[column] for column in KEY if column in row)) for row in shown)
    assert set(keys.values()) == {1}
    assert {row["metric"] for row in shown} == {"fad", "irs", "cbs", "cbd_mean", "cbd_std", "cbd_median"}
    assert {row["model"] for row in shown if not row["model"].startswith("synctrack")} == {
        "ground-truth",
        "msdm",
        "msg-ld",
        "mt-musicldm",
    }
    # FAD: SyncTrack's Tables 1 (3), 2 (12), 6 (30) and MT-MusicLDM's 1 (2), 3 (56). IRS: 4 (16). CBS: 5 (4), A5 (3).
    # CBD: 5 (12), A1 without fps 150 (36), A5 (9).
    assert Counter(row["metric"].partition("_")[0] for row in shown) == {"fad": 103, "irs": 16, "cbs": 7, "cbd": 57}


# Values repeated with a difference. {(paper, table or section, row, column): (printed, printed in the first place)}.
OTHERWISE = {
    (LADA, "2", "LaDA-Band-3.0B, Text + Ref.", "Suno70k Academic CLaMP ↑"): ("14.8", "22.70"),
    (LADA, "2", "LaDA-Band-3.0B, Text + Ref.", "Suno70k Academic FAD ↓"): ("22.7", "14.80"),
    (LADA, "5.5", "LaDA-Band", "With a real-time factor (RTF) of 0.12"): ("0.12", "0.26"),
}


def test_repeated_values_agree():
    found, n = {}, 0
    for row in ROWS:
        if not row["repeats"]:
            continue
        n += 1
        (first,) = (
            r
            for r in ROWS
            if (r["paper"], r["table"]) == (row["paper"], row["repeats"])
            and all(r[column] == row[column] for column in SETTINGS)
        )
        coarse = max(half_unit(row["value"]), half_unit(first["value"]))
        if abs(float(row["value"]) - float(first["value"])) > coarse * (1 + 1e-9):
            place = row["paper"], row["table"] or row["section"], row["row"], row["column"]
            found[place] = row["printed"], first["printed"]
    assert found == OTHERWISE
    # Tables 6 (5), A1 (12), A4 (32), A5 (8), A6 (8), MT none, LaDA 2 (12) and 3 (3); in running text 2 + 5, 2 + 4, 1.
    assert n == 5 + 12 + 32 + 8 + 8 + 12 + 3 + 7 + 6 + 1


def lower(before, after):
    return 100 * (before - after) / before


def higher(before, after):
    return 100 * (after - before) / before


def mean(*values):
    return sum(values) / len(values)


def from_table(table, *cells):
    return [(SYNC, table, row, column) for row, column in cells]


def against_mixture(variant):
    return from_table("6", (variant, "Mixture"), ("SyncTrack", "Mixture"))


# {(table or section, row): (function, cells)}. All are from SyncTrack; the other two papers derive nothing.
DERIVED = {
    **{
        ("5.2", f"SyncTrack over {name}"): (lower, from_table("1", ("FAD", name), ("FAD", "SyncTrack")))
        for name in ("STEMGEN", "JEN-1 Composer", "MSG-LD")
    },
    **{
        ("5.2", f"SyncTrack over MSG-LD, {stem.lower()}"): (
            lower,
            from_table("2", ("MSG-LD", stem), ("SyncTrack", stem)),
        )
        for stem in ("Bass", "Drum", "Guitar", "Piano")
    },
    **{
        ("5.2", name): (mean, from_table("3", *((row, f"Mixture {i}") for i in (1, 2, 3, 4))))
        for name, row in (("Ground truth", "Ground Truth"), ("MSG-LD", "MSG-LD"), ("SyncTrack", "SyncTrack"))
    },
    ("5.3", "SyncTrack over MSG-LD", "CBS"): (higher, from_table("5", ("CBS ↑", "MSG-LD"), ("CBS ↑", "SyncTrack"))),
    ("5.3", "SyncTrack over MSG-LD", "CBD"): (
        lower,
        from_table("5", ("CBD (mean) ↓", "MSG-LD"), ("CBD (mean) ↓", "SyncTrack")),
    ),
    **{
        ("6", variant): (lower, against_mixture(variant))
        for variant in (
            "Backbone",
            "Backbone w/ (a)",
            "Backbone w/ (a)+(b)",
            "Backbone w/ (a)+(c)",
            "SyncTrack-alternate",
            "SyncTrack-reorder",
        )
    },
    ("5.4", "SyncTrack over Backbone"): (lower, against_mixture("Backbone")),
    ("5.4", "SyncTrack over Backbone w/ (a)+(c), the least"): (lower, against_mixture("Backbone w/ (a)+(c)")),
    ("5.4", "SyncTrack over Backbone w/ (a), the most"): (lower, against_mixture("Backbone w/ (a)")),
    ("5.4", "Backbone w/ (a) over Backbone, guitar, the least"): (
        lower,
        from_table("6", ("Backbone", "Guitar"), ("Backbone w/ (a)", "Guitar")),
    ),
    ("5.4", "Backbone w/ (a) over Backbone, bass, the most"): (
        lower,
        from_table("6", ("Backbone", "Bass"), ("Backbone w/ (a)", "Bass")),
    ),
    ("5.4", "Backbone w/ (a)+(b) over Backbone w/ (a), drums, the least"): (
        lower,
        from_table("6", ("Backbone w/ (a)", "Drum"), ("Backbone w/ (a)+(b)", "Drum")),
    ),
    ("5.4", "Backbone w/ (a)+(b) over Backbone w/ (a), bass, the most"): (
        lower,
        from_table("6", ("Backbone w/ (a)", "Bass"), ("Backbone w/ (a)+(b)", "Bass")),
    ),
    ("5.4", "Backbone w/ (a)+(c) over Backbone w/ (a)"): (
        lower,
        from_table("6", ("Backbone w/ (a)", "Mixture"), ("Backbone w/ (a)+(c)", "Mixture")),
    ),
}

# {printed: computed from the values, with as many digits}.
WRONG = {"50%": "51%", "11%": "12%", "27%": "28%"}
# The same, where the difference can be explained by rounding of the printed values.
ROUNDED_INPUTS = {"4.48": "4.50", "56.18%": "56.19%"}


def derived_row(place: str, row: str, word: str = "") -> dict[str, str]:
    (found,) = (
        r
        for r in ROWS
        if r["kind"] == "derived"
        and r["value"]
        and place in (r["table"], r["section"])
        and r["row"] == row
        and word in r["column"]
    )
    return found


def test_derived_figures_follow_from_the_tables():
    wrong, rounded, seen = {}, {}, []
    for place, (of, addresses) in DERIVED.items():
        row = derived_row(*place)
        seen.append(id(row))
        inputs = [cell(*address) for address in addresses]
        value = of(*(float(r["value"]) for r in inputs))
        printed, margin = float(row["value"]), half_unit(row["value"]) * (1 + 1e-9)
        digits = len(row["value"].partition(".")[2])
        shown = f"{value:.{digits}f}" + row["unit"] * (row["unit"] == "%")
        # Each of these functions is monotone in each value, so its values at the corners bound it.
        corners = [
            of(*corner)
            for corner in itertools.product(
                *(
                    (float(r["value"]) - half_unit(r["value"]), float(r["value"]) + half_unit(r["value"]))
                    for r in inputs
                )
            )
        ]
        if abs(value - printed) <= margin:
            continue
        within = min(corners) - margin <= printed <= max(corners) + margin
        (rounded if within else wrong)[row["printed"]] = shown
    assert (wrong, rounded) == (WRONG, ROUNDED_INPUTS)
    # All rows marked as derived are checked here, except the two sums of Table A3 (below) and a dash.
    flagged = [id(row) for row in ROWS if row["kind"] == "derived" and row["value"] and row["section"] != "A.5"]
    assert sorted(seen) == sorted(flagged)


def test_ranges_span_the_smallest_to_the_largest_value():
    def gains(before, after, columns=("Bass", "Drum", "Guitar", "Piano")):
        return {c: lower(number(SYNC, "6", before, c), number(SYNC, "6", after, c)) for c in columns}

    def ends(values):
        return min(values, key=values.get), max(values, key=values.get)

    assert ends(gains("Backbone", "Backbone w/ (a)")) == ("Guitar", "Bass")
    assert ends(gains("Backbone w/ (a)", "Backbone w/ (a)+(b)")) == ("Drum", "Bass")
    promotions = {v: number(SYNC, "6", v, "Promotion") for place, v, *_ in DERIVED if place == "6" and v != "Backbone"}
    assert ends(promotions) == ("Backbone w/ (a)+(c)", "Backbone w/ (a)")


def test_the_only_scores_printed_only_in_running_text():
    """SyncTrack's Appendix A.4 states the IRS of two ground-truth tracks and of two tracks of a baseline."""
    held = [row for row in ROWS if row["section"] and row["kind"] == "objective" and not row["repeats"]]
    assert {(row["paper"], row["section"], row["metric"]) for row in held} == {(SYNC, "A.4", "irs")}
    assert [row["printed"] for row in held] == ["0.0049", "0.0051", "0.1859", "0.1494"]


def test_table_a3_sums_to_the_sizes_in_the_text():
    counts = [int(row["value"]) for row in ROWS if row["metric"] == "parameters" and row["value"]]
    frozen = number(SYNC, "A3", "SyncTrack -", "Param #") + number(SYNC, "A3", "- UNetModel 2-1", "Param #")
    stated = {row["metric"]: row["printed"] for row in ROWS if row["section"] == "A.5"}
    assert stated == {
        "parameters_trainable": f"{(sum(counts) - frozen) / 1e6:.0f}M",
        "parameters_frozen": f"{frozen / 1e6:.0f}M",
    }
    assert (sum(counts), frozen) == (369_437_228, 128_122_532)


def test_claims_that_the_tables_contradict():
    """Each of these claims is listed in docs/published.md."""
    assert {row["column"] for row in ROWS if (row["paper"], row["table"]) == (SYNC, "3")} == {
        *(f"Mixture {i}" for i in (1, 2, 3, 4)),
        "Drum 1",
        "Drum 2",
        "Guitar 1",
        "Guitar 2",
    }  # "drums and piano"

    row = "fps@200 tl@100, CBD (std) ↓"  # "the relative ranking of models remains stable"
    assert number(SYNC, "A1", row, "MSDM") < number(SYNC, "A1", row, "SyncTrack")
    row = "fps@150 tl@100, CBD (std) ↓"
    assert number(SYNC, "A1", row, "SyncTrack") < number(SYNC, "A1", row, "MSDM")

    for stem in ("Drum", "Guitar"):  # "lower IRS is consistently associated with lower FAD"
        assert number(SYNC, "4", "MSDM", stem) < number(SYNC, "4", "MSG-LD", stem)
        assert number(SYNC, "2", "MSDM", stem) > number(SYNC, "2", "MSG-LD", stem)

    # "real world music still outperforms generated music", and is "slightly lower" than Slakh2100
    assert number(SYNC, "A4", "MUSDB18", "CBS ↑") < number(SYNC, "A4", "SyncTrack", "CBS ↑")
    assert number(SYNC, "A4", "MUSDB18", "IRS(G) ↓") > number(SYNC, "A4", "SyncTrack", "IRS(G) ↓")
    assert number(SYNC, "A4", "MUSDB18", "IRS(P) ↓") == number(SYNC, "A4", "Slakh2100", "IRS(P) ↓")

    def is_rising(values):  # "conform to this ordering"
        return values == sorted(values)

    made = {
        row: [number(SYNC, "A5", row, column) for column in ("B", "BP", "BGP", "BDGP")]
        for row in ("CBS ↑", "CBD(mean) ↓", "CBD(std) ↓", "CBD(median) ↓")
    }
    assert [row for row, values in made.items() if not is_rising(values if "↓" in row else values[::-1])] == [
        "CBD(mean) ↓",
        "CBD(median) ↓",
    ]
    long = {
        column: [number(SYNC, "A6", row, column) for row in ("10s", "30s", "60s", "full-song")]
        for column in ("CBS ↑", "CBD ↓ mean", "CBD ↓ std", "CBD ↓ median")
    }
    assert [column for column, values in long.items() if not is_rising(values if "↓" in column else values[::-1])] == [
        "CBD ↓ mean",
        "CBD ↓ median",
    ]

    def typical(made, protocol):
        return f"{mean(*(number(MT, '3', f'MT-MusicLDM, FAD {protocol}', stems) for stems in made)):.2f}"

    given, not_given = (
        ["B", "G", "P", "BG", "BP", "GP", "BGP"],
        ["D", "BD", "DG", "DP", "BDG", "BDP", "DGP"],
    )  # the drums: "higher FAD scores"
    assert (typical(not_given, "Mixture [4]"), typical(given, "Mixture [4]")) == ("1.06", "0.59")
    assert (typical(not_given, "Standard"), typical(given, "Standard")) == ("1.18", "1.92")

    column = "IHP Realworld HPCP Sim. ↑"  # "comprehensively outperform"
    assert number(LADA, "2", "LaDA-Band-3.0B, Text (Zero-shot)", column) == 94.8
    assert number(LADA, "2", "SongEcho-3.6B, Text + Ref. + Lyrics", column) == 95.8


def test_the_docs_list_every_column_and_every_error():
    for column in ROWS[0]:
        assert f"| `{column}` |" in DOCS, column
    for metric in {row["metric"] for row in ROWS} - metrics().keys():
        assert f"`{metric}`" in DOCS, metric
    listed = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", DOCS.split("## Errors found")[1], re.MULTILINE)
    listed = [pair for pair in listed if pair[0] not in ("printed", "---")]
    assert Counter(listed) == Counter([*WRONG.items(), *ROUNDED_INPUTS.items(), *OTHERWISE.values()])
