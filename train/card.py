"""The lineage card of a finished phase, and the signs that it has diverged."""

import platform
from importlib import metadata

import numpy as np
import torch

from train.data import PhaseData
from train.job import PhaseJob
from train.recipes import PHASE_VERSION
from train.state import Position
from xeval.checkpoints import Lineage, TrainingData

SOFTWARE = ("xeval", "torch", "transformers", "tokenizers", "accelerate", "numpy")
NOTHING_LEARNT = 0.99  # of the loss of the best constant answer: a run that ends above it has not trained
FEWEST_LOSSES = 20  # steps that such a judgement needs


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
    diverged = signs_of_divergence(job, data, position)
    recipe = job.hyper.model_dump() | {
        "name": job.recipe,
        "steps": position.step,
        "planned_steps": planned_steps,
        "freeze_embeddings": job.freeze_embeddings,
        "phase_version": PHASE_VERSION,
    }
    if job.hyper.keep == "best":
        recipe |= {"best_step": position.best_step, "best_score": position.best_score}
    notes = [*position.notes, *diverged]
    if diverged:
        recipe["diverged"] = True
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
        software={package: metadata.version(package) for package in SOFTWARE},
        device=device,
        wall_seconds=round(position.seconds, 3),
        notes="; ".join(notes) or None,
    )


def _data(job: PhaseJob, data: PhaseData) -> list[TrainingData]:
    digests = dict(job.data_digests)
    if job.mlm is not None:
        digests[job.mlm.name] = job.mlm.digest(job.data_root)
    return [TrainingData(name=name, digest=digests[name], rows=data.sizes[name]) for name in data.names]


def recent_losses(data: PhaseData, position: Position) -> dict[str, float]:
    """Mean loss of every set in the last steps, of those that had a step."""
    by_set: dict[str, list[float]] = {}
    for number, loss in position.recent:
        by_set.setdefault(data.names[number], []).append(loss)
    return {name: float(np.mean(losses)) for name, losses in by_set.items()}


def signs_of_divergence(job: PhaseJob, data: PhaseData, position: Position) -> list[str]:
    """Why the run counts as diverged, as parts of a note; empty when it trained.

    The state that is kept gives one answer to all English dev items of a set, or the training loss on a set
    ends no lower than that of the best answer that is the same for all.
    """
    kept = position.best_step if job.hyper.keep == "best" else position.step
    signs = [
        f"diverged: one answer to all English dev items of {name}"
        for entry in position.history
        if entry["step"] == kept
        for name in entry.get("constant", ())
    ]
    losses, steps = recent_losses(data, position), [number for number, _ in position.recent]
    for number, (training_set, rows) in enumerate(zip(job.sets, data.rows, strict=True)):
        loss = losses.get(training_set.name, 0.0)
        if steps.count(number) >= FEWEST_LOSSES and loss >= NOTHING_LEARNT * rows.constant_loss:
            signs.append(
                f"diverged: the loss on {training_set.name} ends at {loss:.4f}, that of the best constant answer "
                f"is {rows.constant_loss:.4f}"
            )
    return signs


def device_name(device: torch.device, processes: int = 1) -> str:
    """The device in words, for the card."""
    name = f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
    if device.type == "cuda":
        name = str(torch.cuda.get_device_name(device))
    return name if processes == 1 else f"{processes} x {name}"
