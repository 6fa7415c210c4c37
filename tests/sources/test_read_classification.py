import json
from pathlib import Path

import pytest
from support.published import NLI_CLASSES, write_parquet

from xeval.errors import DataError
from xeval.sources.classification import (
    PARAPHRASE_LABELS,
    read_anli,
    read_conjnli,
    read_mnli,
    read_pawsx,
    read_qqp,
    read_snli,
    read_translated_mnli,
    read_xnli,
    read_xtreme_translations,
)

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


# 1 is entailment in the field's order, and "-" is what SNLI has where annotators did not agree.
SNLI = [
    ("entailment", "A man sleeps.", "A man rests."),
    ("-", "A man sleeps.", "A man dreams."),
    ("contradiction", "A man sleeps.", "A man runs."),
]


def test_snli_leaves_pairs_without_a_majority_out_and_numbers_them_alike_in_all_layouts(
    tmp_path: Path,
) -> None:
    rows = [{"gold_label": label, "sentence1": a, "sentence2": b} for label, a, b in SNLI]
    columns = (
        "gold_label",
        "sentence1_binary_parse",
        "sentence1",
        "sentence2",
        "captionID",
        "pairID",
        "label1",
    )
    table = [f"{label}\t( A )\t{a}\t{b}\tc\tp\t{label}" for label, a, b in SNLI]
    table[1] = table[1].removesuffix("\t-")  # trailing annotations may be missing
    paths = [
        write(tmp_path / "snli_1.0_dev.jsonl", *map(json.dumps, rows)),
        write(tmp_path / "snli_1.0_dev.txt", "\t".join(columns), *table),
        write_parquet(
            tmp_path / "validation-00000-of-00001.parquet",
            {
                "premise": [a for _, a, _ in SNLI],
                "hypothesis": [b for _, _, b in SNLI],
                "label": [NLI_CLASSES.index(label) if label in NLI_CLASSES else -1 for label, _, _ in SNLI],
            },
            {"label": NLI_CLASSES},
        ),
    ]
    for path in paths:
        assert [(e.item_id, e.first, e.second, e.label) for e in read_snli([path], "en")] == [
            ("snli-1", "A man sleeps.", "A man rests.", "entailment"),
            ("snli-3", "A man sleeps.", "A man runs.", "contradiction"),
        ]
    with pytest.raises(DataError, match="line 1: 'gold_label' is 'hidden', not one of entailment"):
        read_snli([write(tmp_path / "x.jsonl", json.dumps({**rows[0], "gold_label": "hidden"}))], "en")


def test_anli_has_letters_in_its_files_and_classes_on_the_hub(tmp_path: Path) -> None:
    rows = [
        {"uid": f"u{n}", "context": "C.", "hypothesis": f"H{n}.", "label": letter, "reason": "", "tag": ""}
        for n, letter in enumerate("enc")
    ]
    path = write(tmp_path / "dev.jsonl", *map(json.dumps, rows))
    columns = {
        "uid": ["u0", "u1", "u2"], "premise": ["C."] * 3, "hypothesis": ["H0.", "H1.", "H2."], "label": [0, 1, 2],
    }  # fmt: skip
    parquet = write_parquet(tmp_path / "dev_r2-0.parquet", columns, {"label": NLI_CLASSES})
    examples = read_anli([path], "en", round_name="r2")
    assert [(e.item_id, e.first, e.label) for e in examples] == [
        ("r2-u0", "C.", "entailment"),
        ("r2-u1", "C.", "neutral"),
        ("r2-u2", "C.", "contradiction"),
    ]
    assert read_anli([parquet], "en", round_name="r2") == examples
    # classes are known by name: another order in the metadata gives the same labels
    turned = {**columns, "label": [2, 1, 0]}
    parquet = write_parquet(tmp_path / "dev_r2-1.parquet", turned, {"label": NLI_CLASSES[::-1]})
    assert read_anli([parquet], "en", round_name="r2") == examples
    with pytest.raises(DataError, match="line 1: 'label' is 'entailment', not one of e, n, c"):
        read_anli([write(path, json.dumps({**rows[0], "label": "entailment"}))], "en", round_name="r1")


