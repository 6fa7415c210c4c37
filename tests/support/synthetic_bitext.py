"""Synthetic bitext: embeddings with known translation pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bitext:
    """``source`` and ``target`` [rows, width] of unit length; ``gold`` [pairs, 2]: rows that belong together."""

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    gold: NDArray[np.int64]


def synthetic_bitext(pairs: int, distractors: int, width: int, noise: float, seed: int) -> Bitext:
    """``pairs`` noisy copies among ``distractors`` unrelated rows on each side, both sides shuffled.

    A target is its source plus Gaussian noise of expected length ``noise`` (the source's is 1). As in real
    encoders, all rows share a direction, so that unrelated rows have a cosine of about 0.5.
    """
    draw = np.random.default_rng(seed)
    rows = pairs + distractors
    source = _unit(draw.standard_normal((rows, width), dtype=np.float32))
    target = _unit(draw.standard_normal((rows, width), dtype=np.float32))
    disturbance = draw.standard_normal((pairs, width), dtype=np.float32) / np.float32(width**0.5)
    target[:pairs] = source[:pairs] + np.float32(noise) * disturbance
    common = _unit(draw.standard_normal((1, width), dtype=np.float32))
    source_order, target_order = draw.permutation(rows), draw.permutation(rows)
    gold = np.stack([np.argsort(source_order)[:pairs], np.argsort(target_order)[:pairs]], axis=1)
    return Bitext(_unit(source + common)[source_order], _unit(target + common)[target_order], gold)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: NDArray[np.float32] = vectors / lengths[:, None]
    return unit
