"""Tagging tasks: every gold tag is trained and scored once, whichever piece carries it and however long it is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from xeval.encoder.loop import Batch, Loop
from xeval.encoder.tokens import TextEncoder
from xeval.errors import DataError, UsageError
from xeval.examples import TaggedSentence
from xeval.tasks import all_training_sets, task
from xeval.tasks.base import IGNORED_LABEL, Scoring
from xeval.tasks.tagging import LABEL_PIECES, TAGGING, TaggingSettings, labelled_piece

LABELS = task("udpos").labels
# Known words, words of several pieces, a bare boundary piece first, none but that, nothing at all, and a word
# of more pieces than most windows below have room for.
WORDS = ["Anna", "supercalifragilistic", "柏林工作", "города", "!", "", "\u200b", "\u00ad", "▁", "x1" * 20]
SENTENCES = st.lists(
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(LABELS)), min_size=1, max_size=12),
    min_size=1,
    max_size=4,
)


def sentences(rows: list[list[tuple[str, str]]]) -> list[TaggedSentence]:
    return [
        TaggedSentence(str(n), str(n), tuple(w for w, _ in row), tuple(t for _, t in row))
        for n, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def encoder(tiny_tokenizer: Any) -> TextEncoder:
    return TextEncoder(tiny_tokenizer)


@budget(max_examples=60, deadline=None)
@given(SENTENCES, st.integers(3, 40), st.sampled_from(LABEL_PIECES))
def test_every_gold_tag_is_a_target_and_is_scored_exactly_once(
    encoder: TextEncoder, rows: list[list[tuple[str, str]]], max_length: int, label_piece: str
) -> None:
    examples = sentences(rows)
    encoded = TAGGING.encode(examples, encoder, TaggingSettings(max_length, label_piece))
    assert encoded.sequences.lengths.max() <= max_length
    targets = TAGGING.targets(examples, encoded, LABELS)["labels"]
    trained: list[list[str]] = [[] for _ in examples]
    answers = np.zeros((len(targets), max_length), np.int64)
    for row, numbers in enumerate(targets):
        labelled = [number for number in numbers if number != IGNORED_LABEL]
        trained[encoded.example[row]] += [LABELS[number] for number in labelled]
        answers[row, : len(numbers)] = np.maximum(numbers, 0)
    assert [tuple(tags) for tags in trained] == [e.tags for e in examples]
    predicted = TAGGING.predict(
        examples, encoded, {"tag_by_token": answers}, Scoring(task("udpos"), "de", LABELS, TAGGING.defaults)
    )
    right, scored = predicted.metrics["tag_accuracy"]
    assert right.tolist() == scored.tolist() == [len(e.tags) for e in examples]


class WithoutContext:
    """A tagger that sees one piece at a time: the tag is the piece's number modulo the number of tags."""

    def __call__(self, input_ids: torch.Tensor, **others: torch.Tensor) -> Any:
        del others
        return SimpleNamespace(logits=torch.nn.functional.one_hot(input_ids % len(LABELS), len(LABELS)))


@pytest.mark.parametrize("label_piece", LABEL_PIECES)
def test_without_context_scores_depend_on_neither_windows_nor_batches(
    encoder: TextEncoder, label_piece: str
) -> None:
    words = [word for word in WORDS if word != "x1" * 20] * 5
    rows = [[(word, LABELS[n % 17]) for n, word in enumerate(words[: 7 * length])] for length in (1, 2, 6)]
    examples = sentences(rows)

    def texts(max_length: int, token_budget: int) -> list[str]:
        changed = TaggingSettings(max_length, label_piece)
        encoded = TAGGING.encode(examples, encoder, changed)
        loop = Loop(torch.device("cpu"), encoder.pad_id, token_budget)

        def reduce(batch: Batch) -> dict[str, torch.Tensor]:
            return TAGGING.reduce(WithoutContext(), batch, changed)

        reduced = loop.run(encoded.sequences, reduce)
        predicted = TAGGING.predict(
            examples, encoded, reduced, Scoring(task("udpos"), "de", LABELS, TAGGING.defaults)
        )
        assert sum(predicted.metrics["tag_accuracy"][1]) == sum(len(e.tags) for e in examples)
        return predicted.texts

    whole = texts(512, 2000)
    assert len(set(" ".join(whole).split())) > 2  # the tagger does tell pieces apart
    for max_length, token_budget in ((24, 2000), (24, 1), (40, 64), (512, 1)):
        assert texts(max_length, token_budget) == whole


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([7, 8, 9], (0, 0, 2)),
        ([1, 8, 9], (0, 1, 2)),
        ([1, 2, 9], (0, 2, 2)),
        ([8, 1], (0, 0, 1)),
        ([5], (0, 0, 0)),
        ([1], (0, 0, 0)),
    ],
)
def test_the_piece_that_carries_the_tag(pieces: list[int], expected: tuple[int, int, int]) -> None:
    ids = np.asarray(pieces, np.int32)
    assert tuple(labelled_piece(ids, rule, frozenset({1, 2})) for rule in LABEL_PIECES) == expected


