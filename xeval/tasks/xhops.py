"""The built-in grid: the same generated facts as claims to judge and as questions to answer, at one and two hops."""

from dataclasses import replace
from typing import Literal

from xeval.sources import GeneratedSource, JoinedSource
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.span_qa import SPAN_QA
from xeval.xhops import CHANCE, LANGUAGES

SIZE = 1000
TRAINING_SIZE = 4000
LABELS = ("false", "true")


def _both_hops(format: Literal["claim", "question"]) -> JoinedSource:
    """English training items of one and two hops in turn."""
    return JoinedSource(tuple(GeneratedSource(format, hops, TRAINING_SIZE, family="work") for hops in (1, 2)))


CLAIM_TRAINING = TrainingSet(
    name="xhops-claim",
    kind=CLASSIFICATION,
    labels=LABELS,
    source=_both_hops("claim"),
    licence="generated",
)
CLAIM_1 = Task(
    name="xhops-claim-1",
    kind=CLASSIFICATION,
    group="classification",
    languages=LANGUAGES,
    metrics=("accuracy",),
    source=GeneratedSource("claim", 1, SIZE, family="work"),
    training="xhops-claim",
    labels=LABELS,
    chance=CHANCE["claim"],
    parallel=True,
    licence="generated",
)
CLAIM_2 = replace(
    CLAIM_1,
    name="xhops-claim-2",
    group="multi-hop classification",
    source=GeneratedSource("claim", 2, SIZE, family="work"),
)

QUESTION_TRAINING = TrainingSet(
    name="xhops-question",
    kind=SPAN_QA,
    source=_both_hops("question"),
    licence="generated",
)
LOOKUP_TRAINING = TrainingSet(
    name="xhops-lookup",
    kind=SPAN_QA,
    source=GeneratedSource("question", 1, TRAINING_SIZE, family="dogs"),
    licence="generated",
)
QUESTION_1 = Task(
    name="xhops-question-1",
    kind=SPAN_QA,
    group="single-hop QA",
    languages=LANGUAGES,
    metrics=("em_mixed", "f1_mixed"),
    source=GeneratedSource("question", 1, SIZE, family="work"),
    training="xhops-question",
    chance=CHANCE["question"],
    parallel=True,
    licence="generated",
)
QUESTION_2 = replace(
    QUESTION_1,
    name="xhops-question-2",
    group="multi-hop QA",
    source=GeneratedSource("question", 2, SIZE, family="work"),
)
