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
from xeval.analysis.estimate.bootstrap import Bootstrapped, intervals, replicates
from xeval.analysis.estimate.estimands import KEY, Contrast, mean
from xeval.analysis.estimate.variance import SCALES, Floats, Scale
from xeval.analysis.frame.arrays import Both, Study
from xeval.analysis.tests.evidence import Evidence, evidence
from xeval.analysis.tests.multiplicity import condition_contrasts, simultaneous
from xeval.errors import DataError, UsageError

REPLICATES = 2_000
ROOT_SEED = 0


@dataclass(frozen=True)
class Band:
    """C(k) of one condition; ``points`` and ``logit`` are intervals that hold at once for all conditions."""

    condition: str
    both: Both
    points: tuple[float, float]
    logit: tuple[float, float]

    def on(self, scale: Scale) -> tuple[float, float]:
        return self.points if scale == "points" else self.logit

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "condition": self.condition,
            **{
                scale: {
                    "value": self.both.on(scale).value,
                    "low": self.on(scale)[0],
                    "high": self.on(scale)[1],
                }
                for scale in SCALES
            },
        }


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

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "bootstrap": {scale: one.to_dict() for scale, one in self.bootstrap.items()}
            if self.bootstrap
            else None,
            "bands": {"joint": self.joint, "conditions": [one.to_dict() for one in self.bands]}
            if self.bands
            else None,
            "evidence": self.evidence.to_dict() if self.evidence else None,
            "leave_one_out": [one.to_dict() for one in self.leave_one_out] if self.leave_one_out else None,
            "specification_curve": self.specifications.to_dict() if self.specifications else None,
            "baseline_control": asdict(self.control) if self.control else None,
            "baseline_slope": asdict(self.slope) if self.slope else None,
            "other_scales": [one.to_dict() for one in self.scales] if self.scales else None,
        }


@dataclass(frozen=True)
class Drawn:
    """Joint replicates of C and of C(k) in the order of :func:`.tests.multiplicity.condition_contrasts`."""

    whole: Mapping[Scale, Bootstrapped]
    conditions: Mapping[Scale, Floats]


def draw(study: Study) -> Drawn | str:
    """Replicates of C and its conditions, or in one sentence why there are none."""
    weights = condition_contrasts(study)
    whole = {KEY.name: mean(list(weights.values()))}
    by_scale: dict[Scale, Bootstrapped] = {}
    by_condition: dict[Scale, Floats] = {}
    for scale in SCALES:
        try:
            drawn = replicates(study, whole | weights, REPLICATES, ROOT_SEED, scale)
        except (UsageError, DataError) as error:
            return str(error)
        by_scale[scale] = intervals(study, whole, drawn[:, :1], scale)[KEY.name]
        by_condition[scale] = drawn[:, 1:]
    return Drawn(by_scale, by_condition)


def robustness(
    frame: pd.DataFrame, study: Study, key: Contrast | None, drawn: Drawn | None
) -> tuple[Robustness, list[str]]:
    """All parts, and a sentence for each that these data do not allow.

    Args:
        frame: checked tidy scores; ``study`` is built from them.
        key: C of the study; ``drawn``: its replicates, where the runs allow them.
    """
    curve = specification_curve(frame, study)
    found = Robustness(
        bootstrap=drawn.whole if drawn else None,
        bands=_bands(key, drawn) if key else None,
        joint=drawn is not None,
        evidence=evidence(key.mean.points) if key else None,
        leave_one_out=(leave_one_out(study) or None) if key else None,
        specifications=curve if curve.specifications else None,
        control=baseline_control(study),
        slope=baseline_slope(study),
        scales=(other_scales(study) or None) if key else None,
    )
    notes = []
    if key and found.bands is None:
        notes.append("A trained condition has one run: no simultaneous intervals of C by condition.")
    if key and found.evidence is None:
        notes.append("No Bayes factor of C: it has no standard error over new seeds and items.")
    if key and found.leave_one_out is None:
        notes.append(
            "C rests on one target of either group, one language and one condition: none can be left out."
        )
    if found.control is None:
        notes.append(
            f"No check of the baseline against itself: fewer than {FEWEST_RUNS} baseline seeds are common to the "
            "trained targets."
        )
    if found.slope is None:
        notes.append(
            "No slope of gain on baseline: it needs 2 baseline seeds common to the trained targets, and 3 pairs of "
            "target and language with different baselines."
        )
    return found, notes


def _bands(key: Contrast, drawn: Drawn | None) -> tuple[Band, ...] | None:
    estimates = {name: key.by_condition[name] for name in key.conditions}
    if not all(both.points.seeds_estimable for both in estimates.values()):
        return None
    points, logit = (
        simultaneous(
            [both.on(scale) for both in estimates.values()], drawn.conditions[scale] if drawn else None
        )
        for scale in SCALES
    )
    return tuple(
        Band(name, both, points[place], logit[place]) for place, (name, both) in enumerate(estimates.items())
    )
