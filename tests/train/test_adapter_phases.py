"""Adapters as phases: trained, continued, resumed bit for bit, and read back by peft and by the evaluation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from support.tiny_studies import tiny_study

from xeval.checkpoints import Checkpoint
from xeval.errors import CheckpointError, UsageError
from xeval.tasks import training_set
from xeval.train.job import PhaseJob
from xeval.train.models import flops_per_token, load_encoder
from xeval.train.phases import PhaseStoppedError, train_phase
from xeval.train.plan import estimate, plan_study
from xeval.train.recipes import RECIPES, AdapterSettings
from xeval.train.study import load_study

SETTINGS = {
    "lora": AdapterSettings(r=2, alpha=4),
    "ia3": AdapterSettings(method="ia3", targets=("key", "value")),
}


@pytest.fixture
def base(tmp_path: Path, tiny_encoder: Path) -> Checkpoint:
    import shutil

    shutil.copytree(tiny_encoder, tmp_path / "base")
    return Checkpoint(tmp_path / "base", "base")


def job(parent: Checkpoint, adapter: AdapterSettings | None, **changes: Any) -> PhaseJob:
    hyper = RECIPES["lora"].target.model_copy(
        update={"adapter": adapter, "max_steps": 4, "train_size": 16, "dev_size": 4, "batch_size": 4}
    )
    sets = (training_set("xhops-claim"),)
    return replace(
        PhaseJob("target", parent, sets, hyper, seed=1, data_root=None, base="tiny", condition="none"),
        **changes,
    )


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("method", SETTINGS)
def test_a_trained_adapter_is_read_back_by_peft_and_by_the_evaluation(
    method: str, base: Checkpoint, tmp_path: Path
) -> None:
    out = train_phase(job(base, SETTINGS[method]), tmp_path / "runs" / "target")
    checkpoint = Checkpoint(out, "target")
    checkpoint.check()
    assert checkpoint.architecture == "BertForSequenceClassification"
    assert set(checkpoint.label_names) == {"false", "true"}
    assert checkpoint.lineage is not None
    assert checkpoint.lineage.recipe["adapter"]["method"] == method
    assert checkpoint.lineage.recipe["base_digest"] == base.digest
    assert not (out / "model.safetensors").exists()
    assert not (out / "tokenizer.json").exists()
    ours = checkpoint.load("AutoModelForSequenceClassification")
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(base.path, num_labels=2)
    theirs = peft.PeftModel.from_pretrained(whole, str(out)).eval()
    ids = torch.arange(45).reshape(3, 15) + 5
    with torch.no_grad():
        torch.testing.assert_close(
            ours(input_ids=ids).logits, theirs(input_ids=ids).logits, rtol=1e-4, atol=1e-5
        )
        before = base.load("AutoModel")(input_ids=ids).last_hidden_state
        assert not torch.equal(ours.base_model(input_ids=ids).last_hidden_state, before)


def test_a_stopped_run_goes_on_bit_for_bit(base: Checkpoint, tmp_path: Path) -> None:
    whole = train_phase(job(base, SETTINGS["lora"]), tmp_path / "a")
    steps = iter([False, True, False, False, False])
    with pytest.raises(PhaseStoppedError):
        train_phase(job(base, SETTINGS["lora"]), tmp_path / "b", stop=lambda: next(steps))
    resumed = train_phase(job(base, SETTINGS["lora"]), tmp_path / "b")
    first, second = tensors(whole), tensors(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert Checkpoint(whole, "a").weights_digest == Checkpoint(resumed, "b").weights_digest


def test_the_target_phase_goes_on_with_the_adapter_of_the_intermediate_one(
    base: Checkpoint, tmp_path: Path
) -> None:
    first = job(base, SETTINGS["lora"], phase="intermediate", sets=(training_set("xhops-question"),))
    middle = Checkpoint(train_phase(replace(first, condition="xhops"), tmp_path / "i"), "i")
    assert all("lora_" in name for name in tensors(middle.path))
    started = load_encoder(middle, SETTINGS["lora"], seed=3)
    ids = torch.arange(30).reshape(2, 15) + 5
    with torch.no_grad():
        expected = middle.load("AutoModel")(input_ids=ids).last_hidden_state
        torch.testing.assert_close(
            started.eval()(input_ids=ids).last_hidden_state, expected, rtol=1e-4, atol=1e-5
        )
    target = Checkpoint(train_phase(job(middle, SETTINGS["lora"]), tmp_path / "t"), "t")
    target.check()
    assert target.adapter is not None
    assert target.adapter.base.samefile(base.path)
    with pytest.raises(UsageError, match="give both phases the same settings"):
        train_phase(job(middle, AdapterSettings(r=4)), tmp_path / "u")
    merged = Checkpoint(train_phase(job(middle, None), tmp_path / "w"), "w")
    assert merged.adapter is None


def test_another_base_at_its_place_is_noticed(base: Checkpoint, tmp_path: Path, make_checkpoint: Any) -> None:
    out = train_phase(job(base, SETTINGS["lora"]), tmp_path / "t")
    make_checkpoint(tmp_path / "base", seed=9)
    with pytest.raises(CheckpointError, match="was trained on another base"):
        Checkpoint(out, "t").check()


def test_targets_that_name_no_module_are_refused(base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name no module in the layers"):
        train_phase(job(base, AdapterSettings(targets=("q_lin",))), tmp_path / "t")


def test_frozen_weights_cost_two_thirds(base: Checkpoint) -> None:
    whole, adapted = (
        flops_per_token(load_encoder(base)),
        flops_per_token(load_encoder(base, SETTINGS["lora"])),
    )
    added = 6 * sum(
        p.numel() for n, p in load_encoder(base, SETTINGS["lora"]).named_parameters() if "lora_" in n
    )
    assert adapted == whole * 4 // 6 + added


def test_a_study_of_adapters_is_planned_trained_and_small(tmp_path: Path, base: Checkpoint) -> None:
    study = tiny_study(tmp_path, base.path)
    text = study.path.read_text().replace('name = "small"', 'name = "lora"')
    study.path.write_text(
        text.replace("train_size = 16\n", 'train_size = 16\nadapter = { method = "lora", r = 2 }\n')
    )
    study.path.write_text(
        study.path.read_text().replace(
            "train_size = 32\n", 'train_size = 32\nadapter = { method = "lora", r = 2 }\n'
        )
    )
    read = load_study(study.path)
    planned = plan_study(read, tmp_path / "out")
    guess = estimate(read, tmp_path / "out", planned, 1)
    from xeval.train.loop import train_study

    assert not train_study(read, tmp_path / "out").failures
    for node in (p.node for p in planned if p.node.hyper is not None):
        folder = tmp_path / "out" / node.name
        size = (folder / "adapter_model.safetensors").stat().st_size
        assert guess.bytes is not None
        assert guess.bytes[node.digest] <= size <= 3 * guess.bytes[node.digest] + 10_000
        assert json.loads((folder / "adapter_config.json").read_text())["r"] == 2
