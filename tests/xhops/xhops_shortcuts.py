"""Readers that take a shortcut, and the test whether any of them differs from guessing."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.stats import binomtest
from xhops_solver import Fact, read

from xeval.examples import Question, TextPair
from xeval.xhops import CHANCE, generate

FAMILY_WISE_ERROR = 0.001


def grams(text: str, size: int = 3) -> Counter[str]:
    return Counter(text[start : start + size] for start in range(len(text) - size + 1))


def most_similar(text: str, facts: Sequence[Fact], context: str, by_words: bool) -> Fact:
    """The sentence that shares most with a text, in words or in groups of three characters."""
    ends = [fact.start for fact in facts[1:]] + [len(context)]
    split: Callable[[str], Iterable[str]] = (lambda part: part.strip(".?!।。").split()) if by_words else grams
    wanted = Counter(split(text))
    return max(
        zip(facts, ends, strict=True),
        key=lambda pair: (wanted & Counter(split(context[pair[0].start : pair[1]]))).total(),
    )[0]


def question_readers(items: list[Question], training: list[Question], language: str) -> dict[str, list[bool]]:
    """Right or wrong on each question, for readers that choose among the names of the answer's kind."""
    usual = Counter(item.answers[0].text for item in training)
    hits: dict[str, list[bool]] = {}
    for item in items:
        facts = read(item.context, language)
        (asked,) = read(item.question, language, "question")
        stating = "first" if asked.link == "first" else "second"
        saying = [fact for fact in facts if fact.link == stating]
        mentions = [fact.said for fact in saying]
        named = next(fact for fact in facts if fact.about == asked.about).start
        following = [fact.said for fact in saying if fact.start > named]
        guesses = {
            "first mention": mentions[0],
            "last mention": mentions[-1],
            "middle mention": mentions[1],
            "first in the alphabet": min(mentions),
            "most frequent in the context": max(sorted(mentions), key=item.context.count),
            "most frequent in training": max(mentions, key=lambda name: usual[name]),
        }
        if asked.link == "both":  # one hop is meant to be answered by the sentence that names its subject
            guesses["next after the subject"] = following[0] if following else mentions[0]
            guesses["nearest to the subject"] = min(saying, key=lambda fact: abs(fact.start - named)).said
            for by_words in (True, False):
                similar = most_similar(item.question, facts, item.context, by_words)
                guess = similar.said if similar.said in mentions else mentions[0]
                guesses[f"sentence most like the question, {by_words=}"] = guess
        for name, guess in guesses.items():
            hits.setdefault(name, []).append(guess == item.answers[0].text)
    return hits


def claim_readers(items: list[TextPair], language: str) -> dict[str, list[bool]]:
    """Right or wrong on each claim, for readers that look at places and frequencies only."""
    hits: dict[str, list[bool]] = {}
    for item in items:
        assert item.second is not None
        facts = read(item.first, language)
        (claim,) = read(item.second, language)
        stating = "first" if claim.link == "first" else "second"
        saying = [fact for fact in facts if fact.link == stating]
        mentions = [fact.said for fact in saying]
        place = mentions.index(claim.said)
        answers = {
            "always true": True,
            "first mention": place == 0,
            "last mention": place == 2,
            "first in the alphabet": claim.said == min(mentions),
            "names that start alike": claim.said[0] == claim.about[0],
        }
        if claim.link == "both":
            named = next(fact for fact in facts if fact.about == claim.about)
            said = saying[place]
            answers["said after its subject"] = said.start > named.start
            answers["said right after its subject"] = (named, said) in pairwise(facts)
            answers["said beside its subject"] = abs(facts.index(named) - facts.index(said)) == 1
            for by_words in (True, False):
                similar = most_similar(item.second, facts, item.first, by_words)
                answers[f"most similar sentence is in the first half, {by_words=}"] = facts.index(similar) < 3
        for name, answer in answers.items():
            hits.setdefault(name, []).append(answer == (item.label == "true"))
    return hits


