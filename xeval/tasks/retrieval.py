"""Bitext retrieval: the English translation is the nearest neighbour of a foreign sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeval.errors import XevalError
from xeval.examples import Translation
from xeval.retrieval import best_rows, search
from xeval.retrieval.recipes import Direction
from xeval.tasks.base import Encoded, Predictions, Scoring, Settings
from xeval.tasks.embedding import Embedding, EmbeddingSettings

if TYPE_CHECKING:
    from xeval.encoder.loop import Reduced


@dataclass(frozen=True)
class RetrievalSettings(EmbeddingSettings):
    """``layers`` = ``all`` scores every layer from one pass."""

    layers: str = ""
    direction: Direction = "foreign"


class Retrieval(Embedding):
    """Top-1 accuracy of finding the translation; ``direction`` says which side asks.

    With ``layers`` = ``all`` one forward pass gives ``accuracy@0`` (embeddings) to ``accuracy@N`` beside the
    accuracy at ``layer``. The column ``neighbour`` is the row (from 0) of the sentence that was found, in the
    order of the data; a sentence whose text is the right one counts as the right row. It is -1, and the prediction
    empty, where no neighbour has a ratio margin.
    """

    name = "retrieval"
    purpose = "retrieval"
    defaults: ClassVar[Settings] = RetrievalSettings()

    def every_layer(self, settings: RetrievalSettings) -> bool:
        return settings.layers == "all"

    def remembers(self, settings: RetrievalSettings) -> bool:
        """The English sides of the pairs repeat each other; every layer of a whole benchmark would take gigabytes."""
        return not self.every_layer(settings)

    def predict(
        self, examples: Sequence[Translation], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        settings: RetrievalSettings = scoring.settings
        foreign, english = np.split(reduced["embedding"], [len(examples)])
        if not self.every_layer(settings):
            return self._found(examples, foreign, english, settings)
        by_layer = [
            self._found(examples, foreign[:, layer], english[:, layer], settings)
            for layer in range(foreign.shape[1])
        ]
        main = by_layer[settings.layer]
        sweep = {f"accuracy@{layer}": found.metrics["accuracy"] for layer, found in enumerate(by_layer)}
        return replace(main, metrics={**main.metrics, **sweep})

    def _found(
        self,
        examples: Sequence[Translation],
        foreign: NDArray[np.float32],
        english: NDArray[np.float32],
        settings: RetrievalSettings,
    ) -> Predictions:
        for side in (foreign, english):
            if empty := int((~side.any(axis=1)).sum()):
                raise XevalError(
                    f"{empty} of {len(side)} sentence embeddings are all zeros; the checkpoint's weights are damaged."
                )
        found = search(
            foreign, english, settings.k, similarity=settings.similarity, centring=settings.centring
        )
        answers = {"foreign": [e.target for e in examples], "english": [e.source for e in examples]}
        asked: tuple[Direction, ...] = (
            ("foreign", "english") if settings.direction == "both" else (settings.direction,)
        )
        rows = {way: best_rows(found, settings.margin, way) for way in asked}
        right = {way: _right(answers[way], rows[way]) for way in asked}
        way = asked[0]
        texts = [answers[way][row] if row >= 0 else "" for row in rows[way]]
        neighbour = np.where(right[way], np.arange(len(examples)), rows[way]).tolist()
        num = np.zeros(len(examples))
        for way in asked:
            num += right[way] / len(asked)
        remarks = [
            f"{unanswered} of {len(examples)} {way} queries got no answer, because no neighbour has a ratio margin: "
            "their neighbourhoods' mean similarity is not above 0; --margin distance scores them too."
            for way in asked
            if (unanswered := int((rows[way] < 0).sum()))
        ]
        return Predictions(texts, {"accuracy": (num, np.ones(len(num)))}, {"neighbour": neighbour}, remarks)

    def chance(self, examples: Sequence[Translation]) -> float | None:
        return 1 / len({e.target for e in examples})


def _right(texts: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row found holds the text of the right row: equal sentences are one answer."""
    return np.asarray(
        [row >= 0 and texts[row] == text for row, text in zip(rows, texts, strict=True)], np.bool_
    )


RETRIEVAL = Retrieval()
