"""The report's main tables as rows of text: gains, contrasts, scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xeval.analysis.estimate import estimands as forms
from xeval.analysis.estimate.variance import SCALES
from xeval.analysis.frame.arrays import Both
from xeval.analysis.report.figures import languages_by_distance, marks
from xeval.analysis.report.model import Table
from xeval.analysis.report.wording import (
    CELL_MARKS,
    bounds,
    condition_name,
    condition_slugs,
    interval,
    items_only,
    level,
    number,
    sample,
    seed_name,
)
from xeval.analysis.result import Analysis, Gain, Score
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


def summary(analysis: Analysis) -> Table | None:
    """Table 1: group gains and contrasts, averaged over the single intermediate tasks; None without transfer."""
    verdict = analysis.verdict
    rows: list[tuple[str, ...]] = []
    for gain in analysis.groups:
        if gain.condition == MEAN:
            targets = len(analysis.group(gain.subject))
            rows.append(
                (
                    f"G({gain.subject})",
                    f"{targets} target{'s' if targets > 1 else ''}",
                    *_numbers(gain.both, analysis, [target.name for target in analysis.group(gain.subject)]),
                )
            )
    strong: set[int] = set()
    grid = {form.name for form in forms.GRID}
    for name, contrast in analysis.contrasts.items():
        if name not in grid:
            strong.add(len(rows))
            rows.append(
                (name, contrast.form.formula, *_numbers(contrast.mean, analysis, analysis.differ(contrast)))
            )
    if not rows:
        return None
    margins, inner = verdict.margins, 200 * analysis.method.confidence - 100
    return Table(
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
        columns=(
            "",
            "",
            f"points [{level(analysis)}]",
            f"log-odds [{level(analysis)}]",
            "df",
            "seeds",
            "detectable",
            "in margin",
        ),
        rows=tuple(rows),
        labels=2,
        strong=frozenset(strong),
        aside=1,
        name="contrasts",
        basis=sample(analysis),
        main=True,
    )


def collapsed(analysis: Analysis) -> tuple[Table, Table] | None:
    """The runs that learnt nothing, and what changes without them; None where there are none."""
    found = analysis.collapse
    if found is None:
        return None
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for run in found.runs:
        by_reason.setdefault((run.target, run.condition, run.reason), []).append(seed_name(run.seed))
    runs = Table(
        title="Collapsed runs",
        caption=f"{found.rule} They stay in every other number of this report.",
        columns=("target", "condition", "seeds", "why"),
        rows=tuple((target, name, ", ".join(seeds), why) for (target, name, why), seeds in by_reason.items()),
        labels=4,
        keys=tuple({"target": target, "condition": name} for target, name, _ in by_reason),
        name="collapsed",
        main=True,
    )
    compared = Table(
        title="With and without collapsed runs",
        caption=f"{found.sentence} –: cannot be computed without them." + _star(analysis),
        columns=(
            "",
            f"points, all runs [{level(analysis)}]",
            "points, without",
            f"log-odds, all runs [{level(analysis)}]",
            "log-odds, without",
        ),
        rows=tuple(
            (
                one.name,
                *(
                    interval(both, scale) if both else "–"
                    for scale in SCALES
                    for both in (one.all_runs, one.without)
                ),
            )
            for one in found.compared
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
    one = found[forms.GRID[0].name]

    def gain(group: str) -> str:
        return interval(one.parts[group], "points")

    def difference(name: str) -> str:
        return interval(found[name].mean, "points")

    return Table(
        title="Answer format × hops",
        caption=(
            f"Gain in points on the shared languages ({', '.join(one.languages)}). {_conditions(analysis)}. The "
            "corner at the bottom right is the interaction: the effect of hops "
            f"in QA minus that in classification. Means over the other factor: hops {difference('hops')}; "
            f"format {difference('format')}."
        ),
        columns=("", "one hop", "several hops", "difference"),
        rows=(
            (
                "classification",
                gain(CLASSIFICATION),
                gain(MULTI_HOP_CLASSIFICATION),
                difference("hops in classification"),
            ),
            ("QA", gain(SINGLE_HOP_QA), gain(MULTI_HOP_QA), difference("hops in QA")),
            (
                "difference",
                difference("format at one hop"),
                difference("format at several hops"),
                difference("hops x format"),
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
    gains = [gain for gain in analysis.tasks if gain.subject in names]
    if not gains:
        return None
    return Table(
        title="Retrieval",
        caption=(
            "Gains over the baseline without any target training. A deterministic baseline (seed −1) has no "
            "seed variance." + _star(analysis)
        ),
        columns=(
            "target",
            "condition",
            f"points [{level(analysis)}]",
            f"log-odds [{level(analysis)}]",
            "df",
            "seeds",
        ),
        rows=tuple(
            (gain.subject, condition_name(gain.condition), *_numbers(gain.both, analysis, [gain.subject])[:4])
            for gain in _unique_means(gains)
        ),
        labels=2,
        keys=tuple(_gain_key(gain) for gain in _unique_means(gains)),
    )


def task_gains(analysis: Analysis) -> Table | None:
    """G(k,t) with both intervals; None without transfer."""
    groups = {target.name: target.group for target in analysis.targets.values()}
    order = {group: place for place, group in enumerate(GROUPS)}
    gains = sorted(_unique_means(analysis.tasks), key=lambda gain: order[groups[gain.subject]])
    rows = []
    for gain in gains:
        low, high = gain.both.points.items_interval()
        rows.append(
            (
                gain.subject,
                groups[gain.subject],
                condition_name(gain.condition),
                interval(gain.both, "points"),
                bounds(low, high, 2),
                interval(gain.both, "logit"),
                f"{gain.both.points.clusters:,}",
            )
        )
    if not rows:
        return None
    return Table(
        title="Gain per target and condition",
        caption="Unweighted mean over the transfer languages. Items only: the interval for these very runs."
        + _star(analysis),
        columns=(
            "target",
            "group",
            "condition",
            f"points [{level(analysis)}]",
            "items only",
            f"log-odds [{level(analysis)}]",
            "clusters",
        ),
        rows=tuple(rows),
        labels=3,
        keys=tuple(_gain_key(gain) for gain in gains),
        name="gains",
        basis=f"Two-way (seed × item cluster) t intervals. {sample(analysis)}",
        folded=True,
        main=True,
    )


def cell_gains(analysis: Analysis, condition: str) -> Table:
    """g(k,t,l) of one condition in points: languages by distance to English x targets."""
    targets = [target for group in GROUPS for target in analysis.group(group)]
    cells = {(gain.subject, gain.lang): gain.both for gain in analysis.cells if gain.condition == condition}
    shown = marks(analysis)
    rows = []
    for lang in languages_by_distance(analysis):
        row = [lang]
        for target in targets:
            both = cells.get((target.name, lang))
            row.append(
                ""
                if both is None
                else number(both.points.value, 1) + shown.get((condition, target.name, lang), "")
            )
        rows.append(tuple(row))
    return Table(
        title=f"Gain per language and target after {condition}",
        caption=f"Points over the baseline. {CELL_MARKS}",
        columns=("language", *(target.name for target in targets)),
        rows=tuple(rows),
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
    for group in GROUPS:
        for target in analysis.group(group):
            rows = []
            for lang in target.languages:
                cells = [by_cell.get((name, target.name, lang)) for name in (BASELINE, *analysis.conditions)]
                rows.append(
                    (
                        lang,
                        f"{target.items[lang]:,}",
                        f"{target.clusters[lang]:,}",
                        _mean([target.chance[lang]], 100.0),
                        *map(_score, cells),
                    )
                )
            runs = ", ".join(f"{name} {len(seeds)}" for name, seeds in target.seeds.items())
            tables.append(
                Table(
                    title=f"{target.name} ({target.group}, {target.metric})",
                    caption=f"Mean ± standard deviation between runs. Runs: {runs}.",
                    columns=("language", "items", "clusters", "chance", "baseline", *analysis.conditions),
                    rows=tuple(rows),
                    keys=tuple({"target": target.name, "lang": row[0]} for row in rows),
                )
            )
    return tables


def _score(score: Score | None) -> str:
    if score is None:
        return "–"
    return f"{score.score:.1f}" + ("" if score.spread is None else f" ± {score.spread:.1f}")


def _star(analysis: Analysis) -> str:
    """What the star means, where some gain has it."""
    return items_only(any(not gain.both.points.seeds_estimable for gain in analysis.tasks))


def _numbers(both: Both, analysis: Analysis, targets: Sequence[str]) -> tuple[str, ...]:
    answers = {True: "yes", False: "no", None: "–"}
    points, estimable = both.points, both.points.seeds_estimable
    return (
        interval(both, "points"),
        interval(both, "logit"),
        f"{points.df if estimable else points.df_items:.0f}",
        f"{100 * points.share_seeds:.0f} %" if estimable else "–",
        f"{points.detectable():.2f}" if estimable else "–",
        answers[analysis.equivalent(both, targets)],
    )


def _unique_means(gains: Sequence[Gain]) -> list[Gain]:
    """Without the means that stand for one condition only."""
    numbers = {gain.subject: sum(other.subject == gain.subject for other in gains) for gain in gains}
    return [gain for gain in gains if gain.condition != MEAN or numbers[gain.subject] > 2]


def _gain_key(gain: Gain) -> dict[str, str]:
    return {"target": gain.subject} | ({} if gain.condition == MEAN else {"condition": gain.condition})


def _conditions(analysis: Analysis) -> str:
    count = len(analysis.averaged)
    names = ", ".join(analysis.averaged)
    return f"Condition {names}" if count == 1 else f"Mean over {count} conditions ({names})"


def _mean(values: Sequence[float | None], factor: float = 1.0) -> str:
    known = [value for value in values if value is not None]
    return f"{factor * sum(known) / len(known):.1f}" if known and len(known) == len(values) else "–"
