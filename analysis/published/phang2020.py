"""Phang et al. 2020 as others have quoted it, analysed as far as the published scores allow.

They are one number per target, without seeds or items, and the intermediate task behind each of them is not named; what
follows from that is said in the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from xeval.analysis.estimate.aggregates import (
    MEASURES,
    AggregateGain,
    AggregateScore,
    GroupDifference,
    aggregate_gains,
    difference,
)
from xeval.analysis.published.scores import Row, read_published
from xeval.analysis.report.aggregate import ALL, difference_table, gain_figure, gain_table, gains_report
from xeval.analysis.report.model import Report, Table
from xeval.analysis.report.wording import number
from xeval.conditions import BASELINE, CLASSIFICATION, SINGLE_HOP_QA, STRUCTURED

BEST = "best-per-target"
PRINTED, QUOTED = "rembert16", "mt5"
GROUP_OF: Mapping[str, str] = {
    "xnli": CLASSIFICATION,
    "pawsx": CLASSIFICATION,
    "udpos": STRUCTURED,
    "panx": STRUCTURED,
    "xquad": SINGLE_HOP_QA,
    "mlqa": SINGLE_HOP_QA,
    "tydiqa": SINGLE_HOP_QA,
}
PRINTED_GROUPS: Mapping[str, str] = {
    "sentence pair": CLASSIFICATION,
    "structured": STRUCTURED,
    "question answering": SINGLE_HOP_QA,
}
EM_AND_F1 = "mean of em and f1"
"""How XTREME's means count a question-answering task."""
TASKS, RETRIEVAL_TASKS, INTERMEDIATES = 9, 2, 9
HALF = 0.05
"""Largest rounding error of a score that is printed with one decimal."""


def report() -> Report:
    """The report on Phang et al. 2020 (arXiv 2005.13013)."""
    rows, sources = read_published("phang2020")
    printed, quoted = _gains(rows, PRINTED), _gains(rows, QUOTED)
    combined = [gain for gain in printed if gain.metric in ("accuracy", "f1")]
    labels, differences = zip(*_differences(printed, quoted), strict=True)
    spread, df = pooled_spread(combined)
    retrieval, baselines = _retrieval_gain(rows, printed), _retrieval_baselines(rows)
    checks, parts = _checks(rows), _parts(rows, printed)
    gains = replace(
        gain_table(printed),
        title="Gain of the best intermediate task per target",
        caption="XTREME test scores, XLM-R Large; means over all languages of the target, English included. Error "
        "reduction: share of the baseline's errors that is gone. One published number on either side, so no interval.",
    )
    return gains_report(
        title="Phang et al. 2020: what the published scores show",
        command="xeval report --published phang2020 -o reports/phang2020",
        sentences=(
            "No target here needs several hops, so nothing is said about multi-hop targets against classification.",
            _types(differences[0]),
            f"Gains of one type differ by as much: their pooled standard deviation within types is {spread:.1f} points "
            f"({df} df), so a single multi-hop data set could not stand for its type.",
            _versions(combined, quoted),
        ),
        figure=gain_figure(printed, {(gain.target, gain.metric): gain for gain in quoted}),
        tables=(
            gains,
            _two_versions(printed, quoted),
            difference_table(differences, labels, "scores"),
            _parts_table(parts, retrieval),
            _baseline_table(baselines),
            _check_table(checks),
        ),
        missing=_missing(*baselines["tatoeba"]),
        notes=_notes(checks),
        sources=tuple(f"{key}: {text}" for key, text in sources.items()),
        numbers={
            "gains": [asdict(gain) for gain in printed],
            "gains_quoted_otherwise": [asdict(gain) for gain in quoted],
            "differences": [
                {"scores": label} | asdict(apart) for label, apart in zip(labels, differences, strict=True)
            ],
            "pooled_sd_within_types": {"points": spread, "df": df},
            "parts_of_the_overall_gain": parts,
            "retrieval_gain": retrieval,
            "retrieval_baselines": {
                name: {"xtreme": first, "replication": second} for name, (first, second) in baselines.items()
            },
            "printed_means": [
                {"mean": name, "condition": condition, "printed": mean, "of_rows": made}
                for name, condition, mean, made in checks
            ],
        },
    )


