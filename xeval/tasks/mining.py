"""Mining: translation pairs out of two collections, at a threshold that is chosen on dev and applied to test.

Artetxe and Schwenk 2019 (P19-1309), as LASER, XTREME and jiant run it on BUCC 2018: repeated sentences are embedded
once, candidates scored by margin, matched, and extracted from a threshold on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeval.errors import UsageError
from xeval.examples import Translation
from xeval.metrics import METRICS, best_threshold
from xeval.retrieval import Cost, Distinct, Extracted, Pairs, cost, distinct, extract, to_rows
from xeval.retrieval.recipes import Duplicates, Margin, Matching
from xeval.sources.bucc import SPLITS, Collection, CollectionSource
from xeval.tasks.base import Encoded, Predictions, Scoring, Settings, Task, UnitContext
from xeval.tasks.embedding import Embedding, EmbeddingSettings, depth_of, width_of

if TYPE_CHECKING:
    from xeval.checkpoints import Checkpoint
    from xeval.encoder.loop import Reduced

BYTES_PER_TOKEN = 4  # of UTF-8 text, about, in XLM-R's vocabulary; for estimates only


@dataclass(frozen=True)
class Scored:
    """Mined pairs of a collection by ids, best first, whether each is gold, and the gold pairs."""

    source: list[str]
    target: list[str]
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    gold: frozenset[tuple[str, str]]

    def threshold(self) -> float:
        """The threshold with the best F1 here."""
        return best_threshold(self.scores, self.right, len(self.gold))

    def above(self, threshold: float) -> set[tuple[str, str]]:
        """The pairs that a threshold extracts."""
        count = int((self.scores >= threshold).sum())
        return set(zip(self.source[:count], self.target[:count], strict=True))


@dataclass(frozen=True)
class Work:
    """What evaluating a mining unit takes, estimated.

    Attributes:
        search: of the searches of both splits; its seconds are measured on this machine.
        embedding_operations: of the encoder; 2 a weight and token, the tokens guessed from the texts' bytes.
        embedding_seconds: these at the speed of this machine's matrix products, which no encoder reaches.
        disk: bytes of embeddings, in files below the store until the unit is done.
    """

    source: int
    target: int
    search: tuple[Cost, ...]
    embedding_operations: float
    embedding_seconds: float
    disk: int


@dataclass(frozen=True)
class MiningSettings(EmbeddingSettings):
    """Those of a recipe for mining."""

    margin: Margin = "ratio"
    k: int = 4
    matching: Matching = "max"
    duplicates: Duplicates = "drop"


class Mining(Embedding):
    """F1 of mined pairs, per foreign sentence; ``pair_f1_oracle`` takes the threshold from the scored gold itself.

    The rows are the candidate pairs (``candidate``, with ``score``) and the gold pairs' sentences without one. Rows of
    one foreign sentence are one cluster and its first row carries its counts, because duplicates may give it
    several. ``source_id`` and ``target_id`` are the extracted pair, empty below the ``threshold``; with ``gold`` (ids
    split by a blank) the analysis can choose another threshold.
    """

    name = "mining"
    purpose = "mining"
    defaults: ClassVar[Settings] = MiningSettings()

    def evaluate(self, unit: UnitContext) -> Predictions:
        """Embed the distinct sentences of dev and test into files of the unit's folder, and mine them.

        An interrupted evaluation goes on from these files and from half-done searches beside them.
        """
        source, settings = collection_source(unit.task), unit.settings
        sentences = self.sentences(unit.task, unit.data, unit.language, unit.limit)
        search_steps = max(1, sentences // 20)  # of the progress; the encoder takes most of the time
        unit.started(sentences + search_steps)
        told = 0

        def searched(share: float) -> None:
            nonlocal told
            now = int(share * search_steps)
            unit.advanced(now - told)
            told = now

        scored, remarks = [], []
        for number, split in enumerate(SPLITS):
            collection = source.collection(unit.data, unit.language, split).first(unit.limit)
            texts = collection.source.texts, collection.target.texts
            kept = distinct(texts[0]), distinct(texts[1])
            rows = [
                self.embed_to_file(
                    unit, [side[row] for row in once.first], unit.folder / f"{split}.{name}.npy"
                )
                for name, side, once in zip(("source", "target"), texts, kept, strict=True)
            ]
            extracted = mine_as(
                settings,
                *rows,
                checkpoint=unit.folder / f"{split}.search",
                progress=lambda share, _, number=number: searched((number + share) / len(SPLITS)),
                device=unit.device,
                restart=unit.remark,
            )
            remarks += extracted.remarks(f"{split}, {unit.language}", f"{split}, English")
            scored.append(_scored(collection, extracted.pairs, *kept, settings.duplicates))
        return replace(_predictions(scored[0], scored[1]), remarks=remarks)

    def sentences(self, task: Task, root: Path | None, language: str, limit: int | None) -> int:
        """Number of sentences of both sides and splits, repeated ones too."""
        source = collection_source(task)
        counts = [n for split in SPLITS for n in source.sizes(root, language, split)]
        return sum(counts if limit is None else (min(n, limit) for n in counts))

    def predict(
        self, examples: Sequence[Translation], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        """Pairs alone are no collection to mine: ``evaluate`` reads both splits of it."""
        raise UsageError(
            f"{scoring.task.name}, {scoring.language}: is mined out of whole collections; use `xeval run`."
        )

    def estimate(
        self,
        checkpoint: "Checkpoint",
        task: Task,
        root: Path | None,
        language: str,
        settings: MiningSettings,
        limit: int | None,
    ) -> Work:
        """Measures this machine's matrix products for a moment."""
        source = collection_source(task)
        width = width_of(checkpoint, settings)
        costs = []
        sizes = (0, 0)
        total_bytes = sentences = 0
        for split in SPLITS:
            collection = source.collection(root, language, split).first(limit)
            sizes = (len(collection.source.ids), len(collection.target.ids))
            costs.append(cost(*sizes, width, settings.k, centring=settings.centring))
            total_bytes += sum(
                len(text.encode()) for side in (collection.source, collection.target) for text in side.texts
            )
            sentences += sum(sizes)
        inner = int(checkpoint.config.get("intermediate_size", 4 * width))
        weights = min(settings.layer, depth_of(checkpoint)) * (4 * width**2 + 2 * width * inner)
        operations = 2.0 * weights * total_bytes / BYTES_PER_TOKEN
        rate = max(part.operations / part.seconds for part in costs)
        return Work(*sizes, tuple(costs), operations, operations / rate, sentences * width * 4)


