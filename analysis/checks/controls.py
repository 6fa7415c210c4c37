"""Two checks that need no truth: baselines against themselves, and gain against baseline without shared noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import stdtrit

from xeval.analysis.checks.sensitivity import contrast_weights
from xeval.analysis.estimate.arrays import Cell, Study
from xeval.analysis.estimate.estimands import cell_gain, combine, mean
from xeval.analysis.estimate.variance import Block, Floats, Term, estimate, make_block
from xeval.conditions import BASELINE, single_conditions

MOST_SPLITS = 200
FEWEST_SPLITS, MOST_TESTS = 20, 20_000
FEWEST_RUNS = 4
"""Baseline runs below which no half has two, so that its seed variance is unknown."""


@dataclass(frozen=True)
class Control:
    """Baseline runs split in halves and compared as if one half were a condition (A/A): nothing is there to find.

    Attributes:
        splits: how many splits; ``runs`` baseline runs of each target.
        cells: (target, language) pairs of each split; ``significant`` is the share of all of them with p below
            ``alpha``, which should be near ``alpha``. Splits share runs: the share is not one of independent tests.
        contrasts: C of every split, points; ``covered`` is the share of their intervals that contain 0.
    """

    runs: int
    splits: int
    cells: int
    alpha: float
    significant: float
    contrasts: tuple[float, ...]
    covered: float | None


def baseline_control(study: Study, *, most: int = MOST_SPLITS, seed: int = 0) -> Control | None:
    """The A/A control in points; None where fewer than 4 baseline seeds are common to all trained targets.

    Args:
        most: largest number of splits; where there are more, that many different ones are drawn with ``seed``.
    """
    baselines = {
        (target, lang): block
        for (condition, target, lang), block in sorted(study.blocks.items())
        if condition == BASELINE and target in study.trained_targets and lang != study.source
    }
    seeds = _common_seeds(list(baselines.values()))
    if len(seeds) < FEWEST_RUNS:
        return None
    method = replace(study.method, paired=False)
    alpha = round(1.0 - method.confidence, 10)
    weights = contrast_weights(study) or {}
    level = {cell[1:]: -weight for cell, weight in weights.items() if cell[0] == BASELINE and weight != 0.0}
    apart = 1 + max(block.population for block in study.blocks.values())
    # A share of so many tests is known to half a percentage point; a large study has them in fewer splits.
    splits = _splits(len(seeds), max(FEWEST_SPLITS, min(most, MOST_TESTS // len(baselines))), seed)
    significant, contrasts, covered = 0, [], 0
    for first in splits:
        chosen = [seeds[place] for place in first]
        rest = [seed for seed in seeds if seed not in chosen]
        halves = {
            key: (_part(block, chosen), replace(_part(block, rest), population=block.population + apart))
            for key, block in baselines.items()
        }
        for half, rest_of_runs in halves.values():
            terms = (Term(1.0, half), Term(-1.0, rest_of_runs))
            significant += estimate(terms, "points", study.strata, method).p_value < alpha
        if level:
            terms_of_c = [
                Term(sign * weight, half)
                for key, weight in level.items()
                for sign, half in zip((1.0, -1.0), halves[key], strict=True)
            ]
            found = estimate(terms_of_c, "points", study.strata, method)
            contrasts.append(found.value)
            covered += found.low <= 0.0 <= found.high
    return Control(
        runs=len(seeds),
        splits=len(splits),
        cells=len(baselines),
        alpha=alpha,
        significant=significant / (len(splits) * len(baselines)),
        contrasts=tuple(contrasts),
        covered=covered / len(contrasts) if contrasts else None,
    )


def _common_seeds(blocks: Sequence[Block]) -> list[int]:
    return sorted(set.intersection(*(set(block.seeds) for block in blocks))) if blocks else []


def _splits(runs: int, most: int, seed: int) -> list[tuple[int, ...]]:
    """Places of one half; of a half and its complement of equal size only the one with the first run."""
    half = runs // 2
    even = runs % 2 == 0
    if comb(runs, half) <= max(most, 1) * (2 if even else 1):
        every = combinations(range(runs), half)
        return [split for split in every if not even or split[0] == 0]
    rng = np.random.Generator(np.random.Philox(seed))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < most:
        split = np.sort(rng.permutation(runs)[:half])
        if even and split[0] != 0:
            split = np.setdiff1d(np.arange(runs), split)
        found[tuple(split.tolist())] = None
    return list(found)


def _part(block: Block, seeds: Sequence[int]) -> Block:
    """The block with some of its runs."""
    rows = [block.seeds.index(seed) for seed in seeds]
    return make_block(block.num[rows], block.den[rows], block.clusters, tuple(seeds), block.population)


# --- gain against baseline ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slope:
    """Change of the gain per point of baseline, over (target, language).

    Attributes:
        slope: mean over all splits of the baseline's seeds: one half gives the baseline, the other the gain.
        low, high: over new seeds and items, for these targets, languages and baselines.
        coupled: the slope with the same runs on both axes: biased downwards, shown for comparison only.
        points: target, language, baseline and gain of every point, all seeds.
    """

    slope: float
    low: float
    high: float
    coupled: float
    points: tuple[tuple[str, str, float, float], ...]


def baseline_slope(study: Study, *, most: int = MOST_SPLITS, seed: int = 0) -> Slope | None:
    """Regression of the mean gain of the single intermediate tasks on the baseline, points on points.

    None with fewer than 3 points, fewer than 2 baseline seeds common to all trained targets, or equal baselines.
    """
    targets = study.trained_targets
    conditions = single_conditions(study.conditions_of(targets))
    cells = [(target, lang) for target in targets for lang in study.transfer_languages(target)]
    blocks = [study.blocks[BASELINE, target, lang] for target, lang in cells]
    seeds = _common_seeds(blocks)
    if len(cells) < 3 or len(seeds) < 2 or not conditions:
        return None
    rows = [[block.seeds.index(number) for number in seeds] for block in blocks]
    baseline = np.stack([100.0 * block.scores[row] for block, row in zip(blocks, rows, strict=True)])
    after = np.array(
        [np.mean([100.0 * study.blocks[name, *cell].score for name in conditions]) for cell in cells]
    )
    x = baseline.mean(axis=1)
    if np.ptp(x) == 0.0:
        return None
    factors = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    weights: dict[Cell, float] = combine(
        (float(factor), mean([cell_gain(name, *cell) for name in conditions]))
        for factor, cell in zip(factors, cells, strict=True)
    )
    spread = study.estimate(weights, "points")
    value = split_seed_slope(baseline, after, most=most, seed=seed)
    half = float(stdtrit(spread.df, 1.0 - (1.0 - spread.confidence) / 2.0)) * spread.se
    gains = after - x
    return Slope(
        slope=value,
        low=value - half,
        high=value + half,
        coupled=float(factors @ gains),
        points=tuple(
            (target, lang, float(b), float(g)) for (target, lang), b, g in zip(cells, x, gains, strict=True)
        ),
    )


def split_seed_slope(baseline: Floats, after: Floats, *, most: int = MOST_SPLITS, seed: int = 0) -> float:
    """Least-squares slope of the gain on the baseline without shared noise.

    Args:
        baseline: (cells, runs) scores; ``after``: (cells,) scores with the intermediate task.

    For every split of the runs, one half is the baseline on the x axis and the other the one that the gain is measured
    against, and the other way round; the slopes are averaged. Noise of the x axis still flattens a slope that is there.
    """
    runs = baseline.shape[1]
    slopes = []
    for first in _splits(runs, most, seed):
        rest = [place for place in range(runs) if place not in first]
        half, remaining = baseline[:, list(first)].mean(axis=1), baseline[:, rest].mean(axis=1)
        slopes += [_slope(half, after - remaining), _slope(remaining, after - half)]
    return float(np.mean(slopes))


def _slope(x: Floats, y: Floats) -> float:
    centred = x - x.mean()
    return float(centred @ y / (centred @ centred))
