import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from xeval.errors import DataError
from xeval.examples import Answer
from xeval.sources.bitext import read_tatoeba
from xeval.sources.questions import (
    read_qed,
    read_squad,
    read_translated_squad,
    read_tydiqa,
    read_xquad,
)


def qa(name: str, text: str = "München", start: int = 3) -> dict[str, Any]:
    return {"id": name, "question": "Wo?", "answers": [{"text": text, "answer_start": start}]}


def squad(path: Path, *articles: list[list[dict[str, Any]]]) -> Path:
    """Every paragraph has another text: "In München. 0-0", "In München. 0-1" and so on."""
    data = [
        {"paragraphs": [{"context": f"In München. {a}-{p}", "qas": qas} for p, qas in enumerate(article)]}
        for a, article in enumerate(articles)
    ]
    path.write_text(json.dumps({"data": data, "version": "1.1"}), encoding="utf-8")
    return path


def test_clusters_are_paragraphs_and_parallel_only_in_xquad(tmp_path: Path) -> None:
    path = squad(tmp_path / "x.json", [[qa("a"), qa("b")], [qa("c")]], [[qa("d")]])
    assert [q.cluster_id for q in read_xquad([path], "de")] == ["1", "1", "2", "3"]
    assert [q.cluster_id for q in read_squad([path], "de")] == ["de-1", "de-1", "de-2", "de-3"]
    first = read_xquad([path], "de")[0]
    assert (first.item_id, first.question, first.context) == ("a", "Wo?", "In München. 0-0")
    assert first.answers == (Answer("München", 3),)


def test_paragraphs_repeated_for_every_question_are_one_cluster(tmp_path: Path) -> None:
    same = {"context": "In München."}
    data = [{"paragraphs": [{**same, "qas": [qa("a")]}]}, {"paragraphs": [{**same, "qas": [qa("b")]}]}]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"data": data}), encoding="utf-8")
    assert [q.cluster_id for q in read_xquad([path], "de")] == ["1", "1"]


def test_white_space_around_texts_is_cut_and_offsets_follow(tmp_path: Path) -> None:
    questions = [{**qa("a", " München ", 4), "question": " Wo? "}]
    path = tmp_path / "x.json"
    paragraph = {"context": "\n In München .\n", "qas": questions}
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    (question,) = read_xquad([path], "de")
    assert (question.question, question.context) == ("Wo?", "In München .")
    assert question.answers == (Answer("München", 3),)
    assert question.context[3:10] == "München"


def test_questions_without_an_answer(tmp_path: Path) -> None:
    path = squad(tmp_path / "x.json", [[qa("a"), {**qa("b"), "answers": []}]])
    assert read_squad([path], "en")[1].answers == ()


def test_misaligned_answers_are_counted(tmp_path: Path) -> None:
    path = squad(tmp_path / "x.json", [[qa("a"), qa("b", start=4), qa("c", start=-8)]])
    with pytest.raises(
        DataError, match="2 answers do not stand where 'answer_start' says, the first one at question b"
    ):
        read_squad([path], "de")


def test_blanked_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the answer of question a is blank .XTREME"):
        read_squad([squad(tmp_path / "x.json", [[qa("a", "", 0)]])], "de")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", r"x\.json: not JSON \(Expecting"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', r"no SQuAD JSON at data\.0\.paragraphs\.0\.context"),
        ('{"data": []}', "holds no example"),
    ],
)
def test_squad_damage(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=problem):
        read_squad([path], "de")


def test_repeated_question_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a' occurs 2 times"):
        read_squad([squad(tmp_path / "x.json", [[qa("a"), qa("a")]])], "de")


def test_tydiqa_takes_one_language(tmp_path: Path) -> None:
    path = squad(tmp_path / "x.json", [[qa("finnish-1")]], [[qa("english-2")]])
    assert [(q.item_id, q.cluster_id) for q in read_tydiqa([path], "en")] == [("english-2", "en-1")]


