"""Before training: which contrast a design can find, how many seeds and items that takes, and what a null result says.

The test is that of :mod:`.estimate.variance`: C over its two-way standard error, Satterthwaite's degrees of freedom,
seed parts clipped at 0, unpaired. Its variance estimate is random, and with three seeds very much so, so the power is
simulated: for normal data and equal runs the mean squares are independent multiples of chi-square variables, which
makes a simulated study a dozen random numbers. All designs and contrasts see the same random numbers, so that power
rises with the contrast and the search for the smallest detectable one is a bisection.

With S0 baseline runs and S1 runs of each of K conditions, and h = 1/S0 + 1/(K S1), a side of the contrast has
``V = (item + residual h) / clusters + run h``. Runs of one condition and seed are taken to share their intermediate
checkpoint, so both sides are one population there; baseline runs of the two sides are separate.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from xeval.analysis.estimate.variance import Floats
from xeval.errors import UsageError

SIMULATIONS = 10_000
SEED = 20_000
FEWEST_SEEDS = 3  # of what is recommended: two seeds leave a single C(k) one degree of freedom
MOST_SEEDS = 30
LARGEST_MULTIPLE = 64.0


@dataclass(frozen=True)
class Side:
    """One side of a contrast: a group's gain, averaged over tasks, languages and conditions.

    Attributes:
        run_variance: between runs, points².
        item_variance: between item clusters, of the gain without training noise, points².
        residual_variance: item noise of a single run's score, points² per cluster.
        clusters: number of item clusters.
    """

    run_variance: float
    item_variance: float
    residual_variance: float
    clusters: int

    def __post_init__(self) -> None:
        if self.clusters < 2:
            raise UsageError(f"a side of the contrast has {self.clusters} items; give at least 2.")
        parts = (self.run_variance, self.item_variance, self.residual_variance)
        if not all(np.isfinite(part) and part >= 0.0 for part in parts):
            raise UsageError("a variance component is negative or not a number; give values of at least 0.")

    def limited(self, clusters: int) -> "Side":
        """The same side with at most that many clusters."""
        return replace(self, clusters=min(self.clusters, clusters))


ASSUMED = (Side(1.0, 300.0, 600.0, 1000), Side(0.16, 200.0, 200.0, 5010))
"""Multi-hop QA and classification where there is no pilot: run SD 1.0 and 0.4 points; 1,000 and 5,010 items."""


@dataclass(frozen=True)
class Seeds:
    """Number of runs of the baseline and of each condition."""

    baseline: int
    condition: int

    def __post_init__(self) -> None:
        if min(self.baseline, self.condition) < 2:
            raise UsageError(
                f"{self.baseline} baseline and {self.condition} condition seeds: with a single run on a side the "
                "variation between seeds cannot be estimated; plan at least 2."
            )

    def runs(self, conditions: int) -> int:
        """Runs of every target in all."""
        return self.baseline + conditions * self.condition


SETTINGS = (Seeds(3, 3), Seeds(5, 5), Seeds(9, 3), Seeds(10, 10), Seeds(15, 5))


@dataclass(frozen=True)
class Design:
    """Sides, number of conditions that C averages, and seeds."""

    sides: tuple[Side, ...]
    conditions: int
    seeds: Seeds

    def __post_init__(self) -> None:
        if self.conditions < 1:
            raise UsageError("a design without an intermediate condition has no contrast; plan at least one.")

    @property
    def share(self) -> float:
        """h: variance of a gain per unit of run variance."""
        return 1.0 / self.seeds.baseline + 1.0 / (self.conditions * self.seeds.condition)

    @property
    def items(self) -> Floats:
        """(sides,) expected item part of the variance, with the item noise of the runs in it."""
        return np.array(
            [(s.item_variance + s.residual_variance * self.share) / s.clusters for s in self.sides]
        )

    @property
    def variance(self) -> float:
        """True variance of the estimated contrast, points²."""
        return float(self.items.sum() + sum(side.run_variance for side in self.sides) * self.share)

    def with_items(self, multiple: float) -> "Design":
        """The same design with ``multiple`` times as many items on every side."""
        sides = tuple(replace(side, clusters=max(2, round(side.clusters * multiple))) for side in self.sides)
        return replace(self, sides=sides)


@dataclass(frozen=True)
class _Draws:
    """What a simulated study tells: its error, and the half-width of its interval."""

    error: Floats
    half: Floats


@lru_cache(maxsize=64)
def _simulate(design: Design, confidence: float, simulations: int) -> _Draws:
    rng = np.random.Generator(np.random.Philox(SEED))
    error = rng.standard_normal(simulations) * np.sqrt(design.variance)
    K, seeds = design.conditions, design.seeds
    # Between-run mean squares over S, and the item noise in them, of every population of runs.
    run = np.array([side.run_variance for side in design.sides])
    noise = np.array([side.residual_variance / side.clusters for side in design.sides])
    between = np.concatenate(
        [(run + noise) / seeds.baseline, np.full(K, (run + noise).sum() / (K * K * seeds.condition))]
    )
    residual = np.concatenate([noise / seeds.baseline, np.full(K, noise.sum() / (K * K * seeds.condition))])
    df = np.array([seeds.baseline - 1.0] * run.size + [seeds.condition - 1.0] * K)
    cluster_df = np.array([side.clusters - 1.0 for side in design.sides])
    items = design.items * rng.chisquare(cluster_df, (simulations, run.size)) / cluster_df
    between = between * rng.chisquare(df, (simulations, df.size)) / df
    residual_df = df * cluster_df.min()
    residual = residual * rng.chisquare(residual_df, (simulations, df.size)) / residual_df
    variance = items.sum(axis=1) + np.maximum(0.0, between - residual).sum(axis=1)
    terms = (items**2 / cluster_df).sum(axis=1) + (between**2 / df).sum(axis=1)
    with np.errstate(invalid="ignore"):  # no variance at all: any difference is found
        satterthwaite = np.where(terms > 0.0, np.maximum(1.0, variance**2 / terms), cluster_df.sum())
    half = stdtrit(satterthwaite, 1.0 - (1.0 - confidence) / 2.0) * np.sqrt(variance)
    return _Draws(error, half)


def power(design: Design, true: float, *, confidence: float = 0.95, simulations: int = SIMULATIONS) -> float:
    """Share of simulated studies whose interval excludes 0 on the side of the true contrast ``true`` (points).

    At ``true`` = 0 it is the share that excludes 0 on either side: the type-I error.
    """
    draws = _simulate(design, confidence, simulations)
    if true == 0.0:
        return float((np.abs(draws.error) > draws.half).mean())
    return float((abs(true) + draws.error > draws.half).mean())


def detectable(
    design: Design, wanted: float = 0.8, *, confidence: float = 0.95, simulations: int = SIMULATIONS
) -> float:
    """Smallest contrast (points) that is found with power ``wanted``, simulated.

    Power is a share of studies with ``true > half - error``, so the bisection on it ends at their quantile.
    """
    _check_power(wanted)
    draws = _simulate(design, confidence, simulations)
    return float(np.quantile(draws.half - draws.error, wanted, method="higher"))


def detectable_by_formula(design: Design, wanted: float = 0.8, *, confidence: float = 0.95) -> float:
    """The same from the non-central t distribution; optimistic with few seeds.

    It takes the variance as known but for Satterthwaite's degrees of freedom at its expectation. At three seeds
    a side it promises power 0.80 where the test has about 0.70.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct

    _check_power(wanted)
    se = np.sqrt(design.variance)
    if se == 0.0:
        return 0.0
    K, seeds = design.conditions, design.seeds
    terms = sum(
        part**2 / (side.clusters - 1.0) for part, side in zip(design.items, design.sides, strict=True)
    )
    for side in design.sides:
        terms += (side.run_variance / seeds.baseline) ** 2 / (seeds.baseline - 1.0)
        terms += K * (side.run_variance / (K * K * seeds.condition)) ** 2 / (seeds.condition - 1.0)
    df = max(1.0, design.variance**2 / terms)
    critical = float(stdtrit(df, 1.0 - (1.0 - confidence) / 2.0))
    return float(brentq(lambda shift: nct.sf(critical, df, shift) - wanted, 0.0, 10.0 * critical) * se)


