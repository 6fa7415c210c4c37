"""Translation pairs out of two collections: margin scores and one-to-one matching.

Artetxe and Schwenk 2019 (P19-1309), as LASER, XTREME and jiant run it: the k nearest rows both ways, a margin over
the mean similarity of both neighbourhoods, the best candidate of every row, then a matching.

Their ratio (equation 2) is a share of that mean, and no share is defined where the mean is 0 or negative: dividing by
it would put opposite vectors first. Such a candidate has no ratio here and gives no pair; the margin ``distance`` is
defined for every mean. Rows without a direction (all zeros) give no pair either, and are nobody's neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeval.errors import UsageError
from xeval.retrieval.embeddings import Vectors, chosen, without_direction
from xeval.retrieval.neighbours import RECALL_QUERIES, BothWays, Neighbours, check, search
from xeval.retrieval.recipes import Centring, Direction, Duplicates, Margin, Matching, Similarity

PAIR = np.dtype([("score", np.float64), ("source", np.int64), ("target", np.int64)])
Pairs = np.recarray[Any, Any]
_MARGINS = ("none", "absolute", "distance", "ratio")
# Most pairs are settled in the first rounds; a chain of pairs that wait for each other is walked one by one.
MATCHING_ROUNDS = 6
ROWS_NAMED = 5


@dataclass(frozen=True)
class Extracted:
    """Pairs, and what gave none.

    Attributes:
        pairs: a record array with the fields ``score``, ``source`` and ``target`` (row numbers), by score from high to
            low, equal scores by source and target row.
        without_direction: rows of each side that are all zeros, or that centring made so.
        without_ratio: pairs of a row and one of its k neighbours that have no ratio, because their neighbourhoods' mean
            similarity is not above 0.
        candidates: all such pairs, counted once where any is without a ratio.
        index, recall: as in ``BothWays``.
    """

    pairs: Pairs
    without_direction: tuple[NDArray[np.int64], NDArray[np.int64]]
    candidates: int
    without_ratio: int
    index: str = ""
    recall: float = 1.0

    def remarks(self, source: str, target: str) -> list[str]:
        """Sentences on what gave no pair, for sides that are called so; empty where everything could give one."""
        said = []
        for name, rows in zip((source, target), self.without_direction, strict=True):
            if len(rows):
                first = ", ".join(map(str, rows[:ROWS_NAMED])) + (", ..." if len(rows) > ROWS_NAMED else "")
                said.append(
                    f"{name}: {len(rows):,} of its embeddings have no direction and were left out: all zeros, or equal "
                    f"to the mean that centring takes off (rows {first}, counted from 0)."
                )
        if self.recall < 1:
            said.append(
                f"{self.index}: recall {self.recall:.2%}, measured against exact neighbours on up to "
                f"{RECALL_QUERIES:,} sentences of each side; a larger --effort misses fewer."
            )
        if self.without_ratio:
            said.append(
                f"{self.without_ratio:,} of {self.candidates:,} candidates have no ratio margin and gave no pair, "
                "because their neighbourhoods' mean similarity is not above 0; --margin distance scores them too."
            )
        return said


def mine(source: Vectors, target: Vectors, k: int = 4, margin: Margin = "ratio", **options: Any) -> Pairs:
    """The pairs of :func:`extract`, which has the options and errors."""
    return extract(source, target, k, margin, **options).pairs


def extract(
    source: Vectors,
    target: Vectors,
    k: int = 4,
    margin: Margin = "ratio",
    *,
    similarity: Similarity = "cosine",
    centring: Centring = "none",
    matching: Matching = "max",
    threshold: float | None = None,
    **search_options: Any,
) -> Extracted:
    """Translation pairs between ``source`` [n, width] and ``target`` [m, width], best first.

    Args:
        k: size of the neighbourhoods; a side with fewer rows is one neighbourhood.
        margin, similarity, centring, matching: see ``Recipe``. ``none`` scores as ``absolute`` does.
        threshold: pairs must score above it; None keeps all (the published code keeps those above 0).
        search_options: of ``search``: index, effort, device, memory, progress, checkpoint, checkpoint_seconds, restart.

    Raises:
        UsageError, DataError: as ``search``; a setting is unknown.
    """
    if matching not in ("max", "intersect", "forward", "backward"):
        raise UsageError(f"unknown matching {matching!r}; use max, intersect, forward or backward.")
    _check_margin(margin)
    check(source, target, k, similarity, centring)
    centred = centring == "language_mean" and similarity == "cosine"
    left_out = without_direction("source", source, centred), without_direction("target", target, centred)
    usable = [
        np.delete(np.arange(len(side)), rows) for side, rows in zip((source, target), left_out, strict=True)
    ]
    if not (len(usable[0]) and len(usable[1])):
        return Extracted(_records((), (), ()), left_out, 0, 0)
    found = search(
        chosen(source, usable[0]),
        chosen(target, usable[1]),
        k,
        similarity=similarity,
        centring=centring,
        **search_options,
    )
    pairs = match(found, margin, matching, threshold)
    pairs = _records(pairs.score, usable[0][pairs.source], usable[1][pairs.target])
    return Extracted(pairs, left_out, *_counted(found, margin), found.index, found.recall)


def match(
    found: BothWays, margin: Margin, matching: Matching = "max", threshold: float | None = None
) -> Pairs:
    """The pairs that neighbours of both directions give; see ``extract``."""
    forward_scores, backward_scores = margin_scores(found.forward, found.backward, margin, found.resolution)
    forward, forward_best = _best_candidates(found.forward, forward_scores)
    backward, backward_best = _best_candidates(found.backward, backward_scores)
    has_forward, has_backward = np.flatnonzero(forward >= 0), np.flatnonzero(backward >= 0)
    if matching == "forward":
        pairs = _ordered(forward_best[has_forward], has_forward, forward[has_forward])
    elif matching == "backward":
        pairs = _ordered(backward_best[has_backward], backward[has_backward], has_backward)
    elif matching == "intersect":
        mutual = has_forward[backward[forward[has_forward]] == has_forward]
        pairs = _ordered(forward_best[mutual], mutual, forward[mutual])
    else:
        pairs = _one_to_one(
            np.concatenate([forward_best[has_forward], backward_best[has_backward]]),
            np.concatenate([has_forward, backward[has_backward]]),
            np.concatenate([forward[has_forward], has_backward]),
        )
    return pairs if threshold is None else pairs[pairs.score > threshold]


def margin_scores(
    forward: Neighbours, backward: Neighbours, margin: Margin, resolution: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores [rows, k] of all candidates of both directions; minus infinity where a candidate has no ratio.

    A pair's margin is taken over the mean of its two neighbourhoods' mean similarities (P19-1309, equation 2); the
    ratio only over a mean above ``resolution``, up to which similarities are rounding.
    """
    _check_margin(margin)
    around_source = forward.similarities.mean(axis=1, dtype=np.float64)
    around_target = backward.similarities.mean(axis=1, dtype=np.float64)

    def scores(
        neighbours: Neighbours, around_query: NDArray[np.float64], around_row: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        similarity = neighbours.similarities.astype(np.float64)
        around = (around_query[:, None] + around_row[neighbours.rows]) / 2
        if margin == "distance":
            return similarity - around
        if margin == "ratio":
            nothing = np.full_like(similarity, -np.inf)
            return np.divide(similarity, around, out=nothing, where=around > resolution)
        return similarity

    return scores(forward, around_source, around_target), scores(backward, around_target, around_source)


def _counted(found: BothWays, margin: Margin) -> tuple[int, int]:
    """Distinct candidates, and how many of them have no score."""
    scores = margin_scores(found.forward, found.backward, margin, found.resolution)
    unscored = np.concatenate([scores[0].ravel(), scores[1].ravel()]) == -np.inf
    if not unscored.any():  # as always with a sound encoder: nobody asks how many there were
        return len(unscored), 0
    sources, columns = len(found.forward.rows), len(found.backward.rows)
    forward = np.arange(sources)[:, None] * columns + found.forward.rows
    backward = found.backward.rows * columns + np.arange(columns)[:, None]
    pairs = np.concatenate([forward.ravel(), backward.ravel()])
    return len(np.unique(pairs)), len(np.unique(pairs[unscored]))


def best_rows(found: BothWays, margin: Margin, direction: Direction) -> NDArray[np.int64]:
    """The row of the other side that answers every query: LASER's mode ``search``.

    ``foreign`` queries are the source rows of ``found``, ``english`` ones its target rows. With the margin
    ``none`` it is the nearest row, else the best of the k nearest by their margin: -1 where none of them has one.

    Raises:
        UsageError: the direction is ``both`` (ask for each by its name) or unknown.
    """
    if direction not in ("foreign", "english"):
        raise UsageError(f"{direction!r} is not one direction; ask for foreign and english separately.")
    neighbours = found.forward if direction == "foreign" else found.backward
    if margin == "none":
        return neighbours.rows[:, 0]
    scores = margin_scores(found.forward, found.backward, margin, found.resolution)
    return _best_candidates(neighbours, scores[0 if direction == "foreign" else 1])[0]


@dataclass(frozen=True)
class Distinct:
    """Sentences without their repetitions.

    Attributes:
        first: row of the first occurrence of every distinct sentence, ascending.
        number: the distinct sentence of every row.
    """

    first: NDArray[np.int64]
    number: NDArray[np.int64]


def distinct(sentences: Sequence[str]) -> Distinct:
    """Number the distinct sentences in order of appearance; strip them before, as the scorers of BUCC do."""
    numbers: dict[str, int] = {}
    number = np.fromiter((numbers.setdefault(s, len(numbers)) for s in sentences), np.int64, len(sentences))
    _, first = np.unique(number, return_index=True)
    return Distinct(first.astype(np.int64), number)


def to_rows(pairs: Pairs, source: Distinct, target: Distinct, duplicates: Duplicates) -> Pairs:
    """Pairs of distinct sentences as pairs of rows.

    ``drop`` leaves out every pair with a sentence that occurs twice on its side (``read_sent2id`` of XTREME and
    LASER's bucc.py); ``all`` gives every combination of its rows the pair's score (jiant's ``create_ids_map``).

    Raises:
        UsageError: the option is unknown.
    """
    if duplicates not in ("drop", "all"):
        raise UsageError(f"unknown treatment of duplicates {duplicates!r}; use drop or all.")
    source_count, target_count = np.bincount(source.number), np.bincount(target.number)
    if duplicates == "drop":
        once = pairs[(source_count[pairs.source] == 1) & (target_count[pairs.target] == 1)]
        return _records(once.score, source.first[once.source], target.first[once.target])
    source_rows, target_rows = _rows_by_number(source.number), _rows_by_number(target.number)
    if not len(pairs):
        return pairs
    sources = [source_rows[number] for number in pairs.source]
    targets = [target_rows[number] for number in pairs.target]
    each = np.asarray([len(a) * len(b) for a, b in zip(sources, targets, strict=True)], dtype=np.int64)
    return _records(
        np.repeat(pairs.score, each),
        np.concatenate([np.repeat(a, len(b)) for a, b in zip(sources, targets, strict=True)]),
        np.concatenate([np.tile(b, len(a)) for a, b in zip(sources, targets, strict=True)]),
    )


def _check_margin(margin: str) -> None:
    if margin not in _MARGINS:
        raise UsageError(f"unknown margin {margin!r}; use {', '.join(_MARGINS)}.")


def _best_candidates(
    neighbours: Neighbours, scores: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best neighbour of every row and its score, among equal scores the nearer one; -1 where none has a score."""
    place = scores.argmax(axis=1)
    every = np.arange(len(place))
    best = scores[every, place]
    return np.where(best == -np.inf, -1, neighbours.rows[every, place]), best


def _records(score: Any, source: Any, target: Any) -> Pairs:
    pairs = np.empty(len(score), dtype=PAIR)
    pairs["score"], pairs["source"], pairs["target"] = score, source, target
    return pairs.view(np.recarray)


def _ordered(score: NDArray[np.float64], source: NDArray[np.int64], target: NDArray[np.int64]) -> Pairs:
    order = np.lexsort((target, source, -score))
    return _records(score[order], source[order], target[order])


def _one_to_one(score: NDArray[np.float64], source: NDArray[np.int64], target: NDArray[np.int64]) -> Pairs:
    """Greedy: the best candidate first, then the best whose rows are both free, and so on.

    A candidate that comes first among those of its source and first among those of its target is taken by the
    greedy walk whatever happens elsewhere, so all such candidates can be taken at once, round by round.
    """
    candidates = _ordered(score, source, target)
    if not len(candidates):
        return candidates
    source, target = candidates.source, candidates.target
    taken = np.zeros(len(candidates), dtype=bool)
    open_rank = np.arange(len(candidates))
    first_of_source = np.empty(source.max() + 1, dtype=np.int64)
    first_of_target = np.empty(target.max() + 1, dtype=np.int64)
    used_source, used_target = np.zeros(len(first_of_source), bool), np.zeros(len(first_of_target), bool)
    for _ in range(MATCHING_ROUNDS):
        s, t = source[open_rank], target[open_rank]
        # Of several writes to one place the last one stays: backwards, that is the best candidate.
        first_of_source[s[::-1]] = open_rank[::-1]
        first_of_target[t[::-1]] = open_rank[::-1]
        winners = open_rank[(first_of_source[s] == open_rank) & (first_of_target[t] == open_rank)]
        taken[winners] = used_source[source[winners]] = used_target[target[winners]] = True
        open_rank = open_rank[~(used_source[s] | used_target[t])]
        if not len(open_rank):
            return candidates[taken].view(np.recarray)
    busy_source, busy_target = bytearray(used_source), bytearray(used_target)
    rest = zip(open_rank.tolist(), source[open_rank].tolist(), target[open_rank].tolist(), strict=True)
    for rank, s_row, t_row in rest:
        if not (busy_source[s_row] or busy_target[t_row]):
            busy_source[s_row] = busy_target[t_row] = 1
            taken[rank] = True
    return candidates[taken].view(np.recarray)


def _rows_by_number(number: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(number, kind="stable")
    return np.split(order, np.cumsum(np.bincount(number))[:-1])
