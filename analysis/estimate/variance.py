"""Intervals that count both new training seeds and new test items, in closed form, without resampling.

An estimand is a weighted sum of transformed scores. Each score is a ratio sum(num) / sum(den), so it is
linearised: ``influence[s, c]`` is what cluster ``c`` adds to the score of run ``s``. The influences of all terms
are added up per cluster and per (population of runs, seed) *before* they are squared. Terms that share clusters
or runs are therefore never treated as independent, and terms that share neither add their variances by themselves.

With S runs and N clusters of one population the parts are, in the mean squares of the two-way table (unpaired):
``V = V_items + sum over populations of max(0, MS_S - MS_E) / (S N)``, and Satterthwaite's degrees of freedom
``V^2 / [V_items^2 / (N - 1) + sum (MS_S / (S N))^2 / (S - 1)]``, at least 1. ``V_items`` is the variance between
clusters of the seed-averaged influence; the residual noise is already inside it. A population with a single
deterministic run adds no seed part. Paired runs: ``V = (MS_S + MS_N - MS_E) / (S N)`` with the runs of all conditions
aligned by seed (Searle, Casella & McCulloch 1992, ch. 4, for the expected mean squares); at few seeds their degrees of
freedom are taken at a higher MS_S (see :func:`_paired_df`).

Clusters that do not vary at all (identical systems, or a perfect score) do not show that there is no error, only that
at most a share ``q = 1 - (alpha / 2)^(1/N)`` of such clusters behaves otherwise (Clopper & Pearson 1934 with no
success): the interval then reaches as far as the worst scores on a share q would move the value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from xeval.errors import UsageError

Scale = Literal["points", "logit"]
SCALES: tuple[Scale, ...] = ("points", "logit")
"""The co-primary scales: a claim must hold on both."""
Measure = Literal["points", "logit", "probit", "log error"]
"""Every scale that an estimand can be on; the last two are for sensitivity."""
UNCLIPPED_FLOOR = 0.3
ROUNDING = 1e-12
"""Influences below this share of a cluster's size, and sums below this share of their parts, are rounding errors."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """All runs of one (condition, target, language).

    Attributes:
        seeds: the S runs' seeds.
        num, den: (S, N) sums over each cluster's items.
        scores: (S,) metric of each run, 0 to 1.
        influence: (S, N) what each cluster adds to its run's score; every row sums to zero.
        clusters: (N,) numbers of the clusters, unique over the whole study where clusters are shared.
        denominator: mean over runs of sum(den).
        population: blocks with one population number share their runs: equal seed, equal random draw.
        deterministic: the one run is a fixed checkpoint, not a draw: it has no seed variance.
    """

    seeds: tuple[int, ...]
    num: Floats
    den: Floats
    scores: Floats
    influence: Floats
    clusters: Integers
    denominator: float
    population: int
    deterministic: bool = False

    @cached_property
    def score(self) -> float:
        """Mean over runs, 0 to 1."""
        return float(self.scores.mean())

    @cached_property
    def mean_influence(self) -> Floats:
        """(N,) influence, mean over runs."""
        return np.asarray(self.influence.mean(axis=0))


def make_block(
    num: Floats,
    den: Floats,
    clusters: Integers,
    seeds: Sequence[int],
    population: int,
    deterministic: bool = False,
) -> Block:
    """A block from per-cluster sums: ``num`` and ``den`` are (S, N)."""
    totals = den.sum(axis=1)
    scores = num.sum(axis=1) / totals
    influence = (num - scores[:, None] * den) / totals[:, None]
    return Block(
        tuple(seeds), num, den, scores, influence, clusters, float(totals.mean()), population, deterministic
    )


def transform(score: float, denominator: float, scale: Measure) -> tuple[float, float]:
    """A 0-1 score on ``scale``, and the slope there.

    ``points`` is 100 times the score. ``logit`` is log((num + 1/2) / (den - num + 1/2)) of the aggregated counts:
    the empirical log-odds, finite at 0 and at 1 (Cox & Snell 1989, section 2.1). ``probit`` is the normal quantile of
    the same share, ``log error`` minus the logarithm of its complement: a gain is then the log of the ratio of errors.
    """
    if scale == "points":
        return 100.0 * score, 100.0
    shrunk = (score * denominator + 0.5) / (denominator + 1.0)
    inner = denominator / (denominator + 1.0)
    if scale == "probit":
        quantile = float(ndtri(shrunk))
        return quantile, inner * float(np.sqrt(2.0 * np.pi) * np.exp(quantile**2 / 2.0))
    if scale == "log error":
        return float(-np.log1p(-shrunk)), inner / (1.0 - shrunk)
    return float(np.log(shrunk / (1.0 - shrunk))), inner / (shrunk * (1.0 - shrunk))


@dataclass(frozen=True)
class Method:
    """How an interval is made.

    Attributes:
        confidence: for example 0.95.
        clip: seed parts are never below 0; otherwise the whole variance is at least 0.3 times its item part
            (slightly shorter intervals, nominal coverage when there is no seed noise).
        paired: runs of all conditions with one seed belong together (only if fixed before training).
    """

    confidence: float = 0.95
    clip: bool = True
    paired: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1.0:
            raise UsageError(
                f"confidence is {self.confidence}; give a number from 0.5 to below 1, such as 0.95."
            )


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty, in points or in log-odds.

    Attributes:
        value: the estimate.
        variance_items: variance from the choice of test items.
        variance_seeds: variance from the training seeds (0 where every run is deterministic).
        df, df_items: degrees of freedom of the whole and of the item part.
        confidence: level of ``low`` and ``high``.
        seeds_estimable: False when a trained condition has a single run: then the interval covers items only.
        clusters: number of item clusters that enter.
    """

    value: float
    variance_items: float
    variance_seeds: float
    df: float
    df_items: float
    confidence: float
    seeds_estimable: bool
    clusters: int

    @property
    def se(self) -> float:
        return float(np.sqrt(max(0.0, self.variance_items + self.variance_seeds)))

    @property
    def share_seeds(self) -> float:
        """Share of the variance that comes from seeds."""
        total = self.variance_items + self.variance_seeds
        return max(0.0, self.variance_seeds / total) if total > 0 else 0.0

    def interval(self, confidence: float | None = None) -> tuple[float, float]:
        """Two-sided t interval over new seeds and new items."""
        return _around(self.value, self.se, self.df, confidence or self.confidence)

    def items_interval(self, confidence: float | None = None) -> tuple[float, float]:
        """Interval over new items only, for these very runs: shorter, and too short for any claim on training."""
        return _around(
            self.value, float(np.sqrt(self.variance_items)), self.df_items, confidence or self.confidence
        )

    @property
    def low(self) -> float:
        return self.interval()[0]

    @property
    def high(self) -> float:
        return self.interval()[1]

    @property
    def p_value(self) -> float:
        """Two-sided p of the hypothesis that the true value is 0."""
        if self.se == 0.0:
            return 1.0 if self.value == 0.0 else 0.0
        return float(2.0 * stdtr(self.df, -abs(self.value) / self.se))

    def detectable(self, power: float = 0.8) -> float:
        """Smallest true value found with ``power``: (t_(1-alpha/2) + t_power) * SE; optimistic below 5 seeds."""
        level = 1.0 - (1.0 - self.confidence) / 2.0
        return float((stdtrit(self.df, level) + stdtrit(self.df, power)) * self.se)

    def to_dict(self) -> dict[str, Any]:
        items_low, items_high = self.items_interval()
        return asdict(self) | {
            "low": self.low,
            "high": self.high,
            "items_low": items_low,
            "items_high": items_high,
            "se": self.se,
            "share_seeds": self.share_seeds,
            "p_value": self.p_value,
            "detectable_80": self.detectable(),
        }


