"""Sentence embeddings from one layer of an encoder, or from all in one pass: which tokens are pooled, and how."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.encoder.batches import Sequences
from xeval.encoder.loop import FINITE, Batch, Loop, finite_rows
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, UsageError
from xeval.retrieval.recipes import Pooling

BLOCK_SENTENCES = 8192


def cut_at_layer(model: Any, layer: int) -> Any:
    """Give the model's last hidden state as ``layer`` (0 = embedding output) has it, computing no more than is needed.

    ``transformers`` defines a layer as an entry of the model's ``hidden_states``. Whether a model without the layers
    above gives the same numbers is tried on a few tokens: an architecture that normalises behind its last layer needs
    the next layer's input, and one whose stack of layers is not found is computed to its end.

    Raises:
        UsageError: the model has fewer layers, or its hidden states are not one a layer.
    """
    depth = int(model.config.num_hidden_layers)
    if not 0 <= layer <= depth:
        raise UsageError(f"layer {layer} does not exist: the encoder has layers 0 (embeddings) to {depth}.")
    if layer == depth:
        return model
    expected = require_layers(model)[layer]
    stack = _stack_of_layers(model, depth)
    if stack is not None:
        parent, name = stack
        whole = getattr(parent, name)
        # One layer more than asked for is kept where the model alters the output of its last one.
        for kept, number in ((layer, None), (layer + 1, layer)):
            setattr(parent, name, whole[:kept])
            model.config.num_hidden_layers = kept
            model.hidden_state_number = number
            if _equal(_probe_layer(model), expected):
                return model
        setattr(parent, name, whole)
        model.config.num_hidden_layers = depth
    model.hidden_state_number = layer
    return model


def require_layers(model: Any) -> Sequence[torch.Tensor]:
    """All hidden states of a few tokens; raises UsageError where they are not the embeddings' and one of each layer."""
    depth = int(model.config.num_hidden_layers)
    with torch.inference_mode():
        states = model(**_probe(model), output_hidden_states=True).hidden_states
    if states is None or len(states) != depth + 1:
        raise UsageError(
            f"{type(model).__name__} gives {len(states or ())} hidden states for {depth} layers, so that no layer "
            "below the last can be told; leave --layer and --layers out."
        )
    return tuple(states)


def _probe(model: Any) -> dict[str, torch.Tensor]:
    ids = torch.arange(8).remainder(int(getattr(model.config, "vocab_size", 8)))[None]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _probe_layer(model: Any) -> torch.Tensor | None:
    try:
        with torch.inference_mode():
            return layer_output(model, _probe(model))
    except Exception:  # noqa: BLE001  # a model that cannot run without its upper layers is not cut
        return None


def _equal(found: torch.Tensor | None, expected: torch.Tensor) -> bool:
    return found is not None and torch.equal(found, expected)


def _stack_of_layers(model: Any, depth: int) -> tuple[Any, str] | None:
    """The module that holds the list of layers and the list's name there; None where not just one list can be it."""
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth
    ]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(outer) != 1:
        return None
    parent, _, name = outer[0].rpartition(".")
    return model.get_submodule(parent), name


