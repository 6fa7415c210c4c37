"""Linear mixed models with crossed random effects: profiled REML and ML with an analytic gradient.

Model: ``y = X beta + sum_j Z_j b_j + e`` with ``b_j`` independent over the levels of term j, covariance
``sigma^2 T_j T_j'`` per level (``T_j`` is lower triangular; 1 x 1 for a plain random intercept), and ``e`` of variance
``sigma^2 / weight``, or of a covariance that is known and then not scaled. The criterion is profiled over ``beta`` and
``sigma^2`` (Bates, Maechler, Bolker & Walker 2015, J. Stat. Soft. 67(1), section 3.4). With ``A = I + L'Z'ZL``,
``L`` the block-diagonal matrix of all ``T_j``, ``G = A^-1 L'Z'X``, ``u = A^-1 L'Z'(y - X beta)``:
``-2 log REML = log|A| + log|X'V^-1 X| + (n - p)(1 + log(2 pi s^2))`` and the derivative with respect to ``T_j`` is
``2 T_j^-T [q_j I - sum (A^-1)_ll - sum G_l (X'V^-1X)^-1 G_l' - sum u_l u_l' / s^2]``, sums over the q_j levels l.

The term with most levels has a diagonal block in ``A``; it is eliminated, so that the dense Cholesky factor has only
the size of the other terms together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from xeval.analysis.estimate.variance import Floats, Integers
from xeval.analysis.models.fit import MixedFit, RandomTerm
from xeval.errors import DataError

SMALLEST = 1e-5
SINGULAR = 1e-4
STARTS = (1.0, 0.3, 3.0, 0.1)
GRADIENT = 5e-3
AGREEMENT = 1e-3
LARGEST = 1e4


@dataclass(frozen=True)
class Profile:
    """The criterion at one ``theta``: what :meth:`MixedModel.evaluate` returns."""

    deviance: float
    gradient: Floats
    beta: Floats
    covariance: Floats
    residual: float
    effects: Floats


@dataclass(frozen=True)
class MixedModel:
    """Data and cross-products of a model; :func:`mixed_model` makes one.

    The rows are already multiplied by the square root of their weights, or by the inverse Cholesky factor
    ``whitening`` of the known residual covariance. ``basis`` and ``triangle`` are the QR factors of X. Terms are in
    ``order``: first the eliminated one, if any.
    """

    names: tuple[str, ...]
    terms: tuple[RandomTerm, ...]
    order: tuple[int, ...]
    eliminated: int
    response: Floats
    fixed: Floats
    basis: Floats
    triangle: Floats
    design: Any
    diagonal: Floats
    cross: Floats
    dense: Floats
    with_basis: Floats
    known_residual: bool
    log_scale: float
    whitening: Floats | None
    row_scale: Floats

    @cached_property
    def _projected(self) -> tuple[Floats, Floats, float, Floats]:
        """OLS coefficients in the basis, residual response, its square, and Z' of it."""
        first = self.basis.T @ self.response
        rest = self.response - self.basis @ first
        return first, rest, float(rest @ rest), np.asarray(self.design.T @ rest)

    def with_response(self, response: Floats) -> "MixedModel":
        """The same model for other data, in the original units; only the parts that depend on them are computed."""
        return replace(self, response=_transformed(response, self.row_scale, self.whitening))

    @property
    def parameters(self) -> int:
        return sum(term.size * (term.size + 1) // 2 for term in self.terms)

    def _factors(self, theta: Floats) -> list[Floats]:
        """The triangles T_j, in the internal order."""
        made, start = [], 0
        for place in self.order:
            size = self.terms[place].size
            if size == 1:
                made.append(theta[start : start + 1].reshape(1, 1))
            else:
                triangle = np.zeros((size, size))
                triangle[np.tril_indices(size)] = theta[start : start + size * (size + 1) // 2]
                made.append(triangle)
            start += size * (size + 1) // 2
        return made

    def _scaled(self, matrix: Floats, factors: Sequence[Floats], places: Sequence[int]) -> Floats:
        """L' times a matrix whose rows are the effects of the terms at ``places``."""
        out, start = np.empty_like(matrix), 0
        for place, factor in zip(places, factors, strict=True):
            term = self.terms[place]
            stop = start + term.levels * term.size
            if term.size == 1:
                out[start:stop] = factor[0, 0] * matrix[start:stop]
            else:
                block = matrix[start:stop].reshape(term.levels, term.size, -1)
                out[start:stop] = (factor.T @ block).reshape(stop - start, -1)
            start = stop
        return out

    def evaluate(self, theta: Floats, reml: bool = True) -> Profile:
        """-2 log likelihood and its gradient at ``theta`` (lower triangles of T_j, term by term in ``order``)."""
        n, p = self.basis.shape
        m = self.eliminated
        factors = self._factors(theta)
        own, others = factors[: 1 if m else 0], factors[1 if m else 0 :]
        places = self.order[len(own) :]
        _, _, total, with_response = self._projected
        right = np.column_stack([self.with_basis, with_response])
        first = own[0][0, 0] if own else 1.0
        d = 1.0 + first**2 * self.diagonal
        C = first * self._scaled(self.cross, others, places)
        reduced = self._scaled(self._scaled(self.dense, others, places).T, others, places)
        reduced[np.diag_indices_from(reduced)] += 1.0
        lower = cholesky(reduced - (C / d) @ C.T, lower=True, check_finite=False)

        v = np.vstack([first * right[:m], self._scaled(right[m:], others, places)])
        g = np.empty_like(v)
        g[m:] = cho_solve((lower, True), v[m:] - C @ (v[:m] / d[:, None]), check_finite=False)
        g[:m] = (v[:m] - C.T @ g[m:]) / d[:, None]
        gram = np.zeros((p + 1, p + 1))
        gram[:p, :p] = np.eye(p)
        gram[p, p] = total
        gram -= v.T @ g
        fixed_lower = cholesky(gram[:p, :p], lower=True)
        beta = cho_solve((fixed_lower, True), gram[:p, p])
        rss = max(float(gram[p, p] - gram[:p, p] @ beta), 0.0)
        degrees = n - p if reml else n
        residual = 1.0 if self.known_residual else rss / degrees

        deviance = float(np.log(d).sum() + 2.0 * np.log(np.diag(lower)).sum()) + self.log_scale
        if reml:
            deviance += 2.0 * float(np.log(np.diag(fixed_lower)).sum())
            deviance += 2.0 * float(np.log(np.abs(np.diag(self.triangle))).sum())
        if self.known_residual:
            deviance += rss + degrees * float(np.log(2.0 * np.pi))
        else:
            deviance += degrees * (1.0 + float(np.log(2.0 * np.pi * residual)))

        u = g[:, p] - g[:, :p] @ beta
        explained = g[:, :p] @ np.linalg.inv(fixed_lower).T if reml else np.zeros((len(g), 0))
        half = solve_triangular(lower, C, lower=True, check_finite=False)
        inverse = dpotri(lower, lower=1)[0] if lower.size else lower
        parts, start = [], 0
        for number, (place, factor) in enumerate(zip(self.order, factors, strict=True)):
            term = self.terms[place]
            q, size = term.levels, term.size
            stop = start + q * size
            if m and number == 0:
                blocks = np.array([[float((1.0 / d + (half**2).sum(axis=0) / d**2).sum())]])
            else:
                rows = np.arange(start - m, stop - m).reshape(q, size)
                blocks = np.empty((size, size))
                for a in range(size):
                    for b in range(a + 1):
                        blocks[a, b] = blocks[b, a] = inverse[rows[:, a], rows[:, b]].sum()
            by_level = u[start:stop].reshape(q, size)
            of_fixed = explained[start:stop].reshape(q, size, -1)
            inner = q * np.eye(size) - blocks - by_level.T @ by_level / residual
            flat = of_fixed.transpose(1, 0, 2).reshape(size, -1)
            inner -= flat @ flat.T
            slope = 2.0 * (inner / factor if size == 1 else np.linalg.solve(factor.T, inner))
            parts.append(slope[np.tril_indices(size)] if size > 1 else slope[0])
            start = stop
        back = np.linalg.inv(self.triangle)
        covariance = residual * back @ np.linalg.inv(gram[:p, :p]) @ back.T
        return Profile(deviance, np.concatenate(parts), back @ beta, covariance, residual, u)

    def fit(self, reml: bool = True, starts: Sequence[float] = STARTS) -> MixedFit:
        """The optimum over several starts: at least two, and more until two agree.

        Raises:
            DataError: the effects reproduce the response exactly, so that no variance is left.
        """
        total, size = self._projected[2], float(self.response @ self.response)
        if total <= 1e-18 * max(size, 1e-300):
            raise DataError(
                "the fixed effects reproduce every value exactly (all values equal, for example), so no "
                "variance is left to estimate; there is nothing to model."
            )
        diagonal, scale = self._diagonal_parameters()
        bounds = [
            (SMALLEST / one if d else -LARGEST / one, LARGEST / one)
            for d, one in zip(diagonal, scale, strict=True)
        ]
        reached: list[tuple[float, Floats]] = []
        for start in starts:
            first = np.where(diagonal, start / scale, 0.0)
            reached.append(self._descend(first, bounds, diagonal, scale, reml))
            values = sorted(value for value, _ in reached)
            if len(values) > 1 and values[1] - values[0] < AGREEMENT:
                break
        values = sorted(value for value, _ in reached)
        best = min(reached, key=lambda pair: pair[0])[1]
        at = self.evaluate(best, reml)
        if not self.known_residual and float((np.abs(best) * scale).max()) > 0.99 * LARGEST:
            raise DataError(
                "the random terms reproduce every value exactly, so that no residual variance is left (runs "
                "that are copies of each other, for example); keep one of each."
            )
        gradient = self._free_gradient(best, at.gradient, diagonal, scale)
        agreed = len(values) > 1 and values[1] - values[0] < AGREEMENT
        return self._result(best, at, reml, gradient, gradient < GRADIENT and agreed, reached)

    def _diagonal_parameters(self) -> tuple[Any, Floats]:
        """Which parameters are diagonal elements, and the root mean square of what they multiply."""
        marks, scales = [], []
        for place in self.order:
            term = self.terms[place]
            columns = self._column_scale(place)
            for a, b in zip(*np.tril_indices(term.size), strict=True):
                marks.append(a == b)
                scales.append(columns[a])
        return np.array(marks), np.array(scales)

    def _column_scale(self, place: int) -> Floats:
        start = sum(
            self.terms[one].levels * self.terms[one].size for one in self.order[: self.order.index(place)]
        )
        term = self.terms[place]
        squares = np.concatenate([self.diagonal, np.diag(self.dense)])[
            start : start + term.levels * term.size
        ]
        return np.asarray(np.sqrt(squares.reshape(term.levels, term.size).sum(axis=0) / len(self.basis)))

    def _descend(
        self, theta: Floats, bounds: Sequence[tuple[float, float]], diagonal: Any, scale: Floats,
        reml: bool,
    ) -> tuple[float, Floats]:  # fmt: skip
        """L-BFGS-B; leaves a boundary on which the deviance still falls with the variance (slope in theta^2)."""

        def objective(x: Floats) -> tuple[float, Floats]:
            at = self.evaluate(x, reml)
            return at.deviance, at.gradient

        options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-5}
        for _ in range(3):
            found = minimize(objective, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            theta = np.asarray(found.x)
            slope = np.asarray(objective(theta)[1]) / (2.0 * theta * scale**2 + 1e-300)
            stuck = diagonal & (theta * scale < 1e-3) & (slope < -1e-2)
            if not stuck.any():
                break
            theta = np.where(stuck, 0.3 / scale, theta)
        return float(found.fun), theta

    @staticmethod
    def _free_gradient(theta: Floats, gradient: Floats, diagonal: Any, scale: Floats) -> float:
        """Largest derivative per relative change of a parameter (off-diagonal ones: per unit of their scale)."""
        relative = np.where(diagonal, gradient * theta, gradient / scale)
        return float(np.abs(relative).max(initial=0.0))

    def _result(
        self, theta: Floats, at: Profile, reml: bool, gradient: float, converged: bool,
        reached: Sequence[tuple[float, Floats]],
    ) -> MixedFit:  # fmt: skip
        first, *_ = self._projected
        factors = self._factors(theta)
        components: dict[str, Floats] = {}
        effects: dict[str, Floats] = {}
        singular, start, parameter = [], 0, 0
        spherical = []
        for place, factor in zip(self.order, factors, strict=True):
            term = self.terms[place]
            stop = start + term.levels * term.size
            effects[term.name] = at.effects[start:stop].reshape(term.levels, term.size) @ factor.T
            spherical.append(effects[term.name].ravel())
            components[term.name] = at.residual * factor @ factor.T
            relative = np.diag(factor) * self._column_scale(place)
            if float(relative.min()) ** 2 < SINGULAR:
                singular.append(term.name)
            start = stop
            parameter += term.size * (term.size + 1) // 2
        beta = np.linalg.solve(self.triangle, first) + at.beta
        fitted = self.fixed @ beta + np.asarray(self.design @ np.concatenate(spherical))
        names = [term.name for term in self.terms]
        residuals = self.response - fitted
        if self.whitening is None:
            fitted, residuals = fitted / self.row_scale, residuals / self.row_scale
        return MixedFit(
            names=self.names, beta=beta, covariance=at.covariance,
            components={name: components[name] for name in names},
            levels={term.name: term.levels for term in self.terms}, residual=at.residual, deviance=at.deviance,
            reml=reml, rows=self.basis.shape[0], theta=theta, gradient=gradient,
            singular=tuple(name for name in names if name in singular), converged=converged,
            starts=tuple(value for value, _ in reached), effects={name: effects[name] for name in names},
            fitted=fitted, residuals=residuals,
        )  # fmt: skip


def mixed_model(
    response: Floats,
    fixed: Floats,
    names: Sequence[str],
    terms: Sequence[RandomTerm],
    *,
    weights: Floats | None = None,
    residual_covariance: Floats | None = None,
) -> MixedModel:
    """A model that is ready to be fitted.

    Args:
        response: (n,) values; give points rather than proportions.
        fixed: (n, p) design matrix of full rank; ``names`` are its columns.
        weights: (n,) positive; the residual variance of a row is sigma^2 / weight.
        residual_covariance: (n, n) known; there is then no residual variance to estimate.

    Raises:
        DataError: naming the column or the term that cannot be estimated.
    """
    n = len(fixed)
    _check(response, fixed, names, terms, known=residual_covariance is not None)
    row_scale = np.ones(n) if weights is None else np.sqrt(weights)
    if weights is not None and not (np.isfinite(weights).all() and (weights > 0).all()):
        raise DataError("a weight is not a positive number; weights are inverse variances.")
    whitening, log_scale = None, -2.0 * float(np.log(row_scale).sum())
    if residual_covariance is not None:
        try:
            root = cholesky(residual_covariance, lower=True)
        except np.linalg.LinAlgError as error:
            raise DataError("the known residual covariance is not positive definite.") from error
        whitening = solve_triangular(root, np.eye(n), lower=True)
        log_scale = 2.0 * float(np.log(np.diag(root)).sum())
    y = _transformed(response, row_scale, whitening)
    X = _transformed(fixed, row_scale, whitening)
    basis, triangle = np.linalg.qr(X)

    widest = max(range(len(terms)), key=lambda place: (terms[place].levels, -place))
    eliminate = whitening is None and terms[widest].size == 1
    order = (widest, *(place for place in range(len(terms)) if place != widest))
    design = _design([terms[place] for place in order], row_scale, whitening)
    products = design.T @ design
    products = np.asarray(products if isinstance(products, np.ndarray) else products.todense())
    m = terms[widest].levels if eliminate else 0
    return MixedModel(
        names=tuple(names), terms=tuple(terms), order=order, eliminated=m, response=y, fixed=X, basis=basis,
        triangle=triangle, design=design, diagonal=np.diag(products)[:m].copy(), cross=products[m:, :m].copy(),
        dense=products[m:, m:].copy(), with_basis=np.asarray(design.T @ basis),
        known_residual=whitening is not None, log_scale=log_scale, whitening=whitening, row_scale=row_scale,
    )  # fmt: skip


def _transformed(values: Floats, row_scale: Floats, whitening: Floats | None) -> Floats:
    if whitening is not None:
        return whitening @ values
    return values * (row_scale if values.ndim == 1 else row_scale[:, None])


def _design(terms: Sequence[RandomTerm], row_scale: Floats, whitening: Floats | None) -> Any:
    """Z with the terms side by side: sparse, or dense where it is whitened."""
    from scipy.sparse import csr_array, hstack

    n = row_scale.size
    blocks = []
    for term in terms:
        rows = np.repeat(np.arange(n), term.size)
        columns = (term.codes[:, None] * term.size + np.arange(term.size)).ravel()
        values = (term.columns * row_scale[:, None]).ravel()
        blocks.append(csr_array((values, (rows, columns)), shape=(n, term.levels * term.size)))
    stacked = hstack(blocks, format="csr")
    return stacked if whitening is None else whitening @ stacked.toarray()


def _check(
    response: Floats, fixed: Floats, names: Sequence[str], terms: Sequence[RandomTerm], *, known: bool
) -> None:
    n, p = fixed.shape
    if not (np.isfinite(response).all() and np.isfinite(fixed).all()):
        raise DataError("a value or a covariate of the regression is missing; leave its rows out.")
    if n <= p:
        raise DataError(f"{n} rows cannot determine {p} fixed effects; give more data or fewer covariates.")
    scale = np.sqrt((fixed**2).sum(axis=0))
    if (scale == 0).any():
        raise DataError(f"the covariate {names[int(np.argmin(scale))]!r} is 0 everywhere; leave it out.")
    for column in range(1, p + 1):
        if np.linalg.matrix_rank(fixed[:, :column] / scale[:column]) < column:
            raise DataError(
                f"the covariate {names[column - 1]!r} is a combination of the ones before it; leave it out."
            )
    if not terms:
        raise DataError("a mixed model needs at least one random term.")
    partitions: dict[bytes, str] = {}
    for term in terms:
        if term.levels < 2:
            raise DataError(f"the random term {term.name!r} has a single level; leave it out.")
        plain = term.size == 1 and bool((term.columns == 1.0).all())
        if plain and term.levels == n and not known:
            raise DataError(
                f"the random term {term.name!r} has one level per row and cannot be told from the residual."
            )
        key = _partition(term.codes) + term.columns.tobytes()
        if key in partitions:
            raise DataError(f"the random terms {partitions[key]!r} and {term.name!r} group the rows alike.")
        partitions[key] = term.name


def _partition(codes: Integers) -> bytes:
    """Equal for equal groupings, whatever the levels are called."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    ranks = np.argsort(np.argsort(first))
    return ranks[inverse].astype(np.int64).tobytes()


def simulate(model: MixedModel, fit: MixedFit, beta: Floats, rng: np.random.Generator) -> Floats:
    """A response drawn from the model with fixed effects ``beta`` and the fitted variances, in original units."""
    effects = []
    for place in model.order:
        term = model.terms[place]
        root = np.linalg.cholesky(fit.components[term.name] + 1e-300 * np.eye(term.size))
        effects.append((rng.standard_normal((term.levels, term.size)) @ root.T).ravel())
    noise = np.sqrt(fit.residual) * rng.standard_normal(model.basis.shape[0])
    drawn = model.fixed @ beta + np.asarray(model.design @ np.concatenate(effects)) + noise
    if model.whitening is not None:
        return np.asarray(np.linalg.solve(model.whitening, drawn))
    return np.asarray(drawn / model.row_scale)


def bootstrap_p(
    model: MixedModel, fit: MixedFit, weights: Mapping[str, float], draws: int = 999, seed: int = 0
) -> float:
    """Two-sided parametric-bootstrap p of ``sum of weight * coefficient = 0``: (b + 1) / (B + 1).

    Responses are drawn from the model fitted under that hypothesis; the statistic is t. Draw number i has its own
    random stream, so results depend on neither order nor threads (Davison & Hinkley 1997, section 4.4).
    """
    direction = np.array([weights.get(name, 0.0) for name in model.names])
    _, _, right = np.linalg.svd(direction[None, :])
    kept = right[1:].T  # coefficients orthogonal to the tested direction
    null = replace(model, names=tuple(f"free {i}" for i in range(kept.shape[1])), fixed=model.fixed @ kept)
    basis, triangle = np.linalg.qr(null.fixed)
    null = replace(null, basis=basis, triangle=triangle, with_basis=np.asarray(model.design.T @ basis))
    under = null.fit(reml=fit.reml, starts=STARTS[:2])
    observed = _t(fit, direction)
    beyond = 0
    for number in range(draws):
        rng = np.random.default_rng(np.random.SeedSequence((seed, number)))
        drawn = model.with_response(simulate(model, under, kept @ under.beta, rng))
        beyond += abs(_t(drawn.fit(reml=fit.reml, starts=STARTS[:1]), direction)) >= abs(observed)
    return (beyond + 1) / (draws + 1)


def _t(fit: MixedFit, direction: Floats) -> float:
    return float(direction @ fit.beta / np.sqrt(direction @ fit.covariance @ direction))
