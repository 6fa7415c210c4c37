"""What goes into the encoder and what comes back out, for every kind: nothing dropped, nothing shifted."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError
from xeval.examples import Answer, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.tasks import task
from xeval.tasks.base import IGNORED_LABEL, Encoded, Scoring, Settings, match_labels
from xeval.tasks.catalogue.classification import NLI_LABELS
from xeval.tasks.choice import CHOICE, PASSAGE_CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.mining import MINING
from xeval.tasks.retrieval import RETRIEVAL
from xeval.tasks.span_qa import SPAN_QA, context_windows
from xeval.tasks.tagging import TAGGING, TaggingSettings, window_words

CONTEXT = "Anna works in Berlin. Boris works in Paris. 安娜在柏林工作。 Der Fuchs wohnt in München near the lazy dog."


@pytest.fixture
def encoder(tiny_tokenizer: Any) -> TextEncoder:
    return TextEncoder(tiny_tokenizer)


def question(number: int, text: str, context: str = CONTEXT) -> Question:
    return Question(f"q{number}", "p", "Where?", context, (Answer(text, context.index(text)),))


def oracle_logits(reduced_rows: list[tuple[int, int]]) -> dict[str, np.ndarray[Any, Any]]:
    """Reduced output of a model that points exactly at the trained target of every window."""
    return {
        "score": np.asarray([1.0 if end > 0 else -np.inf for _, end in reduced_rows]),
        "start": np.asarray([start for start, _ in reduced_rows]),
        "end": np.asarray([end for _, end in reduced_rows]),
    }


@pytest.mark.parametrize("max_length", [16, 24, 384])
@pytest.mark.parametrize("text", ["Berlin", "Paris", "柏林", "München", "lazy dog", "Anna"])
def test_the_trained_span_reads_back_as_the_answer(encoder: TextEncoder, max_length: int, text: str) -> None:
    examples = [question(0, text)]
    changed = SPAN_QA.defaults.changed({"max_length": max_length, "stride": 4})
    encoded = SPAN_QA.encode(examples, encoder, changed)
    assert max(encoded.sequences.lengths) <= max_length
    targets = SPAN_QA.targets(examples, encoded, ())
    pairs = list(zip(targets["start_positions"], targets["end_positions"], strict=True))
    assert any(end for _, end in pairs), "the answer is whole in at least one window"
    reduced = oracle_logits(pairs)
    predicted = SPAN_QA.predict(
        examples, encoded, reduced, Scoring(task("xquad"), "en", (), SPAN_QA.defaults)
    )
    assert text in predicted.texts[0]
    assert len(predicted.texts[0]) <= len(text) + 3  # the tokens that cover the answer, not more


@given(st.integers(1, 300), st.integers(4, 60), st.integers(1, 40))
def test_windows_cover_the_context_and_every_token_may_start_once(
    length: int, room: int, stride: int
) -> None:
    windows = context_windows(length, room, stride)
    covered: set[int] = set()
    starts: list[int] = []
    for number, (start, end, first, last) in enumerate(windows):
        assert end - start <= room
        assert start == number * min(stride, room)
        assert start <= first <= last <= end
        covered |= set(range(start, end))
        starts += range(first, last)
    assert covered == set(range(length))
    assert sorted(starts) == list(range(length))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 120), st.integers(4, 40), st.integers(1, 30))
def test_a_token_starts_where_it_has_most_context(length: int, room: int, stride: int) -> None:
    windows = context_windows(length, room, stride)

    def context(token: int, start: int, end: int) -> float:
        return min(token - start, end - 1 - token) + 0.01 * (end - start) if start <= token < end else -1.0

    for start, end, first, last in windows:
        for token in range(first, last):
            assert context(token, start, end) == max(context(token, s, e) for s, e, _, _ in windows)


def test_the_span_is_the_best_pair_within_the_answer_length(encoder: TextEncoder) -> None:
    """Against a plain double loop over all pairs of the 20 best starts and ends."""
    import torch

    examples = [question(0, "Berlin"), question(1, "München")]
    changed = SPAN_QA.defaults.changed({"max_length": 40, "stride": 8, "answer_length": 5})
    encoded = SPAN_QA.encode(examples, encoder, changed)
    width = int(encoded.sequences.lengths.max())
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, len(encoded.sequences), width, generator=generator)

    class Output:
        start_logits, end_logits = logits

    class Batch:
        input_ids = torch.zeros(len(encoded.sequences), width, dtype=torch.long)
        attention_mask = torch.ones_like(input_ids)
        marks = torch.from_numpy(encoded.sequences.marks)

        def inputs(self) -> dict[str, Any]:
            return {}

    reduced = SPAN_QA.reduce(lambda **_: Output(), Batch(), changed)  # type: ignore[arg-type]
    for row, (first, last, start_first, start_last) in enumerate(Batch.marks.tolist()):
        candidates = []
        starts = sorted(range(start_first, start_last), key=lambda i: -logits[0, row, i])[:20]
        ends = sorted(range(first, last), key=lambda i: -logits[1, row, i])[:20]
        for start in starts:
            for end in ends:
                if start <= end < start + 5:
                    candidates.append((float(logits[0, row, start] + logits[1, row, end]), start, end))
        if not candidates:
            assert not np.isfinite(float(reduced["score"][row]))
            continue
        best = max(candidates)
        assert best[1:] == (int(reduced["start"][row]), int(reduced["end"][row]))
        assert best[0] == pytest.approx(float(reduced["score"][row]), abs=1e-6)


def test_no_room_for_the_context_is_said(encoder: TextEncoder) -> None:
    with pytest.raises(UsageError, match="--max-length 5"):
        SPAN_QA.encode([question(0, "Berlin")], encoder, SPAN_QA.defaults.changed({"max_length": 5}))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(9, 30))
def test_windows_of_words_keep_every_word_once(lengths: list[int], room: int) -> None:
    runs = window_words(lengths, room)
    assert [word for first, last in runs for word in range(first, last)] == list(range(len(lengths)))
    assert all(sum(lengths[first:last]) <= room for first, last in runs)


@pytest.mark.parametrize("max_length", [6, 10, 256])
def test_every_word_of_a_long_sentence_gets_its_own_tag(encoder: TextEncoder, max_length: int) -> None:
    words = ("Anna", "arbeitet", "", "in", "柏林工作", "supercalifragilistic", "города", "!") * 3
    tags = tuple("NOUN VERB X ADP PROPN ADJ NOUN PUNCT".split()) * 3
    examples = [TaggedSentence("1", "1", words, tags), TaggedSentence("2", "2", ("Anna",), ("PROPN",))]
    labels = task("udpos").labels
    encoded = TAGGING.encode(examples, encoder, TaggingSettings(max_length))
    assert max(encoded.sequences.lengths) <= max_length
    rows = TAGGING.targets(examples, encoded, labels)["labels"]
    answers = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, numbers in enumerate(rows):
        answers[row, : len(numbers)] = [max(number, 0) for number in numbers]
        assert len(numbers) == len(encoded.sequences.ids[row])
    trained = sum(number != IGNORED_LABEL for numbers in rows for number in numbers)
    assert trained == len(words) + 1
    predicted = TAGGING.predict(
        examples, encoded, {"tag_by_token": answers}, Scoring(task("udpos"), "de", labels, TAGGING.defaults)
    )
    assert predicted.texts == [" ".join(tags), "PROPN"]
    assert predicted.metrics["tag_accuracy"][1].tolist() == [24.0, 1.0]


def test_choices_compete_within_their_example(encoder: TextEncoder) -> None:
    examples = [
        MultipleChoice("1", "1", "Anna works.", ("in Berlin", "in Paris", "near"), 2),
        MultipleChoice("2", "2", "Boris lives.", ("here", "there"), 0),
    ]
    encoded = CHOICE.encode(examples, encoder, CHOICE.defaults)
    assert CHOICE.training_rows(encoded) == [[0, 1, 2], [3, 4]]
    limit = CHOICE.defaults.max_length
    anna, near = (encoder.pieces([text])[text].ids for text in ("Anna works.", "near"))
    np.testing.assert_array_equal(encoded.sequences.ids[2], encoder.pair(anna, near, limit)[0])
    turned = CHOICE.encode([replace(each, choice_first=True) for each in examples], encoder, CHOICE.defaults)
    np.testing.assert_array_equal(turned.sequences.ids[2], encoder.pair(near, anna, limit)[0])
    reduced = {"logit": np.asarray([0.1, 0.2, 0.9, 0.5, 0.5])}
    predicted = CHOICE.predict(examples, encoded, reduced, Scoring(task("xcopa"), "et", (), CHOICE.defaults))
    assert predicted.texts == ["2", "0"]
    assert predicted.metrics["accuracy"][0].tolist() == [1.0, 1.0]


def test_labels_are_found_by_name() -> None:
    assert match_labels(NLI_LABELS, ("CONTRADICTION", "Neutral", "entailment")) == (
        "contradiction",
        "neutral",
        "entailment",
    )
    assert match_labels(("different", "paraphrase"), ("not_paraphrase", "paraphrase"))[0] == "different"
    for head in (
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("neutral", "entailment"),
        ("neutral", "Neutral", "x"),
        (),
    ):
        with pytest.raises(UsageError, match="set id2label"):
            match_labels(NLI_LABELS, head)


def test_labels_that_a_task_lacks_are_remarked_with_how_often_they_were_predicted() -> None:
    pairs = [TextPair(str(n), str(n), "Anna", None, "entailment") for n in range(3)]
    labels = (*NLI_LABELS, "unknown")
    predicted = CLASSIFICATION.predict(
        pairs,
        Encoded(None, np.arange(3)),
        {"label": np.asarray([0, 3, 3])},
        Scoring(task("xnli"), "de", labels, CLASSIFICATION.defaults),
    )
    assert list(predicted.remarks) == [
        "the head has labels that the task lacks (unknown): 2 of 3 items got one, and none of them is right."
    ]
    ner = task("panx").labels
    sentence = [TaggedSentence("1", "1", ("Anna", "Rom"), ("B-PER", "B-LOC"))]
    tagged = Encoded(None, np.zeros(1, np.int64), [SimpleNamespace(first_word=0, positions=(0, 1))])
    for labels, remarked in (((*ner, "S-PER", "B-MISC"), "(S-PER, B-MISC): 1 of 2 words"), (ner, "")):
        numbers = {"tag_by_token": np.asarray([[labels.index("B-PER"), len(labels) - 1]])}
        remarks = TAGGING.predict(
            sentence, tagged, numbers, Scoring(task("panx"), "de", labels, TAGGING.defaults)
        ).remarks
        assert bool(remarks) == bool(remarked)
        assert remarked in " ".join(remarks)


@pytest.mark.parametrize(
    ("labels", "config", "problem", "remark"),
    [
        (("a", "b"), {}, "", ""),
        (("a", "b"), {"problem_type": "single_label_classification"}, "", ""),
        (("a", "b"), {"problem_type": "multi_label_classification"}, "", "yes or no to every label"),
        (("a", "b"), {"problem_type": "regression"}, "trained for regression", ""),
        (("a",), {}, "trained for regression", ""),
    ],
)
def test_heads_that_were_trained_for_something_else_are_refused_or_remarked(
    labels: tuple[str, ...], config: dict[str, Any], problem: str, remark: str
) -> None:
    head: Any = SimpleNamespace(
        architecture="BertForSequenceClassification", label_names=labels, config=config
    )
    found = CLASSIFICATION.head_problem(head, labels) or ""
    assert bool(found) == bool(problem)
    assert problem in found
    remarks = CLASSIFICATION.head_remarks(head, labels)
    assert bool(remarks) == bool(remark)
    assert remark in " ".join(remarks)


def test_single_texts_are_classified_too(encoder: TextEncoder, tiny_tokenizer: Any) -> None:
    encoded = CLASSIFICATION.encode([TextPair("1", "1", "Anna", None, "x")], encoder, Settings(9))
    assert encoded.sequences.ids[0].tolist() == tiny_tokenizer("Anna")["input_ids"]


def test_retrieval_asks_the_english_index_and_equal_sentences_are_one_answer(encoder: TextEncoder) -> None:
    examples = [
        Translation("1", "1", "eins", "one"),
        Translation("2", "2", "zwei", "two"),
        Translation("3", "3", "uno", "one"),
    ]
    encoded = RETRIEVAL.encode(examples, encoder, RETRIEVAL.defaults)
    english = np.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    foreign = np.asarray([[5.0, 1.0], [2.0, 1.0], [9.0, 0.1]], np.float32)
    reduced = {"embedding": np.concatenate([foreign, english])}
    predicted = RETRIEVAL.predict(
        examples, encoded, reduced, Scoring(task("tatoeba"), "de", (), RETRIEVAL.defaults)
    )
    assert predicted.metrics["accuracy"][0].tolist() == [1.0, 0.0, 1.0]
    assert RETRIEVAL.chance(examples) == 0.5


def test_settings_are_stored_under_the_names_that_fingerprints_were_made_of() -> None:
    embedding = {"max_length": 512, "recipe": "default", "layer": -1, "pooling": "mean"}
    embedding |= {"centring": "none", "similarity": "cosine"}
    stored = {
        CLASSIFICATION: {"max_length": 256},
        CHOICE: {"max_length": 256},
        PASSAGE_CHOICE: {"max_length": 512},
        TAGGING: {"max_length": 256, "label_piece": "first"},
        SPAN_QA: {
            "max_length": 384,
            "stride": 128,
            "question_length": 64,
            "answer_length": 30,
            "n_best": 20,
        },
        RETRIEVAL: {**embedding, "layers": "", "margin": "none", "k": 1, "direction": "foreign"},
        MINING: {**embedding, "margin": "ratio", "k": 4, "matching": "max", "duplicates": "drop"},
    }
    assert {kind: kind.defaults.stored() for kind in stored} == stored


def test_a_change_is_taken_by_the_kinds_that_have_the_choice_and_what_is_found_is_no_choice() -> None:
    changes = {"max_length": 9, "label_piece": "last", "words": "as in running text", "layer": 3}
    assert TAGGING.defaults.changed(changes) == TaggingSettings(9, "last")
    assert CLASSIFICATION.defaults.changed(changes) == Settings(9)
    with pytest.raises(UsageError, match="overrides name 'max_lenght'; did you mean 'max_length'"):
        replace(task("xnli"), overrides={"max_lenght": 5})
