"""One entry point: tidy scores in, everything that a report prints out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pandas as pd

from xeval.analysis.checks.collapse import Collapse, CollapsedRun, Compared, collapsed_runs, copied, without
from xeval.analysis.checks.robustness import Drawn, Robustness, draw, robustness
from xeval.analysis.estimate import estimands as forms
from xeval.analysis.estimate.estimands import Contrast, ContrastForm, contrast, match
from xeval.analysis.estimate.variance import Method
from xeval.analysis.frame.arrays import Both, Study, Target, build
from xeval.analysis.frame.same_source import same_source
from xeval.analysis.frame.tidy import Incomplete, check, distinct
from xeval.analysis.models.collection import RegressionTable, regressions
from xeval.analysis.tests.multiplicity import Families, families
from xeval.analysis.verdict import Setting, Verdict, judge, no_contrast, within
from xeval.conditions import (
    BASELINE,
    CLASSIFICATION,
    DIAGNOSTIC,
    GROUPS,
    MEAN,
    MULTI_HOP_CLASSIFICATION,
    MULTI_HOP_QA,
    SINGLE_HOP_QA,
    has_several,
    single_conditions,
)
from xeval.errors import DataError, UsageError


@dataclass(frozen=True)
class Score:
    """Mean over runs, in points; ``spread`` is the standard deviation between runs (None for one run)."""

    condition: str
    target: str
    lang: str
    score: float
    spread: float | None
    runs: int


@dataclass(frozen=True)
class Gain:
    """A gain over the baseline. ``subject`` is a target or a group; ``lang`` is empty for a mean over languages."""

    condition: str
    subject: str
    lang: str
    both: Both


@dataclass(frozen=True)
class Analysis:
    """Everything that the report prints.

    Attributes:
        conditions: all intermediate conditions; ``averaged``: the single intermediate tasks that means are over.
        cells: g(k,t,l), English included; ``tasks``: G(k,t); ``groups``: G(k,T). Condition ``mean`` is the average.
        contrasts: by name: ``C``, and, where the groups allow, ``C_QA``, ``C − C_QA``, ``C_CLS`` and the
            format x hops grid.
        families: all tests in their order, and in how many languages a gain is shown.
        robustness: what stands beside the verdict: bootstrap, variants, controls.
        regressions: the models of all cells and of the items, each fitted or with the reason why not.
        notes: what a reader must know about the data: plain sentences.
        checked, study, drawn: the scores that all this is of, as rows and as arrays, and the bootstrap's replicates.
        unlearnt: targets on which no condition is above chance in the transfer languages.
        copied: target -> conditions that have runs with the same scores on every item.
        collapse: the runs that learnt nothing, and what changes without them; None where there are none.
        limits: target -> number of first items that were evaluated, of targets that were not evaluated whole.
        totals: target -> number of items of a language if all were evaluated, where that is known.
    """

    targets: Mapping[str, Target]
    source: str
    conditions: tuple[str, ...]
    averaged: tuple[str, ...]
    method: Method
    scores: tuple[Score, ...]
    cells: tuple[Gain, ...]
    tasks: tuple[Gain, ...]
    groups: tuple[Gain, ...]
    contrasts: Mapping[str, Contrast]
    verdict: Verdict
    families: Families
    robustness: Robustness
    regressions: tuple[RegressionTable, ...]
    notes: tuple[str, ...]
    checked: pd.DataFrame = field(repr=False)
    study: Study = field(repr=False)
    drawn: Drawn | None = field(repr=False)
    unlearnt: tuple[str, ...] = ()
    copied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    collapse: Collapse | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)

    def equivalent(self, both: Both, targets: Iterable[str]) -> bool | None:
        """Whether a gain or contrast on ``targets`` lies inside the margin; None where these runs give no answer.

        They give none with one run of a trained condition, where a target is not learnt, and where runs are copies.
        """
        estimable = both.points.seeds_estimable and both.logit.seeds_estimable
        if not estimable or any(name in self.unlearnt or name in self.copied for name in targets):
            return None
        return within(both, self.verdict.margins)

    def differ(self, contrast: Contrast) -> tuple[str, ...]:
        """The targets of a contrast that it is a difference of, without those that only narrow the languages."""
        return tuple(
            name for name in contrast.targets if contrast.form.signs[self.targets[name].group] != 0.0
        )

    def group(self, name: str) -> tuple[Target, ...]:
        """The targets of a group."""
        return tuple(target for target in self.targets.values() if target.group == name)

    def to_dict(self) -> dict[str, Any]:
        """Every number, ready for JSON; a number that does not exist is None."""
        numbers: dict[str, Any] = _finite(
            {
                "verdict": self.verdict.to_dict(),
                "notes": list(self.notes),
                "method": asdict(self.method),
                "source_language": self.source,
                "conditions": list(self.conditions),
                "averaged_conditions": list(self.averaged),
                "targets": [asdict(target) for target in self.targets.values()],
                "limit": {
                    name: {"first_items": limit, "of": self.totals.get(name)}
                    for name, limit in self.limits.items()
                }
                or None,
                "not_above_chance": list(self.unlearnt),
                "copied_runs": {name: list(conditions) for name, conditions in self.copied.items()},
                "collapsed": _collapse_dict(self.collapse),
                "contrasts": {
                    name: _contrast_dict(one) | {"in_margin": self.equivalent(one.mean, self.differ(one))}
                    for name, one in self.contrasts.items()
                },
                "families": self.families.to_dict(),
                **self.robustness.to_dict(),
                "regressions": [one.to_dict() for one in self.regressions],
                "group_gains": [
                    _gain_dict(gain, "group")
                    | {
                        "in_margin": self.equivalent(
                            gain.both, (one.name for one in self.group(gain.subject))
                        )
                    }
                    for gain in self.groups
                ],
                "task_gains": [_gain_dict(gain, "target") for gain in self.tasks],
                "cell_gains": [_gain_dict(gain, "target") for gain in self.cells],
                "scores": [asdict(score) for score in self.scores],
            }
        )
        return numbers


def analyse(
    frame: pd.DataFrame,
    *,
    margin_points: float = 1.0,
    margin_logit: float = 0.05,
    confidence: float = 0.95,
    clip: bool = True,
    paired: bool = False,
    source: str = "en",
    incomplete: Incomplete = "refuse",
    models: bool = True,
) -> Analysis:
    """Gains, contrasts and the verdict, from tidy scores.

    Args:
        frame: tidy scores (see :mod:`.frame.tidy`); checked here.
        margin_points, margin_logit: half-widths of what counts as no difference, fixed before training.
        confidence: of all intervals.
        clip, paired: see :class:`.estimate.variance.Method`.
        source: language code of training; reported apart from transfer.
        incomplete: see :func:`.frame.tidy.check`.
        models: whether to fit the regressions; without them a simulation of many studies takes a third of the time.

    Raises:
        XevalError: the scores cannot be analysed; the message names the first offending cell.
    """
    if margin_points <= 0 or margin_logit <= 0:
        raise UsageError(
            "an equivalence margin is not positive; give half-widths such as 1.0 points and 0.05 log-odds."
        )
    checked = check(frame, incomplete=incomplete)
    study = build(checked, source=source, method=Method(confidence, clip=clip, paired=paired))
    if not study.conditions:
        raise DataError(
            f"only the baseline ({BASELINE!r}) has scores; evaluate at least one intermediate condition."
        )
    contrasts = _contrasts(study)
    margins = {"points": margin_points, "logit": margin_logit}
    collapsed = collapsed_runs(study, _told(checked, source))
    copies = copied(study, collapsed)
    notes = [*_dropped(frame, checked), *_notes(study, contrasts, copies)]
    key = contrasts.get(forms.KEY.name)
    drawn = draw(study) if key else None
    if isinstance(drawn, str):
        notes.append(
            f"No bootstrap of C, and its conditions are adjusted by Holm's method, not jointly: {drawn}"
        )
        drawn = None
    beside, missing = robustness(checked, study, key, drawn)
    found = Analysis(
        targets=study.targets,
        source=source,
        conditions=study.conditions,
        averaged=single_conditions(study.conditions),
        method=study.method,
        scores=_scores(study),
        cells=_cells(study),
        tasks=_tasks(study),
        groups=_groups(study),
        contrasts=contrasts,
        verdict=_verdict(study, contrasts, margins, copies),
        families=Families(1.0 - confidence, (), ()),
        robustness=beside,
        regressions=regressions(checked, study) if models else (),
        notes=(*notes, *missing),
        checked=checked,
        study=study,
        drawn=drawn,
        unlearnt=tuple(name for name in study.targets if not _learnt(study, name)),
        copied=copies,
        limits=_limits(checked),
    )
    found = replace(found, collapse=_collapse(study, found, collapsed, margins))
    return replace(found, families=families(found, drawn.conditions if drawn else None))


def _contrasts(study: Study) -> dict[str, Contrast]:
    chosen: list[ContrastForm] = [forms.KEY, forms.SAME_FORMAT, forms.REST]
    if not study.in_group(CLASSIFICATION):
        chosen = [forms.QA_HOPS]
    chosen += [forms.CLASSIFICATION_HOPS, *forms.GRID]
    found = {form.name: contrast(study, form) for form in chosen}
    return {name: one for name, one in found.items() if one is not None}


def _scores(study: Study) -> tuple[Score, ...]:
    return tuple(
        Score(
            condition=condition,
            target=target,
            lang=lang,
            score=100.0 * block.score,
            spread=100.0 * float(block.scores.std(ddof=1)) if len(block.seeds) > 1 else None,
            runs=len(block.seeds),
        )
        for (condition, target, lang), block in sorted(study.blocks.items())
    )


def _cells(study: Study) -> tuple[Gain, ...]:
    cells = [cell for cell in sorted(study.blocks) if cell[0] != BASELINE]
    return tuple(Gain(*cell, study.both(forms.cell_gain(*cell))) for cell in cells)


def _tasks(study: Study) -> tuple[Gain, ...]:
    gains = []
    for target in study.targets:
        languages = study.transfer_languages(target)
        own = study.conditions_of([target])
        if languages and own:
            gains += [
                Gain(condition, target, "", study.both(forms.task_gain(chosen, target, languages)))
                for condition, chosen in _with_mean(own)
            ]
    return tuple(gains)


def _groups(study: Study) -> tuple[Gain, ...]:
    gains = []
    for group in GROUPS:
        members = study.in_group(group)
        if members and (own := study.conditions_of(members)):
            gains += [
                Gain(condition, group, "", study.both(forms.group_gain(study, chosen, group)))
                for condition, chosen in _with_mean(own)
            ]
    return tuple(gains)


def _with_mean(conditions: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(MEAN, single_conditions(conditions)), *((condition, (condition,)) for condition in conditions)]


def _verdict(
    study: Study,
    contrasts: Mapping[str, Contrast],
    margins: Mapping[str, float],
    copies: Mapping[str, Sequence[str]],
) -> Verdict:
    key = contrasts.get(forms.KEY.name)
    if key is None:
        return no_contrast(_why_no_contrast(study), margins)
    used = [study.targets[name] for name in key.targets]
    baseline = [len(target.seeds[BASELINE]) for target in used]
    condition = [
        len(target.seeds[name])
        for target in used
        for name in key.conditions
        if (name, target.name) not in key.dropped
    ]
    setting = Setting(
        benchmarks=len(used),
        languages=len(key.languages),
        multi_hop_sets=sum(target.group == MULTI_HOP_QA for target in used),
        baseline_runs=(min(baseline), max(baseline)),
        condition_runs=(min(condition), max(condition)),
    )
    bridge = contrasts.get(forms.SAME_FORMAT.name)
    return judge(
        key.mean,
        key.parts[MULTI_HOP_QA],
        key.parts[CLASSIFICATION],
        setting,
        margins,
        bridge.mean if bridge else None,
        unlearnt=[
            name for name in key.targets if not _above_chance(study, name, key.conditions, key.languages)
        ],
        copied=[name for name in key.targets if name in copies],
    )


def _learnt(study: Study, target: str) -> bool:
    """Whether a target is above chance in its transfer languages under some condition; true where it is unknown."""
    return _above_chance(study, target, study.conditions_of([target]), study.transfer_languages(target))


def _above_chance(study: Study, target: str, conditions: Sequence[str], compared: Sequence[str]) -> bool:
    """Whether some condition's mean over the compared languages is shown to exceed chance; true where it is unknown.

    The runs at hand count, not new seeds: the interval is over items, at the level divided by the number of conditions,
    as of several systems that guess some score above chance.
    """
    languages = [lang for lang in compared if lang in study.targets[target].languages]
    chances = [study.targets[target].chance[lang] for lang in languages]
    if not languages or any(chance is None for chance in chances):
        return True
    chance = 100.0 * sum(value for value in chances if value is not None) / len(chances)
    cells = [
        [(condition, target, lang) for lang in languages]
        for condition in (BASELINE, *conditions)
        if all((condition, target, lang) in study.blocks for lang in languages)
    ]
    level = 1.0 - (1.0 - study.method.confidence) / max(1, len(cells))
    means = (study.estimate(dict.fromkeys(own, 1.0 / len(own)), "points") for own in cells)
    return any(mean.items_interval(level)[0] > chance for mean in means)


def _limits(checked: pd.DataFrame) -> dict[str, int]:
    if "limit" not in checked.columns:
        return {}
    limits = distinct(checked[checked["limit"].notna()], ["target", "limit"])
    return {str(target): int(limit) for target, limit in limits.itertuples(index=False)}


def _told(checked: pd.DataFrame, source: str) -> dict[tuple[str, str, int], str]:
    """Runs that their files call collapsed, and why."""
    run = ["target", "condition", "seed"]
    found: dict[tuple[str, str, int], str] = {}
    if "constant" in checked.columns:
        cells = checked.groupby([*run, "lang"], observed=True)["constant"].all().reset_index()
        for (target, condition, seed), rows in cells.groupby(run, observed=True):
            own = rows[rows["lang"] == source]
            own = rows if own.empty else own
            if own["constant"].all():
                where = f"in {source}" if (own["lang"] == source).all() else "in every language"
                found[str(target), str(condition), int(str(seed))] = (
                    f"the same prediction for every item {where}"
                )
    if "collapsed" in checked.columns:
        reasons = checked.loc[checked["collapsed"] != "", [*run, "collapsed"]].drop_duplicates(run)
        for target, condition, seed, reason in reasons.itertuples(index=False):
            found[str(target), str(condition), int(seed)] = str(reason).rstrip(".")
    return found


def _collapse(
    study: Study, found: Analysis, runs: tuple[CollapsedRun, ...], margins: Mapping[str, float]
) -> Collapse | None:
    """C, group gains and task gains with and without the collapsed runs."""
    if not runs:
        return None
    rest = without(study, runs)
    contrasts = _contrasts(rest)
    verdict = _verdict(rest, contrasts, margins, copied(rest, ()))
    gains = {(gain.condition, gain.subject): gain.both for gain in (*_groups(rest), *_tasks(rest))}
    touched = {run.target for run in runs}
    groups = {study.targets[name].group for name in touched}
    compared = [
        Compared(name, one.mean, contrasts[name].mean if name in contrasts else None)
        for name, one in found.contrasts.items()
        if touched & set(one.targets) and one.form not in forms.GRID
    ]
    compared += [
        Compared(f"G({gain.subject})", gain.both, gains.get((MEAN, gain.subject)))
        for gain in found.groups
        if gain.condition == MEAN and gain.subject in groups
    ]
    compared += [
        Compared(
            f"{gain.subject} after {gain.condition}", gain.both, gains.get((gain.condition, gain.subject))
        )
        for gain in found.tasks
        if gain.condition != MEAN
        and any(run.target == gain.subject and run.condition in (BASELINE, gain.condition) for run in runs)
    ]
    if verdict.headline == found.verdict.headline:
        return Collapse(runs, tuple(compared), "Without these runs the outcome stays the same.", "")
    return Collapse(
        runs,
        tuple(compared),
        f"Without these runs the outcome is another: “{verdict.headline}” instead of “{found.verdict.headline}”.",
        verdict.headline,
    )


def _why_no_contrast(study: Study) -> str:
    lacking = [group for group in (MULTI_HOP_QA, CLASSIFICATION) if not study.in_group(group)]
    if lacking:
        return (
            f"The scores hold no {' and no '.join(lacking)} target in a language other than {study.source}, "
            "so the gains below stand alone and nothing is said about multi-hop targets against "
            "classification."
        )
    groups = tuple(forms.KEY.signs)
    conditions = study.conditions_of(name for group in groups for name in study.in_group(group))
    if match(study, single_conditions(conditions), groups, keep_same_source=True):
        return (
            f"Of {_pairs(study, conditions)} the condition holds (nearly) the target's own English training data, so "
            "their gain is no transfer from another task, and without them no multi-hop QA target is left to compare "
            "with a classification target; the gains below stand alone."
        )
    return (
        "No multi-hop QA target shares a transfer language and a condition with a classification target, so "
        "the two cannot be compared; the gains below stand alone."
    )


def _pairs(study: Study, conditions: Sequence[str]) -> str:
    """The pairs of one source that C leaves out: ``mnli on xnli``."""
    groups = tuple(forms.KEY.signs)
    return ", ".join(
        f"{condition} on {name}"
        for condition in conditions
        for group in groups
        for name in study.in_group(group)
        if same_source(condition, name)
    )


def _dropped(frame: pd.DataFrame, checked: pd.DataFrame) -> list[str]:
    """A sentence on the runs that are not complete and were left out on request."""
    run = ["target", "condition", "seed"]
    kept = set(distinct(checked, run).astype(str).itertuples(index=False, name=None))
    given = frame.loc[frame["group"] != DIAGNOSTIC, run].drop_duplicates()
    given = given.assign(seed=pd.to_numeric(given["seed"]).astype("int64"))
    lost = sorted(set(given.astype(str).itertuples(index=False, name=None)) - kept)
    listed = "; ".join(f"{target}, {condition} seed {seed}" for target, condition, seed in lost)
    return (
        [f"Runs that are not complete, or have no complete baseline, are left out: {listed}."] if lost else []
    )


def _copies(copied: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence that names the targets and conditions whose runs agree on every item cluster, if there are any."""
    if not copied:
        return []
    found = "; ".join(f"{name} ({', '.join(conditions)})" for name, conditions in copied.items())
    return [
        f"Several runs score the same on every item: {found}. Unless training gave the same model again, "
        "they are copies of one run, and intervals that count them as several are too short."
    ]


