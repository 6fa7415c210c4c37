"""Neighbours by FAISS and by one pass, scoring and matching, against the machine's matrix products and published loops.

    python tests/bench/retrieval.py [WIDTH [ROWS ...]]

Synthetic bitext, ROWS on each side, k = 4. Everything is measured in one run: NumPy's and torch's float32 products of
the same block, in between and the best of all; one search for both directions per exact index, whose results are
compared; at the last ROWS the scoring and matching loops of LASER's mine_bitexts.py (XTREME, jiant and
sentence-transformers copied them), written out below, and the approximate indices. Wall-clock and processor seconds
are given, the latter for machines that are shared. Importing torch, which only the one pass needs, is timed apart.
"""

import os
import subprocess
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

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.synthetic_bitext import Bitext, synthetic_bitext

from xeval.retrieval import BothWays, cost, margin_scores, match, search

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


def compare(rows: int, width: int) -> tuple[Bitext, BothWays]:
    """Both exact searches of so many rows, against the products alone."""
    data = synthetic_bitext(rows // 4, rows - rows // 4, width, 0.5, 0)
    embeddings = data.source.nbytes + data.target.nbytes
    limits = [product_seconds(rows, width)]
    runs: dict[str, tuple[float, float]] = {}
    found: dict[str, BothWays] = {}
    operations: dict[str, float] = {"flat": 4.0 * rows**2 * width, "one-pass": 2.0 * rows**2 * width}
    for index in operations:
        with ResidentMemory() as memory:
            found[index], *seconds = timed(
                lambda i=index: search(data.source, data.target, K, index=i, device="cpu")  # type: ignore[misc]
            )
        runs[index] = (seconds[0], seconds[1])
        limits.append(product_seconds(rows, width))
        held = (embeddings + memory.most - memory.before) / embeddings
        print(
            f"  {index}: {operations[index]:.1e} operations, {seconds[0]:.2f} s wall, {seconds[1]:.2f} s processor; "
            f"peak memory {held:.2f} x the embeddings, {found[index].repeated} rows repeated"
        )
    limit = min(processor for _, processor in limits)
    for index, (_, processor) in runs.items():
        print(
            f"  {index}: its products alone take {limit * operations[index] / operations['one-pass'] / processor:.0%}"
        )
    ahead = [flat / once for flat, once in zip(runs["flat"], runs["one-pass"], strict=True)]
    equal = all(
        (getattr(found["flat"], way).rows == getattr(found["one-pass"], way).rows).all()
        and (getattr(found["flat"], way).similarities == getattr(found["one-pass"], way).similarities).all()
        for way in ("forward", "backward")
    )
    saved = runs["flat"][1] - runs["one-pass"][1]
    print(
        f"  one-pass {ahead[0]:.2f} (wall), {ahead[1]:.2f} (processor) times as fast, {saved:.2f} s less; "
        f"equal: {equal}"
    )
    return data, found["flat"]


def main() -> None:
    width = int(sys.argv[1]) if len(sys.argv) > 1 else 768
    sizes = [int(rows) for rows in sys.argv[2:]] or [20_000]
    _, wall, _ = timed(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))
    print(f"importing torch: {wall:.1f} s wall; {torch.get_num_threads()} threads,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f} of other processes at the start")
    warm = synthetic_bitext(500, 1500, width, 0.5, 0)
    for index in ("flat", "one-pass"):
        search(warm.source, warm.target, K, index=index, device="cpu")  # type: ignore[arg-type]
    for rows in sizes:
        print(f"{rows:,} x {rows:,} rows of width {width}")
        data, both = compare(rows, width)
    x, y = data.source, data.target
    estimate = cost(rows, rows, width, device="cpu")
    print(f"expected by cost(): {estimate.seconds:.2f} s by {estimate.index}")
    forward, backward = both.forward, both.backward
    mean_x, mean_y = forward.similarities.mean(axis=1), backward.similarities.mean(axis=1)
    looped, _, scoring = timed(
        lambda: (
            loop_scores(x, y, forward.rows, mean_x, mean_y),
            loop_scores(y, x, backward.rows, mean_y, mean_x),
        )
    )
    pairs, _, matching = timed(lambda: loop_matching(forward.rows, backward.rows, looped))
    scored = [timed(lambda: margin_scores(forward, backward, "ratio")) for _ in range(5)]
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
        near, _, seconds = timed(lambda m=method: search(x, y, K, index=m))  # type: ignore[misc]
        print(f"{near.index}: recall {near.recall:.2%}, {seconds:.2f} s processor")


if __name__ == "__main__":
    faiss.omp_set_num_threads(torch.get_num_threads())
    main()
