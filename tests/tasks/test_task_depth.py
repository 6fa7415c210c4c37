"""Reading by the sentence: splitting, overlap, the kind, and the comparison with the full context."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.published import write_all

from xeval.checkpoints import Lineage
from xeval.encoder.tokens import TextEncoder
from xeval.errors import StoreError, UsageError
from xeval.examples import Answer, Question
from xeval.sources.questions import read_xquad
from xeval.store import Store, UnitRecord, read_scores
from xeval.tasks import task
from xeval.tasks.base import Scoring
from xeval.tasks.depth import SINGLE_SENTENCE_QA, answer_overlap, compare, sentence_spans, split_by_depth


def sentences(text: str) -> list[str]:
    return [text[begin:end] for begin, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? (Four.) Five", ["One.", "Two!", "Three?", "(Four.)", "Five"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("In 1995. It cost 3.14 dollars.", ["In 1995.", "It cost 3.14 dollars."]),
        ("J. R. Smith met Dr. Who on Jan 5.", ["J. R. Smith met Dr. Who on Jan 5."]),
        ("Am 4. Januar kam er. Er blieb.", ["Am 4. Januar kam er.", "Er blieb."]),
        ("С 1939 гг. он жил тут. Потом уехал.", ["С 1939 гг. он жил тут.", "Потом уехал."]),
        ("यह घर है। वह नदी है।", ["यह घर है।", "वह नदी है।"]),
        ("এটা বাড়ি। ওটা নদী।", ["এটা বাড়ি।", "ওটা নদী।"]),
        ("أين أنت؟ أنا هنا.", ["أين أنت؟", "أنا هنا."]),
        ("یہ گھر ہے۔ وہ دریا ہے۔", ["یہ گھر ہے۔", "وہ دریا ہے۔"]),
        ("安娜在柏林。“谁？”他问！好。", ["安娜在柏林。", "“谁？”", "他问！", "好。"]),
        ("これは家です。あれは川です。", ["これは家です。", "あれは川です。"]),
        ("이것은 집이다. 저것은 강이다.", ["이것은 집이다.", "저것은 강이다."]),
        ("first line\nsecond line", ["first line", "second line"]),
        ("บ้าน แม่น้ำ", ["บ้าน แม่น้ำ"]),
        ("ก" * 160 + " " + "ข" * 160 + " 12 " + "ค" * 170, ["ก" * 160, "ข" * 160 + " 12 " + "ค" * 170]),
        ("", [""]),
        ("  ", ["  "]),
    ],
)
def test_sentences_of_every_script(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="aB1 .!?\n\"')»。？！।؟กข\u3000", max_size=80))
def test_sentences_hold_all_that_is_no_white_space_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert spans
    assert all(begin <= end for begin, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def ask(question: str, context: str, *answers: str) -> Question:
    return Question("q", "c", question, context, tuple(Answer(a, context.index(a)) for a in answers))


def test_overlap_by_hand() -> None:
    context = "Anna works in Berlin. Boris lives in Rome. Anna and Boris live near the river."
    # The question has anna, works, in, boris in the context: 3 in the first sentence, 2 in each of the others.
    asked = "Where in town does Anna (works), not Boris?"
    assert vars_of(ask(asked, context, "Berlin")) == (1, 0.75)
    assert vars_of(ask(asked, context, "Rome")) == (2, 0.5)
    assert vars_of(ask(asked, context, "river")) == (2, 0.5)  # a tie: both are second
    assert vars_of(ask(asked, context, "river", "Berlin")) == (1, 0.75)  # the better of two gold answers
    assert vars_of(ask(asked, context, "Berlin. Boris lives")) == (2, 0.5)  # most of it is in the second
    assert vars_of(ask("Wer?", context, "Rome")) == (1, None)
    assert vars_of(ask(asked, context)) == (None, None)
    # Characters count in scripts without spaces: 安 娜 在 工 作 stand in the first sentence, 在 里 in the second.
    assert vars_of(ask("安娜在哪里工作？", "安娜在柏林工作。鲍里斯在河边。", "河边")) == (2, 2 / 6)


def vars_of(question: Question) -> tuple[int | None, float | None]:
    overlap = answer_overlap(question)
    return overlap.rank, overlap.coverage


def test_every_sentence_is_read_alone(tiny_tokenizer: Any) -> None:
    """Sequences are those of ordinary questions on each sentence; the most confident sentence answers."""
    from xeval.tasks.span_qa import SPAN_QA

    encoder = TextEncoder(tiny_tokenizer)
    examples = [
        ask("Where?", "Anna works in Berlin. Boris works in Paris. Stop.", "Paris"),
        ask("Wo?", "Nur ein Satz in München.", "München"),
    ]
    for max_length in (384, 14):  # also where a sentence takes several windows
        changed = SPAN_QA.defaults.changed({"max_length": max_length, "stride": 3})
        encoded = SINGLE_SENTENCE_QA.encode(examples, encoder, changed)
        alone = [
            ask(e.question, e.context[begin:end])
            for e in examples
            for begin, end in sentence_spans(e.context)
        ]
        expected = SPAN_QA.encode(alone, encoder, changed)
        assert [s.tolist() for s in encoded.sequences.ids] == [s.tolist() for s in expected.sequences.ids]
        assert encoded.example.tolist() == [0 if row < 3 else 1 for row in expected.example]
        # A model that answers every window with its first context token, the last sentence of all most surely.
        first = encoded.sequences.marks[:, 0]  # type: ignore[index]
        scores = np.asarray([1.0 if row == 1 else 0.5 for row in expected.example])
        reduced = {"score": scores, "start": first, "end": first}
        predicted = SINGLE_SENTENCE_QA.predict(
            examples, encoded, reduced, Scoring(task("xquad-depth"), "en", (), SINGLE_SENTENCE_QA.defaults)
        )
        assert "Boris works in Paris.".startswith(predicted.texts[0])
        assert "Nur ein Satz".startswith(predicted.texts[1])
        assert predicted.columns["sentences"] == [3, 1]
        assert predicted.columns["overlap_rank"] == [1, 1]


def test_the_best_sentence_counts_even_when_another_is_surer(tiny_tokenizer: Any) -> None:
    examples = [ask("Who?", "Anna. Boris.", "Boris")]
    encoded = SINGLE_SENTENCE_QA.encode(examples, TextEncoder(tiny_tokenizer), SINGLE_SENTENCE_QA.defaults)
    marks = encoded.sequences.marks
    assert marks is not None
    reduced = {"score": np.asarray([2.0, 1.0]), "start": marks[:, 0], "end": marks[:, 1] - 1}
    predicted = SINGLE_SENTENCE_QA.predict(
        examples, encoded, reduced, Scoring(task("xquad-depth"), "en", (), SINGLE_SENTENCE_QA.defaults)
    )
    assert predicted.texts == ["Anna."]
    assert predicted.metrics["f1_mixed"][0].tolist() == [0.0]
    assert predicted.columns["best_sentence_f1"] == [1.0]


def test_every_task_that_extracts_answers_has_its_diagnostic() -> None:
    """What is compared item by item has the same items, languages, metrics and training set."""
    for name in ("xquad", "mlqa", "tydiqa", "xhops-question-2"):
        original, diagnostic = task(name), task(f"{name}-depth")
        assert (diagnostic.group, diagnostic.kind.name) == ("diagnostic", "single_sentence_qa")
        assert replace(diagnostic, name=name, kind=original.kind, group=original.group) == original
    with pytest.raises(UsageError, match="xnli does not extract answers"):
        task("xnli-depth")
    with pytest.raises(UsageError, match="did you mean"):
        task("xqad-depth")


def write_unit(
    root: Path, name: str, checkpoint: str, language: str, rows: dict[str, list[Any]], **more: Any
) -> None:
    """A stored unit of four items with F1 ``f1``; further columns as they are."""
    scores = {"f1_mixed.num": rows.pop("f1"), "f1_mixed.den": [1.0] * 4}
    record = UnitRecord(
        fingerprint=f"{checkpoint}{name}{language}",
        identity="i",
        task=name,
        task_version=1,
        kind="single_sentence_qa" if name.endswith("-depth") else "span_qa",
        group="diagnostic" if name.endswith("-depth") else "single-hop QA",
        language=language,
        main_metric="f1_mixed",
        metrics=["f1_mixed"],
        checkpoint=checkpoint,
        checkpoint_digest=more.pop("digest", checkpoint),
        checkpoint_path=f"/{checkpoint}",
        data_digest=f"data-{language}",
        lineage={"condition": checkpoint, "phase": "target", "seed": 0},
        **more,
    )
    names = {"item_id": list("abcd"), "cluster_id": list("xxyy"), "hops": [0] * 4, "category": [""] * 4}
    Store(root).write(record, {**names, "prediction": [""] * 4, **rows, **scores})


def by_sentence(f1: list[float], best: list[float]) -> dict[str, list[Any]]:
    return {
        "f1": f1,
        "overlap_rank": [1, 1, 3, None],
        "coverage": [1.0, 0.5, 0.2, None],
        "sentences": [2, 2, 3, 1],
        "best_sentence_f1": best,
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    write_unit(root, "xquad", "none", "de", {"f1": [1.0, 0.5, 0.75, 0.0]})
    write_unit(root, "xquad-depth", "none", "de", by_sentence([1.0, 0.0, 0.25, 0.0], [1.0, 0.25, 0.5, 0.0]))
    write_unit(root, "xquad", "squad", "de", {"f1": [1.0, 1.0, 1.0, 1.0]})
    write_unit(root, "pawsx", "none", "de", {"f1": [1.0, 0.0, 0.0, 0.0]})
    return root


def test_the_comparison_by_hand(store: Path) -> None:
    (result,), lacking = compare(store)
    assert lacking == []
    assert (result.checkpoint, result.task, result.language) == ("none", "xquad", "de")
    assert result.easy is not None
    assert result.hard is not None
    assert vars(result.easy) == {"items": 2, "full": 0.75, "single": 0.5, "best": 0.625, "solvable": 0.5}
    assert vars(result.hard) == {"items": 1, "full": 0.75, "single": 0.25, "best": 0.5, "solvable": 0.0}
    assert (result.whole.items, result.whole.full, result.whole.solvable) == (4, 0.5625, 0.25)


def test_what_cannot_be_compared_is_said(store: Path) -> None:
    write_unit(store, "xquad-depth", "squad", "de", by_sentence([0.0] * 4, [0.0] * 4), digest="retrained")
    write_unit(store, "xquad-depth", "none", "zh", by_sentence([0.0] * 4, [0.0] * 4))
    results, lacking = compare(store)
    assert len(results) == 1
    assert any("none · xquad · zh: not in the store; run the task xquad too" in reason for reason in lacking)
    assert any("squad · xquad · de: other weights or data" in reason for reason in lacking)
    with pytest.raises(UsageError, match="holds no mlqa-depth"):
        compare(store, "mlqa")


def test_a_store_without_results_by_the_sentence(tmp_path: Path) -> None:
    write_unit(tmp_path, "xquad", "none", "de", {"f1": [1.0] * 4})
    with pytest.raises(StoreError, match="run a task such as xquad-depth"):
        compare(tmp_path)
    with pytest.raises(StoreError, match="run a task such as xquad-depth"):
        split_by_depth(tmp_path)


def test_one_checkpoint_read_by_the_sentence_splits_all(store: Path) -> None:
    frame = split_by_depth(store)
    assert list(frame.columns) == list(read_scores(store).columns)
    assert {key: "".join(rows["item_id"]) for key, rows in frame.groupby(["target", "condition"])} == {
        ("pawsx", "none"): "abcd",
        ("xquad-easy", "none"): "ab",
        ("xquad-easy", "squad"): "ab",
        ("xquad-hard", "none"): "c",
        ("xquad-hard", "squad"): "c",
    }
    assert set(frame["group"]) == {"single-hop QA"}
    groups = split_by_depth(store, hard_as_multi_hop=True).groupby("target")["group"].first().to_dict()
    assert groups == {"pawsx": "single-hop QA", "xquad-easy": "single-hop QA", "xquad-hard": "multi-hop QA"}
    write_unit(store, "xquad", "none", "zh", {"f1": [1.0] * 4})
    with pytest.raises(StoreError, match="xquad · zh was not read by the sentence"):
        split_by_depth(store)


def test_from_checkpoint_to_table(
    tmp_path: Path,
    make_checkpoint: Callable[..., Path],
    xeval: Callable[..., tuple[int, str, str]],
) -> None:
    data, models, results = write_all(tmp_path / "data"), tmp_path / "models", tmp_path / "store"
    path = make_checkpoint(models / "qa", "ForQuestionAnswering")
    Lineage(phase="target", base="tiny", target="squad", seed=0).write(path)
    where = ("--data", data, "--store", results, "--languages", "de,zh")
    assert xeval("run", models, *where, "--tasks", "xquad,xquad-depth")[0] == 0
    code, out, _ = xeval("show", "--depth", results, "--json")
    rows = json.loads(out)["depth"]
    assert code == 0
    assert [(row["language"], row["whole"]["items"]) for row in rows] == [("de", 12), ("zh", 12)]
    assert all(row["whole"]["best"] >= row["whole"]["single"] for row in rows)
    out_file = tmp_path / "split.parquet"
    code, out, _ = xeval("show", "--depth", results, "--task", "xquad")
    assert code == 0
    assert "over best" in out
    assert xeval("export", "depth", results, "--out", out_file)[0] == 0
    frame = pd.read_parquet(out_file)
    assert set(frame["target"]) <= {"xquad-easy", "xquad-hard"}
    whole = read_scores(results)
    assert len(frame) == len(whole[whole["target"] == "xquad"])
    code, _, err = xeval("export", "depth", results, "--out", tmp_path / "nowhere" / "x.parquet")
    assert code == 2
    assert "a folder that exists" in err
    # Diagnostics are run when they are named only.
    code, out, _ = xeval("run", models, *where, "--dry-run", "--json")
    assert {unit["task"] for unit in json.loads(out)["units"]} == {"xquad"}


@pytest.mark.real_data
def test_answers_of_xquad_lie_within_sentences(real_data: Path) -> None:
    """Counts of this splitter; 1,170 to 1,188 lie within one of XQuAD-R's sentences."""
    counts = {}
    for language in ("en", "hi", "th", "zh"):
        inside = 0
        for question in read_xquad([real_data / f"xquad/xquad.{language}.json"], language):
            answer = question.answers[0]
            finish = answer.start + len(answer.text)
            inside += any(b <= answer.start and finish <= e for b, e in sentence_spans(question.context))
        counts[language] = inside
    assert counts == {"en": 1187, "hi": 1184, "th": 1164, "zh": 1189}


@pytest.mark.real_data
def test_most_answers_of_xquad_lie_in_the_sentence_most_like_the_question(real_data: Path) -> None:
    ranks = [
        answer_overlap(question).rank for question in read_xquad([real_data / "xquad/xquad.en.json"], "en")
    ]
    assert sum(rank == 1 for rank in ranks) == 1001
