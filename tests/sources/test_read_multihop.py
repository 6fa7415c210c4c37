"""Readers of multi-hop questions: small files in the published layouts, and the published files themselves."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeval.errors import DataError
from xeval.examples import MultipleChoice, Question
from xeval.sources import FileSource, MissingDataError
from xeval.sources.multihop import (
    BABI_ROOMS,
    JEMHOPQA_LINES,
    MINTAKA_LANGUAGES,
    NOWHERE,
    HeldOutSource,
    read_babi_stories,
    read_hotpotqa,
    read_jemhopqa,
    read_mintaka,
    read_musique,
    read_translated_babi,
    read_xhotpotqa,
)


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def well_located(question: Question) -> bool:
    return all(
        question.context.startswith(answer.text, answer.start)
        for answer in question.answers
        if answer.start != NOWHERE
    )


# bAbI.

# The format of the original files, with the first story of qa1's test file as public code quotes it.
STORY = (
    "1 John travelled to the hallway.\n"
    "2 Mary journeyed to the bathroom.\n"
    "3 Where is John? \thallway\t1\n"
    "4 Daniel went back to the bathroom.\n"
    "5 John moved to the bedroom.\n"
    "6 Where is Mary? \tbathroom\t2\n"
    "1 Mary got the milk.\n"
    "2 Mary went to the office.\n"
    "3 Where is the milk? \toffice\t1 2\n"
)


def test_a_babi_question_comes_after_every_statement_so_far(tmp_path: Path) -> None:
    path = tmp_path / "qa2_two-supporting-facts_train.txt"
    path.write_text(STORY)
    first, second, third = read_babi_stories([path], "en")
    assert first.context == ("John travelled to the hallway. Mary journeyed to the bathroom. Where is John?")
    assert second.context == (
        "John travelled to the hallway. Mary journeyed to the bathroom. Daniel went back to the bathroom. "
        "John moved to the bedroom. Where is Mary?"
    )
    assert third.context == "Mary got the milk. Mary went to the office. Where is the milk?"
    assert [e.choices[e.label] for e in (first, second, third)] == ["hallway", "bathroom", "office"]
    assert [e.hops for e in (first, second, third)] == [1, 1, 2]
    assert [e.cluster_id for e in (first, second, third)] == ["qa2-story-1", "qa2-story-1", "qa2-story-2"]
    assert {e.category for e in (first, second, third)} == {"qa2"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("John went.", "line 1: a bAbI line is a number and"),
        ("1", "line 1: a bAbI line is a number and"),
        ("1 Where is John?\tattic\t1", "line 1: a question is followed by one of bathroom"),
        ("1 Where is John?\tkitchen", "line 1: a question is followed by one of bathroom"),
        ("1 Where is John?\tkitchen\t", "line 1: a question is followed by one of bathroom"),
        ("1 John went.", "holds no example"),
    ],
)
def test_damaged_babi(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "qa1_train.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(DataError, match=problem):
        read_babi_stories([path], "en")


def translated(path: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["passage", "question", "question_type", "target"])
        writer.writerows(rows)
    return path


def test_translated_babi_is_one_type_over_all_rooms(tmp_path: Path) -> None:
    rows = [("P.", "Q?", "qa1", "Büro"), ("P.", "Q?", "qa7", "eins"), ("R.", "S?", "qa1", "Flur")]
    first, second = read_translated_babi([translated(tmp_path / "de.csv", rows)], "de", "qa1")
    assert first == MultipleChoice("qa1-1", "qa1-1", "P. Q?", BABI_ROOMS["de"], 5, 1, "qa1")
    assert (second.item_id, second.choices[second.label]) == ("qa1-2", "Flur")
    with pytest.raises(DataError, match="line 2: 'Keller' is none of the rooms Badezimmer"):
        read_translated_babi([translated(tmp_path / "x.csv", [("P.", "Q?", "qa1", "Keller")])], "de", "qa1")
    with pytest.raises(DataError, match="bAbI's rooms are known in ar de en es vi zh, not in 'fr'"):
        read_translated_babi([tmp_path / "de.csv"], "fr", "qa1")


@pytest.mark.real_data
@pytest.mark.parametrize(("kind", "hops", "last_room"), [("qa1", 1, 53), ("qa2", 2, 36), ("qa3", 3, 15)])
def test_published_translations_are_parallel(real_data: Path, kind: str, hops: int, last_room: int) -> None:
    """Also the known share of English items whose answer is the room that the passage mentions last."""
    read = {
        language: read_translated_babi([real_data / f"mlrbench/{language}.csv"], language, kind)
        for language in BABI_ROOMS
    }
    keys = [(e.item_id, e.cluster_id, e.label, e.hops, e.category) for e in read["en"]]
    assert len(keys) == 100
    assert {(key[3], key[4]) for key in keys} == {(hops, kind)}
    for language, examples in read.items():
        assert [(e.item_id, e.cluster_id, e.label, e.hops, e.category) for e in examples] == keys
        assert {e.choices for e in examples} == {BABI_ROOMS[language]}
    passages = [e.context.rpartition(". ")[0] for e in read["en"]]
    guesses = [max(BABI_ROOMS["en"], key=passage.rfind) for passage in passages]
    assert sum(g == e.choices[e.label] for g, e in zip(guesses, read["en"], strict=True)) == last_room


@pytest.mark.real_data
def test_everybody_keeps_one_name_in_chinese(real_data: Path) -> None:
    """The file itself has the asked name in 41 of the 100 passages."""
    people = ("梨花", "美英", "简", "明浩")
    for example in read_translated_babi([real_data / "mlrbench/zh.csv"], "zh", "qa1"):
        passage, _, question = example.context.rpartition("。")
        (asked,) = (name for name in people if name in question)
        assert asked in passage
        assert all(sentence.strip().startswith(people) for sentence in passage.split("。"))


# HotpotQA's layout.

HOTPOT = {
    "_id": "h1",
    "question": "Where is the band from that Ann Lee leads?",
    "answer": "Rome",
    "type": "bridge",
    "level": "hard",
    "supporting_facts": [["Ann Lee", 0], ["The Band", 1]],
    "context": [
        ["Rome", ["Rome is a city."]],
        ["Ann Lee", ["Ann Lee leads The Band.", " She was born in Rome."]],
        ["The Band", ["The Band plays.", " It is a Romeo tribute from Rome."]],
    ],
}


def test_hotpotqa_finds_the_answer_in_a_supporting_fact(tmp_path: Path) -> None:
    (question,) = read_hotpotqa([write_json(tmp_path / "x.json", [HOTPOT])], "en")
    assert question.context == (
        "yes no Rome Rome is a city. Ann Lee Ann Lee leads The Band. She was born in Rome. "
        "The Band The Band plays. It is a Romeo tribute from Rome."
    )
    assert question.answers[0].start == question.context.rindex("Rome")
    assert (question.hops, question.category, question.item_id) == (2, "bridge", "h1")
    (short,) = read_hotpotqa([tmp_path / "x.json"], "en", supporting_only=True)
    assert short.context == question.context.replace("Rome Rome is a city. ", "")
    assert well_located(short)


@pytest.mark.parametrize(("answer", "start"), [("yes", 0), ("no", 4), ("No", 4)])
def test_yes_and_no_are_chosen_from_the_beginning_of_every_context(
    tmp_path: Path, answer: str, start: int
) -> None:
    path = write_json(tmp_path / "x.json", [{**HOTPOT, "answer": answer, "type": "comparison"}])
    (question,) = read_hotpotqa([path], "en")
    assert (question.answers[0].text, question.answers[0].start) == (answer.lower(), start)


def test_an_answer_that_stands_nowhere_is_scored_but_not_trained(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json", [{**HOTPOT, "answer": "Paris"}, {**HOTPOT, "_id": "h2"}])
    questions = read_hotpotqa([path], "en")
    assert [(a.text, a.start == NOWHERE) for q in questions for a in q.answers] == [
        ("Paris", True),
        ("Rome", False),
    ]
    assert [q.item_id for q in read_hotpotqa([path], "en", keep_unlocated=False)] == ["h2"]


def test_hotpotqa_in_parquet_is_the_same(tmp_path: Path) -> None:
    row = {
        "id": HOTPOT["_id"],
        **{name: HOTPOT[name] for name in ("question", "answer", "type", "level")},
        "supporting_facts": {"title": ["Ann Lee", "The Band"], "sent_id": [0, 1]},
        "context": {
            "title": [title for title, _ in HOTPOT["context"]],
            "sentences": [sentences for _, sentences in HOTPOT["context"]],
        },
    }
    parquet = write_parquet(tmp_path / "x.parquet", [row])
    assert read_hotpotqa([parquet], "en") == read_hotpotqa([write_json(tmp_path / "x.json", [HOTPOT])], "en")


@pytest.mark.parametrize(
    ("kind", "hops"),
    [("compositional", 2), ("inference", 2), ("bridge_comparison", 4), ("bridge-comparison", 4)],
)
def test_2wikimultihopqa_counts_hops_by_type(tmp_path: Path, kind: str, hops: int) -> None:
    row = {**HOTPOT, "type": kind, "evidences": [["Ann Lee", "leads", "The Band"]]}
    (question,) = read_hotpotqa([write_json(tmp_path / "x.json", [row])], "en")
    assert (question.hops, question.category) == (hops, kind)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": " "}, r"at 0.answer .*without answers cannot be scored"),
        ({"type": "riddle"}, "the type of question h1 is 'riddle', not one of bridge"),
        ({"context": [["T"]]}, "at 0.context"),
    ],
)
def test_damaged_hotpotqa(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_hotpotqa([write_json(tmp_path / "x.json", [{**HOTPOT, **change}])], "en")
    (tmp_path / "cut.json").write_text(json.dumps([HOTPOT])[:-9])
    with pytest.raises(DataError, match=r"cut\.json: not JSON"):
        read_hotpotqa([tmp_path / "cut.json"], "en")


def test_supporting_sentences_beyond_the_paragraph_are_no_error(tmp_path: Path) -> None:
    """HotpotQA has some; their title still tells the paragraph."""
    row = {**HOTPOT, "supporting_facts": [["Rome", 7]]}
    (question,) = read_hotpotqa([write_json(tmp_path / "x.json", [row])], "en", supporting_only=True)
    assert question.context == "yes no Rome Rome is a city."


@given(
    st.lists(st.text("ab ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=5),
    st.text("ab", min_size=1, max_size=3),
)
def test_located_answers_stand_where_they_are_said_to(sentences: list[str], answer: str) -> None:
    from xeval.sources.multihop import _extractive, _Piece

    pieces = [_Piece(sentence, bool(n % 2)) for n, sentence in enumerate(sentences)]
    question = _extractive("1", "1", "Q?", pieces, [answer], 2, "", ("yes", "no"))
    assert well_located(question)
    assert (question.answers[0].start == NOWHERE) == all(answer not in piece.text for piece in pieces)


@pytest.mark.real_data
def test_published_hotpotqa(real_data: Path) -> None:
    questions = read_hotpotqa([real_data / "hotpotqa/qa_train_100.json"], "en")
    assert len(questions) == 100
    assert [sum(q.category == kind for q in questions) for kind in ("bridge", "comparison")] == [78, 22]
    assert all(well_located(q) and q.answers[0].start != NOWHERE for q in questions)
    assert sum(q.answers[0].start < len("yes no") for q in questions) == 9  # yes twice, no seven times
    short = read_hotpotqa([real_data / "hotpotqa/qa_train_100.json"], "en", supporting_only=True)
    assert all(well_located(q) and q.answers[0].start != NOWHERE for q in short)
    assert sum(len(q.context) for q in short) < sum(len(q.context) for q in questions) / 4


# XHotpotQA.


@pytest.mark.parametrize("sentence", ["sentence_id", "sentence_index"])
def test_xhotpotqa_asks_english_paragraphs(tmp_path: Path, sentence: str) -> None:
    row = {
        "id": "x1",
        "source_id": "h1",
        "question": "Woher kommt die Band?",
        "answer": "Rom",
        "question_language": "de",
        "source_answer": "Rome",
        "question_type": "bridge",
        "status": "accepted",
        "candidates": [
            {
                "paragraph_id": f"p{n}",
                "source_title": title,
                "source_sentences": sentences,
                "sentences": ["übersetzt"],
            }
            for n, (title, sentences) in enumerate(HOTPOT["context"])
        ],
        "supporting_facts": [
            {"source_title": title, sentence: number} for title, number in HOTPOT["supporting_facts"]
        ],
    }
    rows = [row, {**row, "id": "x2", "question_language": "fr"}, {**row, "id": "x3", "status": "quarantined"}]
    path = write_parquet(tmp_path / "x.parquet", rows)
    (question,) = read_xhotpotqa([path], "de")
    (english,) = read_hotpotqa([write_json(tmp_path / "x.json", [HOTPOT])], "en")
    assert (question.item_id, question.cluster_id) == ("x1", "h1")
    assert question.question == "Woher kommt die Band?"
    assert (question.context, question.answers) == (english.context, english.answers)
    (short,) = read_xhotpotqa([path], "de", supporting_only=True)
    assert len(short.context) < len(question.context)
    with pytest.raises(DataError, match="holds no example"):
        read_xhotpotqa([path], "sw")


# MuSiQue.

MUSIQUE = {
    "id": "3hop1__11_22_33",
    "question": "Who?",
    "answer": "G. Stanley Hall",
    "answer_aliases": ["Stanley Hall", "G. Stanley Hall"],
    "answerable": True,
    "paragraphs": [
        {"idx": 0, "title": "A", "paragraph_text": "Stanley Hall spoke.", "is_supporting": False},
        {"idx": 1, "title": "B", "paragraph_text": "It was Stanley Hall.", "is_supporting": True},
    ],
    "question_decomposition": [{"id": n, "question": "?", "answer": "x"} for n in (11, 22, 33)],
}


def test_musique_lines_and_lists(tmp_path: Path) -> None:
    lines = tmp_path / "x.jsonl"
    unanswerable = {**MUSIQUE, "id": "2hop__1_2", "answerable": False}
    lines.write_text("".join(f"{json.dumps(row)}\n" for row in (MUSIQUE, unanswerable)))
    (question,) = read_musique([lines], "en")
    assert [question] == read_musique([write_json(tmp_path / "x.json", [MUSIQUE])], "en")
    assert (question.hops, question.category, question.cluster_id) == (3, "3hop1", "33")
    assert question.context == "A Stanley Hall spoke. B It was Stanley Hall."
    # What can be trained comes first; the main answer stands nowhere.
    assert [(a.text, a.start) for a in question.answers] == [
        ("Stanley Hall", question.context.rindex("Stanley")),
        ("G. Stanley Hall", NOWHERE),
    ]
    (short,) = read_musique([lines], "en", supporting_only=True)
    assert short.context == "B It was Stanley Hall."
    with pytest.raises(DataError, match=r"at 0\.id"):
        read_musique([write_json(tmp_path / "y.json", [{**MUSIQUE, "id": "hop__1"}])], "en")


@pytest.mark.real_data
def test_published_musique(real_data: Path) -> None:
    questions = read_musique([real_data / "musique/qa_train_100.json"], "en")
    assert [sum(q.hops == hops for q in questions) for hops in (2, 3, 4)] == [68, 27, 5]
    assert all(well_located(q) and q.answers[0].start != NOWHERE for q in questions)


# Mintaka.


def mintaka(item: str, answer: Any, kind: str = "entity", complexity: str = "multihop") -> dict[str, Any]:
    """An item in the layout that the data set's README describes."""
    if kind == "entity" and answer is not None:
        answer = [
            {"name": f"Q{a}", "label": {code: f"{a}-{code}" for code in MINTAKA_LANGUAGES}} for a in answer
        ]
    return {
        "id": item,
        "question": f"Which {item}?",
        "translations": {code: f"{code} {item}?" for code in MINTAKA_LANGUAGES if code != "en"},
        "answer": {"answerType": kind, "answer": answer, "mention": "text"},
        "category": "movies" if item < "m" else "sports",
        "complexityType": complexity,
    }


