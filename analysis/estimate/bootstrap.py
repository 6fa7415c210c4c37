"""Resampling of item clusters and training seeds: the bootstrap.

Every score is sum(w num) / sum(w den) with one weight per item cluster. The weights of a replicate are drawn once per
stratum (clusters that occur together in a target and language) and serve all systems, seeds, languages and targets
of the stratum, as one matrix product ``W @ [num, den]``. The seeds' weights are crossed with them: the
Multi-Bootstrap of Sellam et al. (2022, MultiBERTs), which is the pigeonhole bootstrap of Owen (2007).

Draws come from counter-based streams, one per (root seed, stratum or population of runs, block of 500 replicates).
They depend on no other draw, so neither on the order of anything nor on which estimands or unrelated targets are there.
Sums are exact: whole numbers stay below 2^24 in float32, or several columns share one float64, each in its own bits of
the 53; other numbers are rounded to multiples of a power of two (relative 1e-12 or finer) of which float64 holds every
sum. Therefore threads do not matter either.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from xeval.analysis.estimate.arrays import Cell, Study, Weights
from xeval.analysis.estimate.variance import (
    ROUNDING,
    Block,
    Floats,
    Integers,
    Scale,
    transform,
    without_rounding,
)
from xeval.errors import DataError, UsageError

Counts = NDArray[np.int32]

BLOCK = 500
MOST_CLUSTERS = 200_000
"""Of one stratum; more would take gigabytes for a block's weights."""
COLUMN_BYTES = 200_000_000
COUNTED_AT_ONCE = 100_000  # counters that stay in the processor's cache
EXACT_FLOAT32, EXACT_FLOAT64 = 24, 53


