import hashlib
from pathlib import Path

import pytest

from xeval.errors import DataError
from xeval.sources import HUB, MissingDataError
from xeval.sources.tagging import (
    CcgbankSource,
    read_conllu,
    read_conllu_words,
    read_supertags,
    read_universal_ner,
    read_word_tags,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def row(number: str, form: str, tag: str) -> str:
    return f"{number}\t{form}\t_\t{tag}\t_\t_\t0\troot\t_\t_\n"


def word(number: int, form: str, tag: str, head: int, enhanced: str = "_") -> str:
    return f"{number}\t{form}\t_\t{tag}\t_\t_\t{head}\tdep\t{enhanced}\t_\n"


def test_words_are_written_tokens_or_syntactic_words(tmp_path: Path) -> None:
    text = (
        "# newdoc id = d1\n# sent_id = s1\n# text = zum # Bus\n" + row("0.1", "e", "VERB")
        + row("1-2", "zum", "_") + word(1, "zu", "ADP", 3) + word(2, "dem", "DET", 3) + row("2.1", "x", "_")
        + word(3, "Bus\u200c Bahn", "NOUN", 0) + "\n# sent_id = s2\n" + row("1", "#", "SYM") + "\n\n"
    )  # fmt: skip
    path = write(tmp_path / "de_gsd-ud-test.conllu", text)
    for read in (read_conllu, read_conllu_words):
        assert [(e.item_id, e.cluster_id) for e in read([path], "de")] == [
            ("de_gsd:s1", "de_gsd:d1"),
            ("de_gsd:s2", "de_gsd:d1"),
        ]
    written, _ = read_conllu([path], "de")
    assert (written.words, written.tags) == (("zum", "BusBahn"), ("ADP", "NOUN"))
    syntactic, _ = read_conllu_words([path], "de")
    assert (syntactic.words, syntactic.tags) == (("zu", "dem", "BusBahn"), ("ADP", "DET", "NOUN"))


# What XTREME's conversion script (838c13b, run with networkx 1.11) makes of these sentences; word 3 is the root
# and governs word 4.
@pytest.mark.parametrize(
    ("language", "inner", "tag"),
    [
        # The higher word, whatever the order of the tags says.
        ("de", [("ADP", 2, "_"), ("DET", 3, "_")], "DET"),
        # Enhanced edges give ancestors too; those from empty nodes do not.
        ("de", [("ADP", 3, "_"), ("VERB", 3, "3:dep|4:dep")], "ADP"),
        ("de", [("ADP", 3, "_"), ("VERB", 3, "3:dep|3.1:dep")], "VERB"),
        # Equally high: the order of tags, which some languages have of their own, then the first.
        ("de", [("DET", 3, "_"), ("PRON", 3, "_")], "PRON"),
        ("de", [("ADV", 3, "_"), ("PRON", 3, "_")], "PRON"),
        ("it", [("PRON", 3, "_"), ("ADV", 3, "_")], "ADV"),
        ("fr", [("ADP", 3, "_"), ("ADP", 3, "_")], "ADP"),
    ],
)
def test_the_tag_of_a_contraction(
    tmp_path: Path, language: str, inner: list[tuple[str, int, str]], tag: str
) -> None:
    words = "".join(word(n, "w", *of) for n, of in enumerate(inner, 1))
    text = row("1-2", "ww", "_") + words + word(3, "x", "NOUN", 0) + row("3.1", "e", "VERB")
    path = write(tmp_path / f"{language}_a-ud-test.conllu", text + word(4, "y", "NOUN", 3))
    (example,) = read_conllu([path], language)
    assert (example.words, example.tags) == (("ww", "x", "y"), (tag, "NOUN", "NOUN"))


def test_tags_without_a_rank_come_last(tmp_path: Path) -> None:
    """XTREME's script breaks off here: SYM has no place in its order."""
    text = row("1-3", "w", "_") + word(1, "a", "SYM", 0) + word(2, "b", "SYM", 0) + word(3, "c", "X", 0)
    (example,) = read_conllu([write(tmp_path / "de_gsd-ud-test.conllu", text)], "de")
    assert (example.words, example.tags) == (("w",), ("X",))


def test_a_word_in_a_cycle_is_not_its_own_ancestor(tmp_path: Path) -> None:
    """As XTREME's script has it: word 1 has two ancestors, 4 and the root, word 2 has word 1 too."""
    text = row("1-2", "w", "_") + word(1, "a", "X", 4) + word(2, "b", "VERB", 4) + word(3, "c", "NOUN", 4)
    path = write(tmp_path / "de_gsd-ud-test.conllu", text + word(4, "d", "NOUN", 0, "0:root|1:dep"))
    assert read_conllu([path], "de")[0].tags == ("X", "NOUN", "NOUN")


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
    text = (
        row("1", "_", "DET") + row("2", "_", "NOUN") + "\n" + row("1", "a", "X") + row("2", "_", "PUNCT") + "\n"
        + row("1", "a", "X") + row("2", "b", "X") + row("3", "_", "PUNCT") + "\n" + row("1", "c", "X")
    )  # fmt: skip
    path = write(tmp_path / "fr_ftb-ud-test.conllu", text)
    assert [e.words for e in read_conllu([path], "fr")] == [("a", "b", "_"), ("c",)]
    assert [e.words for e in read_conllu_words([path], "fr")] == [("a", "_"), ("a", "b", "_"), ("c",)]
    only = write(tmp_path / "fr_only-ud-test.conllu", row("1", "_", "DET"))
    for read in (read_conllu, read_conllu_words):
        with pytest.raises(DataError, match="holds no example"):
            read([only], "fr")


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n\n\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_end_of_a_file_loses_no_sentence(tmp_path: Path, ending: str, newline: str) -> None:
    text = (row("1", "a", "DET") + "\n" + row("1", "b", "NOUN").rstrip("\n") + ending).replace("\n", newline)
    (tmp_path / "de_gsd-ud-test.conllu").write_bytes(text.encode())
    examples = read_conllu([tmp_path / "de_gsd-ud-test.conllu"], "de")
    assert [e.words for e in examples] == [("a",), ("b",)]


def test_words_of_invisible_characters_stay_words(tmp_path: Path) -> None:
    forms = ["a", "\u200c", "\u200b", "\u00a0", "\u2028", "b"]
    text = "".join(row(str(number), form, "X") for number, form in enumerate(forms, 1))
    (example,) = read_conllu_words(
        [write(tmp_path / "fa_x-ud-test.conllu", text + row("7", "c", "NOUN"))], "fa"
    )
    assert example.words == ("a", "", "\u200b", "\u00a0", "\u2028", "b", "c")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (row("1", "a", "_"), "line 1: '_' is no universal POS tag"),
        (row("1", "a", "DET") + "2\tb\tNOUN\n", "line 2: 3 columns instead of CoNLL-U's 10"),
        (row("1", "a", "DET") + row("3", "c", "NOUN"), "line 2: word 3 where word 2 is due"),
        (row("1.1", "a", "_"), "line 1: a sentence without words"),
        (row("1-2", "ab", "_") + row("1", "a", "DET"), "line 1: the sentence ends inside a token"),
        (row("2-3", "ab", "_") + row("1", "a", "DET"), "line 1: token 2-3 where word 1 is due"),
        (row("1-3", "a", "_") + row("1-2", "b", "_"), "line 2: token 1-2 where word 1 is due"),
        (row("2-1", "a", "_") + row("1", "b", "DET"), "line 1: token 2-1 where word 1 is due"),
        (row("1_2", "a", "_"), "line 1: word 1_2 where word 1 is due"),
        (row("1-2", "ab", "_") + 2 * row("1", "a", "DET"), "line 3: word 1 where word 2 is due"),
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


def test_a_contraction_without_a_tree_is_refused(tmp_path: Path) -> None:
    text = row("1-2", "ab", "_") + row("1", "a", "DET") + row("2", "b", "NOUN").replace("\t0\t", "\t_\t")
    path = write(tmp_path / "de_gsd-ud-test.conllu", text)
    with pytest.raises(DataError, match="line 3: '_' is no head"):
        read_conllu([path], "de")
    assert len(read_conllu_words([path], "de")[0].words) == 2


# Number of tokens, and the start of the SHA-256 of "word<TAB>tag" lines with a blank line between sentences, of
# what google-research/xtreme at 838c13b makes of the files: conllu_to_conll.py with
# --replace_subtokens_with_fused_forms (networkx 1.11), then _read_one_file and remove_empty_space of
# utils_preprocess.py.
XTREME_TOKENS = {
    "ar": (20747, "f80cb762cf51b71b"),
    "de": (16225, "7fc768a8d05e7fd5"),
    "en": (24740, "f26c1df15ef4300a"),
    "fi": (21043, "19f4b61192b57d8f"),
    "hi": (23829, "0f34a9e6f1acb3ba"),
    "id": (19034, "8f3fe4c157e4e432"),
    "ko": (16584, "0091bd3656dfce24"),
    "mr": (376, "0b90a3c860e388dd"),
    "ru": (19355, "eacd2fbe7862ae3b"),
    "ta": (2536, "1885beee70b91a0c"),
    "te": (721, "d05da0da6ba0a359"),
    "tr": (16535, "6f4566e13a0d209c"),
    "vi": (11692, "dd59c229d3342053"),
    "yo": (8198, "c0ba49121a2221a1"),
    "zh": (12012, "333af15fdadecaa7"),
}
SYNTACTIC_WORDS = {
    "de": 16499,
    "en": 25094,
    "fi": 21070,
    "id": 19446,
    "mr": 412,
    "ta": 2584,
    "tr": 16881,
    "yo": 8243,
}


@pytest.mark.real_data
@pytest.mark.parametrize("language", XTREME_TOKENS)
def test_tokens_and_tags_of_published_treebanks_are_xtremes(real_data: Path, language: str) -> None:
    paths = sorted(real_data.glob(f"udpos/UD_*/{language}_*-ud-test.conllu"))
    examples = read_conllu(paths, language)
    sentences = ["".join(f"{w}\t{t}\n" for w, t in zip(e.words, e.tags, strict=True)) for e in examples]
    digest = hashlib.sha256("\n".join(sentences).encode()).hexdigest()[:16]
    count = sum(len(e.words) for e in examples)
    assert (count, digest) == XTREME_TOKENS[language]
    syntactic = sum(len(e.words) for e in read_conllu_words(paths, language))
    assert syntactic == SYNTACTIC_WORDS.get(language, count)


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


# Derivations in CCGbank's form. The expected words and tags are also what jiant's ccg_proc.py (nyu-mll/jiant-v1-legacy
# 8be1fad) takes from these lines.
DERIVATION = (
    "(<T S[dcl] 0 2> (<T NP 0 2> (<T N 1 2> "
    "(<L N/N NNP NNP Anna N_73/N_73>) (<L N NNP NNP Berg N>) ) (<L , , , , ,>) ) "
    r"(<T S[dcl]\NP 0 1> (<L (S[dcl]\NP)/NP VBZ VBZ sees (S[dcl]\NP_1)/NP_2>) (<L NP NNS NNS cats NP>) ) "
    "(<L . . . . .>) ) "
)
WORDS = ("Anna", "Berg", ",", "sees", "cats", ".")
SUPERTAGS = ("N/N", "N", ",", r"(S[dcl]\NP)/NP", "NP", ".")
SECTIONS = CcgbankSource(("ccgbank_1_1/data/AUTO",))


def derivations(root: Path, section: int, *numbers: int) -> None:
    folder = root / f"ccgbank_1_1/data/AUTO/{section:02}"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"wsj_{section:02}00"
    lines = [f"ID={name}.{n} PARSER=GOLD NUMPARSE=1\n{DERIVATION}\n" for n in numbers]
    write(folder / f"{name}.auto", "".join(lines))


def test_ccgbanks_sections_make_the_splits(tmp_path: Path) -> None:
    for section in range(25):
        derivations(tmp_path, section, 1)
    derivations(tmp_path, 0, 1, 2)
    train, dev, test = (SECTIONS.load(tmp_path, "en", split) for split in ("train", "dev", "test"))
    assert [len(train), len(dev), len(test)] == [20, 3, 3]
    assert [e.item_id for e in train[:3]] == ["wsj_0000.1", "wsj_0000.2", "wsj_0100.1"]
    assert [e.item_id for e in dev] == ["wsj_1900.1", "wsj_2000.1", "wsj_2100.1"]
    assert SECTIONS.digest(tmp_path, "en", "dev") != SECTIONS.digest(tmp_path, "en", "test")
    with pytest.raises(MissingDataError, match=r"tried ccgbank_1_1/data/AUTO/00/wsj_\*\.auto"):
        SECTIONS.files(tmp_path / "elsewhere", "en", "train")
    for root, language in ((tmp_path, "de"), (HUB, "en")):
        with pytest.raises(MissingDataError):
            SECTIONS.files(root, language, "train")
    with pytest.raises(DataError, match="No folder with the data is named"):
        SECTIONS.files(None, "en", "train")


def test_supertags_from_derivations_and_from_derived_lines_are_the_same(tmp_path: Path) -> None:
    derivations(tmp_path, 0, 1)
    (read,) = SECTIONS.load(tmp_path, "en", "train")
    (derived,) = read_supertags(
        [write(tmp_path / "ccg.train", f"{' '.join(WORDS)}\t{' '.join(SUPERTAGS)}\n")], "en"
    )
    for sentence in (read, derived):
        assert (sentence.words, sentence.tags) == (WORDS, SUPERTAGS)  # type: ignore[union-attr]
    (numbered,) = read_supertags([write(tmp_path / "ccg_1363.train", "A cat\t0 17\n")], "en")
    assert numbered.tags == ("0", "17")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("ccg.dev", "A cat\tN/N\n", "line 1: .* 2 columns, 2 words and 1 tags"),
        ("ccg.dev", "A cat\tN/N N\nA cat\n", "line 2: .* 1 columns"),
        ("w.auto", "(<T S 0 1> (<L N NN NN cat N>) )\n", "line 1: no derivation .* after a line with its ID"),
        ("w.auto", "ID=w.1\n(<T S 0 1> (<L N NN cat N>) )\n", "line 2: no derivation"),
    ],
)
def test_damaged_supertags(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_supertags([write(tmp_path / name, text)], "en")
