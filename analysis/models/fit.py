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
    """One grouping factor.

    Attributes:
        codes: (n,) level of every row, 0 to levels - 1, each level used.
        columns: (n, q) what the effects of a level multiply; a column of ones is a random intercept.
    """

    name: str
    codes: Integers
    columns: Floats

    @cached_property
    def levels(self) -> int:
        return int(self.codes.max()) + 1

    @property
    def size(self) -> int:
        """Effects per level."""
        return int(self.columns.shape[1])


def random_term(name: str, labels: Sequence[Any], columns: Floats | None = None) -> RandomTerm:
    """A term from one label per row; a random intercept unless ``columns`` are given."""
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
    return RandomTerm(name, codes, np.ones((codes.size, 1)) if columns is None else columns)


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

    def to_dict(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "name": self.name, "value": self.value, "se": self.se, "df": self.df, "low": low, "high": high,
            "p_value": self.p_value,
        }  # fmt: skip


@dataclass(frozen=True)
class MixedFit:
    """A fitted model.

    Attributes:
        beta, covariance: fixed effects, in the order of ``names``.
        components: term -> (q, q) covariance of its effects.
        residual: residual variance (1 where the residual covariance is known).
        deviance: -2 log likelihood, restricted if ``reml``.
        theta: optimum; ``gradient``: largest change of the deviance there per relative change of a parameter.
        singular: terms whose variance is below 1e-4 of the residual variance.
        converged: the gradient vanishes, and two starts reach the same deviance to 1e-3.
        starts: deviance reached from each start.
        effects: term -> (levels, q) predicted effects; ``fitted`` holds fixed and random parts.
    """

    names: tuple[str, ...]
    beta: Floats
    covariance: Floats
    components: Mapping[str, Floats]
    levels: Mapping[str, int]
    residual: float
    deviance: float
    reml: bool
    rows: int
    theta: Floats
    gradient: float
    singular: tuple[str, ...]
    converged: bool
    starts: tuple[float, ...]
    effects: Mapping[str, Floats]
    fitted: Floats
    residuals: Floats

    def variance(self, term: str) -> float:
        """Variance of a random intercept."""
        return float(self.components[term][0, 0])

    @property
    def standard_errors(self) -> Floats:
        return np.sqrt(np.diag(self.covariance))

    def test(self, name: str, weights: Mapping[str, float], df: float, confidence: float = 0.95) -> TTest:
        """The combination ``sum of weight * coefficient`` against 0."""
        direction = np.array([weights.get(one, 0.0) for one in self.names])
        variance = float(direction @ self.covariance @ direction)
        return TTest(name, float(direction @ self.beta), float(np.sqrt(max(0.0, variance))), df, confidence)

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

    def to_dict(self) -> dict[str, Any]:
        return {
            "coefficients": {
                name: {"value": float(value), "se": float(se)}
                for name, value, se in zip(self.names, self.beta, self.standard_errors, strict=True)
            },
            "components": {name: matrix.tolist() for name, matrix in self.components.items()},
            "levels": dict(self.levels),
            "residual": self.residual,
            "deviance": self.deviance,
            "reml": self.reml,
            "rows": self.rows,
            "singular": list(self.singular),
            "converged": self.converged,
            "gradient": self.gradient,
            "starts": list(self.starts),
            "problems": list(self.problems),
        }
