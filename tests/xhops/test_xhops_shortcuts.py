"""No reader that skips a hop, or the text, does better than guessing; and the checks would notice."""

import dataclasses
from collections.abc import Callable

import pytest
from scipy.stats import chisquare
from support.xhops_shortcuts import VIEWS, exploitable, trained_reader

import xeval.xhops.grid
from xeval.xhops import FAMILIES, LANGUAGES, SPLITS, rows
from xeval.xhops.worlds import World, draw_world


@pytest.mark.parametrize("language", LANGUAGES)
def test_shortcuts_are_at_chance_in_every_language(language: str) -> None:
    assert exploitable(language, size=200) == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_trained_readers_of_question_or_context_are_at_chance_in_every_language(language: str) -> None:
    assert exploitable(language, 160, (2, 3), ("claim", "question"), VIEWS[:2]) == {}


@pytest.mark.parametrize("family", ["work", "founding"])
def test_trained_readers_of_any_part_are_at_chance(family: str) -> None:
    assert exploitable("en", 300, (2, 3), views=VIEWS, family=family) == {}


def test_other_shapes_of_worlds_are_sound() -> None:
    assert exploitable("de", 200, (2,), views=VIEWS[:2], chains=4, depth=2) == {}
    assert exploitable("de", 200, (2, 3), views=VIEWS[:2], chains=2, depth=3) == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_shortcuts_are_at_chance_in_the_small_worlds(language: str) -> None:
    assert exploitable(language, 200, (2,), chains=2, depth=2, family="work") == {}


def test_trained_readers_of_any_part_are_at_chance_in_the_small_worlds() -> None:
    assert exploitable("en", 300, (2,), views=VIEWS, chains=2, depth=2, family="work") == {}


def test_the_same_readers_do_answer_one_hop() -> None:
    """Positive control: the sentence that names the subject is all that one hop needs."""
    items = list(rows(1, "en", "train", 900, family="work"))
    for format in ("question", "choice"):
        (hits,) = trained_reader(items[:700], [items[700:]], format, "en", "subject's sentence")  # type: ignore[arg-type]
        assert sum(hits) > 0.9 * len(hits)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_uniform_over_sentences_orders_and_choices(split: str, family: str) -> None:
    worlds = [draw_world(split, 7, family, row) for row in range(1500)]  # type: ignore[arg-type]
    slots = [[world.order.index(fact) for world in worlds] for fact in range(9)]
    for places in slots:
        assert chisquare([places.count(slot) for slot in range(9)]).pvalue > 1e-4
    # Where one sentence of the chain stands says nothing about where the next one stands.
    for one, other in ((0, 1), (1, 2), (0, 2)):
        gaps = [right - left for left, right in zip(slots[one], slots[other], strict=True)]
        expected = [len(worlds) * (9 - abs(gap)) / 72 for gap in range(-8, 9) if gap]
        assert chisquare([gaps.count(gap) for gap in range(-8, 9) if gap], expected).pvalue > 1e-4
    rights = [world.choices.index(0) for world in worlds]
    assert [rights.count(place) for place in range(3)] == [500] * 3
    wrongs = [world.choices.index(1) for world in worlds]
    assert chisquare([wrongs.count(place) for place in range(3)]).pvalue > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_every_entity_is_the_answer_equally_often(family: str, hops: int) -> None:
    right: dict[str, list[int]] = {}
    for row in range(2400):
        world = draw_world("test", 1, family, row)
        start, end = world.asked(hops)
        place = start if world.comparison else end
        right.setdefault(world.roles[place], []).append(world.chains[0][place])
    assert len(right) == (1 if family == "founding" else 4 - hops)
    for answers in right.values():
        assert chisquare([answers.count(entity) for entity in range(20)]).pvalue > 1e-4


def reordered(world: World, order: list[int]) -> World:
    return dataclasses.replace(world, order=tuple(order))


def answer_last(world: World) -> World:
    return reordered(world, [fact for fact in world.order if fact > 2] + [0, 1, 2])


def answer_follows_subject(world: World) -> World:
    order = [fact for fact in world.order if fact > 2]
    order[world.order[0] % 7 : world.order[0] % 7] = [0, 1, 2]
    return reordered(world, order)


def label_tied_to_the_subject(world: World) -> World:
    return dataclasses.replace(world, claim_is_true=world.chains[0][0] // 5 % 2 == 0)


def label_tied_to_the_context(world: World) -> World:
    return dataclasses.replace(world, claim_is_true=sum(chain[0] // 5 % 2 for chain in world.chains) > 1)


def label_tied_to_the_place(world: World) -> World:
    moved = [0, 1, 2] if world.claim_is_true else [3, 4, 5]
    rest = [fact for fact in world.order if fact not in moved]
    return reordered(world, moved + rest if world.claim_is_true else rest + moved)


def right_choice_first(world: World) -> World:
    return dataclasses.replace(world, choices=(0, 1, 2))


@pytest.mark.parametrize(
    ("leak", "caught_by"),
    [
        (answer_last, "2 hops, question, last mention"),
        (answer_follows_subject, "3 hops, question, nearest to the subject"),
        (answer_follows_subject, "2 hops, claim, said beside its subject"),
        (label_tied_to_the_subject, "3 hops, claim, trained on question only, train"),
        (label_tied_to_the_context, "2 hops, claim, trained on context only, test"),
        (label_tied_to_the_place, "2 hops, claim, first mention"),
        (right_choice_first, "2 hops, choice, first choice"),
    ],
)
def test_leaky_worlds_are_caught(
    leak: Callable[[World], World], caught_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(*place: object) -> World:
        return leak(draw_world(*place))  # type: ignore[arg-type]

    monkeypatch.setattr(xeval.xhops.grid, "draw_world", leaky)
    views = VIEWS[:2] if "trained" in caught_by else ()
    found = exploitable("en", 400, (2, 3), (caught_by.split(", ")[1],), views, family="work")  # type: ignore[arg-type]
    assert caught_by in found
