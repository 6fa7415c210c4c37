"""Training sets: what is declared, how it is read in several languages, and how cuts to one size nest."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.published import NLI_CLASSES, write_parquet

from xeval.errors import DataError, UsageError
from xeval.examples import Example, TextPair
from xeval.sources import JoinedSource, MissingDataError
from xeval.sources.published import expected, row_problem
from xeval.tasks.base import TrainingSet
from xeval.tasks.catalogue.classification import NLI_LABELS
from xeval.tasks.catalogue.intermediate import INTERMEDIATES, translated_training_set
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.tagging import TAGGING
from xeval.train.intermediates import (
    condition_sets,
    data_digest,
    has_dev,
    load_examples,
    own_training_set,
    training_set,
    with_labels,
)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Made:
    """Pairs with the ids ``prefix-0`` and so on, labelled in turn; in every language the same ids."""

    prefix: str
    rows: int

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        del root, language, split
        return ()

    def digest(self, root: Path | None, language: str, split: str) -> str:
        del root
        return f"{self.prefix}{self.rows}{language}{split}"

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        del root, split
        return [
            TextPair(f"{self.prefix}-{n}", f"{self.prefix}-{n}", language, None, NLI_CLASSES[n % 3])
            for n in range(self.rows)
        ]


def made(*sources: Made) -> TrainingSet:
    source = sources[0] if len(sources) == 1 else JoinedSource(sources)
    return TrainingSet("made", CLASSIFICATION, source, NLI_LABELS)


def ids(examples: list[Example]) -> list[str]:
    return [example.item_id for example in examples]


# Cuts.


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.data())
def test_cuts_nest_and_keep_the_order_of_the_data(rows: int, data: st.DataObject) -> None:
    whole = ids(load_examples(made(Made("a", rows)), None, "train"))
    smaller, larger = sorted(data.draw(st.tuples(*[st.integers(1, 90)] * 2)))
    cuts = [ids(load_examples(made(Made("a", rows)), None, "train", size)) for size in (smaller, larger)]
    assert [len(cut) for cut in cuts] == [min(smaller, rows), min(larger, rows)]
    assert set(cuts[0]) <= set(cuts[1]) <= set(whole)
    assert all(cut == [item for item in whole if item in set(cut)] for cut in cuts)


def test_a_cut_depends_on_ids_alone() -> None:
    """Which item is taken does not change when others come before it or go: its rank is its own."""
    some, more = (ids(load_examples(made(Made("a", rows)), None, "train", 10)) for rows in (40, 41))
    assert len(set(some) - set(more)) <= 1


def test_a_cut_keeps_the_shares_of_labels_and_of_joined_sets() -> None:
    """Bounds are four standard errors of a share in a simple random sample, without replacement left out."""
    size = 1000
    cut = load_examples(made(Made("a", 6000), Made("b", 2000)), None, "train", size)
    parts = Counter(example.item_id[0] for example in cut)
    assert abs(parts["a"] / size - 0.75) < 4 * (0.75 * 0.25 / size) ** 0.5
    labels = Counter(example.label for example in cut if isinstance(example, TextPair))
    assert all(abs(labels[label] / size - 1 / 3) < 4 * (2 / 9 / size) ** 0.5 for label in NLI_CLASSES)


@pytest.mark.real_data
def test_a_cut_of_real_data_keeps_the_shares_of_labels(real_data: Path) -> None:
    conjnli = training_set("conjnli")
    whole, cut = (
        Counter(e.label for e in load_examples(conjnli, real_data, "train", size) if isinstance(e, TextPair))
        for size in (None, 1000)
    )
    for label in NLI_CLASSES:
        share = whole[label] / whole.total()
        assert abs(cut[label] / 1000 - share) < 4 * (share * (1 - share) / 1000) ** 0.5


# Several languages.


def translations(root: Path) -> Path:
    """MultiNLI's dev set, and XNLI-MT in English, German and Russian."""
    pair = {"gold_label": "neutral", "sentence1": "A", "sentence2": "B", "promptID": "1", "pairID": "1n"}
    write(root / "multinli_1.0/multinli_1.0_dev_matched.jsonl", json.dumps(pair))
    for language in ("en", "de", "ru"):
        rows = [f"{language} {n}\tB\t{('contradictory', *NLI_CLASSES[:2])[n % 3]}" for n in range(30)]
        write(root / f"XNLI-MT-1.0/multinli/multinli.train.{language}.tsv", "premise\thypo\tlabel", *rows)
    return root


