"""Scores with their intervals as LaTeX tables (package booktabs), one a condition."""

from collections.abc import Sequence
from pathlib import Path

from analysis.scores import BASELINE, check, load
from analysis.study import Study, build
from xeval.exports.units import write_text
from xeval.store import read_scores

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


def export_latex(source: Path, out: Path, *, limit: int | None = None) -> int:
    """Write tables of scores, tasks by languages, each with half the width of its interval; gives their number.

    What there is more of, tasks or languages, goes downwards.

    Args:
        source: a store, or a CSV or Parquet file of tidy scores.
        limit: of a store, the results on the first ``limit`` items.

    Raises:
        StoreError, DataError, UsageError: the scores cannot be read or do not fit together, or the file cannot be
            written.
    """
    frame = read_scores(source, limit) if source.is_dir() else load(source)
    study = build(check(frame))
    conditions = [BASELINE, *study.conditions]
    write_text(out, "\n".join(_table(study, condition) for condition in conditions))
    return len(conditions)


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    return text.translate(_ESCAPES)


def _table(study: Study, condition: str) -> str:
    targets = [name for name, target in study.targets.items() if condition in target.seeds]
    languages = sorted({lang for name in targets for lang in study.targets[name].languages})
    columns = [*languages, "mean"]
    cells = [[_score(study, condition, name, column) for column in columns] for name in targets]
    rows, header, corner = targets, columns, "task"
    if len(columns) > len(targets):
        rows, header, corner = columns, targets, "language"
        cells = [list(line) for line in zip(*cells, strict=True)]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(study, condition, targets, languages)}}}",
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


def _score(study: Study, condition: str, target: str, column: str) -> str:
    """``61.2 ± 1.4`` in points; the mean is over the languages other than that of training."""
    languages = study.transfer_languages(target) if column == "mean" else (column,)
    if not languages or (condition, target, languages[0]) not in study.blocks:
        return "--"
    weights = {(condition, target, lang): 1.0 / len(languages) for lang in languages}
    found = study.estimate(weights, "points")
    return rf"${found.value:.1f}_{{\pm {(found.high - found.low) / 2:.1f}}}$"


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
