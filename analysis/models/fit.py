"""Random terms, and what a fitted mixed model says of its fixed effects and variances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from xeval.analysis.estimate.variance import Floats, Integers


@dataclass(frozen=True)
class RandomTerm:
    """One grouping factor with a random intercept.

    Attributes:
        codes: (n,) level of every row, 0 to levels - 1, each level used.
    """

    name: str
    codes: Integers

    @cached_property
    def levels(self) -> int:
        return int(self.codes.max()) + 1


def random_term(name: str, labels: Sequence[Any]) -> RandomTerm:
    """A term from one label per row."""
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
    return RandomTerm(name, codes)


@dataclass(frozen=True)
class TTest:
    """A linear combination of fixed effects with a t test; ``df`` is stated by the caller."""

    name: str
    value: float
    se: float
    df: float
    confidence: float = 0.95

    @property
    def p_value(self) -> float:
        if self.se == 0.0:
            return 1.0 if self.value == 0.0 else 0.0
        return float(2.0 * stdtr(self.df, -abs(self.value) / self.se))

    @property
    def interval(self) -> tuple[float, float]:
        half = float(stdtrit(self.df, 0.5 + self.confidence / 2.0)) * self.se
        return self.value - half, self.value + half


@dataclass(frozen=True)
class Coefficients:
    """Estimated coefficients and their covariance, in the order of ``names``."""

    names: tuple[str, ...]
    beta: Floats
    covariance: Floats

    @property
    def standard_errors(self) -> Floats:
        return np.sqrt(np.diag(self.covariance))

    def test(self, name: str, weights: Mapping[str, float], df: float) -> TTest:
        """The combination ``sum of weight * coefficient`` against 0."""
        direction = np.array([weights.get(column, 0.0) for column in self.names])
        variance = float(direction @ self.covariance @ direction)
        return TTest(name, float(direction @ self.beta), float(np.sqrt(max(0.0, variance))), df)


@dataclass(frozen=True)
class MixedFit(Coefficients):
    """A fitted model.

    Attributes:
        beta, covariance: of the fixed effects.
        components: term -> variance of its effects.
        residual: residual variance (1 where the residual covariance is known).
        deviance: -2 log restricted likelihood.
        gradient: largest change of the deviance at the optimum per relative change of a parameter.
        singular: terms whose variance is below 1e-4 of the residual variance.
        converged: the gradient vanishes, and two starts reach the same deviance to 1e-3.
        starts: deviance reached from each start.
        effects: term -> (levels,) predicted effects; ``fitted`` holds fixed and random parts.
    """

    components: Mapping[str, float]
    levels: Mapping[str, int]
    residual: float
    deviance: float
    rows: int
    gradient: float
    singular: tuple[str, ...]
    converged: bool
    starts: tuple[float, ...]
    effects: Mapping[str, Floats]
    fitted: Floats
    residuals: Floats

    @property
    def problems(self) -> tuple[str, ...]:
        """Plain sentences on what is wrong with the fit; empty if nothing is."""
        found = []
        if not self.converged:
            found.append(
                f"The fit did not converge (gradient {self.gradient:.2g}; -2 log-likelihood per start "
                f"{', '.join(f'{value:.4f}' for value in self.starts)}); do not use it."
            )
        if self.singular:
            found.append(
                f"The fit is singular: no variance was found for {', '.join(self.singular)}; standard errors "
                "that rest on it are those of a model without it."
            )
        return tuple(found)
