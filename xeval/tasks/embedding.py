"""What retrieval and mining share: one vector per sentence, and settings that start from a published recipe."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

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
from xeval.tasks.base import Encoded, Kind, Settings

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


def width_of(checkpoint: "Checkpoint", settings: Mapping[str, int | str]) -> int:
    """How many numbers an embedding has, as the configs say; raises CheckpointError when they do not."""
    if "modules" in settings and (modules := read_sentence_modules(checkpoint.path)) and modules.width:
        return modules.width
    width = _number(checkpoint, _WIDTH_NAMES, "how wide its layers are")
    return width * len(str(settings["pooling"]).split("+"))


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


class Embedding(Kind[Translation]):
    """What retrieval and mining share: one vector per sentence, and settings that start from a recipe.

    Settings: ``recipe`` names what the others are unless they are given; they are the fields of
    :class:`xeval.retrieval.Recipe`, and ``max_length``. ``layer`` -1 in the defaults is the recipe's one.

    A sentence-transformers folder is embedded by its own modules, unless a recipe, a layer or a pooling is asked for.
    Its settings say so: ``modules``, and where they differ from a plain folder's ``prompt``, ``pool_prompt`` and
    ``lower_case``; or ``modules_not_used``.
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
        settings |= _folder_settings(changes, checkpoint)
        if prompt := changes.get("prompt"):
            settings["prompt"] = prompt
        if settings["pooling"] == "pooler" and settings.get("layers") == "all":
            raise UsageError("--pooling pooler reads the last layer; leave --layers out.")
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

        return sentence_sequences(
            texts,
            encoder,
            int(settings["max_length"]),
            str(settings["pooling"]).split("+"),
            prompt=str(settings.get("prompt", "")),
            pool_prompt=bool(settings.get("pool_prompt", True)),
            lower_case=bool(settings.get("lower_case", False)),
        )

    def prepare(self, model: Any, checkpoint: "Checkpoint", settings: Settings) -> Any:
        """Make a loaded model give embeddings as the settings say (:mod:`xeval.encoder.sentence`)."""
        from xeval.encoder.sentence import prepare_encoder

        modules = read_sentence_modules(checkpoint.path) if "modules" in settings else None
        return prepare_encoder(model, checkpoint, settings, modules)

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
        del labels
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


def _folder_settings(changes: Mapping[str, int | str], checkpoint: "Checkpoint") -> Settings:
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
    return {} if modules is None else _own_settings(modules, "max_length" in changes)


def _own_settings(modules: SentenceModules, keep_length: bool) -> Settings:
    settings: Settings = {"pooling": "+".join(modules.poolings), "modules": modules.description}
    if modules.max_length and not keep_length:
        settings["max_length"] = modules.max_length
    if modules.prompt:
        settings["prompt"] = modules.prompt
    if modules.prompt and not modules.include_prompt:
        settings["pool_prompt"] = 0
    if modules.lower_case:
        settings["lower_case"] = 1
    return settings
