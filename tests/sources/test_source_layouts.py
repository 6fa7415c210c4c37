"""One data set in the authors' files, on the hub and in XTREME's folder gives the same examples; damage is named."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from support.published import NLI_CLASSES, UPOS, write_all, write_hub, write_parquet, write_xtreme_folder

from xeval.errors import DataError
from xeval.examples import Example, TaggedSentence, TextPair
from xeval.sources import FileSource, HubSource
from xeval.sources.bitext import read_tatoeba
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag, read_xcopa
from xeval.sources.classification import read_mnli, read_pawsx, read_xnli, read_xnli_parquet
from xeval.sources.parquet import ParquetTags, parquet_rows
from xeval.sources.questions import read_squad, read_tydiqa, read_xquad
from xeval.sources.xtreme import REVISIONS, XTREME_SOURCES

AUTHORS = {
    "xnli": FileSource(("XNLI-1.0/xnli.{split}.tsv",), read_xnli),
    "pawsx": FileSource(("x-final/{lang}/{split}_2k.tsv",), read_pawsx),
    "xquad": FileSource(("xquad/xquad.{lang}.json",), read_xquad),
    "xcopa": FileSource(("xcopa/{lang}/{split}.{lang}.jsonl",), read_xcopa),
    "tatoeba": FileSource(("tatoeba/tatoeba.{iso3}-eng.*",), read_tatoeba),
}
WITHOUT_IDS = {"xnli", "pawsx"}
read_pos = ParquetTags("tokens", "pos_tags", tuple(UPOS), removed=" \u200c")


def without_ids(examples: Sequence[Example]) -> list[Example]:
    return [replace(example, item_id="", cluster_id="") for example in examples]


@pytest.mark.parametrize("name", AUTHORS)
def test_hub_and_authors_files_give_equal_examples(tmp_path: Path, name: str) -> None:
    authors = AUTHORS[name].load(write_all(tmp_path / "files"), "zh", "test")
    hub = write_hub(tmp_path / "hub")
    sources = [source for source in XTREME_SOURCES[name] if isinstance(source, HubSource)]
    assert sources
    for source in sources:
        found = source.load(hub, "zh", "test")
        if name in WITHOUT_IDS and source.repository != "google-research-datasets/paws-x":
            assert [e.item_id for e in found] == [f"row-{n}" for n in range(1, 13)]
            authors, found = without_ids(authors), without_ids(found)
        assert found == authors


@pytest.mark.parametrize("name", ["xnli", "pawsx", "xquad", "xcopa", "panx", "udpos"])
def test_xtremes_folder_gives_equal_examples_where_labels_are_left(tmp_path: Path, name: str) -> None:
    root = write_xtreme_folder(tmp_path / "folder", blanked=False)
    folder = XTREME_SOURCES[name][-1].load(root, "zh", "test")
    if name in AUTHORS:
        other = AUTHORS[name].load(write_all(tmp_path / "files"), "zh", "test")
    else:
        words = {"udpos": "udpos-words"}.get(name, name)
        other = XTREME_SOURCES[words][0].load(write_hub(tmp_path / "hub"), "zh", "test")
    if name in WITHOUT_IDS:
        folder, other = without_ids(folder), without_ids(other)
    assert folder == other


def test_datasets_finds_the_same_rows_in_a_folder_of_the_hubs_layout(tmp_path: Path) -> None:
    """Split, classes and order are those that ``load_dataset`` gives for the repository's name."""
    hub = write_hub(tmp_path / "hub")
    options: dict[str, Any] = {"split": "test", "cache_dir": str(tmp_path / "cache")}
    rows = datasets.load_dataset(str(hub / "facebook/xnli"), data_dir="de", **options)
    found = XTREME_SOURCES["xnli"][0].load(hub, "de", "test")
    assert [(e.first, e.second, e.label) for e in found if isinstance(e, TextPair)] == [
        (row["premise"], row["hypothesis"], rows.features["label"].int2str(row["label"])) for row in rows
    ]
    rows = datasets.load_dataset(str(hub / "google/xtreme"), data_dir="PAN-X.de", **options)
    tags = rows.features["ner_tags"].feature
    sentences = XTREME_SOURCES["panx"][0].load(hub, "de", "test")
    assert [(e.words, e.tags) for e in sentences if isinstance(e, TaggedSentence)] == [
        (tuple(row["tokens"]), tuple(tags.int2str(row["ner_tags"]))) for row in rows
    ]


