"""The forward loop: order, duplicates, memory, and independence of the batch budget."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xeval.encoder.batches import Sequences, by_token_budget
from xeval.encoder.loop import FINITE, Batch, Loop, finite_rows
from xeval.encoder.pooling import cut_at_layer, pool, pooled_range
from xeval.errors import CheckpointError, UsageError, XevalError

CPU = torch.device("cpu")


def sequences_of(lengths: list[int], marks: bool = False) -> Sequences:
    generator = np.random.default_rng(5)
    ids = [generator.integers(5, 90, length).astype(np.int32) for length in lengths]
    return Sequences(ids, None, np.asarray([[i] for i in range(len(ids))]) if marks else None)


def total(batch: Batch) -> dict[str, torch.Tensor]:
    sums = (batch.input_ids * batch.attention_mask).sum(1)
    return {"sum": sums, FINITE: finite_rows(sums)}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 200))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    array = np.asarray(lengths)
    batches = list(by_token_budget(array, range(len(lengths)), budget))
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * array[batch].max() <= budget
    longest = [array[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_results_come_back_in_order_and_duplicates_run_once() -> None:
    sequences = sequences_of([3, 9, 1, 4, 4, 20])
    doubled = Sequences(sequences.ids + sequences.ids)
    seen: list[int] = []

    def counting(batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(len(batch.input_ids))
        return total(batch)

    progress: list[int] = []
    loop = Loop(CPU, pad_id=1, token_budget=24, progress=progress.append)
    result = loop.run(doubled, counting)["sum"]
    assert result.tolist() == [int(ids.sum()) for ids in doubled.ids]
    assert sum(seen) == 6
    assert sum(progress) == 12


def test_marks_keep_equal_texts_apart() -> None:
    ids = [np.asarray([5, 6], np.int32)] * 2
    result = Loop(CPU, pad_id=1).run(
        Sequences(ids, None, np.asarray([[1], [2]])),
        lambda batch: total(batch) | {"mark": batch.marks[:, 0]},  # type: ignore[index]
    )
    assert result["mark"].tolist() == [1, 2]


def test_out_of_memory_halves_the_budget_and_loses_nothing() -> None:
    sequences = sequences_of([8] * 16)

    def greedy(batch: Batch) -> dict[str, torch.Tensor]:
        if batch.input_ids.numel() > 20:
            raise torch.OutOfMemoryError("no memory left")
        return total(batch)

    loop = Loop(CPU, pad_id=1, token_budget=128)
    assert loop.run(sequences, greedy)["sum"].tolist() == [int(ids.sum()) for ids in sequences.ids]
    assert loop.token_budget == 16


def test_one_sequence_too_long_for_memory_is_one_sentence() -> None:
    def never(_: Batch) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("no memory left")

    with pytest.raises(XevalError, match="9 tokens"):
        Loop(CPU, pad_id=1).run(sequences_of([9]), never)


def test_outputs_that_are_not_finite_are_refused_but_for_those_of_padding() -> None:
    outputs = torch.zeros(3, 4, 2)
    outputs[0, 3, 1] = float("nan")
    outputs[1, 0, 0] = float("inf")
    padding_last = torch.tensor([[1, 1, 1, 0]] * 3)
    assert finite_rows(outputs).tolist() == [False, False, True]
    assert finite_rows(outputs, mask=padding_last).tolist() == [True, False, True]
    assert finite_rows(outputs[2], outputs[0]).tolist() == [True, True, True, False]

    def damaged(batch: Batch) -> dict[str, torch.Tensor]:
        return total(batch) | {FINITE: batch.input_ids[:, 0] > 0}

    sequences = sequences_of([3, 5])
    assert len(Loop(CPU, pad_id=1).run(sequences, damaged)["sum"]) == 2
    sequences.ids[1][0] = 0
    with pytest.raises(CheckpointError, match="not finite; the checkpoint's weights are damaged"):
        Loop(CPU, pad_id=1).run(sequences, damaged)


def test_known_sequences_are_not_run_again() -> None:
    known: dict[bytes, dict[str, Any]] = {}
    first, runs = sequences_of([3, 5, 7]), []

    def recording(batch: Batch) -> dict[str, torch.Tensor]:
        runs.append(len(batch.input_ids))
        return total(batch)

    loop = Loop(CPU, pad_id=1)
    loop.run(first, recording, known)
    both = Sequences([np.asarray([7, 7], np.int32), *first.ids])
    result = loop.run(both, recording, known)["sum"]
    assert result.tolist() == [14, *(int(ids.sum()) for ids in first.ids)]
    assert sum(runs) == 4


def test_scores_do_not_depend_on_the_batch_budget(tiny_encoder: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(tiny_encoder).eval()
    sequences = sequences_of([3, 30, 12, 12, 7, 25, 1, 18])

    def embed(batch: Batch) -> dict[str, torch.Tensor]:
        first = model(**batch.inputs()).last_hidden_state[:, 0]
        return {"x": first, FINITE: finite_rows(first)}

    results = [
        Loop(CPU, pad_id=1, token_budget=budget).run(sequences, embed)["x"] for budget in (1, 40, 4000)
    ]
    np.testing.assert_allclose(results[0], results[1], atol=2e-5)
    np.testing.assert_allclose(results[0], results[2], atol=2e-5)


def test_stopping_at_a_layer_gives_that_hidden_state(tiny_encoder: Path) -> None:
    from transformers import AutoModel

    ids = torch.arange(5, 25).view(2, 10)
    whole = AutoModel.from_pretrained(tiny_encoder).eval()
    with torch.inference_mode():
        states = whole(ids, output_hidden_states=True).hidden_states
        for layer in (0, 1, 2):
            cut = cut_at_layer(AutoModel.from_pretrained(tiny_encoder).eval(), layer)
            torch.testing.assert_close(cut(ids).last_hidden_state, states[layer])
    with pytest.raises(UsageError, match="layers 0"):
        cut_at_layer(whole, 3)


def test_pooling_is_the_mean_over_the_named_tokens() -> None:
    hidden = torch.arange(12.0).view(1, 6, 2)
    for pooling, expected in (("mean", [4.0, 5.0]), ("mean_no_special", [4.0, 5.0]), ("cls", [0.0, 1.0])):
        ranges = torch.tensor([pooled_range(5, pooling, prefix=1, suffix=1)])
        assert pool(hidden, ranges)[0].tolist() == expected
    ranges = torch.tensor([pooled_range(5, "mean_no_special", prefix=2, suffix=1)])
    assert pool(hidden, ranges)[0].tolist() == [5.0, 6.0]
    with pytest.raises(UsageError, match="unknown pooling"):
        pooled_range(5, "median", 1, 1)