def test_label_pieces_in_their_window(encoder: TextEncoder) -> None:
    examples = sentences([[("Anna", "PROPN"), ("柏林", "PROPN")]])
    pieces = encoder.word_pieces([["Anna", "柏林"]])[0]
    assert [encoder.tokenizer.convert_ids_to_tokens(int(piece)) for piece in pieces[1]] == ["▁", "柏", "林"]
    start = 1 + len(pieces[0])  # after <s> and the pieces of the first word
    expected = {"first": start, "first_nonempty": start + 1, "last": start + 2}
    for rule, position in expected.items():
        (window,) = TAGGING.encode(examples, encoder, TaggingSettings(label_piece=rule)).detail
        assert window.positions[1] == position


def test_wrong_settings_are_refused(encoder: TextEncoder) -> None:
    examples = sentences([[("Anna", "PROPN")]])
    with pytest.raises(UsageError, match="label_piece is 'middle'; it must be one of first, first_nonempty"):
        TAGGING.encode(examples, encoder, TaggingSettings(label_piece="middle"))
    with pytest.raises(UsageError, match="--max-length 2 leaves no room"):
        TAGGING.encode(examples, encoder, TaggingSettings(2))


def test_published_language_lists() -> None:
    """XTREME's 33 and 40 (utils_preprocess.py, evaluate.py at 838c13b), and those that XTREME-R adds."""
    udpos = (
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
    )
    panx = (
        "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh "
        "kk tr et fi hu"
    )
    lists = {"udpos": (udpos, "lt pl uk wo ro", 33), "panx": (panx, "qu pl uk az lt pa gu ro", 40)}
    for name, (xtreme, added, count) in lists.items():
        assert len(xtreme.split()) == count
        assert set(task(name).languages) == {*xtreme.split(), *added.split()}
    assert task("udpos-words").languages == task("udpos").languages
    assert len(task("uner").languages) == 9


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_layouts_of_panx(tmp_path: Path) -> None:
    for number, name in enumerate(("panx_dataset/de/test", "panx_dataset/de-test", "panx/dev-de.tsv")):
        root = tmp_path / str(number)
        prefix = "" if name.endswith("tsv") else "de:"
        write(root / name, f"{prefix}Bonn\tB-LOC\n{prefix}:\tO\n\n{prefix}ja\tO")
        examples = task("panx").source.load(root, "de", "dev" if name.endswith("tsv") else "test")
        assert [(e.words, e.tags) for e in examples if isinstance(e, TaggedSentence)] == [
            (("Bonn", ":"), ("B-LOC", "O")),
            (("ja",), ("O",)),
        ]


@pytest.mark.parametrize("name", ["panx", "udpos"])
def test_test_files_that_xtreme_has_blanked_are_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / name / "test-de.tsv", "Bonn\n:\n\nja\n")
    with pytest.raises(DataError, match="removes the tags of the test sets"):
        task(name).source.load(tmp_path, "de", "test")


def test_both_readings_of_a_treebank_have_their_own_training_set(tmp_path: Path) -> None:
    def line(number: str, form: str, tag: str, head: str) -> str:
        return f"{number}\t{form}\t_\t{tag}\t_\t_\t{head}\t_\t_\t_\n"

    text = line("1-2", "don't", "_", "_") + line("1", "do", "AUX", "3") + line("2", "n't", "PART", "3")
    write(tmp_path / "udpos/UD_English-X/en_x-ud-train.conllu", text + line("3", "go", "VERB", "0"))
    words = {}
    for name in ("udpos-en", "udpos-words-en"):
        (example,) = all_training_sets()[name].source.load(tmp_path, "en", "train")
        assert isinstance(example, TaggedSentence)
        words[name] = example.words
    assert words == {"udpos-en": ("don't", "go"), "udpos-words-en": ("do", "n't", "go")}
    assert {name: task(name).training for name in ("udpos", "udpos-words", "panx", "uner")} == {
        "udpos": "udpos-en",
        "udpos-words": "udpos-words-en",
        "panx": "panx-en",
        "uner": "uner-en",
    }
