"""How much faster the in-house REML is than statsmodels' MixedLM, and that both find the same optimum.

    python tests/bench/mixed.py [--tasks 12] [--languages 12] [--conditions 9] [--seeds 4] [--rounds 5]

One crossed study (by default 5,184 rows and 861 random levels in six terms) is fitted by both in one process.
MixedLM takes minutes at the default size; ``--tasks 5 --languages 3 --conditions 4 --seeds 2`` takes seconds.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import pandas as pd

from xeval.analysis.models.fit import random_term
from xeval.analysis.models.reml import mixed_model

TERMS = ("task", "condition", "language", "task_condition", "task_language", "baseline_cell")


def study(tasks: int, languages: int, conditions: int, seeds: int, seed: int = 1) -> pd.DataFrame:
    """Gains with six crossed random effects; the last quarter of the tasks is multi-hop."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(range(tasks), range(conditions), range(seeds), range(languages), indexing="ij")
    task, condition, run, language = (axis.ravel() for axis in grid)
    frame = pd.DataFrame(
        {
            "multi_hop": (task >= tasks - tasks // 4).astype(float),
            "distance": rng.normal(0, 1, languages)[language],
            "task": task,
            "condition": condition,
            "language": language,
            "task_condition": task * conditions + condition,
            "task_language": task * languages + language,
            "baseline_cell": (task * languages + language) * seeds + run,
        }
    )
    gain = 2 - frame["multi_hop"] + 0.3 * frame["distance"] + rng.normal(0, 1, len(frame))
    for name, spread in zip(TERMS, (1.5, 0.7, 0.5, 0.8, 0.6, 0.5), strict=True):
        gain += rng.normal(0, spread, int(frame[name].max()) + 1)[frame[name]]
    return frame.assign(gain=gain)


def main() -> None:
    import statsmodels.formula.api as formulas
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("tasks", 12), ("languages", 12), ("conditions", 9), ("seeds", 4), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--method", default="lbfgs", help="optimiser of MixedLM: lbfgs, bfgs, powell")
    options = parser.parse_args()
    frame = study(options.tasks, options.languages, options.conditions, options.seeds)
    fixed = np.column_stack([np.ones(len(frame)), frame["multi_hop"], frame["distance"]])
    elapsed = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        terms = [random_term(name, frame[name].tolist()) for name in TERMS]
        own = mixed_model(frame["gain"].to_numpy(), fixed, ("constant", "multi_hop", "distance"), terms).fit()
        elapsed.append(time.perf_counter() - start)
    ours = statistics.median(elapsed)
    levels = sum(own.levels.values())
    print(f"{len(frame)} rows, {levels} random levels in {len(TERMS)} terms")
    print(
        f"in-house: median of {options.rounds} {ours:.2f} s ({min(elapsed):.2f} to {max(elapsed):.2f}), "
        f"two starts, -2 log REML {own.deviance:.4f}, converged {own.converged}",
        flush=True,
    )
    model = formulas.mixedlm(
        "gain ~ multi_hop + distance",
        frame.assign(all=1),
        groups="all",
        re_formula="0",
        vc_formula={name: f"0 + C({name})" for name in TERMS},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        other = model.fit(reml=True, method=[options.method])
        theirs = time.perf_counter() - start
    print(f"MixedLM ({options.method}): {theirs:.1f} s, ratio {theirs / ours:.0f},", end=" ")
    print(f"converged {other.converged}, -2 log REML {-2 * other.llf:.4f}")
    ratios = np.array([own.components[name] / own.residual for name in model.exog_vc.names])
    at = MixedLMParams.from_components(fe_params=own.beta, cov_re=np.zeros((0, 0)), vcomp=ratios)
    print(f"MixedLM's own criterion at the in-house estimates: {-2 * model.loglike(at):.4f}")


if __name__ == "__main__":
    main()
