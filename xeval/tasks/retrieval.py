"""Bitext retrieval: the English translation is the nearest neighbour of a foreign sentence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError
from xeval.examples import Translation
from xeval.metrics import accuracy
from xeval.retrieval import nearest
from xeval.sources import DjangoSource, FileSource
from xeval.sources.bitext import read_tatoeba
from xeval.tasks.base import Encoded, Kind, Predictions, Settings, Task

if TYPE_CHECKING:
    import torch

    from xeval.checkpoints import Checkpoint
    from xeval.encoder.loop import Batch, Reduced


class Retrieval(Kind[Translation]):
    """Top-1 accuracy by cosine, foreign queries against the English index.

    Settings: ``layer`` (0 = embeddings; -1 = the last one), ``pooling`` (mean counts ``<s>`` and ``</s>``).
    XTREME's and jiant's published numbers for XLM-R Large use layer 14 of 24, and query in English.
    """

    name = "retrieval"
    auto_class = "AutoModel"
    head_suffix = ""
    defaults: ClassVar[Settings] = {"max_length": 512, "layer": -1, "pooling": "mean"}
    remembers = True  # the English sides of the pairs repeat each other

    def encode(self, examples: Sequence[Translation], encoder: TextEncoder, settings: Settings) -> Encoded:
        from xeval.encoder.pooling import pooled_range

        limit = int(settings["max_length"])
        texts = [e.source for e in examples] + [e.target for e in examples]
        pieces = encoder.pieces(texts)
        built = [encoder.single(pieces[text].ids, limit) for text in texts]
        types = [types for _, types in built] if encoder.uses_types else None
        owner = np.tile(np.arange(len(examples)), 2)
        template, pooling = encoder.template, str(settings["pooling"])
        ranges = np.asarray(
            [
                pooled_range(len(ids), pooling, len(template.prefix), len(template.single_suffix))
                for ids, _ in built
            ]
        ).reshape(-1, 2)
        return Encoded(Sequences([ids for ids, _ in built], types, ranges), owner)

    def reduce(self, model: Any, batch: "Batch", settings: Settings) -> "dict[str, torch.Tensor]":
        del settings
        from xeval.encoder.pooling import pool

        assert batch.marks is not None
        return {"embedding": pool(model(**batch.inputs()).last_hidden_state, batch.marks)}

    def predict(
        self,
        examples: Sequence[Translation],
        encoded: Encoded,
        reduced: "Reduced",
        labels: tuple[str, ...],
        task: Task,
        language: str,
    ) -> Predictions:
        del labels, encoded, task, language
        foreign, english = np.split(reduced["embedding"], [len(examples)])
        # Equal English sentences are one answer: finding either is right.
        found = [examples[row].target for row in nearest(foreign, english, k=1).rows[:, 0]]
        return Predictions(found, {"accuracy": accuracy([e.target for e in examples], found)})

    def targets(
        self, examples: Sequence[Translation], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        del examples, encoded, labels
        raise UsageError("retrieval has no target phase: it runs on the base or intermediate checkpoint.")

    def chance(self, examples: Sequence[Translation]) -> float | None:
        return 1 / len({e.target for e in examples})

    def head_problem(self, checkpoint: "Checkpoint", labels: tuple[str, ...]) -> str | None:
        del checkpoint, labels
        return None


RETRIEVAL = Retrieval()

_TATOEBA_LANGUAGES = tuple(
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi "
    "zh".split()
)
TATOEBA = Task(
    name="tatoeba",
    kind=RETRIEVAL,
    group="retrieval",
    languages=_TATOEBA_LANGUAGES,
    metrics=("accuracy",),
    source=FileSource(
        ("tatoeba/tatoeba.{iso3}-eng.*", "LASER/data/tatoeba/v1/tatoeba.{iso3}-eng.*"), read_tatoeba
    ),
    training=None,
    chance="data",
    licence="CC BY 2.0 FR",
    citation="Artetxe and Schwenk 2019, Q19-1038",
)
CATALOGUE = Task(
    name="django",
    kind=RETRIEVAL,
    group="retrieval",
    languages=tuple(code for code in _TATOEBA_LANGUAGES if code not in ("jv", "tl")),
    metrics=("accuracy",),
    source=DjangoSource(),
    training=None,
    chance="data",
    licence="BSD 3-Clause",
    citation="Django's translators, https://www.djangoproject.com",
)
