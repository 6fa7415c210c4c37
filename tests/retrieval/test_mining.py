"""Mining against the published algorithm, written out as loops, and its properties."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.synthetic_bitext import synthetic_bitext

from xeval.errors import UsageError
from xeval.retrieval import (
    RECIPES,
    BothWays,
    Neighbours,
    Pairs,
    best_rows,
    distinct,
    extract,
    margin_scores,
    match,
    mine,
    recipe,
    search,
    to_rows,
)

MARGINS = ("absolute", "distance", "ratio")
MATCHINGS = ("max", "intersect", "forward", "backward")
Triples = list[tuple[float, int, int]]


def published(
    x: NDArray[Any], y: NDArray[Any], k: int, margin: str, matching: str, threshold: float
) -> Triples:
    """Mining as LASER's mine_bitexts.py defines it (also XTREME and jiant): one dot product a candidate, greedy.

    Sorted by score, then rows, where the published code leaves equal scores to the sorting routine. Where the mean is
    not above what float32 tells from 0, the ratio, which divides by it, is minus infinity, and such pairs are left out.
    """
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x.astype(float), y.astype(float)))
    kx, ky = min(k, len(y)), min(k, len(x))
    near_x = [sorted(range(len(y)), key=lambda j, i=i: (-(x[i] @ y[j]), j))[:kx] for i in range(len(x))]  # type: ignore[misc]
    near_y = [sorted(range(len(x)), key=lambda i, j=j: (-(x[i] @ y[j]), i))[:ky] for j in range(len(y))]  # type: ignore[misc]
    mean_x = [np.mean([x[i] @ y[j] for j in near]) for i, near in enumerate(near_x)]
    mean_y = [np.mean([x[i] @ y[j] for i in near]) for j, near in enumerate(near_y)]

    def score(i: int, j: int) -> float:
        similarity, around = x[i] @ y[j], (mean_x[i] + mean_y[j]) / 2
        if margin == "ratio":
            return float(similarity / around) if around > 2.0**-23 else -np.inf
        return float({"absolute": similarity, "distance": similarity - around}[margin])

    best_x = [max((score(i, j), -place, j) for place, j in enumerate(near)) for i, near in enumerate(near_x)]
    best_y = [max((score(i, j), -place, i) for place, i in enumerate(near)) for j, near in enumerate(near_y)]
    forward = [(value, i, j) for i, (value, _, j) in enumerate(best_x) if value > -np.inf]
    backward = [(value, i, j) for j, (value, _, i) in enumerate(best_y) if value > -np.inf]
    if matching == "forward":
        pairs = forward
    elif matching == "backward":
        pairs = backward
    elif matching == "intersect":
        pairs = [(value, i, j) for value, i, j in forward if best_y[j][2] == i]
    else:
        pairs, used_source, used_target = [], set(), set()
        for value, i, j in sorted(forward + backward, key=lambda pair: (-pair[0], *pair[1:])):
            if i not in used_source and j not in used_target:
                used_source.add(i)
                used_target.add(j)
                pairs.append((value, i, j))
    return sorted((pair for pair in pairs if pair[0] > threshold), key=lambda pair: (-pair[0], *pair[1:]))


def assert_pairs(found: Pairs, wanted: Triples) -> None:
    assert [(p.source, p.target) for p in found] == [(i, j) for _, i, j in wanted]
    np.testing.assert_allclose(found.score, [value for value, _, _ in wanted], rtol=2e-6, atol=2e-7)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["random", "centred", "opposite", "few directions"]),
    st.sampled_from(MARGINS),
    st.sampled_from(MATCHINGS),
    st.integers(1, 5),
    st.booleans(),
)
def test_no_pair_is_scored_by_a_mean_that_is_not_above_zero_nor_by_a_row_without_direction(
    seed: int, kind: str, margin: Any, matching: Any, k: int, zeros: bool
) -> None:
    """Rows of zeros are as if they were not there; among all others the published definition holds."""
    draw = np.random.default_rng(seed)
    x, y = (draw.standard_normal((n, 3)).astype(np.float32) for n in (9, 7))
    if kind == "centred":
        x, y = x - x.mean(0), y - y.mean(0)
    elif kind == "opposite":
        x, y = np.abs(x), -np.abs(y)
    elif kind == "few directions":
        x, y = (np.eye(3, dtype=np.float32)[draw.integers(0, 3, len(v))] * (-1) ** len(v) for v in (x, y))
    kept_x, kept_y = np.arange(9), np.arange(7)
    if zeros:
        x[[2, 5]] = y[0] = 0
        kept_x, kept_y = np.delete(kept_x, [2, 5]), np.delete(kept_y, 0)
    with np.errstate(all="raise"):
        found = extract(x, y, k, margin, matching=matching)
    wanted = published(x[kept_x], y[kept_y], k, margin, matching, -np.inf)
    assert np.isfinite(found.pairs.score).all()
    if kind != "few directions":  # whose scores tie up to rounding
        assert_pairs(found.pairs, [(value, int(kept_x[i]), int(kept_y[j])) for value, i, j in wanted])
    assert [rows.tolist() for rows in found.without_direction] == ([[2, 5], [0]] if zeros else [[], []])
    if kind == "opposite" and margin == "ratio":
        assert not len(found.pairs)
        assert found.without_ratio == found.candidates > 0


def test_rows_that_centring_or_zeros_leave_without_direction_are_named() -> None:
    draw = np.random.default_rng(1)
    x, y = draw.standard_normal((6, 4)), draw.standard_normal((5, 4))
    x[4] = np.delete(x, [3, 4], axis=0).mean(0)  # the mean of the side, and so of the side without it
    x[3] = 0
    found = extract(x, y, 2, "distance", centring="language_mean")
    assert found.without_direction[0].tolist() == [3, 4]
    assert not np.isin(found.pairs.source, [3, 4]).any()
    (remark,) = found.remarks("de.npy", "en.npy")
    assert "de.npy: 2 of its embeddings have no direction" in remark
    assert "(rows 3, 4, counted from 0)" in remark
    assert not len(extract(np.zeros((4, 4)), y).pairs)
    same = extract(np.tile(x[:1], (7, 1)), y, centring="language_mean")
    assert len(same.without_direction[0]) == 7
    # As points, the mean of a side and all others have a distance.
    assert len(extract(x[[0, 1, 2, 4, 5]], y, similarity="euclidean", centring="language_mean").pairs) == 5


def test_a_query_without_a_ratio_has_no_best_row() -> None:
    x = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    y = np.array([[1, 0], [-1, 0], [0, -1]], np.float32)
    found = search(x, y, 3)
    assert best_rows(found, "ratio", "foreign").tolist() == [-1, -1, -1]
    assert best_rows(found, "distance", "foreign").tolist()[:2] == [0, 1]
    assert not len(match(found, "ratio"))
    orthogonal = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    rounding = extract(orthogonal[:8], orthogonal[8:])  # cosines of 1e-17 are 0
    assert not len(rounding.pairs)
    assert rounding.remarks("a", "b") == [
        f"{rounding.candidates} of {rounding.candidates} candidates have no ratio margin and gave no pair, because "
        "their neighbourhoods' mean similarity is not above 0; --margin distance scores them too."
    ]


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_the_published_algorithm(margin: Any, matching: Any) -> None:
    data = synthetic_bitext(30, 35, 10, 0.9, 6)
    x, y = data.source, data.target[:50]
    assert_pairs(mine(x, y, 4, margin, matching=matching), published(x, y, 4, margin, matching, -np.inf))
    threshold = 1.02 if margin == "ratio" else 0.05
    found = mine(x, y, 3, margin, matching=matching, threshold=threshold)
    assert_pairs(found, published(x, y, 3, margin, matching, threshold))


def test_a_side_smaller_than_k_is_one_neighbourhood() -> None:
    data = synthetic_bitext(3, 0, 8, 0.5, 1)
    source, target = data.source[:2], data.target
    assert_pairs(mine(source, target, 4), published(source, target, 4, "ratio", "max", -np.inf))


def test_planted_pairs_are_found_best_first() -> None:
    data = synthetic_bitext(200, 600, 64, 0.4, 3)
    found = mine(data.source, data.target, k=4, margin="ratio")
    assert found.dtype.names == ("score", "source", "target")
    assert (np.diff(found.score) <= 0).all()
    best = {(int(p.source), int(p.target)) for p in found[:200]}
    assert best == {(int(a), int(b)) for a, b in data.gold}


def neighbours_of(similarity: NDArray[np.float32], k: int) -> BothWays:
    """Both directions of a matrix of similarities."""
    sides = []
    for matrix in (similarity, similarity.T):
        rows = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
        sides.append(Neighbours(rows, np.take_along_axis(matrix, rows, axis=1)))
    return BothWays(sides[0], sides[1], 0, "flat")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.sampled_from(MARGINS))
def test_matching_is_the_greedy_walk_and_one_to_one(seed: int, rows: int, columns: int, margin: Any) -> None:
    """Similarities on a coarse scale, so that scores tie and candidates wait for each other."""
    draw = np.random.default_rng(seed)
    similarity = draw.integers(1, 6, (rows, columns)).astype(np.float32) / 8
    found = neighbours_of(similarity, 3)
    pairs = match(found, margin)
    assert len(set(pairs.source.tolist())) == len(pairs) == len(set(pairs.target.tolist()))
    scores = margin_scores(found.forward, found.backward, margin)
    candidates = [
        (-scores[0][i].max(), i, int(found.forward.rows[i, scores[0][i].argmax()])) for i in range(rows)
    ] + [(-scores[1][j].max(), int(found.backward.rows[j, scores[1][j].argmax()]), j) for j in range(columns)]
    sources, targets, walked = set(), set(), []
    for value, i, j in sorted(candidates):
        if i not in sources and j not in targets:
            sources.add(i)
            targets.add(j)
            walked.append((-value, i, j))
    assert [tuple(pair) for pair in pairs.tolist()] == walked
    mutual = {tuple(pair) for pair in match(found, margin, "intersect")[["source", "target"]].tolist()}
    assert mutual <= {tuple(pair) for pair in match(found, margin, "forward")[["source", "target"]].tolist()}


def test_a_long_chain_of_waiting_pairs_is_walked_to_its_end() -> None:
    """Row n prefers column n, and column n prefers row n - 1 even more: one pair is settled at a time."""
    size = 40
    similarity = np.zeros((size, size), dtype=np.float32)
    for n in range(size):
        similarity[n, n] = 0.5 + 0.001 * (2 * n)
        if n:
            similarity[n - 1, n] = 0.5 + 0.001 * (2 * n - 1)
    pairs = match(neighbours_of(similarity, 2), "absolute")
    assert sorted(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)) == [
        (n, n) for n in range(size)
    ]
    turned = match(neighbours_of(similarity[:, ::-1].copy(), 2), "absolute")
    assert sorted((int(p.source), size - 1 - int(p.target)) for p in turned) == [(n, n) for n in range(size)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 25), st.integers(2, 25), st.sampled_from(MARGINS))
def test_swapping_the_sides_swaps_the_pairs(seed: int, rows: int, columns: int, margin: Any) -> None:
    draw = np.random.default_rng(seed)
    x, y = (draw.standard_normal((n, 6)).astype(np.float32) + 1 for n in (rows, columns))
    found, swapped = mine(x, y, 3, margin), mine(y, x, 3, margin)
    order = np.lexsort((swapped.source, swapped.target))
    back = np.lexsort((found.target, found.source))
    np.testing.assert_array_equal(found.source[back], swapped.target[order])
    np.testing.assert_array_equal(found.target[back], swapped.source[order])
    np.testing.assert_array_equal(found.score[back], swapped.score[order])


def test_best_rows_are_those_of_the_searching_side() -> None:
    data = synthetic_bitext(40, 60, 12, 0.6, 8)
    found = search(data.source, data.target, 4)
    np.testing.assert_array_equal(best_rows(found, "none", "foreign"), found.forward.rows[:, 0])
    np.testing.assert_array_equal(best_rows(found, "none", "english"), found.backward.rows[:, 0])
    searched = published(data.source, data.target, 4, "ratio", "forward", -np.inf)
    by_source = [j for _, j in sorted((i, j) for _, i, j in searched)]
    assert best_rows(found, "ratio", "foreign").tolist() == by_source
    with pytest.raises(UsageError, match="one direction"):
        best_rows(found, "ratio", "both")


def pairs_of(*triples: tuple[float, int, int]) -> Pairs:
    from xeval.retrieval.mining import PAIR

    return np.array(list(triples), dtype=PAIR).view(np.recarray)


def test_duplicates_are_dropped_or_stand_for_all_their_rows() -> None:
    source, target = distinct(["a", "b", "a", "c"]), distinct(["A", "B", "B"])
    assert source.first.tolist() == [0, 1, 3]
    assert source.number.tolist() == [0, 1, 0, 2]
    pairs = pairs_of((0.9, 0, 1), (0.8, 1, 0), (0.7, 2, 1))
    assert to_rows(pairs, source, target, "drop").tolist() == [(0.8, 1, 0)]
    # jiant: every row of the one sentence with every row of the other.
    assert to_rows(pairs, source, target, "all").tolist() == [
        *((0.9, 0, 1), (0.9, 0, 2), (0.9, 2, 1), (0.9, 2, 2)),
        *((0.8, 1, 0), (0.7, 3, 1), (0.7, 3, 2)),
    ]
    assert not len(to_rows(pairs[:0], source, target, "all"))
    with pytest.raises(UsageError, match="drop or all"):
        to_rows(pairs, source, target, "keep")  # type: ignore[arg-type]


def test_recipes_reproduce_the_published_layers_and_settings() -> None:
    """Figures of run_tatoeba.sh and run_bucc2018.sh (index + 1), and of jiant's hidden state 14."""
    layers = {
        (name, purpose, depth): recipe(name, purpose).layer(depth)  # type: ignore[arg-type]
        for name in ("xtreme", "jiant", "default")
        for purpose in ("retrieval", "mining")
        for depth in (12, 24)
    }
    assert layers["xtreme", "retrieval", 12] == layers["xtreme", "mining", 12] == 8
    assert layers["xtreme", "retrieval", 24] == 14
    assert layers["xtreme", "mining", 24] == 20
    assert layers["jiant", "retrieval", 24] == layers["jiant", "mining", 24] == 14
    assert layers["default", "retrieval", 12] == 12
    assert recipe("jiant", "retrieval").layer(12) == 7
    assert recipe("xtreme", "retrieval").layer(6) == 4
    for name, settings_of in RECIPES.items():
        assert {r.name for r in settings_of.values()} == {name}
        assert (settings_of["mining"].margin, settings_of["mining"].k) == ("ratio", 4)
    assert recipe("jiant", "retrieval").direction == recipe("xtreme", "retrieval").direction == "english"
    assert recipe("jiant", "mining").duplicates == "all"
    assert recipe("xtreme", "mining").duplicates == recipe("laser", "mining").duplicates == "drop"
    with pytest.raises(UsageError, match="did you mean 'xtreme'"):
        recipe("xtrem", "mining")


def test_unknown_settings_are_named() -> None:
    x = np.eye(3, dtype=np.float32)
    with pytest.raises(UsageError, match="unknown margin 'ration'"):
        mine(x, x, margin="ration")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown matching 'best'"):
        mine(x, x, matching="best")  # type: ignore[arg-type]
