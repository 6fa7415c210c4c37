"""The grid's sentences as a hard bitext test: every sentence has near-duplicates that differ in one name."""

from itertools import product

from xeval.errors import UsageError
from xeval.examples import Translation
from xeval.xhops.grid import check
from xeval.xhops.lexicons import LANGUAGES, STATEMENTS, lexicon
from xeval.xhops.worlds import GENERATOR, LIST_SIZE, shuffled

RELATIONS = tuple(relation for relation in STATEMENTS if not relation.endswith(("oldest", "newest")))
GROUP = 4
PAIRS = len(RELATIONS) * LIST_SIZE * LIST_SIZE
"""Sentences that there are: every relation between every two names."""


def sentence_pairs(language: str, size: int, seed: int = 0) -> list[Translation]:
    """Sentences and their English translations, in groups of four: two names in the one place, two in the other.

    No sentence occurs twice, so exactly one English sentence is right; two of its group share one of its two names.

    Args:
        language: one of ``LANGUAGES``; rows are parallel.
        size: number of sentences, at most ``PAIRS``; the first of a larger size are the same.
        seed: another seed pairs other names.

    Returns:
        Translations whose ``cluster_id`` names the group and whose ``category`` is the relation.

    Raises:
        UsageError: the language is unknown, or there are not that many sentences.
    """
    check("language", language, LANGUAGES)
    if not 0 <= size <= PAIRS:
        raise UsageError(f"xhops: size is {size}; there are {PAIRS} different sentences.")
    foreign, english = lexicon(language), lexicon("en")
    key = f"xhops/{GENERATOR}/bitext-{seed}"
    couples = {}
    for relation, role in product(RELATIONS, (0, 1)):
        names = shuffled(f"{key}/{relation}/{role}", LIST_SIZE)
        couples[relation, role] = list(zip(names[::2], names[1::2], strict=True))
    half = LIST_SIZE // 2
    pairs: list[Translation] = []
    for number in shuffled(key, PAIRS // GROUP)[: -(-size // GROUP)]:
        relation = RELATIONS[number // half**2]
        about, said = relation.split("_")
        left, right = divmod(number % half**2, half)
        for one, other in product(couples[relation, 0][left], couples[relation, 1][right]):
            source, target = (
                words.statement(relation, words.name(about, one), words.name(said, other))
                for words in (foreign, english)
            )
            group = f"bitext-{seed}-{number}"
            pairs.append(Translation(f"{group}-{one}-{other}", group, source, target, category=relation))
    return pairs[:size]
