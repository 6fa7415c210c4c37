"""What one phase is to do."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xeval.checkpoints import Checkpoint
from xeval.conditions import BASELINE
from xeval.digests import value_digest
from xeval.errors import XevalError
from xeval.tasks.base import TrainingSet
from xeval.train.intermediates import data_digest
from xeval.train.lines import MlmData
from xeval.train.recipes import PHASE_VERSION, Hyperparameters, Phase


class NotFiniteError(XevalError):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class PhaseJob:
    """What one phase does; equal jobs give equal weights.

    Attributes:
        sets: one training set, or several that share the encoder and are mixed.
        mlm: text for masked language modelling that is mixed in; for intermediate phases only.
        base: name of the base checkpoint, for the card.
        freeze_embeddings: keep the embedding block (tables and its normalisation) as the parent has it.
        data_root: folder that the sources' patterns start from.
        recipe: name of the recipe that ``hyper`` came from, for the card.
    """

    phase: Phase
    parent: Checkpoint
    sets: tuple[TrainingSet, ...]
    hyper: Hyperparameters
    seed: int
    data_root: Path | None
    base: str
    condition: str = BASELINE
    freeze_embeddings: bool = False
    recipe: str = "custom"
    mlm: MlmData | None = None

    @cached_property
    def data_digests(self) -> dict[str, str]:
        """Digest of the training and dev files of every set."""
        return {s.name: data_digest(s, self.data_root) for s in self.sets}

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the weights."""
        inputs = {
            "version": PHASE_VERSION,
            "phase": self.phase,
            "parent": self.parent.digest,
            "data": self.data_digests,
            "hyper": self.hyper.digest_values(),
            "seed": self.seed,
            "freeze_embeddings": self.freeze_embeddings,
        }
        if self.mlm is not None:
            inputs["mlm"] = self.mlm.digest(self.data_root)
        return value_digest(inputs)