def test_qqp_leaves_broken_lines_out_and_takes_no_quoting(tmp_path: Path) -> None:
    """The expected rows are those of GLUE's own loader (datasets/glue/glue.py of huggingface/datasets 2.x)."""
    path = write(
        tmp_path / "train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        '1\t1\t2\t"How\tWhy?\t1',
        "2\t3\t4\tbroken",
        "3\t5\t6\tA?\t\t0",
        '4\t7\t8\tonly "quote\tB"\t0',
    )
    expected = [
        ("row-1", '"How', "Why?", "duplicate"),
        ("row-3", "A?", "", "not_duplicate"),
        ("row-4", 'only "quote', 'B"', "not_duplicate"),
    ]
    columns = {
        "question1": ['"How', "A?", 'only "quote'], "question2": ["Why?", "", 'B"'], "label": [1, 0, 0],
        "idx": [0, 2, 3],
    }  # fmt: skip
    parquet = write_parquet(tmp_path / "p.parquet", columns, {"label": ("not_duplicate", "duplicate")})
    for each in (path, parquet):
        assert [(e.item_id, e.first, e.second, e.label) for e in read_qqp([each], "en")] == expected
    with pytest.raises(DataError, match="lacks the column 'is_duplicate'; it has id, question1, question2"):
        read_qqp([write(path, "id\tquestion1\tquestion2", "0\ta\tb")], "en")


def test_translated_mnli_is_parallel_by_row(tmp_path: Path) -> None:
    header = "premise\thypo\tlabel"
    english = write(tmp_path / "multinli.train.en.tsv", header, "A\tB\tcontradictory", "C\tD\tneutral")
    german = write(tmp_path / "multinli.train.de.tsv", header, "Ä\tB\tcontradictory", "C\t\tneutral")
    columns = {"premise": ["Ä", "C"], "hypothesis": ["B", ""], "label": [2, 1]}
    parquet = write_parquet(tmp_path / "train-0.parquet", columns, {"label": NLI_CLASSES})
    translated = read_translated_mnli([german], "de")
    assert [(e.item_id, e.first, e.second, e.label) for e in translated] == [
        ("row-1", "Ä", "B", "contradiction"),
        ("row-2", "C", "", "neutral"),
    ]
    assert read_translated_mnli([parquet], "de") == translated
    assert [e.item_id for e in read_translated_mnli([english], "en")] == ["row-1", "row-2"]


def test_xtremes_translations_are_parallel_by_their_english_pair(tmp_path: Path) -> None:
    german = write(tmp_path / "en-de-translated.tsv", "A\tB\tÄ\tB\t1", "C\tD\tC1\tD1\t0", "A\tB\tÄ2\tB2\t0")
    korean = write(tmp_path / "en-ko-translated.tsv", "C\tD\t다\t라\t0", "A\tB\t가\t나\t1")

    def read(path: Path, language: str) -> dict[str, tuple[str, str | None, str]]:
        found = read_xtreme_translations([path], language, labels=PARAPHRASE_LABELS)
        return {e.item_id: (e.first, e.second, e.label) for e in found}

    in_german, in_korean, in_english = read(german, "de"), read(korean, "ko"), read(german, "en")
    assert list(in_german.values())[2] == ("Ä2", "B2", "different")  # the pair that occurs twice
    assert list(in_english) == list(in_german)
    assert in_korean.keys() == set(list(in_german)[:2])
    for item, pair in in_korean.items():
        assert {("가", "나", "paraphrase"): "A", ("다", "라", "different"): "C"}[pair] == in_english[item][0]
    assert len(read_xtreme_translations([german, korean], "en", labels=PARAPHRASE_LABELS)) == 3
    with pytest.raises(DataError, match="line 1: 3 columns instead of 5"):
        read(write(tmp_path / "x.tsv", "A\tB\t1"), "de")