ENTITIES = [mintaka(name, [name.upper()]) for name in ("a", "b", "c", "d", "e", "x")]


def test_mintaka_chooses_among_answers_of_the_same_kind(tmp_path: Path) -> None:
    rows = [
        *ENTITIES,
        mintaka("n", ["n"], complexity="comparative"),
        mintaka("f", [True], "boolean"),
        mintaka("g", [4], "numerical"),
        *(mintaka(f"h{n}", [n], "numerical", "count") for n in range(4)),
    ]
    path = write_json(tmp_path / "x.json", rows)
    read = {code: read_mintaka([path], code, ("multihop", "generic")) for code in ("en", "ja")}
    for code, examples in read.items():
        by_id = {e.item_id: e for e in examples}
        assert list(by_id) == ["a", "b", "c", "d", "e", "x", "f", "g"]
        assert all(e.choices[e.label] == f"{e.item_id.upper()}-{code}" for e in examples[:6])
        assert all(len(set(e.choices)) == 4 for e in examples[:6])
        # Of movies there are four other answers; of sports too few, so that all topics are drawn from.
        assert all(set(by_id[item].choices) <= {f"{a}-{code}" for a in "ABCDE"} for item in "abcde")
        assert by_id["g"].choices[by_id["g"].label] == "4"
        assert set(by_id["g"].choices) <= set("01234")
        assert {(e.hops, e.category) for e in examples} == {(2, "multihop")}
    assert read["en"][6].choices == ("yes", "no")
    assert (read["ja"][6].choices, read["ja"][6].label) == (("はい", "いいえ"), 0)
    assert [(e.item_id, e.label) for e in read["en"]] == [(e.item_id, e.label) for e in read["ja"]]
    assert read["en"][0].context == "Which a?"
    assert read["ja"][0].context == "ja a?"


