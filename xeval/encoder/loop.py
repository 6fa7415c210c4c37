"""The forward loop: distinct sequences only, halved on out-of-memory, reduced on the device."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.encoder.batches import DEFAULT_TOKEN_BUDGET, Sequences, Sharing, by_token_budget
from xeval.errors import CheckpointError, XevalError

Reduced = dict[str, NDArray[Any]]
FINITE = "finite"
"""What every reduction says beside its results, a boolean per sequence: whether the outputs it read were finite."""


NOT_FINITE = (
    "the model's outputs are not finite; the checkpoint's weights are damaged or overflow in this dtype."
)


@dataclass
class Batch:
    """Padded tensors of one batch on the device; ``marks`` is [rows, marks] or None."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_type_ids: torch.Tensor | None
    marks: torch.Tensor | None

    def inputs(self) -> dict[str, torch.Tensor]:
        """Keyword arguments of a transformers model."""
        inputs = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        if self.token_type_ids is not None:
            inputs["token_type_ids"] = self.token_type_ids
        return inputs


def finite_rows(*outputs: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Whether all numbers of each row are finite: booleans [rows].

    Args:
        outputs: [rows, ...] each.
        mask: [rows, tokens], 0 where an output of the second dimension is of padding and does not count.
    """
    good = torch.ones(len(outputs[0]), dtype=torch.bool, device=outputs[0].device)
    for output in outputs:
        inside = torch.isfinite(output)
        if mask is not None:
            inside |= (mask == 0).reshape(*mask.shape, *[1] * (output.dim() - 2))
        good &= inside.reshape(len(output), -1).all(1)
    return good


def best_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that computes in it, float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


@dataclass
class Loop:
    """Runs sequences through ``reduce`` in batches of at most ``token_budget`` padded tokens.

    Attributes:
        token_budget: padded tokens per batch; halved for good when the device runs out of memory.
        sharing: which sequences may be in one batch.
        progress: called with the number of sequences that a finished batch stands for.
    """

    device: torch.device
    pad_id: int
    token_budget: int = 0
    progress: Callable[[int], None] | None = None
    sharing: Sharing = "any"
    tokens: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.token_budget <= 0:
            self.token_budget = DEFAULT_TOKEN_BUDGET.get(self.device.type, DEFAULT_TOKEN_BUDGET["cpu"])

    def run(
        self,
        sequences: Sequences,
        reduce: Callable[[Batch], dict[str, torch.Tensor]],
        known: dict[bytes, dict[str, NDArray[Any]]] | None = None,
    ) -> Reduced:
        """Apply ``reduce`` (a function of a batch, giving tensors with one row per sequence) to all sequences.

        The tensor named :data:`FINITE` says whether a sequence's outputs were finite; it comes off the device with
        the results, so that damaged weights are noticed without a second pass.

        Args:
            known: what was reduced before per distinct sequence; looked up first, and added to.

        Returns:
            for each name an array [sequences, ...]; a second dimension as long as the tokens is padded with 0.

        Raises:
            CheckpointError: outputs are not finite, so that any prediction from them would be arbitrary.
        """
        keys, rows, inverse = sequences.distinct()
        stands_for = np.bincount(inverse, minlength=len(rows))
        position = np.empty(len(sequences), np.int64)
        position[rows] = np.arange(len(rows))
        lengths = sequences.lengths
        results: Reduced = {}
        left = self._recall(results, known, keys, rows, stands_for) if known else rows
        waiting = list(by_token_budget(lengths, left, self.token_budget, self.sharing))[::-1]
        with torch.inference_mode():
            while waiting:
                chosen = waiting.pop()
                try:
                    reduced = {k: v.cpu() for k, v in reduce(self.batch(sequences, chosen)).items()}
                except torch.OutOfMemoryError as error:
                    if len(chosen) == 1:
                        raise XevalError(
                            f"the {self.device.type} device runs out of memory on one sequence of "
                            f"{int(lengths[chosen[0]])} tokens; lower --max-length or free the device."
                        ) from error
                    torch.cuda.empty_cache()
                    self.token_budget //= 2
                    remaining = np.concatenate([chosen, *reversed(waiting)])
                    waiting = list(by_token_budget(lengths, remaining, self.token_budget, self.sharing))[::-1]
                    continue
                if not bool(reduced.pop(FINITE).all()):
                    raise CheckpointError(NOT_FINITE)
                at = position[chosen]
                for name, values in reduced.items():
                    _place(results, name, at, values, len(rows), int(lengths.max()))
                self.tokens += int(lengths[chosen].sum())
                if self.progress is not None:
                    self.progress(int(stands_for[at].sum()))
        if known is not None:
            for row, key in enumerate(keys):
                if key not in known:
                    known[key] = {name: values[row] for name, values in results.items()}
        return {name: values[inverse] for name, values in results.items()}

    def _recall(
        self,
        results: Reduced,
        known: dict[bytes, dict[str, NDArray[Any]]],
        keys: list[bytes],
        rows: NDArray[np.int64],
        stands_for: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Fill in what is known; gives the rows that are left to compute."""
        left = []
        for number, key in enumerate(keys):
            if key not in known:
                left.append(number)
                continue
            for name, value in known[key].items():
                results.setdefault(name, np.zeros((len(keys), *value.shape), value.dtype))[number] = value
            if self.progress is not None:
                self.progress(int(stands_for[number]))
        return rows[left]

    def batch(self, sequences: Sequences, rows: NDArray[np.int64]) -> Batch:
        """The chosen rows, padded on the right to the longest of them."""
        lengths = [len(sequences.ids[row]) for row in rows]
        width = max(lengths)
        ids = np.full((len(rows), width), self.pad_id, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        types = np.zeros((len(rows), width), np.int64) if sequences.types is not None else None
        for i, row in enumerate(rows):
            ids[i, : lengths[i]] = sequences.ids[row]
            mask[i, : lengths[i]] = 1
            if types is not None and sequences.types is not None:
                types[i, : lengths[i]] = sequences.types[row]
        return Batch(
            self._to_device(ids),
            self._to_device(mask),
            None if types is None else self._to_device(types),
            None if sequences.marks is None else self._to_device(sequences.marks[rows]),
        )

    def _to_device(self, values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)


def _place(
    results: Reduced, name: str, at: NDArray[np.int64], values: torch.Tensor, total: int, width: int
) -> None:
    array = values.float().numpy() if values.dtype == torch.bfloat16 else values.numpy()
    ragged = array.ndim == 2 and name.endswith("_by_token")
    if name not in results:
        tail = (width,) if ragged else array.shape[1:]
        results[name] = np.zeros((total, *tail), array.dtype)
    if ragged:
        results[name][at, : array.shape[1]] = array
    else:
        results[name][at] = array
