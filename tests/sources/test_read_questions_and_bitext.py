import json
from pathlib import Path
from typing import Any

import pytest

from xeval.errors import DataError
from xeval.examples import Answer
from xeval.sources.bitext import read_tatoeba
from xeval.sources.questions import read_squad, read_tydiqa, read_xquad


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
        ("{", "no SQuAD JSON"),
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
