import csv
import json
from pathlib import Path
from typing import Any

import pytest
from support.published import write_parquet

from xeval.errors import DataError
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag, read_xcopa


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


COPA = {"premise": "P.", "choice1": "A.", "choice2": "B.", "question": "cause", "label": 1, "idx": 0}


def test_xcopa_tells_the_kind_of_question_in_english(tmp_path: Path) -> None:
    path = write(tmp_path / "x", COPA, {**COPA, "question": "effect", "label": 0, "idx": 1})
    examples = read_xcopa([path], "et")
    assert [(e.item_id, e.context, e.choices, e.label) for e in examples] == [
        ("0", "P. What was the cause?", ("A.", "B."), 1),
        ("1", "P. What happened as a result?", ("A.", "B."), 0),
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": -1}, "line 1: 'label' is -1, not one of 0, 1"),
        ({"label": None}, "line 1: 'label' is None"),
        ({"question": "why"}, "line 1: 'question' is 'why', not one of cause, effect"),
        ({"choice2": " "}, "line 1: 'choice2' is missing or empty"),
    ],
)
def test_xcopa_damage(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_xcopa([write(tmp_path / "x", {**COPA, **change})], "et")


def commonsense(choices: str, answer: str | None) -> dict[str, Any]:
    texts = [{"label": letter, "text": f"text {letter}"} for letter in choices]
    key = {} if answer is None else {"answerKey": answer}
    return {**key, "id": "q", "question": {"stem": "Where?", "choices": texts}}


@pytest.mark.parametrize("choices", ["ABC", "ABCDE"])
def test_commonsenseqa_has_three_or_five_choices(tmp_path: Path, choices: str) -> None:
    (example,) = read_commonsenseqa([write(tmp_path / "x", commonsense(choices, "C"))], "en")
    assert (example.context, len(example.choices), example.label) == ("Where?", len(choices), 2)
    assert example.choices[2] == "text C"


def test_commonsenseqa_damage(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'answerKey' is None, not one of A, B, C"):
        read_commonsenseqa([write(tmp_path / "x", commonsense("ABC", None))], "en")
    with pytest.raises(DataError, match="line 1: 'question' needs a 'stem' and a list of 'choices'"):
        read_commonsenseqa([write(tmp_path / "x", {"id": "q", "answerKey": "A", "question": "Where?"})], "en")


COSMOS = {"context": "It rained.", "question": "Why?", **{f"answer{n}": f"a{n}" for n in range(4)}}


def test_cosmosqa_clusters_by_passage(tmp_path: Path) -> None:
    rows = [{"id": name, **COSMOS, "label": 3} for name in ("p", "q")]
    examples = read_cosmosqa([write_csv(tmp_path / "x", *rows)], "en")
    assert [(e.item_id, e.cluster_id, e.context, e.label) for e in examples] == [
        ("p", "p", "It rained. Why?", 3),
        ("q", "p", "It rained. Why?", 3),
    ]
    with pytest.raises(DataError, match="line 2: 'label' is '4'"):
        read_cosmosqa([write_csv(tmp_path / "y", {"id": "p", **COSMOS, "label": 4})], "en")
    unlabelled = write_csv(tmp_path / "z", {"id": "p", **COSMOS})
    with pytest.raises(DataError, match="lacks the column 'label'"):
        read_cosmosqa([unlabelled], "en")


def test_hellaswag_published_and_converted_forms(tmp_path: Path) -> None:
    row = {"endings": ["a", "b ", "c", "d"], "label": 2, "source_id": "video"}
    rows = (
        {"ind": 24, "ctx_a": "A man sits.", "ctx_b": "he", "ctx": "A man sits. he", **row},
        {"ind": 25, "ctx_a": "A man sits.", "ctx_b": "", "ctx": "A man sits.", **row},
        {"ind": 26, "context": "A man sits.", **row, "label": "0"},
    )
    examples = read_hellaswag([write(tmp_path / "x", *rows)], "en")
    # jiant daa5a25: prompt ctx_a, choices "{ctx_b} {ending}"
    assert [(e.item_id, e.cluster_id, e.context, e.choices[1], e.label) for e in examples] == [
        ("24", "video", "A man sits.", "he b", 2),
        ("25", "video", "A man sits.", "b", 2),
        ("26", "video", "A man sits.", "b", 0),
    ]
    columns = {name: [row[name] for row in rows[:2]] for name in rows[0]}
    parquet = write_parquet(tmp_path / "train-0.parquet", {**columns, "label": ["2", "2"]})
    assert read_hellaswag([parquet], "en") == examples[:2]
    with pytest.raises(DataError, match="line 1: 'label' is None"):
        read_hellaswag([write(tmp_path / "y", {**rows[0], "label": None})], "en")
    with pytest.raises(DataError, match="'endings' is no list of texts"):
        read_hellaswag([write(tmp_path / "y", {**rows[0], "endings": ["a", ""]})], "en")
