"""Linear mixed models with crossed random intercepts: profiled REML with an analytic gradient.

Model: ``y = X beta + sum_j Z_j b_j + e`` with ``b_j`` independent over the levels of term j, variance
``sigma^2 t_j^2``, and ``e`` of variance ``sigma^2``, or of a covariance that is known and then not scaled. The
criterion is profiled over ``beta`` and ``sigma^2`` (Bates, Maechler, Bolker & Walker 2015, J. Stat. Soft. 67(1),
section 3.4). With ``A = I + L'Z'ZL``, ``L`` the diagonal matrix of all ``t_j``, ``G = A^-1 L'Z'X``,
``u = A^-1 L'Z'(y - X beta)``:
``-2 log REML = log|A| + log|X'V^-1 X| + (n - p)(1 + log(2 pi s^2))`` and the derivative with respect to ``t_j`` is
``2 / t_j [q_j - sum (A^-1)_ll - sum G_l (X'V^-1X)^-1 G_l' - sum u_l^2 / s^2]``, sums over the q_j levels l.

The term with most levels has a diagonal block in ``A``; it is eliminated, so that the dense Cholesky factor has only
the size of the other terms together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
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
    """The criterion at one ``theta``, and what is profiled out: coefficients in the basis of X, spherical effects."""

    deviance: float
    gradient: Floats
    in_basis: Floats
    information: Floats
    residual: float
    effects: Floats


@dataclass(frozen=True)
class MixedModel:
    """Data and cross-products of a model; :func:`mixed_model` makes one.

    The rows are already multiplied by the inverse Cholesky factor ``whitening`` of the known residual covariance.
    ``basis`` and ``triangle`` are the QR factors of X. Terms are in ``order``: first the eliminated one, if any.
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
    log_scale: float
    whitening: Floats | None

    @property
    def known_residual(self) -> bool:
        """Whether the residual covariance is given, so that there is no residual variance to estimate."""
        return self.whitening is not None

    @cached_property
    def _projected(self) -> tuple[Floats, float, Floats]:
        """OLS coefficients in the basis, the residual response's square, and Z' of basis and residual response."""
        first = self.basis.T @ self.response
        rest = self.response - self.basis @ first
        right = np.column_stack([self.with_basis, np.asarray(self.design.T @ rest)])
        return first, float(rest @ rest), right

    @cached_property
    def _slices(self) -> tuple[slice, ...]:
        """The levels of each term, in the internal order."""
        stops = np.cumsum([self.terms[place].levels for place in self.order]).tolist()
        return tuple(map(slice, [0, *stops], stops))

    @cached_property
    def _sizes(self) -> Floats:
        """(terms,) root mean square of what each parameter multiplies, in the internal order."""
        squares = np.concatenate([self.diagonal, np.diag(self.dense)])
        sums = [squares[levels].reshape(-1, 1).sum(axis=0) for levels in self._slices]
        return np.sqrt(np.concatenate(sums) / len(self.basis))

    @cached_property
    def _constant(self) -> float:
        """The part of the criterion that no parameter changes."""
        return 2.0 * float(np.log(np.abs(np.diag(self.triangle))).sum())

    def evaluate(self, theta: Floats) -> Profile:
        """-2 log restricted likelihood and its gradient at ``theta`` (the t_j, term by term in ``order``)."""
        n, p = self.basis.shape
        m = self.eliminated
        _, total, right = self._projected
        scale = np.repeat(theta, [levels.stop - levels.start for levels in self._slices])
        rest = scale[m:, None]
        d = 1.0 + theta[0] ** 2 * self.diagonal
        C = theta[0] * (rest * self.cross)
        reduced = rest * (self.dense * scale[m:])
        reduced.flat[:: len(reduced) + 1] += 1.0
        lower = _factor(reduced - (C / d) @ C.T)

        v = scale[:, None] * right
        g = np.empty_like(v)
        g[m:] = _solve(lower, v[m:] - C @ (v[:m] / d[:, None]))
        g[:m] = (v[:m] - C.T @ g[m:]) / d[:, None]
        gram = np.zeros((p + 1, p + 1))
        gram[:p, :p] = np.eye(p)
        gram[p, p] = total
        gram -= v.T @ g
        fixed_lower = _factor(gram[:p, :p])
        beta = _solve(fixed_lower, gram[:p, p])
        rss = max(float(gram[p, p] - gram[:p, p] @ beta), 0.0)
        residual = 1.0 if self.known_residual else rss / (n - p)

        deviance = float(np.log(d).sum() + 2.0 * np.log(np.diag(lower)).sum()) + self.log_scale
        deviance += 2.0 * float(np.log(np.diag(fixed_lower)).sum())
        deviance += self._constant
        if self.known_residual:
            deviance += rss + (n - p) * float(np.log(2.0 * np.pi))
        else:
            deviance += (n - p) * (1.0 + float(np.log(2.0 * np.pi * residual)))

        u = g[:, p] - g[:, :p] @ beta
        explained = g[:, :p] @ np.linalg.inv(fixed_lower).T
        traces = self._traces(lower, C, d)
        slopes = np.empty(theta.size)
        for number, levels in enumerate(self._slices):
            by_level, of_fixed = u[levels].reshape(-1, 1), explained[levels].reshape(1, -1)
            inner = len(by_level) - traces[number] - (by_level.T @ by_level)[0, 0] / residual
            slopes[number] = 2.0 * ((inner - (of_fixed @ of_fixed.T)[0, 0]) / theta[number])
        return Profile(deviance, slopes, beta, gram[:p, :p], residual, u)

    def _traces(self, lower: Floats, C: Floats, d: Floats) -> list[float]:
        """Of each term's block of A^-1."""
        inverse = dpotri(lower, lower=1)[0] if lower.size else lower
        diagonal = np.diag(inverse).copy()
        traces = []
        if self.eliminated:
            half = dtrtrs(lower, C, lower=1)[0] if lower.size else C
            traces.append(float((1.0 / d + (half**2).sum(axis=0) / d**2).sum()))
        for levels in self._slices[len(traces) :]:
            traces.append(diagonal[levels.start - self.eliminated : levels.stop - self.eliminated].sum())
        return traces

    def fit(self, starts: Sequence[float] = STARTS) -> MixedFit:
        """The optimum over several starts: at least two, and more until two agree.

        Raises:
            DataError: the effects reproduce the response exactly, so that no variance is left.
        """
        total, size = self._projected[1], float(self.response @ self.response)
        if total <= 1e-18 * max(size, 1e-300):
            raise DataError(
                "the fixed effects reproduce every value exactly (all values equal, for example), so no "
                "variance is left to estimate; there is nothing to model."
            )
        reached: list[tuple[float, Floats]] = []
        for start in starts:
            reached.append(self._descend(start / self._sizes))
            values = sorted(value for value, _ in reached)
            if len(values) > 1 and values[1] - values[0] < AGREEMENT:
                break
        best = min(reached, key=lambda pair: pair[0])[1]
        at = self.evaluate(best)
        if not self.known_residual and float((np.abs(best) * self._sizes).max()) > 0.99 * LARGEST:
            raise DataError(
                "the random terms reproduce every value exactly, so that no residual variance is left (runs "
                "that are copies of each other, for example); keep one of each."
            )
        gradient = float(np.abs(at.gradient * best).max(initial=0.0))  # per relative change of a parameter
        agreed = len(values) > 1 and values[1] - values[0] < AGREEMENT
        return self._result(best, at, gradient, gradient < GRADIENT and agreed, reached)

    def _descend(self, theta: Floats) -> tuple[float, Floats]:
        """L-BFGS-B; leaves a boundary on which the deviance still falls with the variance (slope in theta^2)."""

        def objective(x: Floats) -> tuple[float, Floats]:
            at = self.evaluate(x)
            return at.deviance, at.gradient

        bounds = [(SMALLEST / size, LARGEST / size) for size in self._sizes]
        options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-5}
        for _ in range(3):
            found = minimize(objective, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            theta = np.asarray(found.x)
            slope = np.asarray(objective(theta)[1]) / (2.0 * theta * self._sizes**2 + 1e-300)
            stuck = (theta * self._sizes < 1e-3) & (slope < -1e-2)
            if not stuck.any():
                break
            theta = np.where(stuck, 0.3 / self._sizes, theta)
        return float(found.fun), theta

    def _result(
        self,
        theta: Floats,
        at: Profile,
        gradient: float,
        converged: bool,
        reached: Sequence[tuple[float, Floats]],
    ) -> MixedFit:
        effects, components, singular = {}, {}, []
        scaled = np.empty(self.design.shape[1])
        for number, (place, levels) in enumerate(zip(self.order, self._slices, strict=True)):
            name = self.terms[place].name
            effects[name] = scaled[levels] = at.effects[levels] * theta[number]
            components[name] = float(at.residual * theta[number] * theta[number])
            if (theta[number] * self._sizes[number]) ** 2 < SINGULAR:
                singular.append(name)
        back = np.linalg.inv(self.triangle)
        beta = np.linalg.solve(self.triangle, self._projected[0]) + back @ at.in_basis
        fitted = self.fixed @ beta + np.asarray(self.design @ scaled)
        names = [term.name for term in self.terms]
        return MixedFit(
            names=self.names,
            beta=beta,
            covariance=at.residual * back @ np.linalg.inv(at.information) @ back.T,
            components={name: components[name] for name in names},
            levels={term.name: term.levels for term in self.terms},
            residual=at.residual,
            deviance=at.deviance,
            rows=self.basis.shape[0],
            gradient=gradient,
            singular=tuple(name for name in names if name in singular),
            converged=converged,
            starts=tuple(value for value, _ in reached),
            effects={name: effects[name] for name in names},
            fitted=fitted,
            residuals=self.response - fitted,
        )


def mixed_model(
    response: Floats,
    fixed: Floats,
    names: Sequence[str],
    terms: Sequence[RandomTerm],
    *,
    residual_covariance: Floats | None = None,
) -> MixedModel:
    """A model that is ready to be fitted.

    Args:
        response: (n,) values; give points rather than proportions.
        fixed: (n, p) design matrix of full rank; ``names`` are its columns.
        residual_covariance: (n, n) known; there is then no residual variance to estimate.

    Raises:
        DataError: naming the column or the term that cannot be estimated.
    """
    known = residual_covariance is not None
    _check(response, fixed, names, terms, known=known)
    whitening, log_scale = None, 0.0
    if residual_covariance is not None:
        try:
            root = cholesky(residual_covariance, lower=True)
        except np.linalg.LinAlgError as error:
            raise DataError("the known residual covariance is not positive definite.") from error
        whitening = solve_triangular(root, np.eye(len(fixed)), lower=True)
        log_scale = 2.0 * float(np.log(np.diag(root)).sum())
        response, fixed = whitening @ response, whitening @ fixed
    basis, triangle = np.linalg.qr(fixed)
    widest = max(range(len(terms)), key=lambda place: (terms[place].levels, -place))
    order = (widest, *(place for place in range(len(terms)) if place != widest))
    design = _design([terms[place] for place in order], whitening)
    products = design.T @ design
    products = np.asarray(products if isinstance(products, np.ndarray) else products.todense())
    m = 0 if known else terms[widest].levels
    return MixedModel(
        names=tuple(names),
        terms=tuple(terms),
        order=order,
        eliminated=m,
        response=response,
        fixed=fixed,
        basis=basis,
        triangle=triangle,
        design=design,
        diagonal=np.diag(products)[:m].copy(),
        cross=products[m:, :m].copy(),
        dense=products[m:, m:].copy(),
        with_basis=np.asarray(design.T @ basis),
        log_scale=log_scale,
        whitening=whitening,
    )


def _factor(matrix: Floats) -> Floats:
    """The lower Cholesky factor, by LAPACK: a fit takes hundreds of small ones."""
    lower, info = dpotrf(matrix, lower=1, clean=1) if matrix.size else (matrix, 0)
    if info:
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    return np.asarray(lower)


def _solve(lower: Floats, right: Floats) -> Floats:
    """The solution of ``lower @ lower.T @ x = right``."""
    return np.asarray(dpotrs(lower, right, lower=1)[0]) if lower.size else right


def _design(terms: Sequence[RandomTerm], whitening: Floats | None) -> Any:
    """Z with the terms side by side: sparse, or dense where it is whitened."""
    from scipy.sparse import csr_array, hstack

    n = terms[0].codes.size
    blocks = [csr_array((np.ones(n), (np.arange(n), term.codes)), shape=(n, term.levels)) for term in terms]
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
        if term.levels == n and not known:
            raise DataError(
                f"the random term {term.name!r} has one level per row and cannot be told from the residual."
            )
        key = _partition(term.codes)
        if key in partitions:
            raise DataError(f"the random terms {partitions[key]!r} and {term.name!r} group the rows alike.")
        partitions[key] = term.name


def _partition(codes: Integers) -> bytes:
    """Equal for equal groupings, whatever the levels are called."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    ranks: NDArray[np.int64] = np.argsort(np.argsort(first))
    return ranks[inverse].astype(np.int64).tobytes()
