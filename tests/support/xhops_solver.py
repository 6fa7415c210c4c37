"""Reads generated texts back through the patterns, and answers by following the facts."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from xeval.examples import MultipleChoice, Question, TextPair
from xeval.xhops.lexicons import LISTS, Lexicon, lexicon


@dataclass(frozen=True)
class Fact:
    """One relation read from a text; ``said`` is empty for a question, ``start`` counts characters.

    ``about`` is empty for a question that compares, ``said`` for a claim that does.
    """

    relation: str
    about: str
    said: str
    start: int

    @property
    def names(self) -> set[str]:
        return {self.about, self.said} - {""}


@cache
def patterns(language: str, mood: str) -> dict[str, re.Pattern[str]]:
    words = lexicon(language)
    texts = words.statements if mood == "statement" else words.questions
    compiled = {}
    for relation, text in texts.items():
        pattern = re.escape(text)
        for slot, role in enumerate(relation.split("_")):
            names = words.names.get(LISTS.get(role, role), ())
            group = f"(?P<n{slot}>" + "|".join(map(re.escape, names)) + ")"
            pattern = pattern.replace(re.escape(f"{{{slot}}}"), group)
        compiled[relation] = re.compile(pattern)
    return compiled


@cache
def _alternatives(language: str, mood: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """All patterns as one, which a context is read with; the name of a group is its relation."""
    compiled = patterns(language, mood)
    parts = [
        f"(?P<{relation}>"
        + pattern.pattern.replace("?P<n0>", f"?P<{relation}0>").replace("?P<n1>", f"?P<{relation}1>")
        + ")"
        for relation, pattern in compiled.items()
    ]
    return re.compile("|".join(parts)), tuple(compiled)


@lru_cache(maxsize=20_000)
def read(text: str, language: str, mood: str = "statement") -> tuple[Fact, ...]:
    """The facts that a text states, or the one that a question asks for; no character may be left over."""
    facts, position, separator = [], 0, lexicon(language).separator
    pattern, relations = _alternatives(language, mood)
    while position < len(text):
        match = pattern.match(text, position)
        assert match, f"no reading of {text[position:]!r}"
        groups = match.groupdict()
        (relation,) = [name for name in relations if groups[name] is not None]
        about, said = (groups.get(f"{relation}{slot}") or "" for slot in (0, 1))
        facts.append(Fact(relation, about, said, position))
        position = match.end() + len(separator)
    assert position == len(text) + len(separator)
    return tuple(facts)


def sentences(text: str, language: str) -> list[str]:
    """The sentences of a context."""
    gap = len(lexicon(language).separator)
    starts = [*(fact.start for fact in read(text, language)), len(text) + gap]
    return [text[start : end - gap] for start, end in pairwise(starts)]


def answer(facts: tuple[Fact, ...], asked: Fact) -> str:
    """What the facts say to a question, or make of the entity that a claim is about."""
    role, goal = asked.relation.split("_")
    links = {}
    for fact in facts:
        about, said = fact.relation.split("_")
        links[about, fact.about] = (said, fact.said)

    def follow(entity: tuple[str, str], goal: str) -> str:
        while entity[0] != goal:
            entity = links[entity]
        return entity[1]

    if goal not in ("oldest", "newest"):
        return follow((role, asked.about), goal)
    digits = {name: int(name) for name in (said for about, said in links.values() if about == "year")}
    years = {name: digits[follow((about, name), "year")] for about, name in links if about == role}
    return (min if goal == "oldest" else max)(years, key=lambda name: years[name])


def holds(facts: tuple[Fact, ...], claim: Fact) -> bool:
    """Whether a claim follows from the facts."""
    compares = claim.relation.endswith(("oldest", "newest"))
    return answer(facts, claim) == (claim.about if compares else claim.said)


def solve_claim(item: TextPair, language: str) -> str:
    assert item.second is not None
    (claim,) = read(item.first, language)
    return "true" if holds(read(item.second, language), claim) else "false"


def solve_question(item: Question, language: str) -> str:
    (asked,) = read(item.question, language, "question")
    return answer(read(item.context, language), asked)


def solve_choice(item: MultipleChoice, language: str) -> list[int]:
    """The rows of the choices that hold."""
    facts = read(item.context, language)
    return [row for row, choice in enumerate(item.choices) if holds(facts, read(choice, language)[0])]


def place_of(name: str, words: Lexicon) -> tuple[str, int]:
    """The list that holds a name, and where."""
    (found,) = [(kind, names.index(name)) for kind, names in words.names.items() if name in names]
    return found
