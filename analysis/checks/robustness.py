"""What stands beside the verdict: the bootstrap of C, its conditions at once, evidence, variants and controls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from xeval.analysis.checks.controls import FEWEST_RUNS, Control, Slope, baseline_control, baseline_slope
from xeval.analysis.checks.sensitivity import (
    LeftOut,
    OnScale,
    SpecificationCurve,
    leave_one_out,
    other_scales,
    specification_curve,
)
from xeval.analysis.estimate.arrays import Estimates, Study
from xeval.analysis.estimate.bootstrap import Bootstrapped, intervals, replicates
from xeval.analysis.estimate.estimands import KEY, Contrast, condition_contrasts, mean
from xeval.analysis.estimate.variance import SCALES, Floats, Scale
from xeval.analysis.tests.evidence import Evidence, evidence
from xeval.analysis.tests.multiplicity import simultaneous
from xeval.errors import DataError, UsageError

REPLICATES = 2_000
ROOT_SEED = 0


@dataclass(frozen=True)
class Band:
    """C(k) of one condition; ``intervals``, by scale, hold at once for all conditions."""

    condition: str
    estimates: Estimates
    intervals: Mapping[Scale, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        scales: dict[str, Any] = {
            scale: {"value": self.estimates[scale].value, "low": low, "high": high}
            for scale, (low, high) in self.intervals.items()
        }
        return {"condition": self.condition, **scales}


@dataclass(frozen=True)
class Robustness:
    """Each part is None where these data do not allow it.

    Attributes:
        bootstrap: the Multi-Bootstrap interval of C, by scale; the verdict stands on the closed form.
        bands: C(k) of the single intermediate tasks; ``joint`` says whether their dependence is used (max-T) or
            Bonferroni's bound.
        leave_one_out: C without one target, language or condition.
        control: baselines against themselves; ``slope``: gain against baseline.
        scales: C on scales that are not the verdict's.
        has_contrast: whether the study has a C; ``not_resampled``: why C has no bootstrap, in a sentence.
    """

    bootstrap: Mapping[Scale, Bootstrapped] | None
    bands: tuple[Band, ...] | None
    joint: bool
    evidence: Evidence | None
    leave_one_out: tuple[LeftOut, ...] | None
    specifications: SpecificationCurve | None
    control: Control | None
    slope: Slope | None
    scales: tuple[OnScale, ...] | None = None
    has_contrast: bool = True
    not_resampled: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """A sentence for each part that these data do not allow."""
        notes = [self.not_resampled] if self.not_resampled else []
        if self.has_contrast and self.bands is None:
            notes.append("A trained condition has one run: no simultaneous intervals of C by condition.")
        if self.has_contrast and self.evidence is None:
            notes.append("No Bayes factor of C: it has no standard error over new seeds and items.")
        if self.has_contrast and self.leave_one_out is None:
            notes.append(
                "C rests on one target of either group, one language and one condition: none can be left out."
            )
        if self.control is None:
            notes.append(
                f"No check of the baseline against itself: fewer than {FEWEST_RUNS} baseline seeds are common to the "
                "trained targets."
            )
        if self.slope is None:
            notes.append(
                "No slope of gain on baseline: it needs 2 baseline seeds common to the trained targets, and 3 pairs of "
                "target and language with different baselines."
            )
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "bootstrap": {scale: interval.to_dict() for scale, interval in self.bootstrap.items()}
            if self.bootstrap
            else None,
            "bands": {"joint": self.joint, "conditions": [band.to_dict() for band in self.bands]}
            if self.bands
            else None,
            "evidence": self.evidence.to_dict() if self.evidence else None,
            "leave_one_out": [left_out.to_dict() for left_out in self.leave_one_out]
            if self.leave_one_out
            else None,
            "specification_curve": self.specifications.to_dict() if self.specifications else None,
            "baseline_control": asdict(self.control) if self.control else None,
            "baseline_slope": asdict(self.slope) if self.slope else None,
            "other_scales": [scaled.to_dict() for scaled in self.scales] if self.scales else None,
        }


@dataclass(frozen=True)
class Resampled:
    """Joint replicates of C and of C(k) in the order of :func:`.estimate.estimands.condition_contrasts`."""

    whole: Mapping[Scale, Bootstrapped]
    conditions: Mapping[Scale, Floats]


@dataclass(frozen=True)
class Missing:
    """What these data do not allow, and why, in a sentence; empty where there is no C to begin with."""

    reason: str = ""


def resample(study: Study) -> Resampled | Missing:
    """Replicates of C and its conditions, or why there are none."""
    weights = condition_contrasts(study)
    if not weights:
        return Missing()
    whole = {KEY.name: mean(list(weights.values()))}
    by_scale: dict[Scale, Bootstrapped] = {}
    by_condition: dict[Scale, Floats] = {}
    for scale in SCALES:
        try:
            values = replicates(study, whole | weights, REPLICATES, ROOT_SEED, scale)
        except (UsageError, DataError) as error:
            return Missing(
                f"No bootstrap of C, and its conditions are adjusted by Holm's method, not jointly: {error}"
            )
        by_scale[scale] = intervals(study, whole, values[:, :1], scale)[KEY.name]
        by_condition[scale] = values[:, 1:]
    return Resampled(by_scale, by_condition)


def robustness(
    frame: pd.DataFrame, study: Study, key: Contrast | None, resampled: Resampled | Missing
) -> Robustness:
    """All parts.

    Args:
        frame: checked tidy scores; ``study`` is built from them.
        key: C of the study; ``resampled``: its replicates, where the runs allow them.
    """
    replicated = None if isinstance(resampled, Missing) else resampled
    curve = specification_curve(frame, study)
    return Robustness(
        bootstrap=replicated.whole if replicated else None,
        bands=_bands(key, replicated) if key else None,
        joint=replicated is not None,
        evidence=evidence(key.points) if key else None,
        leave_one_out=(leave_one_out(study) or None) if key else None,
        specifications=curve if curve.specifications else None,
        control=baseline_control(study),
        slope=baseline_slope(study),
        scales=(other_scales(study) or None) if key else None,
        has_contrast=key is not None,
        not_resampled=resampled.reason if isinstance(resampled, Missing) else "",
    )


def _bands(key: Contrast, resampled: Resampled | None) -> tuple[Band, ...] | None:
    estimates = {name: key.by_condition[name] for name in key.conditions}
    if not all(estimate.points.seeds_estimable for estimate in estimates.values()):
        return None
    intervals_of = {
        scale: simultaneous(
            [estimate[scale] for estimate in estimates.values()],
            resampled.conditions[scale] if resampled else None,
        )
        for scale in SCALES
    }
    return tuple(
        Band(name, estimate, {scale: intervals_of[scale][place] for scale in SCALES})
        for place, (name, estimate) in enumerate(estimates.items())
    )
