"""The report's main tables as rows of text: gains, contrasts, scores."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from xeval.analysis.estimate import estimands as forms
from xeval.analysis.estimate.arrays import Estimates
from xeval.analysis.estimate.gains import Gain, Score
from xeval.analysis.estimate.variance import SCALES, Scale
from xeval.analysis.report.figures import languages_by_distance, marks
from xeval.analysis.report.model import Column, Row, Table
from xeval.analysis.report.wording import (
    CELL_MARKS,
    UNITS,
    bounds,
    condition_name,
    condition_slugs,
    count,
    interval,
    items_only,
    level,
    number,
    sample,
    seed_name,
)
from xeval.analysis.result import Analysis
from xeval.conditions import (
    BASELINE,
    CLASSIFICATION,
    GROUPS,
    MEAN,
    MULTI_HOP_CLASSIFICATION,
    MULTI_HOP_QA,
    RETRIEVAL,
    SINGLE_HOP_QA,
)

GroupRow = tuple[str, str, Estimates, Sequence[str]]
"""Name, formula, value, and the names of the targets."""


def summary(analysis: Analysis) -> Table | None:
    """Table 1: group gains and contrasts, averaged over the single intermediate tasks; None without transfer."""
    rows: list[GroupRow] = []
    for gain in analysis.gains.groups:
        if gain.condition == MEAN:
            names = [target.name for target in analysis.group(gain.subject)]
            rows.append((f"G({gain.subject})", count(len(names), "target"), gain, names))
    groups = len(rows)
    rows += [
        (name, contrast.form.formula, contrast, analysis.differ(contrast))
        for name, contrast in analysis.contrasts.items()
        if contrast.form not in forms.GRID
    ]
    if not rows:
        return None
    answers = {True: "yes", False: "no", None: "–"}

    def value(row: GroupRow) -> Estimates:
        return row[2]

    margins, inner = analysis.verdict.margins, 200 * analysis.method.confidence - 100
    return Table.of(
        rows,
        [
            ("", lambda row: row[0]),
            ("", lambda row: row[1]),
            *_estimates(analysis, value),
            ("detectable", lambda row: _known(row[2], f"{row[2].points.detectable():.2f}")),
            ("in margin", lambda row: answers[analysis.equivalent(row[2], row[3])]),
        ],
        title="Table 1. Mean gains and contrasts",
        caption=(
            f"{_conditions(analysis)}. Group gains are over all targets and all their transfer languages, "
            "contrasts over the languages that the compared targets share, and without targets whose own English "
            "training data the condition holds. C_QA and C_CLS hold the answer "
            "format fixed; C − C_QA mixes format, metric, chance level and training set. Seeds: share of "
            "the variance that comes from training seeds. Detectable: smallest true value found with 80 % "
            f"power (t formula; optimistic below 5 seeds). In margin: whether the {inner:g} % interval lies within "
            f"±{margins['points']:g} points and ±{margins['logit']:g} log-odds; – where a target is not learnt, runs "
            "are copies, or a trained condition has one run." + _star(analysis)
        ),
        labels=2,
        strong=frozenset(range(groups, len(rows))),
        aside=1,
        name="contrasts",
        basis=sample(analysis),
        main=True,
    )


def collapsed(analysis: Analysis) -> tuple[Table, ...]:
    """The runs that learnt nothing, and what changes without them; none where there are none."""
    found = analysis.collapse
    if found is None:
        return ()
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for run in found.runs:
        by_reason.setdefault((run.target, run.condition, run.reason), []).append(seed_name(run.seed))
    runs = Table.of(
        list(by_reason),
        [
            ("target", lambda reason: reason[0]),
            ("condition", lambda reason: reason[1]),
            ("seeds", lambda reason: ", ".join(by_reason[reason])),
            ("why", lambda reason: reason[2]),
        ],
        keys=lambda reason: {"target": reason[0], "condition": reason[1]},
        title="Collapsed runs",
        caption=f"{found.rule} They stay in every other number of this report.",
        labels=4,
        name="collapsed",
        main=True,
    )
    compared = Table(
        title="With and without collapsed runs",
        caption=f"{found.sentence} –: cannot be computed without them." + _star(analysis),
        columns=(
            "",
            *(
                heading
                for scale in SCALES
                for heading in (f"{UNITS[scale]}, all runs [{level(analysis)}]", f"{UNITS[scale]}, without")
            ),
        ),
        rows=tuple(
            (
                change.name,
                *(
                    interval(both, scale) if both else "–"
                    for scale in SCALES
                    for both in (change.all_runs, change.without)
                ),
            )
            for change in found.compared
        ),
        name="collapsed-without",
        main=True,
    )
    return runs, compared


def grid(analysis: Analysis) -> Table | None:
    """The 2 x 2 of answer format and hops, with differences, in points; None where a corner is missing."""
    found = analysis.contrasts
    if forms.GRID[0].name not in found:
        return None
    corner = found[forms.GRID[0].name]
    gain = {group: interval(both, "points") for group, both in corner.parts.items()}
    apart = {name: interval(contrast, "points") for name, contrast in found.items()}
    return Table(
        title="Answer format × hops",
        caption=(
            f"Gain in points on the shared languages ({', '.join(corner.languages)}). {_conditions(analysis)}. The "
            "corner at the bottom right is the interaction: the effect of hops "
            f"in QA minus that in classification. Means over the other factor: hops {apart['hops']}; "
            f"format {apart['format']}."
        ),
        columns=("", "one hop", "several hops", "difference"),
        rows=(
            (
                "classification",
                gain[CLASSIFICATION],
                gain[MULTI_HOP_CLASSIFICATION],
                apart["hops in classification"],
            ),
            ("QA", gain[SINGLE_HOP_QA], gain[MULTI_HOP_QA], apart["hops in QA"]),
            (
                "difference",
                apart["format at one hop"],
                apart["format at several hops"],
                apart["hops x format"],
            ),
        ),
        strong=frozenset({2}),
        name="grid",
        basis=sample(analysis),
        main=True,
    )


def retrieval(analysis: Analysis) -> Table | None:
    """Gains on retrieval, which needs no target training; None where there is none."""
    names = {target.name for target in analysis.group(RETRIEVAL)}
    gains = [gain for gain in _unique_means(analysis.gains.tasks) if gain.subject in names]
    if not gains:
        return None
    return Table.of(
        gains,
        [*GAIN_NAMES, *_estimates(analysis, lambda gain: gain)],
        keys=_gain_key,
        title="Retrieval",
        caption=(
            "Gains over the baseline without any target training. A deterministic baseline (seed −1) has no "
            "seed variance." + _star(analysis)
        ),
        labels=2,
    )


def task_gains(analysis: Analysis) -> Table | None:
    """G(k,t) with both intervals; None without transfer."""
    groups = {target.name: target.group for target in analysis.targets.values()}
    gains = sorted(_unique_means(analysis.gains.tasks), key=lambda gain: GROUPS.index(groups[gain.subject]))
    if not gains:
        return None
    (target, condition), (points, logit) = GAIN_NAMES, scale_columns(analysis, lambda gain: gain)
    return Table.of(
        gains,
        [
            target,
            ("group", lambda gain: groups[gain.subject]),
            condition,
            points,
            ("items only", lambda gain: bounds(*gain.points.items_interval(), 2)),
            logit,
            ("clusters", lambda gain: f"{gain.points.clusters:,}"),
        ],
        keys=_gain_key,
        title="Gain per target and condition",
        caption="Unweighted mean over the transfer languages. Items only: the interval for these very runs."
        + _star(analysis),
        labels=3,
        name="gains",
        basis=f"Two-way (seed × item cluster) t intervals. {sample(analysis)}",
        folded=True,
        main=True,
    )


def cell_gains(analysis: Analysis, condition: str) -> Table:
    """g(k,t,l) of one condition in points: languages by distance to English x targets."""
    targets = [target.name for group in GROUPS for target in analysis.group(group)]
    signs = marks(analysis)
    cells = {
        (gain.lang, gain.subject): number(gain.points.value, 1)
        + signs.get((condition, gain.subject, gain.lang), "")
        for gain in analysis.gains.cells
        if gain.condition == condition
    }
    return Table(
        title=f"Gain per language and target after {condition}",
        caption=f"Points over the baseline. {CELL_MARKS}",
        columns=("language", *targets),
        rows=tuple(
            (lang, *(cells.get((lang, target), "") for target in targets))
            for lang in languages_by_distance(analysis)
        ),
        name=f"gains-{condition_slugs(analysis.conditions)[condition]}",
        basis=sample(analysis),
    )


def mean_scores(analysis: Analysis) -> Table | None:
    """Score per target and condition, mean over the transfer languages, beside chance; None without transfer."""
    chosen = {
        target.name: languages
        for target in analysis.targets.values()
        if (languages := [lang for lang in target.languages if lang != analysis.source])
    }
    if not chosen:
        return None
    table = _scores(
        analysis,
        "Scores in the transfer languages",
        "Mean over runs and transfer languages, 0 to 100. Chance is that of the metric.",
        chosen,
        counted=True,
    )
    return replace(table, name="scores", main=True)


def source_scores(analysis: Analysis) -> Table | None:
    """Score per target and condition in the language of training; None where no target has it."""
    chosen = {
        target.name: [analysis.source]
        for target in analysis.targets.values()
        if analysis.source in target.languages
    }
    if not chosen:
        return None
    title = f"Scores in the language of training ({analysis.source})"
    caption = "Mean over runs, 0 to 100. Chance is that of the metric."
    return replace(_scores(analysis, title, caption, chosen), name="scores-source")


def _scores(
    analysis: Analysis,
    title: str,
    caption: str,
    chosen: Mapping[str, Sequence[str]],
    *,
    counted: bool = False,
) -> Table:
    """Targets by conditions; ``chosen``: target -> the languages of its mean, whose number ``counted`` shows."""
    by_cell = {(score.condition, score.target, score.lang): score.score for score in analysis.scores}
    conditions = (BASELINE, *analysis.conditions)
    rows = []
    for target in (target for group in GROUPS for target in analysis.group(group) if target.name in chosen):
        languages = chosen[target.name]
        means = (_mean([by_cell.get((name, target.name, lang)) for lang in languages]) for name in conditions)
        chance = _mean([target.chance[lang] for lang in languages], 100.0)
        rows.append((target.name, target.metric, *([str(len(languages))] if counted else []), chance, *means))
    return Table(
        title=title,
        caption=caption,
        columns=(
            "target",
            "metric",
            *(["languages"] if counted else []),
            "chance",
            "baseline",
            *analysis.conditions,
        ),
        rows=tuple(rows),
        labels=2,
        keys=tuple({"target": row[0]} for row in rows),
        basis=sample(analysis),
    )


def language_scores(analysis: Analysis) -> list[Table]:
    """One table per target: score ± spread between runs, per language and condition."""
    by_cell = {(score.condition, score.target, score.lang): score for score in analysis.scores}
    tables = []
    for target in (target for group in GROUPS for target in analysis.group(group)):
        rows = tuple(
            (
                lang,
                f"{target.items[lang]:,}",
                f"{target.clusters[lang]:,}",
                _mean([target.chance[lang]], 100.0),
                *(
                    _score(by_cell.get((name, target.name, lang)))
                    for name in (BASELINE, *analysis.conditions)
                ),
            )
            for lang in target.languages
        )
        runs = ", ".join(f"{name} {len(seeds)}" for name, seeds in target.seeds.items())
        tables.append(
            Table(
                title=f"{target.name} ({target.group}, {target.metric})",
                caption=f"Mean ± standard deviation between runs. Runs: {runs}.",
                columns=("language", "items", "clusters", "chance", "baseline", *analysis.conditions),
                rows=rows,
                keys=tuple({"target": target.name, "lang": lang} for lang in target.languages),
                folded=True,
            )
        )
    return tables


def _score(score: Score | None) -> str:
    if score is None:
        return "–"
    return f"{score.score:.1f}" + ("" if score.spread is None else f" ± {score.spread:.1f}")


def _star(analysis: Analysis) -> str:
    """What the star means, where some gain has it."""
    return items_only(any(not gain.points.seeds_estimable for gain in analysis.gains.tasks))


def scale_columns(analysis: Analysis, both: Callable[[Row], Estimates]) -> list[Column[Row]]:
    """Estimate and interval in points and in log-odds."""

    def column(scale: Scale) -> Column[Row]:
        return f"{UNITS[scale]} [{level(analysis)}]", lambda row: interval(both(row), scale)

    return [column(scale) for scale in SCALES]


def _estimates(analysis: Analysis, both: Callable[[Row], Estimates]) -> list[Column[Row]]:
    """Both scales, degrees of freedom, and the seeds' share of the variance."""

    def df(row: Row) -> str:
        points = both(row).points
        return f"{points.df if points.seeds_estimable else points.df_items:.0f}"

    def share(row: Row) -> str:
        return _known(both(row), f"{100 * both(row).points.share_seeds:.0f} %")

    return [*scale_columns(analysis, both), ("df", df), ("seeds", share)]


