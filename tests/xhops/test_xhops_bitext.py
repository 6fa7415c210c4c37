"""The grid's sentences as bitext: parallel, distinct, and hard."""

from itertools import combinations

import pytest
from support.xhops_solver import place_of, read

from xeval.errors import UsageError
from xeval.xhops import LANGUAGES, PAIRS, sentence_pairs
from xeval.xhops.lexicons import lexicon


@pytest.mark.parametrize("language", LANGUAGES)
def test_pairs_say_the_same(language: str) -> None:
    for pair in sentence_pairs(language, 80):
        (source,), (target,) = read(pair.source, language), read(pair.target, "en")
        assert source.relation == target.relation == pair.category
        for one, other in ((source.about, target.about), (source.said, target.said)):
            assert place_of(one, lexicon(language)) == place_of(other, lexicon("en"))


def test_every_sentence_occurs_once_and_has_neighbours_that_differ_in_one_name() -> None:
    pairs = sentence_pairs("en", PAIRS)
    assert len({pair.target for pair in pairs}) == len({pair.item_id for pair in pairs}) == PAIRS == 5200
    for start in range(0, PAIRS, 4):
        group = pairs[start : start + 4]
        assert len({pair.cluster_id for pair in group}) == 1
        facts = [read(pair.target, "en")[0] for pair in group]
        shared = sorted(len(one.names & other.names) for one, other in combinations(facts, 2))
        assert shared == [0, 0, 1, 1, 1, 1]


def test_sizes_and_seeds() -> None:
    pairs = sentence_pairs("fi", 1000)
    assert sentence_pairs("fi", 10) == pairs[:10]
    assert len({pair.category for pair in pairs}) == 13
    assert sentence_pairs("fi", 10, seed=1) != pairs[:10]
    ids = [pair.item_id for pair in pairs]
    assert ids == [pair.item_id for pair in sentence_pairs("ar", 1000)]
    with pytest.raises(UsageError, match="there are 5200 different sentences"):
        sentence_pairs("fi", PAIRS + 1)
    with pytest.raises(UsageError, match="'xx'"):
        sentence_pairs("xx", 1)