@pytest.mark.parametrize("name", ["a[1]*?.parquet", "a#b&c=d e.parquet", "ä中.parquet", ".hidden.parquet"])
def test_a_file_is_read_whatever_it_is_called_and_leaves_nothing_in_the_cache(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = write_parquet(tmp_path / "made.parquet", {"x": ["text"]}).rename(tmp_path / name)
    assert list(parquet_rows(path)) == [(1, {"x": "text"})]
    assert not (tmp_path / "cache").exists()


def test_premises_are_clusters_also_without_ids(tmp_path: Path) -> None:
    hub = write_hub(tmp_path / "hub")
    for source in XTREME_SOURCES["xnli"][:2]:
        clusters = [e.cluster_id for e in source.load(hub, "de", "test")]
        assert clusters == [f"premise-{n // 3 + 1}" for n in range(12)]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("xnli", r"row 1: no label .XTREME's download script removes"),
        ("pawsx", r"row 1: no label .XTREME's download script removes"),
        ("panx", r"line 1: a word, a tab and a tag are needed .XTREME's download script removes"),
        ("udpos", r"line 1: a word, a tab and a tag are needed .XTREME's download script removes"),
        ("xquad", r"the answer of question q0 is blank .XTREME's download script blanks"),
        ("xcopa", r"all 20 items have the label 0, which is a placeholder"),
        ("tatoeba", r"XTREME's download script sorts the English lines .* put LASER's tatoeba"),
    ],
)
def test_blanked_tests_of_xtremes_folder_are_refused(tmp_path: Path, name: str, problem: str) -> None:
    root = write_xtreme_folder(tmp_path, items=20)
    with pytest.raises(DataError, match=problem):
        XTREME_SOURCES[name][-1].load(root, "zh", "test")


def test_mnli_in_three_layouts(tmp_path: Path) -> None:
    header = "gold_label\tsentence1\tsentence2\tpromptID\tpairID"
    text = tmp_path / "multinli_1.0_train.txt"
    text.write_text(f"{header}\nneutral\tA\tB\t7\t7n\n-\tX\tY\t7\t7e\ncontradiction\tC\tD\t8\t8c\n")
    columns: dict[str, list[Any]] = {
        "promptID": [7, 8], "pairID": ["7n", "8c"], "premise": ["A", "C"], "hypothesis": ["B", "D"],
        "label": [1, 2],
    }  # fmt: skip
    parquet = write_parquet(tmp_path / "train.parquet", columns, {"label": NLI_CLASSES})
    prepared = tmp_path / "train-en.tsv"
    prepared.write_text("A\tB\tneutral\nC\tD\tcontradiction\n")
    authors = read_mnli([text], "en")
    assert read_mnli([parquet], "en") == authors
    assert without_ids(read_mnli([prepared], "en")) == without_ids(authors)


def test_choices_as_parquet(tmp_path: Path) -> None:
    csqa = {
        "id": ["q"], "question": ["Where?"], "choices": [{"label": ["A", "B"], "text": ["x", "y"]}],
        "answerKey": ["B"],
    }  # fmt: skip
    (example,) = read_commonsenseqa([write_parquet(tmp_path / "a.parquet", csqa)], "en")
    assert (example.item_id, example.context, example.choices, example.label) == (
        "q",
        "Where?",
        ("x", "y"),
        1,
    )
    cosmos: dict[str, list[Any]] = {"id": ["i"], "context": ["P."], "question": ["Q?"], "label": [3]}
    cosmos |= {f"answer{n}": [f"a{n}"] for n in range(4)}
    (example,) = read_cosmosqa([write_parquet(tmp_path / "b.parquet", cosmos)], "en")
    assert (example.context, example.choices[3], example.label) == ("P. Q?", "a3", 3)
    hella = {
        "ind": [4],
        "ctx_a": ["C."],
        "ctx_b": [""],
        "endings": [["a", "b"]],
        "label": ["1"],
        "source_id": ["v"],
    }
    (example,) = read_hellaswag([write_parquet(tmp_path / "c.parquet", hella)], "en")
    assert (example.item_id, example.cluster_id, example.label) == ("4", "v", 1)


def test_tydiqa_as_parquet_takes_one_language(tmp_path: Path) -> None:
    answers = {"text": ["B"], "answer_start": [2]}
    columns = {
        "id": ["finnish-1", "english-2"], "question": ["Q?"] * 2, "context": ["A B", "A B"],
        "answers": [answers] * 2,
    }  # fmt: skip
    (question,) = read_tydiqa([write_parquet(tmp_path / "v.parquet", columns)], "en")
    assert (question.item_id, question.cluster_id) == ("english-2", "en-1")


def test_words_of_the_hub_lose_spaces_inside(tmp_path: Path) -> None:
    columns = {"tokens": [["1 000", "a\u200cb"]], "pos_tags": [[8, 7]]}
    (example,) = read_pos([write_parquet(tmp_path / "t.parquet", columns, {"pos_tags": UPOS})], "fr")
    assert (example.words, example.tags, example.item_id) == (("1000", "ab"), ("NUM", "NOUN"), "fr-1")


def test_class_numbers_follow_the_files_own_names(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"premise": ["A"], "hypothesis": ["B"], "label": [0]}
    turned = write_parquet(tmp_path / "a.parquet", columns, {"label": NLI_CLASSES[::-1]})
    assert read_xnli_parquet([turned], "de")[0].label == "contradiction"
    plain = write_parquet(tmp_path / "b.parquet", columns)
    assert read_xnli_parquet([plain], "de")[0].label == "entailment"


def test_other_class_names_are_refused(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"premise": ["A"], "hypothesis": ["B"], "label": [0]}
    path = write_parquet(tmp_path / "a.parquet", columns, {"label": ("no", "yes")})
    with pytest.raises(DataError, match="the classes of 'label' are no, yes, not entailment, neutral"):
        read_xnli_parquet([path], "de")


@pytest.mark.parametrize("label", [-1, 3, None])
def test_class_numbers_without_a_name_are_refused(tmp_path: Path, label: int | None) -> None:
    columns: dict[str, list[Any]] = {"premise": ["A", "C"], "hypothesis": ["B", "D"], "label": [0, label]}
    path = write_parquet(tmp_path / "a.parquet", columns, {"label": NLI_CLASSES})
    with pytest.raises(DataError, match=rf"row 2: 'label' is {label}, none of the classes .*without labels"):
        read_xnli_parquet([path], "de")


def test_placeholder_labels_are_refused(tmp_path: Path) -> None:
    texts = [str(n) for n in range(20)]
    columns: dict[str, list[Any]] = {"premise": texts, "hypothesis": texts, "label": [0] * 20}
    path = write_parquet(tmp_path / "a.parquet", columns, {"label": NLI_CLASSES})
    with pytest.raises(DataError, match="all 20 items have the label 'entailment'"):
        read_xnli_parquet([path], "de")


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"x": ["text"] * 1000})
    with pytest.raises(DataError, match=r"a\.parquet: the column 'y' is missing; it has x"):
        list(parquet_rows(path, ("y",)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet: no whole Parquet file .*; load it again"):
        list(parquet_rows(path, ("x",)))
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"a\.parquet: no whole Parquet file"):
        list(parquet_rows(path, ("x",)))


def test_damaged_rows_are_named(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"tokens": [["a"], ["a", "b"]], "pos_tags": [[1], [1]]}
    with pytest.raises(DataError, match="row 2: 2 words and 1 tags"):
        read_pos([write_parquet(tmp_path / "t.parquet", columns, {"pos_tags": UPOS})], "de")
    answers = {"text": ["B"], "answer_start": [0]}
    columns = {"id": ["a"], "question": ["Q?"], "context": ["A B"], "answers": [answers]}
    with pytest.raises(DataError, match=r"1 answers do not stand where 'answer_start' says.*question a"):
        read_squad([write_parquet(tmp_path / "q.parquet", columns)], "de")
    answers = {"text": ["A", "B"], "answer_start": [0]}
    columns = {"id": ["a"], "question": ["Q?"], "context": ["A B"], "answers": [answers]}
    with pytest.raises(DataError, match="row 1: not as many 'text' as 'answer_start'"):
        read_squad([write_parquet(tmp_path / "q.parquet", columns)], "de")
    columns = {"id": [1, 1], "sentence1": ["A"] * 2, "sentence2": ["B"] * 2, "label": [0, 1]}
    with pytest.raises(DataError, match="the id '1' occurs 2 times"):
        read_pawsx([write_parquet(tmp_path / "p.parquet", columns)], "de")


def test_every_revision_is_a_commit_or_says_that_it_is_none() -> None:
    branches = {"cambridgeltl/xcopa", "unimelb-nlp/wikiann", "allenai/cosmos_qa"}
    commits = {name: revision for name, revision in REVISIONS.items() if name not in branches}
    assert all(len(revision) == 40 and int(revision, 16) for revision in commits.values())
