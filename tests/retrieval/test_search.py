"""Exact search: equal to a float64 definition and to FAISS, whatever the index, blocks, storage or interruption."""

import re
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.synthetic_bitext import synthetic_bitext

from xeval.errors import DataError, UsageError
from xeval.retrieval import BothWays, Neighbours, cost, neighbours, search

TINY = 1 << 14  # bytes for blocks: 16 rows by 32 columns
EXACT = ("flat", "one-pass")


def by_definition(similarity: NDArray[np.float64], k: int) -> Neighbours:
    """Sort every row of a matrix by similarity as float32, then by column."""
    single = similarity.astype(np.float32)
    columns = np.broadcast_to(np.arange(single.shape[1]), single.shape)
    order = np.lexsort((columns, -single), axis=1)[:, : min(k, single.shape[1])]
    return Neighbours(order, np.take_along_axis(single, order, axis=1))


def by_faiss(queries: NDArray[Any], index: NDArray[Any], k: int) -> Neighbours:
    """FAISS's exact search alone, by cosine; which of several equal rows comes first is its own choice."""
    searcher = faiss.IndexFlatIP(index.shape[1])
    searcher.add(unit(index).astype(np.float32))
    similarities, rows = searcher.search(unit(queries).astype(np.float32), k)
    return Neighbours(rows, similarities)


def unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    values = rows.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def assert_same(found: Neighbours, wanted: Neighbours) -> None:
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_allclose(found.similarities, wanted.similarities, rtol=0, atol=2e-7)


def assert_identical(found: BothWays, wanted: BothWays) -> None:
    for one, other in ((found.forward, wanted.forward), (found.backward, wanted.backward)):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.similarities, other.similarities)


@pytest.mark.parametrize("index", EXACT)
@pytest.mark.parametrize(
    ("rows", "columns", "width"), [(130, 95, 24), (1, 70, 3), (40, 1, 5), (300, 310, 64)]
)
def test_equals_the_definition_and_faiss(index: Any, rows: int, columns: int, width: int) -> None:
    draw = np.random.default_rng(rows)
    x, y = (draw.standard_normal((n, width)).astype(np.float32) + 0.3 for n in (rows, columns))
    found = search(x, y, 4, index=index, memory=TINY)
    similarity = unit(x) @ unit(y).T
    assert_same(found.forward, by_definition(similarity, 4))
    assert_same(found.backward, by_definition(similarity.T, 4))
    for ours, queries, other in ((found.forward, x, y), (found.backward, y, x)):
        reference = by_faiss(queries, other, min(4, len(other)))
        np.testing.assert_array_equal(ours.rows, reference.rows)
        np.testing.assert_allclose(ours.similarities, reference.similarities, rtol=0, atol=1e-6)


@pytest.mark.parametrize("index", EXACT)
def test_ties_go_to_the_lower_row_and_faiss_agrees_on_similarities(index: Any) -> None:
    """Components of -1, 0 and 1 tie constantly; every row occurs three times besides; one row is zero."""
    draw = np.random.default_rng(3)
    x, y = (np.tile(draw.integers(-1, 2, (n, 6)), (3, 1)).astype(np.float32) for n in (37, 29))
    x[5] = 0
    found = search(x, y, 5, index=index, memory=TINY)
    similarity = unit(x) @ unit(y).T
    for ours, wanted, queries, other in (
        (found.forward, by_definition(similarity, 5), x, y),
        (found.backward, by_definition(similarity.T, 5), y, x),
    ):
        np.testing.assert_allclose(ours.similarities, wanted.similarities, rtol=0, atol=2e-7)
        np.testing.assert_allclose(
            ours.similarities, by_faiss(queries, other, 5).similarities, rtol=0, atol=1e-6
        )
        later = ours.similarities[:, 1:] == ours.similarities[:, :-1]
        assert later.any()
        assert (np.diff(ours.rows, axis=1)[later] > 0).all()
    assert found.repeated > 0


def test_duplicates_are_listed_in_order_of_rows() -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((50, 16)).astype(np.float32)
    y = np.concatenate([x] * 9)
    for index in EXACT:
        rows = search(x, y, 6, index=index, memory=TINY).forward.rows  # type: ignore[arg-type]
        np.testing.assert_array_equal(rows, np.arange(50)[:, None] + 50 * np.arange(6))


def test_the_result_depends_on_neither_blocks_nor_index() -> None:
    data = synthetic_bitext(80, 300, 48, 0.8, 1)
    wanted = search(data.source, data.target, 4, index="one-pass")
    assert wanted.repeated == 0
    for index in EXACT:
        for memory in (TINY, 1 << 17, 1 << 24):
            found = search(data.source, data.target, 4, index=index, memory=memory)  # type: ignore[arg-type]
            assert_identical(found, wanted)


