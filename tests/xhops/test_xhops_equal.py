"""What is held equal across hops and formats, in every language."""

from collections import Counter
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest
from support.xhops_shortcuts import grams, names_of
from support.xhops_solver import read

from xeval.xhops import CANDIDATES, FAMILIES, FORMATS, HOPS, LANGUAGES, Format, Row, rows
from xeval.xhops.lexicons import LISTS


def same_worlds(language: str, family: str | None = None, size: int = 24) -> list[tuple[Row, ...]]:
    """The rows of one, two and three hops, world by world."""
    return list(zip(*(rows(hops, language, "test", size, family=family) for hops in HOPS), strict=True))


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_hops_and_formats_read_the_same_context(language: str) -> None:
    for world in same_worlds(language):
        assert len({row.context for row in world}) == len({row.cluster_id for row in world}) == 1
        assert len({row.item_id for row in world}) == 3
        for row in world:
            posed = row.as_claim(), row.as_question(), row.as_choice()
            assert {posed[0].second, posed[1].context, posed[2].context} == {row.context}
            assert len({(item.item_id, item.cluster_id, item.hops, item.category) for item in posed}) == 1
            assert len(row.sentences) == len(read(row.context, language)) == 9
            assert len(set(row.claims)) == len(row.choices) == len(set(row.candidates)) == CANDIDATES
            assert row.choices[posed[2].label] == row.claims[0]
            assert (posed[0].first == row.claims[0]) == (posed[0].label == "true")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_chains_have_one_shape_and_candidates_are_named_alike(language: str, family: str) -> None:
    roles = FAMILIES[family].roles
    links = {f"{about}_{said}": 3 for about, said in pairwise(roles)}
    for world in same_worlds(language, family):
        facts = read(world[0].context, language)
        assert Counter(fact.relation for fact in facts) == links
        named = Counter(
            (LISTS.get(role, role), name)
            for fact in facts
            for role, name in zip(fact.relation.split("_"), (fact.about, fact.said), strict=True)
        )
        assert len(named) == 12
        assert Counter(kind for kind, _ in named) == dict.fromkeys(
            [LISTS.get(role, role) for role in roles], 3
        )
        for (_, name), count in named.items():
            assert world[0].context.count(name) == count
        for row in world:
            assert len({row.context.count(name) for name in row.candidates}) == 1
            assert row.context[row.start :].startswith(row.candidates[0])


@pytest.mark.parametrize("language", LANGUAGES)
def test_supporting_sentences_are_one_for_each_hop_and_name_the_answer(language: str) -> None:
    for world in same_worlds(language):
        for row in world:
            chains = CANDIDATES if FAMILIES[row.family].comparison else 1
            assert len(row.supporting) == row.hops * chains
            facts = [read(row.context, language)[number] for number in row.supporting]
            assert any(row.candidates[0] in fact.names for fact in facts)
            (asked,) = read(row.question, language, "question")
            if not asked.about:
                continue
            # The sentences make one chain from what is asked about to the answer; nothing else is needed.
            links = {fact.about: fact.said for fact in facts}
            name = asked.about
            while name in links:
                name = links.pop(name)
            assert (name, links) == (row.candidates[0], {})
            if row.hops > 1:
                assert not any({asked.about, row.candidates[0]} <= fact.names for fact in facts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_lengths_differ_by_less_than_five_percent(language: str, tiny_tokenizer: Any) -> None:
    def texts(row: Row, format: Format) -> list[str]:
        posed = {"claim": [row.claim], "question": [row.question], "choice": list(row.choices)}[format]
        return [row.context + " " + text for text in posed]

    worlds = same_worlds(language, size=36)
    for measure in (len, lambda text: len(tiny_tokenizer.tokenize(text))):
        means = [
            mean(measure(text) for world in worlds for text in texts(world[hops - 1], format))
            for hops in HOPS
            for format in FORMATS
        ]
        assert max(means) / min(means) < 1.05


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_shares_no_more_with_the_answers_sentences_than_with_the_others(language: str) -> None:
    """With names cut out, each candidate's sentences share the same with the question, at every number of hops.

    Names tell at one hop only, where the answer's sentence is the one that names the subject.
    """

    def shared(text: str, row: Row, candidate: str) -> list[int]:
        without = [names_of(language).sub("", part) for part in (text, *row.sentences)]
        return sorted(
            len(grams(without[0]) & grams(part))
            for part, sentence in zip(without[1:], row.sentences, strict=True)
            if candidate in sentence
        )

    for world in same_worlds(language, size=12):
        for row in world:
            for text in (row.question, *row.claims):
                overlaps = [shared(text, row, candidate) for candidate in row.candidates]
                assert overlaps == [overlaps[0]] * CANDIDATES
            asked = read(row.question, language, "question")[0].about
            naming = [sentence for sentence in row.sentences if asked and asked in sentence]
            beside = [name for name in row.candidates if any(name in sentence for sentence in naming)]
            expected = [row.candidates[0]] if asked and row.hops == 1 else []
            assert beside == expected
