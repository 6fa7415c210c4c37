import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file
from support.memory_sets import (
    CHOICES,
    CLAIMS,
    SPANS,
    TAGS,
    THROUGHPUT,
    KilledError,
    MemorySource,
    card_of,
    changed,
    choices,
    claims,
    tiny_job,
    untimed_history,
    weights,
)

from xeval.checkpoints import Checkpoint
from xeval.encoder.loop import Loop
from xeval.encoder.tokens import TextEncoder
from xeval.errors import DataError, UsageError
from xeval.examples import Example, MultipleChoice
from xeval.tasks import all_training_sets
from xeval.tasks.base import Settings, TrainingSet
from xeval.tasks.classification import CLASSIFICATION
from xeval.train import phases
from xeval.train.intermediates import load_examples, training_set
from xeval.train.mixture import mixture
from xeval.train.models import load_encoder, rate_factor, with_head
from xeval.train.phases import NotFiniteError, PhaseJob, PhaseStoppedError, train_phase
from xeval.train.recipes import RECIPES, Hyperparameters, total_steps
from xeval.train.rows import BatchOrder
from xeval.train.state import STATE_NAME


@pytest.fixture
def job(tiny_encoder: Path) -> PhaseJob:
    return tiny_job(tiny_encoder)


@pytest.mark.parametrize("learnt", [CLAIMS, CHOICES, TAGS, SPANS], ids=lambda s: s.name)
def test_every_kind_learns(job: PhaseJob, learnt: TrainingSet, tmp_path: Path) -> None:
    steps: list[phases.Step] = []
    tuned = changed(replace(job, sets=(learnt,)), max_steps=150, evaluate_every=150, learning_rate=5e-3)
    out = train_phase(tuned, tmp_path / "out", progress=steps.append)
    losses = [step.loss for step in steps]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    card = Checkpoint(out, "out").lineage
    assert card is not None
    (last,) = card.history
    scores = {key: value for key, value in last.items() if key.startswith(learnt.name)}
    assert max(scores.values()) > 0.9, scores


def test_supertags_take_their_labels_from_the_data(job: PhaseJob, tmp_path: Path) -> None:
    for split, lines in (("train", "a b\tN/N N\nc\tN\n"), ("dev", "a c\tN/N S[b]\n")):
        file = tmp_path / "ccg" / f"ccg.{split}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(lines)
    tuned = changed(replace(job, sets=(training_set("ccg"),), data_root=tmp_path), max_steps=2)
    checkpoint = Checkpoint(train_phase(tuned, tmp_path / "out"), "out")
    assert checkpoint.label_names == ("N", "N/N", "S[b]")
    assert checkpoint.lineage is not None
    assert "ccg.tag_accuracy" in checkpoint.lineage.history[-1]


def test_the_saved_checkpoint_gives_the_dev_score_of_its_card(job: PhaseJob, tmp_path: Path) -> None:
    checkpoint = Checkpoint(train_phase(job, tmp_path / "out"), "out")
    checkpoint.check()
    assert CLASSIFICATION.head_problem(checkpoint, CLAIMS.labels) is None
    assert checkpoint.label_names == CLAIMS.labels
    encoder = TextEncoder(checkpoint.load_tokenizer())
    examples = claims()
    encoded = CLASSIFICATION.encode(examples, encoder, Settings(64))  # type: ignore[arg-type]
    model = checkpoint.load(CLASSIFICATION.auto_class)
    reduced = Loop(torch.device("cpu"), encoder.pad_id).run(
        encoded.sequences, lambda batch: CLASSIFICATION.reduce(model, batch, Settings())
    )
    right = [
        CLAIMS.labels[number] == example.label  # type: ignore[union-attr]
        for number, example in zip(reduced["label"], examples, strict=True)
    ]
    assert checkpoint.lineage is not None
    assert checkpoint.lineage.history[-1]["claims.accuracy"] == np.mean(right)


def test_the_card_is_complete(job: PhaseJob, tmp_path: Path) -> None:
    out = train_phase(replace(job, condition="choices", recipe="small", seed=3), tmp_path / "out")
    card = json.loads((out / "xeval.json").read_text())
    assert {key for key, value in card.items() if value in (None, [], {}, "")} <= {"notes", "collapsed"}
    assert card["weights"] == Checkpoint(out, "out").weights_digest
    assert (card["phase"], card["condition"], card["target"], card["seed"]) == (
        "target",
        "choices",
        "claims",
        3,
    )
    assert card["parent"] == job.parent.digest
    assert card["data"] == [{"name": "claims", "digest": job.data_digests["claims"], "rows": 24}]
    assert set(Hyperparameters.model_fields) < set(card["recipe"])
    assert card["recipe"]["name"] == "small"
    assert [entry["step"] for entry in card["history"]] == [4, 8]
    assert card["wall_seconds"] > 0
    assert not (tmp_path / "out.partial").exists()