def test_mintaka_draws_by_the_items_id_alone(tmp_path: Path) -> None:
    forward = read_mintaka([write_json(tmp_path / "x.json", ENTITIES)], "de", ("multihop",))
    backward = read_mintaka([write_json(tmp_path / "y.json", ENTITIES[::-1])], "de", ("multihop",))
    assert forward == backward[::-1]


def test_mintaka_leaves_out_in_all_languages_what_one_cannot_say(tmp_path: Path) -> None:
    unnamed = mintaka("f", ["F"])
    unnamed["answer"]["answer"][0]["label"]["hi"] = None
    rows = [*ENTITIES, unnamed, mintaka("g", ["G", "H"]), mintaka("i", None)]
    path = write_json(tmp_path / "x.json", rows)
    for code in MINTAKA_LANGUAGES:
        examples = read_mintaka([path], code, ("multihop",))
        assert [e.item_id for e in examples] == [row["id"] for row in ENTITIES]
        assert not any(choice.startswith("F") for e in examples for choice in e.choices)


def test_mintaka_never_offers_a_namesake_of_the_answer(tmp_path: Path) -> None:
    namesake = mintaka("f", ["F"])
    namesake["answer"]["answer"][0]["label"]["de"] = "A-de"
    path = write_json(tmp_path / "x.json", [*ENTITIES, namesake])
    for code in ("de", "en"):
        by_id = {e.item_id: e for e in read_mintaka([path], code, ("multihop",))}
        assert f"A-{code}" not in by_id["f"].choices or code == "de"
        assert len(set(by_id["f"].choices)) == 4
        assert by_id["f"].choices[by_id["f"].label] == ("A-de" if code == "de" else "F-en")
    with pytest.raises(DataError, match="fewer than 4 different answers of type entity, which question a"):
        read_mintaka([write_json(tmp_path / "y.json", ENTITIES[:3])], "de", ("multihop",))
    with pytest.raises(
        DataError, match="Mintaka's answers are known in ar de en es fr hi it ja pt, not in 'sw'"
    ):
        read_mintaka([path], "sw", ("multihop",))


