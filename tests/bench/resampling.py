"""How much faster one set of weights for all contrasts is than scipy's bootstrap of one contrast after the other.

    OMP_NUM_THREADS=1 python tests/bench/resampling.py [--replicates 10000] [--items 5000]

12 systems x 5 seeds x 15 languages x 5,000 parallel items that are right or wrong; 165 contrasts of a system with the
baseline in one language. scipy is measured on one contrast, without resampling seeds, and its time is multiplied
by 165: that figure is extrapolated. Processor times, all in one run; the spreads must agree.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from xeval.analysis.estimate.arrays import Cell, Study
from xeval.analysis.estimate.bootstrap import replicates
from xeval.analysis.estimate.estimands import cell_gain
from xeval.analysis.estimate.variance import Block, Method, make_block

SYSTEMS, SEEDS, LANGUAGES = 12, 5, 15
FASTEST_BATCH = 20  # of scipy's bootstrap, found by trial


def simulated(items: int) -> Study:
    """Systems of equal quality; items differ in difficulty, runs by about a point."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0.5, 1.0, items)
    blocks = {}
    for population in range(SYSTEMS):
        name = f"k{population:02d}" if population else "none"
        for language in range(LANGUAGES):
            level = difficulty + rng.normal(0, 0.05, (SEEDS, 1))
            right = (rng.random((SEEDS, items)) < 1 / (1 + np.exp(-level))).astype(float)
            blocks[name, "t", f"l{language:02d}"] = make_block(
                right, np.ones_like(right), np.arange(items), range(SEEDS), population
            )
    return Study(
        {}, tuple(sorted({cell[0] for cell in blocks} - {"none"})), blocks, items, "en", Method(), ()
    )


def averaged(study: Study) -> dict[Cell, Block]:
    """Every block with the mean of its runs as its one run, as scipy is given it."""
    return {
        cell: make_block(
            block.num.mean(axis=0, keepdims=True), block.den[:1], block.clusters, (0,), block.population
        )
        for cell, block in study.blocks.items()
    }


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = function()
    return result, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=5_000)
    options = parser.parse_args()
    B, study = options.replicates, simulated(options.items)
    gains = {
        f"{name} {lang}": cell_gain(name, target, lang)
        for name, target, lang in study.blocks
        if name != "none"
    }
    first, *_ = gains.values()
    treated, base = (study.blocks[cell].num.mean(axis=0) for cell in first)

    def difference(a: Any, b: Any, axis: int = -1) -> Any:
        return 100 * (a.mean(axis=axis) - b.mean(axis=axis))

    print(
        f"{sum(block.num.size for block in study.blocks.values()):,} cells, {len(gains)} contrasts, {B:,} replicates"
    )
    multi, crossed = timed(lambda: replicates(study, gains, B, 1, "points"))
    _, one = timed(lambda: replicates(study, {"gain": first}, B, 1, "points"))
    pair = (treated, base)
    options_of_both = {"vectorized": True, "n_resamples": B, "rng": 1}
    closed = np.sqrt(study.estimate(first, "points").variance_items)
    print(f"Multi-Bootstrap of all contrasts {crossed:.2f} s, of one {one:.2f} s")
    for batch in (FASTEST_BATCH, None):
        theirs, reference = timed(
            lambda batch=batch: bootstrap(
                pair, difference, paired=True, method="percentile", batch=batch, **options_of_both
            )
        )
        whole = reference * len(gains)
        print(
            f"scipy.stats.bootstrap, batch {batch}: one {reference:.2f} s, {len(gains)} {whole:.0f} s (extrapolated): "
            f"{whole / crossed:.0f} times the Multi-Bootstrap"
        )
    single = Study({}, study.conditions, averaged(study), options.items, "en", Method(), ())
    fixed = replicates(single, {"gain": first}, B, 1, "points")[:, 0].std()
    print(
        f"spread, seeds averaged {fixed:.5f}; scipy {theirs.standard_error:.5f}; closed form {closed:.5f}; seeds too "
        f"{multi[:, 0].std():.5f}"
    )
    assert abs(fixed / theirs.standard_error - 1) < 0.03


if __name__ == "__main__":
    main()
