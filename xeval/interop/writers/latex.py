"""Scores with their intervals as LaTeX tables (package booktabs), one a condition."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from xeval.analysis.estimate.arrays import Cell, Study, build
from xeval.analysis.frame.tidy import MARKED, check, load
from xeval.conditions import BASELINE
from xeval.interop.writers.units import write_text

DAGGER = r"\dagger"
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def export_latex(
    source: Path, out: Path, *, limit: int | None = None, settings: Mapping[str, str] | None = None
) -> int:
    """Write tables of scores, tasks by languages, each with half the width of its interval; gives their number.

    What there is more of, tasks or languages, goes downwards.

    Args:
        source: a store, or a CSV or Parquet file of tidy scores.
        limit, settings: of a store, the results on the first ``limit`` items, and those with such settings.

    Raises:
        StoreError, DataError, UsageError: the scores cannot be read or do not fit together, or the file cannot be
            written.
    """
    frame = load(source, limit, settings)
    study = build(check(frame))
    conditions = [BASELINE, *study.conditions]
    suspects, items = _suspects(frame), _first_items(frame)
    write_text(out, "\n".join(_table(study, condition, suspects, items) for condition in conditions))
    return len(conditions)


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    return text.translate(_ESCAPES)


def _suspects(frame: pd.DataFrame) -> set[Cell]:
    """Condition, target and language of runs that gave all items one answer, or whose training taught nothing."""
    suspect = pd.Series(False, frame.index)
    if "constant" in frame.columns:
        suspect |= frame["constant"].astype(str).str.lower().isin(MARKED)
    if "collapsed" in frame.columns:
        suspect |= frame["collapsed"].fillna("").astype(str) != ""
    rows = frame.loc[suspect, ["condition", "target", "lang"]].astype(str).drop_duplicates()
    return {(condition, target, lang) for condition, target, lang in rows.itertuples(index=False)}


def _first_items(frame: pd.DataFrame) -> str:
    """Of a smoke run, what its scores are of."""
    limits = pd.to_numeric(frame["limit"]).dropna() if "limit" in frame.columns else pd.Series()
    if limits.empty:
        return ""
    return f"Of the first {_span([int(limit) for limit in limits.unique()])} items only. "


def _table(study: Study, condition: str, suspects: set[Cell], items: str) -> str:
    targets = [name for name, target in study.targets.items() if condition in target.seeds]
    languages = sorted({lang for name in targets for lang in study.targets[name].languages})
    columns = [*languages, "mean"]
    cells = [[_score(study, condition, name, column, suspects) for column in columns] for name in targets]
    rows, header, corner = targets, columns, "task"
    if len(columns) > len(targets):
        rows, header, corner = columns, targets, "language"
        cells = [list(line) for line in zip(*cells, strict=True)]
    marked = any(where[0] == condition and where[1] in targets for where in suspects)
    note = rf" ${DAGGER}$: a run gave all items one answer, or its training taught nothing." if marked else ""
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(items)}{_caption(study, condition, targets, languages)}{note}}}",
        rf"\begin{{tabular}}{{l{'r' * len(header)}}}",
        r"\toprule",
        _line([corner, *header]),
        r"\midrule",
    ]
    for name, values in zip(rows, cells, strict=True):
        if name == "mean":
            lines.append(r"\midrule")
        lines.append(" & ".join([escape(name), *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _line(names: Sequence[str]) -> str:
    return " & ".join(escape(name) for name in names) + r" \\"


def _score(study: Study, condition: str, target: str, column: str, suspects: set[Cell]) -> str:
    """``61.2 ± 1.4`` in points; the mean is over the languages other than that of training."""
    languages = study.transfer_languages(target) if column == "mean" else (column,)
    if not languages or (condition, target, languages[0]) not in study.blocks:
        return "--"
    weights = {(condition, target, lang): 1.0 / len(languages) for lang in languages}
    found = study.estimate(weights, "points")
    mark = f"^{{{DAGGER}}}" if suspects & weights.keys() else ""
    return rf"${found.value:.1f}{mark}_{{\pm {(found.high - found.low) / 2:.1f}}}$"


def _caption(study: Study, condition: str, targets: Sequence[str], languages: Sequence[str]) -> str:
    chosen = [study.targets[name] for name in targets]
    runs = _span([len(target.seeds[condition]) for target in chosen])
    items = _span([count for target in chosen for count in target.items.values()])
    name = "without intermediate training" if condition == BASELINE else f"after {condition}"
    metrics = ", ".join(dict.fromkeys(target.metric for target in chosen))
    single = [len(target.seeds[condition]) == 1 for target in chosen]
    over = "new items" if all(single) else "new training seeds and new items"
    if any(single) and not all(single):
        over += " (where there is one run, new items only)"
    interval = f"the {100 * study.method.confidence:g} % t interval over {over}"
    return escape(
        f"Scores {name}: {metrics}, in points, mean over {runs} run{'' if runs == '1' else 's'}, with half the width "
        f"of {interval}. {len(languages)} languages, {items} items a language; the mean leaves out the language of "
        f"training ({study.source})."
    )


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
