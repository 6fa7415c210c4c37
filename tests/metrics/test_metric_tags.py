"""Accuracy and tag metrics; the oracle of the chunk F1 is seqeval 0.0.12 itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from xeval.errors import UsageError
from xeval.metrics import (
    METRICS,
    accuracy,
    chunk_f1_legacy,
    chunk_precision_legacy,
    chunk_recall_legacy,
    tag_accuracy,
)
from xeval.metrics.tags import legacy_chunks
from xeval.sources.tagging import UPOS

IOB = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER", "I-B-X")
ODD = (
    ".",
    "O",
    "B",
    "I",
    "E",
    "S",
    "O-X",
    "X-O",
    ".-X",
    "-",
    "X-",
    "I-X",
    "B-X",
    "PER",
    "P-PER",
    "名词",
    "S-名词",
)


def same_shape(tags: tuple[str, ...]) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    tag = st.sampled_from(tags)
    return st.lists(st.lists(st.tuples(tag, tag), max_size=8), min_size=1, max_size=6)


def corpus_f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    num, den = chunk_f1_legacy(gold, predicted)
    return float(num.sum() / den.sum()) if den.sum() else 0.0


@given(
    same_shape(UPOS) | same_shape(IOB) | same_shape(("SYM", "SCONJ", "CCONJ", "NOUN", "ENTRY", "INTJ", "BE"))
)
@settings(deadline=None, max_examples=300)
def test_chunk_f1_equals_seqeval(pairs: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in sentence] for sentence in pairs]
    predicted = [[p for _, p in sentence] for sentence in pairs]
    assert corpus_f1(gold, predicted) == pytest.approx(f1_score(gold, predicted), abs=1e-12)


@given(same_shape(UPOS) | same_shape(IOB) | same_shape(ODD))
@settings(deadline=None)
def test_every_sentence_has_seqevals_chunks(pairs: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in sentence] for sentence in pairs]
    predicted = [[p for _, p in sentence] for sentence in pairs]
    # Sentence by sentence, as one with an O after it: what seqeval makes of a corpus of one.
    chunks = [(set(get_entities([g])), set(get_entities([p]))) for g, p in zip(gold, predicted, strict=True)]
    right = [len(g & p) for g, p in chunks]
    found, wanted = [len(p) for _, p in chunks], [len(g) for g, _ in chunks]
    assert [values.tolist() for values in chunk_precision_legacy(gold, predicted)] == [right, found]
    assert [values.tolist() for values in chunk_recall_legacy(gold, predicted)] == [right, wanted]
    num, den = chunk_f1_legacy(gold, predicted)
    assert num.tolist() == [2 * count for count in right]
    assert den.tolist() == [f + w for f, w in zip(found, wanted, strict=True)]
    assert [legacy_chunks(g) for g in gold] == [g for g, _ in chunks]
    num, den = tag_accuracy(gold, predicted)
    assert num.tolist() == [sum(g == p for g, p in sentence) for sentence in pairs]
    assert den.tolist() == [len(sentence) for sentence in pairs]


@given(same_shape(UPOS) | same_shape(IOB))
@settings(deadline=None)
def test_precision_and_recall_equal_seqeval(pairs: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in sentence] for sentence in pairs]
    predicted = [[p for _, p in sentence] for sentence in pairs]
    for metric, reference in (
        (chunk_precision_legacy, precision_score),
        (chunk_recall_legacy, recall_score),
    ):
        num, den = metric(gold, predicted)
        assert (num.sum() / den.sum() if den.sum() else 0.0) == reference(gold, predicted)


def test_no_sentences_and_empty_sentences() -> None:
    for name in ("tag_accuracy", "chunk_f1_legacy", "chunk_precision_legacy", "chunk_recall_legacy"):
        assert [values.tolist() for values in METRICS[name]([], [])] == [[], []]
        num, den = METRICS[name]([[], ["B-X"], []], [[], ["B-X"], []])
        assert (num > 0).tolist() == (den > 0).tolist() == [False, True, False]


def test_pos_tags_fuse_unless_they_begin_with_s() -> None:
    assert legacy_chunks(["NOUN", "NOUN", "VERB"]) == {("NOUN", 0, 1), ("VERB", 2, 2)}
    assert legacy_chunks(["SYM", "SYM"]) == {("SYM", 0, 0), ("SYM", 1, 1)}


def test_two_thirds_right_tags_can_be_no_right_chunk() -> None:
    gold, predicted = [["NOUN"] * 3], [["NOUN", "NOUN", "VERB"]]
    assert corpus_f1(gold, predicted) == 0.0
    num, den = tag_accuracy(gold, predicted)
    assert (num.tolist(), den.tolist()) == ([2.0], [3.0])


def test_swapped_conjunctions_count_as_errors_unlike_in_seqeval_1() -> None:
    assert corpus_f1([["CCONJ", "SCONJ"]], [["SCONJ", "CCONJ"]]) == 0.0


def test_sentence_without_chunks_weighs_nothing() -> None:
    num, den = chunk_f1_legacy([["O", "O"], ["B-PER", "O"]], [["O", "O"], ["B-PER", "O"]])
    assert (num.tolist(), den.tolist()) == ([0.0, 2.0], [0.0, 2.0])


def test_accuracy_is_one_or_zero_per_item() -> None:
    num, den = accuracy(["a", "b", "b"], ["a", "a", "b"])
    assert (num.tolist(), den.tolist()) == ([1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    assert num.dtype == den.dtype == np.float64


@pytest.mark.parametrize("name", ["accuracy", "tag_accuracy", "chunk_f1_legacy"])
def test_lists_of_other_lengths_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"1 predicted .* against 2 gold"):
        METRICS[name]([["X"], ["X"]], [["X"]])


@pytest.mark.parametrize("name", ["tag_accuracy", "chunk_f1_legacy", "chunk_precision_legacy"])
def test_sentences_of_other_lengths_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Sentence 2 has 2 gold tags but 1 predicted"):
        METRICS[name]([["X"], ["X", "X"]], [["X"], ["X"]])


def test_empty_tag_is_refused() -> None:
    with pytest.raises(UsageError, match="word 2 is empty"):
        chunk_f1_legacy([["X", ""]], [["X", "X"]])
    with pytest.raises(UsageError, match="word 3 is empty"):
        chunk_f1_legacy([["X"], ["X", "X", "X"]], [["X"], ["X", "X", ""]])
