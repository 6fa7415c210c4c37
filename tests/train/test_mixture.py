import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeval.train.mixture import mixture, mixture_shares
from xeval.train.recipes import Hyperparameters, total_steps

HYPER = Hyperparameters(learning_rate=1e-5, epochs=3, batch_size=4, accumulation=8)
SIZES = st.lists(st.integers(1, 10**6), min_size=1, max_size=6)


def with_values(**values: float) -> Hyperparameters:
    return HYPER.model_copy(update=values)


def test_temperature_scaled_mixing_by_hand() -> None:
    # T5's formula (Raffel et al. 2020, 3.5.2) on capped sizes 1024, 256, 16: square roots 32, 16, 4.
    hyper = with_values(mixture_cap=1024, mixture_temperature=2.0)
    assert mixture_shares(hyper, [10**6, 256, 16]) == pytest.approx([32 / 52, 16 / 52, 4 / 52])
    hot = with_values(mixture_temperature=1e9)
    assert mixture_shares(hot, [10**6, 256, 16]) == pytest.approx([1 / 3] * 3)


@given(SIZES)
@settings(max_examples=50, deadline=None)
def test_temperature_one_is_proportional(sizes: list[int]) -> None:
    plain = mixture_shares(HYPER, sizes)
    assert plain == pytest.approx(np.asarray(sizes) / sum(sizes))
    assert mixture_shares(with_values(mixture_temperature=1.0), sizes) == pytest.approx(plain)


@given(SIZES, st.integers(1, 10**6), st.floats(0.01, 0.9))
@settings(max_examples=50, deadline=None)
def test_masked_language_modelling_leaves_the_tasks_their_steps(
    sizes: list[int], lines: int, share: float
) -> None:
    hyper = with_values(mlm_share=share)
    shares = mixture_shares(hyper, sizes, lines)
    assert shares[-1] == pytest.approx(share)
    assert shares[:-1] / shares[:-1].sum() == pytest.approx(mixture_shares(HYPER, sizes))
    steps = total_steps(hyper, sizes, lines)
    assert steps * (1 - share) == pytest.approx(total_steps(HYPER, sizes), abs=1)


def test_without_a_share_its_lines_count_as_rows_of_one_more_set() -> None:
    capped = with_values(mixture_cap=1000)
    assert mixture_shares(capped, [500], 10**6) == pytest.approx([1 / 3, 2 / 3])
    assert total_steps(capped, [500], 10**6) == math.ceil(1500 / 32) + math.ceil(3000 / 32)
    assert mixture_shares(capped, [500]) == pytest.approx([1.0])


def test_sets_of_long_rows_take_more_steps_for_the_same_rows() -> None:
    shares = mixture_shares(HYPER, [1000, 1000], rows_per_batch=[30.0, 10.0])
    assert shares == pytest.approx([0.25, 0.75])
    assert total_steps(HYPER, [1000, 1000], rows_per_batch=[30.0, 10.0]) == math.ceil(3000 / 240) + math.ceil(
        3000 / 80
    )


def test_draws_follow_the_shares_and_the_seed() -> None:
    hyper = with_values(mlm_share=0.25)
    draws = mixture(hyper, [900, 100], 20_000, 0, mlm_rows=5)
    assert np.bincount(draws) / 20_000 == pytest.approx([0.675, 0.075, 0.25], abs=0.01)
    assert np.array_equal(draws, mixture(hyper, [900, 100], 20_000, 0, mlm_rows=5))
    assert not np.array_equal(draws, mixture(hyper, [900, 100], 20_000, 1, mlm_rows=5))


def test_switches_that_are_off_leave_the_digest_alone() -> None:
    written = Hyperparameters.model_validate(
        HYPER.model_dump() | {"compile": False, "gradient_checkpointing": False}
    )
    assert written == HYPER
    new = {
        "mixture_temperature",
        "mlm_share",
        "batch_tokens",
        "precision",
        "gradient_checkpointing",
        "compile",
    }
    assert not new & HYPER.digest_values().keys()
    assert "compile" in with_values(compile=True).digest_values()
