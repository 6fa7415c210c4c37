"""The texts of every language: fixed, parallel, solvable, balanced, and disjoint between splits."""

import re
import unicodedata
from itertools import combinations

import pytest
from xhops_solver import place_of, read, solve_claim, solve_question

import xeval.xhops.lexicons
from xeval.digests import text_digest
from xeval.errors import DataError, UsageError
from xeval.xhops import CANDIDATES, FAMILIES, LANGUAGES, SPLITS, VERSION, generate
from xeval.xhops.lexicons import lexicon
from xeval.xhops.worlds import draw_world

# A change here changes data that checkpoints were trained on: raise VERSION with it.
GOLDEN_VERSION = "1.0"
GOLDEN = {
    "ar": "b262493054c775c635fc2a2c551a8876",
    "bg": "c65efad4cf51d8bf431eb08890969224",
    "de": "cc87ff5495056bd192380998f1251b4d",
    "en": "d85f474390e7f02de285a14dcfe327f8",
    "es": "cc82f535bf1cb77da6848caf2a1eab6e",
    "fr": "eaba09ca10b7963a949dbd9e54ff6fb1",
    "hi": "02b39c63e0d99a1927aa3b4f96766ab1",
    "id": "b0067d7835f7d9c49080d431fae43258",
    "ja": "cd65dd5b39601f18e947265529790e44",
    "ko": "69efdf5c63c6a0d6f2ee682cfa0bbb83",
    "ru": "a21d5d98461213d17475fe5cd6a2b964",
    "sw": "2fd2a0b76d9ea4c8f2d14a47c131af60",
    "tr": "b1802e00e8909501b7a62601c2b8776a",
    "vi": "4f592372a3126b2bde7d32349a08be73",
    "zh": "0c31e0a6fb079f18054cc7b5c8794305",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_character_is_pinned(language: str) -> None:
    rows = [
        repr(item).replace(", category=''", "")
        for split in SPLITS
        for hops in (1, 2)
        for item in (
            *generate("claim", hops, language, split, 60, seed=3),
            *generate("question", hops, language, split, 60, seed=3),
        )
    ]
    assert (VERSION, text_digest(*rows)) == (GOLDEN_VERSION, GOLDEN[language])


def test_many_languages_and_scripts() -> None:
    scripts = {unicodedata.name(lexicon(language).names["person"][0][0]).split()[0] for language in LANGUAGES}
    assert len(LANGUAGES) >= 8
    assert scripts >= {"LATIN", "CYRILLIC", "CJK", "DEVANAGARI", "ARABIC"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_unambiguous(language: str) -> None:
    words = lexicon(language)
    names = [name for entries in words.names.values() for name in entries]
    patterns = [
        pattern
        for moods in (words.statements, words.questions)
        for links in moods.values()
        for pattern in links.values()
    ]
    folded = [name.casefold() for name in names]
    for one, other in combinations(folded, 2):
        assert one not in other
        assert other not in one
    for pattern in patterns:
        assert not [name for name in folded if name in pattern.casefold()]
    for text in (*names, *patterns):
        assert unicodedata.is_normalized("NFC", text)
        assert text == text.strip()
        assert "  " not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_patterns_have_the_same_slots_and_one_final_mark(language: str) -> None:
    words = lexicon(language)
    for moods, slots in ((words.statements, {"{0}", "{1}"}), (words.questions, {"{0}"})):
        for links in moods.values():
            for pattern in links.values():
                assert set(re.findall(r"\{.*?\}", pattern)) == slots
    statements = {pattern[-1] for links in words.statements.values() for pattern in links.values()}
    questions = {pattern[-1] for links in words.questions.values() for pattern in links.values()}
    assert len(statements) == len(questions) == 1
    assert statements < set(".।。")
    assert questions < set("?؟？。")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_solver_answers_everything(language: str) -> None:
    for hops in (1, 2):
        for split in SPLITS:
            claims = generate("claim", hops, language, split, 60)
            questions = generate("question", hops, language, split, 60)
            assert [solve_claim(item, language) for item in claims] == [item.label for item in claims]
            assert [solve_question(item, language) for item in questions] == [
                item.answers[0].text for item in questions
            ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_spans_and_shape_of_contexts(language: str) -> None:
    words = lexicon(language)
    for item in generate("question", 1, language, "test", 60) + generate("question", 2, language, "test", 60):
        (answer,) = item.answers
        assert item.context[answer.start :].startswith(answer.text)
        facts = read(item.context, language)
        assert sorted(fact.link for fact in facts) == ["first"] * 3 + ["second"] * 3
        for entity in {name for fact in facts for name in (fact.about, fact.said)}:
            sentences = [fact for fact in facts if entity in (fact.about, fact.said)]
            assert item.context.count(entity) == len(sentences)
        # The span lies in the sentence that states the answer, not in one that only names it.
        stating = max((fact for fact in facts if fact.start <= answer.start), key=lambda fact: fact.start)
        assert stating.said == answer.text
        kind = place_of(answer.text, words)[0]
        of_its_kind = [name for name in words.names[kind] if name in item.context]
        assert len(of_its_kind) == CANDIDATES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("hops", [1, 2])
def test_rows_are_parallel_to_english(language: str, hops: int) -> None:
    def content(code: str) -> list[object]:
        words = lexicon(code)

        def entities(text: str, mood: str = "statement") -> list[object]:
            return [
                (fact.link, *(place_of(name, words) for name in (fact.about, fact.said) if name))
                for fact in read(text, code, mood)
            ]

        claims = generate("claim", hops, code, "dev", 40)
        questions = generate("question", hops, code, "dev", 40)
        return [
            (
                *(claim.item_id, claim.cluster_id, claim.hops, claim.label),
                *(question.item_id, question.cluster_id, question.hops),
                *(
                    entities(claim.first),
                    entities(claim.second or ""),
                    entities(question.question, "question"),
                ),
                place_of(question.answers[0].text, words),
            )
            for claim, question in zip(claims, questions, strict=True)
        ]

    assert content(language) == content("en")


def test_the_four_cells_of_a_row_share_world_and_fact() -> None:
    cells = {
        hops: (generate("claim", hops, "en", "test", 100), generate("question", hops, "en", "test", 100))
        for hops in (1, 2)
    }
    for rows in zip(*cells[1], *cells[2], strict=True):
        claim_1, question_1, claim_2, question_2 = rows
        assert len({claim_1.first, question_1.context, claim_2.first, question_2.context}) == 1
        assert len({row.cluster_id for row in rows}) == 1
        assert claim_1.item_id == question_1.item_id != claim_2.item_id == question_2.item_id
        for claim, question in ((claim_1, question_1), (claim_2, question_2)):
            (stated,) = read(claim.second or "", "en")
            (asked,) = read(question.question, "en", "question")
            assert (stated.link, stated.about) == (asked.link, asked.about)
            assert (stated.said == question.answers[0].text) == (claim.label == "true")
            assert stated.said in claim.first


def test_labels_and_relations_are_balanced() -> None:
    for family in FAMILIES:
        for hops in (1, 2):
            items = generate("claim", hops, "en", "train", 400, family=family)
            assert [item.label for item in items].count("true") == 200
            links = [read(item.second or "", "en")[0].link for item in items]
            if hops == 2:
                assert set(links) == {"both"}
                continue
            cells = list(zip(links, (item.label for item in items), strict=True))
            assert {cell: cells.count(cell) for cell in cells} == {
                (link, label): 100 for link in ("first", "second") for label in ("true", "false")
            }


def test_splits_share_no_pair_of_entities_and_rows_do_not_repeat() -> None:
    meeting: dict[str, set[tuple[object, ...]]] = {}
    for split in SPLITS:
        for family in FAMILIES:
            for row in range(1500):
                chains = draw_world(split, 0, family, row).chains
                meeting.setdefault(split, set()).update(
                    (family, one, other, left[one], right[other])
                    for one, other in ((0, 1), (1, 2), (0, 2))
                    for left in chains
                    for right in chains
                )
    assert min(map(len, meeting.values())) > 400
    for one, other in combinations(SPLITS, 2):
        assert not meeting[one] & meeting[other]
    contexts = [item.first for seed in (0, 1) for item in generate("claim", 2, "en", "test", 1000, seed=seed)]
    assert len(set(contexts)) == len(contexts)


def test_sizes_and_families_agree() -> None:
    mixed = generate("claim", 2, "en", "test", 11)
    assert generate("claim", 2, "en", "test", 20)[:11] == mixed
    families = list(FAMILIES)
    assert mixed[0::2] == generate("claim", 2, "en", "test", 6, family=families[0])
    assert mixed[1::2] == generate("claim", 2, "en", "test", 5, family=families[1])
    assert generate("question", 1, "en", "test", 0) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"format": "essay"}, "'essay'"),
        ({"hops": 3}, "3"),
        ({"language": "tlh"}, "'tlh'"),
        ({"split": "all"}, "'all'"),
        ({"size": -1}, "-1"),
        ({"family": "ships"}, "'ships'"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, object], wrong: str) -> None:
    arguments = {"format": "claim", "hops": 1, "language": "en", "split": "test", "size": 2} | change
    with pytest.raises(UsageError, match=wrong):
        generate(**arguments)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [('"Anna", ', "", "23 names instead of 24"), ("separator", "divider", "'separator' is missing")],
)
def test_damaged_lexicons_are_refused(
    old: str, new: str, complaint: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (xeval.xhops.lexicons._ROOT / "en.toml").read_text(encoding="utf-8")
    (tmp_path / "xx.toml").write_text(source.replace(old, new), encoding="utf-8")  # type: ignore[operator]
    monkeypatch.setattr(xeval.xhops.lexicons, "_ROOT", tmp_path)
    with pytest.raises(DataError, match=complaint):
        lexicon("xx")