def stream(root: int, *names: str, block: int = 0) -> np.random.Generator:
    """The generator of one block of replicates of one named thing; independent of every other one."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    words = np.frombuffer(digest, np.uint32).tolist()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([root, block, *words])))


def multinomial(generator: np.random.Generator, size: int, draws: int, rows: int = BLOCK) -> Counts:
    """(rows, size) how often each of ``size`` units is drawn when ``draws`` are drawn with replacement.

    Several calls with one generator give the same rows as one call.
    """
    counts = np.empty((rows, size), np.int32)
    step = max(1, COUNTED_AT_ONCE // max(size, draws))
    for start in range(0, rows, step):
        part = counts[start : start + step]
        places = generator.integers(0, size, (len(part), draws), dtype=np.int64)
        places += np.arange(len(part))[:, None] * size
        part[:] = np.bincount(places.ravel(), minlength=part.size).reshape(part.shape)
    return counts


def on_grid(values: Floats, bound: float) -> Floats:
    """``values`` rounded so that their sums are exact, where absolute values add up to at most ``bound``."""
    if bound == 0.0:
        return values
    step = 2.0 ** (np.ceil(np.log2(bound)) - EXACT_FLOAT64 + 1)
    rounded: Floats = np.rint(values / step) * step
    return rounded


def replicates(study: Study, estimands: Mapping[str, Weights], count: int, seed: int, scale: Scale) -> Floats:
    """(count, estimands) bootstrap replicates, jointly drawn, in the order of ``estimands``.

    Runs of one population (see :mod:`.estimate.arrays`) are drawn together; with ``study.method.paired`` all trained
    runs are aligned by seed.

    Args:
        seed: root of all streams; the first replicates do not depend on ``count``.

    Raises:
        UsageError: no replicates or estimands, too many item clusters, or runs that vary together have different
            seeds.
        DataError: a replicate draws no scored item of a cell with very few clusters.
    """
    _check_call(study, estimands, count, seed)
    names = list(estimands)
    cells = sorted({cell for weights in estimands.values() for cell, weight in weights.items() if weight})
    runs = _run_streams(study, cells)
    total = np.zeros((len(names), count))
    for key, members, clusters in _strata(study, cells):
        if clusters.size > MOST_CLUSTERS:
            raise UsageError(
                f"{key[0]} has {clusters.size:,} item clusters in {key[1]}, more than the {MOST_CLUSTERS:,} that are "
                "resampled; the closed form, which agrees with the bootstrap where there are many, stands alone."
            )
        for columns in _column_blocks(study, members, clusters):
            factors = _factors(estimands, columns.cells)
            for block in range(-(-count // BLOCK)):
                weights = multinomial(
                    stream(seed, "items", "", *key, block=block), clusters.size, clusters.size
                )
                rows = slice(block * BLOCK, min(count, (block + 1) * BLOCK))
                shares = {name: _run_weights(seed, name, block, size) for name, size in runs.sizes.items()}
                levels = columns.levels(weights[: rows.stop - rows.start], shares, runs.names, scale)
                total[:, rows] += factors @ levels.T
    return _without_rounding(np.ascontiguousarray(total.T), study, estimands, scale)


def _without_rounding(
    resampled: Floats, study: Study, estimands: Mapping[str, Weights], scale: Scale
) -> Floats:
    """The replicates; one that differs from the estimate, or from 0, by rounding only equals it.

    Systems that agree on every item, say, otherwise have an interval of some 1e-15 on one side of 0.
    """
    for column, weights in enumerate(estimands.values()):
        parts = []
        for cell, weight in sorted(weights.items()):
            block = study.blocks[cell]
            parts.append(weight * transform(block.score, block.denominator, scale)[0])
        values = resampled[:, column]
        for exact in (without_rounding(sum(parts), parts), 0.0):
            values[np.abs(values - exact) <= ROUNDING * sum(map(abs, parts))] = exact
    return resampled


@dataclass(frozen=True)
class Bootstrapped:
    """An estimand with its bootstrap interval, in points or log-odds.

    Attributes:
        low, high: percentile interval; too short at 3 seeds when seed noise is large, and of no width where no
            replicate differs, which does not show that there is no error: the closed form's interval then holds.
        t_low, t_high: value -+ t * se with the degrees of freedom of the closed form.
        p_value: two-sided, twice the smaller share of replicates beyond 0, counting the sample itself once.
        count: number of replicates.
        seeds: how seeds were drawn: with replacement, as in the Multi-Bootstrap.
        seeds_estimable: False where a trained condition has one run, so that the interval covers items only.
    """

    value: float
    se: float
    low: float
    high: float
    t_low: float
    t_high: float
    p_value: float
    count: int
    seeds: str
    seeds_estimable: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def intervals(
    study: Study, estimands: Mapping[str, Weights], resampled: Floats, scale: Scale
) -> dict[str, Bootstrapped]:
    """Percentile and t intervals of all estimands, from their (count, estimands) :func:`replicates`."""
    tail = (1.0 - study.method.confidence) / 2.0
    result = {}
    for name, values in zip(estimands, resampled.T, strict=True):
        closed = study.estimate(estimands[name], scale)
        low, high = np.quantile(values, [tail, 1.0 - tail])
        se = float(values.std())
        half = float(stdtrit(closed.df, 1.0 - tail)) * se
        result[name] = Bootstrapped(
            value=closed.value,
            se=se,
            low=float(low),
            high=float(high),
            t_low=closed.value - half,
            t_high=closed.value + half,
            p_value=percentile_p(values),
            count=len(resampled),
            seeds="multi",
            seeds_estimable=closed.seeds_estimable,
        )
    return result


def percentile_p(values: Floats) -> float:
    """min(1, 2 (b + 1) / (B + 1)), b the smaller number of replicates at or beyond 0 (Davison & Hinkley 1997, 4.2)."""
    beyond = min(int((values <= 0.0).sum()), int((values >= 0.0).sum()))
    return min(1.0, 2.0 * (beyond + 1.0) / (values.size + 1.0))


def _check_call(study: Study, estimands: Mapping[str, Weights], count: int, seed: int) -> None:
    """UsageError where the estimands, the number of draws or their seed make no sense."""
    if count < 1:
        raise UsageError(f"{count} replicates were asked for; give at least 1, better 10000.")
    if seed < 0:
        raise UsageError(f"the seed of the replicates is {seed}; give 0 or more.")
    if not estimands:
        raise UsageError("there is no estimand to resample; give at least one.")
    for name, weights in estimands.items():
        for condition, target, lang in sorted(weights.keys() - study.blocks.keys()):
            raise UsageError(
                f"{name}: the study has no scores of condition {condition!r}, target {target!r}, language {lang!r}; "
                "leave it out."
            )
        if not any(weights.values()):
            raise UsageError(f"{name}: all its weights are 0; give an estimand that depends on some score.")


@dataclass(frozen=True)
class _Runs:
    """Which stream draws the runs of a population, and how many runs each stream draws."""

    names: Mapping[int, tuple[str, ...]]
    sizes: Mapping[tuple[str, ...], int]


def _run_streams(study: Study, cells: Sequence[Cell]) -> _Runs:
    """A population is named by its first condition and target, so that other populations do not matter."""
    paired = study.method.paired
    first: dict[int, tuple[str, ...]] = {}
    for (condition, target, _), block in sorted(study.blocks.items(), key=lambda pair: pair[0]):
        first.setdefault(block.population, (condition, target))
    names: dict[int, tuple[str, ...]] = {}
    members: dict[tuple[str, ...], tuple[Cell, tuple[int, ...]]] = {}
    for cell in cells:
        block = study.blocks[cell]
        name = ("paired",) if paired and not block.deterministic else first[block.population]
        names[block.population] = name
        known, seeds_of = members.setdefault(name, (cell, block.seeds))
        if seeds_of != block.seeds:
            raise UsageError(
                f"condition {cell[0]!r}, target {cell[1]!r} has the seeds {list(block.seeds)}, but condition "
                f"{known[0]!r}, target {known[1]!r}, whose runs vary together with it, has {list(seeds_of)}; "
                "complete the runs, or use the closed-form interval."
            )
    return _Runs(names, {name: len(seeds_of) for name, (_, seeds_of) in members.items() if len(seeds_of) > 1})


def _run_weights(root: int, name: tuple[str, ...], block: int, size: int) -> Floats:
    """(500, size) weights of the runs; every row sums to 1."""
    return multinomial(stream(root, "runs", *name, block=block), size, size) / size


def _strata(
    study: Study, cells: Sequence[Cell]
) -> Iterator[tuple[tuple[str, str], tuple[Cell, ...], Integers]]:
    """Name, cells and sorted clusters of each stratum that has cells; its first target and language names it."""
    stratum_of = {cell: int(study.strata[block.clusters[0]]) for cell, block in study.blocks.items()}
    names: dict[int, tuple[str, str]] = {}
    for (_, target, lang), stratum in stratum_of.items():
        names[stratum] = min(names.get(stratum, (target, lang)), (target, lang))
    members: defaultdict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        members[stratum_of[cell]].append(cell)
    for stratum in sorted(members, key=lambda number: names[number]):
        yield names[stratum], tuple(members[stratum]), np.flatnonzero(study.strata == stratum)


@dataclass(frozen=True)
class _Columns:
    """Numerators and denominators of some cells of one stratum as rows of one matrix.

    Attributes:
        rows: how many; ``bits``: of each row's sums where several rows are packed into one, else 0.
        matrix: (rows, clusters) float32 where that is exact; or packed: row i stands at the bits ``i // packed rows``.
        groups: per population and number of runs: places of the cells, and rows of their num and den (cells, runs).
    """

    cells: tuple[Cell, ...]
    rows: int
    bits: int
    matrix: NDArray[Any]
    groups: Mapping[tuple[int, int], tuple[Integers, Integers, Integers]]

    def levels(
        self,
        weights: Counts,
        shares_of: Mapping[tuple[str, ...], Floats],
        names: Mapping[int, tuple[str, ...]],
        scale: Scale,
    ) -> Floats:
        """(replicates, cells) transformed scores."""
        sums = self._sums(weights)
        result = np.empty((len(weights), len(self.cells)))
        for (population, runs), (places, num_rows, den_rows) in self.groups.items():
            known = shares_of.get(names[population])
            shares = np.full((len(weights), runs), 1.0 / runs) if known is None else known[: len(weights)]
            num, den = sums[:, num_rows].astype(np.float64), sums[:, den_rows].astype(np.float64)
            if not den.all():
                empty = self.cells[int(places[np.argwhere(den == 0.0)[0][1]])]
                raise DataError(
                    f"target {empty[1]!r}, language {empty[2]!r}: a replicate draws none of its scored items, so few "
                    "clusters has it; leave it out, or use the closed-form interval."
                )
            scores = np.einsum("bcs,bs->bc", num / den, shares)
            sizes = np.einsum("bcs,bs->bc", den, shares)
            result[:, places] = _transform(scores, sizes, scale)
        return result

    def _sums(self, weights: Counts) -> NDArray[Any]:
        """(replicates, rows) weighted sums."""
        product: NDArray[Any] = weights.astype(self.matrix.dtype) @ self.matrix.T
        if not self.bits:
            return product
        packed = product.astype(np.int64)
        width = packed.shape[1]
        sums = np.empty((len(weights), self.rows), np.float32)
        for start in range(0, self.rows, width):
            part = sums[:, start : start + width]
            part[:] = packed[:, : part.shape[1]] & ((1 << self.bits) - 1)
            packed >>= self.bits
        return sums


def _packed(rows: Sequence[NDArray[Any]], bound: float) -> tuple[int, NDArray[Any]]:
    """Bits of each row and the packed matrix of whole numbers whose weighted sums are at most ``bound`` < 2^24.

    A product in float64 takes twice the time of one in float32 and has room for 53 bits instead of 24.
    """
    bits = max(1, int(bound).bit_length())
    single, double = EXACT_FLOAT32 // bits, EXACT_FLOAT64 // bits
    slots, kind = (double, np.float64) if double > 2 * single else (single, np.float32)
    if slots == 1 or len(rows) == 1:
        return 0, np.stack(rows).astype(np.float32)
    width = -(-len(rows) // slots)
    matrix = np.zeros((width, rows[0].size), kind)
    for number, row in enumerate(rows):
        matrix[number % width] += np.ldexp(row, bits * (number // width)).astype(kind)
    return bits, matrix


def _transform(scores: Floats, denominators: Floats, scale: Scale) -> Floats:
    """As :func:`.estimate.variance.transform`, for arrays."""
    if scale == "points":
        return 100.0 * scores
    shrunk = (scores * denominators + 0.5) / (denominators + 1.0)
    levels: Floats = np.log(shrunk / (1.0 - shrunk))
    return levels


def _column_blocks(study: Study, cells: Sequence[Cell], clusters: Integers) -> Iterator[_Columns]:
    """Cells in matrices of at most about 200 MB, and so the products."""
    blocks = {cell: study.blocks[cell] for cell in cells}
    # Whole numbers of which float32 holds every weighted sum.
    whole = all(
        clusters.size * values.max(initial=0.0) < 2**EXACT_FLOAT32
        and values.min(initial=0.0) >= 0.0
        and (values == np.rint(values)).all()
        for block in blocks.values()
        for values in (block.num, block.den)
    )
    size = (4 if whole else 8) * max(clusters.size, BLOCK)
    taken: dict[Cell, Block] = {}
    rows = 0
    for cell, block in blocks.items():
        added = 2 * len(block.num)
        if taken and (rows + added) * size > COLUMN_BYTES:
            yield _columns(taken, clusters, whole)
            taken, rows = {}, 0
        taken[cell] = block
        rows += added
    yield _columns(taken, clusters, whole)


def _columns(blocks: Mapping[Cell, Block], clusters: Integers, whole: bool) -> _Columns:
    rows: list[NDArray[Any]] = []
    known: dict[tuple[str, str, bytes], int] = {}
    groups: defaultdict[tuple[int, int], list[tuple[int, list[int], list[int]]]] = defaultdict(list)
    for place, (cell, block) in enumerate(blocks.items()):
        columns = np.searchsorted(clusters, block.clusters)

        def add(values: Floats, columns: Integers = columns) -> int:
            row = np.zeros(clusters.size, np.float32 if whole else np.float64)
            row[columns] = values if whole else on_grid(values, clusters.size * float(values.max()))
            rows.append(row)
            return len(rows) - 1

        num_rows = [add(values) for values in block.num]
        den_rows = []
        for values in block.den:
            # Accuracies have the same denominators in every run of a target and language.
            key = (*cell[1:], values.tobytes())
            if key not in known:
                known[key] = add(values)
            den_rows.append(known[key])
        groups[block.population, len(block.num)].append((place, num_rows, den_rows))
    arrays = {}
    for group, listed in groups.items():
        places, num_at, den_at = (np.array(part, np.int64) for part in zip(*listed, strict=True))
        arrays[group] = (places, num_at, den_at)
    largest = max(float(row.max(initial=0.0)) for row in rows)
    bits, matrix = _packed(rows, clusters.size * largest) if whole else (0, np.stack(rows))
    return _Columns(tuple(blocks), len(rows), bits, matrix, arrays)


def _factors(estimands: Mapping[str, Weights], cells: Sequence[Cell]) -> Any:
    """(estimands, cells) sparse: an estimand's sum runs over its own cells only, in their order."""
    from scipy.sparse import csr_array

    place = {cell: number for number, cell in enumerate(cells)}
    entries = [
        (row, place[cell], weight)
        for row, weights in enumerate(estimands.values())
        for cell, weight in sorted(weights.items())
        if weight and cell in place
    ]
    rows, columns, values = zip(*entries, strict=True)
    return csr_array((values, (rows, columns)), shape=(len(estimands), len(cells)))