# JEMHopQA.


def jemhopqa(number: int, answer: str | None = None) -> dict[str, Any]:
    return {
        "qid": f"q{number}",
        "type": "compositional",
        "question": f"作品{number}の作者の出身地は？",
        "answer": f"町{number}" if answer is None else answer,
        "derivations": [
            [f"作品{number}", "作者", [f"人{number}"]],
            [f"人{number}", "出身地", [f"町{number}", f"国{number}"]],
        ],
        "page_ids": ["1", "2"],
        "time_dependent": False,
    }


def test_jemhopqa_mixes_the_facts_with_others_like_them(tmp_path: Path) -> None:
    rows = [jemhopqa(n) for n in range(12)] + [jemhopqa(12, "YES"), jemhopqa(13, "火星")]
    path = write_json(tmp_path / "x.json", rows)
    questions = read_jemhopqa([path], "ja")
    for number, question in enumerate(questions):
        start, lines = question.context[:7], question.context[7:].split(" ")
        assert start == "YES NO "
        assert len(set(lines)) == len(lines) == JEMHOPQA_LINES
        assert {f"作品{number}の作者は人{number}。", f"人{number}の出身地は町{number}、国{number}。"} <= set(
            lines
        )
        assert well_located(question)
        assert question.hops == 2
    assert [q.answers[0].start == NOWHERE for q in questions] == [False] * 13 + [True]
    assert questions[12].answers[0].start == 0
    places = {q.context[7:].split(" ").index(f"作品{n}の作者は人{n}。") for n, q in enumerate(questions)}
    assert len(places) > 1  # the item's own facts stand anywhere
    assert read_jemhopqa([path], "ja") == questions
    with pytest.raises(DataError, match="too few facts to give question q0 10 lines"):
        read_jemhopqa([write_json(tmp_path / "y.json", rows[:3])], "ja")


