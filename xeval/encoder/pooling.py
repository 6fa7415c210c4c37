"""Sentence embeddings from one layer of an encoder, or from all of them in one pass."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.encoder.batches import Sequences
from xeval.encoder.loop import FINITE, Batch, Loop, finite_rows
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, UsageError

BLOCK_SENTENCES = 8192


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


def sentence_sequences(
    texts: Sequence[str], encoder: TextEncoder, max_length: int, pooling: str
) -> Sequences:
    """One sequence per text, cut at ``max_length`` tokens; the marks are the range that ``pooling`` averages."""
    pieces = encoder.pieces(texts)
    built = [encoder.single(pieces[text].ids, max_length) for text in texts]
    types = [types for _, types in built] if encoder.uses_types else None
    prefix, suffix = len(encoder.template.prefix), len(encoder.template.single_suffix)
    ranges = [pooled_range(len(ids), pooling, prefix, suffix) for ids, _ in built]
    return Sequences([ids for ids, _ in built], types, np.asarray(ranges, np.int64).reshape(-1, 2))


def embeddings(model: Any, batch: Batch, *, every_layer: bool = False) -> torch.Tensor:
    """Pooled last hidden states [rows, width], or those of all layers [rows, layers + 1, width], in float32."""
    assert batch.marks is not None
    if not every_layer:
        return pool(model(**batch.inputs()).last_hidden_state, batch.marks)
    states = model(**batch.inputs(), output_hidden_states=True).hidden_states
    return torch.stack([pool(state, batch.marks) for state in states], dim=1)


def embed_to_file(
    texts: Sequence[str],
    path: Path,
    width: int,
    sequences: Callable[[Sequence[str]], Sequences],
    loop: Loop,
    model: Any,
    tell: Callable[[str], None] | None = None,
) -> NDArray[np.float32]:
    """Embed ``texts`` block by block into a float32 file [texts, width]; a file that was begun is gone on with.

    What is whole stands in a file beside it (:class:`xeval.encoder.resumable.EmbeddingFile`).

    Args:
        tell: gets a sentence when what an earlier run left cannot be gone on with.

    Returns:
        the file, mapped for reading: it takes no memory of its own.

    Raises:
        CheckpointError: embeddings are not finite or all zeros.
        XevalError: the disk is full.
    """
    from xeval.encoder.resumable import EmbeddingFile

    def reduce(batch: Batch) -> dict[str, torch.Tensor]:
        pooled = embeddings(model, batch)
        return {"embedding": pooled, FINITE: finite_rows(pooled)}

    file = EmbeddingFile(path, texts, width, tell)
    if file.done and loop.progress is not None:
        loop.progress(file.done)
    while file.done < len(texts):
        block = loop.run(sequences(texts[file.done : file.done + BLOCK_SENTENCES]), reduce)["embedding"]
        if empty := int((~block.any(axis=1)).sum()):
            raise CheckpointError(
                f"embeddings of {empty} of {len(block)} sentences are all zeros; the checkpoint's weights are damaged."
            )
        file.append(block)
    return file.rows()