def test_a_process_that_allows_rounded_products_gets_the_same_neighbours() -> None:
    data = synthetic_bitext(80, 300, 48, 0.8, 1)
    wanted = search(data.source, data.target, 4, index="one-pass")
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(2)
    try:
        found = search(data.source, data.target, 4, index="one-pass")
        kept = torch.get_float32_matmul_precision()
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
    assert kept == "medium"
    assert found.repeated == 0
    assert_identical(found, wanted)


def test_the_bound_sends_close_calls_to_the_repetition() -> None:
    """Forty rows within 1e-8 of each other: float32 cannot tell them apart, the result still can."""
    draw = np.random.default_rng(5)
    x = draw.standard_normal((60, 32)).astype(np.float32)
    y = np.repeat(x.astype(np.float64), 40, axis=0) + 1e-8 * draw.standard_normal((2400, 32))
    flat, one_pass = (search(x, y, 3, index=index, memory=1 << 18) for index in EXACT)  # type: ignore[arg-type]
    assert flat.repeated >= 60
    assert_same(flat.forward, by_definition(unit(x) @ unit(y).T, 3))
    assert_identical(flat, one_pass)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.sampled_from(EXACT)
)
def test_permuting_rows_permutes_the_result(seed: int, rows: int, columns: int, k: int, index: Any) -> None:
    draw = np.random.default_rng(seed)
    x, y = (draw.standard_normal((n, 8)).astype(np.float32) for n in (rows, columns))
    order_x, order_y = draw.permutation(rows), draw.permutation(columns)
    found = search(x, y, k, index=index, memory=TINY)
    turned = search(x[order_x], y[order_y], k, index=index, memory=TINY)
    np.testing.assert_array_equal(order_y[turned.forward.rows], found.forward.rows[order_x])
    np.testing.assert_array_equal(order_x[turned.backward.rows], found.backward.rows[order_y])
    np.testing.assert_array_equal(turned.forward.similarities, found.forward.similarities[order_x])
    swapped = search(y, x, k, index=index, memory=TINY)
    assert_same(swapped.forward, found.backward)
    assert_same(swapped.backward, found.forward)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(-30, 30) | st.integers(-320, 308), min_size=1, max_size=4),
    st.sampled_from(["float16", "float32", "float64", ">f4", ">f8"]),
    st.sampled_from(
        [
            *(("cosine", centring) for centring in ("none", "language_mean", "mean_difference")),
            ("euclidean", "none"),
            ("euclidean", "language_mean"),
        ]
    ),
    st.sampled_from(EXACT),
    st.booleans(),
)
def test_rows_of_any_length_have_real_neighbours_or_are_refused(
    seed: int, exponents: list[int], dtype: str, how: tuple[Any, Any], index: Any, alike: bool
) -> None:
    """Lengths of 1e-320 to 1e308, in one collection or several orders of magnitude beside each other; inf and zeros."""
    similarity, centring = how
    draw = np.random.default_rng(seed)
    lengths = [exponents[:1] * 40, draw.choice(exponents, 40)][not alike]
    with np.errstate(over="ignore", under="ignore"):
        x = (draw.standard_normal((40, 5)) * 10.0 ** np.asarray(lengths, float)[:, None]).astype(dtype)
    y = draw.standard_normal((33, 5))
    refused = []
    for first, second in ((x, y), (y, x)):
        try:
            found = search(
                first, second, 3, similarity=similarity, centring=centring, index=index, memory=TINY
            )
        except DataError as error:
            refused.append(str(error))
            continue
        for side, other in ((found.forward, second), (found.backward, first)):
            assert (side.rows >= 0).all()
            assert (side.rows < len(other)).all()
            assert all(len(set(row)) == 3 for row in side.rows.tolist())
            assert np.isfinite(side.similarities).all()
        if (similarity, centring) == ("cosine", "none"):
            assert_same(found.forward, by_definition(unit(first) @ unit(second).T, 3))
    assert not refused or not np.isfinite(x).all() or max(map(abs, exponents)) > 17
    assert all(
        re.search(r"row \d+ .* of the (source|target) embeddings (is not|has)", text) for text in refused
    )


@pytest.mark.parametrize("index", [*EXACT, "ivf", "hnsw"])
def test_rows_that_cannot_be_searched_are_named_by_every_index(index: Any) -> None:
    draw = np.random.default_rng(2)
    x, y = draw.standard_normal((20, 4)), draw.standard_normal((90, 4))
    for bad in (np.nan, np.inf, 1e150, 1e-200):
        z = y.copy()
        z[7] *= bad
        with pytest.raises(
            DataError, match=r"row 7 \(counted from 0\) of the target embeddings (is not finite|has length)"
        ):
            search(x, z, 2, index=index)