def test_equal_seeds_give_equal_weights_and_others_do_not(job: PhaseJob, tmp_path: Path) -> None:
    first, again = (train_phase(job, tmp_path / name) for name in ("first", "again"))
    other = train_phase(replace(job, seed=1), tmp_path / "other")
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)


def test_evaluating_does_not_change_training(job: PhaseJob, tmp_path: Path) -> None:
    often = train_phase(changed(job, evaluate_every=1), tmp_path / "often")
    once = train_phase(changed(job, evaluate_every=100), tmp_path / "once")
    assert weights(often) == weights(once)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_embeddings_stay_and_others_move(job: PhaseJob, frozen: bool, tmp_path: Path) -> None:
    out = train_phase(replace(job, freeze_embeddings=frozen), tmp_path / "out")
    before, after = load_file(job.parent.path / "model.safetensors"), load_file(out / "model.safetensors")
    for name, tensor in before.items():
        if name.startswith("embeddings."):
            assert torch.equal(tensor, after[f"bert.{name}"]) == frozen, name
        elif name.startswith("encoder.") and "key.bias" not in name:
            assert not torch.equal(tensor, after[f"bert.{name}"]), name


def test_frozen_embeddings_take_no_optimiser_state(job: PhaseJob, tmp_path: Path) -> None:
    def stop() -> bool:
        return True

    with pytest.raises(PhaseStoppedError, match="step 1 of 8"):
        train_phase(replace(job, freeze_embeddings=True), tmp_path / "out", stop=stop)
    state = load_file(tmp_path / "out.partial" / STATE_NAME)
    assert not any("embeddings" in name for name in state)
    assert any(name.startswith("exp_avg_sq/") for name in state)


def test_an_intermediate_node_is_the_encoder_alone(job: PhaseJob, tmp_path: Path) -> None:
    mixed = replace(job, phase="intermediate", sets=(CLAIMS, CHOICES), condition="claims+choices")
    out = Checkpoint(train_phase(mixed, tmp_path / "out"), "out")
    before = load_file(job.parent.path / "model.safetensors")
    after = load_file(out.path / "model.safetensors")
    assert before.keys() == after.keys()
    assert out.architecture == job.parent.architecture == "BertModel"
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("encoder.layer.1.") for name in moved)
    assert not any("pooler" in name for name in moved), "the pooler belongs to the heads"
    assert out.tokenizer_digest == job.parent.tokenizer_digest
    assert out.lineage is not None
    assert out.lineage.target is None
    assert [data.name for data in out.lineage.data] == ["claims", "choices"]
    assert {"claims.accuracy", "choices.accuracy"} < set(out.lineage.history[-1])
    child = train_phase(replace(job, parent=out, condition="claims+choices"), tmp_path / "child")
    assert weights(child) != weights(train_phase(job, tmp_path / "baseline"))


def test_heads_start_from_the_seed_whatever_the_parent(job: PhaseJob, tmp_path: Path) -> None:
    parent = Checkpoint(train_phase(job, tmp_path / "parent"), "parent")
    encoders = [load_encoder(checkpoint) for checkpoint in (job.parent, parent)]
    one, other = (with_head(encoder, CLAIMS, 5) for encoder in encoders)
    assert torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(one.bert.pooler.dense.weight, other.bert.pooler.dense.weight)
    assert one.bert.encoder is encoders[0].encoder


# --- resuming ----------------------------------------------------------------------------------------------


