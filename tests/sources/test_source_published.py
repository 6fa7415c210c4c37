"""The table of published counts and digests, and how loaded examples are compared with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from xeval.examples import Answer, Example, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.sources.published import Difference, differences, examples_digest, expected, row_problem
from xeval.tasks import all_tasks, all_training_sets

EXAMPLES: list[Example] = [
    TextPair("1", "1", "a", "b", "neutral"),
    MultipleChoice("2", "2", "a", ("b", "c"), 1),
    TaggedSentence("3", "3", ("a",), ("NOUN",)),
    Question("4", "4", "q", "a b", (Answer("b", 2),)),
    Translation("5", "5", "a", "b"),
]
CHANGED: list[Example] = [
    TextPair("1", "1", "a", "b", "entailment"),
    MultipleChoice("2", "2", "a", ("c", "b"), 1),
    TaggedSentence("3", "3", ("a",), ("VERB",)),
    Question("4", "4", "q", "a b", (Answer("b", 1),)),
    Translation("5", "5", "b", "a"),
]


def test_the_digest_is_of_content_and_order_not_of_ids() -> None:
    digest = examples_digest(EXAMPLES)
    renamed = [replace(e, item_id="x", cluster_id="y", hops=2, category="z") for e in EXAMPLES]
    assert examples_digest(renamed) == digest
    others = [examples_digest([*EXAMPLES[:n], CHANGED[n], *EXAMPLES[n + 1 :]]) for n in range(len(EXAMPLES))]
    others += [examples_digest(EXAMPLES[::-1]), examples_digest(EXAMPLES[:-1]), examples_digest([])]
    assert len({digest, *others}) == len(others) + 1


def test_expected_counts_follow_default_language_and_alternatives() -> None:
    known = (
        expected("tatoeba", "test", "jv"),
        expected("tatoeba", "test", "de"),
        expected("xnli", "dev", "sw"),
    )
    assert [each and each.rows for each in known] == [(205,), (1000,), (2490,)]
    cosmos = expected("commonsenseqa", "dev", "en")
    assert cosmos is not None
    assert cosmos.rows == (1221, 950)
    pos = expected("udpos", "test", "de")
    assert pos is not None
    assert pos.rows == (22358,)
    assert pos.version.startswith("UD 2.5")
    assert expected("udpos-words", "test", "de") == pos
    assert expected("udpos", "test", "fr") is None
    assert expected("unheard-of", "test", "de") is None


def test_wrong_counts_are_one_sentence() -> None:
    assert row_problem("xnli", "test", "de", 5010) is None
    assert row_problem("unheard-of", "test", "de", 1) is None
    problem = row_problem("pawsx", "test", "ko", 1999)
    assert problem is not None
    assert problem.startswith("pawsx, test, ko: 1,999 items, the published data have 2,000; ")
    assert "UD 2.5 (2.7 for lt pl ro uk wo) has 22,358" in str(row_problem("udpos", "test", "de", 977))


def test_differences_of_another_release_are_not_fatal() -> None:
    texts: list[Example] = [Translation(str(n), str(n), "a", "b") for n in range(205)]
    (content,) = differences("tatoeba", "test", "jv", texts)
    assert content.fatal
    assert "texts, labels or order" in content.text
    assert differences("tatoeba", "test", "jv", texts[:-1])[0].fatal
    assert [each.fatal for each in differences("udpos", "test", "mr", texts)] == [False]
    assert differences("unheard-of", "test", "jv", texts) == []
    assert Difference("a", True) != Difference("a", False)


def test_every_language_of_xtremes_tasks_is_known() -> None:
    tasks = all_tasks()
    names = [
        n for n in ("xnli", "pawsx", "panx", "xquad", "mlqa", "tydiqa", "tatoeba", "xcopa") if n in tasks
    ]
    assert len(names) >= 5
    missing = [(n, code) for n in names for code in tasks[n].languages if expected(n, "test", code) is None]
    assert missing == []
    for name in ("mnli", "pawsx-en", "squad", "copa"):
        assert name in all_training_sets()
        assert all(expected(name, split, "en") for split in ("train", "dev"))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["pawsx", "xcopa", "xquad", "tatoeba"])
def test_the_authors_files_have_the_digests_of_the_table(real_data: Path, name: str) -> None:
    task = all_tasks()[name]
    languages = {"pawsx": ("de",), "xquad": ("ar", "th"), "tatoeba": ("jv", "th")}.get(name, ("qu", "th"))
    for language in languages:
        known = expected(name, "test", language)
        assert known is not None
        assert known.digest is not None
        assert differences(name, "test", language, task.source.load(real_data, language, "test")) == []