@pytest.mark.parametrize("index", EXACT)
def test_euclidean_similarity_is_that_of_xtreme(index: Any) -> None:
    """XTREME's --dist other than cosine: 1 / (1 + squared distance) of embeddings as they are."""
    draw = np.random.default_rng(7)
    x, y = (draw.standard_normal((n, 12)).astype(np.float32) * 3 for n in (70, 90))
    y[:40] = x[:40] + 1e-3 * draw.standard_normal((40, 12)).astype(np.float32)
    found = search(x, y, 4, similarity="euclidean", index=index, memory=TINY)
    squared = ((x.astype(np.float64)[:, None] - y.astype(np.float64)[None]) ** 2).sum(-1)
    assert_same(found.forward, by_definition(1 / (1 + squared), 4))
    assert_same(found.backward, by_definition(1 / (1 + squared.T), 4))


@pytest.mark.parametrize("index", EXACT)
def test_centring(index: Any) -> None:
    draw = np.random.default_rng(9)
    x, y = draw.standard_normal((80, 12)) + 2, draw.standard_normal((60, 12)) - 1
    found = search(x, y, 4, centring="language_mean", index=index, memory=TINY)
    centred = unit(x - x.mean(0)) @ unit(y - y.mean(0)).T
    assert_same(found.forward, by_definition(centred, 4))
    assert_same(found.backward, by_definition(centred.T, 4))
    # shift_embeddings of XTREME and jiant: normalised queries move by the difference of the means.
    shifted = search(x, y, 4, centring="mean_difference", index=index, memory=TINY)
    one, other = unit(x), unit(y)
    difference = one.mean(0) - other.mean(0)
    assert_same(shifted.forward, by_definition((one - difference) @ other.T, 4))
    assert_same(shifted.backward, by_definition((other + difference) @ one.T, 4))


def test_float16_in_a_read_only_file_gives_the_neighbours_of_its_values(tmp_path: Path) -> None:
    data = synthetic_bitext(60, 200, 20, 0.5, 2)
    for name, rows in (("x", data.source), ("y", data.target)):
        np.save(tmp_path / f"{name}.npy", rows.astype(np.float16))
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    found = search(x, y, 4, memory=TINY)
    assert_identical(found, search(np.array(x, np.float32), np.array(y, np.float32), 4))


class KilledError(Exception):
    pass