MINING = Mining()


def mine_as(
    settings: MiningSettings, source: NDArray[Any], target: NDArray[Any], **search_options: Any
) -> Extracted:
    """``xeval.retrieval.extract`` with a mining task's settings."""
    return extract(
        source,
        target,
        settings.k,
        settings.margin,
        similarity=settings.similarity,
        centring=settings.centring,
        matching=settings.matching,
        **search_options,
    )


def collection_source(task: Task) -> CollectionSource:
    """The task's source; raises UsageError when it gives pairs but no collections."""
    if not isinstance(task.source, CollectionSource):
        raise UsageError(f"{task.name}: mining needs a source with a method `collection`.")
    return task.source


def _scored(
    collection: Collection, pairs: Pairs, source: Distinct, target: Distinct, duplicates: Duplicates
) -> Scored:
    rows = to_rows(pairs, source, target, duplicates)
    ids = [collection.source.ids[row] for row in rows.source]
    found = [collection.target.ids[row] for row in rows.target]
    right = np.asarray([pair in collection.gold for pair in zip(ids, found, strict=True)], np.bool_)
    return Scored(ids, found, np.asarray(rows.score, np.float64), right, collection.gold)


def _predictions(dev: Scored, test: Scored) -> Predictions:
    threshold = dev.threshold()
    extracted, best = test.above(threshold), test.above(test.threshold())
    gold: dict[str, list[str]] = {}
    for source, target in sorted(test.gold):
        gold.setdefault(source, []).append(target)
    items = list(_items(test, gold))
    row: dict[str, int] = {}
    for number, (source, _, _) in enumerate(items):
        row.setdefault(source, number)
    sources, at = list(row), np.fromiter(row.values(), np.int64, len(row))
    metrics = {}
    for name in ("pair_f1", "pair_f1_oracle", "pair_precision", "pair_recall"):
        metrics[name] = tuple(
            _spread(values, at, len(items))
            for values in METRICS[name](test.gold, best if name == "pair_f1_oracle" else extracted, sources)
        )
    taken = [(source, target) in extracted for source, target, _ in items]
    targets = [target if kept else "" for (_, target, _), kept in zip(items, taken, strict=True)]
    seen: dict[str, int] = {}
    names = []
    for source, _, _ in items:
        seen[source] = seen.get(source, 0) + 1
        names.append(source if seen[source] == 1 else f"{source}#{seen[source]}")
    columns = {
        "item_id": names,
        "cluster_id": [source for source, _, _ in items],
        "hops": [0] * len(items),
        "category": [""] * len(items),
        "source_id": [source if kept else "" for (source, _, _), kept in zip(items, taken, strict=True)],
        "target_id": targets,
        "candidate": [target for _, target, _ in items],
        "score": [score for _, _, score in items],
        "gold": [" ".join(gold.get(source, ())) for source, _, _ in items],
        "threshold": [threshold] * len(items),
    }
    return Predictions(targets, metrics, columns)  # type: ignore[arg-type]  # pairs of vectors


def _items(test: Scored, gold: dict[str, list[str]]) -> Iterator[tuple[str, str, float | None]]:
    """(source, candidate, score) of every candidate, and of gold sources without one, by source id."""
    order = sorted(range(len(test.source)), key=lambda n: (test.source[n], n))
    rows: list[tuple[str, str, float | None]] = [
        (test.source[n], test.target[n], float(test.scores[n])) for n in order
    ]
    without = sorted(gold.keys() - set(test.source))
    yield from sorted([*rows, *((name, "", None) for name in without)], key=lambda item: item[0])


def _spread(values: NDArray[np.float64], at: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Values at some rows and 0 at the others."""
    spread = np.zeros(count)
    spread[at] = values
    return spread
