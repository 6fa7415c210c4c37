import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeval.encoder.batches import Sequences
from xeval.train.rows import BatchOrder, Rows


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=300),
    st.integers(1, 400),
    st.booleans(),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_batches_by_tokens_keep_the_budget_and_every_row(
    lengths: list[int], budget: int, by_length: bool, seed: int
) -> None:
    every = np.asarray(lengths)
    order = BatchOrder(every, 16, by_length, seed, budget)
    index, epochs = 0, []
    for _ in range(3):
        rows: list[int] = []
        while len(rows) < len(lengths):
            batch = order.batch(index)
            index += 1
            assert len(batch) == 1 or len(batch) * every[batch].max() <= budget
            rows += batch.tolist()
        assert sorted(rows) == list(range(len(lengths)))
        epochs.append(rows)
    again = BatchOrder(every, 16, by_length, seed, budget)
    last = again.batch(index - 1)  # a run that is continued asks for a late batch first
    assert last.tolist() == epochs[2][-len(last) :]


def test_a_budget_fills_batches_of_short_rows() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 2000)
    order = BatchOrder(lengths, 16, True, 0, 800)
    batches = [order.batch(i) for i in range(round(len(lengths) / order.rows_per_batch))]
    padded = np.asarray([len(b) * lengths[b].max() for b in batches])
    assert padded.mean() > 0.85 * 800
    assert len({len(b) for b in batches}) > 10


def rows_of(targets: dict[str, list[object]]) -> Rows:
    return Rows(Sequences([]), [], targets)


def test_the_loss_of_the_best_constant_answer_is_the_entropy() -> None:
    assert rows_of({"labels": [0, 1, 1, 1]}).constant_loss == pytest.approx(
        -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    )
    assert rows_of({"labels": [[-100, 0, 1], [1, -100, 0]]}).constant_loss == pytest.approx(math.log(2))
    spans = rows_of({"start_positions": [3, 5], "end_positions": [4, 4]})
    assert spans.constant_loss == pytest.approx(math.log(2) / 2)
