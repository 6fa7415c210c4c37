"""Tiny training sets in memory, one of every kind, a job that trains on one of them, and what came of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xeval.checkpoints import Checkpoint, Lineage
from xeval.digests import text_digest
from xeval.examples import Answer, Example, MultipleChoice, Question, TaggedSentence, TextPair
from xeval.sources import MissingDataError
from xeval.tasks.base import TrainingSet
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.span_qa import SPAN_QA
from xeval.tasks.tagging import TAGGING
from xeval.train.phases import PhaseJob
from xeval.train.recipes import Hyperparameters

NAMES = ("Anna", "Berlin", "fox", "dog")


@dataclass(frozen=True)
class MemorySource:
    """Examples by split."""

    splits: dict[str, list[Any]]

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        if split not in self.splits:
            raise MissingDataError(language, split, root or Path(), ())
        return ()

    def digest(self, root: Path | None, language: str, split: str) -> str:
        del root, language
        return text_digest(*map(repr, self.splits[split]))

    def load(self, root: Path | None, language: str, split: str) -> list[Any]:
        del root, language
        return self.splits[split]


def claims(count: int = 24) -> list[Example]:
    """The label tells Anna and the fox from Berlin and the dog."""
    return [
        TextPair(f"c{i}", f"c{i}", f"the {NAMES[i % 4]}", f"lazy {NAMES[i // 4 % 2]}", ("no", "yes")[i % 2])
        for i in range(count)
    ]


def choices(count: int = 24) -> list[Example]:
    return [
        MultipleChoice(
            f"m{i}", f"m{i}", f"works {i}", ("Acme fox", "lazy") if i % 2 else ("dog", "Acme"), 1 - i % 2
        )
        for i in range(count)
    ]


def sentences(count: int = 24) -> list[Example]:
    return [
        TaggedSentence(
            f"t{i}", f"t{i}", ("the", NAMES[i % 4], "jumps") * (1 + i % 3), ("D", "N", "V") * (1 + i % 3)
        )
        for i in range(count)
    ]


def questions(count: int = 24) -> list[Example]:
    rows = []
    for i in range(count):
        context = f"the lazy {NAMES[i % 4]} in Acme over {i}"
        rows.append(Question(f"q{i}", f"q{i}", "who?", context, (Answer(NAMES[i % 4], 9),)))
    return rows


CLAIMS = TrainingSet(
    "claims", CLASSIFICATION, MemorySource({"train": claims(), "dev": claims()}), ("yes", "no")
)
CHOICES = TrainingSet("choices", CHOICE, MemorySource({"train": choices(), "dev": choices()}))
TAGS = TrainingSet("tags", TAGGING, MemorySource({"train": sentences(), "dev": sentences()}), ("D", "N", "V"))
SPANS = TrainingSet("spans", SPAN_QA, MemorySource({"train": questions(), "dev": questions()}))

HYPER = Hyperparameters(
    learning_rate=3e-3, epochs=1, max_steps=8, batch_size=4, max_length=64, evaluate_every=4, keep="last"
)


class KilledError(Exception):
    """Stands for the death of the process."""


def tiny_job(encoder: Path) -> PhaseJob:
    """Eight steps on the claims."""
    return PhaseJob(
        phase="target",
        parent=Checkpoint(encoder, "tiny"),
        sets=(CLAIMS,),
        hyper=HYPER,
        seed=0,
        data_root=None,
        base="tiny",
    )


def changed(job: PhaseJob, **hyper: Any) -> PhaseJob:
    return replace(job, hyper=job.hyper.model_copy(update=hyper))


THROUGHPUT = ("tokens_per_second", "padding_share", "model_flops_per_second")


def untimed_history(path: Path) -> list[dict[str, Any]]:
    timed = ("tokens_per_second", "model_flops_per_second")
    return [{k: v for k, v in entry.items() if k not in timed} for entry in card_of(path).history]


def weights(path: Path) -> bytes:
    return (path / "model.safetensors").read_bytes()


def card_of(path: Path) -> Lineage:
    card = Checkpoint(path, "x").lineage
    assert card is not None
    return card