def _around(value: float, se: float, df: float, confidence: float) -> tuple[float, float]:
    half = float(stdtrit(df, 1.0 - (1.0 - confidence) / 2.0)) * se
    return value - half, value + half


@dataclass(frozen=True)
class Term:
    """One block with its weight in the estimand."""

    weight: float
    block: Block


def estimate(
    terms: Iterable[Term], scale: Measure, strata: Integers, method: Method | None = None
) -> Estimate:
    """Value and two-way variance of ``sum of weight * transform(mean score of block)``.

    Args:
        terms: weighted blocks.
        strata: for every cluster number its stratum: clusters that ever occur in the same target and language,
            directly or through others. Used for the degrees of freedom only.

    Raises:
        UsageError: paired intervals for conditions whose seeds differ.
    """
    method = method or Method()
    used = _merged(terms)
    if method.paired:
        _check_paired(used)
    touched = np.zeros(strata.size, dtype=bool)
    for term in used:
        touched[term.block.clusters] = True
    clusters = np.flatnonzero(touched)

    parts_of_value, items = [], np.zeros(clusters.size)
    populations: dict[int, _Population] = {}
    for term in used:
        block, runs = term.block, len(term.block.seeds)
        level, slope = transform(block.score, block.denominator, scale)
        parts_of_value.append(term.weight * level)
        # The factors make the sums of squares unbiased block by block, as if divided by N - 1 and by S - 1.
        gradient = term.weight * slope * np.sqrt(block.clusters.size / (block.clusters.size - 1.0))
        columns = np.searchsorted(clusters, block.clusters)
        items[columns] += gradient * block.mean_influence
        if runs > 1:
            number = 0 if method.paired else block.population
            population = populations.setdefault(number, _Population(clusters.size))
            factor = 1.0 / np.sqrt(runs * (runs - 1.0))
            scores = term.weight * slope * factor * (block.scores - block.scores.mean())
            population.add(
                block.seeds, scores, gradient * factor * (block.influence - block.mean_influence), columns
            )

    sizes = np.bincount(strata[clusters])
    inhabited = sizes > 0
    by_stratum = np.bincount(strata[clusters], weights=items**2)
    smallest, unvarying = _without_variation(used, scale, strata, sizes, method.confidence)
    by_stratum = np.where(by_stratum <= smallest, unvarying, by_stratum)[inhabited]
    stratum_df = sizes[inhabited] - 1.0
    variance_items = float(by_stratum.sum())
    items_term = float((by_stratum**2 / stratum_df).sum())
    df_items = variance_items**2 / items_term if items_term > 0 else np.inf
    parts = [
        (population.between(), population.residual(), population.df) for population in populations.values()
    ]
    variance_seeds, df = _seed_part(variance_items, items_term, float(stratum_df.sum()), parts, method)
    return Estimate(
        value=without_rounding(sum(parts_of_value), parts_of_value),
        variance_items=variance_items,
        variance_seeds=variance_seeds,
        df=df_items if df is None else df,
        df_items=df_items,
        confidence=method.confidence,
        seeds_estimable=all(len(t.block.seeds) > 1 or t.block.deterministic for t in used),
        clusters=int(clusters.size),
    )


