"""One entry point: tidy scores in, an analysis out."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from xeval.analysis.checks.collapse import Collapse, CollapsedRun, Compared, collapsed_runs, copied, without
from xeval.analysis.checks.robustness import Missing, Resampled, Robustness, resample, robustness
from xeval.analysis.estimate.arrays import Estimates, Study, Target, build
from xeval.analysis.estimate.estimands import GRID, KEY, Contrast, contrasts
from xeval.analysis.estimate.gains import Gain, Gains, Score, all_gains, mean_scores
from xeval.analysis.estimate.selection import learnt
from xeval.analysis.estimate.variance import Method
from xeval.analysis.frame.tidy import Incomplete, check, distinct
from xeval.analysis.notes import data_notes, dropped_runs
from xeval.analysis.tests.families import Families, families
from xeval.analysis.verdict import Verdict, judge_study, within
from xeval.conditions import BASELINE, MEAN, single_conditions
from xeval.errors import DataError, UsageError

if TYPE_CHECKING:
    from xeval.analysis.models.collection import RegressionTable


@dataclass(frozen=True, eq=False)
class Analysis:
    """A study's verdict, and what stands beside it; that is computed when it is first asked for, and kept.

    Attributes:
        checked, study: the scores that all this is of, as rows and as arrays.
        contrasts: by name: ``C``, and, where the groups allow, ``C_QA``, ``C − C_QA``, ``C_CLS`` and the
            format x hops grid.
        copied: target -> conditions that have runs with the same scores on every item.
        collapsed: the runs that learnt nothing.
        remarks: what a reader must know about the data: plain sentences.
        totals: target -> number of items of a language if all were evaluated, where that is known.
    """

    checked: pd.DataFrame = field(repr=False)
    study: Study = field(repr=False)
    contrasts: Mapping[str, Contrast] = field(repr=False)
    verdict: Verdict
    copied: Mapping[str, tuple[str, ...]]
    collapsed: tuple[CollapsedRun, ...]
    remarks: tuple[str, ...] = ()
    totals: Mapping[str, int] = field(default_factory=dict)

    @property
    def targets(self) -> Mapping[str, Target]:
        """By name."""
        return self.study.targets

    @property
    def source(self) -> str:
        """The language of training."""
        return self.study.source

    @property
    def method(self) -> Method:
        """How the intervals are made."""
        return self.study.method

    @property
    def conditions(self) -> tuple[str, ...]:
        """All intermediate conditions."""
        return self.study.conditions

    @property
    def averaged(self) -> tuple[str, ...]:
        """The single intermediate tasks that means are over."""
        return single_conditions(self.study.conditions)

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """Of every condition, target and language."""
        return mean_scores(self.study)

    @cached_property
    def gains(self) -> Gains:
        """Of every cell, target and group."""
        return all_gains(self.study)

    @cached_property
    def unlearnt(self) -> tuple[str, ...]:
        """Targets on which no condition is above chance in the transfer languages."""
        return tuple(name for name in self.targets if not learnt(self.study, name))

    @cached_property
    def collapse(self) -> Collapse | None:
        """What changes without the runs that learnt nothing; None where there are none."""
        return _collapse(self) if self.collapsed else None

    @cached_property
    def limits(self) -> Mapping[str, int]:
        """Target -> number of first items that were evaluated, of targets that were not evaluated whole."""
        return _limits(self.checked)

    @cached_property
    def resampled(self) -> Resampled | Missing:
        """Bootstrap replicates of C and its conditions, or why there are none."""
        return resample(self.study)

    @cached_property
    def families(self) -> Families:
        """All tests in their order, and in how many languages a gain is shown."""
        replicates = None if isinstance(self.resampled, Missing) else self.resampled.conditions
        return families(self.contrasts, self.gains, self.method.confidence, replicates)

    @cached_property
    def robustness(self) -> Robustness:
        """What stands beside the verdict: bootstrap, variants, controls."""
        return robustness(self.checked, self.study, self.contrasts.get(KEY.name), self.resampled)

    @cached_property
    def models(self) -> "tuple[RegressionTable, ...]":
        """The models of all cells and of the items, each fitted or with the reason why not."""
        from xeval.analysis.models.collection import regressions

        return regressions(self.checked, self.study)

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, and a sentence for each part of the robustness that these data do not allow."""
        return (*self.remarks, *self.robustness.missing)

    def equivalent(self, estimates: Estimates, targets: Iterable[str]) -> bool | None:
        """Whether a gain or contrast on ``targets`` lies inside the margin; None where these runs give no answer.

        They give none with one run of a trained condition, where a target is not learnt, and where runs are copies.
        """
        estimable = all(estimate.seeds_estimable for estimate in estimates)
        if not estimable or any(name in self.unlearnt or name in self.copied for name in targets):
            return None
        return within(estimates, self.verdict.margins)

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
                "targets": [target.to_dict() for target in self.targets.values()],
                "limit": {
                    name: {"first_items": limit, "of": self.totals.get(name)}
                    for name, limit in self.limits.items()
                }
                or None,
                "not_above_chance": list(self.unlearnt),
                "copied_runs": {name: list(conditions) for name, conditions in self.copied.items()},
                "collapsed": _collapse_dict(self.collapse),
                "contrasts": {
                    name: _contrast_dict(contrast)
                    | {"in_margin": self.equivalent(contrast, self.differ(contrast))}
                    for name, contrast in self.contrasts.items()
                },
                "families": self.families.to_dict(),
                **self.robustness.to_dict(),
                "regressions": [model.to_dict() for model in self.models],
                "group_gains": [
                    _gain_dict(gain, "group")
                    | {
                        "in_margin": self.equivalent(
                            gain, (target.name for target in self.group(gain.subject))
                        )
                    }
                    for gain in self.gains.groups
                ],
                "task_gains": [_gain_dict(gain, "target") for gain in self.gains.tasks],
                "cell_gains": [_gain_dict(gain, "target") for gain in self.gains.cells],
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
) -> Analysis:
    """Contrasts and the verdict, from tidy scores, and on request all that stands beside them.

    Args:
        frame: tidy scores (see :mod:`.frame.tidy`); checked here.
        margin_points, margin_logit: half-widths of what counts as no difference, fixed before training.
        confidence: of all intervals.
        clip, paired: see :class:`.estimate.variance.Method`.
        source: language code of training; reported apart from transfer.
        incomplete: see :func:`.frame.tidy.check`.

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
    margins = {"points": margin_points, "logit": margin_logit}
    collapsed = collapsed_runs(study, _told(checked, source))
    copies = copied(study, collapsed)
    found = contrasts(study)
    lost = dropped_runs(frame, checked) if incomplete == "drop" else []
    return Analysis(
        checked=checked,
        study=study,
        contrasts=found,
        verdict=judge_study(study, found, margins, copies),
        copied=copies,
        collapsed=collapsed,
        remarks=(*lost, *data_notes(study, found, copies)),
    )


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
            chosen = rows[rows["lang"] == source]
            chosen = rows if chosen.empty else chosen
            if chosen["constant"].all():
                where = f"in {source}" if (chosen["lang"] == source).all() else "in every language"
                found[str(target), str(condition), int(str(seed))] = (
                    f"the same prediction for every item {where}"
                )
    if "collapsed" in checked.columns:
        reasons = checked.loc[checked["collapsed"] != "", [*run, "collapsed"]].drop_duplicates(run)
        for target, condition, seed, reason in reasons.itertuples(index=False):
            found[str(target), str(condition), int(seed)] = str(reason).rstrip(".")
    return found


def _collapse(analysis: Analysis) -> Collapse:
    """C, group gains and task gains with and without the collapsed runs."""
    runs = analysis.collapsed
    rest = without(analysis.study, runs)
    left = contrasts(rest)
    verdict = judge_study(rest, left, analysis.verdict.margins, copied(rest, ()))
    gains = all_gains(rest)
    gain_of = {(gain.condition, gain.subject): gain for gain in (*gains.groups, *gains.tasks)}
    touched = {run.target for run in runs}
    groups = {analysis.targets[name].group for name in touched}
    compared = [
        Compared(name, contrast, left.get(name))
        for name, contrast in analysis.contrasts.items()
        if touched & set(contrast.targets) and contrast.form not in GRID
    ]
    compared += [
        Compared(f"G({group})", gain, gain_of.get((MEAN, group)))
        for group, gain in analysis.gains.mean_of_groups().items()
        if group in groups
    ]
    compared += [
        Compared(f"{gain.subject} after {gain.condition}", gain, gain_of.get((gain.condition, gain.subject)))
        for gain in analysis.gains.tasks
        if gain.condition != MEAN
        and any(run.target == gain.subject and run.condition in (BASELINE, gain.condition) for run in runs)
    ]
    before, after = analysis.verdict.headline, verdict.headline
    if before == after:
        return Collapse(runs, tuple(compared), "Without these runs the outcome stays the same.", "")
    sentence = f"Without these runs the outcome is another: “{after}” instead of “{before}”."
    return Collapse(runs, tuple(compared), sentence, after)


def _gain_dict(gain: Gain, subject: str) -> dict[str, Any]:
    return {"condition": gain.condition, subject: gain.subject, "lang": gain.lang or None} | _estimates_dict(
        gain
    )


def _estimates_dict(estimates: Estimates) -> dict[str, Any]:
    return {"points": estimates.points.to_dict(), "logit": estimates.logit.to_dict()}


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
                "name": compared.name,
                "with": _estimates_dict(compared.all_runs),
                "without": _estimates_dict(compared.without) if compared.without else None,
            }
            for compared in collapse.compared
        ],
    }


def _contrast_dict(contrast: Contrast) -> dict[str, Any]:
    return {
        "formula": contrast.form.formula,
        "factors": dict(contrast.form.signs),
        "mean": _estimates_dict(contrast),
        "by_condition": {name: _estimates_dict(alone) for name, alone in contrast.by_condition.items()},
        "parts": {name: _estimates_dict(gain) for name, gain in contrast.parts.items()},
        "averaged_conditions": list(contrast.conditions),
        "targets": list(contrast.targets),
        "languages": list(contrast.languages),
        "unmatched": [list(pair) for pair in contrast.unmatched],
        "dropped": [list(pair) for pair in contrast.dropped],
        "retention": dict(contrast.retention),
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
