"""Tidy scores: one row per (run, language, item, metric) with its contribution (num, den) to the metric.

Columns: condition (``none`` is the baseline; several intermediate tasks are joined by ``+``), target, group, seed
(-1 where there is none: the baseline is then a fixed checkpoint, any other condition one run of unknown seed), lang,
item_id, cluster_id, hops (0 or empty where unknown), metric, num, den. Optional columns: main (the metric that stands
for the target), chance (of the metric, 0 to 1), checkpoint (digest or name of the evaluated weights), parent (the
intermediate checkpoint that it was trained from), phase (``target`` after training on the target), constant (true
where all predictions of the run in this language are the same), collapsed (why the checkpoint's training taught
nothing), limit (so many first items were evaluated; empty for all); and of items, empty where unknown: category (the
data set's own word for the sort of question), length (of the input, in any unit), overlap (share of the question's
words that the text around the answer has), overlap_rank (of the answer's sentence among all, by overlap with the
question). Further columns are ignored.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xeval.conditions import BASELINE, DIAGNOSTIC, GROUPS, MEAN, NO_SEED
from xeval.errors import DataError, UsageError
from xeval.files import is_regular

TEXT = ("condition", "target", "group", "lang", "item_id", "cluster_id", "metric")
NUMBERS = ("seed", "hops", "num", "den")
OPTIONAL_TEXT = ("checkpoint", "parent", "phase", "collapsed")
ITEM_NUMBERS = ("length", "overlap", "overlap_rank")
UNKNOWN_HOPS = 0
MARKED, UNMARKED = ("true", "1", "1.0"), ("false", "0", "0.0", "")
"""What stands in a column of true and false, in small letters."""
KEY = ("target", "metric", "condition", "seed", "lang", "item_id")
ROUNDING = 1e-6
LARGEST_SEED = 2**53
"""Larger whole numbers are not exact in the files that scores come from."""

Incomplete = Literal["refuse", "drop"]


def load(
    path: Path,
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    main_only: bool = False,
) -> pd.DataFrame:
    """Tidy scores from a store (a directory), a ``.parquet`` file or a ``.csv`` file, not yet checked.

    Args:
        limit, settings, main_only: which units and rows of a store, see :func:`xeval.store.read_scores`.

    Raises:
        StoreError: the store is not whole.
        UsageError: the path does not exist or has another ending, or no unit has such settings.
        DataError: the file cannot be read.
    """
    if path.is_dir():
        from xeval.store import read_scores

        return read_scores(path, limit, settings, main_only=main_only)
    if not path.exists():
        raise UsageError(
            f"{path}: no such file or directory; give a store, a .csv or a .parquet file of scores."
        )
    if not is_regular(path):
        raise DataError(f"{path}: is no file that can be read; give a .csv or a .parquet file of scores.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            # No automatic missing values: "none" is the baseline, "nan" a language code.
            return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as scores ({' '.join(str(error).split())}).") from error
    raise UsageError(
        f"{path}: ends in {path.suffix or 'nothing'!r}; give a store, a .csv or a .parquet file, or results of "
        "lm-evaluation-harness, EuroEval or mteb."
    )


def check(
    frame: pd.DataFrame, *, incomplete: Incomplete = "refuse", baseline: str = BASELINE
) -> pd.DataFrame:
    """The same rows, typed, in canonical order, and fit for analysis.

    Args:
        frame: tidy scores.
        incomplete: what to do with runs that lack a language, and with seeds or conditions that a target lacks while
            another target has them. ``drop`` removes incomplete runs and keeps what is left, unbalanced;
            conditions that lack a target of a group then take no part in that group's means.
        baseline: the condition that every target must have.

    Raises:
        DataError: naming the first offending cell.
    """
    if "group" in frame.columns and (diagnostic := frame["group"] == DIAGNOSTIC).any():
        frame = frame[~diagnostic]
    frame = _typed(frame)
    _check_values(frame, baseline)
    _check_limit(frame)
    frame = _in_order(frame)
    _check_keys(frame)
    if incomplete == "drop":
        frame = _drop_partial_runs(frame, baseline)
    _check_items(frame)
    _check_grid(frame, baseline, whole=incomplete == "refuse")
    _check_checkpoints(frame)
    return frame


def main_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each target's main metric.

    Raises:
        DataError: a target has several metrics and not exactly one of them is marked in ``main``.
    """
    pairs = distinct(frame, ["target", "metric", "main"])
    for target, rows in pairs.groupby("target", observed=True):
        marked = sorted(rows.loc[rows["main"], "metric"])
        if len(marked) != 1:
            names = ", ".join(marked or sorted(rows["metric"]))
            raise DataError(
                f"target {target!r} has {'several main metrics' if marked else 'no main metric'} ({names}); "
                "mark exactly one metric per target in the column `main`."
            )
    return frame if frame["main"].all() else frame[frame["main"]].reset_index(drop=True)