@pytest.mark.parametrize("index", EXACT)
def test_an_interrupted_search_goes_on(tmp_path: Path, index: Any) -> None:
    data = synthetic_bitext(50, 150, 20, 0.5, 2)
    options: dict[str, Any] = {
        "memory": TINY,
        "index": index,
        "checkpoint": tmp_path / "state",
        "checkpoint_seconds": 0.0,
    }
    shares: list[float] = []

    def die(share: float, seconds: float) -> None:
        assert seconds >= 0
        shares.append(share)
        if share > 0.5:
            raise KilledError

    with pytest.raises(KilledError):
        search(data.source, data.target, 4, progress=die, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    resumed: list[float] = []
    lefts: list[float] = []

    def told(share: float, left: float) -> None:
        resumed.append(share)
        lefts.append(left)

    found = search(data.source, data.target, 4, progress=told, **options)
    assert found.index == index
    assert [bool(np.isnan(left)) for left in lefts] == [True] + [False] * (len(lefts) - 1)
    assert resumed[0] >= shares[len(shares) // 2]
    assert resumed == sorted(resumed)
    assert resumed[-1] == pytest.approx(1)
    assert_identical(found, search(data.source, data.target, 4))
    done: list[float] = []
    options["checkpoint_seconds"] = 60.0
    again = search(data.source, data.target, 4, progress=lambda share, _: done.append(share), **options)
    assert done == [1.0]  # the finished search is answered from its file
    assert_identical(again, found)


@pytest.mark.parametrize("index", EXACT)
def test_an_interrupted_second_direction_keeps_the_first(tmp_path: Path, index: Any) -> None:
    data = synthetic_bitext(50, 150, 20, 0.5, 2)
    options: dict[str, Any] = {"centring": "mean_difference", "memory": TINY, "index": index}
    wanted = search(data.source, data.target, 4, **options)
    options |= {"checkpoint": tmp_path / "state", "checkpoint_seconds": 0.0}

    def die(share: float, _: float) -> None:
        if share > 0.8:
            raise KilledError

    with pytest.raises(KilledError):
        search(data.source, data.target, 4, progress=die, **options)
    shares: list[float] = []
    found = search(data.source, data.target, 4, progress=lambda share, _: shares.append(share), **options)
    assert shares[0] >= 0.5
    assert_identical(found, wanted)


def test_a_finished_search_is_kept_however_short_it_was(tmp_path: Path) -> None:
    data = synthetic_bitext(50, 150, 20, 0.5, 2)
    found = search(data.source, data.target, 4, memory=TINY, checkpoint=tmp_path / "state")
    done: list[float] = []
    again = search(
        data.source,
        data.target,
        4,
        memory=TINY,
        checkpoint=tmp_path / "state",
        progress=lambda share, _: done.append(share),
    )
    assert done == [1.0]
    assert_identical(again, found)


def test_a_checkpoint_of_something_else_or_damaged_is_refused(tmp_path: Path) -> None:
    data = synthetic_bitext(50, 150, 20, 0.5, 2)
    options: dict[str, Any] = {"memory": TINY, "checkpoint": tmp_path / "state", "checkpoint_seconds": 0.0}

    def die(share: float, _: float) -> None:
        if share > 0.5:
            raise KilledError

    with pytest.raises(KilledError):
        search(data.source, data.target, 4, progress=die, index="one-pass", **options)
    with pytest.raises(UsageError, match="other embeddings or settings"):
        search(data.source + 1, data.target, 4, **options)
    with pytest.raises(UsageError, match="other embeddings or settings"):
        search(data.source, data.target, 3, **options)
    with pytest.raises(UsageError, match="other embeddings or settings"):
        search(data.source, data.target, 4, index="flat", **options)
    content = dict(np.load(tmp_path / "state"))
    content["forward.columns"][0, 0] += 1
    with (tmp_path / "state").open("wb") as file:
        np.savez(file, **content)
    with pytest.raises(DataError, match="is damaged"):
        search(data.source, data.target, 4, **options)
    (tmp_path / "state").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="not a readable checkpoint"):
        search(data.source, data.target, 4, **options)


def test_wrong_use_is_one_sentence() -> None:
    x = np.ones((4, 3), np.float32)
    for call, words in (
        (lambda: search(x, x[:, :2], 1), "equal width"),
        (lambda: search(x, x[:0], 1), "no rows"),
        (lambda: search(x, x, 0), "at least 1"),
        (lambda: search(x, x, 1, similarity="dot"), "unknown similarity 'dot'"),  # type: ignore[arg-type]
        (lambda: search(x, x, 1, index="float32"), "unknown index 'float32'"),  # type: ignore[arg-type]
        (lambda: search(x, x, 1, similarity="euclidean", index="ivf"), "use flat or one-pass for euclidean"),
        (lambda: search(x, x, 1, similarity="euclidean", centring="mean_difference"), "language_mean only"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    x[2, 1] = np.nan
    for centring in ("none", "language_mean"):
        with pytest.raises(DataError, match=r"row 2 \(counted from 0\) of the target"):
            search(np.ones((4, 3)), x, 1, centring=centring)  # type: ignore[arg-type]


def test_approximate_search_says_what_it_missed() -> None:
    data = synthetic_bitext(300, 700, 16, 0.3, 4)
    exact = search(data.source, data.target, 4)
    for index, effort in (("ivf", 2), ("ivf", 10**6), ("hnsw", 8), ("hnsw", 400)):
        found = search(data.source, data.target, 4, index=index, effort=effort)  # type: ignore[arg-type]
        shares = [
            len(set(a) & set(b)) / 4
            for ours, wanted in ((found.forward, exact.forward), (found.backward, exact.backward))
            for a, b in zip(ours.rows, wanted.rows, strict=True)
        ]
        assert found.recall == pytest.approx(np.mean(shares), abs=1e-12)
        assert (found.recall > 0.99) == (effort >= 400)
        assert found.recall == 1 or found.index != "ivf, 25 of 25 lists"


def test_a_query_of_which_an_index_finds_too_few_rows_is_compared_with_all() -> None:
    draw = np.random.default_rng(2)
    x, y = draw.standard_normal((20, 4)), draw.standard_normal((90, 4))
    found = search(x, y, 80, index="ivf", effort=1)
    assert found.index == "ivf, 1 of 2 lists"
    assert found.repeated == 20
    assert_identical(found, search(x, y, 80))


def test_cost_counts_one_product_for_both_directions_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = cost(400_000, 300_000, 64, device="cpu")
    assert (estimate.index, estimate.operations) == ("one-pass", 2 * 400_000 * 300_000 * 64)
    assert estimate.seconds > 0
    assert estimate.bytes < 2**30
    small = cost(4000, 3000, 64, device="cpu")
    assert (small.index, small.operations) == ("flat", 4 * 4000 * 3000 * 64)
    assert cost(400_000, 300_000, 64, centring="mean_difference", device="cpu").index == "flat"
    data = synthetic_bitext(50, 150, 20, 0.5, 2)
    assert search(data.source, data.target, 4).index == "flat"
    monkeypatch.setattr(neighbours, "ONE_PASS_OPERATIONS", 1e6)
    assert search(data.source, data.target, 4).index == "one-pass"
