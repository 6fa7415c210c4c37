"""What a phase may do besides: number formats, memory, compiling, logs, and the mark of diverged runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.memory_sets import (
    CHOICES,
    CLAIMS,
    TAGS,
    MemorySource,
    card_of,
    changed,
    claims,
    tiny_job,
    weights,
)

from xeval.checkpoints import Checkpoint
from xeval.errors import XevalError
from xeval.tasks.base import TrainingSet
from xeval.tasks.classification import CLASSIFICATION
from xeval.train.models import flops_per_token, freeze, load_encoder
from xeval.train.phases import PhaseJob, Step, train_phase


@pytest.fixture
def job(tiny_encoder: Path) -> PhaseJob:
    return tiny_job(tiny_encoder)


def losses_of(job: PhaseJob, out: Path) -> list[float]:
    steps: list[Step] = []
    train_phase(job, out, progress=steps.append)
    return [step.loss for step in steps]


# --- unchanged where nothing is switched on ----------------------------------------------------------------

# Losses of every step, computed with the loop as it was before it had any of these switches (torch 2.13.0, CPU). The
# last bits of the weights are the processor's: matrix products sum in another order on another one.
GOLDEN: dict[str, list[float]] = {
    "plain": [1.62949, 1.59115, 1.34881, 1.38931, 1.57729, 2.48848, 1.4504, 1.23134],
    "best of several": [
        1.58519,
        1.19854,
        1.85379,
        0.964309,
        0.511802,
        1.20963,
        1.09859,
        0.684464,
        1.06408,
        1.08337,
    ],
    "mixture": [
        0.61551,
        1.36128,
        1.39204,
        0.664666,
        1.14154,
        0.853446,
        1.43492,
        1.25773,
        1.01666,
        1.32085,
        0.841298,
        1.0477,
    ],
}


def golden_job(job: PhaseJob, case: str) -> PhaseJob:
    if case == "plain":
        return job
    if case == "best of several":
        return changed(job, keep="best", evaluate_every=2, accumulation=2, max_steps=10)
    mixed = replace(job, sets=(TAGS, CHOICES), phase="intermediate", freeze_embeddings=True)
    return changed(mixed, group_by_length=True, mixture_cap=8, max_steps=12)


@pytest.mark.parametrize("case", ["plain", "best of several", "mixture"])
def test_nothing_has_changed_with_all_switches_off(job: PhaseJob, case: str, tmp_path: Path) -> None:
    losses = losses_of(golden_job(job, case), tmp_path / "out")
    assert losses == pytest.approx(GOLDEN[case], rel=1e-4)


# --- number formats, memory, compiling ---------------------------------------------------------------------


def test_recomputing_the_layers_changes_no_bit(job: PhaseJob, tmp_path: Path) -> None:
    plain = train_phase(job, tmp_path / "plain")
    recomputed = train_phase(changed(job, gradient_checkpointing=True), tmp_path / "recomputed")
    assert weights(recomputed) == weights(plain)


def test_bfloat16_computes_in_it_and_keeps_float32_weights(job: PhaseJob, tmp_path: Path) -> None:
    plain = losses_of(job, tmp_path / "plain")
    rounded = losses_of(changed(job, precision="bfloat16"), tmp_path / "rounded")
    assert rounded != plain
    assert rounded[0] == pytest.approx(plain[0], rel=0.05)
    tensors = load_file(tmp_path / "rounded" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert losses_of(changed(job, precision="float32"), tmp_path / "float32") == plain


def test_every_model_is_compiled_once_for_any_length(
    job: PhaseJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[str, bool]] = []

    def compile_nothing(model: Any, *, dynamic: bool) -> Any:
        compiled.append((type(model).__name__, dynamic))
        return model

    mixed = replace(job, phase="intermediate", sets=(CLAIMS, TAGS))
    plain = train_phase(mixed, tmp_path / "plain")
    assert not compiled
    monkeypatch.setattr(torch, "compile", compile_nothing)
    out = train_phase(changed(mixed, compile=True), tmp_path / "out")
    assert compiled == [("BertForSequenceClassification", True), ("BertForTokenClassification", True)]
    assert weights(out) == weights(plain)


def test_a_missing_compiler_is_one_sentence(
    job: PhaseJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_without_compiler(model: Any, *, dynamic: bool) -> Any:
        del model, dynamic

        def forward(**inputs: Any) -> Any:
            del inputs
            raise torch._dynamo.exc.TorchDynamoException("No working C++\ncompiler found")

        return forward

    monkeypatch.setattr(torch, "compile", compile_without_compiler)
    with pytest.raises(XevalError, match=r"torch.compile fails here \(No working C\+\+ compiler found\)"):
        train_phase(changed(job, compile=True), tmp_path / "out")


@pytest.mark.slow
def test_a_compiled_phase_learns_the_same(job: PhaseJob, tmp_path: Path) -> None:
    still = changed(job, dropout=0.0)
    plain = losses_of(still, tmp_path / "plain")
    assert losses_of(changed(still, compile=True), tmp_path / "compiled") == pytest.approx(plain, rel=1e-3)


def test_weights_on_disk_in_half_the_room(job: PhaseJob, tmp_path: Path) -> None:
    job = replace(job, phase="intermediate")
    whole = train_phase(job, tmp_path / "whole")
    half = train_phase(job, tmp_path / "half", save_dtype="bfloat16")
    exact, rounded = (load_file(path / "model.safetensors") for path in (whole, half))
    for name, tensor in exact.items():
        assert torch.equal(rounded[name], tensor.to(torch.bfloat16)), name
    assert len(weights(half)) < 0.6 * len(weights(whole))
    assert card_of(half).recipe["save_dtype"] == "bfloat16"
    assert "weights rounded to bfloat16 when saved" in (card_of(half).notes or "")
    child = replace(job, phase="target", parent=Checkpoint(half, "half"))
    assert Checkpoint(train_phase(child, tmp_path / "child"), "child").config["dtype"] == "float32"


# --- throughput --------------------------------------------------------------------------------------------


def test_operations_are_counted_by_hand(tiny_encoder: Path) -> None:
    encoder = load_encoder(Checkpoint(tiny_encoder, "tiny"))
    # Two layers: four matrices of 32 x 32, and two of 32 x 64.
    layers = 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert flops_per_token(encoder) == 6 * layers
    freeze(encoder)
    assert flops_per_token(encoder) == 6 * layers, (
        "embeddings are looked up: frozen or not, they count nothing"
    )
    for parameter in encoder.encoder.layer[0].parameters():
        parameter.requires_grad_(False)
    assert flops_per_token(encoder) == (6 + 2) * layers / 2


def test_the_history_holds_the_throughput(job: PhaseJob, tmp_path: Path) -> None:
    seen: list[Step] = []
    out = train_phase(job, tmp_path / "out", progress=seen.append)
    flops = flops_per_token(load_encoder(job.parent))
    for entry in card_of(out).history:
        assert entry["tokens_per_second"] > 0
        assert 0 <= entry["padding_share"] < 0.5
        assert entry["model_flops_per_second"] == pytest.approx(entry["tokens_per_second"] * flops, rel=1e-3)
    grouped = train_phase(changed(job, group_by_length=True, max_steps=24), tmp_path / "grouped")
    loose = train_phase(changed(job, max_steps=24), tmp_path / "loose")
    padding = [np.mean([e["padding_share"] for e in card_of(path).history]) for path in (grouped, loose)]
    assert padding[0] < padding[1]


# --- collapsed runs ----------------------------------------------------------------------------------------


def unlearnable() -> TrainingSet:
    """Labels that have nothing to do with the texts."""
    labels = np.random.default_rng(0).permutation(["yes", "no"] * 12)
    rows = [replace(e, label=str(label)) for e, label in zip(claims(), labels, strict=True)]  # type: ignore[type-var]
    return TrainingSet("claims", CLASSIFICATION, MemorySource({"train": rows, "dev": rows}), ("yes", "no"))


def test_one_answer_to_everything_is_marked(job: PhaseJob, tmp_path: Path) -> None:
    exploded = changed(job, learning_rate=0.3, max_steps=60, evaluate_every=30)
    card = card_of(train_phase(exploded, tmp_path / "out"))
    assert card.history[-1]["constant"] == ["claims"]
    assert (card.collapsed or "").startswith("gives one answer to all English dev items of claims")


def test_a_loss_no_better_than_a_constant_answer_is_marked(job: PhaseJob, tmp_path: Path) -> None:
    still = changed(replace(job, sets=(unlearnable(),)), learning_rate=1e-9, max_steps=40, evaluate_every=8)
    card = card_of(train_phase(still, tmp_path / "out"))
    assert "that of the best constant answer is 0.6931, and its dev score of " in (card.collapsed or "")
    assert "is that of chance (50.0)" in (card.collapsed or "")


def test_a_dev_score_above_chance_is_no_collapse_whatever_the_loss(
    job: PhaseJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xeval.train.rows.Rows.constant_loss", 0.0)
    tuned = changed(job, max_steps=150, evaluate_every=150, learning_rate=5e-3)
    assert card_of(train_phase(tuned, tmp_path / "out")).collapsed is None


def test_a_run_that_learns_is_not_marked(job: PhaseJob, tmp_path: Path) -> None:
    tuned = changed(job, max_steps=150, evaluate_every=50, learning_rate=5e-3, keep="best")
    card = card_of(train_phase(tuned, tmp_path / "out"))
    assert card.collapsed is None
    assert card.notes is None


def test_dev_data_of_one_label_are_no_sign(job: PhaseJob, tmp_path: Path) -> None:
    yes = [example for example in claims() if example.label == "yes"]  # type: ignore[union-attr]
    sets = (replace(CLAIMS, source=MemorySource({"train": claims(), "dev": yes})),)
    tuned = changed(replace(job, sets=sets), max_steps=150, evaluate_every=150, learning_rate=5e-3)
    card = card_of(train_phase(tuned, tmp_path / "out"))
    assert card.history[-1]["claims.accuracy"] > 0.9
    assert card.collapsed is None