def without_rounding(total: float, parts: Sequence[float]) -> float:
    """The sum of ``parts``, or 0 where it differs from it by rounding only."""
    return 0.0 if abs(total) <= ROUNDING * sum(map(abs, parts)) else float(total)


def _merged(terms: Iterable[Term]) -> list[Term]:
    """One term per block; terms without weight are left out."""
    merged: dict[int, Term] = {}
    for term in terms:
        known = merged.get(id(term.block), Term(0.0, term.block))
        merged[id(term.block)] = Term(known.weight + term.weight, term.block)
    return [term for term in merged.values() if term.weight != 0.0]


def _without_variation(
    terms: Sequence[Term], scale: Measure, strata: Integers, sizes: Integers, confidence: float
) -> tuple[Floats, Floats]:
    """Per stratum: the sum of squares below which its clusters do not vary, and the variance that stands for it.

    With ``sizes`` clusters that all agree, a share of up to ``1 - (alpha / 2)^(1 / sizes)`` of the population may
    not (exact binomial bound at 0 successes). The variance makes the t interval reach as far as if the estimand
    were at its worst, every score 0 or 1, on this share of the clusters.
    """
    tail = (1.0 - confidence) / 2.0
    share = 1.0 - tail ** (1.0 / np.maximum(sizes, 1))
    rounding, here, lowest, highest = np.zeros((4, sizes.size))
    for term in terms:
        block, stratum = term.block, strata[term.block.clusters[0]]
        level, slope = transform(block.score, block.denominator, scale)
        rounding[stratum] += (ROUNDING * term.weight * slope) ** 2 / block.clusters.size
        ends = max(0.0, block.score - share[stratum]), min(1.0, block.score + share[stratum])
        away = (abs(transform(end, block.denominator, scale)[0] - level) for end in ends)
        full = term.weight * max(away) / share[stratum]
        here[stratum] += full * block.score
        lowest[stratum] += min(0.0, full)
        highest[stratum] += max(0.0, full)
    reach = share * np.maximum(highest - here, here - lowest)
    return rounding, (reach / stdtrit(np.maximum(sizes - 1.0, 1.0), 1.0 - tail)) ** 2


