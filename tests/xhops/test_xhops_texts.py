"""The texts of every language: fixed, parallel, solvable, balanced, and disjoint between splits."""

from collections import Counter
from itertools import combinations, product

import pytest
from support.xhops_solver import place_of, read, solve_choice, solve_claim, solve_question

from xeval.digests import text_digest
from xeval.errors import UsageError
from xeval.xhops import (
    FAMILIES,
    FORMATS,
    HOPS,
    LANGUAGES,
    SPLITS,
    VERSION,
    Hops,
    generate,
    rows,
    sentence_pairs,
)
from xeval.xhops.lexicons import LISTS, lexicon
from xeval.xhops.worlds import draw_world

# A change here changes data that checkpoints were trained on: raise VERSION with it.
GOLDEN_VERSION = "2.0.1"
GOLDEN: dict[str, str] = {
    "ar": "4fd6354b9f9e5813377042ca4f8548c4",
    "bg": "bf7f5fc7e9b5b89278b238cf009d4629",
    "bn": "01588272a79a59c20412878838be0984",
    "de": "5fc31ac809f9a50ae084879ad4cab0bd",
    "el": "9a65ecff4211b43833f5b01752aae963",
    "en": "10d59aeb980a68c7336a3a77234a5011",
    "es": "85d72e43f11a910659bb646b829ace2e",
    "fa": "636d3882e07828dbe2a41f2e89c8278b",
    "fi": "aa31b59817f430be2a3eb3aaf0f39514",
    "fr": "e325e62f85ce69dab0cc986fa3fd034a",
    "hi": "6e76e1a38a0ec2c139c38f8296c7b8c7",
    "id": "aeb50e55c53f6ed120c5edf2be9fb559",
    "ja": "8e7ac4888cd16535434610b9d226b148",
    "ko": "4be4ed927ba7740910d78c74f1e0cd5e",
    "ru": "acc46d30d988d7712a11da94da2d96fd",
    "sw": "aab0e582c8db26aa9e9b35a89e11094b",
    "ta": "03b4453a0515850b9528a50ad9951883",
    "te": "e4fd74a0a66e373fbb616089af876818",
    "th": "f36fe8ead34264119e62f94afd8af2a0",
    "tr": "a2e0a966b4d15e4301c5bf4bde85aefb",
    "ur": "57bcb6b14a28862587dae1098b5c335b",
    "vi": "b43e69ce461c2aa7444fad5d3ae0a063",
    "zh": "8b40b38c50f4652650d89742353e35b1",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_character_is_pinned(language: str) -> None:
    items = [
        repr(row) for split, hops in product(SPLITS, HOPS) for row in rows(hops, language, split, 45, seed=3)
    ]
    pairs = [repr(pair) for pair in sentence_pairs(language, 60, seed=3)]
    assert (VERSION, text_digest(*items, *pairs)) == (GOLDEN_VERSION, GOLDEN[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_solver_answers_everything(language: str) -> None:
    for hops, split in product(HOPS, SPLITS):
        claims = generate("claim", hops, language, split, 36)
        questions = generate("question", hops, language, split, 36)
        choices = generate("choice", hops, language, split, 36)
        assert [solve_claim(item, language) for item in claims] == [item.label for item in claims]
        assert [solve_question(item, language) for item in questions] == [
            item.answers[0].text for item in questions
        ]
        assert [solve_choice(item, language) for item in choices] == [[item.label] for item in choices]


def test_a_solver_answers_worlds_of_other_shapes() -> None:
    for chains, depth in product((2, 3, 4), HOPS):
        for hops in HOPS[:depth]:
            items = generate("choice", hops, "tr", "dev", 36, chains=chains, depth=depth)
            assert [solve_choice(item, "tr") for item in items] == [[item.label] for item in items]
            assert {len(item.choices) for item in items} == {chains}
            assert {len(read(item.context, "tr")) for item in items} == {chains * depth}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("hops", HOPS)
def test_rows_are_parallel_to_english(language: str, hops: Hops) -> None:
    def content(code: str) -> list[object]:
        words = lexicon(code)

        def entities(text: str, mood: str = "statement") -> list[object]:
            return [
                (fact.relation, *(place_of(name, words) for name in (fact.about, fact.said) if name))
                for fact in read(text, code, mood)
            ]

        return [
            (
                *(row.item_id, row.cluster_id, row.hops, row.family, row.label, row.order, row.supporting),
                entities(row.context),
                [entities(claim) for claim in row.claims],
                entities(row.question, "question"),
                [place_of(name, words) for name in row.candidates],
            )
            for row in rows(hops, code, "dev", 24)
        ]

    assert content(language) == content("en")


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_relations_and_choices_are_balanced(family: str) -> None:
    for hops in HOPS:
        items = list(rows(hops, "en", "train", 360, family=family))
        asked = [read(item.claim, "en")[0].relation for item in items]
        kinds = 2 if FAMILIES[family].comparison else 4 - hops
        cells = Counter(zip(asked, (item.label for item in items), strict=True))
        assert set(cells.values()) == {360 // (2 * kinds)}
        assert len(cells) == 2 * kinds
        assert Counter(item.order.index(0) for item in items) == dict.fromkeys(range(3), 120)


def test_splits_share_no_pair_of_entities_and_rows_do_not_repeat() -> None:
    meeting: dict[str, set[tuple[object, ...]]] = {}
    for split in SPLITS:
        for family, kind in FAMILIES.items():
            lists = [LISTS.get(role, role) for role in kind.roles]
            for row in range(600):
                chains = draw_world(split, 0, family, row).chains
                meeting.setdefault(split, set()).update(
                    (kind.roles[one], left[one], lists[other], right[other])
                    for one, other in combinations(range(4), 2)
                    for left in chains
                    for right in chains
                )
    assert min(map(len, meeting.values())) > 1000
    for one, other in combinations(SPLITS, 2):
        assert not meeting[one] & meeting[other]
    contexts = [row.context for seed in (0, 1) for row in rows(2, "en", "test", 600, seed=seed)]
    assert len(set(contexts)) == len(contexts)


def test_sizes_and_families_agree() -> None:
    mixed = generate("claim", 2, "en", "test", 11)
    assert generate("claim", 2, "en", "test", 20)[:11] == mixed
    for turn, family in enumerate(FAMILIES):
        alone = generate("claim", 2, "en", "test", 4, family=family)
        assert mixed[turn::3] == alone[: len(mixed[turn::3])]
        assert {item.category for item in alone} == {family}
    assert generate("question", 1, "en", "test", 0) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"format": "essay"}, "'essay'"),
        ({"hops": 4}, "4"),
        ({"language": "tlh"}, "'tlh'"),
        ({"split": "all"}, "'all'"),
        ({"size": -1}, "-1"),
        ({"family": "ships"}, "'ships'"),
        ({"chains": 5}, "5"),
        ({"hops": 3, "depth": 2}, "3 hops need chains of 3 links; depth is 2"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, object], wrong: str) -> None:
    arguments = {"format": "claim", "hops": 1, "language": "en", "split": "test", "size": 2} | change
    with pytest.raises(UsageError, match=wrong):
        generate(**arguments)  # type: ignore[call-overload]
    assert FORMATS == ("claim", "question", "choice")