def test_translated_items_are_trained_on_together_and_cut_together(tmp_path: Path) -> None:
    root = translations(tmp_path)
    both = translated_training_set("mt", "mnli", ("en", "de", "ru"))
    examples = [e for e in load_examples(both, root, "train") if isinstance(e, TextPair)]
    assert Counter(e.first.split()[0] for e in examples) == {"en": 30, "de": 30, "ru": 30}
    assert ids(load_examples(both, root, "dev")) == ["1n"]
    cut = Counter(ids(load_examples(both, root, "train", 30)))
    assert len(cut) == 10
    assert set(cut.values()) == {3}
    assert cut.keys() == set(
        ids(load_examples(translated_training_set("e", "mnli", ("en",)), root, "train", 10))
    )
    assert len(load_examples(both, root, "train", 31)) == 31
    digests = {
        data_digest(each, root) for each in (both, translated_training_set("mt", "mnli", ("en", "de")))
    }
    assert len(digests) == 2


def test_all_languages_come_from_one_layout(tmp_path: Path) -> None:
    """Swahili is on the hub only, so the other languages are read from there too."""
    root = translations(tmp_path)
    for language in ("en", "de", "ru", "sw"):
        columns = {"premise": [f"hub {language}", "x"], "hypothesis": ["B", "C"], "label": [0, 1]}
        folder = root / f"facebook/xnli/{language}"
        write_parquet(folder / "train-00000-of-00001.parquet", columns, {"label": NLI_CLASSES})
    examples = load_examples(training_set("mnli-translated"), root, "train")
    assert [e.first for e in examples if isinstance(e, TextPair)] == [
        text for language in ("en", "de", "ru", "sw") for text in (f"hub {language}", "x")
    ]
    with pytest.raises(
        MissingDataError, match=r"tried XNLI-MT-1.0/multinli/multinli.train.fr.tsv, facebook/xnli"
    ):
        load_examples(translated_training_set("mt", "mnli", ("en", "fr")), root, "train")


def test_published_translations_of_pawsx_and_squad(tmp_path: Path) -> None:
    header = "id\tsentence1\tsentence2\tlabel"
    write(tmp_path / "x-final/en/train.tsv", header, "1\tA\tB\t0", "2\tC\tD\t1")
    write(tmp_path / "x-final/de/translated_train.tsv", header, "1\tÄ\tB\t0", "2\tNS\tNS\t0")
    pawsx = translated_training_set("p", "pawsx-en", ("en", "de"))
    assert ids(load_examples(pawsx, tmp_path, "train")) == ["1", "2", "1"]
    for path, context, start in (
        ("squad/train-v1.1.json", "Anna won.", 0),
        ("mlqa-translate-train/de_squad-translate-train-train-v1.1.json", "Es siegte Anna.", 10),
        ("SQuAD/translate-train/squad.translate.train.en-th.json", "แอนนา Anna", 6),
    ):
        question = {"id": "q", "question": "?", "answers": [{"text": "Anna", "answer_start": start}]}
        write(
            tmp_path / path, json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [question]}]}]})
        )
    for language in ("de", "th"):
        squad = translated_training_set("s", "squad", ("en", language))
        assert ids(load_examples(squad, tmp_path, "train")) == ["q", "q"]


def test_translations_by_xtreme(tmp_path: Path) -> None:
    folder = tmp_path / "xtreme_translations/XNLI/translate-train"
    for language in ("de", "sw"):
        write(folder / f"en-{language}-translated.tsv", f"A\tB\t{language}\tB\tneutral")
    both = translated_training_set("mt", "mnli", ("en", "de", "sw"))
    examples = load_examples(both, tmp_path, "train")
    assert [e.first for e in examples if isinstance(e, TextPair)] == ["A", "de", "sw"]
    assert len(set(ids(examples))) == 1