def _notes(study: Study, contrasts: Mapping[str, Contrast], copies: Mapping[str, Sequence[str]]) -> list[str]:
    notes: list[str] = []
    if not any(study.source in target.languages for target in study.targets.values()):
        languages = sorted({lang for target in study.targets.values() for lang in target.languages})
        notes.append(
            f"No target has scores in the language of training, {study.source}, so that every language counts as one "
            f"of transfer: {', '.join(languages)}."
        )
    notes += _copies(copies)
    for target in study.targets.values():
        single = [
            name for name, seeds in target.seeds.items() if len(seeds) == 1 and name not in target.given
        ]
        if single:
            notes.append(
                f"{target.name}: one run of {', '.join(single)}; its intervals cover new items only, not new "
                "seeds."
            )
        if not study.transfer_languages(target.name):
            notes.append(f"{target.name}: evaluated in {study.source} only; it has no transfer gain.")
        if lacking := [name for name in study.conditions if name not in target.seeds]:
            notes.append(f"{target.name}: lacks the conditions {', '.join(lacking)}.")
    if study.conditions == single_conditions(study.conditions) and all(
        has_several(name) for name in study.conditions
    ):
        notes.append("Every condition has several intermediate tasks; the means are over these conditions.")
    notes += [
        f"{condition}: several seeds start from one intermediate checkpoint; their intervals are conditional "
        "on it."
        for condition in study.shared_parents
    ]
    key, bridge = contrasts.get(forms.KEY.name), contrasts.get(forms.SAME_FORMAT.name)
    if key and key.unmatched:
        pairs = "; ".join(" and ".join(pair) for pair in key.unmatched)
        notes.append(f"No shared language, so left out of C: {pairs}.")
    if key and key.dropped:
        pairs = "; ".join(
            f"{condition} on {name} ({same_source(condition, name)})" for condition, name in key.dropped
        )
        notes.append(f"Left out of C, as the gain is no transfer from another task: {pairs}.")
        members = [name for group in key.form.signs for name in study.in_group(group)]
        singles = single_conditions(study.conditions_of(members))
        if lost := [name for name in singles if name not in key.conditions]:
            notes.append(
                f"No target of one group is left for {', '.join(lost)}; C is over {', '.join(key.conditions)}."
            )
    rest = contrasts.get(forms.REST.name)
    if key and bridge and rest:
        total = bridge.mean.points.value + rest.mean.points.value
        if abs(total - key.mean.points.value) > 1e-9:
            notes.append(
                "C_QA and C − C_QA use, for each condition and combination of targets, what they share with "
                f"single-hop QA too, so they add up to {total:+.2f} points instead of C = "
                f"{key.mean.points.value:+.2f}."
            )
    if study.in_group(MULTI_HOP_CLASSIFICATION) and study.in_group(SINGLE_HOP_QA):
        notes.append("Hop count and answer format are crossed in these targets; see the format x hops table.")
    return notes


