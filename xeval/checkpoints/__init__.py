"""Checkpoints on disk: discovery, lineage card, content digest, loading. Safetensors only, no remote code."""

from xeval.checkpoints.checkpoint import PARTIAL_SUFFIX, TOKENIZER_FILES, Checkpoint
from xeval.checkpoints.discovery import Discovery, discover, survey
from xeval.checkpoints.lineage import CARD_NAME, Lineage, TrainingData

__all__ = [
    "CARD_NAME",
    "PARTIAL_SUFFIX",
    "TOKENIZER_FILES",
    "Checkpoint",
    "Discovery",
    "Lineage",
    "TrainingData",
    "discover",
    "survey",
]
