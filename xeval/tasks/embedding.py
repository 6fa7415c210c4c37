"""What retrieval and mining share: one vector per sentence, and settings that start from a published recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from xeval.checkpoints.layouts import SentenceModules, read_sentence_modules, sentence_modules
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
from xeval.tasks.base import Changes, Encoded, Kind, Settings, TextContext

if TYPE_CHECKING:
    import torch

    from xeval.checkpoints import Checkpoint
    from xeval.encoder.batches import Sequences
    from xeval.encoder.loop import Batch

_DEPTH_NAMES = ("encoder_layers", "num_hidden_layers", "n_layers", "num_layers", "n_layer")
_WIDTH_NAMES = ("hidden_size", "d_model", "dim", "emb_dim", "n_embd")
# Heads that stand on an encoder without changing what it is trained for; other heads are a task's.
_LANGUAGE_MODELS = ("ForMaskedLM", "ForPreTraining", "ForCausalLM", "ForConditionalGeneration")
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


def check_recipe(changes: Changes) -> None:
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
    encoder = _describe_encoder(settings) if int(settings["layer"]) >= 0 else []
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


def _describe_encoder(settings: Mapping[str, int | str]) -> list[str]:
    prompt = [f"prompt {settings['prompt']!r}"] if "prompt" in settings else []
    if "modules" in settings:
        lower = ["lower case"] if "lower_case" in settings else []
        how = ", ".join([f"{settings['max_length']} tokens", *lower, *prompt])
        return [f"the folder's own {settings['modules']} ({how})"]
    instead = (
        f" (not the folder's own {settings['modules_not_used']})" if "modules_not_used" in settings else ""
    )
    return [f"layer {settings['layer']}", f"{settings['pooling']}{instead}", *prompt]


def depth_of(checkpoint: "Checkpoint") -> int:
    """Number of transformer layers, as the config says; raises CheckpointError when it does not."""
    return _number(checkpoint, _DEPTH_NAMES, "how many layers there are")


def width_of(checkpoint: "Checkpoint", settings: "EmbeddingSettings") -> int:
    """How many numbers an embedding has, as the configs say; raises CheckpointError when they do not."""
    if settings.modules and (modules := read_sentence_modules(checkpoint.path)) and modules.width:
        return modules.width
    width = _number(checkpoint, _WIDTH_NAMES, "how wide its layers are")
    return width * len(settings.pooling.split("+"))


def _number(checkpoint: "Checkpoint", names: Sequence[str], what: str) -> int:
    """The first of some entries of the config that is there."""
    for name in names:
        if (
            isinstance(value := checkpoint.config.get(name), int)
            and not isinstance(value, bool)
            and value > 0
        ):
            return value
    raise CheckpointError(f"{checkpoint.path}: config.json does not say {what}; add {names[0]}.")


@dataclass(frozen=True)
class EmbeddingSettings(Settings):
    """The fields of :class:`xeval.retrieval.Recipe`, and what a sentence-transformers folder says of its embeddings.

    ``recipe`` names what the others are unless they are given; a ``layer`` of -1 is the recipe's one. ``modules`` are
    those of a folder that are followed, ``modules_not_used`` those that are not; ``pool_prompt`` is 0 where the prompt
    is not pooled, ``lower_case`` 1 where texts are lowered.
    """

    max_length: int = 512
    recipe: str = "default"
    layer: int = -1
    pooling: str = "mean"
    centring: Centring = "none"
    similarity: Similarity = "cosine"
    margin: Margin = "none"
    k: int = 1
    modules: str | None = None
    modules_not_used: str | None = None
    prompt: str | None = None
    pool_prompt: int | None = None
    lower_case: int | None = None


class Embedding(Kind[Translation]):
    """What retrieval and mining share: one vector per sentence, and settings that start from a recipe.

    A sentence-transformers folder is embedded by its own modules, unless a recipe, a layer or a pooling is asked for.
    """

    auto_class = "AutoModel"
    head_suffix = ""
    purpose: ClassVar[Purpose]

    def resolve(
        self, changes: Changes, checkpoint: "Checkpoint", overrides: Changes = MappingProxyType({})
    ) -> Any:
        """All settings for a checkpoint, written out: the recipe's, with what the changes say instead.

        Raises:
            UsageError: a choice does not exist, or the layer lies above the encoder's last one.
        """
        changes = {**overrides, **changes}
        settings = self.from_recipe(changes)
        depth = depth_of(checkpoint)
        if settings.layer < 0:
            settings = replace(settings, layer=recipe(settings.recipe, self.purpose).layer(depth))
        if settings.layer > depth:
            raise UsageError(
                f"--layer {settings.layer}: {checkpoint.name} has layers 0 (embeddings) to {depth}; choose one."
            )
        settings = replace(settings, **_folder_settings(changes, checkpoint))
        if prompt := changes.get("prompt"):
            settings = replace(settings, prompt=str(prompt))
        if settings.pooling == "pooler" and self.every_layer(settings):
            raise UsageError("--pooling pooler reads the last layer; leave --layers out.")
        return settings

    def from_recipe(self, changes: Changes) -> Any:
        """As :meth:`resolve` without an encoder: a layer that is not given stays -1."""
        known = self.defaults.stored()
        check_recipe({name: value for name, value in changes.items() if name in known})
        chosen = recipe(str(changes.get("recipe", "default")), self.purpose)
        named = {name: getattr(chosen, name) for name in known if name in _FIELDS}
        return self.defaults.changed({**named, **changes})

    def every_layer(self, settings: Any) -> bool:
        """Whether one pass gives the embeddings of every layer."""
        return False

    def model_key(self, settings: Any) -> tuple[str, ...]:
        parts = settings.layer, self.every_layer(settings), settings.pooling, settings.modules
        return (self.auto_class, *map(str, parts))

    def encode(
        self, examples: Sequence[Translation], encoder: TextEncoder, settings: EmbeddingSettings
    ) -> Encoded:
        texts = [e.source for e in examples] + [e.target for e in examples]
        return Encoded(self.sequences(texts, encoder, settings), np.tile(np.arange(len(examples)), 2))

    def sequences(
        self, texts: Sequence[str], encoder: TextEncoder, settings: EmbeddingSettings
    ) -> "Sequences":
        """Token sequences of sentences, marked with what is pooled."""
        from xeval.encoder.pooling import sentence_sequences

        return sentence_sequences(
            texts,
            encoder,
            settings.max_length,
            settings.pooling.split("+"),
            prompt=settings.prompt or "",
            pool_prompt=settings.pool_prompt is None,
            lower_case=settings.lower_case is not None,
        )

    def prepare(self, model: Any, checkpoint: "Checkpoint", settings: EmbeddingSettings) -> Any:
        """Make a loaded model give embeddings as the settings say (:mod:`xeval.encoder.sentence`)."""
        from xeval.encoder.sentence import prepare_encoder

        modules = None if settings.modules is None else read_sentence_modules(checkpoint.path)
        layer = None if self.every_layer(settings) else settings.layer
        return prepare_encoder(model, checkpoint, settings.pooling.split("+"), layer, modules)

    def embed_to_file(self, unit: TextContext, texts: Sequence[str], path: Path) -> NDArray[np.float32]:
        """The embeddings of some texts, from a file that an interrupted call goes on with."""
        from xeval.encoder.fit import fit
        from xeval.encoder.pooling import embed_to_file, embedding_width, embeddings

        loop, model = unit.loop, unit.model

        def sequences(block: Sequence[str]) -> "Sequences":
            made = self.sequences(block, unit.encoder, unit.settings)
            return fit(
                loop, model, made, lambda batch: {"embedding": embeddings(model, batch)}, unit.name
            ).sequences

        return embed_to_file(texts, path, embedding_width(model), sequences, loop, model, unit.remark)

    def reduce(self, model: Any, batch: "Batch", settings: EmbeddingSettings) -> "dict[str, torch.Tensor]":
        from xeval.encoder.loop import FINITE, finite_rows
        from xeval.encoder.pooling import embeddings

        pooled = embeddings(model, batch, every_layer=self.every_layer(settings))
        return {"embedding": pooled, FINITE: finite_rows(pooled)}

    def targets(
        self, examples: Sequence[Translation], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        raise UsageError("retrieval has no target phase: it runs on the base or intermediate checkpoint.")

    def head_problem(self, checkpoint: "Checkpoint", labels: tuple[str, ...]) -> str | None:
        architecture = checkpoint.architecture
        if (
            checkpoint.lineage is None
            and "For" in architecture
            and not architecture.endswith(_LANGUAGE_MODELS)
        ):
            return (
                f"its head is {architecture}, retrieval needs a base or intermediate encoder; if it is one, say so "
                "with `xeval checkpoints card DIR --phase base --base NAME`"
            )
        return None


def _folder_settings(changes: Changes, checkpoint: "Checkpoint") -> dict[str, Any]:
    """What a sentence-transformers folder says of its embeddings, or that it is not followed; empty for a plain one."""
    asked = (
        "pooling" in changes
        or int(changes.get("layer", -1)) >= 0
        or changes.get("recipe", "default") != "default"
    )
    if asked:
        others = [module.kind for module in sentence_modules(checkpoint.path)[1:]]
        return {"modules_not_used": ", ".join(others)} if others else {}
    modules = read_sentence_modules(checkpoint.path)
    return {} if modules is None else _settings_of(modules, "max_length" in changes)


def _settings_of(modules: SentenceModules, keep_length: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"pooling": "+".join(modules.poolings), "modules": modules.description}
    if modules.max_length and not keep_length:
        settings["max_length"] = modules.max_length
    if modules.prompt:
        settings["prompt"] = modules.prompt
    if modules.prompt and not modules.include_prompt:
        settings["pool_prompt"] = 0
    if modules.lower_case:
        settings["lower_case"] = 1
    return settings