RESUMED = {
    "best, dropout, accumulation": (
        {"keep": "best", "evaluate_every": 2, "accumulation": 2},
        (CLAIMS,),
        False,
    ),
    "mixture, by length, frozen": ({"group_by_length": True, "mixture_cap": 8}, (TAGS, SPANS), True),
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_that_dies_again_and_again_ends_with_the_same_weights(
    job: PhaseJob, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hyper, sets, frozen = RESUMED[case]
    phase = "target" if len(sets) == 1 else "intermediate"
    job = replace(changed(job, max_steps=10, **hyper), sets=sets, freeze_embeddings=frozen, phase=phase)
    undisturbed = train_phase(job, tmp_path / "undisturbed")

    seen: list[int] = []

    def die_at(step: int) -> Callable[[phases.Step], None]:
        def progress(report: phases.Step) -> None:
            seen.append(report.step)
            if report.step == step:
                raise KilledError

        return progress

    def die(*_: Any) -> None:
        raise KilledError

    for step in (2, 3, 7, 10):
        with pytest.raises(KilledError):
            train_phase(job, tmp_path / "out", progress=die_at(step), save_seconds=0)
    with monkeypatch.context() as broken:
        broken.setattr(phases, "publish", die)
        with pytest.raises(KilledError):  # behind the last save, so that the next run takes no step at all
            train_phase(job, tmp_path / "out", save_seconds=0)
    resumed = train_phase(job, tmp_path / "out", progress=die_at(0), save_seconds=0)
    assert seen.count(10) == 1
    assert weights(resumed) == weights(undisturbed)
    assert Checkpoint(resumed, "out").digest == Checkpoint(undisturbed, "out").digest
    assert len(seen) < 22, "it went back to the start"
    assert untimed_history(resumed) == untimed_history(undisturbed)


def test_a_state_of_another_job_is_not_continued(job: PhaseJob, tmp_path: Path) -> None:
    with pytest.raises(PhaseStoppedError):
        train_phase(replace(job, seed=7), tmp_path / "out", stop=lambda: True)
    steps: list[phases.Step] = []
    out = train_phase(job, tmp_path / "out", progress=steps.append)
    assert steps[0].step == 1
    assert weights(out) == weights(train_phase(job, tmp_path / "fresh"))


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "an empty file": lambda folder: (folder / STATE_NAME).write_bytes(b""),
    "a cut one": lambda folder: os.truncate(folder / STATE_NAME, 5000),
    "a bit of a weight": lambda folder: flip(folder / STATE_NAME, -999),
    "a bit of the position": lambda folder: flip(
        folder / STATE_NAME, (folder / STATE_NAME).read_bytes().index(b"loss_sum") + 14
    ),
    "other content": lambda folder: (folder / STATE_NAME).write_bytes(b"{}" * 99),
    "no best state": lambda folder: next(folder.glob("best-*")).unlink(),
    "a bit of the best state": lambda folder: flip(next(folder.glob("best-*")), -999),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_said_and_training_begins_anew(job: PhaseJob, damage: str, tmp_path: Path) -> None:
    job = changed(job, keep="best", evaluate_every=2, max_steps=4)
    done: list[int] = []
    with pytest.raises(PhaseStoppedError):
        train_phase(
            job, tmp_path / "out", progress=lambda s: done.append(s.step), stop=lambda: done[-1:] == [3]
        )
    DAMAGE[damage](tmp_path / "out.partial")
    said: list[str] = []
    out = train_phase(job, tmp_path / "out", say=said.append, progress=lambda s: done.append(s.step))
    assert done == [1, 2, 3, 1, 2, 3, 4]
    assert len(said) == 1
    assert said[0].startswith("began anew, because the saved ")
    assert card_of(out).notes == said[0]
    assert weights(out) == weights(train_phase(job, tmp_path / "fresh"))


def test_a_disk_that_is_full_loses_no_saved_state(
    job: PhaseJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PhaseStoppedError):
        train_phase(job, tmp_path / "out", stop=lambda: True)
    before = (tmp_path / "out.partial" / STATE_NAME).read_bytes()

    def full(*arguments: Any, **_: Any) -> None:
        Path(arguments[1]).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(SafetensorError):
        train_phase(job, tmp_path / "out", save_seconds=0)
    assert [file.name for file in (tmp_path / "out.partial").iterdir()] == [STATE_NAME]
    assert (tmp_path / "out.partial" / STATE_NAME).read_bytes() == before


PROGRAM = """
import sys
from pathlib import Path
from xeval.train.phases import PhaseJob, train_phase
from xeval.train.recipes import RECIPES
from xeval.checkpoints import Checkpoint
from xeval.tasks import training_set

def job(parent):
    sets = (training_set("xhops-claim"),)
    changes = {"max_steps": 120, "train_size": 32, "dev_size": 8, "max_length": 32}
    hyper = RECIPES["small"].resolve("target", sets, changes)
    return PhaseJob("target", Checkpoint(Path(parent), "tiny"), sets, hyper, 0, None, "tiny")

if __name__ == "__main__":
    train_phase(job(sys.argv[1]), Path(sys.argv[2]), save_seconds=0)
"""


def test_sigkill_and_resume(tiny_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(PROGRAM, "program", "exec"), namespace)
    job, out = namespace["job"](tiny_encoder), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(tiny_encoder), str(out)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    state = tmp_path / "out.partial" / STATE_NAME
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.2 * float(np.random.default_rng().random()))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert state.exists()
    assert not out.exists()
    steps: list[phases.Step] = []
    assert weights(train_phase(job, out, progress=steps.append)) == weights(
        train_phase(job, tmp_path / "fresh")
    )
    assert steps[0].step > 1


# --- choosing, and going wrong -----------------------------------------------------------------------------


def contrary() -> list[Example]:
    """Dev data whose labels are the wrong way round: the more is learnt, the lower is the score."""
    flip = {"yes": "no", "no": "yes"}
    return [replace(e, label=flip[e.label]) for e in claims()]  # type: ignore[arg-type, type-var, union-attr]


def test_the_best_state_is_kept_and_patience_ends_the_run(job: PhaseJob, tmp_path: Path) -> None:
    sets = (
        TrainingSet(
            "claims", CLASSIFICATION, MemorySource({"train": claims(), "dev": contrary()}), ("yes", "no")
        ),
    )
    job = changed(replace(job, sets=sets), max_steps=80, evaluate_every=8, keep="best", patience=3)
    out = Checkpoint(train_phase(job, tmp_path / "out"), "out")
    card = out.lineage
    assert card is not None
    scores = {entry["step"]: entry["score"] for entry in card.history}
    best = card.recipe["best_step"]
    assert scores[best] == max(scores.values()) == card.recipe["best_score"]
    assert card.recipe["steps"] == max(scores) == best + 3 * 8 < card.recipe["planned_steps"] == 80
    last = train_phase(changed(job, keep="last"), tmp_path / "last")
    assert weights(out.path) != weights(last)


def test_choosing_the_best_needs_dev_data(job: PhaseJob, tmp_path: Path) -> None:
    blind = replace(job, sets=(replace(CLAIMS, source=MemorySource({"train": claims()})),))
    with pytest.raises(DataError, match="claims: there are no English dev data"):
        train_phase(changed(blind, keep="best"), tmp_path / "out")
    card = Checkpoint(train_phase(blind, tmp_path / "out"), "out").lineage
    assert card is not None
    assert set(card.history[0]) == {"step", "loss", *THROUGHPUT}


def break_heads(monkeypatch: pytest.MonkeyPatch, attempts: int) -> None:
    """The first ``attempts`` heads hold a weight that is not a number."""
    original, made = phases.with_head, []

    def with_head(encoder: Any, training_set: TrainingSet, seed: int) -> Any:
        model = original(encoder, training_set, seed)
        made.append(seed)
        if len(made) <= attempts:
            torch.nn.init.constant_(model.classifier.bias, math.nan)
        return model

    monkeypatch.setattr(phases, "with_head", with_head)


def test_a_loss_that_is_not_finite_is_retried_once(
    job: PhaseJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train_phase(job, tmp_path / "plain")
    break_heads(monkeypatch, attempts=1)
    out = train_phase(job, tmp_path / "out")
    card = Checkpoint(out, "out").lineage
    assert card is not None
    assert (card.notes or "").split("; ")[0] == (
        "restarted with other random numbers: the loss was not finite at step 1"
    )
    assert all(torch.isfinite(tensor).all() for tensor in load_file(out / "model.safetensors").values())
    assert weights(out) != weights(plain)


def test_a_loss_that_stays_not_finite_is_an_error(
    job: PhaseJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_heads(monkeypatch, attempts=2)
    with pytest.raises(NotFiniteError, match=r"not finite at step 1 again .* lower learning_rate"):
        train_phase(job, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_wrong_use_is_one_sentence(job: PhaseJob, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        train_phase(job, tmp_path / "out")
    with pytest.raises(UsageError, match="max_length is 1000, but tiny reads 512 tokens"):
        train_phase(changed(job, max_length=1000), tmp_path / "long")
    odd = [*choices(3), MultipleChoice("odd", "odd", "a", ("b", "c", "d"), 0)]
    uneven = replace(CHOICES, source=MemorySource({"train": odd}))
    with pytest.raises(DataError, match="different numbers of choices"):
        train_phase(replace(job, sets=(uneven,)), tmp_path / "uneven")
    unlabelled = replace(CLAIMS, labels=("yes", "maybe"))
    with pytest.raises(DataError, match="c0: label 'no' is none of yes, maybe"):
        train_phase(replace(job, sets=(unlabelled,)), tmp_path / "unlabelled")


# --- parts -------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=300),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_every_epoch_holds_every_row_once(lengths: list[int], size: int, by_length: bool, seed: int) -> None:
    order = BatchOrder(np.asarray(lengths), size, by_length, seed)
    for epoch in range(2):
        batches = [order.batch(epoch * order.per_epoch + i) for i in range(order.per_epoch)]
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        assert max(map(len, batches)) <= size
    again = BatchOrder(np.asarray(lengths), size, by_length, seed)
    assert np.array_equal(again.batch(order.per_epoch), order.batch(order.per_epoch))


def test_grouping_by_length_saves_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 1000)

    def padded(by_length: bool) -> int:
        order = BatchOrder(lengths, 16, by_length, 0)
        return sum(len(b) * int(lengths[b].max()) for b in map(order.batch, range(order.per_epoch)))

    assert padded(by_length=True) < 1.1 * lengths.sum() < 1.5 * lengths.sum() < padded(by_length=False)


def test_cuts_of_a_set_nest_and_do_not_depend_on_its_order() -> None:
    cuts = [{e.item_id for e in load_examples(CLAIMS, None, "train", size)} for size in (4, 9, 24)]
    assert [len(cut) for cut in cuts] == [4, 9, 24]
    assert cuts[0] < cuts[1] < cuts[2]
    turned = replace(CLAIMS, source=MemorySource({"train": claims()[::-1]}))
    assert {e.item_id for e in load_examples(turned, None, "train", 9)} == cuts[1]


def test_the_rate_rises_and_falls_linearly() -> None:
    assert [rate_factor(step, 10, 4) for step in range(10)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )
    assert rate_factor(0, 1, 0) == 1


def test_steps_and_mixture_follow_the_rows() -> None:
    hyper = Hyperparameters(learning_rate=1e-5, epochs=3, batch_size=4, accumulation=8, mixture_cap=1000)
    assert total_steps(hyper, [392_702]) == math.ceil(3 * 392_702 / 32)
    assert total_steps(hyper, [100_000, 320]) == math.ceil(3 * 1000 / 32) + 30
    draws = mixture(hyper, [100_000, 250], 10_000, 0)
    assert np.mean(draws == 0) == pytest.approx(0.8, abs=0.02)
    uncapped = mixture(hyper.model_copy(update={"mixture_cap": None}), [900, 100], 10_000, 0)
    assert np.mean(uncapped == 0) == pytest.approx(0.9, abs=0.02)


def test_named_recipes_have_the_values_of_their_sources() -> None:
    by_name = all_training_sets()

    def row(recipe: str, data: str) -> tuple[float, float, int, int, int | None]:
        hyper = RECIPES[recipe].resolve("target", [by_name[data]])
        return hyper.learning_rate, hyper.epochs, hyper.batch_size, hyper.accumulation, hyper.max_length

    assert row("phang2020", "mnli") == (1e-5, 2, 4, 8, 256)
    assert row("phang2020", "pawsx-en") == (1e-5, 5, 4, 8, 256)
    assert row("phang2020", "udpos-en") == (1e-5, 10, 4, 8, 256)
    assert row("phang2020", "squad") == (1e-5, 2, 4, 4, 384)
    assert row("xtreme", "mnli") == (2e-5, 5, 32, 1, 128)
    assert row("xtreme", "udpos-en") == (2e-5, 10, 32, 1, 128)
    assert row("xtreme", "squad") == (3e-5, 3, 4, 8, 384)
    squad = RECIPES["xtreme"].resolve("target", [by_name["squad"]])
    assert (squad.warmup_steps, squad.weight_decay) == (500, 1e-4)
    assert RECIPES["small"].resolve("target", [by_name["squad"]], {"max_length": 99}).max_length == 99
    with pytest.raises(
        UsageError, match="recipe 'small', target phase: epochs: Input should be greater than 0"
    ):
        RECIPES["small"].resolve("target", [by_name["squad"]], {"epochs": 0})