def _types(apart: GroupDifference) -> str:
    qa, classification = apart.plus_mean, apart.minus_mean
    return (
        f"Best intermediate per target against none, XTREME test: {number(qa, 2)} points on span QA (F1) and "
        f"{number(classification, 2)} on classification; without TyDiQA the difference of "
        f"{number(qa - classification, 2)} is {number(apart.without['tydiqa'], 2)}."
    )


def _versions(combined: Sequence[AggregateGain], quoted: Sequence[AggregateGain]) -> str:
    """How far the two versions of the scores that others quote differ."""
    by_target = {gain.target: gain.points for gain in combined}
    apart = {gain.target: gain.points - by_target[gain.target] for gain in quoted if gain.target in by_target}
    furthest = max(apart, key=lambda target: abs(apart[target]))
    most = abs(apart[furthest])
    smaller = sum(abs(gain.points) <= most + 1e-9 for gain in combined)
    return (
        f"Two versions of the scores are quoted; {furthest} differs by {most:.1f} points between them, no less than "
        f"{smaller} of the {len(combined)} gains."
    )


def _missing(printed: float, replicated: float) -> tuple[str, ...]:
    """What the scores cannot show; of the baseline of Tatoeba, as printed and as replicated."""
    return (
        "Which intermediate task helps: no score by intermediate task and target is here, so there is no leave-one-out "
        "or permutation over intermediate tasks, no interaction and no C by intermediate task.",
        "How sure a gain is: one number per target, no seeds and no items, so no interval, no test and no equivalence.",
        "Multi-hop targets: there is none among the nine.",
        "Transfer alone: every mean over languages includes English, and no language's gain is here.",
        "The gain of one fixed intermediate task: each target has the intermediate task that did best on its "
        f"development set, so gains are biased upwards, by at most {expected_maximum(INTERMEDIATES):.2f} standard "
        f"deviations of a run if all {INTERMEDIATES} were equally good.",
        "Whether a gain is transfer at all: the chosen intermediate task is not named, so targets whose own English "
        "training data it is cannot be left out (SQuAD for XQuAD and MLQA, MNLI for XNLI).",
        "Task type by itself: types differ in the size of the target's English training set (TyDiQA has the smallest), "
        "answer format, metric and likeness to an intermediate task, and each has two or three data sets.",
        "The gain on retrieval: it follows only from the printed mean of nine tasks, and the baseline of Tatoeba "
        f"differs by {abs(printed - replicated):.1f} points between the XTREME paper and the first author's "
        "replication.",
    )


def _notes(checks: Sequence[tuple[str, str, float, float]]) -> tuple[str, ...]:
    return (
        "Means of XTREME count a question-answering task as the mean of exact match and F1.",
        *(
            f"The mean over {name} ({condition}) is printed as {mean:.1f}, but its rows give {made:.2f}, so it was "
            "made of other rows."
            for name, condition, mean, made in checks
            if abs(mean - made) > 2 * HALF + 1e-9
        ),
        "From abstracts: version 1 has a gain of 6.1 points on the mean of nine tasks and 8.4 for SQuAD on development "
        "sets (7 intermediate tasks), version 2 of 5.4 (9 intermediate tasks).",
    )


def pooled_spread(gains: Sequence[AggregateGain]) -> tuple[float, int]:
    """Standard deviation of the gains in points within groups of targets, pooled, and its degrees of freedom."""
    squares, df = 0.0, 0
    for group in {gain.group for gain in gains}:
        values = np.array([gain.points for gain in gains if gain.group == group])
        squares += float(((values - values.mean()) ** 2).sum())
        df += len(values) - 1
    return float(np.sqrt(squares / df)), df


def expected_maximum(draws: int) -> float:
    """Expected maximum of so many independent standard normal draws: the integral of 1 - F^n - (1 - F)^n."""
    from scipy import integrate, stats

    def upper(x: float) -> float:
        below = stats.norm.cdf(x)
        return float(1.0 - below**draws - (1.0 - below) ** draws)

    return float(integrate.quad(upper, 0.0, 12.0)[0])


def _gains(rows: Sequence[Row], source: str) -> list[AggregateGain]:
    """Gains of the best intermediate task as one source prints it, over the only printed baseline."""
    used = [
        row
        for row in rows
        if row.target in GROUP_OF and row.source == (source if row.condition == BEST else PRINTED)
    ]
    scores = [
        AggregateScore(row.condition, row.target, GROUP_OF[row.target], row.metric, ALL, 0, row.score)
        for row in used
    ]
    by_key = {(score.condition, score.target, score.metric): score for score in scores}
    for score in scores:
        if score.metric == "em" and (f1 := by_key.get((score.condition, score.target, "f1"))):
            scores = [*scores, replace(score, metric=EM_AND_F1, score=(score.score + f1.score) / 2)]
    gains, _ = aggregate_gains([score for score in scores if _is_paired(score, scores)])
    return gains


