"""Readers that take a shortcut, and the test whether any of them differs from guessing."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import binomtest

from support.xhops_solver import Fact, read
from xeval.xhops import CHANCE, HOPS, Format, Hops, Row, rows
from xeval.xhops.lexicons import lexicon

FAMILY_WISE_ERROR = 0.001
COLUMNS = 2**13


@cache
def grams(text: str, size: int = 3) -> frozenset[str]:
    """Groups of neighbouring characters."""
    return frozenset(text[start : start + size] for start in range(len(text) - size + 1))


@cache
def plain_words(text: str) -> frozenset[str]:
    return frozenset(text.strip(".?!;؟।。۔？").split())


def most_similar(text: str, parts: Sequence[str], by_words: bool) -> int:
    """The first sentence of those that share most with a text, in words or in groups of three characters."""
    split = plain_words if by_words else grams
    shared = [len(split(text) & split(part)) for part in parts]
    return shared.index(max(shared))


def subject(row: Row, language: str) -> str:
    """What the question is about; empty for a comparison, which is about no entity."""
    return read(row.question, language, "question")[0].about


def mentions(row: Row, facts: Sequence[Fact]) -> list[str]:
    """The candidates, in the order of the sentences that name them."""
    return [name for fact in facts for name in (fact.about, fact.said) if name in row.candidates]


def question_readers(items: list[Row], training: list[Row], language: str) -> dict[str, list[bool]]:
    """Right or wrong on each question, for readers that choose among the candidates."""
    usual = Counter(item.candidates[0] for item in training)
    hits: dict[str, list[bool]] = {}
    for item in items:
        facts = read(item.context, language)
        named = mentions(item, facts)
        asked = subject(item, language)
        guesses = {
            "first mention": named[0],
            "last mention": named[-1],
            "middle mention": named[len(named) // 2],
            "first in the alphabet": min(named),
            "longest name": max(sorted(named), key=len),
            "most frequent in the context": max(sorted(named), key=item.context.count),
            "most frequent in training": max(sorted(set(named)), key=lambda name: usual[name]),
        }
        if item.hops > 1:  # one hop is meant to be answered by the sentence that names its subject
            for by_words in (True, False):
                similar = facts[most_similar(item.question, item.sentences, by_words)]
                found = [name for name in (similar.about, similar.said) if name in named]
                guesses[f"sentence most like the question, {by_words=}"] = (found or named)[0]
        if item.hops > 1 and asked:
            place = next(number for number, fact in enumerate(facts) if asked in fact.names)
            following = mentions(item, facts[place + 1 :])
            guesses["next after the subject"] = (following or named)[0]
            numbers = {
                name: min(abs(number - place) for number, fact in enumerate(facts) if name in fact.names)
                for name in sorted(set(named))
            }
            nearest = [name for name, number in numbers.items() if number == min(numbers.values())]
            guesses["nearest to the subject"] = nearest[crc32(item.item_id.encode()) % len(nearest)]
        for name, guess in guesses.items():
            hits.setdefault(name, []).append(guess == item.candidates[0])
    return hits


def claim_readers(items: list[Row], language: str) -> dict[str, list[bool]]:
    """Right or wrong on each claim, for readers that look at places and frequencies only."""
    hits: dict[str, list[bool]] = {}
    for item in items:
        facts = read(item.context, language)
        named = mentions(item, facts)
        asked = subject(item, language)
        candidate = item.candidates[0 if item.claim_is_true else 1]
        answers = {
            "always true": True,
            "first mention": candidate == named[0],
            "last mention": candidate == named[-1],
            "first in the alphabet": candidate == min(named),
            "first half": named.index(candidate) < len(set(named)) / 2,
        }
        if item.hops > 1 and asked:
            place = next(number for number, fact in enumerate(facts) if asked in fact.names)
            said = next(number for number, fact in enumerate(facts) if candidate in fact.names)
            answers["said after its subject"] = said > place
            answers["said right after its subject"] = said == place + 1
            answers["said beside its subject"] = abs(said - place) == 1
        if item.hops > 1:
            for by_words in (True, False):
                similar = most_similar(item.claim, item.sentences, by_words)
                answers[f"most similar sentence is in the first half, {by_words=}"] = similar < 4
        for name, guess in answers.items():
            hits.setdefault(name, []).append(guess == item.claim_is_true)
    return hits


def choice_readers(items: list[Row], language: str) -> dict[str, list[bool]]:
    """Right or wrong on each choice, for readers that look at places and at forms."""
    hits: dict[str, list[bool]] = {}
    for item in items:
        choices = item.choices
        named = mentions(item, read(item.context, language))
        in_order = [item.candidates[chain] for chain in item.order]
        guesses = {
            "first choice": 0,
            "last choice": len(choices) - 1,
            "shortest choice": min(range(len(choices)), key=lambda row: (len(choices[row]), choices[row])),
            "first mention": in_order.index(named[0]),
            "last mention": in_order.index(named[-1]),
        }
        if item.hops > 1:
            overlaps = [
                max(len(grams(choice) & grams(part)) for part in item.sentences) for choice in choices
            ]
            best = [row for row, shared in enumerate(overlaps) if shared == max(overlaps)]
            guesses["most like one sentence"] = best[crc32(item.item_id.encode()) % len(best)]
        for name, guess in guesses.items():
            hits.setdefault(name, []).append(item.order[guess] == 0)
    return hits


View = Literal["question only", "context only", "subject's sentence", "candidate's sentences"]
VIEWS: tuple[View, ...] = ("question only", "context only", "subject's sentence", "candidate's sentences")


@cache
def names_of(language: str) -> re.Pattern[str]:
    """Matches every name, so that text without spaces can be cut at them."""
    names = {name for entries in lexicon(language).names.values() for name in entries}
    return re.compile("(" + "|".join(map(re.escape, sorted(names))) + ")")


@cache
def tokens(text: str, language: str) -> NDArray[np.int64]:
    """Numbers of the words of a text, or of its names and what lies between them in scripts without spaces."""
    spaced = language not in ("ja", "th", "zh")
    words = re.findall(r"[^\s.,;:?!«»„“¿؟।。]+", text) if spaced else names_of(language).split(text)
    return np.array(sorted({crc32(word.encode()) for word in words if word}), np.int64)


def pairs(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    return ((left[:, None] * 1_000_003 + right[None, :] * 8191) % 2_147_483_647).ravel()


def features(row: Row, option: int, format: Format, language: str, view: View) -> NDArray[np.int64]:
    """Hashed words, and pairs of words, that the view shows of one option of an item."""
    chain = row.order[option]
    candidate = tokens(row.candidates[chain], language)
    if format == "question":
        text = tokens(row.question, language)
        posed = np.concatenate([text, candidate + 1, pairs(text, candidate)])
    else:
        text = tokens(row.claims[chain], language)
        posed = np.concatenate([text, pairs(text, text)])
    if view == "question only":
        shown = posed
    elif view == "context only":
        facts = read(row.context, language)
        forms = [crc32(f"{number} {fact.relation}".encode()) for number, fact in enumerate(facts)]
        context = np.concatenate([np.array(forms, np.int64), tokens(row.context, language)])
        number = np.array([crc32(f"option {option}".encode())], np.int64)
        if format == "question":
            shown = np.concatenate([candidate, pairs(context, candidate)])
        else:
            shown = context if format == "claim" else pairs(context, number)
    else:
        facts = read(row.context, language)
        wanted = row.candidates[chain] if view == "candidate's sentences" else subject(row, language)
        found = [
            tokens(sentence, language)
            for sentence, fact in zip(row.sentences, facts, strict=True)
            if wanted in fact.names
        ]
        shown = np.concatenate([posed, *(pairs(text, words) for words in found)])
        if format == "question":
            shown = np.concatenate([shown, *(pairs(candidate + 1, words) for words in found)])
    return np.unique(shown % COLUMNS)


def trained_reader(
    training: list[Row], tests: list[list[Row]], format: Format, language: str, view: View
) -> list[list[bool]]:
    """Right or wrong on each test item, for a logistic regression on the hashed words of each option.

    A claim is judged by the sign of its score; among the candidates of a question and the choices the highest wins.
    """

    def options(row: Row) -> list[int]:
        if format == "claim":
            return [row.order.index(0 if row.claim_is_true else 1)]
        return list(range(len(row.order)))

    def matrix(items: list[Row]) -> tuple[csr_matrix, NDArray[np.float64]]:
        shown = [(row, option) for row in items for option in options(row)]
        found = [features(row, option, format, language, view) for row, option in shown]
        lengths = np.array([len(columns) for columns in found])
        # Rows of equal length: otherwise a step that suits short texts is too long for long ones.
        values = np.repeat(1 / np.sqrt(lengths), lengths)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        right = np.array([row.order[option] == 0 for row, option in shown], np.float64)
        return csr_matrix((values, np.concatenate(found), starts), (len(shown), COLUMNS)), right

    values, right = matrix(training)
    weights, offset = np.zeros(COLUMNS), 0.0
    for _ in range(100):
        error = 1 / (1 + np.exp(-(values @ weights + offset))) - right
        weights -= 20 * (values.T @ error / len(right) + 1e-4 * weights)
        offset -= error.mean()
    hits = []
    for items in tests:
        values, right = matrix(items)
        scores = values @ weights + offset
        if format == "claim":
            hits.append([bool(hit) for hit in (scores > 0) == (right > 0.5)])
        else:
            best = scores.reshape(len(items), -1).argmax(1)
            hits.append([row.order[option] == 0 for row, option in zip(items, best, strict=True)])
    return hits


READERS: dict[Format, Callable[[list[Row], list[Row], str], dict[str, list[bool]]]] = {
    "question": question_readers,
    "claim": lambda items, _, language: claim_readers(items, language),
    "choice": lambda items, _, language: choice_readers(items, language),
}


def exploitable(
    language: str,
    size: int,
    hops: Sequence[Hops] = HOPS,
    formats: Sequence[Format] = ("claim", "question", "choice"),
    views: Sequence[View] = (),
    family: str | None = None,
    **shape: int,
) -> dict[str, float]:
    """Accuracies that differ from guessing, by shortcut; empty for a sound generator.

    Each accuracy is tested with an exact two-sided binomial test, because a reader that is wrong too often is
    right when inverted; the level is ``FAMILY_WISE_ERROR`` divided by the number of tests (Bonferroni).
    """
    chains = shape.get("chains", 3)
    chance = {"claim": 1 / 2, "question": 1 / chains, "choice": 1 / chains}
    assert shape or chance == CHANCE
    tested: dict[str, tuple[list[bool], float]] = {}
    for number in hops:
        seen = list(rows(number, language, "train", 2 * size, family=family, **shape))
        fresh = list(rows(number, language, "test", size, family=family, **shape))
        for format in formats:
            for name, hits in READERS[format](seen[:size], seen[size:], language).items():
                tested[f"{number} hops, {format}, {name}"] = (hits, chance[format])
            for view in views:
                if number == 1 and view != "question only":
                    continue  # one sentence is meant to suffice for one hop
                both = trained_reader(seen[size:], [seen[:size], fresh], format, language, view)
                for split, hits in zip(("train", "test"), both, strict=True):
                    tested[f"{number} hops, {format}, trained on {view}, {split}"] = (hits, chance[format])
    level = FAMILY_WISE_ERROR / len(tested)
    return {
        name: float(np.mean(hits))
        for name, (hits, guessing) in tested.items()
        if binomtest(sum(hits), len(hits), guessing).pvalue < level
    }
