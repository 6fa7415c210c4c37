"""Classification of one text or a pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import TextEncoder
from xeval.examples import TextPair
from xeval.metrics import accuracy
from xeval.tasks.base import (
    Encoded,
    Kind,
    Predictions,
    Scoring,
    Settings,
    foreign_labels,
    most_frequent_share,
)

if TYPE_CHECKING:
    import torch

    from xeval.encoder.loop import Batch, Reduced


class Classification(Kind[TextPair]):
    """A label for a text or a pair; pairs are cut longest first."""

    name = "classification"
    auto_class = "AutoModelForSequenceClassification"
    head_suffix = "ForSequenceClassification"
    defaults: ClassVar[Settings] = Settings(max_length=256)

    def encode(self, examples: Sequence[TextPair], encoder: TextEncoder, settings: Settings) -> Encoded:
        limit = settings.max_length
        pieces = encoder.pieces(t for e in examples for t in (e.first, e.second) if t is not None)
        built = [
            encoder.single(pieces[e.first].ids, limit)
            if e.second is None
            else encoder.pair(pieces[e.first].ids, pieces[e.second].ids, limit)
            for e in examples
        ]
        types = [types for _, types in built] if encoder.uses_types else None
        return Encoded(Sequences([ids for ids, _ in built], types), np.arange(len(built)))

    def reduce(self, model: Any, batch: "Batch", settings: Settings) -> "dict[str, torch.Tensor]":
        from xeval.encoder.loop import FINITE, finite_rows

        logits = model(**batch.inputs()).logits
        return {"label": logits.argmax(-1), FINITE: finite_rows(logits)}

    def predict(
        self, examples: Sequence[TextPair], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        texts = [scoring.labels[number] for number in reduced["label"]]
        return Predictions(
            texts,
            {"accuracy": accuracy([e.label for e in examples], texts)},
            remarks=foreign_labels(texts, scoring, "items"),
        )

    def targets(
        self, examples: Sequence[TextPair], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        return {"labels": [labels.index(e.label) for e in examples]}

    def chance(self, examples: Sequence[TextPair]) -> float | None:
        return most_frequent_share([e.label for e in examples])


CLASSIFICATION = Classification()
