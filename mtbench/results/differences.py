"""Compare two runs score by score."""

import pandas as pd

from mtbench import stats
from mtbench.controls import CONTROLS
from mtbench.errors import UsageError
from mtbench.registry import metrics
from mtbench.results.keys import COLUMN, DIFFERENCE_COLUMNS, NAN, SETTING_NUMBERS, with_plain_keys
from mtbench.results.load import RunTables
from mtbench.results.tables import comparison_table


def difference_table(a: RunTables, b: RunTables) -> tuple[pd.DataFrame, list[str]]:
    """Return how each score of run b differs from the same score of run a (DIFFERENCE_COLUMNS), and notices.

    Scores are the same if everything in their keys except the model is equal. Models are the same if they have the same
    name. If the runs have no model in common except controls, and each has one model, these two are compared. Controls
    are not compared; `heldout`, for example, consists of the same songs in both runs.

    difference: b minus a, with its 95% interval. p_adjusted: p after Holm's correction over the models of one score.
    paired: whether sample i of one run corresponds to sample i of the other, because model and seed are the same or the
    same stems were given. verdict: ``better`` or ``worse`` by more than chance, ``changed`` if neither direction of the
    metric is better, ``equal``, ``could be chance``, or empty if it cannot be decided.
    Raises UsageError, which states what differs, if the runs have no scores that can be compared.
    """
    if a.suite_version and b.suite_version and a.suite_version != b.suite_version:
        raise UsageError(
            f"the suites of the two runs have different songs: versions {a.suite_version} and {b.suite_version}"
        )
    tables, notices = [], []
    for model_a, model_b in _pairs_of_models(a.scores, b.scores):
        table, of_pair = _differences(a, b, model_a, model_b)
        tables.append(table)
        notices += of_pair
    table = pd.concat(tables, ignore_index=True)
    if table.empty:
        raise UsageError(f"the two runs have no score in common: {_reason(a.scores, b.scores)}")
    table["p_adjusted"] = table.groupby(COLUMN, sort=False)["p"].transform(
        lambda p: pd.Series(stats.holm(p), index=p.index)
    )
    directions = {name: metric.direction for name, metric in metrics().items()}
    table["verdict"] = [
        _verdict(difference, p, directions.get(metric, 0))
        for difference, p, metric in zip(table["difference"], table["p_adjusted"], table["metric"])
    ]
    for column in SETTING_NUMBERS:
        table[column] = pd.to_numeric(table[column].replace("", NAN))
    return table[DIFFERENCE_COLUMNS], list(dict.fromkeys(notices))