View = Literal["claim", "context", "claim and head's sentence", "claim and tail's sentence"]
VIEWS: tuple[View, ...] = ("claim", "context", "claim and head's sentence", "claim and tail's sentence")


def features(item: TextPair, language: str, view: View) -> set[str]:
    """Names, and pairs of names, in the part of an item that the view shows."""
    assert item.second is not None
    facts = read(item.first, language)
    (claim,) = read(item.second, language)
    if view == "context":
        shown = {f"{fact.link} {name}" for fact in facts for name in (fact.about, fact.said)}
        return shown | {f"{place} {fact.link} {fact.about}" for place, fact in enumerate(facts)}
    shown = {f"about {claim.about}", f"said {claim.said}", f"{claim.about} {claim.said}"}
    if view == "claim and head's sentence":
        fact = next(fact for fact in facts if fact.about == claim.about)
        shown |= {f"head with {fact.said}", f"{claim.said} with {fact.said}", f"head at {facts.index(fact)}"}
    if view == "claim and tail's sentence":
        fact = next(fact for fact in facts if fact.said == claim.said)
        shown |= {
            f"tail with {fact.about}",
            f"{claim.about} with {fact.about}",
            f"tail at {facts.index(fact)}",
        }
    return shown


def trained_reader(training: list[TextPair], test: list[TextPair], language: str, view: View) -> list[bool]:
    """Right or wrong on each test claim, for ridge regression on the indicators of a view's features."""
    shown = [features(item, language, view) for item in training]
    columns = {name: column for column, name in enumerate(sorted(set().union(*shown)))}

    def matrix(rows: list[set[str]]) -> np.ndarray:
        values = np.zeros((len(rows), len(columns) + 1))
        values[:, -1] = 1
        for row, names in enumerate(rows):
            values[row, [columns[name] for name in names if name in columns]] = 1
        return values

    inputs = matrix(shown)
    targets = np.array([1.0 if item.label == "true" else -1.0 for item in training])
    # The dual form: one equation a training row, because pairs make more columns than rows.
    dual = np.linalg.solve(inputs @ inputs.T + 3.0 * np.eye(len(training)), targets)
    scores = matrix([features(item, language, view) for item in test]) @ (inputs.T @ dual)
    return [bool((score > 0) == (item.label == "true")) for score, item in zip(scores, test, strict=True)]


def exploitable(language: str, size: int, trained: bool) -> dict[str, float]:
    """Accuracies that differ from guessing, by shortcut; empty for a sound generator.

    Each accuracy is tested with an exact two-sided binomial test, because a reader that is wrong too often is
    right when inverted; the level is ``FAMILY_WISE_ERROR`` divided by the number of tests (Bonferroni).
    """
    tested: dict[str, tuple[list[bool], float]] = {}
    for hops in (1, 2):
        asked = generate("question", hops, language, "train", 2 * size)
        claims = generate("claim", hops, language, "train", 2 * size)
        for name, hits in question_readers(asked[:size], asked[size:], language).items():
            tested[f"{hops} hops, question, {name}"] = (hits, CHANCE["question"])
        for name, hits in claim_readers(claims[:size], language).items():
            tested[f"{hops} hops, claim, {name}"] = (hits, CHANCE["claim"])
        for view in VIEWS if trained else ():
            if hops == 1 and "sentence" in view:
                continue  # one sentence is meant to suffice for one hop
            for test in (claims[:size], generate("claim", hops, language, "test", size)):
                split = test[0].item_id.split("-")[0]
                hits = trained_reader(claims[size:], test, language, view)
                tested[f"{hops} hops, claim, trained on {view}, {split}"] = (hits, CHANCE["claim"])
    level = FAMILY_WISE_ERROR / len(tested)
    return {
        name: float(np.mean(hits))
        for name, (hits, chance) in tested.items()
        if binomtest(sum(hits), len(hits), chance).pvalue < level
    }
