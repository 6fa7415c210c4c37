"""Sentence embeddings from one layer of an encoder."""

from typing import Any

import torch

from xeval.errors import UsageError


def cut_at_layer(model: Any, layer: int) -> Any:
    """Remove the layers above ``layer`` (0 = embedding output), so that they are never computed.

    A hidden state below the top is the same number with or without the layers above it, except where the
    architecture normalises after its last layer; those models are refused.

    Raises:
        UsageError: the model has fewer layers, or its layers cannot be found.
    """
    depth = int(model.config.num_hidden_layers)
    if not 0 <= layer <= depth:
        raise UsageError(f"layer {layer} does not exist: the encoder has layers 0 (embeddings) to {depth}.")
    if layer == depth:
        return model
    stacks = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth
    ]
    encoder = getattr(model, "encoder", None)
    if len(stacks) != 1 or encoder is None or getattr(encoder, "layer", None) is not stacks[0]:
        raise UsageError(
            f"--layer {layer} is not supported for {type(model).__name__}: its stack of layers was not found."
        )
    encoder.layer = encoder.layer[:layer]
    model.config.num_hidden_layers = layer
    return model


def pooled_range(length: int, pooling: str, prefix: int, suffix: int) -> tuple[int, int]:
    """First and one-past-last token that ``pooling`` averages in a sequence of ``length`` tokens.

    ``mean`` counts ``<s>`` and ``</s>``, as XTREME and jiant do; ``mean_no_special`` leaves the ``prefix`` and
    ``suffix`` special tokens out (an empty text keeps them); ``cls`` is the first token alone.
    """
    if pooling == "cls":
        return 0, 1
    if pooling == "mean_no_special" and length > prefix + suffix:
        return prefix, length - suffix
    if pooling in ("mean", "mean_no_special"):
        return 0, length
    raise UsageError(f"unknown pooling {pooling!r}; use mean, mean_no_special or cls.")


def pool(hidden: torch.Tensor, ranges: torch.Tensor) -> torch.Tensor:
    """Mean over ``ranges`` [rows, 2] of hidden states [rows, tokens, width], in float32: [rows, width]."""
    position = torch.arange(hidden.shape[1], device=hidden.device)
    inside = (position >= ranges[:, :1]) & (position < ranges[:, 1:])
    weights = inside.to(torch.float32).unsqueeze(1)
    return torch.bmm(weights, hidden.float()).squeeze(1) / weights.sum(2)