def _known(both: Estimates, text: str) -> str:
    """The text, where the variance between seeds is known."""
    return text if both.points.seeds_estimable else "–"


def _unique_means(gains: Sequence[Gain]) -> list[Gain]:
    """Without the means that stand for one condition only."""
    numbers = Counter(gain.subject for gain in gains)
    return [gain for gain in gains if gain.condition != MEAN or numbers[gain.subject] > 2]


def _gain_key(gain: Gain) -> dict[str, str]:
    return row_key(gain.subject, gain.condition)


def row_key(target: str, condition: str) -> dict[str, str]:
    """What a row on a target and a condition, or the mean of conditions, belongs to."""
    return {"target": target} | ({} if condition == MEAN else {"condition": condition})


def _conditions(analysis: Analysis) -> str:
    count, names = len(analysis.averaged), ", ".join(analysis.averaged)
    return f"Condition {names}" if count == 1 else f"Mean over {count} conditions ({names})"


def _mean(values: Sequence[float | None], factor: float = 1.0) -> str:
    known = [value for value in values if value is not None]
    return f"{factor * sum(known) / len(known):.1f}" if known and len(known) == len(values) else "–"


GAIN_NAMES: tuple[Column[Gain], Column[Gain]] = (
    ("target", lambda gain: gain.subject),
    ("condition", lambda gain: condition_name(gain.condition)),
)
