"""The words of a study: conditions and the sets they name, groups of targets, baseline and seeds.

A condition is the English training between the pre-trained checkpoint and the target: ``none`` (the baseline), the
name of a training set, sets that are mixed (``a+b``), or stages one after another (``a>b``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

BASELINE = "none"
MIXED = "+"
"""Between the sets of a stage: they are interleaved."""
THEN = ">"
"""Between the stages of a condition: each trains the encoder that the one before has left."""
MEAN = "mean"
"""Stands for the mean over the single intermediate tasks where a condition is named."""
NO_SEED = -1
"""Of a run without training, or whose seed is not known."""

Group = Literal[
    "classification",
    "multi-hop classification",
    "structured",
    "single-hop QA",
    "multi-hop QA",
    "retrieval",
    "diagnostic",
]
CLASSIFICATION = "classification"
MULTI_HOP_CLASSIFICATION = "multi-hop classification"
STRUCTURED = "structured"
SINGLE_HOP_QA = "single-hop QA"
MULTI_HOP_QA = "multi-hop QA"
RETRIEVAL = "retrieval"
DIAGNOSTIC = "diagnostic"
"""Of other targets, such as xquad-depth: stored, never contrasted."""
GROUPS: tuple[str, ...] = tuple(group for group in get_args(Group) if group != DIAGNOSTIC)
MULTI_HOP = (MULTI_HOP_CLASSIFICATION, MULTI_HOP_QA)


def stages(condition: str) -> tuple[str, ...]:
    """The conditions that lead to one, itself last: ``a``, ``a>b`` and ``a>b>c`` of ``a>b>c``."""
    names = condition.split(THEN)
    return tuple(THEN.join(names[: count + 1]) for count in range(len(names)))


def mixed_sets(condition: str) -> list[str]:
    """The sets that a condition's last stage mixes."""
    return condition.split(THEN)[-1].split(MIXED)


def training_sets(condition: str) -> list[str]:
    """The sets of all stages, in order."""
    return re.split(f"[{MIXED}{THEN}]", condition)


def has_several(condition: str) -> bool:
    """Whether a condition has several intermediate tasks, mixed or one after another."""
    return len(training_sets(condition)) > 1


def single_conditions(conditions: Sequence[str]) -> tuple[str, ...]:
    """The conditions that means are taken over: single intermediate tasks, or all where none is."""
    return tuple(name for name in conditions if not has_several(name)) or tuple(conditions)


@dataclass(frozen=True)
class Run:
    """What a checkpoint's lineage says of its run; empty where it says nothing.

    Attributes:
        training: the set of the target phase.
        parent: digest of the intermediate checkpoint that it was trained from: runs that start from one share its luck.
            Of the baseline it is empty, as its parent is the base, the same for all.
        collapsed: why the training taught nothing.
    """

    condition: str
    seed: int
    phase: str
    training: str
    parent: str
    collapsed: str


def run_of(lineage: Mapping[str, Any] | None, checkpoint: str) -> Run:
    """The run of a lineage card; without a card the checkpoint's name stands for the condition."""
    card = lineage or {}
    seed, phase, condition = card.get("seed"), card.get("phase", ""), card.get("condition", checkpoint)
    intermediate = phase == "target" and card.get("condition", BASELINE) != BASELINE
    return Run(
        condition=condition,
        seed=NO_SEED if seed is None else int(seed),
        phase=phase,
        training=card.get("target") or "",
        parent=(card.get("parent") or "") if intermediate else "",
        collapsed=card.get("collapsed") or "",
    )
