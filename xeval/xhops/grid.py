"""The rows of the grid: one world asked at some number of hops, in one language, ready for every format."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xeval.errors import UsageError
from xeval.examples import Answer, MultipleChoice, Question, TextPair
from xeval.xhops.lexicons import LANGUAGES, Lexicon, lexicon
from xeval.xhops.worlds import CHAINS, DEPTH, FAMILIES, MOST_CHAINS, SPLITS, Split, World, draw_world

Format = Literal["claim", "question", "choice"]
Hops = Literal[1, 2, 3]

FORMATS: tuple[Format, ...] = ("claim", "question", "choice")
HOPS: tuple[Hops, ...] = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Row:
    """One fact to find out, in every format.

    Attributes:
        item_id: world and hops; the same in all languages and formats.
        sentences: of the context, in order.
        context: the sentences as one text.
        question: asks for the fact.
        candidates: the entity of each chain that could be the answer; the first one is.
        claims: the statement that each candidate is the answer.
        start: character offset of the answer in the context, in the sentence that settles it.
        supporting: numbers of the sentences that are needed, counted from 0.
        claim_is_true: whether the claim format states ``claims[0]``, else ``claims[1]``.
        order: rows of ``claims`` in the order of the choices.
    """

    item_id: str
    cluster_id: str
    family: str
    hops: int
    sentences: tuple[str, ...]
    context: str
    question: str
    candidates: tuple[str, ...]
    claims: tuple[str, ...]
    start: int
    supporting: tuple[int, ...]
    claim_is_true: bool
    order: tuple[int, ...]

    @property
    def claim(self) -> str:
        """The claim to judge."""
        return self.claims[0 if self.claim_is_true else 1]

    @property
    def label(self) -> str:
        """The claim's label: true or false."""
        return "true" if self.claim_is_true else "false"

    @property
    def choices(self) -> tuple[str, ...]:
        """The claims to choose among; the right one stands at ``order.index(0)``."""
        return tuple(self.claims[chain] for chain in self.order)

    def as_claim(self) -> TextPair:
        """Claim and context, to be judged; what is asked stands first, as it does with questions."""
        return TextPair(
            self.item_id, self.cluster_id, self.claim, self.context, self.label, self.hops, self.family
        )

    def as_question(self) -> Question:
        """Context and question; the answer is one span of the context."""
        answers = (Answer(self.candidates[0], self.start),)
        return Question(
            self.item_id, self.cluster_id, self.question, self.context, answers, self.hops, self.family
        )

    def as_choice(self) -> MultipleChoice:
        """Context and one claim for each candidate, one of which is true; each stands first, like a question."""
        right = self.order.index(0)
        return MultipleChoice(
            self.item_id,
            self.cluster_id,
            self.context,
            self.choices,
            right,
            self.hops,
            self.family,
            choice_first=True,
        )


def rows(
    hops: Hops,
    language: str,
    split: Split,
    size: int,
    seed: int = 0,
    family: str | None = None,
    chains: int = CHAINS,
    depth: int = DEPTH,
) -> Iterator[Row]:
    """The first ``size`` rows at that number of hops; :func:`xeval.xhops.generate` explains the arguments.

    Raises:
        UsageError: an argument is outside its range.
    """
    check("hops", hops, HOPS)
    check("language", language, LANGUAGES)
    check("split", split, SPLITS)
    check("chains", chains, tuple(range(2, MOST_CHAINS + 1)))
    check("depth", depth, HOPS)
    if hops > depth:
        raise UsageError(f"xhops: {hops} hops need chains of {hops} links; depth is {depth}.")
    if size < 0:
        raise UsageError(f"xhops: size is {size}; give the number of rows, 0 or more.")
    if family is not None:
        check("family", family, tuple(FAMILIES))
    families = tuple(FAMILIES) if family is None else (family,)
    words = lexicon(language)
    for place in range(size):
        row, turn = divmod(place, len(families))
        yield _row(draw_world(split, seed, families[turn], row, chains, depth), families[turn], hops, words)


def _row(world: World, family: str, hops: int, words: Lexicon) -> Row:
    roles, facts = world.roles, world.facts()
    named = [
        tuple(words.name(role, place) for role, place in zip(roles, chain, strict=True))
        for chain in world.chains
    ]
    sentences = tuple(
        words.statement(f"{roles[link]}_{roles[link + 1]}", named[chain][link], named[chain][link + 1])
        for chain, link in facts
    )
    start, end = world.asked(hops)
    if world.comparison:
        relation, settled = f"{roles[start]}_{world.extreme}", start
        question = words.question(relation)
        candidates = tuple(chain[start] for chain in named)
        claims = tuple(words.statement(relation, name) for name in candidates)
    else:
        relation, settled = f"{roles[start]}_{roles[end]}", end - 1
        question = words.question(relation, named[0][start])
        candidates = tuple(chain[end] for chain in named)
        claims = tuple(words.statement(relation, named[0][start], name) for name in candidates)
    stating = facts.index((0, settled))
    before = sum(len(sentence) + len(words.separator) for sentence in sentences[:stating])
    return Row(
        item_id=f"{world.world_id}-{hops}",
        cluster_id=world.world_id,
        family=family,
        hops=hops,
        sentences=sentences,
        context=words.separator.join(sentences),
        question=question,
        candidates=candidates,
        claims=claims,
        start=before + sentences[stating].index(candidates[0]),
        supporting=world.supporting(hops),
        claim_is_true=world.claim_is_true,
        order=world.choices,
    )


def check(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise UsageError unless the value is one of those allowed."""
    if value not in allowed:
        raise UsageError(f"xhops: {name} is {value!r}; choose one of {', '.join(map(str, allowed))}.")
