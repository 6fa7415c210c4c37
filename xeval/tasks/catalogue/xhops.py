"""The built-in grid: the same generated facts as claims, as questions and as choices, at one, two and three hops.

Groups: a choice among claims is judged like the claims and like other choice tasks (XCOPA): accuracy over pairs of
texts, no span to find. So one hop of it is "classification" and more hops "multi-hop classification"; only questions
make up the QA groups. One hop and several hops never share a group, nor do extraction and judgement: at equal hops a
contrast between groups is one of format, within claims, choices or questions it is one of hops.
"""

from dataclasses import replace
from typing import Literal

from xeval.sources import GeneratedBitext, GeneratedSource, JoinedSource
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.retrieval import RETRIEVAL
from xeval.tasks.span_qa import SPAN_QA
from xeval.xhops import CHANCE, LANGUAGES, Format, Hops

SIZE = 1000
TRAINING_SIZE = 4000
LABELS = ("false", "true")


def _both_hops(format: Format) -> JoinedSource:
    """English training items of one and two hops in turn; three hops are never trained on."""
    one_and_two: tuple[Literal[1, 2], ...] = (1, 2)
    return JoinedSource(
        tuple(GeneratedSource(format, hops, TRAINING_SIZE, family="work") for hops in one_and_two)
    )


def _at(declared: Task, hops: Hops, group: Literal["multi-hop classification", "multi-hop QA"]) -> Task:
    """The one-hop task at more hops: nothing else differs."""
    assert isinstance(declared.source, GeneratedSource)
    name = declared.name.removesuffix("1") + str(hops)
    return replace(declared, name=name, group=group, source=replace(declared.source, hops=hops))


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
    version=3,
    licence="generated",
)
CLAIM_2 = _at(CLAIM_1, 2, "multi-hop classification")
CLAIM_3 = _at(CLAIM_1, 3, "multi-hop classification")

QUESTION_TRAINING = TrainingSet(
    name="xhops-question",
    kind=SPAN_QA,
    source=_both_hops("question"),
    licence="generated",
)
LOOKUP_TRAINING = replace(
    QUESTION_TRAINING,
    name="xhops-lookup",
    source=GeneratedSource("question", 1, TRAINING_SIZE, family="dogs"),
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
    version=2,
    licence="generated",
)
QUESTION_2 = _at(QUESTION_1, 2, "multi-hop QA")
QUESTION_3 = _at(QUESTION_1, 3, "multi-hop QA")

CHOICE_TRAINING = TrainingSet(
    name="xhops-choice",
    kind=CHOICE,
    source=_both_hops("choice"),
    licence="generated",
)
CHOICE_1 = Task(
    name="xhops-choice-1",
    kind=CHOICE,
    group="classification",
    languages=LANGUAGES,
    metrics=("accuracy",),
    source=GeneratedSource("choice", 1, SIZE, family="work"),
    training="xhops-choice",
    chance=CHANCE["choice"],
    parallel=True,
    version=3,
    licence="generated",
)
CHOICE_2 = _at(CHOICE_1, 2, "multi-hop classification")
CHOICE_3 = _at(CHOICE_1, 3, "multi-hop classification")


def _one_hop(declared: TrainingSet) -> TrainingSet:
    """Only the one-hop items of a set, for models that are to meet more hops untrained."""
    assert isinstance(declared.source, JoinedSource)
    return replace(declared, name=f"{declared.name}-1hop", source=declared.source.parts[0])


QUESTION_1HOP_TRAINING = _one_hop(QUESTION_TRAINING)
CLAIM_1HOP_TRAINING = _one_hop(CLAIM_TRAINING)
CHOICE_1HOP_TRAINING = _one_hop(CHOICE_TRAINING)

# Worlds of two chains of two links: four sentences, two candidates, at most two hops. It is the smallest world in which
# two hops mean anything, and the one that a few layers learn in some minutes of a CPU.
SMALL_CHAINS = 2
SMALL_DEPTH = 2


def _small(format: Format, hops: Literal[1, 2], size: int, family: str = "work") -> GeneratedSource:
    return GeneratedSource(format, hops, size, family=family, chains=SMALL_CHAINS, depth=SMALL_DEPTH)


def _both_small(format: Format) -> JoinedSource:
    return JoinedSource((_small(format, 1, TRAINING_SIZE), _small(format, 2, TRAINING_SIZE)))


def _small_task(declared: Task, hops: Literal[1, 2]) -> Task:
    """A task of the grid in the small worlds."""
    assert isinstance(declared.source, GeneratedSource)
    return replace(
        declared,
        name=declared.name.replace("xhops-", "xhops-small-"),
        source=_small(declared.source.format, hops, SIZE),
        training=f"xhops-small-{declared.source.format}",
        chance=1 / SMALL_CHAINS,
        version=max(2, declared.version),
    )


SMALL_QUESTION_TRAINING = replace(
    QUESTION_TRAINING, name="xhops-small-question", source=_both_small("question")
)
SMALL_LOOKUP_TRAINING = replace(
    LOOKUP_TRAINING, name="xhops-small-lookup", source=_small("question", 1, TRAINING_SIZE, family="dogs")
)
SMALL_CLAIM_TRAINING = replace(CLAIM_TRAINING, name="xhops-small-claim", source=_both_small("claim"))
SMALL_CHOICE_TRAINING = replace(CHOICE_TRAINING, name="xhops-small-choice", source=_both_small("choice"))
SMALL_QUESTION_1HOP_TRAINING = _one_hop(SMALL_QUESTION_TRAINING)
SMALL_CLAIM_1HOP_TRAINING = _one_hop(SMALL_CLAIM_TRAINING)
SMALL_CHOICE_1HOP_TRAINING = _one_hop(SMALL_CHOICE_TRAINING)
SMALL_QUESTION_1 = _small_task(QUESTION_1, 1)
SMALL_QUESTION_2 = _small_task(QUESTION_2, 2)
SMALL_CLAIM_1 = _small_task(CLAIM_1, 1)
SMALL_CLAIM_2 = _small_task(CLAIM_2, 2)
SMALL_CHOICE_1 = _small_task(CHOICE_1, 1)
SMALL_CHOICE_2 = _small_task(CHOICE_2, 2)

BITEXT = Task(
    name="xhops-bitext",
    kind=RETRIEVAL,
    group="retrieval",
    languages=tuple(code for code in LANGUAGES if code != "en"),
    metrics=("accuracy",),
    source=GeneratedBitext(SIZE),
    training=None,
    chance="data",
    parallel=True,
    licence="generated",
)
