"""Masked language modelling on multilingual text, interleaved with an intermediate task.

A variant of Phang et al. 2020: such steps are mixed with those of the task, so that the encoder does not
unlearn other languages while it is trained in English. As in jiant a line of text is one row, cut at the
maximal length, and 15 % of its tokens are predicted.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.checkpoints import Checkpoint
from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, DataError
from xeval.tasks.base import IGNORED_LABEL
from xeval.train.lines import MlmData
from xeval.train.models import bind, drawn_model
from xeval.train.rows import Feed, Inputs, Rows

MASKED_LM = "AutoModelForMaskedLM"
MASK_RATE = 0.15  # Devlin et al. 2019 (N19-1423), 3.1, as the next two
MASK_TOKEN_RATE = 0.8
RANDOM_TOKEN_RATE = 0.1


def mlm_rows(data: MlmData, root: Path | None, encoder: TextEncoder, max_length: int) -> Rows:
    """The lines as training rows; those without a token that can be masked are left out."""
    lines = data.lines(root)
    pieces = encoder.pieces(lines)
    special = special_ids(encoder)
    ids, types = [], []
    for line in lines:
        row, segment = encoder.single(pieces[line].ids, max_length)
        if not np.isin(row, special).all():
            ids.append(row)
            types.append(segment)
    if not ids:
        raise DataError(f"{data.name}: no line holds a token that the vocabulary knows; check the files.")
    sequences = Sequences(ids, types if encoder.uses_types else None)
    return Rows(sequences, [[row] for row in range(len(ids))], {})


def special_ids(encoder: TextEncoder) -> NDArray[np.int64]:
    """Tokens that are never masked, the unknown token among them."""
    return np.asarray(encoder.tokenizer.all_special_ids, np.int64)


@dataclass(frozen=True)
class MaskedFeed(Feed):
    """Batches with masked tokens; which ones depends on the batch's number and the seed alone."""

    seed: int
    special: NDArray[np.int64]
    mask_id: int
    vocabulary: int

    def batch(self, number: int) -> Inputs:
        """Inputs with masked tokens, and as ``labels`` what stood there, ignored elsewhere."""
        inputs = super().batch(number)
        ids, labels = masked(
            inputs["input_ids"].numpy(),
            inputs["attention_mask"].numpy() == 1,
            self.special,
            self.mask_id,
            self.vocabulary,
            np.random.default_rng([self.seed, number]),
        )
        return inputs | {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}


def masked(
    ids: NDArray[np.int64],
    present: NDArray[np.bool_],
    special: NDArray[np.int64],
    mask_id: int,
    vocabulary: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Masked token ids and labels, both [rows, tokens].

    Of the tokens that are no special ones 15 % are to be predicted, at least one in a batch: 80 % of them
    become the mask token, 10 % a random token, 10 % stay (Devlin et al. 2019).

    Args:
        ids: token ids [rows, tokens].
        present: where there is no padding [rows, tokens].
        vocabulary: number of tokens that random ones are drawn from.
    """
    candidates = present & ~np.isin(ids, special)
    chosen = candidates & (random.random(ids.shape) < MASK_RATE)
    if not chosen.any():
        at = random.choice(np.flatnonzero(candidates))
        chosen.flat[at] = True
    fate = random.random(ids.shape)
    words = random.integers(vocabulary, size=ids.shape)
    labels = np.where(chosen, ids, IGNORED_LABEL)
    out = np.where(chosen & (fate < MASK_TOKEN_RATE), mask_id, ids)
    random_word = chosen & (fate >= MASK_TOKEN_RATE) & (fate < MASK_TOKEN_RATE + RANDOM_TOKEN_RATE)
    return np.where(random_word, words, out), labels


class MaskedLm(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """A masked language model around a shared encoder; its head sees the masked positions only.

    A vocabulary of 250,000 makes the logits of all positions the largest tensors by far; 15 % of them count.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._kept: torch.Tensor | None = None
        model.base_model.register_forward_hook(self._keep)

    def _keep(self, module: Any, arguments: Any, output: Any) -> Any:
        del module, arguments
        output.last_hidden_state = output.last_hidden_state[self._kept][None]
        return output

    def forward(self, labels: torch.Tensor, **inputs: torch.Tensor) -> Any:
        """The model's own output with ``loss``, the mean over the masked positions."""
        self._kept = labels != IGNORED_LABEL
        return self.model(**inputs, labels=labels[self._kept][None])

    @cached_property
    def head_flops(self) -> int:
        """Floating-point operations per masked position: 2 a weight forward, 4 backward, 2 where it is frozen."""
        decoder: torch.Tensor = self.model.get_output_embeddings().weight
        inner = {id(p) for p in self.model.base_model.parameters()}
        rest = [p for p in self.model.parameters() if id(p) not in inner and p.ndim > 1 and p is not decoder]
        weights = (6 if decoder.requires_grad else 4) * decoder.numel() + 6 * sum(p.numel() for p in rest)
        return int(weights)


def with_mlm_head(encoder: Any, parent: Checkpoint, seed: int) -> tuple[MaskedLm, bool]:
    """A masked language model around ``encoder``'s own modules, and whether its head was drawn from ``seed``.

    The parent's head is used where it has one. Else it is drawn: the decoder is the encoder's own table of
    embeddings, so that only one small layer starts from nothing.

    Raises:
        CheckpointError: the decoder is not tied to the embeddings and the parent has none.
    """
    drawn = not parent.architecture.endswith("ForMaskedLM")
    tied = getattr(encoder.config, "tie_word_embeddings", True)
    if drawn and not tied:
        raise CheckpointError(
            f"{parent.name}: has no head for masked language modelling, and its embeddings cannot serve as one "
            "(tie_word_embeddings is false); start from a checkpoint with its head."
        )
    model = drawn_model(MASKED_LM, encoder.config, seed) if drawn else parent.load(MASKED_LM)
    bind(model, encoder)
    model.tie_weights()
    decoder = model.get_output_embeddings()
    if decoder is None or (tied and decoder.weight is not encoder.get_input_embeddings().weight):
        raise CheckpointError(
            f"{type(encoder).__name__} shares no table with a head for masked language modelling; "
            "use another base."
        )
    return MaskedLm(model), drawn
