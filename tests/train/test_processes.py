"""One phase in two processes gives the weights of one process."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.memory_sets import CLAIMS, SPANS, TAGS, card_of, changed, tiny_job, untimed_history
from support.tiny_models import ALPHABET_TEXT

from xeval.sources import FileSource
from xeval.train.lines import MlmData, read_lines
from xeval.train.phases import PhaseJob, PhaseStoppedError, train_phase
from xeval.train.processes import Processes
from xeval.train.state import STATE_NAME


class Two:
    """Stands for Accelerate's answer in the second of two processes."""

    num_processes, process_index, device = 2, 1, torch.device("cpu")
    wait_for_everyone = staticmethod(lambda: None)


def test_the_shares_of_a_batch_add_up() -> None:
    inputs = {
        "input_ids": torch.arange(15).reshape(5, 3),
        "labels": torch.tensor([[1, -100, -100], [1, 2, 3], [4, -100, -100], [1, 1, -100], [-100, 5, -100]]),
    }
    mine, share = Processes(Two()).part(inputs)
    assert mine["input_ids"].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert share == 5 / 8
    alone = Two()
    alone.num_processes, alone.process_index = 1, 0
    assert Processes(alone).part(inputs) == (inputs, 1.0)


def mixed_job(encoder: Path, folder: Path) -> PhaseJob:
    """Every kind of loss, masked language modelling, frozen embeddings; no dropout, whose numbers differ."""
    (folder / "text").mkdir(exist_ok=True)
    (folder / "text" / "de.txt").write_text("\n".join(ALPHABET_TEXT), encoding="utf-8")
    job = changed(
        tiny_job(encoder),
        max_steps=12,
        mlm_share=0.3,
        dropout=0.0,
        accumulation=2,
        batch_size=5,
        keep="best",
        learning_rate=1e-3,
    )
    mlm = MlmData(FileSource(("text/{lang}.txt",), read_lines), ("de",))
    sets = (CLAIMS, TAGS, SPANS)
    return replace(job, phase="intermediate", sets=sets, mlm=mlm, data_root=folder, freeze_embeddings=True)


def train_twice(encoder: Path, folder: Path) -> None:
    """Once undisturbed, and once stopped by one of the processes and continued."""
    job = mixed_job(encoder, folder)
    train_phase(job, folder / "two")
    first = os.environ["RANK"] == "0"
    asked = iter([False, False, False, False, not first])
    try:
        train_phase(job, folder / "resumed", stop=lambda: next(asked))
    except PhaseStoppedError:
        assert (folder / "resumed.partial" / STATE_NAME).exists() or not first
    train_phase(job, folder / "resumed")


def test_two_processes_give_the_weights_of_one(tiny_encoder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # What `accelerate launch` starts on GPUs; on a CPU it starts one process a machine only.
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    single = train_phase(mixed_job(tiny_encoder, tmp_path), tmp_path / "one")
    done = subprocess.run(
        [*command, __file__, str(tiny_encoder), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two, resumed = tmp_path / "two", tmp_path / "resumed"
    assert (two / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    before = load_file(tiny_encoder / "model.safetensors")
    expected, found = (load_file(path / "model.safetensors") for path in (single, two))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        if "key.bias" in name:
            continue  # its gradient is 0 but for rounding, which Adam scales up to whole steps
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
        if "query.weight" in name:
            assert not torch.equal(tensor, before[name])
    assert card_of(two).device == f"2 x {card_of(single).device}"
    for one, other in zip(untimed_history(single), untimed_history(two), strict=True):
        assert one.keys() == other.keys()
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert not list(tmp_path.glob("*.partial"))


if __name__ == "__main__":
    train_twice(Path(sys.argv[1]), Path(sys.argv[2]))
