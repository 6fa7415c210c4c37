"""Binomial mixed models with random intercepts by Laplace's approximation, as lme4's ``glmer`` with ``nAGQ = 1``.

``y_i ~ Binomial(n_i, inverse logit(eta_i))``, ``eta = X beta + sum_j s_j u_j[level]``, u standard normal. With the mode
``u`` of ``h = -2 log p(y | u) + u'u`` and ``H = I + S Z'W Z S``, W the binomial variances, minus twice the log
likelihood is about ``h + log|H|`` (Bates, Maechler, Bolker & Walker 2015, J. Stat. Soft. 67(1); Breslow & Clayton
1993). It is minimised over beta and all s with its exact gradient, in which the mode's own change counts:
``t = H^-1 S Z'v`` with ``v = (d log|H| / d eta)`` stands for it.

The term with most levels has a diagonal block in ``H`` and is eliminated, so that any number of items costs little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import expit, gammaln

from xeval.analysis.estimate.variance import Floats
from xeval.analysis.models.fit import Coefficients, RandomTerm
from xeval.errors import DataError

EXTREME = 15.0
"""Linear predictors beyond this (odds of three million) mean that some group is always right or always wrong."""
SINGULAR = 1e-3
GRADIENT = 1e-3
MODE_STEPS, HALVINGS = 100, 30
LAST_STEP = 1e-6
"""After a Newton step as small as this the mode is exact to its square."""
STEP = 1e-3


@dataclass(frozen=True)
class BinomialMixedFit(Coefficients):
    """A fitted model.

    Attributes:
        beta, covariance: fixed effects in log-odds given the random effects; the covariance from the Hessian of the
            approximate likelihood over all parameters.
        deviations: term -> standard deviation of its effects; ``singular`` are zero.
        deviance: -2 log likelihood, with the binomial coefficients.
        converged: the gradient vanishes and the Hessian is positive definite.
    """

    deviations: Mapping[str, float]
    levels: Mapping[str, int]
    deviance: float
    gradient: float
    rows: int
    singular: tuple[str, ...]
    converged: bool


def binomial_mixed(
    successes: Floats, trials: Floats, fixed: Floats, names: Sequence[str], terms: Sequence[RandomTerm]
) -> BinomialMixedFit:
    """The fit of ``successes`` of ``trials`` (n,) on ``fixed`` (n, p) of full rank, with random intercepts.

    Raises:
        DataError: counts that are no counts, or a group of rows that is always right or always wrong.
    """
    whole = (successes == np.rint(successes)).all() and (trials == np.rint(trials)).all()
    if not whole or (successes < 0).any() or (successes > trials).any() or not (trials > 0).all():
        raise DataError(
            "a binomial model needs whole numbers of right answers among whole numbers of answers."
        )
    first, root = _without_effects(successes, trials, fixed)
    # In these units the fixed effects are uncorrelated with standard error about 1.
    scaled: Floats = np.asarray(np.linalg.solve(root.T, fixed.T).T, dtype=np.float64)
    likelihood = _Likelihood(successes, trials, scaled, terms)
    p = fixed.shape[1]
    start = np.concatenate([root @ first, np.full(len(terms), 0.7)])
    bounds = [(None, None)] * p + [(0.0, None)] * len(terms)
    options = {"maxiter": 300, "ftol": 1e-14, "gtol": 1e-6}
    found = minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    deviance, gradient = likelihood(found.x)
    deviations = found.x[p:]
    free = np.concatenate([np.ones(p, dtype=bool), deviations > SINGULAR])
    hessian = _hessian(likelihood, found.x, free)
    steepest = float(np.abs(gradient[free]).max())
    definite = bool(np.linalg.eigvalsh(hessian)[0] > 0.0)
    inverse = 2.0 * np.linalg.inv(hessian)[:p, :p] if definite else np.full((p, p), np.nan)
    back = np.linalg.inv(root)
    return BinomialMixedFit(
        names=tuple(names),
        beta=back @ found.x[:p],
        covariance=back @ inverse @ back.T,
        deviations={term.name: float(deviation) for term, deviation in zip(terms, deviations, strict=True)},
        levels={term.name: term.levels for term in terms},
        deviance=deviance,
        gradient=steepest,
        rows=successes.size,
        singular=tuple(
            term.name for term, deviation in zip(terms, deviations, strict=True) if deviation <= SINGULAR
        ),
        converged=definite and steepest < GRADIENT,
    )


def _without_effects(successes: Floats, trials: Floats, fixed: Floats) -> tuple[Floats, Floats]:
    """Coefficients of the plain binomial model (Newton's method), and the root of their information matrix."""
    beta = np.zeros(fixed.shape[1])
    for _ in range(50):
        mu = expit(fixed @ beta)
        root = np.asarray(np.linalg.qr(np.sqrt(trials * mu * (1.0 - mu))[:, None] * fixed, mode="r"))
        score = fixed.T @ (successes - trials * mu)
        step = np.linalg.solve(root, np.linalg.solve(root.T, score))
        beta = beta + step
        if float(np.abs(fixed @ beta).max()) > EXTREME:
            raise DataError("some group of rows is always right or always wrong; leave it out.")
        if float(np.abs(root @ step).max()) < 1e-8:
            break
    return beta, root


def _hessian(likelihood: "_Likelihood", at: Floats, free: Any) -> Floats:
    """Central differences of the gradient, over the free parameters."""
    places = np.flatnonzero(free)
    columns = []
    for place in places:
        step = np.zeros(at.size)
        step[place] = STEP
        columns.append((likelihood(at + step)[1] - likelihood(at - step)[1])[places] / (2.0 * STEP))
    found = np.array(columns)
    return np.asarray((found + found.T) / 2.0)


class _Likelihood:
    """-2 log likelihood and gradient at (beta, s); each search of the mode starts at the mode before."""

    def __init__(self, successes: Floats, trials: Floats, fixed: Floats, terms: Sequence[RandomTerm]) -> None:
        self.successes, self.trials, self.fixed = successes, trials, fixed
        sizes = [term.levels for term in terms]
        self.largest = int(np.argmax(sizes))
        self.codes = [term.codes for term in terms]
        self.sizes = sizes
        self.rest = [place for place in range(len(terms)) if place != self.largest]
        self.starts = np.concatenate([[0], np.cumsum([sizes[place] for place in self.rest])]).astype(int)
        self.modes = [np.zeros(size) for size in sizes]
        self.pairs = {
            (row, column): self.codes[row] * sizes[column] + self.codes[column]
            for row in self.rest
            for column in (*self.rest, self.largest)
        }
        self.constant = -2.0 * float(
            (gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)).sum()
        )

    def _sums(self, place: int, values: Floats) -> Floats:
        sums = np.bincount(self.codes[place], weights=values, minlength=self.sizes[place])
        return np.asarray(sums, dtype=np.float64)

    def _linear(self, base: Floats, deviations: Floats, effects: Sequence[Floats]) -> Floats:
        eta = base.copy()
        for deviation, effect, codes in zip(deviations, effects, self.codes, strict=True):
            eta += deviation * effect[codes]
        return eta

    def _penalised(self, eta: Floats, effects: Sequence[Floats]) -> float:
        fit = self.successes @ eta - self.trials @ np.logaddexp(0.0, eta)
        return float(-2.0 * fit + sum(effect @ effect for effect in effects))

    def _factor(self, weights: Floats, deviations: Floats) -> "_Factor":
        """Of H at the binomial variances ``weights``."""
        a, m = self.largest, self.sizes[self.largest]
        diagonal = 1.0 + deviations[a] ** 2 * self._sums(a, weights)
        size = int(self.starts[-1])
        cross, dense = np.zeros((size, m)), np.eye(size)
        for number, place in enumerate(self.rest):
            rows = slice(self.starts[number], self.starts[number + 1])
            cross[rows] = deviations[place] * deviations[a] * self._table(place, a, weights)
            for other_number, other in enumerate(self.rest):
                columns = slice(self.starts[other_number], self.starts[other_number + 1])
                dense[rows, columns] += (
                    deviations[place] * deviations[other] * self._table(place, other, weights)
                )
        return _Factor(diagonal, cross, cho_factor(dense - (cross / diagonal) @ cross.T, lower=True))

    def _table(self, row_term: int, column_term: int, weights: Floats) -> Floats:
        """(levels, levels) sums of the weights of the rows that two terms share."""
        shape = (self.sizes[row_term], self.sizes[column_term])
        sums = np.bincount(self.pairs[row_term, column_term], weights=weights, minlength=shape[0] * shape[1])
        return np.asarray(sums, dtype=np.float64).reshape(shape)

    def _solve(self, factor: "_Factor", right: Sequence[Floats]) -> list[Floats]:
        """H^-1 of one vector per term."""
        largest = right[self.largest]
        others = np.concatenate([right[place] for place in self.rest]) if self.rest else np.zeros(0)
        y = cho_solve(factor.lower, others - factor.cross @ (largest / factor.diagonal))
        found: list[Floats] = [np.zeros(0)] * len(right)
        found[self.largest] = (largest - factor.cross.T @ y) / factor.diagonal
        for number, place in enumerate(self.rest):
            found[place] = y[self.starts[number] : self.starts[number + 1]]
        return found

    def _mode(self, base: Floats, deviations: Floats) -> tuple[list[Floats], Floats, float]:
        """The mode by Newton's method with halved steps, the linear predictor and the penalised deviance there."""
        effects = self.modes
        eta = self._linear(base, deviations, effects)
        value = self._penalised(eta, effects)
        for _ in range(MODE_STEPS):
            mu = expit(eta)
            error = self.successes - self.trials * mu
            slope = [
                deviation * self._sums(place, error) - effects[place]
                for place, deviation in enumerate(deviations)
            ]
            steps = self._solve(self._factor(self.trials * mu * (1.0 - mu), deviations), slope)
            for halving in range(HALVINGS):
                tried = [effect + step / 2**halving for effect, step in zip(effects, steps, strict=True)]
                eta = self._linear(base, deviations, tried)
                if (lower := self._penalised(eta, tried)) <= value + 1e-12 * abs(value):
                    break
            effects, value = tried, lower
            if max(float(np.abs(step).max()) for step in steps) < LAST_STEP:
                break
        self.modes = effects
        return effects, eta, value

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        p = self.fixed.shape[1]
        deviations = parameters[p:]
        effects, eta, penalised = self._mode(self.fixed @ parameters[:p], deviations)
        mu = expit(eta)
        error, weights = self.successes - self.trials * mu, self.trials * mu * (1.0 - mu)
        factor = self._factor(weights, deviations)
        deviance = penalised + factor.log_determinant + self.constant
        shares = self._shares(factor, deviations)
        leverage = sum(
            (deviation * share for deviation, share in zip(deviations, shares, strict=True)),
            np.zeros(mu.size),
        )
        v = weights * (1.0 - 2.0 * mu) * leverage
        t = self._solve(
            factor, [deviation * self._sums(place, v) for place, deviation in enumerate(deviations)]
        )
        moved = v - weights * self._linear(np.zeros(mu.size), deviations, t)
        gradient = np.empty(parameters.size)
        gradient[:p] = self.fixed.T @ (moved - 2.0 * error)
        for place, (effect, share) in enumerate(zip(effects, shares, strict=True)):
            by_level = self._sums(place, error)
            gradient[p + place] = (
                (t[place] - 2.0 * effect) @ by_level
                + 2.0 * (weights @ share)
                + effect @ self._sums(place, moved)
            )
        return deviance, gradient

    def _shares(self, factor: "_Factor", deviations: Floats) -> list[Floats]:
        """Per term and row: the term's level's row of H^-1 times S z of the row; their s-weighted sum is leverage."""
        inverse = cho_solve(factor.lower, np.eye(factor.cross.shape[0]))
        with_largest = inverse @ factor.cross / factor.diagonal  # minus the block of H^-1
        of_largest = (1.0 + (factor.cross * with_largest).sum(axis=0)) / factor.diagonal
        a = self.largest
        codes = self.codes[a]
        shares = [np.zeros(codes.size) for _ in self.sizes]
        shares[a] += deviations[a] * of_largest[codes]
        for number, place in enumerate(self.rest):
            rows = self.starts[number] + self.codes[place]
            joint = with_largest[rows, codes]
            shares[a] -= deviations[place] * joint
            shares[place] -= deviations[a] * joint
            for other_number, other in enumerate(self.rest):
                columns = self.starts[other_number] + self.codes[other]
                shares[place] += deviations[other] * inverse[rows, columns]
        return shares


@dataclass(frozen=True)
class _Factor:
    """H in blocks: ``diagonal`` of the eliminated term, ``cross`` (others, eliminated), Cholesky of the rest."""

    diagonal: Floats
    cross: Floats
    lower: Any

    @property
    def log_determinant(self) -> float:
        return float(np.log(self.diagonal).sum() + 2.0 * np.log(np.diag(self.lower[0])).sum())