def _seed_part(
    items: float,
    items_term: float,
    cluster_df: float,
    parts: Sequence[tuple[float, float, float]],
    method: Method,
) -> tuple[float, float | None]:
    """Seed variance, and the degrees of freedom of the whole (None where there is no variance at all).

    Args:
        items: variance of the item part; ``items_term`` is its square over its degrees of freedom.
        parts: for each population MS_S / (S N), MS_E / (S N), and S - 1.
    """
    differences = [between - residual for between, residual, _ in parts]
    if method.clip and not method.paired:
        differences = [max(0.0, difference) for difference in differences]
    seeds = float(sum(differences))
    if method.paired:
        seeds = seeds if items + seeds > 0.0 else 0.0
        return seeds, _paired_df(items, items_term, cluster_df, parts)
    if not method.clip:
        seeds = max(seeds, (UNCLIPPED_FLOOR - 1.0) * items)
    seeds_term = sum(between**2 / df for between, _, df in parts)
    if items_term + seeds_term == 0.0:
        return seeds, None
    return seeds, max(1.0, (items + seeds) ** 2 / (items_term + seeds_term))


def _paired_df(
    items: float, items_term: float, cluster_df: float, parts: Sequence[tuple[float, float, float]]
) -> float | None:
    """Satterthwaite's degrees of freedom with every MS_S one standard error, sqrt(2 / (S - 1)), higher.

    Where MS_S happens to be small, the standard error is too short and the plain degrees of freedom are too many at
    once: they covered .923 at 3 seeds whose noise dominates, these .939, and .939 to .956 for 3 to 10 seeds and any
    share of seed noise (400,000 exact normal simulations a case).
    """
    raised = [(between * (1.0 + np.sqrt(2.0 / df)), residual, df) for between, residual, df in parts]
    variance = items + sum(between - residual for between, residual, _ in raised)
    term = items_term + sum(
        between**2 / df + residual**2 / (df * cluster_df) for between, residual, df in raised
    )
    if term == 0.0:
        return None
    satterthwaite = float((variance if variance > 0.0 else items) ** 2 / term)
    return max(min((df for *_, df in parts), default=1.0), satterthwaite)


class _Population:
    """Sums over blocks of runs that vary together, aligned by seed: a row per seed, a column per cluster."""

    def __init__(self, clusters: int) -> None:
        self.places: dict[int, int] = {}
        self.scores: Floats = np.zeros(0)
        self.influence: Floats = np.zeros((0, clusters))
        self.df = np.inf

    def add(self, seeds: Sequence[int], scores: Floats, influence: Floats, columns: Integers) -> None:
        # Blocks have different numbers of runs where cells were dropped; the smallest number decides.
        self.df = min(self.df, len(seeds) - 1.0)
        if new := [seed for seed in seeds if seed not in self.places]:
            self.places |= {seed: len(self.places) + place for place, seed in enumerate(new)}
            self.scores = np.concatenate([self.scores, np.zeros(len(new))])
            self.influence = np.vstack([self.influence, np.zeros((len(new), self.influence.shape[1]))])
        rows = np.asarray([self.places[seed] for seed in seeds])
        self.scores[rows] += scores
        self.influence[rows[:, None], columns] += influence

    def between(self) -> float:
        """MS_S / (S N)."""
        return float(sum(score**2 for score in self.scores.tolist()))

    def residual(self) -> float:
        """MS_E / (S N): the item noise in the differences between runs."""
        return float(sum(row @ row for row in self.influence))


def _check_paired(terms: Sequence[Term]) -> None:
    seeds = sorted({term.block.seeds for term in terms if not term.block.deterministic})
    if len(seeds) > 1:
        raise UsageError(
            f"paired intervals need the same seeds on every side, but there are {seeds[0]} and {seeds[1]}; "
            "use unpaired intervals."
        )


def strata_of(blocks: Iterable[Block], clusters: int) -> Integers:
    """(clusters,) connected components of clusters that occur together in a block."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    listed = [block.clusters for block in blocks]
    first = np.concatenate([np.repeat(block[:1], block.size) for block in listed])
    graph = coo_array((np.ones(first.size), (first, np.concatenate(listed))), shape=(clusters, clusters))
    labels: Integers = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels
