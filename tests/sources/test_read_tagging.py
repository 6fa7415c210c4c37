from pathlib import Path

import pytest

from xeval.errors import DataError
from xeval.sources.tagging import read_conllu, read_universal_ner, read_word_tags


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def row(number: str, form: str, tag: str) -> str:
    return f"{number}\t{form}\t_\t{tag}\t_\t_\t0\troot\t_\t_\n"


def test_words_are_the_syntactic_words(tmp_path: Path) -> None:
    text = (
        "# newdoc id = d1\n# sent_id = s1\n# text = zum # Bus\n"
        + row("1-2", "zum", "_") + row("1", "zu", "ADP") + row("2", "dem", "DET") + row("2.1", "x", "_")
        + row("3", "Bus\u200c Bahn", "NOUN") + "\n# sent_id = s2\n" + row("1", "#", "SYM") + "\n\n"
    )  # fmt: skip
    examples = read_conllu([write(tmp_path / "de_gsd-ud-test.conllu", text)], "de")
    assert [(e.item_id, e.cluster_id) for e in examples] == [
        ("de_gsd:s1", "de_gsd:d1"),
        ("de_gsd:s2", "de_gsd:d1"),
    ]
    assert (examples[0].words, examples[0].tags) == (("zu", "dem", "BusBahn"), ("ADP", "DET", "NOUN"))


def test_parallel_treebanks_share_ids_and_clusters_across_languages(tmp_path: Path) -> None:
    text = "{}# sent_id = n01001013\n" + row("1", "a", "DET") + "\n"
    with_document = write(tmp_path / "ar_pud-ud-test.conllu", text.format("# newdoc id = n01001013\n"))
    without = write(tmp_path / "ko_pud-ud-test.conllu", text.format(""))
    (one,), (other,) = read_conllu([with_document], "ar"), read_conllu([without], "ko")
    assert (
        (one.item_id, one.cluster_id) == (other.item_id, other.cluster_id) == ("pud:n01001013", "pud:n01001")
    )


def test_several_treebanks_and_unnamed_sentences(tmp_path: Path) -> None:
    text = row("1", "a", "DET") + "\n" + row("1", "b", "NOUN")
    paths = [write(tmp_path / f"de_{name}-ud-test.conllu", text) for name in ("gsd", "hdt")]
    assert [e.item_id for e in read_conllu(paths, "de")] == ["de_gsd:1", "de_gsd:2", "de_hdt:1", "de_hdt:2"]


def test_sentences_without_text_are_left_out(tmp_path: Path) -> None:
    text = row("1", "_", "DET") + row("2", "_", "NOUN") + "\n" + row("1", "a", "X") + row("2", "_", "PUNCT")
    path = write(tmp_path / "fr_ftb-ud-test.conllu", text)
    assert [e.words for e in read_conllu([path], "fr")] == [("a", "_")]
    only = write(tmp_path / "fr_only-ud-test.conllu", row("1", "_", "DET"))
    with pytest.raises(DataError, match="holds no example"):
        read_conllu([only], "fr")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (row("1", "a", "_"), "line 1: '_' is no universal POS tag"),
        (row("1", "a", "DET") + "2\tb\tNOUN\n", "line 2: 3 columns instead of CoNLL-U's 10"),
        (row("1", "a", "DET") + row("3", "c", "NOUN"), "line 2: word 3 where word 2 is due"),
        (row("1-2", "a", "_"), "line 1: a sentence without words"),
        (
            "# sent_id = s\n" + row("1", "a", "DET") + "\n# sent_id = s\n" + row("1", "a", "X"),
            "occurs 2 times",
        ),
        ("\n\n", "holds no example"),
    ],
)
def test_conllu_damage(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_conllu([write(tmp_path / "de_gsd-ud-test.conllu", text)], "de")


def test_universal_ner_scores_three_types(tmp_path: Path) -> None:
    text = (
        "# newdoc id = batch-0000\n# sent_id = batch-0000-0001\n"
        "1\tAnna\tB-PER\t-\tx\n2\tOlympia\tB-OTH\t-\tx\n3\t2020\tI-OTH\t-\tx\n4\t.\tO\t-\t-\n"
    )
    (example,) = read_universal_ner([write(tmp_path / "sr_set-ud-test.iob2", text)], "sr")
    assert example.tags == ("B-PER", "O", "O", "O")
    assert example.cluster_id == example.item_id == "sr_set:batch-0000-0001"


@pytest.mark.parametrize("tag", ["_", "PER", "B-", "X-PER", ""])
def test_universal_ner_refuses_other_tags(tmp_path: Path, tag: str) -> None:
    with pytest.raises(DataError, match=r"line 1: .* is no IOB2 tag"):
        read_universal_ner([write(tmp_path / "da_ddt-ud-test.iob2", f"1\tA\t{tag}\t-\t-\n")], "da")


def test_panx_prefix_is_cut_only_where_it_is_one(tmp_path: Path) -> None:
    original = write(tmp_path / "test", "de:Berlin\tB-LOC\nde::\tO\n\nde:ja\tO\n")
    assert [e.words for e in read_word_tags([original], "de")] == [("Berlin", ":"), ("ja",)]
    prepared = write(tmp_path / "dev-de.tsv", "#\tO\nde:x\tB-LOC\n\n")
    (example,) = read_word_tags([prepared], "de")
    assert (example.item_id, example.words, example.tags) == ("de-1", ("#", "de:x"), ("O", "B-LOC"))


def test_files_without_tags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: a word, a tab and a tag are needed"):
        read_word_tags([write(tmp_path / "test-de.tsv", "a\tO\nb\n")], "de")
    blanked = write(tmp_path / "blank-de.tsv", "a\tO\n\n" * 20)
    with pytest.raises(DataError, match="all 20 items have the label 'O'"):
        read_word_tags([blanked], "de")
