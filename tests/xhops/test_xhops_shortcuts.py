"""No reader that skips a hop, or the text, does better than guessing; and the checks would notice."""

import dataclasses
from collections.abc import Callable

import pytest
from scipy.stats import chisquare
from xhops_shortcuts import exploitable
from xhops_solver import read

import xeval.xhops
from xeval.xhops import LANGUAGES, SPLITS, generate
from xeval.xhops.worlds import FAMILIES, World, draw_world


@pytest.mark.parametrize("language", LANGUAGES)
def test_shortcuts_are_at_chance_in_every_language(language: str) -> None:
    assert exploitable(language, size=800, trained=False) == {}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_trained_readers_of_parts_are_at_chance(language: str) -> None:
    assert exploitable(language, size=1000, trained=True) == {}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_uniform_over_sentences_and_orders(split: str, family: str) -> None:
    worlds = [draw_world(split, 7, family, row) for row in range(3000)]  # type: ignore[arg-type]
    slots = [[0] * 6 for _ in range(6)]
    for world in worlds:
        for slot, fact in enumerate(world.order):
            slots[fact][slot] += 1
    assert min(chisquare(counts).pvalue for counts in slots) > 1e-4
    # Where the subject's sentence stands says nothing about where the answer's stands.
    gaps = [world.order.index(1) - world.order.index(0) for world in worlds]
    expected = [len(worlds) * (6 - abs(gap)) / 30 for gap in range(-5, 6) if gap]
    assert chisquare([gaps.count(gap) for gap in range(-5, 6) if gap], expected).pvalue > 1e-4


def _replaced_order(world: World, order: list[int]) -> World:
    return dataclasses.replace(world, order=tuple(order))


def answer_last(world: World) -> World:
    return _replaced_order(world, [fact for fact in world.order if fact != 1] + [1])


def answer_follows_subject(world: World) -> World:
    order = [fact for fact in world.order if fact != 1]
    order.insert(order.index(0) + 1, 1)
    return _replaced_order(world, order)


def label_tied_to_the_subject(world: World) -> World:
    return dataclasses.replace(world, claim_is_true=world.chains[0][0] % 8 < 4)


def label_tied_to_the_context(world: World) -> World:
    return dataclasses.replace(world, claim_is_true=world.chains[2][0] % 8 < 4)


def label_tied_to_the_place(world: World) -> World:
    moved = 1 if world.claim_is_true else 3
    rest = [fact for fact in world.order if fact != moved]
    return _replaced_order(world, [moved, *rest] if world.claim_is_true else [*rest, moved])


def label_tied_to_remembered_pairs(world: World) -> World:
    def usually_true(chain: int) -> bool:
        return (7 * world.chains[0][0] + 3 * world.chains[chain][2]) // 4 % 2 == 0

    if usually_true(0):
        return dataclasses.replace(world, claim_is_true=True)
    return world if usually_true(1) else dataclasses.replace(world, claim_is_true=False)


@pytest.mark.parametrize(
    ("leak", "caught_by"),
    [
        (answer_last, "2 hops, question, last mention"),
        (answer_follows_subject, "2 hops, question, next after the subject"),
        (answer_follows_subject, "2 hops, claim, said right after its subject"),
        (label_tied_to_the_subject, "2 hops, claim, trained on claim, train"),
        (label_tied_to_the_context, "1 hops, claim, trained on context, train"),
        (label_tied_to_the_place, "2 hops, claim, first mention"),
        (label_tied_to_remembered_pairs, "2 hops, claim, trained on claim, train"),
    ],
)
def test_leaky_worlds_are_caught(
    leak: Callable[[World], World], caught_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(*place: object) -> World:
        return leak(draw_world(*place))  # type: ignore[arg-type]

    monkeypatch.setattr(xeval.xhops, "draw_world", leaky)
    assert caught_by in exploitable("en", size=500, trained="trained" in caught_by)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_readers_do_answer_one_hop(language: str) -> None:
    """Positive control: one sentence is all that one hop needs."""
    right = 0
    items = generate("question", 1, language, "test", 100)
    for item in items:
        (asked,) = read(item.question, language, "question")
        sentence = next(
            fact
            for fact in read(item.context, language)
            if (fact.link, fact.about) == (asked.link, asked.about)
        )
        right += sentence.said == item.answers[0].text
    assert right == len(items)
