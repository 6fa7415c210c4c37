"""Multi-hop targets: what the encoder sees of a long story, and whole evaluations of small files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xeval.checkpoints import discover
from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import plan_units
from xeval.evaluation.run import run_units
from xeval.examples import Answer, MultipleChoice, Question
from xeval.languages import language
from xeval.sources.multihop import BABI_ROOMS, NOWHERE
from xeval.store import Store, read_scores, read_table
from xeval.tasks import all_tasks, task, training_set
from xeval.tasks.base import Settings
from xeval.tasks.choice import CHOICE, PASSAGE_CHOICE
from xeval.tasks.span_qa import SPAN_QA

STORY = "Anna works in Berlin. " * 30 + "Where is Anna?"


@pytest.fixture
def encoder(tiny_tokenizer: Any) -> TextEncoder:
    return TextEncoder(tiny_tokenizer)


def test_a_long_story_loses_its_beginning_and_keeps_the_question(encoder: TextEncoder) -> None:
    choices = ("in Berlin", "near the lazy dog", "in Paris")
    example = MultipleChoice("1", "1", STORY, choices, 0)
    encoded = PASSAGE_CHOICE.encode([example], encoder, Settings(60))
    contexts = []
    for choice, ids in zip(choices, encoded.sequences.ids, strict=True):
        end = len(ids) - len(encoder.pieces([choice])[choice].ids) - len(encoder.template.suffix)
        contexts.append(ids[len(encoder.template.prefix) : end - len(encoder.template.middle)].tolist())
        assert len(ids) <= 60
    assert contexts[0] == contexts[1] == contexts[2]
    whole = encoder.pieces([STORY])[STORY].ids.tolist()
    assert len(whole) > 60
    assert contexts[0] == whole[-len(contexts[0]) :]
    assert max(map(len, encoded.sequences.ids)) == 60
    assert PASSAGE_CHOICE.training_rows(encoded) == [[0, 1, 2]]
    with pytest.raises(UsageError, match="--max-length 5 leaves no room"):
        PASSAGE_CHOICE.encode([example], encoder, Settings(5))


def test_a_short_story_is_encoded_like_any_choice(encoder: TextEncoder) -> None:
    example = MultipleChoice("1", "1", "Anna works. Where?", ("in Berlin", "near"), 0)
    passage, plain = (kind.encode([example], encoder, Settings(99)) for kind in (PASSAGE_CHOICE, CHOICE))
    assert [ids.tolist() for ids in passage.sequences.ids] == [ids.tolist() for ids in plain.sequences.ids]


@pytest.mark.parametrize("max_length", [16, 384])
def test_an_answer_that_stands_nowhere_is_trained_at_no_token(encoder: TextEncoder, max_length: int) -> None:
    context = "Anna works in Berlin. Boris works in Paris."
    examples = [Question("1", "1", "Where?", context, (Answer(text, NOWHERE),)) for text in ("A", context)]
    encoded = SPAN_QA.encode(
        examples, encoder, SPAN_QA.defaults.changed({"max_length": max_length, "stride": 4})
    )
    targets = SPAN_QA.targets(examples, encoded, ())
    assert set(targets["start_positions"]) == set(targets["end_positions"]) == {0}


def test_every_multihop_target_has_single_hop_and_multihop_tasks() -> None:
    names = [name for name, declared in all_tasks().items() if declared.group == "multi-hop QA"]
    assert set(names) >= {
        "babi-2", "babi-3", "hotpotqa", "hotpotqa-supporting", "xhotpotqa", "2wikimultihopqa",
        "2wikimultihopqa-supporting", "musique", "musique-supporting", "mintaka-multihop", "jemhopqa",
    }  # fmt: skip
    assert {task(name).group for name in ("babi-1", "babi-4", "mintaka-generic")} == {"single-hop QA"}
    # One training set for all hops of a ladder, so that hops alone differ.
    assert {task(f"babi-{hops}").training for hops in (1, 2, 3)} == {"babi-en"}
    assert task("mintaka-multihop").training == task("mintaka-generic").training
    assert len(task("xhotpotqa").languages) == 24
    assert all(language(code) for code in task("mintaka-multihop").languages)


@pytest.mark.real_data
def test_the_training_sets_of_the_published_cuts(real_data: Path) -> None:
    for name in ("hotpotqa-en", "hotpotqa-supporting-en", "musique-en", "musique-supporting-en"):
        source = training_set(name).source
        train, dev = (source.load(real_data, "en", split) for split in ("train", "dev"))
        assert len(train) + len(dev) == 100
        assert dev


# Whole evaluations.


def write_babi(root: Path) -> None:
    """Four questions of each type, about the same rooms in both languages."""
    root.mkdir(parents=True)
    for code in ("en", "de"):
        with (root / f"{code}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["passage", "question", "question_type", "target"])
            for kind in ("qa1", "qa2", "qa3"):
                for number in range(4):
                    room = BABI_ROOMS[code][number]
                    writer.writerow([f"Anna: {room}. Boris: {room}.", "Anna?", kind, room])


def write_jemhopqa(path: Path) -> None:
    path.parent.mkdir()
    rows = [
        {
            "qid": f"q{n}",
            "type": "comparison" if n % 2 else "compositional",
            "question": "安娜在柏林工作?",
            "answer": "YES" if n % 2 else f"柏林{n}",
            "derivations": [[f"安娜{n}", "工作", [f"狗{n}"]], [f"狗{n}", "在", [f"柏林{n}"]]],
        }
        for n in range(6)
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def test_stories_and_given_facts_are_evaluated_and_stored_with_their_hops(
    tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    write_babi(tmp_path / "data/mlrbench")
    write_jemhopqa(tmp_path / "data/jemhopqa/dev_ver1.2.json")
    make_checkpoint(tmp_path / "models/choice", "ForMultipleChoice", seed=1)
    make_checkpoint(tmp_path / "models/span", "ForQuestionAnswering", seed=2)
    options = RunOptions(data=tmp_path / "data", device="cpu")
    store = Store(tmp_path / "store")
    tasks = [task(name) for name in ("babi-1", "babi-2", "babi-3", "jemhopqa")]
    planned = plan_units(
        list(discover(tmp_path / "models")), tasks, store, options, languages=["en", "de", "ja"]
    )

    class Silent:
        def started(self, unit: Any, items: int) -> None: ...
        def advanced(self, items: int) -> None: ...
        def finished(self, unit: Any, record: Any, score: float) -> None: ...
        def failed(self, unit: Any, reason: str) -> None: ...

    outcome = run_units(planned, store, options, Silent())
    assert outcome.ok, outcome.problems
    assert outcome.done == 3 * 2 + 1
    scores = read_scores(tmp_path / "store")
    hops = scores.groupby("target")["hops"].unique().map(list).to_dict()
    assert hops == {"babi-1": [1], "babi-2": [2], "babi-3": [3], "jemhopqa": [2]}
    assert set(scores.loc[scores["target"] == "babi-3", "group"]) == {"multi-hop QA"}
    assert np.allclose(scores.loc[scores["target"] == "babi-1", "chance"], 1 / 6)
    (japanese,) = (tmp_path / "store").rglob("*jemhopqa*/**/*.parquet")
    assert set(read_table(japanese)["category"].to_pylist()) == {"comparison", "compositional"}