def _is_paired(score: AggregateScore, scores: Sequence[AggregateScore]) -> bool:
    """Whether the other condition has the same target and metric."""
    same = {row.condition for row in scores if (row.target, row.metric) == (score.target, score.metric)}
    return same == {BASELINE, BEST}


def _differences(
    printed: Sequence[AggregateGain], quoted: Sequence[AggregateGain]
) -> list[tuple[str, GroupDifference]]:
    """Span QA and structured prediction against classification, by source, metric of QA and measure."""
    found = []
    choices = [("leaderboard", printed, metric) for metric in ("f1", "em", EM_AND_F1)]
    choices.append(("mT5 README", quoted, "f1"))
    for source, gains, metric in choices:
        used = [
            gain
            for gain in gains
            if (gain.metric == metric if gain.group == SINGLE_HOP_QA else gain.group == CLASSIFICATION)
        ]
        for measure in MEASURES:
            if apart := difference(used, (SINGLE_HOP_QA,), (CLASSIFICATION,), measure):
                found.append((f"{source}, {metric}", apart))
    for measure in MEASURES:
        if apart := difference(printed, (STRUCTURED,), (CLASSIFICATION,), measure):
            found.append(("leaderboard", apart))
    return found


def _score(rows: Sequence[Row], condition: str, target: str, metric: str, source: str) -> float:
    (found,) = [
        row.score
        for row in rows
        if (row.condition, row.target, row.lang, row.metric, row.source)
        == (condition, target, ALL, metric, source)
    ]
    return found


def _as_counted(gains: Sequence[AggregateGain]) -> list[AggregateGain]:
    """One gain per target, as XTREME's means count it."""
    return [
        gain for gain in gains if gain.metric == (EM_AND_F1 if gain.group == SINGLE_HOP_QA else gain.metric)
    ]


def _parts(rows: Sequence[Row], printed: Sequence[AggregateGain]) -> dict[str, float]:
    """What the tasks contribute to the sum of the nine gains, in points; retrieval is the rest."""
    total = TASKS * _score(rows, BEST, "mean of 9 tasks", "gain", "abstract2")
    counted = _as_counted(printed)
    parts = {
        group: sum(gain.points for gain in counted if gain.group == group)
        for group in (CLASSIFICATION, STRUCTURED, SINGLE_HOP_QA)
    }
    parts["tydiqa alone"] = next(gain.points for gain in counted if gain.target == "tydiqa")
    parts["retrieval"] = total - sum(gain.points for gain in counted)
    return parts | {"all nine": total}


def _retrieval_gain(rows: Sequence[Row], printed: Sequence[AggregateGain]) -> dict[str, float]:
    """The mean gain on BUCC and Tatoeba that follows from the mean of nine tasks, by two ways, with rounding errors.

    ``from_gains``: nine times the overall gain less the seven known gains; ``from_scores``: nine times the overall
    score less the seven known scores, less the printed baselines. They differ as the mean of nine holds an older
    score of some task.
    """
    counted = _as_counted(printed)
    gain = _score(rows, BEST, "mean of 9 tasks", "gain", "abstract2")
    before = _score(rows, BASELINE, "mean of 9 tasks", "mean", "veco")
    baselines = [
        _score(rows, BASELINE, target, metric, "veco")
        for target, metric in (("bucc2018", "f1"), ("tatoeba", "accuracy"))
    ]
    rest = TASKS * (before + gain) - sum(target.score for target in counted)
    known = len(counted)
    return {
        "from_gains": (TASKS * gain - sum(target.points for target in counted)) / RETRIEVAL_TASKS,
        "from_gains_rounding": (TASKS + 2 * known) * HALF / RETRIEVAL_TASKS,
        "from_scores": (rest - sum(baselines)) / RETRIEVAL_TASKS,
        "from_scores_rounding": (2 * TASKS + known + len(baselines)) * HALF / RETRIEVAL_TASKS,
    }


