import json
from pathlib import Path

import pytest

from xeval.errors import DataError
from xeval.sources.classification import read_conjnli, read_mnli, read_pawsx, read_xnli

XNLI_HEADER = (
    "language\tgold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\tmatch"
)


def xnli_row(language: str, label: str, prompt: int, pair: int) -> str:
    return f'{language}\t{label}\t\t\t\t\t"A {language}\tB\t{prompt}\t{pair}\tfiction\t{label}\tTrue'


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_xnli_takes_one_language_and_clusters_by_premise(tmp_path: Path) -> None:
    rows = [
        xnli_row("de", "neutral", 7, 1),
        xnli_row("en", "neutral", 7, 1),
        xnli_row("de", "entailment", 7, 2),
    ]
    examples = read_xnli([write(tmp_path / "xnli.test.tsv", XNLI_HEADER, *rows)], "de")
    assert [(e.item_id, e.cluster_id, e.first, e.second, e.label) for e in examples] == [
        ("1", "7", '"A de', "B", "neutral"),  # a quotation mark is text, and the first row counts
        ("2", "7", '"A de', "B", "entailment"),
    ]


def test_xnli_jsonl_gives_the_same(tmp_path: Path) -> None:
    row = {"language": "de", "gold_label": "neutral", "sentence1": "A", "sentence2": "B"}
    path = write(tmp_path / "xnli.test.jsonl", json.dumps({**row, "promptID": "7", "pairID": "1"}))
    assert [(e.item_id, e.cluster_id, e.label) for e in read_xnli([path], "de")] == [("1", "7", "neutral")]


def test_xnli_names_the_languages_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "xnli.test.tsv", XNLI_HEADER, xnli_row("sw", "neutral", 7, 1))
    with pytest.raises(DataError, match="no 'de' in it; it has sw"):
        read_xnli([path], "de")


@pytest.mark.parametrize("label", ["-", "", "hidden", "0"])
def test_xnli_refuses_what_is_no_label(tmp_path: Path, label: str) -> None:
    path = write(tmp_path / "xnli.test.tsv", XNLI_HEADER, xnli_row("de", label, 7, 1))
    with pytest.raises(DataError, match=r"line 2: 'gold_label' is .*without labels cannot be scored"):
        read_xnli([path], "de")


def test_xnli_refuses_constant_labels_and_repeated_pairs(tmp_path: Path) -> None:
    rows = [xnli_row("de", "neutral", n, n) for n in range(20)]
    with pytest.raises(DataError, match="all 20 items have the label 'neutral'"):
        read_xnli([write(tmp_path / "a.tsv", XNLI_HEADER, *rows)], "de")
    rows = [xnli_row("de", "neutral", 1, 5), xnli_row("de", "entailment", 1, 5)]
    with pytest.raises(DataError, match="'5' occurs 2 times"):
        read_xnli([write(tmp_path / "b.tsv", XNLI_HEADER, *rows)], "de")


def test_xtremes_prepared_files_with_and_without_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "dev-de.tsv", '"say ""yes"""\tB\tcontradiction', "C\tD\tneutral")
    assert [(e.first, e.second, e.label) for e in read_xnli([path], "de")] == [
        ('say "yes"', "B", "contradiction"),
        ("C", "D", "neutral"),
    ]
    with pytest.raises(DataError, match=r"row 1: no label .XTREME's download script removes"):
        read_xnli([write(tmp_path / "test-de.tsv", "A\tB")], "de")
    assert read_pawsx([write(tmp_path / "p.tsv", "A\tB\t1")], "de")[0].label == "paraphrase"


def test_mnli_leaves_out_items_without_a_majority(tmp_path: Path) -> None:
    row = {"gold_label": "neutral", "sentence1": "A", "sentence2": "B", "promptID": "7", "pairID": "7n"}
    other = {**row, "gold_label": "-", "pairID": "7e"}
    path = write(tmp_path / "multinli_1.0_train.jsonl", json.dumps(row), json.dumps(other))
    assert [(e.item_id, e.cluster_id) for e in read_mnli([path], "en")] == [("7n", "7")]
    header = "gold_label\tsentence1\tsentence2\tpromptID\tpairID\tlabel1\tlabel2"
    path = write(tmp_path / "multinli_1.0_train.txt", header, "neutral\tA\tB\t7\t7n\tneutral")
    assert read_mnli([path], "en")[0].label == "neutral"
    path = write(tmp_path / "multinli.train.en.tsv", "premise\thypo\tlabel", "A\tB\tcontradictory")
    assert read_mnli([path], "en")[0].label == "contradiction"


def test_pawsx_labels_ids_and_untranslated_pairs(tmp_path: Path) -> None:
    rows = ('4\tein "Wort\tB\t1', "6\tNS\tD\t0", "7\tE\t\t0", "8\tNS NS\tF\t0")
    path = write(tmp_path / "test_2k.tsv", "id\tsentence1\tsentence2\tlabel", *rows)
    assert [(e.item_id, e.first, e.label) for e in read_pawsx([path], "de")] == [
        ("4", 'ein "Wort', "paraphrase"),
        ("6", "NS", "different"),
        ("7", "E", "different"),
        ("8", "NS NS", "different"),
    ]
    assert [e.item_id for e in read_pawsx([path], "de", keep_untranslated=False)] == ["4", "8"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("4\tA\tB", "line 2: 3 columns instead of 4"),
        ("4\tA\tB\t2", "line 2: 'label' is '2', not one of 0, 1"),
        ("\tA\tB\t1", "line 2: 'id' is missing or empty"),
    ],
)
def test_pawsx_damage(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_pawsx([write(tmp_path / "test_2k.tsv", "id\tsentence1\tsentence2\tlabel", row)], "de")


def test_conjnli_with_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "conj_dev.tsv", "\ufeffPremise\tHypothesis\tLabel", "A\tB\tentailment")
    assert [(e.item_id, e.label) for e in read_conjnli([path], "en")] == [("conj_dev.tsv:2", "entailment")]
