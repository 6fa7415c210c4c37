"""Worlds: which entities stand in a context, in which order, and what is asked; numbers only, no words.

Why reading one sentence cannot answer two hops:

* All three tails are named once, by sentences of the same form, and no sentence names a head and a tail.
* Chain 0 is always the one asked about and chain 1 lends the entity of a false claim. Entities and the order
  of the sentences are drawn independently of that: position, frequency, first and last mention carry nothing.
* Every head, bridge and tail of a context may meet in its split, whether they are linked there or not; so
  remembering pairs from training carries nothing either.

Draws are orderings by BLAKE2b digests: the same on every machine, with every version of every library.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

GENERATOR = 1
CHAINS = 3
COHORTS = 4

Split = Literal["train", "dev", "test"]
Link = Literal["first", "second", "both"]


@dataclass(frozen=True, slots=True)
class Family:
    """What the entities of a chain head -> bridge -> tail are: names of the lexicons' lists."""

    head: str
    bridge: str
    tail: str


FAMILIES = {
    "work": Family(head="person", bridge="company", tail="city"),
    "dogs": Family(head="dog", bridge="person", tail="country"),
}

LIST_SIZES = {"person": 24, "company": 20, "city": 20, "dog": 20, "country": 20}

ENDS: dict[Link, tuple[int, int]] = {"first": (0, 1), "second": (1, 2), "both": (0, 2)}
"""For each link the place in the chain of what it is about and of what it says."""

# Entity i of a list belongs to cohort i % 4 (a column of the lexicon files). The heads of a world share one
# cohort, likewise its bridges and its tails, and a split may step from cohort to cohort only as listed. The
# steps head-bridge {0, 1} | {2} | {3}, bridge-tail {0} | {1} | {3} and head-tail {0, 1} | {3} | {2} never
# overlap, so no two entities that meet in a context of one split ever meet in another split.
COHORT_STEPS: dict[Split, tuple[tuple[int, int], ...]] = {
    "train": ((0, 0), (1, 0)),
    "dev": ((2, 1),),
    "test": ((3, 3),),
}
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class World:
    """One context and what is asked about it; chain 0 is asked about.

    Attributes:
        chains: three triples (head, bridge, tail) of places in the family's lists.
        order: the facts as the context states them; fact f is link f % 2 (first, second) of chain f // 2.
        one_hop: the link that one hop asks for.
        claim_is_true: whether the claims name the right entity, else chain 1's.
    """

    world_id: str
    family: str
    chains: tuple[tuple[int, int, int], ...]
    order: tuple[int, ...]
    one_hop: Link
    claim_is_true: bool

    def facts(self) -> list[tuple[int, Link]]:
        """(chain, link) of each sentence, in the order of the context."""
        return [(fact // 2, "second" if fact % 2 else "first") for fact in self.order]


def draw_world(split: Split, seed: int, family: str, row: int) -> World:
    """World number ``row`` of a family; (relation of one hop) x (label) is balanced in every four rows."""
    world_id = f"{split}-{seed}-{family}-{row}"
    key = f"xhops/{GENERATOR}/{world_id}"
    block = f"xhops/{GENERATOR}/{split}-{seed}-{family}-block-{row // 4}"
    cell = _shuffled(block, 4)[row % 4]
    steps = COHORT_STEPS[split]
    to_bridge, to_tail = steps[_shuffled(f"{key}/steps", len(steps))[0]]
    cohort = _shuffled(f"{key}/cohort", COHORTS)[0]
    kinds = FAMILIES[family]
    columns = [
        _members(f"{key}/{place}", kind, (cohort + step) % COHORTS)
        for place, kind, step in (
            ("heads", kinds.head, 0),
            ("bridges", kinds.bridge, to_bridge),
            ("tails", kinds.tail, to_bridge + to_tail),
        )
    ]
    return World(
        world_id=world_id,
        family=family,
        chains=tuple(zip(*columns, strict=True)),
        order=tuple(_shuffled(f"{key}/order", 2 * CHAINS)),
        one_hop="second" if cell // 2 else "first",
        claim_is_true=cell % 2 == 0,
    )


def _members(key: str, kind: str, cohort: int) -> list[int]:
    """Three different entities of a cohort, in random order."""
    members = range(cohort, LIST_SIZES[kind], COHORTS)
    return [members[place] for place in _shuffled(key, len(members))[:CHAINS]]


def _shuffled(key: str, count: int) -> list[int]:
    """A uniformly random ordering of range(count), fixed by the key."""

    def rank(item: int) -> bytes:
        return hashlib.blake2b(f"{key}/{item}".encode(), digest_size=16).digest()

    return sorted(range(count), key=rank)