@pytest.mark.parametrize(
    ("of", "languages", "problem"),
    [
        ("qqp", ("en",), "mt: no published translations of 'qqp' are known, only of mnli, pawsx-en, squad"),
        ("mnli", (), "at least one language, and each of them once"),
        ("mnli", ("de", "de"), "each of them once"),
        ("mnli", ("xx",), "xx"),
    ],
)
def test_unusable_translations(of: str, languages: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        translated_training_set("mt", of, languages)


# Declared sets.


def test_anli_plus_joins_all_rounds_under_one_label_set(tmp_path: Path) -> None:
    root = tmp_path
    mnli = {"gold_label": "neutral", "sentence1": "A", "sentence2": "B", "promptID": "1", "pairID": "1n"}
    snli = {"gold_label": "contradiction", "sentence1": "A", "sentence2": "B"}
    for split, files in (("train", ("train", "train")), ("dev", ("dev", "dev_matched"))):
        write(
            root / f"snli_1.0/snli_1.0_{files[0]}.jsonl",
            json.dumps(snli),
            json.dumps({**snli, "gold_label": "-"}),
        )
        write(root / f"multinli_1.0/multinli_1.0_{files[1]}.jsonl", json.dumps(mnli))
        for number in (1, 2, 3):
            row = {"uid": "u", "context": "C", "hypothesis": "H", "label": "enc"[number - 1]}
            write(root / f"anli_v1.0/R{number}/{split}.jsonl", json.dumps(row))
    joined = training_set("anli-plus")
    for split in ("train", "dev"):
        found = load_examples(joined, root, split)
        assert {e.item_id: e.label for e in found if isinstance(e, TextPair)} == {
            "snli-1": "contradiction",
            "1n": "neutral",
            "r1-u": "entailment",
            "r2-u": "neutral",
            "r3-u": "contradiction",
        }
    # 549,367 + 392,702 + 16,946 + 45,460 + 100,459
    parts = ("snli", "mnli", "anli-r1", "anli-r2", "anli-r3")
    counts = [known.rows[0] for name in parts if (known := expected(name, "train", "en")) is not None]
    assert row_problem("anli-plus", "train", "en", sum(counts)) is None
    assert sum(counts) == 1_104_934


def test_files_win_over_the_hubs_and_both_are_the_same_items(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "facebook/anli/plain_text/train_r1-00000-of-00001.parquet",
        {"uid": ["u"], "premise": ["C"], "hypothesis": ["H"], "label": [0]},
        {"label": NLI_CLASSES},
    )
    write_parquet(
        tmp_path / "nyu-mll/glue/qqp/validation-00000-of-00001.parquet",
        {"question1": ["A?"], "question2": ["B?"], "label": [1], "idx": [0]},
        {"label": ("not_duplicate", "duplicate")},
    )
    write_parquet(
        tmp_path / "stanfordnlp/snli/plain_text/train-00000-of-00001.parquet",
        {"premise": ["A", "A"], "hypothesis": ["B", "C"], "label": [-1, 2]},
        {"label": NLI_CLASSES},
    )
    found = {
        name: load_examples(training_set(name), tmp_path, split)
        for name, split in (("anli-r1", "train"), ("qqp", "dev"), ("snli", "train"))
    }
    assert {name: ids(examples) for name, examples in found.items()} == {
        "anli-r1": ["r1-u"],
        "qqp": ["row-1"],
        "snli": ["snli-2"],
    }
    assert not has_dev(training_set("snli"), tmp_path)
    row = {"uid": "u", "context": "C", "hypothesis": "H", "label": "e"}
    write(tmp_path / "anli/anli_v0.1/R1/train.jsonl", json.dumps(row))
    assert load_examples(training_set("anli-r1"), tmp_path, "train") == found["anli-r1"]


def test_supertags_are_those_that_occur(tmp_path: Path) -> None:
    write(tmp_path / "ccg/ccg.train", "A cat\tN/N N", "Dogs\tN")
    write(tmp_path / "ccg/ccg.dev", "Run\tS[b]")
    declared = training_set("ccg")
    assert declared.labels == ()
    resolved = with_labels(declared, tmp_path)
    assert (resolved.kind, resolved.labels) == (TAGGING, ("N", "N/N", "S[b]"))
    assert load_examples(declared, tmp_path, "dev") == load_examples(resolved, tmp_path, "dev")
    assert data_digest(declared, tmp_path) == data_digest(resolved, tmp_path)
    assert with_labels(training_set("squad-v2"), None) == training_set("squad-v2")
    assert with_labels(training_set("mnli"), None) is training_set("mnli")


def test_every_set_has_a_kind_that_can_be_trained_and_says_where_it_is_from() -> None:
    for name, each in INTERMEDIATES.items():
        assert each.name == name
        assert each.kind.name in ("classification", "choice", "tagging", "span_qa")
        assert each.licence
        assert each.citation
        if each.kind is CLASSIFICATION:
            assert each.labels
    assert {"anli-plus", "qqp", "squad-v2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"} <= set(
        INTERMEDIATES
    )
    for name in ("mnli", "squad", "hotpotqa-en", "2wikimultihopqa-en", "musique-en"):
        assert training_set(name).name == name


# Sets of one's own.


def own_rows(path: Path, *languages: str, rows: int = 100, labels: tuple[str, ...] = ("no", "yes")) -> Path:
    lines = [
        {"lang": language, "id": str(n), "first": f"{language} {n}", "label": labels[n % len(labels)]}
        for language in languages
        for n in range(rows)
    ]
    return write(path, *map(json.dumps, lines))


def test_own_rows_in_two_languages_hold_out_whole_items(tmp_path: Path) -> None:
    own = own_training_set("mine", own_rows(tmp_path / "rows.jsonl", "de", "en"), "classification")
    assert (own.name, own.labels) == ("mine", ("no", "yes"))
    train, dev = (load_examples(own, None, split) for split in ("train", "dev"))
    assert set(Counter(ids(train)).values()) == {2}
    assert not set(ids(train)) & set(ids(dev))
    assert len(set(ids(train))) + len(dev) == 100
    assert all(e.first.startswith("en") for e in dev if isinstance(e, TextPair))
    assert condition_sets("mnli+mine", {"mine": own}) == (training_set("mnli"), own)
    turned = own_training_set("mine", tmp_path / "rows.jsonl", "classification", languages=("de", "en"))
    assert load_examples(turned, None, "dev") == dev
    german = own_training_set("mine", tmp_path / "rows.jsonl", "classification", languages=("de",))
    assert all(
        e.first.startswith("de") for split in ("train", "dev") for e in load_examples(german, None, split)
        if isinstance(e, TextPair)
    )  # fmt: skip
    assert data_digest(german, None) != data_digest(own, None)


def test_own_dev_file(tmp_path: Path) -> None:
    rows = own_rows(tmp_path / "rows.jsonl", "en", rows=4)
    dev = own_rows(tmp_path / "dev.jsonl", "sw", rows=3, labels=("maybe",))
    own = own_training_set("mine", rows, "classification", dev=dev)
    assert own.labels == ("maybe", "no", "yes")
    assert [len(load_examples(own, None, split)) for split in ("train", "dev")] == [4, 3]
    before = data_digest(own, None)
    own_rows(tmp_path / "dev.jsonl", "sw", rows=2, labels=("maybe",))
    assert data_digest(own_training_set("mine", rows, "classification", dev=dev), None) != before


def test_unusable_sets_of_ones_own(tmp_path: Path) -> None:
    rows = own_rows(tmp_path / "rows.jsonl", "en")
    for name in ("mnli", "none", "a+b", ""):
        with pytest.raises(UsageError, match="cannot be the name of a training set of your own"):
            own_training_set(name, rows, "classification")
    with pytest.raises(UsageError, match="the kind 'retrieval' is not one of classification, choice"):
        own_training_set("mine", rows, "retrieval")
    with pytest.raises(UsageError, match="has no row in 'de'; it has en"):
        own_training_set("mine", rows, "classification", languages=("en", "de"))
    with pytest.raises(UsageError, match=r"mine: .*absent.jsonl is no file"):
        own_training_set("mine", tmp_path / "absent.jsonl", "classification")
    with pytest.raises(DataError, match="line 1: words"):
        own_training_set("mine", rows, "tagging")
    few = own_rows(tmp_path / "few.jsonl", "en", rows=2)
    with pytest.raises(DataError, match="mine: too few rows for dev data; name a dev file"):
        own_training_set("mine", few, "classification")


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"unknown training set 'anli-pus'.*anli-plus"):
        training_set("anli-pus")
    with pytest.raises(UsageError, match="names a set twice"):
        condition_sets("mnli+mnli")
    assert condition_sets("none") == ()