def tatoeba(folder: Path, foreign: str, english: str) -> list[Path]:
    paths = [folder / "tatoeba.fin-eng.eng", folder / "tatoeba.fin-eng.fin"]
    for path, text in zip(paths, (english, foreign), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_tatoeba_pairs_lines(tmp_path: Path) -> None:
    examples = read_tatoeba(tatoeba(tmp_path, "Hei.\nMoi\u2028.\n", "Hi.\nHello.\n"), "fi")
    assert [(e.item_id, e.cluster_id, e.source, e.target) for e in examples] == [
        ("fi-1", "fi-1", "Hei.", "Hi."),
        ("fi-2", "fi-2", "Moi\u2028.", "Hello."),
    ]


@pytest.mark.parametrize(
    ("foreign", "english", "problem"),
    [
        ("Hei.\nMoi.\n", "Hi.\n", "has 2 lines but .* has 1; they are not aligned"),
        ("Hei.\n\n", "Hi.\nHello.\n", r"fin, line 2: empty"),
        ("Hei.\n", "\n", r"eng\.eng, line 1: empty"),
        ("", "", "holds no example"),
    ],
)
def test_tatoeba_damage(tmp_path: Path, foreign: str, english: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_tatoeba(tatoeba(tmp_path, foreign, english), "fi")


def test_tatoeba_needs_both_sides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one \.eng file and one in the other language are needed"):
        read_tatoeba(tatoeba(tmp_path, "a\n", "b\n")[:1], "fi")


def test_translated_questions_without_a_located_answer_are_left_out(tmp_path: Path) -> None:
    questions = [qa("a"), qa("b", start=-1), qa("c", text="Berlin"), qa("d", text=" ", start=2)]
    path = squad(tmp_path / "x.json", [questions])
    assert [(q.item_id, q.answers) for q in read_translated_squad([path], "de")] == [
        ("a", (Answer("München", 3),))
    ]
    with pytest.raises(DataError, match="holds no example"):
        read_translated_squad([squad(tmp_path / "y.json", [questions[1:]])], "de")


def qed(number: int, answers: list[list[tuple[str, int]]], **changes: Any) -> dict[str, Any]:
    spans = [
        [{"start": start, "end": start + len(text), "string": text} for text, start in a] for a in answers
    ]
    return {
        "example_id": number, "title_text": "T", "url": "u", "question_text": "who won ",
        "paragraph_text": "Ann and Bo .", "sentence_starts": [0], "original_nq_answers": spans,
        "annotation": {"explanation_type": "none"}, **changes,
    }  # fmt: skip


def test_qed_takes_short_answers_and_lists_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "qed-dev.jsonlines"
    both = [("Ann", 0), ("Bo", 8)]
    rows = [qed(-7, [[("Bo", 8)], both, [("Bo", 8)]]), qed(8, [both])]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    first, second = read_qed([path], "en")
    assert (first.item_id, first.cluster_id, first.question, first.category) == (
        "-7",
        "-7",
        "who won",
        "none",
    )
    assert first.answers == (Answer("Bo", 8),)
    assert (second.cluster_id, second.answers) == ("-7", (Answer("Ann", 0), Answer("Bo", 8)))
    for row, problem in (
        (qed(1, [[("Bo", 7)]]), "line 1: the answer 'Bo' does not stand at 7"),
        (qed(1, []), "line 1: no question of QED at original_nq_answers"),
        (qed(1, [both], annotation={}), "at annotation.explanation_type"),
    ):
        path.write_text(json.dumps(row), encoding="utf-8")
        with pytest.raises(DataError, match=problem):
            read_qed([path], "en")


@pytest.mark.real_data
def test_qed_as_published(real_data: Path) -> None:
    examples = read_qed([real_data / "qed/qed-dev.jsonlines"], "en")
    assert len(examples) == 1355
    kinds = Counter(e.category for e in examples)  # counted in the file
    assert kinds == {"single_sentence": 1021, "multi_sentence": 183, "none": 151}
