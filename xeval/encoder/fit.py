"""Whether a model can read the sequences it is given, and how they may share a batch.

Both are found out from the model itself, by running its longest and its shortest sequence first: how positions are
counted (RoBERTa's begin behind the number of the padding token), how many there are, and whether an output changes
when a sequence is padded, differ from architecture to architecture.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from xeval.encoder.batches import Sequences
from xeval.encoder.loop import Batch, Loop
from xeval.errors import CheckpointError, UsageError

Reduce = Callable[[Batch], dict[str, torch.Tensor]]
# Mean difference, relative to the outputs' mean size, up to which two outputs of one sequence count as the same.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2}
_OUTPUTS = ("logits", "start_logits", "end_logits", "last_hidden_state")


@dataclass(frozen=True)
class Fitted:
    """What a loop is to run: the sequences and the reduction as the model takes them, and what is to be said of it."""

    sequences: Sequences
    reduce: Reduce
    remarks: tuple[str, ...] = ()


def fit(loop: Loop, model: Any, sequences: Sequences, reduce: Reduce, what: str) -> Fitted:
    """Check that ``model`` can read ``sequences`` and set ``loop`` so that no output depends on the batch.

    A sequence's output is that of the model on the sequence alone, without padding. Decoders with a head for whole
    sequences read the last token that is not ``config.pad_token_id``, so that this is what shorter rows are filled
    with; a config without one gets, for the time of the run, a number that no sequence holds. Where the output changes
    with padding all the same (no attention mask, the last column as summary), only sequences of one length share a
    batch.

    Args:
        loop: ``pad_id`` is the tokenizer's padding token when it comes in.
        reduce: what the loop will run; only the outputs of ``model`` in it are looked at.
        what: what the errors are about.

    Raises:
        CheckpointError: the tokenizer's numbers are not those of the model.
        UsageError: a sequence is longer than the model has positions.
    """
    _require_tokens(model, sequences, what)
    sequences = _suited_types(model, sequences, what)
    lengths, offered = sequences.lengths, loop.pad_id
    longest, shortest = int(lengths.argmax()), int(lengths.argmin())
    padding = _Padding(model, sequences, offered)
    loop.sharing = "any" if padding.number is not None else "none"
    loop.pad_id = offered if padding.number is None else padding.number
    reduce = padding.around(reduce)
    trial = _Trial(loop, model, sequences)
    try:
        trial.require_positions(reduce, longest, what)
        mixed = loop.sharing == "any" and lengths[longest] > lengths[shortest]
        if mixed and not trial.same_when_padded(reduce, longest, shortest):
            loop.sharing = "equal lengths"
        remarks = [*trial.beyond_training(longest), *trial.cut_at_padding(reduce, padding, offered)]
    except torch.OutOfMemoryError:
        remarks = []  # the loop itself copes, and says so where it cannot
        loop.sharing = "equal lengths" if loop.sharing == "any" else loop.sharing
    return Fitted(sequences, reduce, tuple(remarks))


class _Padding:
    """The number that fills shorter rows, None where there is none, and the config's own, None where it is unusable."""

    def __init__(self, model: Any, sequences: Sequences, offered: int) -> None:
        self.config = model.config.get_text_config()
        self.stored = getattr(self.config, "pad_token_id", None)
        size = _vocabulary(model)
        usable = isinstance(self.stored, int) and 0 <= self.stored < (size or self.stored + 1)
        self.configured = self.stored if usable else None
        if self.configured is not None or size is None:
            self.number = offered if self.configured is None else self.configured
        else:
            self.number = _free_number(sequences, size, offered)

    def around(self, reduce: Reduce) -> Reduce:
        """``reduce`` with the number in the model's config, which is put back after every batch."""
        if self.number is None or self.configured is not None:
            return reduce
        return lambda batch: self.during(reduce, batch, self.number)

    def during(self, reduce: Reduce, batch: Batch, number: int | None) -> dict[str, torch.Tensor]:
        """Run one batch with a number in the model's config."""
        self.config.pad_token_id = number
        try:
            return reduce(batch)
        finally:
            self.config.pad_token_id = self.stored


def _free_number(sequences: Sequences, size: int, offered: int) -> int | None:
    """A token number that no sequence holds, or else that none ends with; ``offered`` where it is one."""
    held, last = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    for ids in sequences.ids:
        held[ids] = True
        last[ids[-1]] = True
    for taken in (held, last):
        if 0 <= offered < size and not taken[offered]:
            return offered
        if not taken.all():
            return int(np.flatnonzero(~taken)[-1])
    return None


def _vocabulary(model: Any) -> int | None:
    """Rows of the token embedding; None for models without one (CANINE)."""
    try:
        weight = model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return None
    return int(weight.shape[0])


def _require_tokens(model: Any, sequences: Sequences, what: str) -> None:
    """Every sequence has a token, and the model's embedding has a row for each."""
    if not sequences.lengths.all():
        raise UsageError(
            f"{what}: an item has an empty text, and the tokenizer adds no special token that could stand for it; "
            "take the item out of the data."
        )
    size, largest = _vocabulary(model), max(int(ids.max()) for ids in sequences.ids)
    if size is not None and largest >= size:
        raise CheckpointError(
            f"{what}: the tokenizer gives the token number {largest}, the model's embedding has {size} rows; it is "
            "another model's tokenizer: save the model's own one beside the weights."
        )


