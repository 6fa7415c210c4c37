"""Training rows of one set, and the endless sequence of batches that is cut from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.digests import text_digest
from xeval.encoder.batches import Sequences
from xeval.errors import DataError
from xeval.examples import Example
from xeval.tasks.base import IGNORED_LABEL, Encoded, TrainingSet

LENGTH_POOL = 50  # batches that are sorted by length together

Inputs = dict[str, torch.Tensor]


def stream_seed(*parts: str | int) -> int:
    """Seed of one stream of random numbers; streams with different names are unrelated."""
    return int(text_digest(*map(str, parts))[:12], 16)


@dataclass(frozen=True)
class Rows:
    """Training rows of one set: ``rows[i]`` are the sequences that row ``i`` puts side by side.

    ``targets`` holds for each keyword of the model's forward one number, or one list over tokens, a row.
    """

    sequences: Sequences
    rows: list[list[int]]
    targets: dict[str, list[Any]]

    @classmethod
    def of(cls, training_set: TrainingSet, encoded: Encoded, examples: Sequence[Example]) -> "Rows":
        rows = training_set.kind.training_rows(encoded)
        if len({len(row) for row in rows}) > 1:
            raise DataError(
                f"{training_set.name}: examples have different numbers of choices; split the set by number."
            )
        return cls(encoded.sequences, rows, training_set.kind.targets(examples, encoded, training_set.labels))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of the longest sequence of every row."""
        lengths = self.sequences.lengths
        return np.asarray([lengths[row].max() for row in self.rows], np.int64)

    @cached_property
    def constant_loss(self) -> float:
        """Cross-entropy, in nats, of the best answer that is the same for every row, or for every token."""
        losses = []
        for values in self.targets.values():
            flat = np.concatenate([np.atleast_1d(value) for value in values])
            counts = np.unique(flat[flat != IGNORED_LABEL], return_counts=True)[1]
            shares = counts / counts.sum()
            losses.append(-(shares * np.log(shares)).sum())
        return float(np.mean(losses))

    def batch(self, chosen: NDArray[np.int64], pad_id: int) -> Inputs:
        """Padded inputs and targets: [rows, tokens], or [rows, choices, tokens] where sequences compete."""
        side_by_side = len(self.rows[0])
        members = [sequence for row in chosen for sequence in self.rows[row]]
        width = int(self.lengths[chosen].max())
        ids = np.full((len(members), width), pad_id, np.int64)
        mask = np.zeros((len(members), width), np.int64)
        types = None if self.sequences.types is None else np.zeros((len(members), width), np.int64)
        for at, member in enumerate(members):
            length = len(self.sequences.ids[member])
            ids[at, :length] = self.sequences.ids[member]
            mask[at, :length] = 1
            if types is not None and self.sequences.types is not None:
                types[at, :length] = self.sequences.types[member]
        inputs: dict[str, NDArray[np.int64]] = {"input_ids": ids, "attention_mask": mask}
        if types is not None:
            inputs["token_type_ids"] = types
        if side_by_side > 1:
            inputs = {name: v.reshape(len(chosen), side_by_side, width) for name, v in inputs.items()}
        for name, values in self.targets.items():
            inputs[name] = _padded([values[row] for row in chosen], width)
        return {name: torch.from_numpy(values) for name, values in inputs.items()}


def _padded(values: list[Any], width: int) -> NDArray[np.int64]:
    if not isinstance(values[0], list):
        return np.asarray(values, np.int64)
    padded = np.full((len(values), width), IGNORED_LABEL, np.int64)
    for at, numbers in enumerate(values):
        padded[at, : len(numbers)] = numbers
    return padded


class BatchOrder:
    """The endless sequence of batches of a set; batch ``i`` depends on ``i`` and ``seed`` alone.

    Every epoch is a new permutation. With ``by_length`` each run of 50 batches is sorted by length before it
    is cut into batches, and the batches are shuffled: less padding, the same rows per epoch.

    Args:
        lengths: tokens of every row.
        batch_size: rows of a batch.
        batch_tokens: instead of ``batch_size`` the most tokens of a batch, padding included; a longer row
            makes a batch of its own.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        batch_size: int,
        by_length: bool,
        seed: int,
        batch_tokens: int | None = None,
    ) -> None:
        self.lengths, self.batch_size, self.by_length, self.seed = lengths, batch_size, by_length, seed
        self.batch_tokens = batch_tokens
        self.per_epoch = math.ceil(len(lengths) / batch_size)  # where rows are counted
        self._first = [0]  # the first batch of every epoch so far, where tokens are
        self._epoch, self._batches = -1, list[NDArray[np.int64]]()

    def batch(self, index: int) -> NDArray[np.int64]:
        """Rows of batch ``index``."""
        if self.batch_tokens is None:
            epoch, at = divmod(index, self.per_epoch)
            return self._of(epoch)[at]
        while index >= self._first[-1]:
            self._first.append(self._first[-1] + len(self._of(len(self._first) - 1)))
        epoch = int(np.searchsorted(self._first, index, side="right")) - 1
        return self._of(epoch)[index - self._first[epoch]]

    @cached_property
    def rows_per_batch(self) -> float:
        """Mean of the first epoch."""
        return len(self.lengths) / len(self._of(0))

    def _of(self, epoch: int) -> list[NDArray[np.int64]]:
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, list(self._cut(np.random.default_rng([self.seed, epoch])))
        return self._batches

    def _cut(self, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        order = random.permutation(len(self.lengths))
        if not self.by_length:
            yield from self._pieces(order)
            return
        rows = self.batch_size
        if self.batch_tokens is not None:
            rows = max(1, int(self.batch_tokens / self.lengths.mean()))
        pool = LENGTH_POOL * rows
        batches = []
        for run in np.split(order, range(pool, len(order), pool)):
            batches += self._pieces(run[np.argsort(self.lengths[run], kind="stable")])
        for at in random.permutation(len(batches)):
            yield batches[at]

    def _pieces(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Consecutive rows, as many as a batch takes."""
        if self.batch_tokens is None:
            return np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        cuts, start, widest = list[int](), 0, 0
        for at, length in enumerate(self.lengths[rows]):
            widest = max(widest, int(length))
            if at > start and (at - start + 1) * widest > self.batch_tokens:
                cuts.append(at)
                start, widest = at, int(length)
        return np.split(rows, cuts)


@dataclass(frozen=True)
class Feed:
    """The endless batches of a set, padded: batch ``number`` depends on the number and the seeds alone."""

    rows: Rows
    order: BatchOrder
    pad_id: int

    def batch(self, number: int) -> Inputs:
        """Inputs and targets of one batch."""
        return self.rows.batch(self.order.batch(number), self.pad_id)
