from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from support.tiny_studies import tiny_study

from xeval.checkpoints import Checkpoint, Lineage
from xeval.console.training import plan_json, readable_bytes, show_plan
from xeval.train import plan
from xeval.train.card import device_name
from xeval.train.grid import Node, nodes
from xeval.train.loop import train_study
from xeval.train.plan import estimate, plan_study
from xeval.train.reports import NodeReport, write_report
from xeval.train.study import Study, load_study


@pytest.fixture(autouse=True)
def _measured_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MEASURED_SECONDS", 0.0)


@pytest.fixture
def study(tmp_path: Path, tiny_encoder: Path) -> Study:
    return tiny_study(tmp_path, tiny_encoder)


def shown(study: Study, out: Path, width: int, workers: int = 1) -> str:
    screen = Console(file=StringIO(), width=width, highlight=False)
    planned = plan_study(study, out)
    show_plan(screen, study.name, planned, estimate(study, out, planned, workers), workers)
    file = screen.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_one_key_cuts_the_training_sets_of_all_targets(study: Study, tmp_path: Path) -> None:
    path = study.path
    text = path.read_text().replace("train_size = 16\n", "").replace("train_size = 32\n", "")
    path.write_text(text)
    whole = {p.node.name.rpartition("-")[0]: p.examples for p in plan_study(load_study(path), tmp_path)}
    path.write_text(text.replace("[recipe.target]", "[recipe.target]\ntrain_size = 40"))
    cut = load_study(path)
    for p in plan_study(cut, tmp_path):
        before = whole[p.node.name.rpartition("-")[0]]
        assert p.examples == ((40,) if p.node.phase == "target" else before)
        assert all(size > 40 for size in before)
    assert shown(cut, tmp_path, 160).count(" 40 ") == 4
    assert {cut.hyper("target", (s,)).train_size for s in cut.target_sets()} == {40}


def test_steps_of_a_node_that_is_begun_are_left_out(study: Study, tmp_path: Path) -> None:
    first = nodes(study)[1]
    (tmp_path / (first.name + ".partial")).mkdir(parents=True)
    write_report(
        tmp_path, first.digest, NodeReport(node=first.name, run="r", worker="w", step=1, steps=2, loss=0.5)
    )
    whole, *_ = (p for p in plan_study(study, tmp_path / "elsewhere") if p.node == first)
    begun, *_ = (p for p in plan_study(study, tmp_path) if p.node == first)
    assert (begun.state, begun.done, begun.tokens) == ("begun", 1, whole.tokens)
    assert begun.tokens_left == round(whole.tokens / 2)
    assert "step 1" in shown(study, tmp_path, 160)


def test_batches_of_tokens_and_mixtures_are_counted(study: Study, tmp_path: Path) -> None:
    text = study.path.read_text().replace("max_steps = 2", "max_steps = 6\nbatch_tokens = 512")
    study.path.write_text(text.replace('"xhops-lookup"]', '"xhops-lookup", "xhops-lookup+xhops-claim"]'))
    planned = plan_study(load_study(study.path), tmp_path)
    assert {p.tokens for p in planned[1:]} == {6 * 512}
    assert {len(p.examples) for p in planned[1:] if p.node.phase == "intermediate"} == {1, 2}


# What the tiny encoder multiplies: 2 layers of 4 matrices 32 x 32 and 2 of 32 x 64.
OPERATIONS = 6 * 2 * (4 * 32 * 32 + 2 * 32 * 64)


def test_gpu_hours_are_operations_over_a_stated_rate(study: Study, tmp_path: Path) -> None:
    planned = plan_study(study, tmp_path)
    guess = estimate(study, tmp_path, planned)
    left = sum(p.tokens for p in planned)
    assert guess.gpu_hours == pytest.approx(left * OPERATIONS / (0.3 * 312e12) / 3600)
    text = " ".join(shown(study, tmp_path, 160).split())
    assert "at 30% of an A100's 312 TFLOP/s" in text
    assert "measured just now with random weights" in text


def rewritten_card(node: Node, out: Path, seconds: float, device: str) -> None:
    checkpoint = Checkpoint(out / node.name, node.name)
    assert checkpoint.lineage is not None
    card: Lineage = checkpoint.lineage.model_copy(update={"wall_seconds": seconds, "device": device})
    card.write(checkpoint.path)


