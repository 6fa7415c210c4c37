"""Worlds: which entities stand in a context, in which order, and what is asked; numbers only, no words.

A world holds a few chains of entities, ``office -> company -> city -> country``, one sentence a link. Why reading
one sentence cannot answer two hops or three:

* All candidates are named equally often, by sentences of the same forms, and no sentence names both what is
  asked about and what is asked for.
* Chain 0 is always the one asked about and chain 1 lends the entity of a false claim. Entities and the order
  of the sentences are drawn independently of that: position, frequency, first and last mention carry nothing.
* Every two entities of a context may meet in its split, whether they are linked there or not; so remembering
  pairs from training carries nothing either.

One thing is left to a reader of all chains of a comparison who does not read the question: of three or more, the
chains in the middle are never asked for.

Draws are orderings by SHAKE-128 digests: the same on every machine, with every version of every library.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

GENERATOR = 2
CHAINS = 3
DEPTH = 3
LIST_SIZE = 20
COHORTS = 5
MOST_CHAINS = LIST_SIZE // COHORTS

Split = Literal["train", "dev", "test"]
Extreme = Literal["oldest", "newest"]


@dataclass(frozen=True, slots=True)
class Family:
    """What the entities of a chain are, from head to tail, and how questions about them are posed.

    Attributes:
        roles: what each place of a chain is; a world with shorter chains takes the last places.
        comparison: whether the question is which chain's tail comes first or last, instead of where a chain leads.
    """

    roles: tuple[str, ...]
    comparison: bool = False


FAMILIES = {
    "work": Family(("office", "company", "city", "country")),
    "founding": Family(("office", "company", "city", "year"), comparison=True),
    "dogs": Family(("kennel", "house", "city", "language")),
}

# Entity i of a list belongs to cohort i % 5 (a column of the lexicon files). The entities of one place of a world
# share a cohort, and every link of the world steps from cohort to cohort by the same number. Steps k, 2k and 3k
# (modulo 5) differ for different k, so no two entities that meet in a context of one split, at one, two or three
# links' distance, ever meet in another split.
COHORT_STEPS: dict[Split, tuple[int, ...]] = {"train": (0, 3, 4), "dev": (1,), "test": (2,)}
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

KEPT_WORLDS = 1 << 15
BLOCK = 12
"""Rows of a family in which label, links asked for and extreme are balanced exactly."""


@dataclass(frozen=True, slots=True)
class World:
    """One context and what is asked about it; chain 0 is asked about.

    Attributes:
        roles: what each place of the chains is.
        comparison: whether the family's questions compare the chains.
        chains: places in the lists of names, one chain a tuple.
        order: the facts as the context states them; fact f is link f % depth of chain f // depth.
        turn: 0 to 5; which links the questions ask for, or which extreme.
        claim_is_true: whether the claim names the right entity, else chain 1's.
        choices: the chains whose entities the choices name, in the order of the choices.
    """

    world_id: str
    roles: tuple[str, ...]
    comparison: bool
    chains: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    turn: int
    claim_is_true: bool
    choices: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Links of a chain."""
        return len(self.roles) - 1

    @property
    def extreme(self) -> Extreme:
        """Which end of the comparison is asked for."""
        return "newest" if self.turn % 2 else "oldest"

    def facts(self) -> list[tuple[int, int]]:
        """(chain, link) of each sentence, in the order of the context."""
        return [divmod(fact, self.depth) for fact in self.order]

    def asked(self, hops: int) -> tuple[int, int]:
        """First and last place of the links to combine; a comparison always ends at the tail."""
        starts = self.depth - hops + 1
        start = starts - 1 if self.comparison else self.turn % starts
        return start, start + hops

    def supporting(self, hops: int) -> tuple[int, ...]:
        """Numbers of the sentences that are needed; a comparison needs those of all chains."""
        start, end = self.asked(hops)
        return tuple(
            number
            for number, (chain, link) in enumerate(self.facts())
            if start <= link < end and (self.comparison or chain == 0)
        )


@lru_cache(maxsize=KEPT_WORLDS)  # all languages, formats and hops are about the same worlds
def draw_world(
    split: Split, seed: int, family: str, row: int, chains: int = CHAINS, depth: int = DEPTH
) -> World:
    """World number ``row`` of a family, with ``chains`` chains of ``depth`` links each."""
    stem = f"{split}-{seed}-{family}-{chains}x{depth}"
    world_id = f"{stem}-{row}"
    key = f"xhops/{GENERATOR}/{world_id}"
    cell = shuffled(f"xhops/{GENERATOR}/{stem}-block-{row // BLOCK}", BLOCK)[row % BLOCK]
    steps = COHORT_STEPS[split]
    step = steps[shuffled(f"{key}/step", len(steps))[0]]
    cohort = shuffled(f"{key}/cohort", COHORTS)[0]
    kind = FAMILIES[family]
    columns = [
        _members(f"{key}/{place}", (cohort + place * step) % COHORTS, chains) for place in range(depth + 1)
    ]
    turn = cell % 6
    if kind.comparison:
        years = columns[-1]
        asked = years.index(max(years) if turn % 2 else min(years))
        years[0], years[asked] = years[asked], years[0]
    turns = shuffled(f"xhops/{GENERATOR}/{stem}-choices-{row // chains}", chains)
    first = turns[row % chains]
    others = [1 + other for other in shuffled(f"{key}/choices", chains - 1)]
    return World(
        world_id=world_id,
        roles=kind.roles[-depth - 1 :],
        comparison=kind.comparison,
        chains=tuple(zip(*columns, strict=True)),
        order=tuple(shuffled(f"{key}/order", depth * chains)),
        turn=turn,
        claim_is_true=cell < 6,
        choices=(*others[:first], 0, *others[first:]),
    )


def _members(key: str, cohort: int, count: int) -> list[int]:
    """Different entities of a cohort, in random order."""
    return [cohort + COHORTS * place for place in shuffled(key, MOST_CHAINS)[:count]]


def shuffled(key: str, count: int) -> list[int]:
    """A uniformly random ordering of range(count), fixed by the key."""
    ranks = hashlib.shake_128(key.encode()).digest(8 * count)
    return sorted(range(count), key=lambda item: ranks[8 * item : 8 * item + 8])