@pytest.mark.real_data
def test_published_jemhopqa(real_data: Path) -> None:
    questions = read_jemhopqa([real_data / "jemhopqa/dev_ver1.2.json"], "ja")
    assert len(questions) == 120
    assert [sum(q.category == kind for q in questions) for kind in ("compositional", "comparison")] == [
        47,
        73,
    ]
    assert [sum(q.hops == hops for q in questions) for hops in (2, 4)] == [119, 1]
    assert sum(q.answers[0].text in ("YES", "NO") and q.answers[0].start in (0, 4) for q in questions) == 45
    assert all(well_located(q) for q in questions)
    assert sum(q.answers[0].start == NOWHERE for q in questions) == 1


# Held-out dev data.


def test_dev_data_are_held_out_by_cluster(tmp_path: Path) -> None:
    story = "1 John went to the office.\n2 Where is John?\toffice\t1\n3 John is where?\toffice\t1\n"
    other = story.replace("office", "garden")
    (tmp_path / "qa1_x_train.txt").write_text((story + other) * 300)
    source = HeldOutSource(FileSource(("qa1_*_{split}.txt",), read_babi_stories))
    train, dev = (source.load(tmp_path, "en", split) for split in ("train", "dev"))
    assert len(train) + len(dev) == 1200
    assert 20 < len(dev) < 120
    assert {e.cluster_id for e in train}.isdisjoint(e.cluster_id for e in dev)
    assert source.files(tmp_path, "en", "dev") == source.files(tmp_path, "en", "train")
    assert source.digest(tmp_path, "en", "dev") != source.digest(tmp_path, "en", "train")
    with pytest.raises(MissingDataError, match="No test data for en"):
        source.load(tmp_path, "en", "test")
