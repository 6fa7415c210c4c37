"""What a result says for and against "no difference": Bayes factors as a curve, and what equivalence needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from xeval.analysis.estimate.variance import Estimate
from xeval.errors import UsageError

TAUS = (0.5, 1.0, 2.0)
INFORMATIVE = 3.0


def bayes_factor(value: float, se: float, tau: float) -> float:
    """BF01: evidence for 0 against a normal prior with mean 0 and standard deviation ``tau`` for the true value.

    ``sqrt(1 + tau²/se²) exp(-z²/2 tau²/(tau² + se²))`` with z = value/se, the ratio of the two marginal normal
    densities of the estimate (Dienes 2014; Wagenmakers et al. 2010 for the same ratio as Savage-Dickey).

    Raises:
        UsageError: ``se`` or ``tau`` is not positive.
    """
    if not (se > 0.0 and tau > 0.0):
        raise UsageError("a Bayes factor needs a positive standard error and a positive prior width.")
    ratio = tau**2 / (tau**2 + se**2)
    return float(np.sqrt(1.0 + tau**2 / se**2) * np.exp(-0.5 * (value / se) ** 2 * ratio))


@dataclass(frozen=True)
class Evidence:
    """The curve of BF01 over prior widths (points); informative where it passes 3 either way somewhere."""

    factors: Mapping[float, float]

    @property
    def informative(self) -> bool:
        return any(factor >= INFORMATIVE or factor <= 1.0 / INFORMATIVE for factor in self.factors.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "bf01": {f"{tau:g}": factor for tau, factor in self.factors.items()},
            "informative": self.informative,
        }


def evidence(estimate: Estimate, taus: Sequence[float] = TAUS) -> Evidence | None:
    """The curve for an estimate; None where it has no standard error over seeds and items."""
    if not estimate.seeds_estimable or estimate.se == 0.0:
        return None
    return Evidence({tau: bayes_factor(estimate.value, estimate.se, tau) for tau in taus})


def needed_se(margin: float, wanted: float = 0.8, *, confidence: float = 0.95) -> float:
    """Largest standard error with which two one-sided tests show equivalence with power ``wanted`` at C = 0.

    Normal approximation: ``margin / (z_(1-alpha) + z_((1+power)/2))``, which is margin / 2.93 at 0.05 and 0.80
    (Schuirmann 1987).
    """
    if not (margin > 0.0 and 0.0 < wanted < 1.0):
        raise UsageError("equivalence needs a positive margin and a power between 0 and 1.")
    return float(margin / (ndtri(confidence) + ndtri((1.0 + wanted) / 2.0)))
