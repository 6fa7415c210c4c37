"""The models of a phase: an encoder, heads around it, and the optimiser."""

from copy import deepcopy
from typing import Any

import torch

from xeval.checkpoints import Checkpoint
from xeval.errors import CheckpointError, UsageError
from xeval.tasks.base import TrainingSet
from xeval.train.adapters import is_tuned, load_with_adapter
from xeval.train.recipes import AdapterSettings, Hyperparameters


def load_encoder(parent: Checkpoint, adapter: AdapterSettings | None = None, seed: int = 0) -> Any:
    """The parent's encoder in float32, every weight of it found but for a pooler; with an adapter where one is trained.

    An adapter that the parent is is trained on; without one in the recipe it is merged first.
    """
    if adapter is not None:
        return load_with_adapter(parent, adapter, seed)
    return parent.load("AutoModel")


def with_head(encoder: Any, training_set: TrainingSet, seed: int) -> Any:
    """A model of the set's kind around ``encoder``'s own modules; head and pooler are drawn from ``seed``."""
    config = deepcopy(encoder.config)
    labels = training_set.labels or ("LABEL_0", "LABEL_1")  # start and end of an answer; choices need none
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    # transformers would write it in the forward pass, which a run that goes on from its last step has none of.
    config.problem_type = (
        "single_label_classification" if training_set.kind.name == "classification" else None
    )
    model = drawn_model(training_set.kind.auto_class, config, seed)
    bind(model, encoder)
    return model


def drawn_model(auto_class: str, config: Any, seed: int) -> Any:
    """A model of ``transformers.<auto_class>`` with every weight drawn from ``seed``."""
    import transformers

    torch.manual_seed(seed)
    return getattr(transformers, auto_class).from_config(config)


def bind(model: Any, encoder: Any) -> None:
    """Replace the modules below the model's head by ``encoder``'s own, except the pooler."""
    inner = model.base_model
    if type(inner) is not type(encoder) or inner is model:
        raise CheckpointError(
            f"{type(encoder).__name__} has no separate head as {type(model).__name__}; use another base."
        )
    for name, module in encoder.named_children():
        if name != "pooler":
            setattr(inner, name, module)


def embedding_block(encoder: Any) -> Any:
    """The module below the first layer: the tables and their normalisation."""
    return getattr(encoder, "embeddings", None) or encoder.get_input_embeddings()


def freeze(encoder: Any) -> None:
    """Take the embedding block out of training; nothing below the first layer then needs a gradient."""
    for parameter in embedding_block(encoder).parameters():
        parameter.requires_grad_(False)


def set_dropout(model: torch.nn.Module, share: float) -> None:
    """Give every dropout but an adapter's the same share; the saved config keeps the base model's own."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and not is_tuned(name):
            module.p = share


def recompute_layers(encoder: Any) -> None:
    """Keep no activations inside layers; the backward pass computes them again, with the same dropout.

    Raises:
        UsageError: the architecture cannot do it.
    """
    # transformers 5 renames it; 6 drops the older name.
    name = "activation_checkpointing_enable"
    enable = getattr(encoder, name, None) or encoder.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError as error:
        raise UsageError(
            f"{type(encoder).__name__} cannot recompute its layers; drop gradient_checkpointing."
        ) from error


def flops_per_token(encoder: Any) -> int:
    """Floating-point operations of one step per token: 6 for every weight of the layers.

    2 forward and 4 backward (Kaplan et al. 2020, arXiv 2001.08361, 2.1). Embeddings are looked up, not
    multiplied; frozen or not, they count nothing. Attention scores and heads are left out, as is usual.
    """
    left_out = {id(p) for p in embedding_block(encoder).parameters()}
    if (pooler := getattr(encoder, "pooler", None)) is not None:
        left_out |= {id(p) for p in pooler.parameters()}
    weights = [p for p in encoder.parameters() if id(p) not in left_out and p.ndim > 1]
    # Frozen weights between an adapter's pass the gradient on to what lies below: 2 forward, 2 backward.
    frozen = 4 if any(is_tuned(name) for name, _ in encoder.named_parameters()) else 2
    return sum((6 if p.requires_grad else frozen) * p.numel() for p in weights)


def optimiser(parameters: dict[str, torch.nn.Parameter], hyper: Hyperparameters) -> torch.optim.AdamW:
    """AdamW; biases and normalisation weights, the vectors among the parameters, do not decay."""
    groups = [
        {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": hyper.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=hyper.learning_rate, eps=hyper.adam_epsilon, fused=True)


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Share of the highest learning rate at ``step`` (from 0): linear to 1, then linear towards 0."""
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / (steps - warmup)
