"""The lineage card of a finished phase, and the signs that it has taught nothing."""

import math
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from xeval.checkpoints import Checkpoint, Lineage, TrainingData
from xeval.train.data import Dev, PhaseData
from xeval.train.job import PhaseJob
from xeval.train.recipes import PHASE_VERSION
from xeval.train.state import Position
from xeval.versions import versions

SOFTWARE = ("torch", "transformers", "tokenizers", "accelerate", "numpy")
NOTHING_LEARNT = (
    0.99  # of the loss of the best constant answer: a run that ends above it may not have trained
)
LAST_PART = 0.1  # of the steps, whose mean loss is compared with it
FEWEST_LOSSES = 20  # steps that such a judgement needs
ERRORS_ABOVE_CHANCE = 2.0  # standard errors within which a dev score counts as chance
RAREST = 0.05  # share that the standard error assumes where chance is less, as for F1
CHANCE_METRICS = ("accuracy", "tag_accuracy")  # of other metrics the best constant answer gets 0


def lineage_card(
    job: PhaseJob,
    data: PhaseData,
    position: Position,
    *,
    planned_steps: int,
    device: str,
    mlm_head: str | None,
    save_dtype: str | None,
) -> Lineage:
    """The card: every value of the recipe, the data, and what came of it."""
    collapsed = "; ".join(signs_of_collapse(job, data, position)) or None
    recipe = job.hyper.model_dump() | {
        "name": job.recipe,
        "steps": position.step,
        "planned_steps": planned_steps,
        "freeze_embeddings": job.freeze_embeddings,
        "phase_version": PHASE_VERSION,
    }
    if job.hyper.keep == "best":
        recipe |= {"best_step": position.best_step, "best_score": position.best_score}
    if job.hyper.adapter is not None:
        before = job.parent.adapter
        base = job.parent if before is None else Checkpoint(before.base, before.base.name)
        recipe["base_digest"] = base.digest
    notes = [*position.notes]
    if mlm_head is not None:
        recipe["mlm_head"] = mlm_head
    if mlm_head == "drawn":
        notes.append(
            "masked language modelling started from a drawn head: the parent has none, its decoder is the table "
            "of embeddings"
        )
    if save_dtype is not None:
        recipe["save_dtype"] = save_dtype
        notes.append(f"weights rounded to {save_dtype} when saved")
    return Lineage(
        phase=job.phase,
        base=job.base,
        parent=job.parent.digest,
        condition=job.condition,
        target="+".join(s.name for s in job.sets) if job.phase == "target" else None,
        seed=job.seed,
        recipe=recipe,
        data=_data(job, data),
        history=position.history,
        software=versions(*SOFTWARE),
        device=device,
        wall_seconds=round(position.seconds, 3),
        notes="; ".join(notes) or None,
        collapsed=collapsed,
    )


def _data(job: PhaseJob, data: PhaseData) -> list[TrainingData]:
    digests = dict(job.data_digests)
    if job.mlm is not None:
        digests[job.mlm.name] = job.mlm.digest(job.data_root)
    return [TrainingData(name=name, digest=digests[name], rows=data.sizes[name]) for name in data.names]


def kept_losses(evaluate_every: int, steps: int) -> int:
    """How many losses a run has to remember, for its history and for the judgement at its end."""
    return max(evaluate_every, math.ceil(LAST_PART * steps), FEWEST_LOSSES)


def recent_losses(data: PhaseData, position: Position, last: int) -> dict[str, list[float]]:
    """The losses of every set in the ``last`` steps, of those that had a step."""
    by_set: dict[str, list[float]] = {}
    for number, loss in position.recent[-last:]:
        by_set.setdefault(data.names[number], []).append(loss)
    return by_set


def signs_of_collapse(job: PhaseJob, data: PhaseData, position: Position) -> list[str]:
    """Why the run has taught nothing, in words; empty when it trained.

    The state that is kept gives one answer to all English dev items of a set. Or the mean training loss of the last
    tenth of the steps (at least 20) is not 1 % below that of the best answer that is the same for all, and the dev
    score, where there is one, is not 2 standard errors above what such an answer gets.
    """
    kept = position.best_step if job.hyper.keep == "best" else position.step
    entry: dict[str, Any] = next((e for e in reversed(position.history) if e["step"] == kept), {})
    signs = [f"gives one answer to all English dev items of {name}" for name in entry.get("constant", ())]
    losses = recent_losses(data, position, max(FEWEST_LOSSES, math.ceil(LAST_PART * position.step)))
    scores = {dev.task.name: _score_and_chance(dev, entry) for dev in data.dev}
    for training_set, rows in zip(job.sets, data.rows, strict=True):
        name, last = training_set.name, losses.get(training_set.name, [])
        if len(last) < FEWEST_LOSSES or np.mean(last) < NOTHING_LEARNT * rows.constant_loss:
            continue
        at_chance = ""
        if name in scores:
            score, chance, items = scores[name]
            share = max(chance, RAREST)
            if score > chance + ERRORS_ABOVE_CHANCE * math.sqrt(share * (1 - share) / items):
                continue
            at_chance = f", and its dev score of {100 * score:.1f} is that of chance ({100 * chance:.1f})"
        signs.append(
            f"the loss on {name} ends at {np.mean(last):.4f}, that of the best constant answer is "
            f"{rows.constant_loss:.4f}{at_chance}"
        )
    return signs


def _score_and_chance(dev: Dev, entry: Mapping[str, Any]) -> tuple[float, float, int]:
    """Dev score of a state, what the best constant answer gets, both 0 to 1, and the number of items."""
    task = dev.task
    score = float(np.mean([entry.get(f"{task.name}.{metric}", 0.0) for metric in task.metrics]))
    counted = all(metric in CHANCE_METRICS for metric in task.metrics)
    chance = task.kind.chance(dev.examples) if counted else None
    return score, chance or 0.0, len(dev.examples)


def device_name(device: torch.device, processes: int = 1) -> str:
    """The device in words, for the card."""
    name = f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
    if device.type == "cuda":
        name = str(torch.cuda.get_device_name(device))
    return name if processes == 1 else f"{processes} x {name}"
