"""xhops: a controlled grid, answer format (claim, question, choice) x hops (1, 2, 3) x language.

One world is a short context of nine sentences: three chains of three links (an office is in a company, the company
in a city, the city in a country), cut into their links and shuffled. One hop asks for a link; two and three hops
ask for what no sentence states. In the comparison family a chain ends in a year, and the question is which city,
which company in it, or whose office, goes with the oldest or the newest one. All formats of a row ask about the
same fact, and all hops read the same context: length, entities, sentences and candidates are equal by
construction, in every language. :mod:`xeval.xhops.worlds` says what keeps shortcuts at chance.

A false claim differs from a true one in nothing but what belongs together: whatever made it easier to see (an
entity from elsewhere, another kind of entity) would be seen without combining facts. So no feature of one sentence
gives a classifier a first foothold, and a small encoder can stay at a loss of ln 2 for long where it learns questions,
whose targets point at the right sentence. The choice format poses the same claims about the same context against
each other: what they share cancels, and only which one is right remains. What a small encoder can learn it learns in
this order: questions at one hop, at two, choices, claims. In every format what is asked stands before the context, so
that what one format teaches is of use for the next; behind the context, choices and claims stayed at ln 2. Fewer
chains, or shorter ones, make the context shorter and every format easier to learn.
"""

from typing import Literal, overload

from xeval.examples import MultipleChoice, Question, TextPair
from xeval.xhops.bitext import PAIRS, sentence_pairs
from xeval.xhops.export import FILE_FORMATS, FileFormat, write
from xeval.xhops.grid import FORMATS, HOPS, Format, Hops, Row, check, rows
from xeval.xhops.lexicons import LANGUAGES, VERSION
from xeval.xhops.worlds import CHAINS, DEPTH, FAMILIES, SPLITS, Split

__all__ = [
    "CANDIDATES",
    "CHANCE",
    "FAMILIES",
    "FILE_FORMATS",
    "FORMATS",
    "HOPS",
    "LANGUAGES",
    "PAIRS",
    "SPLITS",
    "VERSION",
    "FileFormat",
    "Format",
    "Hops",
    "Row",
    "Split",
    "generate",
    "rows",
    "sentence_pairs",
    "write",
]

CANDIDATES = CHAINS
"""Entities of the answer's type in each context of the usual size."""

CHANCE = {"claim": 1 / 2, "question": 1 / CANDIDATES, "choice": 1 / CANDIDATES}
"""Accuracy of guessing, where a question's reader chooses among the entities of the right type."""


@overload
def generate(
    format: Literal["claim"],
    hops: Hops,
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
    chains: int = CHAINS,
    depth: int = DEPTH,
) -> list[TextPair]: ...


@overload
def generate(
    format: Literal["question"],
    hops: Hops,
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
    chains: int = CHAINS,
    depth: int = DEPTH,
) -> list[Question]: ...


@overload
def generate(
    format: Literal["choice"],
    hops: Hops,
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
    chains: int = CHAINS,
    depth: int = DEPTH,
) -> list[MultipleChoice]: ...


def generate(
    format: Format,
    hops: Hops,
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
    chains: int = CHAINS,
    depth: int = DEPTH,
) -> list[TextPair] | list[Question] | list[MultipleChoice]:
    """The first ``size`` rows of one cell of the grid; a larger size begins with the same rows.

    Args:
        format: "claim" gives context and claim, labelled "true" or "false" (half each, exactly, in every twelve
            rows of a family); "question" gives a question whose answer is one span of the context; "choice" gives
            one claim for each candidate, one of them true.
        hops: 1, 2 or 3 facts to combine. One hop asks for each link of a chain in turn, two hops for each two
            neighbouring links; a comparison counts the links between the answer and what is compared.
        language: one of ``LANGUAGES``. Rows are parallel: same ids, same entities, same answers.
        split: the pairs of entities that stand together in the worlds of one split never do so in another.
        size: number of rows.
        seed: another seed gives other worlds.
        family: one of ``FAMILIES``; None takes the families in turn, each with the very rows it has alone.
        chains: chains of a world, 2 to 4: the number of candidates.
        depth: links of a chain, 1 to 3 and at least ``hops``; the context has ``chains * depth`` sentences. Only
            tasks with equal ``chains`` and ``depth`` differ in nothing but hops and format.

    Returns:
        Records whose ``cluster_id`` names the world and whose ``item_id`` names world and hops; ``category`` is
        the family. Records of all formats with the same ``item_id`` are about the same fact.

    Raises:
        UsageError: an argument is outside what is listed above.
    """
    check("format", format, FORMATS)
    drawn = rows(hops, language, split, size, seed, family, chains, depth)
    if format == "claim":
        return [row.as_claim() for row in drawn]
    if format == "question":
        return [row.as_question() for row in drawn]
    return [row.as_choice() for row in drawn]