def distinct(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The different rows of some columns, each where it first stands; takes less memory than ``drop_duplicates``."""
    numbers = _numbers(frame, names)
    if numbers is None:
        return frame[list(names)].drop_duplicates()
    return frame.loc[~pd.Series(numbers).duplicated().to_numpy(), list(names)]


def check_columns(frame: pd.DataFrame) -> None:
    """Raises DataError where a needed column is missing or there twice, or there are no rows."""
    missing = [name for name in (*TEXT, *NUMBERS) if name not in frame.columns]
    if missing:
        raise DataError(
            f"the scores lack the column {missing[0]!r}; needed are {', '.join((*TEXT, *NUMBERS))}."
        )
    if frame.columns.has_duplicates:
        again = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"the scores have two columns {again!r}; keep one.")
    if frame.empty:
        raise DataError("the scores have no rows; evaluate at least the baseline and one condition.")


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    check_columns(frame)
    frame = frame.reset_index(drop=True)
    # Categories sort and group by number: a study has a dozen names and millions of rows.
    typed: dict[str, pd.Series[Any]] = {name: _text(frame, name) for name in TEXT}
    for name in ("seed", "num", "den"):
        typed[name] = _numeric(frame, name)
    typed["hops"] = _known_numbers(frame, "hops").fillna(UNKNOWN_HOPS)
    for name in ("seed", "hops"):
        if (typed[name] % 1 != 0).any():
            raise DataError(f"{_cell(frame, typed[name] % 1 != 0)}: {name} is not a whole number.")
        if (typed[name].abs() > LARGEST_SEED).any():
            raise DataError(
                f"{_cell(frame, typed[name].abs() > LARGEST_SEED)}: {name} is beyond 2^53; give smaller numbers."
            )
        column = frame[name]  # millions of whole numbers need not stand in memory twice
        typed[name] = column if column.dtype == np.int64 else typed[name].astype("int64")
    if (wrong := typed["seed"] < NO_SEED).any():
        raise DataError(f"{_cell(frame, wrong)}: seed is below -1; give 0 or more, or -1 for no training.")
    if (wrong := typed["hops"] < 0).any():
        raise DataError(f"{_cell(frame, wrong)}: hops is negative; leave it empty where it is not known.")
    if "chance" in frame.columns:
        typed["chance"] = _known_numbers(frame, "chance")
        if (wrong := typed["chance"].notna() & ~typed["chance"].between(0.0, 1.0)).any():
            raise DataError(f"{_cell(frame, wrong)}: chance is not between 0 and 1.")
    else:
        typed["chance"] = pd.Series(np.nan, index=frame.index)
    typed["main"] = _main(frame)
    for name in OPTIONAL_TEXT:
        if name in frame.columns:
            typed[name] = _names(frame, name)
    if "constant" in frame.columns:
        typed["constant"] = _flag(frame, "constant")
    if "limit" in frame.columns:
        typed["limit"] = _known_numbers(frame, "limit")
        if (wrong := (typed["limit"] < 1) | (typed["limit"] % 1 > 0)).any():
            raise DataError(f"{_cell(frame, wrong)}: limit is not a whole number of items of 1 or more.")
    if "category" in frame.columns:
        typed["category"] = _names(frame, "category")
    for name in ITEM_NUMBERS:
        if name in frame.columns:
            typed[name] = _known_numbers(frame, name)
    return pd.DataFrame(typed, copy=False)


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.int64] | None:
    """A number for every row, in the order of these columns' values; None where 64 bits do not hold it."""
    numbers, size = np.zeros(len(frame), np.int64), 1
    for name in names:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, count = column.cat.codes.to_numpy(), len(column.cat.categories)
        else:
            codes, values = pd.factorize(column, sort=True)
            count = len(values)
        size *= max(count, 1)
        if size >= 2**63:
            return None
        numbers *= count
        numbers += codes
    return numbers


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows by ``KEY``; rows of equal keys stay as they are."""
    numbers = _numbers(frame, KEY)
    if numbers is None:
        return frame.sort_values(list(KEY), kind="stable", ignore_index=True)
    if (numbers[1:] >= numbers[:-1]).all():
        return frame
    return frame.take(np.argsort(numbers, kind="stable")).reset_index(drop=True)


def _first_rows(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Where each run of a target, metric and language begins, in rows that are in order."""
    cells = _numbers(frame, KEY[:-1])
    if cells is None:
        return np.flatnonzero(~frame.duplicated(list(KEY[:-1])).to_numpy())
    return np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))