def _retrieval_baselines(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Baseline of the XTREME paper, and the mean over languages of the first author's replication."""
    found = {}
    for target, metric in (("bucc2018", "f1"), ("tatoeba", "accuracy")):
        again = [row.score for row in rows if row.target == target and row.source == "jiant128"]
        found[target] = (_score(rows, BASELINE, target, metric, "veco"), sum(again) / len(again))
    return found


def _checks(rows: Sequence[Row]) -> list[tuple[str, str, float, float]]:
    """Printed means against the means of the printed rows: name, condition, printed, of the rows."""
    found = []
    for condition in (BASELINE, BEST):
        values_of: dict[str, list[float]] = {}
        for row in rows:
            if row.condition == condition and row.source == PRINTED and row.target in GROUP_OF:
                values_of.setdefault(row.target, []).append(row.score)
        counted = {target: sum(values) / len(values) for target, values in values_of.items()}
        printed_groups = [_score(rows, condition, printed, "mean", "rembert7") for printed in PRINTED_GROUPS]
        for (printed, group), mean in zip(PRINTED_GROUPS.items(), printed_groups, strict=True):
            members = [value for target, value in counted.items() if GROUP_OF[target] == group]
            found.append((printed, condition, mean, sum(members) / len(members)))
        mean = _score(rows, condition, "mean of 3 groups", "mean", "rembert7")
        found.append(("3 printed groups", condition, mean, sum(printed_groups) / len(printed_groups)))
        mean = _score(rows, condition, "mean of 7 tasks", "mean", PRINTED)
        found.append(("7 tasks", condition, mean, sum(counted.values()) / len(counted)))
    return found


def _two_versions(printed: Sequence[AggregateGain], quoted: Sequence[AggregateGain]) -> Table:
    by_key = {(gain.target, gain.metric): gain for gain in printed}
    rows = []
    for gain in quoted:
        first = by_key[gain.target, gain.metric]
        rows.append(
            (
                gain.target,
                gain.metric,
                f"{first.score:.1f}",
                f"{gain.score:.1f}",
                number(first.points, 1),
                number(gain.points, 1),
                number(gain.points - first.points, 1),
            )
        )
    return Table(
        "The same gain by two sources",
        "The entry on the leaderboard and in mT5's README, over the same baseline; hollow dots in the figure.",
        ("target", "metric", "leaderboard", "mT5 README", "gain", "gain, README", "apart"),
        tuple(rows),
        labels=2,
        name="two-sources",
        main=True,
    )


def _parts_table(parts: Mapping[str, float], retrieval: Mapping[str, float]) -> Table:
    total = parts["all nine"]
    return Table(
        "Where the overall gain of +5.4 points comes from",
        "Sum of gains in points over the tasks, and its share of the sum over nine tasks. Retrieval (BUCC, Tatoeba) is "
        f"what is left: {number(retrieval['from_gains'], 1)} ± {retrieval['from_gains_rounding']:.1f} points a task "
        f"from the gains, {number(retrieval['from_scores'], 1)} ± {retrieval['from_scores_rounding']:.1f} from the "
        "scores (± is rounding of the printed numbers, not noise).",
        ("tasks", "sum of gains", "share"),
        tuple(
            (name, number(value, 2), f"{100 * value / total:.0f} %".replace("-", "−"))
            for name, value in parts.items()
        ),
        name="parts",
        main=True,
    )


def _baseline_table(baselines: Mapping[str, tuple[float, float]]) -> Table:
    return Table(
        "The baseline of retrieval is in doubt",
        "XLM-R Large without training: the XTREME paper's row against the mean over languages of the first author's "
        "replication (development data; BUCC there with the best threshold on the scored data).",
        ("target", "XTREME", "replication", "apart"),
        tuple(
            (name, f"{first:.1f}", f"{second:.1f}", number(second - first, 1))
            for name, (first, second) in baselines.items()
        ),
        name="retrieval-baseline",
        main=True,
    )


def _check_table(checks: Sequence[tuple[str, str, float, float]]) -> Table:
    return Table(
        "Do the printed means follow from the printed rows?",
        "Mean of the rows, where a question-answering task counts as the mean of exact match and F1.",
        ("mean over", "condition", "printed", "of the rows", "apart"),
        tuple(
            (name, condition, f"{mean:.1f}", f"{made:.2f}", number(mean - made, 2))
            for name, condition, mean, made in checks
        ),
        labels=2,
        name="printed-means",
        main=True,
    )
