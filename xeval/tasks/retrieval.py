"""Bitext retrieval: the English translation is the nearest neighbour of a foreign sentence; and mining for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeval.encoder.tokens import TextEncoder
from xeval.errors import XevalError
from xeval.examples import Translation
from xeval.retrieval import best_rows, search
from xeval.sources import DjangoSource, FileSource, FirstOf
from xeval.sources.bitext import read_tatoeba
from xeval.sources.bucc import BuccSource, PlantedSource
from xeval.sources.xtreme import XTREME_SOURCES
from xeval.tasks.base import Encoded, Predictions, Settings, Task
from xeval.tasks.embedding import Embedding
from xeval.tasks.mining import MINING

if TYPE_CHECKING:
    from xeval.encoder.loop import Reduced


class Retrieval(Embedding):
    """Top-1 accuracy of finding the translation; ``direction`` says which side asks.

    With ``layers`` = ``all`` one forward pass gives ``accuracy@0`` (embeddings) to ``accuracy@N`` beside the
    accuracy at ``layer``. The column ``neighbour`` is the row (from 0) of the sentence that was found, in the
    order of the data; a sentence whose text is the right one counts as the right row. It is -1, and the prediction
    empty, where no neighbour has a ratio margin.
    """

    name = "retrieval"
    purpose = "retrieval"
    defaults: ClassVar[Settings] = {
        "max_length": 512,
        "recipe": "default",
        "layer": -1,
        "layers": "",
        "pooling": "mean",
        "centring": "none",
        "similarity": "cosine",
        "margin": "none",
        "k": 1,
        "direction": "foreign",
    }
    remembers = True  # the English sides of the pairs repeat each other

    def predict(
        self,
        examples: Sequence[Translation],
        encoded: Encoded,
        reduced: "Reduced",
        labels: tuple[str, ...],
        task: Task,
        language: str,
    ) -> Predictions:
        del labels, task, language
        settings: Settings = encoded.detail or self.defaults
        foreign, english = np.split(reduced["embedding"], [len(examples)])
        if settings["layers"] != "all":
            return self._found(examples, foreign, english, settings)
        by_layer = [
            self._found(examples, foreign[:, layer], english[:, layer], settings)
            for layer in range(foreign.shape[1])
        ]
        main = by_layer[int(settings["layer"])]
        sweep = {f"accuracy@{layer}": found.metrics["accuracy"] for layer, found in enumerate(by_layer)}
        return replace(main, metrics={**main.metrics, **sweep})

    def encode(self, examples: Sequence[Translation], encoder: TextEncoder, settings: Settings) -> Encoded:
        encoded = super().encode(examples, encoder, settings)
        return Encoded(encoded.sequences, encoded.example, settings)

    def _found(
        self,
        examples: Sequence[Translation],
        foreign: NDArray[np.float32],
        english: NDArray[np.float32],
        settings: Settings,
    ) -> Predictions:
        for side in (foreign, english):
            if empty := int((~side.any(axis=1)).sum()):
                raise XevalError(
                    f"{empty} of {len(side)} sentence embeddings are all zeros; the checkpoint's weights are damaged."
                )
        found = search(
            foreign,
            english,
            int(settings["k"]),
            similarity=settings["similarity"],  # type: ignore[arg-type]  # checked by resolve
            centring=settings["centring"],  # type: ignore[arg-type]
        )
        answers = {"foreign": [e.target for e in examples], "english": [e.source for e in examples]}
        asked = tuple(answers) if settings["direction"] == "both" else (str(settings["direction"]),)
        rows = {way: best_rows(found, settings["margin"], way) for way in asked}  # type: ignore[arg-type]
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

_XTREME_LANGUAGES = tuple(
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi "
    "zh".split()
)
_ADDED_BY_XTREME_R = ("az", "lt", "pl", "ro", "uk")
_TATOEBA_SOURCE = FirstOf(
    (
        FileSource(
            ("tatoeba/tatoeba.{iso3}-eng.*", "LASER/data/tatoeba/v1/tatoeba.{iso3}-eng.*"), read_tatoeba
        ),
        *XTREME_SOURCES["tatoeba"],
    )
)
_PAIR_METRICS = ("pair_f1", "pair_f1_oracle", "pair_precision", "pair_recall")

TATOEBA = Task(
    name="tatoeba",
    kind=RETRIEVAL,
    group="retrieval",
    languages=tuple(sorted(_XTREME_LANGUAGES + _ADDED_BY_XTREME_R)),
    metrics=("accuracy",),
    source=_TATOEBA_SOURCE,
    training=None,
    chance="data",
    licence="CC BY 2.0 FR",
    citation="Artetxe and Schwenk 2019, Q19-1038",
)
CATALOGUE = Task(
    name="django",
    kind=RETRIEVAL,
    group="retrieval",
    languages=tuple(code for code in _XTREME_LANGUAGES if code not in ("jv", "tl")),
    metrics=("accuracy",),
    source=DjangoSource(),
    training=None,
    chance="data",
    licence="BSD 3-Clause",
    citation="Django's translators, https://www.djangoproject.com",
)
BUCC = Task(
    name="bucc2018",
    kind=MINING,
    group="retrieval",
    languages=("de", "fr", "ru", "zh"),
    metrics=_PAIR_METRICS,
    source=BuccSource(),
    training=None,
    chance=0.0,
    licence="as its texts: Wikipedia CC BY-SA 3.0, News Commentary unstated",
    citation="Zweigenbaum, Sharoff and Rapp 2018, BUCC shared task; dev = sample, test = training, as in XTREME",
)
# Pairs of Tatoeba among the English sentences of its other languages: none of them, some thousands, all.
PLANTED_SMALL = Task(
    name="bucc-planted-small",
    kind=MINING,
    group="diagnostic",
    languages=TATOEBA.languages,
    metrics=_PAIR_METRICS,
    source=PlantedSource(_TATOEBA_SOURCE, TATOEBA.languages, distractors=0),
    training=None,
    chance=0.0,
    licence=TATOEBA.licence,
    citation=TATOEBA.citation,
)
PLANTED_MEDIUM = replace(
    PLANTED_SMALL,
    name="bucc-planted-medium",
    source=PlantedSource(_TATOEBA_SOURCE, TATOEBA.languages, distractors=4000),
)
PLANTED = replace(
    PLANTED_SMALL, name="bucc-planted", source=PlantedSource(_TATOEBA_SOURCE, TATOEBA.languages)
)