def layer_output(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Hidden states [rows, tokens, width] of the layer that :func:`cut_at_layer` chose, or of the last one."""
    number = getattr(model, "hidden_state_number", None)
    if number is None:
        output: torch.Tensor = model(**inputs).last_hidden_state
    else:
        output = model(**inputs, output_hidden_states=True).hidden_states[number]
    return output


def pooled_range(length: int, pooling: str, prefix: int, suffix: int, start: int = 0) -> tuple[int, int]:
    """First and one-past-last token that ``pooling`` reads in a sequence of ``length`` tokens.

    ``mean`` counts ``<s>`` and ``</s>``, as XTREME and jiant do; ``mean_no_special`` leaves the ``prefix`` and
    ``suffix`` special tokens out (an empty text keeps them); ``cls`` is the first token alone, ``last`` the last one.
    No pooling reads the tokens before ``start``, unless there are no others.
    """
    start = start if start < length else 0
    if pooling == "cls":
        return start, start + 1
    if pooling == "last":
        return length - 1, length
    if pooling == "mean_no_special" and length > prefix + suffix:
        return max(prefix, start), length - suffix
    if pooling in get_args(Pooling):
        return start, length
    raise UsageError(f"unknown pooling {pooling!r}; use {', '.join(get_args(Pooling))}.")


def pool(hidden: torch.Tensor, ranges: torch.Tensor, pooling: str = "mean") -> torch.Tensor:
    """Pool hidden states [rows, tokens, width] over ``ranges`` [rows, 2], in float32: [rows, width].

    Every ``pooling`` but these three is the mean over its range: ``max`` of each number, ``mean_sqrt_len`` = sum over
    the root of the count, ``weighted_mean`` with the token's position from 1 as its weight (Muennighoff 2022, SGPT).
    """
    position = torch.arange(hidden.shape[1], device=hidden.device)
    inside = (position >= ranges[:, :1]) & (position < ranges[:, 1:])
    if pooling == "max":
        return hidden.float().masked_fill(~inside.unsqueeze(2), -torch.inf).amax(1)
    weights = inside.to(torch.float32).unsqueeze(1)
    if pooling == "weighted_mean":
        weights = weights * (position + 1)
    total = torch.bmm(weights, hidden.float()).squeeze(1)
    return total / (weights.sum(2).sqrt() if pooling == "mean_sqrt_len" else weights.sum(2))


def sentence_sequences(
    texts: Sequence[str],
    encoder: TextEncoder,
    max_length: int,
    poolings: str | Sequence[str],
    *,
    prompt: str = "",
    pool_prompt: bool = True,
    lower_case: bool = False,
) -> Sequences:
    """One sequence per text, cut at ``max_length`` tokens; the marks are a range for each of the poolings.

    Args:
        prompt: stands before every text.
        pool_prompt: whether the prompt's tokens are pooled with the text's.
        lower_case: as tokenizers do it, letter by letter.
    """
    poolings = [poolings] if isinstance(poolings, str) else poolings
    if lower_case:
        from tokenizers.normalizers import Lowercase

        lower = Lowercase().normalize_str
        prompt, texts = lower(prompt), [lower(text) for text in texts]
    full = [prompt + text for text in texts]
    pieces = encoder.pieces([*full, prompt])
    built = [encoder.single(pieces[text].ids, max_length) for text in full]
    types = [types for _, types in built] if encoder.uses_types else None
    prefix, suffix = len(encoder.template.prefix), len(encoder.template.single_suffix)
    start = 0 if pool_prompt or not prompt else prefix + len(pieces[prompt].ids)
    ranges = [
        [bound for pooling in poolings for bound in pooled_range(len(ids), pooling, prefix, suffix, start)]
        for ids, _ in built
    ]
    return Sequences(
        [ids for ids, _ in built], types, np.asarray(ranges, np.int64).reshape(-1, 2 * len(poolings))
    )


class SentenceHead(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What makes one vector of a sentence's hidden states: poolings, which are joined, and layers behind them."""

    def __init__(self, poolings: Sequence[str] = ("mean",), layers: Sequence[torch.nn.Module] = ()) -> None:
        super().__init__()
        self.poolings = tuple(poolings)
        self.layers = torch.nn.ModuleList(layers)

    def forward(self, hidden: torch.Tensor, ranges: torch.Tensor) -> torch.Tensor:
        """From [rows, tokens, width] and a range for each pooling [rows, 2 * poolings] to vectors, in float32."""
        parts = [pool(hidden, ranges[:, 2 * n : 2 * n + 2], name) for n, name in enumerate(self.poolings)]
        vector = torch.cat(parts, dim=-1)
        for layer in self.layers:
            vector = layer(vector)
        return vector


def embeddings(model: Any, batch: Batch, *, every_layer: bool = False) -> torch.Tensor:
    """Embeddings [rows, width] of the chosen layer, or those of all layers [rows, layers + 1, width], in float32.

    A model that :func:`xeval.encoder.sentence.prepare_encoder` has not seen pools the mean over the marks.
    """
    assert batch.marks is not None
    head: SentenceHead = getattr(model, "sentence_head", None) or SentenceHead()
    if every_layer:
        states = model(**batch.inputs(), output_hidden_states=True).hidden_states
        return torch.stack([head(state, batch.marks) for state in states], dim=1)
    if head.poolings == ("pooler",):
        pooled: torch.Tensor = model(**batch.inputs()).pooler_output
        return pooled.float()
    vectors: torch.Tensor = head(layer_output(model, batch.inputs()), batch.marks)
    return vectors


def embedding_width(model: Any) -> int:
    """How many numbers an embedding of the model has."""
    head: SentenceHead = getattr(model, "sentence_head", None) or SentenceHead()
    width = int(model.config.hidden_size) * len(head.poolings)
    for layer in head.layers:
        width = int(getattr(layer, "out_features", width))
    return width


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