def _pairs_of_models(a: pd.DataFrame, b: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of models of a and b to compare. Raises UsageError if there are none."""
    of_a, of_b = ([model for model in dict.fromkeys(scores["model"]) if model not in CONTROLS] for scores in (a, b))
    if shared := [model for model in of_a if model in of_b]:
        return [(model, model) for model in shared]
    if len(of_a) == len(of_b) == 1:
        return [(of_a[0], of_b[0])]
    raise UsageError(
        f"the two runs have no model in common: {', '.join(of_a) or 'none'} and {', '.join(of_b) or 'none'}"
    )


def _differences(a: RunTables, b: RunTables, model_a: str, model_b: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the differences of one pair of models, and notices about scores that cannot be compared."""
    scores_a, scores_b = (
        with_plain_keys(run.scores[run.scores["model"] == model]) for run, model in ((a, model_a), (b, model_b))
    )
    table = scores_a.merge(scores_b, on=COLUMN, suffixes=("_a", "_b"))
    place = {name: number for number, name in enumerate(metrics())}
    table = table.sort_values("metric", key=lambda names: names.map(place), kind="stable", ignore_index=True)
    title = model_a if model_a == model_b else f"{model_a} to {model_b}"
    notices = [
        f"{title}: {count} {'score is' if count == 1 else 'scores are'} only in the {which} run"
        for count, which in ((len(scores_a) - len(table), "first"), (len(scores_b) - len(table), "second"))
        if count
    ]
    is_set = table["metric"].map(lambda name: name in metrics() and metrics()[name].scope == "set")
    if (uneven := is_set & (table["n_a"] != table["n_b"])).any():
        notices.append(
            f"{title}: the runs have {table['n_a'].iloc[0]} and {table['n_b'].iloc[0]} clips; FAD is not compared, "
            "because it is higher with fewer clips"
        )
        table = table[~uneven]
    paired = _is_paired(a, b, model_a, model_b)
    compared = _compared(table, a, b, model_a, model_b, paired)
    table = table.merge(compared, on=COLUMN, how="left").assign(model_a=model_a, model_b=model_b)
    return table, notices


def _is_paired(a: RunTables, b: RunTables, model_a: str, model_b: str) -> bool:
    """Return whether model and seed are the same, so that samples of the same number belong together."""
    seeds = [run.record["config"].get("seed") for run in (a, b)]
    return model_a == model_b and seeds[0] is not None and seeds[0] == seeds[1]


def _compared(
    table: pd.DataFrame, a: RunTables, b: RunTables, model_a: str, model_b: str, paired: bool
) -> pd.DataFrame:
    """Return the columns COLUMN, difference, ci_low, ci_high, p and paired for each score of `table`."""
    columns = [*COLUMN, "difference", "ci_low", "ci_high", "p", "paired"]
    numbers = table[["value_b", "se_b", "n_scored_b", "value_a", "se_a", "n_scored_a"]].to_numpy(float)
    differences = pd.DataFrame(
        [stats.welch_difference(*row) for row in numbers],
        index=table.index,
        columns=["difference", "ci_low", "ci_high", "p"],
    )
    by_errors = pd.concat([table[COLUMN], differences], axis=1).assign(paired=False)[columns]
    if a.samples is not None and b.samples is not None:
        keys = set(table[COLUMN].itertuples(index=False, name=None))
        samples = [
            _of_keys(run.samples[run.samples["model"] == model], keys, name)
            for run, model, name in ((b, model_b, "b"), (a, model_a, "a"))
            if run.samples is not None
        ]
        compared = comparison_table(pd.concat(samples, ignore_index=True), paired or None)
        by_clips = with_plain_keys(compared.assign(model=""))[columns]
        # A run folder may keep the clips of some settings only; then the standard errors have to do for the others.
        return pd.concat([by_clips, by_errors]).drop_duplicates(COLUMN, ignore_index=True)
    return by_errors


def _of_keys(samples: pd.DataFrame, keys: set[tuple[object, ...]], model: str) -> pd.DataFrame:
    """Return the samples of the scores `keys`, with `model` as the name of their model.

    For a score of the track `all`, which is a mean over stems, the samples of the single stems are included.
    """
    plain = with_plain_keys(samples)
    track = COLUMN.index("track")
    over_stems = {key for key in keys if key[track] == "all"}
    is_wanted = [
        key in keys or (*key[:track], "all", *key[track + 1 :]) in over_stems
        for key in plain[COLUMN].itertuples(index=False, name=None)
    ]
    return samples.loc[is_wanted].assign(model=model)


def _verdict(difference: float, p: float, direction: int) -> str:
    if difference == 0:
        return "equal"
    if pd.isna(p) or pd.isna(difference):
        return ""
    if p >= stats.LEVEL:
        return "could be chance"
    if not direction:
        return "changed"
    return "better" if difference * direction > 0 else "worse"


def _reason(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Return why two runs have no score in common: the first column of the key in which all their values differ."""
    a, b = with_plain_keys(a), with_plain_keys(b)
    for column in COLUMN:
        of_a, of_b = set(a[column]) - {""}, set(b[column]) - {""}
        if (of_a or of_b) and not of_a & of_b:
            sides = (", ".join(sorted(map(str, side))) or "none" for side in (of_a, of_b))
            return f"their {column} differs ({' and '.join(sides)})"
    return "their settings differ"
