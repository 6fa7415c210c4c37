"""xhops: a controlled grid, answer format (claim or question) x hops (1 or 2) x language.

One world is a short context of six sentences: three chains ``head -> bridge -> tail`` (a person works at a
company, the company is in a city), cut into their links and shuffled. One hop asks for a link; two hops ask
for the tail of a head, which no sentence states. Claim and question of a row ask about the same fact, and one
and two hops read the same context: length, entities, sentences and candidates are equal by construction, in
every language. :mod:`xeval.xhops.worlds` says what keeps shortcuts at chance.
"""

from typing import Literal, overload

from xeval.errors import UsageError
from xeval.examples import Answer, Question, TextPair
from xeval.xhops.lexicons import LANGUAGES, Lexicon, lexicon
from xeval.xhops.worlds import CHAINS, ENDS, FAMILIES, GENERATOR, SPLITS, Link, Split, World, draw_world

__all__ = ["CANDIDATES", "CHANCE", "FAMILIES", "LANGUAGES", "SPLITS", "VERSION", "generate"]

LEXICONS = 0
VERSION = f"{GENERATOR}.{LEXICONS}"
"""Pins every character: the first number changes when a world changes, the second when a wording changes."""

CANDIDATES = CHAINS
"""Entities of the answer's type in each context."""

CHANCE = {"claim": 1 / 2, "question": 1 / CANDIDATES}
"""Accuracy of guessing, where a question's reader chooses among the entities of the right type."""


@overload
def generate(
    format: Literal["claim"],
    hops: Literal[1, 2],
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
) -> list[TextPair]: ...


@overload
def generate(
    format: Literal["question"],
    hops: Literal[1, 2],
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
) -> list[Question]: ...


def generate(
    format: Literal["claim", "question"],
    hops: Literal[1, 2],
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
) -> list[TextPair] | list[Question]:
    """The first ``size`` rows of one cell of the grid; a larger size begins with the same rows.

    Args:
        format: "claim" gives context and claim, labelled "true" or "false" (half each, exactly, in every four
            rows of a family); "question" gives a question whose answer is one span of the context.
        hops: 1 or 2 facts to combine. One hop asks for a bridge and for a tail in turn, half each.
        language: one of ``LANGUAGES``. Rows are parallel: same ids, same entities, same answers.
        split: the pairs of entities that stand together in the worlds of one split never do so in another.
        size: number of rows.
        seed: another seed gives other worlds.
        family: one of ``FAMILIES``; None takes the families in turn, each with the very rows it has alone.

    Returns:
        Records whose ``cluster_id`` names the world and whose ``item_id`` names world and hops. A claim and a
        question with the same ``item_id`` are about the same fact.

    Raises:
        UsageError: an argument is outside what is listed above.
    """
    _check("format", format, ("claim", "question"))
    _check("hops", hops, (1, 2))
    _check("language", language, LANGUAGES)
    _check("split", split, SPLITS)
    if size < 0:
        raise UsageError(f"xhops: size is {size}; give the number of rows, 0 or more.")
    if family is not None:
        _check("family", family, tuple(FAMILIES))
    families = tuple(FAMILIES) if family is None else (family,)
    places = (divmod(row, len(families)) for row in range(size))
    worlds = [draw_world(split, seed, families[turn], number) for number, turn in places]
    if format == "claim":
        return [_claim(world, hops, language) for world in worlds]
    return [_question(world, hops, language) for world in worlds]


def _claim(world: World, hops: int, language: str) -> TextPair:
    words = lexicon(language)
    link: Link = "both" if hops == 2 else world.one_hop
    about, said = ENDS[link]
    right, wrong = (words.chain(world.family, chain) for chain in world.chains[:2])
    return TextPair(
        item_id=f"{world.world_id}-{hops}",
        cluster_id=world.world_id,
        first=words.separator.join(_sentences(world, words)),
        second=words.statement(
            world.family, link, right[about], (right if world.claim_is_true else wrong)[said]
        ),
        label="true" if world.claim_is_true else "false",
        hops=hops,
    )


def _question(world: World, hops: int, language: str) -> Question:
    words = lexicon(language)
    link: Link = "both" if hops == 2 else world.one_hop
    about, said = ENDS[link]
    asked = words.chain(world.family, world.chains[0])
    sentences = _sentences(world, words)
    stating = world.facts().index((0, "first" if said == 1 else "second"))
    before = "".join(sentence + words.separator for sentence in sentences[:stating])
    start = len(before) + sentences[stating].index(asked[said])
    return Question(
        item_id=f"{world.world_id}-{hops}",
        cluster_id=world.world_id,
        question=words.question(world.family, link, asked[about]),
        context=words.separator.join(sentences),
        answers=(Answer(asked[said], start),),
        hops=hops,
    )


def _sentences(world: World, words: Lexicon) -> list[str]:
    chains = [words.chain(world.family, chain) for chain in world.chains]
    return [
        words.statement(world.family, link, *(chains[chain][place] for place in ENDS[link]))
        for chain, link in world.facts()
    ]


def _check(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"xhops: {name} is {value!r}; choose one of {', '.join(map(str, allowed))}.")