def test_time_comes_from_the_cards_of_this_device(study: Study, tmp_path: Path) -> None:
    claim = [node for node in nodes(study) if node.sets and node.sets[0].name == "xhops-claim"]
    train_study(study, tmp_path, grid=[nodes(study)[0], claim[0]])
    here = device_name(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    rewritten_card(claim[0], tmp_path, 50.0, here)
    planned = plan_study(study, tmp_path)
    guess = estimate(study, tmp_path, planned, workers=2)
    assert guess.seconds is not None
    tokens = {p.node.digest: p.tokens for p in planned}
    assert guess.seconds[claim[1].digest] == pytest.approx(50.0)
    assert guess.seconds == pytest.approx(
        {p.node.digest: 50.0 * p.tokens / tokens[claim[0].digest] for p in planned if p.tokens_left}
    )
    longest = guess.seconds[planned[3].node.digest] + max(guess.seconds[p.node.digest] for p in planned[4:])
    assert guess.wall_seconds == pytest.approx(max(sum(guess.seconds.values()) / 2, longest))
    assert any("finished nodes'" in line for line in guess.rests_on)
    rewritten_card(claim[0], tmp_path, 50.0, "another")
    assert any("measured" in line for line in estimate(study, tmp_path, planned).rests_on)


def test_the_disk_is_what_the_checkpoints_take(study: Study, tmp_path: Path) -> None:
    planned = plan_study(study, tmp_path)
    guess = estimate(study, tmp_path, planned)
    halved = replace(study, save_dtype="bfloat16")
    half = estimate(halved, tmp_path, plan_study(halved, tmp_path))
    train_study(study, tmp_path)
    after = estimate(study, tmp_path, plan_study(study, tmp_path))
    assert guess.bytes is not None
    assert half.bytes is not None
    assert after.bytes is not None
    for digest, size in after.bytes.items():
        assert guess.bytes[digest] == pytest.approx(size, rel=0.1)
    assert sum(half.bytes.values()) < sum(guess.bytes.values())
    assert guess.peak_bytes is not None
    assert guess.peak_bytes > sum(guess.bytes.values())
    assert after.peak_bytes == sum(after.bytes.values())
    assert (after.seconds, after.wall_seconds, after.gpu_hours, after.rests_on) == ({}, 0.0, None, ())
    assert "6 nodes (6 finished)" in shown(study, tmp_path, 160)


def test_a_base_that_is_not_here_leaves_time_and_disk_open(study: Study, tmp_path: Path) -> None:
    study.path.write_text(study.path.read_text().replace(study.base, "nobody/nothing-of-this-name"))
    far = load_study(study.path)
    planned = plan_study(far, tmp_path)
    guess = estimate(far, tmp_path, planned)
    assert (guess.seconds, guess.wall_seconds, guess.gpu_hours, guess.bytes) == (None, None, None, None)
    assert any("cannot be told before the base is there" in line for line in guess.rests_on)
    assert "6 nodes (6 to do)" in shown(far, tmp_path, 100)
    assert plan_json("tiny", planned, guess)["total"]["disk_bytes"] is None


@pytest.mark.parametrize("width", [50, 80, 160])
def test_the_tree_fits_the_terminal(study: Study, tmp_path: Path, width: int) -> None:
    lines = shown(study, tmp_path, width, workers=2).splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    text = "\n".join(lines)
    assert "  xhops-claim · seed 0" in text
    assert "    xhops-claim · seed 7" in text
    assert ("tokens  " in lines[1]) == (width >= 92)
    assert "with 2 workers" in " ".join(text.split())


def test_a_disk_that_is_too_small_is_said(study: Study, tmp_path: Path) -> None:
    planned = plan_study(study, tmp_path)
    guess = replace(estimate(study, tmp_path, planned), free_bytes=1000)
    screen = Console(file=StringIO(), width=160)
    show_plan(screen, "tiny", planned, guess, 1)
    file = screen.file
    assert isinstance(file, StringIO)
    assert "THIS IS TOO LITTLE" in file.getvalue()


def test_bytes_are_readable() -> None:
    found = [readable_bytes(count) for count in (7, 2_300, 45_000, 1.2e9, 5.6e13)]
    assert found == ["7 B", "2.3 kB", "45 kB", "1.2 GB", "56.0 TB"]
