"""Adapters of peft as checkpoints: equal to peft's own merged model, and one sentence for what cannot be used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from support.published import write_all

from xeval.checkpoints import Checkpoint, Lineage
from xeval.errors import CheckpointError

Run = Callable[..., tuple[int, str, str]]
LABELS = {"0": "different", "1": "paraphrase"}
TARGETS = ["query", "value", "dense"]
METHODS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=["query", "value"], task_type="SEQ_CLS"
    ),
    "rslora": lambda: peft.LoraConfig(
        r=2, lora_alpha=4, use_rslora=True, target_modules=["query"], task_type="SEQ_CLS"
    ),
    "dora": lambda: peft.LoraConfig(
        r=2, lora_alpha=4, use_dora=True, target_modules=["value"], task_type="SEQ_CLS"
    ),
    "ia3": lambda: peft.IA3Config(
        target_modules=["key", "value", "output.dense"],
        feedforward_modules=["output.dense"],
        task_type="SEQ_CLS",
    ),
    "with more modules": lambda: peft.LoraConfig(
        r=2, target_modules=["query"], modules_to_save=["classifier", "pooler"], task_type="SEQ_CLS"
    ),
}


def write_adapter(folder: Path, base: Path, method: str = "lora", seed: int = 0) -> Path:
    """An adapter with random weights and a head of its own, saved by peft; labels are named beside it."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    wrapped = peft.get_peft_model(model, METHODS[method]())
    for name, value in wrapped.named_parameters():
        if value.requires_grad:
            value.data = (
                value.data + 0.2 * torch.randn_like(value) if "ia3" in name else torch.randn_like(value)
            )
    wrapped.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"id2label": LABELS}))
    return folder


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(60).reshape(4, 15) + 5
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("method", METHODS)
def test_the_merged_model_is_that_of_peft(method: str, tmp_path: Path, tiny_encoder: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "base")
    folder = write_adapter(tmp_path / "adapter", tmp_path / "base", method)
    ours = Checkpoint(folder, "adapter").load("AutoModelForSequenceClassification")
    base = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=2)
    unmerged = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    torch.testing.assert_close(logits(ours), logits(unmerged), rtol=1e-4, atol=1e-4)
    merged = unmerged.merge_and_unload(safe_merge=True)
    assert torch.equal(logits(ours), logits(merged))


def test_one_adapter_after_the_other_leaves_the_base_as_it_was(tmp_path: Path, tiny_encoder: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "base")
    methods = ("lora", "dora", "ia3", "lora")
    folders = [
        write_adapter(tmp_path / f"{number}", tmp_path / "base", method, seed=number)
        for number, method in enumerate(methods)
    ]
    first = [logits(Checkpoint(f, f.name).load("AutoModelForSequenceClassification")) for f in folders]
    again = [
        logits(Checkpoint(f, f.name).load("AutoModelForSequenceClassification")) for f in reversed(folders)
    ]
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    assert not torch.equal(first[0], first[3])


def test_its_encoder_is_the_merged_one_without_a_head(tmp_path: Path, tiny_encoder: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "base")
    folder = write_adapter(tmp_path / "adapter", tmp_path / "base")
    whole = Checkpoint(folder, "a").load("AutoModelForSequenceClassification")
    alone = Checkpoint(folder, "a").load("AutoModel")
    ids = torch.arange(30).reshape(2, 15) + 5
    with torch.no_grad():
        expected = whole.base_model(input_ids=ids).last_hidden_state
        assert torch.equal(alone(input_ids=ids).last_hidden_state, expected)


def test_a_folder_of_adapters_is_evaluated_as_their_merged_models(
    tmp_path: Path, tiny_encoder: Path, xeval: Run
) -> None:
    data = write_all(tmp_path / "data")
    shutil.copytree(tiny_encoder, tmp_path / "bases" / "tiny")
    for seed in (0, 1):
        folder = write_adapter(tmp_path / "runs" / f"seed-{seed}", tmp_path / "bases" / "tiny", seed=seed)
        settings = json.loads((folder / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = "somewhere/tiny"
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        Lineage(phase="target", base="tiny", target="pawsx-en", seed=seed).write(folder)
        merged = Checkpoint(
            write_adapter(tmp_path / "x" / f"{seed}", tmp_path / "bases" / "tiny", seed=seed), "m"
        )
        model = merged.load("AutoModelForSequenceClassification")
        model.config.id2label = {int(number): name for number, name in LABELS.items()}
        model.save_pretrained(tmp_path / "whole" / f"seed-{seed}")
        for path in tiny_encoder.glob("*token*"):
            shutil.copy(path, tmp_path / "whole" / f"seed-{seed}")
        Lineage(phase="target", base="tiny", target="pawsx-en", seed=seed).write(
            tmp_path / "whole" / f"seed-{seed}"
        )
    where = ("--data", data, "--tasks", "pawsx", "--languages", "de,zh")
    code, _, err = xeval(
        "run", tmp_path / "runs", *where, "--store", tmp_path / "a", "--base", tmp_path / "bases"
    )
    assert code == 0, err
    assert xeval("run", tmp_path / "whole", *where, "--store", tmp_path / "b")[0] == 0
    from xeval.store import read_scores

    columns = ["seed", "lang", "item_id", "num", "den"]
    ours, whole = (read_scores(tmp_path / name)[columns].reset_index(drop=True) for name in "ab")
    assert ours.astype(str).equals(whole.astype(str))


def test_the_digest_is_of_base_and_adapter(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> None:
    make_checkpoint(tmp_path / "base")
    folder = write_adapter(tmp_path / "adapter", tmp_path / "base")
    before = Checkpoint(folder, "a").digest
    write_adapter(folder, tmp_path / "base", seed=1)
    other = Checkpoint(folder, "a").digest
    make_checkpoint(tmp_path / "base", seed=5)
    assert len({before, other, Checkpoint(folder, "a").digest}) == 3


def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> None:
    make_checkpoint(tmp_path / "base")

    def fresh() -> Path:
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        return write_adapter(tmp_path / "a", tmp_path / "base")

    def change(folder: Path, **settings: Any) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))

    folder = fresh()
    change(folder, base_model_name_or_path="nowhere/large")
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"adapts \(nowhere/large\) is not at hand.*--base"):
        Checkpoint(folder, "a").check()
    (tmp_path / "elsewhere").rename(tmp_path / "base")
    change(folder, peft_type="PREFIX_TUNING")
    with pytest.raises(CheckpointError, match=r"PREFIX_TUNING\) cannot be merged"):
        Checkpoint(folder, "a").check()
    folder = fresh()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickled weights can run code"):
        Checkpoint(folder, "a").check()
    folder = fresh()
    shutil.copy(tmp_path / "base" / "model.safetensors", folder)
    with pytest.raises(CheckpointError, match="lies beside a whole model"):
        Checkpoint(folder, "a").check()
    folder = fresh()
    make_checkpoint(tmp_path / "base", layers=1)
    with pytest.raises(CheckpointError, match="another base"):
        Checkpoint(folder, "a").load("AutoModelForSequenceClassification")
    make_checkpoint(tmp_path / "base", seed=3)
    folder = fresh()
    assert Checkpoint(folder, "a").load("AutoModelForSequenceClassification").config.num_hidden_layers == 2
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "classifier" not in k}, folder / "adapter_model.safetensors"
    )
    with pytest.raises(CheckpointError, match="drawn at random"):
        Checkpoint(folder, "a").load("AutoModelForSequenceClassification")