def _suited_types(model: Any, sequences: Sequences, what: str) -> Sequences:
    """The sequences without segment numbers where the model takes none."""
    if sequences.types is None:
        return sequences
    forwards = (type(model).forward, type(getattr(model, "base_model", model)).forward)
    taken = any("token_type_ids" in inspect.signature(forward).parameters for forward in forwards)
    segments = getattr(model.config, "type_vocab_size", None)
    if not taken or segments in (0, 1):
        return replace(sequences, types=None)
    largest = max(int(types.max()) for types in sequences.types)
    if segments is not None and largest >= segments:
        raise CheckpointError(
            f"{what}: the tokenizer gives the segment number {largest}, the model has {segments} segments; it is "
            "another model's tokenizer: save the model's own one beside the weights."
        )
    return sequences


class _Trial:
    """Runs single sequences of a unit and looks at the model's outputs."""

    def __init__(self, loop: Loop, model: Any, sequences: Sequences) -> None:
        self.loop, self.model, self.sequences = loop, model, sequences
        self.declared = int(getattr(model.config, "max_position_embeddings", 0) or 0)

    def require_positions(self, reduce: Reduce, longest: int, what: str) -> None:
        """Run the longest sequence; every lookup in a table is checked before a GPU is asked for a missing row."""
        length = len(self.sequences.ids[longest])
        try:
            with _Bounds():
                self.outputs(reduce, [longest])
        except _BeyondTableError as error:
            limit = error.size - (
                error.index + 1 - length
            )  # positions rise by one a token, from wherever they begin
            if not 0 < limit < length:
                raise CheckpointError(
                    f"{what}: the model looks up number {error.index} in a table of {error.size} rows; its "
                    "config.json and its weights do not belong together."
                ) from None
            raise _too_long(what, limit, length) from None
        except (RuntimeError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError) or not 0 < self.declared < length:
                raise
            raise _too_long(what, self.declared, length) from error

    def same_when_padded(self, reduce: Reduce, longest: int, shortest: int) -> bool:
        """Whether the shortest sequence has the same outputs alone and beside the longest one."""
        alone = self.outputs(reduce, [shortest])
        try:
            padded = self.outputs(reduce, [longest, shortest])
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError):
            return False
        return self.same(alone, padded)

    def beyond_training(self, longest: int) -> list[str]:
        """What to say where positions go on behind the last one that the config names."""
        length = len(self.sequences.ids[longest])
        if not 0 < self.declared < length:
            return []
        return [
            f"sequences have up to {length} tokens, the config names {self.declared} positions; the model computes "
            "beyond them, but may not have been trained for it."
        ]

    def cut_at_padding(self, reduce: Reduce, padding: _Padding, offered: int) -> list[str]:
        """What to say where sequences end with the padding token of the config, which the model then passes over."""
        if padding.configured is None or padding.configured == offered:
            return []
        ending = [row for row, ids in enumerate(self.sequences.ids) if ids[-1] == padding.configured]
        if not ending:
            return []
        other = padding.configured - 1 if padding.configured else 1
        as_stored = self.outputs(reduce, ending[:1])
        whole = self.outputs(lambda batch: padding.during(reduce, batch, other), ending[:1])
        if self.same(as_stored, whole):
            return []
        return [
            f"{len(ending)} of {len(self.sequences)} sequences end with token {padding.configured}, which "
            f"config.json calls padding and the tokenizer does not ({offered}); the model reads them without it, "
            "as in transformers."
        ]

    def same(self, alone: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
        """Whether outputs of one sequence are equal but for rounding; of the other, padding is left out."""
        tolerance = TOLERANCE.get(self.model.dtype, min(TOLERANCE.values()))
        for name, expected in alone.items():
            found = other[name][tuple(slice(size) for size in expected.shape)]
            if (found - expected).abs().mean() > tolerance * expected.abs().mean():
                return False
        return True

    def outputs(self, reduce: Reduce, rows: list[int]) -> Mapping[str, torch.Tensor]:
        """The model's outputs for the last of ``rows``, padded to the longest of them."""
        found: dict[str, torch.Tensor] = {}

        def look(_model: Any, _inputs: Any, output: Any) -> None:
            named = output if isinstance(output, Mapping) else {}
            found.update({name: named[name][-1].float() for name in _OUTPUTS if named.get(name) is not None})

        hook = self.model.register_forward_hook(look)
        try:
            with torch.inference_mode():
                reduce(self.loop.batch(self.sequences, np.asarray(rows)))
        finally:
            hook.remove()
        return found


def _too_long(what: str, limit: int, length: int) -> UsageError:
    return UsageError(
        f"{what}: the encoder reads at most {limit} tokens, a sequence has {length}; lower --max-length to {limit}."
    )


class _BeyondTableError(Exception):
    def __init__(self, index: int, size: int) -> None:
        super().__init__(index, size)
        self.index, self.size = index, size


class _Bounds(TorchDispatchMode):  # type: ignore[misc]  # untyped in torch
    """Refuses lookups beyond the end of a table. On a GPU they would end the whole process's use of it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten.embedding.default:
            index, size = args[1], args[0].shape[0]
        elif func in (aten.gather.default, aten.index_select.default):
            index, size = args[2], args[0].shape[args[1]]
        else:
            return func(*args, **(kwargs or {}))
        if index.numel() and (largest := int(index.max())) >= size:
            raise _BeyondTableError(largest, size)
        return func(*args, **(kwargs or {}))