def _gain_dict(gain: Gain, subject: str) -> dict[str, Any]:
    return {"condition": gain.condition, subject: gain.subject, "lang": gain.lang or None} | _both_dict(
        gain.both
    )


def _both_dict(both: Both) -> dict[str, Any]:
    return {"points": both.points.to_dict(), "logit": both.logit.to_dict()}


def _collapse_dict(collapse: Collapse | None) -> dict[str, Any] | None:
    if collapse is None:
        return None
    return {
        "rule": collapse.rule,
        "runs": [asdict(run) for run in collapse.runs],
        "sentence": collapse.sentence,
        "headline_without": collapse.headline or None,
        "compared": [
            {
                "name": one.name,
                "with": _both_dict(one.all_runs),
                "without": _both_dict(one.without) if one.without else None,
            }
            for one in collapse.compared
        ],
    }


def _contrast_dict(one: Contrast) -> dict[str, Any]:
    return {
        "formula": one.form.formula,
        "factors": dict(one.form.signs),
        "mean": _both_dict(one.mean),
        "by_condition": {name: _both_dict(both) for name, both in one.by_condition.items()},
        "parts": {name: _both_dict(both) for name, both in one.parts.items()},
        "averaged_conditions": list(one.conditions),
        "targets": list(one.targets),
        "languages": list(one.languages),
        "unmatched": [list(pair) for pair in one.unmatched],
        "dropped": [list(pair) for pair in one.dropped],
        "retention": dict(one.retention),
    }


def _finite(value: Any) -> Any:
    """The same structure with None for numbers that are not finite, and lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
