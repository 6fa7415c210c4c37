"""What retrieval and mining share: one vector per sentence, and settings that start from a published recipe."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, UsageError, did_you_mean
from xeval.examples import Translation
from xeval.retrieval.recipes import (
    Centring,
    Direction,
    Duplicates,
    Margin,
    Matching,
    Pooling,
    Purpose,
    Similarity,
    recipe,
)
from xeval.tasks.base import Encoded, Kind, Settings

if TYPE_CHECKING:
    import torch

    from xeval.checkpoints import Checkpoint
    from xeval.encoder.batches import Sequences
    from xeval.encoder.loop import Batch

_DEPTH_NAMES = ("num_hidden_layers", "n_layers", "num_layers", "n_layer")
_CHOICES = {
    "pooling": get_args(Pooling),
    "centring": get_args(Centring),
    "similarity": get_args(Similarity),
    "margin": get_args(Margin),
    "direction": get_args(Direction),
    "matching": get_args(Matching),
    "duplicates": get_args(Duplicates),
    "layers": ("", "all"),
}
_FIELDS = ("pooling", "centring", "similarity", "margin", "k", "direction", "matching", "duplicates")


def check_recipe(changes: Mapping[str, int | str]) -> None:
    """Raise a UsageError for a recipe, or a part of one, that does not exist."""
    recipe(str(changes.get("recipe", "default")), "retrieval")
    for name, known in _CHOICES.items():
        if name in changes and changes[name] not in known:
            listed = ", ".join(value for value in known if value)
            raise UsageError(
                f"{name} {changes[name]}: no such choice{did_you_mean(str(changes[name]), known)}; use {listed}."
            )


def describe_recipe(settings: Mapping[str, int | str]) -> str:
    """One line that says how a score came about; empty for settings of other kinds."""
    if "recipe" not in settings:
        return ""
    encoder = [f"layer {settings['layer']}", settings["pooling"]] if int(settings["layer"]) >= 0 else []
    parts = [*encoder, settings["similarity"]]
    if settings["centring"] != "none":
        parts.append(settings["centring"])
    if settings["margin"] != "none":
        parts.append(f"margin {settings['margin']} k={settings['k']}")
    if "direction" in settings:
        parts.append(
            f"{settings['direction']} queries" if settings["direction"] != "both" else "both directions"
        )
    else:
        parts += [f"matching {settings['matching']}", f"duplicates {settings['duplicates']}"]
    return f"{settings['recipe']}: {', '.join(map(str, parts))}"


def depth_of(checkpoint: "Checkpoint") -> int:
    """Number of transformer layers, as the config says; raises CheckpointError when it does not."""
    for name in _DEPTH_NAMES:
        if name in checkpoint.config:
            return int(checkpoint.config[name])
    raise CheckpointError(
        f"{checkpoint.path}: config.json does not say how many layers there are; add num_hidden_layers."
    )


class Embedding(Kind[Translation]):
    """What retrieval and mining share: one vector per sentence, and settings that start from a recipe.

    Settings: ``recipe`` names what the others are unless they are given; they are the fields of
    :class:`xeval.retrieval.Recipe`, and ``max_length``. ``layer`` -1 in the defaults is the recipe's one.
    """

    auto_class = "AutoModel"
    head_suffix = ""
    purpose: ClassVar[Purpose]

    def resolve(self, changes: Mapping[str, int | str], checkpoint: "Checkpoint") -> Settings:
        """All settings for a checkpoint, written out: the recipe's, with what ``changes`` says instead.

        Raises:
            UsageError: a choice does not exist, or the layer lies above the encoder's last one.
        """
        settings = self.from_recipe(changes)
        depth = depth_of(checkpoint)
        if int(settings["layer"]) < 0:
            settings["layer"] = recipe(str(settings["recipe"]), self.purpose).layer(depth)
        if int(settings["layer"]) > depth:
            raise UsageError(
                f"--layer {settings['layer']}: {checkpoint.name} has layers 0 (embeddings) to {depth}; choose one."
            )
        return settings

    def from_recipe(self, changes: Mapping[str, int | str]) -> Settings:
        """As :meth:`resolve` without an encoder: a layer that is not given stays -1."""
        given = {name: value for name, value in changes.items() if name in self.defaults}
        check_recipe(given)
        chosen = recipe(str(given.get("recipe", "default")), self.purpose)
        named = {name: getattr(chosen, name) for name in self.defaults if name in _FIELDS}
        return {**self.defaults, **named, **given}

    def encode(self, examples: Sequence[Translation], encoder: TextEncoder, settings: Settings) -> Encoded:
        texts = [e.source for e in examples] + [e.target for e in examples]
        return Encoded(self.sequences(texts, encoder, settings), np.tile(np.arange(len(examples)), 2))

    def sequences(self, texts: Sequence[str], encoder: TextEncoder, settings: Settings) -> "Sequences":
        """Token sequences of sentences, marked with what is pooled."""
        from xeval.encoder.pooling import sentence_sequences

        return sentence_sequences(texts, encoder, int(settings["max_length"]), str(settings["pooling"]))

    def reduce(self, model: Any, batch: "Batch", settings: Settings) -> "dict[str, torch.Tensor]":
        from xeval.encoder.loop import FINITE, finite_rows
        from xeval.encoder.pooling import embeddings

        pooled = embeddings(model, batch, every_layer=settings.get("layers") == "all")
        return {"embedding": pooled, FINITE: finite_rows(pooled)}

    def targets(
        self, examples: Sequence[Translation], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        del examples, encoded, labels
        raise UsageError("retrieval has no target phase: it runs on the base or intermediate checkpoint.")

    def head_problem(self, checkpoint: "Checkpoint", labels: tuple[str, ...]) -> str | None:
        del checkpoint, labels
        return None
