"""Synthetic studies with known truth: conditions x seeds x targets x languages x items with shared clusters.

Success of an item is Bernoulli with probability ``base + gain[condition] + seed effect + cluster effect`` (in points,
clipped to 0..1), where the cluster effect is shared by all systems, and the seed effect by all languages of a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Task:
    """A target. ``gain``: condition -> true gain in points; ``prefix`` names its clusters (shared if equal)."""

    name: str
    group: str
    base: float
    gain: Mapping[str, float] = field(default_factory=dict)
    langs: Sequence[str] = ("en", "de", "sw")
    clusters: int = 40
    cluster_size: int = 3
    prefix: str = ""
    seed_sd: float = 1.0
    deterministic: Sequence[str] = ()


def frame(
    tasks: Sequence[Task],
    rng: np.random.Generator,
    seeds: Mapping[str, int],
    *,
    cluster_sd: float = 10.0,
    shared_seed_sd: float = 0.0,
) -> pd.DataFrame:
    """Tidy scores; ``seeds`` gives the number of runs per condition (``none`` is the baseline).

    ``shared_seed_sd``: points of a seed effect that all tasks of one (condition, seed) share, as one
    intermediate checkpoint would give them.
    """
    shared = {
        (name, seed): rng.normal(0, shared_seed_sd) for name, count in seeds.items() for seed in range(count)
    }
    effects: dict[str, np.ndarray] = {}
    parts = []
    for task in tasks:
        prefix = task.prefix or task.name
        effect = effects.setdefault(prefix, rng.normal(0, cluster_sd, task.clusters))
        cluster = np.repeat(np.arange(task.clusters), task.cluster_size)
        for condition, count in seeds.items():
            runs = [-1] if condition in task.deterministic else range(count)
            for seed in runs:
                run_effect = 0.0 if seed < 0 else rng.normal(0, task.seed_sd) + shared[condition, seed]
                level = task.base + task.gain.get(condition, 0.0) + run_effect
                for lang in task.langs:
                    probability = np.clip((level + effect[cluster]) / 100, 0, 1)
                    parts.append(
                        pd.DataFrame(
                            {
                                "condition": condition,
                                "target": task.name,
                                "group": task.group,
                                "seed": seed,
                                "lang": lang,
                                "item_id": [f"{prefix}-{number:05d}" for number in range(cluster.size)],
                                "cluster_id": [f"{prefix}-c{number}" for number in cluster],
                                "hops": 2 if "multi-hop" in task.group else 1,
                                "metric": "accuracy",
                                "num": (rng.random(cluster.size) < probability).astype(float),
                                "den": 1.0,
                            }
                        )
                    )
    return pd.concat(parts, ignore_index=True)


def study(
    rng: np.random.Generator,
    *,
    contrast: float = 0.0,
    seeds: Mapping[str, int] | None = None,
    **options: float,
) -> pd.DataFrame:
    """Classification, single- and multi-hop QA, retrieval; all gain 3 points, multi-hop QA 3 + ``contrast``."""
    counts = dict(seeds or {"none": 4, "mnli": 3, "squad": 3})
    gains = {name: 3.0 for name in counts if name != "none"}
    lower = dict.fromkeys(gains, 3.0 + contrast)
    tasks = [
        Task("pairs", "classification", 65, gains),
        Task("spans", "single-hop QA", 60, gains, langs=("en", "de", "sw", "hi")),
        Task("chains", "multi-hop QA", 55, lower),
        Task("sentences", "retrieval", 70, gains, langs=("de", "sw"), deterministic=("none",)),
    ]
    return frame(tasks, rng, counts, **options)


def crossed(rng: np.random.Generator, gains: Mapping[str, float], seeds: Mapping[str, int]) -> pd.DataFrame:
    """The format x hops grid: four targets on the same worlds, hence the same clusters."""
    groups = ("classification", "multi-hop classification", "single-hop QA", "multi-hop QA")
    tasks = [
        Task(group.replace(" ", "-"), group, 60, {"mnli": gains[group]}, prefix="world") for group in groups
    ]
    return frame(tasks, rng, seeds)
