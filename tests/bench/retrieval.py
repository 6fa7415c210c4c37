"""Neighbours, scoring and matching against FAISS, the published loops and the machine's matrix products.

    python tests/bench/retrieval.py [ROWS [WIDTH]]

Planted data, ROWS on each side, k = 4. Everything is measured in one run: NumPy's and torch's float32 products of
the same block, in between and the best of all; one search for both directions per precision; two FAISS searches;
the scoring and matching loops of LASER's mine_bitexts.py (XTREME, jiant and sentence-transformers copied them),
written out below. Wall-clock and processor seconds are given, the latter for machines that are shared.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from xeval.retrieval import BothWays, approximate, cost, margin_scores, match, nearest, planted, search

K = 4
BLOCK = (1024, 2048)
ResultT = TypeVar("ResultT")


def timed(call: Callable[[], ResultT]) -> tuple[ResultT, float, float]:
    """The result, wall-clock seconds and processor seconds of all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - processor


def product_seconds(rows: int, width: int) -> tuple[float, float]:
    """What a float32 product of all rows with all rows takes here: wall-clock and processor, the best of ten."""
    one, other = np.ones((BLOCK[0], width), np.float32), np.ones((BLOCK[1], width), np.float32)
    block = np.empty(BLOCK, np.float32)
    tensors = [torch.from_numpy(array) for array in (one, other, block)]
    runs = [timed(lambda: np.matmul(one, other.T, out=block))[1:] for _ in range(5)]
    runs += [timed(lambda: torch.mm(tensors[0], tensors[1].T, out=tensors[2]))[1:] for _ in range(5)]
    blocks = rows * rows / (BLOCK[0] * BLOCK[1])
    return blocks * min(wall for wall, _ in runs), blocks * min(processor for _, processor in runs)


class ResidentMemory:
    """The most memory this process held inside the block, in bytes beyond what it held before."""

    def __enter__(self) -> "ResidentMemory":
        self.before = self.most = self.now()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def watch(self) -> None:
        while not self.done.wait(0.01):
            self.most = max(self.most, self.now())

    @staticmethod
    def now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def loop_scores(
    x: NDArray[Any], y: NDArray[Any], near: NDArray[Any], mean_x: Any, mean_y: Any
) -> NDArray[Any]:
    """Ratio margin of every candidate, one dot product at a time."""
    scores = np.zeros(near.shape)
    for i in range(scores.shape[0]):
        for place in range(scores.shape[1]):
            j = near[i, place]
            scores[i, place] = x[i].dot(y[j]) / ((mean_x[i] + mean_y[j]) / 2)
    return scores


