"""Choice among continuations of a context."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError
from xeval.examples import MultipleChoice
from xeval.metrics import accuracy
from xeval.tasks.base import (
    Encoded,
    Kind,
    Predictions,
    Scoring,
    Settings,
    most_frequent_share,
)

if TYPE_CHECKING:
    import torch

    from xeval.encoder.loop import Batch, Reduced


class Choice(Kind[MultipleChoice]):
    """Each (context, choice) pair gets one logit; the highest wins, the first one among equals."""

    name = "choice"
    auto_class = "AutoModelForMultipleChoice"
    head_suffix = "ForMultipleChoice"
    defaults: ClassVar[Settings] = Settings(max_length=256)

    def encode(self, examples: Sequence[MultipleChoice], encoder: TextEncoder, settings: Settings) -> Encoded:
        limit = settings.max_length
        pieces = encoder.pieces(text for e in examples for text in (e.context, *e.choices))
        built = []
        for example in examples:
            context = pieces[example.context].ids
            for choice in (pieces[text].ids for text in example.choices):
                pair = (choice, context) if example.choice_first else (context, choice)
                built.append(encoder.pair(*pair, limit))
        types = [types for _, types in built] if encoder.uses_types else None
        owner = np.repeat(np.arange(len(examples)), [len(e.choices) for e in examples])
        return Encoded(Sequences([ids for ids, _ in built], types), owner)

    def reduce(self, model: Any, batch: "Batch", settings: Settings) -> "dict[str, torch.Tensor]":
        from xeval.encoder.loop import FINITE, finite_rows

        # The head takes [examples, choices, tokens]; choices are independent, so each is an example here.
        inputs = {name: tensor.unsqueeze(1) for name, tensor in batch.inputs().items()}
        logits = model(**inputs).logits
        return {"logit": logits[:, 0].float(), FINITE: finite_rows(logits)}

    def predict(
        self, examples: Sequence[MultipleChoice], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        starts = np.searchsorted(encoded.example, np.arange(len(examples)))
        chosen = [
            str(int(np.argmax(reduced["logit"][start : start + len(e.choices)])))
            for e, start in zip(examples, starts, strict=True)
        ]
        return Predictions(chosen, {"accuracy": accuracy([str(e.label) for e in examples], chosen)})

    def targets(
        self, examples: Sequence[MultipleChoice], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        return {"labels": [e.label for e in examples]}

    def training_rows(self, encoded: Encoded) -> list[list[int]]:
        rows = range(len(encoded.sequences))
        return [list(group) for _, group in groupby(rows, key=lambda row: int(encoded.example[row]))]

    def chance(self, examples: Sequence[MultipleChoice]) -> float | None:
        return most_frequent_share([e.label for e in examples])


class PassageChoice(Choice):
    """A choice whose context is a story and then a question: the beginning of a story that is too long is cut off.

    All choices of an item see the same tokens of its context. In bAbI what counts happens late: within 512 tokens
    of XLM-R's vocabulary every supporting fact of every item is kept, in all six languages, whereas cutting the
    end of the context would take the question away from 18 to 32 of 100 items of qa3.
    """

    defaults: ClassVar[Settings] = Settings(max_length=512)

    def encode(self, examples: Sequence[MultipleChoice], encoder: TextEncoder, settings: Settings) -> Encoded:
        limit = settings.max_length
        pieces = encoder.pieces(text for e in examples for text in (e.context, *e.choices))
        built = []
        for example in examples:
            choices = [pieces[choice].ids for choice in example.choices]
            room = limit - encoder.template.pair_overhead - max(map(len, choices))
            if room < 1:
                raise UsageError(f"--max-length {limit} leaves no room for the context; raise it.")
            context = pieces[example.context].ids[-room:]
            built += [encoder.pair(context, choice, limit) for choice in choices]
        types = [types for _, types in built] if encoder.uses_types else None
        owner = np.repeat(np.arange(len(examples)), [len(e.choices) for e in examples])
        return Encoded(Sequences([ids for ids, _ in built], types), owner)


CHOICE = Choice()
PASSAGE_CHOICE = PassageChoice()