def _alike(frame: pd.DataFrame, first: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Which rows are those of the first run of their target and language, if all runs have just its items.

    None where the runs differ in items, clusters or hops.
    """
    sizes = np.diff(first, append=len(frame))
    places = _numbers(frame.iloc[first], ["target", "lang"])
    if places is None:
        return None
    _, model, place = np.unique(places, return_index=True, return_inverse=True)
    if (sizes != sizes[model][place]).any():
        return None
    rows = np.repeat(first[model][place] - first, sizes)
    rows += np.arange(len(frame))
    for name in ("item_id", "cluster_id", "hops"):
        column = frame[name]
        values = (column.cat.codes if column.dtype == "category" else column).to_numpy()
        if (values != values[rows]).any():
            return None
    chosen: NDArray[np.bool_] = rows == np.arange(len(frame))
    return chosen


def _names(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """The column as categories of text, empty where nothing is there, whatever types the file or the frame has."""
    try:
        codes, values = pd.factorize(frame[name])
    except TypeError as error:
        raise DataError(f"the column {name!r} holds {error}, not text; give a text or a number.") from error
    # Values of several types may be one text, as 1 and "1" are; the last one stands for "nothing is there".
    names, place = np.unique(np.array([*map(str, values), ""], dtype=object), return_inverse=True)
    return pd.Series(pd.Categorical.from_codes(place[codes], pd.Index(names, dtype="str")), index=frame.index)


def _is_text(column: "pd.Series[Any]") -> bool:
    """Whether a column is of categories of text in their order, as a store gives it."""
    if not isinstance(column.dtype, pd.CategoricalDtype) or column.hasnans:
        return False
    texts = column.cat.categories.array
    return texts.dtype == "str" and bool((texts[1:] > texts[:-1]).all())


def _text(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    names = frame[name]
    if not _is_text(names):
        names = _names(frame, name)
    if (blank := names == "").any():
        raise DataError(f"{_cell(frame, blank)}: {name} is missing; give every row one.")
    used = np.bincount(names.cat.codes, minlength=len(names.cat.categories)) > 0
    return names if used.all() else names.cat.remove_unused_categories()


def _numeric(frame: pd.DataFrame, name: str) -> "pd.Series[float]":
    """Finite numbers."""
    values = _known_numbers(frame, name)
    if (wrong := values.isna()).any():
        advice = "give every row a number" + (", -1 for no training" if name == "seed" else "")
        raise DataError(f"{_cell(frame, wrong)}: {name} is empty or NaN; {advice}.")
    return values


def _known_numbers(frame: pd.DataFrame, name: str) -> "pd.Series[float]":
    """Finite numbers, NaN where the cell is empty."""
    column = frame[name]
    values = pd.to_numeric(column, errors="coerce").astype("float64")
    left = column[~np.isfinite(values)]
    left = left[left.notna() & (left.astype(str) != "")]
    if not left.empty:
        value = left.iloc[0]
        shown = repr(value) if isinstance(value, str) else str(value)
        unknown = "" if name in ("seed", "num", "den") else "; leave unknown ones empty"
        raise DataError(
            f"{_cell(frame, frame.index == left.index[0])}: {name} is {shown}, not a number{unknown}."
        )
    return values


def _main(frame: pd.DataFrame) -> "pd.Series[bool]":
    """The column ``main``; without it, a target's only metric is its main one."""
    if "main" not in frame.columns:
        return frame.groupby("target", observed=True)["metric"].transform("nunique") == 1
    return _flag(frame, "main")


def _flag(frame: pd.DataFrame, name: str) -> "pd.Series[bool]":
    """Whether a column of true and false says true; an empty cell says false."""
    marks = _names(frame, name)
    marked, unmarked = (
        marks.isin([mark for mark in marks.cat.categories if mark.lower() in known])
        for known in (MARKED, UNMARKED)
    )
    if (wrong := ~(marked | unmarked)).any():
        raise DataError(
            f"{_cell(frame, wrong)}: {name} is {marks[wrong].iloc[0].lower()!r}; give true or false."
        )
    return marked


def _check_values(frame: pd.DataFrame, baseline: str) -> None:
    if (unknown := ~frame["group"].isin(GROUPS)).any():
        name = frame.loc[unknown, "group"].iloc[0]
        raise DataError(f"{_cell(frame, unknown)}: unknown group {name!r}; use one of {', '.join(GROUPS)}.")
    several = distinct(frame, ["target", "group"]).groupby("target", observed=True)["group"].nunique()
    if (several > 1).any():
        raise DataError(f"target {several[several > 1].index[0]!r} belongs to several groups; give it one.")
    if (wrong := frame["den"] < 0).any():
        raise DataError(f"{_cell(frame, wrong)}: den is negative.")
    if (wrong := frame["den"] > LARGEST_SEED).any():
        raise DataError(f"{_cell(frame, wrong)}: den is beyond 2^53; give smaller numbers.")
    if (wrong := frame["condition"] == MEAN).any():
        raise DataError(
            f"{_cell(frame, wrong)}: a condition named {MEAN!r} cannot be told from their mean; rename it."
        )
    if (wrong := frame["main"] & (frame["num"] < 0)).any():
        raise DataError(f"{_cell(frame, wrong)}: num is negative.")
    if (wrong := frame["main"] & (frame["num"] > frame["den"] + ROUNDING)).any():
        raise DataError(
            f"{_cell(frame, wrong)}: num is larger than den, but a main metric must be a proportion (0 to 1)."
        )
    if not (frame["condition"] == baseline).any():
        raise DataError(f"no baseline: no row has condition {baseline!r}; evaluate it, or rename yours.")
    main_rows(frame)


def _check_limit(frame: pd.DataFrame) -> None:
    """A target's rows are all of its first so many items, or all of them."""
    if "limit" not in frame.columns:
        return
    known = pd.DataFrame({"target": frame["target"], "limit": frame["limit"].fillna(0.0)})
    limits = distinct(known, ["target", "limit"])
    if (again := limits.duplicated("target")).any():
        target = limits.loc[again, "target"].iloc[0]
        found = sorted(limits.loc[limits["target"] == target, "limit"])
        listed = " and on ".join(f"the first {limit:.0f}" if limit else "all items" for limit in found)
        raise DataError(
            f"target {target!r}: has results on {listed}; analyse results with one limit, or without, at a time."
        )


def _check_keys(frame: pd.DataFrame) -> None:
    numbers = _numbers(frame, KEY)
    twice = (
        frame.duplicated(list(KEY)).to_numpy()
        if numbers is None
        else np.concatenate([[False], numbers[1:] == numbers[:-1]])
    )
    if twice.any():
        raise DataError(
            f"{_cell(frame, twice)}: occurs more than once; keep one result per run, item and metric."
        )
    if _alike(frame, _first_rows(frame)) is not None:
        return
    items = frame[["target", "lang", "item_id", "cluster_id", "hops"]].drop_duplicates()
    if (again := items.duplicated(["target", "lang", "item_id"])).any():
        row = items[again].iloc[0]
        first = items[
            (items[["target", "lang", "item_id"]] == row[["target", "lang", "item_id"]]).all(axis=1)
        ].iloc[0]
        differs = first["cluster_id"] != row["cluster_id"]
        what, name = ("clusters", "cluster_id") if differs else ("numbers of hops", "hops")
        raise DataError(
            f"target {row['target']!r}, language {row['lang']!r}, item {row['item_id']!r}: belongs to "
            f"several {what}; give an item the same {name} in every run."
        )


def _drop_partial_runs(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    run = ["target", "condition", "seed"]
    languages = frame.groupby(run, observed=True)["lang"].transform("nunique")
    expected = frame.groupby("target", observed=True)["lang"].transform("nunique")
    kept = frame[languages == expected].reset_index(drop=True)
    if not (kept["condition"] == baseline).any():
        raise DataError("no baseline run has all languages of its target; evaluate the missing ones.")
    with_baseline = kept.loc[kept["condition"] == baseline, "target"].unique()
    return kept[kept["target"].isin(with_baseline)].reset_index(drop=True)


def _check_items(frame: pd.DataFrame) -> None:
    """Every run of one (target, language, metric) has the same items."""
    alike = _alike(frame, _first_rows(frame))
    models = frame if alike is None else frame[alike]
    clusters = models.groupby(["target", "lang"], observed=True)["cluster_id"].nunique()
    if (few := clusters < 2).any():
        target, lang = clusters[few].index[0]
        raise DataError(
            f"target {target!r}, language {lang!r}: has only one item cluster, so its variance cannot be "
            "estimated; give items that are resampled together, and only those, one cluster_id."
        )
    if alike is not None:
        return
    cell, run = ["target", "metric", "lang"], ["condition", "seed"]
    sizes = frame.groupby([*cell, *run], observed=True)["item_id"].size().reset_index(name="own")
    expected = frame.groupby(cell, observed=True)["item_id"].nunique().reset_index(name="expected")
    both = sizes.merge(expected, on=cell)
    short = both[both["own"] < both["expected"]]
    if short.empty:
        return
    target, metric, lang, condition, seed = short[[*cell, *run]].iloc[0]
    rows = frame[(frame["target"] == target) & (frame["metric"] == metric) & (frame["lang"] == lang)]
    items = rows.loc[(rows["condition"] == condition) & (rows["seed"] == seed), "item_id"]
    lacking = rows.loc[~rows["item_id"].isin(items), "item_id"].iloc[0]
    raise DataError(
        f"target {target!r}, language {lang!r}, metric {metric!r}: the run of condition {condition!r} seed "
        f"{seed} lacks item {lacking!r}, which other runs have; evaluate all runs on the same items."
    )


def _check_grid(frame: pd.DataFrame, baseline: str, *, whole: bool) -> None:
    """Every run has all languages of its target, and every target has the baseline.

    If ``whole``, a target also has all conditions and seeds that other targets have, unless it has the
    condition without training (seed -1).
    """
    first = _first_rows(frame)
    rows = frame.iloc[first][["target", "condition", "seed", "lang"]]
    rows["den"] = np.add.reduceat(np.where(frame["main"], frame["den"], 0.0), first)
    rows = rows[np.logical_or.reduceat(frame["main"].to_numpy(), first)]
    if (
        empty := rows.groupby(["target", "condition", "seed", "lang"], observed=True)["den"].sum() == 0
    ).any():
        target, condition, seed, lang = empty[empty].index[0]
        raise DataError(
            f"target {target!r}, condition {condition!r}, seed {seed}, language {lang!r}: den sums to 0; no "
            "item was scored."
        )
    cells = rows[["target", "condition", "seed", "lang"]].drop_duplicates()
    names = (cells[name].astype(str) for name in ("target", "condition", "lang"))
    listed = zip(*names, cells["seed"].tolist(), strict=True)
    languages: defaultdict[str, set[str]] = defaultdict(set)
    spoken: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
    runs: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for target, condition, lang, seed in listed:
        languages[target].add(lang)
        spoken[target, condition, seed].add(lang)
        runs[target].add((condition, seed))
    for (target, condition, seed), own_languages in sorted(spoken.items()):
        if lacking := sorted(languages[target] - own_languages):
            raise DataError(
                f"target {target!r}, condition {condition!r}, seed {seed}: language {lacking[0]!r} is "
                "missing; evaluate it, or leave such runs out with `xeval report --incomplete`."
            )
        if (condition, NO_SEED) in runs[target] and seed != NO_SEED:
            raise DataError(
                f"target {target!r}, condition {condition!r}: has runs with seed -1 (no training) and with "
                f"seed {seed}; give every trained run a seed of 0 or more."
            )
    conditions = sorted({condition for pairs in runs.values() for condition, _ in pairs})
    for target in sorted(runs):
        if not any(condition == baseline for condition, _ in runs[target]):
            raise DataError(f"target {target!r}: has no baseline (condition {baseline!r}); evaluate it.")
        for condition in conditions if whole else ():
            seeds = {seed for name, seed in runs[target] if name == condition}
            trained = {
                seed for pairs in runs.values() for name, seed in pairs if name == condition and seed >= 0
            }
            absent = sorted(trained - seeds) if seeds != {NO_SEED} else []
            if not seeds or absent:
                where = f"condition {condition!r}" + (f" seed {absent[0]}" if seeds else "")
                raise DataError(
                    f"target {target!r}: {where} is missing, but other targets have it; run it, or go "
                    "on without it with `xeval report --incomplete`."
                )


def _check_checkpoints(frame: pd.DataFrame) -> None:
    """Two seeds that are one checkpoint are one run, not two."""
    if "checkpoint" not in frame.columns:
        return
    runs = distinct(frame, ["target", "condition", "seed", "checkpoint"])
    runs = runs[runs["checkpoint"] != ""]
    if (again := runs.duplicated(["target", "condition", "seed"])).any():
        row = runs[again].iloc[0]
        raise DataError(
            f"target {row['target']!r}, condition {row['condition']!r}, seed {row['seed']}: comes from "
            "several checkpoints; give each run its own seed."
        )
    if (again := runs.duplicated(["target", "checkpoint"])).any():
        row = runs[again].iloc[0]
        raise DataError(
            f"target {row['target']!r}, condition {row['condition']!r}, seed {row['seed']}: the same "
            f"checkpoint ({row['checkpoint']}) already counts as another run; keep one of them."
        )


def _cell(frame: pd.DataFrame, where: "pd.Series[bool] | NDArray[np.bool_]") -> str:
    """The first marked row, in words."""
    row = frame.loc[np.asarray(where)].iloc[0]
    return (
        f"target {row['target']!r}, condition {row['condition']!r}, seed {row['seed']}, language "
        f"{row['lang']!r}, item {row['item_id']!r}"
    )