def loop_matching(forward: Any, backward: Any, scores: tuple[Any, Any]) -> list[tuple[float, int, int]]:
    """Greedy walk over both directions' best, with two sets."""
    best_x = forward[np.arange(len(forward)), scores[0].argmax(axis=1)]
    best_y = backward[np.arange(len(backward)), scores[1].argmax(axis=1)]
    pairs = np.stack(
        (np.concatenate((np.arange(len(best_x)), best_y)), np.concatenate((best_x, np.arange(len(best_y))))),
        axis=1,
    )
    values = np.concatenate((scores[0].max(axis=1), scores[1].max(axis=1)))
    used_source, used_target, found = set(), set(), []
    for rank in np.argsort(-values):
        source, target = pairs[rank]
        if source not in used_source and target not in used_target:
            used_source.add(source)
            used_target.add(target)
            found.append((values[rank], source, target))
    return found


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    width = int(sys.argv[2]) if len(sys.argv) > 2 else 768
    data = planted(rows // 4, rows - rows // 4, width, 0.5, 0)
    x, y = data.source, data.target
    embeddings = x.nbytes + y.nbytes
    print(f"{rows} x {rows} rows of width {width}, {torch.get_num_threads()} threads,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f} of other processes at the start")
    search(x[:2000], y[:2000], K)
    limits = [product_seconds(rows, width)]
    found: dict[str, tuple[BothWays, float, float]] = {}
    for precision in ("float32", "bfloat16"):
        with ResidentMemory() as memory:
            found[precision] = timed(lambda p=precision: search(x, y, K, precision=p))  # type: ignore[misc]
        limits.append(product_seconds(rows, width))
        held = (embeddings + memory.most - memory.before) / embeddings
        print(
            f"{precision}: peak memory {held:.2f} x the embeddings, {found[precision][0].repeated} rows repeated"
        )
    (forward, backward), *faiss_seconds = timed(lambda: (nearest(x, y, K), nearest(y, x, K)))
    limits.append(product_seconds(rows, width))
    limit = [min(part) for part in zip(*limits, strict=True)]
    rate = 2.0 * rows * rows * width / limit[0]
    print(
        f"matrix-product limit {limit[0]:.2f} s wall, {limit[1]:.2f} s processor ({rate / 1e9:.0f} GFLOP/s)"
    )
    for name, seconds in (("FAISS, both directions", faiss_seconds), *((p, found[p][1:]) for p in found)):
        shares = [part / whole for part, whole in zip(limit, seconds, strict=True)]
        ahead = [whole / part for part, whole in zip(seconds, faiss_seconds, strict=True)]
        print(f"{name}: {seconds[0]:.2f} s wall, {seconds[1]:.2f} s processor;", end=" ")
        print(f"share of the limit {shares[0]:.0%}, {shares[1]:.0%}; {ahead[0]:.2f}, {ahead[1]:.2f} x FAISS")
    both = found["float32"][0]
    for name, ours, reference in (("forward", both.forward, forward), ("backward", both.backward, backward)):
        equal = (ours.rows == reference.rows).mean()
        largest = np.abs(ours.similarities - reference.similarities).max()
        same = (ours.rows == getattr(found["bfloat16"][0], name).rows).all()
        print(f"{name}: rows equal to FAISS {equal:.4%}, similarities within {largest:.0e};", end=" ")
        print(f"bfloat16 equal to float32: {same}")
    estimate = cost(rows, rows, width)
    print(f"expected by cost(): {estimate.seconds:.2f} s in {estimate.precision}")

    mean_x, mean_y = forward.similarities.mean(axis=1), backward.similarities.mean(axis=1)
    looped, _, scoring = timed(
        lambda: (
            loop_scores(x, y, forward.rows, mean_x, mean_y),
            loop_scores(y, x, backward.rows, mean_y, mean_x),
        )
    )
    pairs, _, matching = timed(lambda: loop_matching(forward.rows, backward.rows, looped))
    scored = [timed(lambda: margin_scores(both.forward, both.backward, "ratio")) for _ in range(5)]
    whole = [timed(lambda: match(both, "ratio")) for _ in range(5)]
    ours_scoring = sorted(seconds for _, _, seconds in scored)[2]
    ours_matching = sorted(seconds for _, _, seconds in whole)[2] - ours_scoring
    agree = {(int(i), int(j)) for _, i, j in pairs} ^ {(int(p.source), int(p.target)) for p in whole[0][0]}
    print(f"scoring {scoring:.2f} s by the loop, {ours_scoring * 1e3:.1f} ms: {scoring / ours_scoring:.0f} x")
    print(
        f"matching {matching:.2f} s by the loop, {ours_matching * 1e3:.1f} ms: {matching / ours_matching:.1f} x;"
    )
    print(f"{len(pairs)} pairs, {len(agree)} differ")
    for method in ("ivf", "hnsw"):
        near, seconds, _ = timed(lambda m=method: approximate(x, y, K, m))  # type: ignore[misc]
        print(f"{near}, {seconds:.2f} s one way (FAISS exact: {faiss_seconds[0] / 2:.2f} s)")


if __name__ == "__main__":
    faiss.omp_set_num_threads(torch.get_num_threads())
    main()