def _check_power(wanted: float) -> None:
    if not 0.0 < wanted < 1.0:
        raise UsageError(f"power is {wanted}; give a number between 0 and 1, such as 0.8.")


# --- what a design needs -----------------------------------------------------------------------------------


def needed_seeds(
    design: Design, true: float, wanted: float = 0.8, *, confidence: float = 0.95
) -> Seeds | None:
    """The fewest runs in all with which ``true`` points are found with power ``wanted``.

    Between equal numbers of runs the more powerful one. Each side has 3 to 30 seeds; None where that is not enough.
    """
    _check_power(wanted)
    best: tuple[int, float, Seeds] | None = None
    for condition in range(FEWEST_SEEDS, MOST_SEEDS + 1):
        if best and Seeds(FEWEST_SEEDS, condition).runs(design.conditions) > best[0]:
            break
        low, high = FEWEST_SEEDS, MOST_SEEDS
        if _power(design, Seeds(high, condition), true, confidence) < wanted:
            continue
        while low < high:
            middle = (low + high) // 2
            if _power(design, Seeds(middle, condition), true, confidence) >= wanted:
                high = middle
            else:
                low = middle + 1
        seeds = Seeds(low, condition)
        found = (seeds.runs(design.conditions), -_power(design, seeds, true, confidence), seeds)
        if best is None or found[:2] < best[:2]:
            best = found
    return best[2] if best else None


def best_split(design: Design, runs: int, wanted: float = 0.8, *, confidence: float = 0.95) -> Seeds | None:
    """The split of ``runs`` runs of a target with the smallest detectable C; None below 3 seeds a side.

    For C, the mean over K conditions, the variance alone asks for S0 = K S1 (half of all runs for the baseline); for
    each single C(k) for S0 = sqrt(K) S1. Few degrees of freedom shift both towards equal numbers.
    """
    K = design.conditions
    splits = [
        Seeds(runs - K * condition, condition)
        for condition in range(FEWEST_SEEDS, (runs - FEWEST_SEEDS) // K + 1)
    ]
    if not splits:
        return None
    return min(
        splits, key=lambda seeds: detectable(replace(design, seeds=seeds), wanted, confidence=confidence)
    )


def needed_items(
    design: Design, true: float, wanted: float = 0.8, *, confidence: float = 0.95
) -> float | None:
    """How many times the items of every side are needed at these seeds; None where 64 times are not enough."""
    _check_power(wanted)
    if power(design.with_items(LARGEST_MULTIPLE), true, confidence=confidence) < wanted:
        return None
    low, high = 0.0, LARGEST_MULTIPLE
    while high - low > 0.01 * high:
        middle = (low + high) / 2.0
        if power(design.with_items(middle), true, confidence=confidence) >= wanted:
            high = middle
        else:
            low = middle
    return high


def _power(design: Design, seeds: Seeds, true: float, confidence: float) -> float:
    return power(replace(design, seeds=seeds), true, confidence=confidence)
