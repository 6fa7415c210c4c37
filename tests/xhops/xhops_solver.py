"""Reads generated texts back through the patterns, and answers by following the facts."""

import re
from dataclasses import dataclass
from functools import cache

from xeval.examples import Question, TextPair
from xeval.xhops.lexicons import Lexicon, lexicon
from xeval.xhops.worlds import ENDS, FAMILIES, Link


@dataclass(frozen=True)
class Fact:
    """One link read from a text; ``said`` is empty for a question, ``start`` counts characters."""

    family: str
    link: Link
    about: str
    said: str
    start: int


@cache
def patterns(language: str, mood: str) -> list[tuple[str, Link, re.Pattern[str]]]:
    words = lexicon(language)
    texts = words.statements if mood == "statement" else words.questions
    compiled = []
    for family, kinds in FAMILIES.items():
        lists = (kinds.head, kinds.bridge, kinds.tail)
        for link, ends in ENDS.items():
            names = ["(" + "|".join(map(re.escape, words.names[lists[place]])) + ")" for place in ends]
            pattern = re.escape(texts[family][link])
            for slot, group in enumerate(names):
                pattern = pattern.replace(re.escape(f"{{{slot}}}"), group)
            compiled.append((family, link, re.compile(pattern)))
    return compiled


def read(text: str, language: str, mood: str = "statement") -> list[Fact]:
    """The facts that a text states, or the one that a question asks for; no character may be left over."""
    facts, position, separator = [], 0, lexicon(language).separator
    while position < len(text):
        matches = [
            (family, link, match)
            for family, link, pattern in patterns(language, mood)
            if (match := pattern.match(text, position))
        ]
        assert len(matches) == 1, f"{len(matches)} readings of {text[position:]!r}"
        family, link, match = matches[0]
        said = match.group(2) if mood == "statement" else ""
        facts.append(Fact(family, link, match.group(1), said, position))
        position = match.end() + len(separator)
    assert position == len(text) + len(separator)
    return facts


def follow(facts: list[Fact], link: Link, about: str) -> str:
    """What the facts say of a head or bridge."""
    says = {(fact.link, fact.about): fact.said for fact in facts}
    if link == "both":
        return says["second", says["first", about]]
    return says[link, about]


def solve_claim(item: TextPair, language: str) -> str:
    assert item.second is not None
    (claim,) = read(item.second, language)
    return "true" if follow(read(item.first, language), claim.link, claim.about) == claim.said else "false"


def solve_question(item: Question, language: str) -> str:
    (asked,) = read(item.question, language, "question")
    return follow(read(item.context, language), asked.link, asked.about)


def place_of(name: str, words: Lexicon) -> tuple[str, int]:
    """The list that holds a name, and where."""
    (found,) = [(kind, names.index(name)) for kind, names in words.names.items() if name in names]
    return found
