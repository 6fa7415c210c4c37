"""Text as files bring it: marks, halves of characters and quotes are read or told, in every reader alike."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xeval.errors import DataError
from xeval.sources.bitext import read_tatoeba
from xeval.sources.choice import read_cosmosqa, read_xcopa
from xeval.sources.classification import read_pawsx
from xeval.sources.multihop import read_hotpotqa
from xeval.sources.questions import read_squad
from xeval.sources.quoted import is_quoted, own_tsv_rows
from xeval.sources.tagging import read_conllu, read_word_tags
from xeval.sources.text import parse_json
from xeval.tasks.user_file import task_from_file

BOM = b"\xef\xbb\xbf"
SQUAD = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "a b",
                    "qas": [{"id": "1", "question": "c", "answers": [{"text": "b", "answer_start": 2}]}],
                }
            ]
        }
    ]
}
HOTPOT = [
    {
        "_id": "1",
        "question": "Who?",
        "answer": "Anna",
        "type": "bridge",
        "level": "hard",
        "context": [["A", ["Anna works."]], ["B", ["Boris too."]]],
        "supporting_facts": [["A", 0], ["B", 0]],
    }
]
COPA = {"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "label": 0, "idx": 1}
FILES: dict[str, tuple[str, Callable[..., Any], str]] = {
    "SQuAD": ("x.json", read_squad, json.dumps(SQUAD)),
    "HotpotQA": ("x.json", read_hotpotqa, json.dumps(HOTPOT)),
    "JSON lines": ("x.jsonl", read_xcopa, json.dumps(COPA) + "\n"),
    "TSV": ("x.tsv", read_pawsx, "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n"),
    "CSV": (
        "x.csv",
        read_cosmosqa,
        "id,context,question,answer0,answer1,answer2,answer3,label\n1,a,b,c,d,e,f,0\n",
    ),
    "CoNLL-U": ("x.conllu", read_conllu, "1\tAnna\t_\tPROPN\t_\t_\t0\t_\t_\t_\n\n"),
    "word and tag": ("x.txt", read_word_tags, "Anna\tB-PER\n\n"),
}


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("form", FILES)
def test_a_byte_order_mark_is_no_part_of_the_text(form: str, files: Callable[[str, bytes], Path]) -> None:
    name, read, text = FILES[form]
    (example,) = read([files(name, text.encode())], "de")
    assert read([files(name, BOM + text.encode())], "de") == [example]


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda text: text.encode("utf-16"), r"x\.\w+: UTF-16 text; convert the file to UTF-8"),
        (lambda text: text.replace("a", "a\0").encode(), r"x\.\w+, line \d: a NUL byte"),
        (lambda text: text.encode()[:5] + b"\xff" + text.encode()[5:], r"x\.\w+[:,]"),
    ],
)
def test_what_is_no_text_is_one_sentence_with_the_file(
    form: str, damage: Callable[[str], bytes], problem: str, files: Callable[[str, bytes], Path]
) -> None:
    name, read, text = FILES[form]
    with pytest.raises(DataError, match=problem) as raised:
        read([files(name, damage(text))], "de")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", FILES)
def test_folders_pipes_and_absent_files_are_told_at_once(form: str, tmp_path: Path) -> None:
    name, read, _ = FILES[form]
    path = tmp_path / name
    with pytest.raises(DataError, match=r"no such file; a file with data is needed"):
        read([path], "de")
    path.mkdir()
    with pytest.raises(DataError, match=r"a folder; a file with data is needed"):
        read([path], "de")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"no regular file; a file with data is needed"):
        read([path], "de")


def test_a_file_that_may_not_be_read_is_told(
    files: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    english, foreign = files("tatoeba.deu-eng.eng", b"a\n"), files("tatoeba.deu-eng.deu", b"b\n")

    def refuse(self: Path, *_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"deu-eng\.deu: cannot be read \(Permission denied\); check"):
        read_tatoeba([english, foreign], "de")


@pytest.mark.parametrize(
    ("name", "read", "text", "where"),
    [
        (
            "x.jsonl",
            read_xcopa,
            json.dumps(COPA) + "\n" + json.dumps(COPA | {"premise": "a \ud83d"}),
            ", line 2: ",
        ),
        (
            "x.json",
            read_squad,
            json.dumps(SQUAD, indent=1).replace('"c"', '"c \\ud83d"'),
            ", line 10: holds half",
        ),
        ("x.json", read_hotpotqa, json.dumps(HOTPOT).replace("Who?", "Who \\udc00?"), "json: holds half"),
    ],
)
def test_half_a_character_is_told_with_its_place(
    name: str, read: Callable[..., Any], text: str, where: str, files: Callable[[str, bytes], Path]
) -> None:
    with pytest.raises(DataError, match=r"x\.json") as raised:
        read([files(name, text.encode())], "de")
    assert where in str(raised.value)


def test_whole_characters_outside_the_basic_plane_are_read() -> None:
    assert parse_json('["\\ud83d\\ude00", "\\\\ud83d", "é"]', "x") == ["😀", "\\ud83d", "é"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["\\ud83d"]', r"x: holds half a character \(\\ud83d without its other half\)"),
        ("[" * 100_000 + "]" * 100_000, "x: lists and objects are nested too deeply"),
        ("1" * 10_000, "x: a number has thousands of digits"),
        ('{"a": ', r"x: not JSON \(Expecting value\)"),
    ],
)
def test_json_that_is_no_data_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        parse_json(text, "x")


def written(rows: list[list[str]], **options: Any) -> str:
    file = io.StringIO()
    csv.writer(file, delimiter="\t", **options).writerows(rows)
    return file.getvalue()


ROWS = [
    ["lang", "first", "label"],
    ["de", 'Sie sagte "hallo".', "yes"],
    ["de", '["Anna", "wohnt"]', "no"],
    ["de", "zwei\nZeilen\tund Tab", "no"],
    ["de", "ohne", ""],
]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_a_library_quoted_is_unquoted(
    quoting: Any, end: str, files: Callable[[str, bytes], Path]
) -> None:
    path = files("x.tsv", BOM + written(ROWS, quoting=quoting, lineterminator=end).encode())
    assert [list(row.values()) for _, row in own_tsv_rows(path, ("lang",))] == ROWS[1:]
    assert is_quoted(path)


@pytest.mark.parametrize(
    "lines",
    [
        ["de\tAnna wohnt hier.\tyes"],
        ['de\t5" breit\tyes', 'de\t"Anna kommt\tno'],
        ['de\t["Anna", "wohnt"]\tyes', 'de\t"Anna"\tno'],
        ['de\t"Ja" sagte sie, "gut"\tyes', 'de\t"\tno', 'de\tein "Wort"!\tno'],
    ],
    ids=["no mark", "lone marks", "lists", "speech"],
)
def test_marks_in_a_file_that_is_not_quoted_belong_to_the_text(
    lines: list[str], files: Callable[[str, bytes], Path]
) -> None:
    path = files("x.tsv", "\n".join(["lang\tfirst\tlabel", *lines, ""]).encode())
    assert ["\t".join(row.values()) for _, row in own_tsv_rows(path, ("lang",))] == lines
    assert not is_quoted(path)


@pytest.mark.parametrize(
    "lines",
    [
        ['de\t"Anna wohnt hier."\tyes'],
        ['de\t"Ja, gut"\tyes', "de\tnein\tno"],
        ['de\t"Anna kommt\tno', 'de\tund geht"\tno'],
        ['de\t"Sie sagte \\"hallo\\"."\tno'],
        ['de\t"Sie sagte ""hallo""."\tno', 'de\t5" breit\tno'],
    ],
    ids=["a whole text in marks", "commas", "from one lone mark to another", "backslashes", "both ways"],
)
def test_a_file_that_can_be_read_both_ways_is_refused(
    lines: list[str], files: Callable[[str, bytes], Path]
) -> None:
    path = files("x.tsv", "\n".join(["lang\tfirst\tlabel", *lines, ""]).encode())
    with pytest.raises(DataError, match=r"x\.tsv, line 2: .* cannot be told; write it as \.csv"):
        list(own_tsv_rows(path, ("lang",)))


def test_own_files_of_every_form_tell_what_is_no_text(files: Callable[[str, bytes], Path]) -> None:
    list_cell = 'lang\twords\ttags\nde\t["a \\ud83d"]\t["X"]\n'
    cases = {
        "a.jsonl": (
            '{"lang": "de", "words": ["a \\ud83d"], "tags": ["X"]}',
            "line 1: holds half a character",
        ),
        "b.tsv": (list_cell, "line 2: words: the cell: holds half a character"),
        "c.tsv": (list_cell.replace("ud83d", "n").replace('["X"]', "[" * 99_999), "nested too deeply"),
        "d.jsonl": ('{"lang": "de", "words": ["a"], "tags": ["X"], "hops": 99999999999}', "line 1: hops: "),
        "e.jsonl": ('{"lang": "de", "words": ["a"], "tags": NaN}', "line 1: tags: Field required"),
    }
    for name, (text, problem) in cases.items():
        with pytest.raises(DataError, match=name) as raised:
            task_from_file(files(name, text.encode()), "tagging")
        assert problem in str(raised.value)
