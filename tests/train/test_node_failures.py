"""Whatever goes wrong in a node ends that node only, and nothing is trained on what is damaged."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from support.tiny_studies import Told

from xeval import files
from xeval.checkpoints import Checkpoint, discover
from xeval.train import phases
from xeval.train.grid import nodes
from xeval.train.loop import train_study
from xeval.train.phases import NotFiniteError, PhaseJob
from xeval.train.plan import plan_study
from xeval.train.reports import NodeReport, write_report
from xeval.train.study import Study, load_study

FILE = """
[study]
name = "short"
base = "{base}"
conditions = ["none", "facts"{more}]
targets = ["pawsx"]
data = "data"
seeds = {{ baseline = 1, intermediate = 1 }}
[training]
pawsx = "pairs"
[sets.facts]
file = "facts.jsonl"
kind = "choice"
dev = "facts.jsonl"
[sets.pairs]
file = "pairs.jsonl"
kind = "classification"
dev = "pairs.jsonl"
[recipe]
intermediate = {{ max_steps = 2, max_length = 32 }}
target = {{ max_steps = 2, max_length = 32 }}
"""


def written(folder: Path, encoder: Path, more: str = "") -> Path:
    """A study of base, baseline, intermediate and its target, each trained in a moment."""
    rows = {
        "facts": [{"context": "the fox", "choices": ["Acme", "dog"], "label": i % 2} for i in range(8)],
        "pairs": [
            {"first": "the fox", "second": "Anna", "label": ("different", "paraphrase")[i % 2]}
            for i in range(8)
        ],
    }
    for name, examples in rows.items():
        lines = [json.dumps({"lang": "en", "id": str(i), **row}) for i, row in enumerate(examples)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    path = folder / "study.toml"
    path.write_text(FILE.format(base=encoder, more=more))
    return path


@pytest.fixture
def study(tmp_path: Path, tiny_encoder: Path) -> Study:
    return load_study(written(tmp_path, tiny_encoder))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class PanicException(BaseException):
    """As a library written in Rust raises it."""


FAILURES = [
    (NotFiniteError("the loss was not finite"), "the loss was not finite"),
    (KeyError("lost"), "unexpected KeyError: 'lost'; the traceback is in "),
    (PanicException("poisoned"), "unexpected PanicException: poisoned; the traceback is in "),
    (MemoryError(), "needs more memory than there is; the traceback is in "),
    (
        OSError(28, "No space left on device", "/x"),
        "/x: No space left on device (the disk or the quota is full);",
    ),
]


def test_whatever_goes_wrong_in_a_node_stops_only_what_starts_from_it(
    study: Study, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, raised = phases.train_phase, FAILURES[0][0]

    def train_phase(job: PhaseJob, to: Path, **options: Any) -> Path:
        if job.phase == "intermediate":
            raise raised
        return original(job, to, **options)

    monkeypatch.setattr(phases, "train_phase", train_phase)
    _, baseline, intermediate, target = nodes(study)
    for raised, sentence in FAILURES:  # noqa: B007  (what is raised above)
        shutil.rmtree(out / "errors", ignore_errors=True)
        told = Told()
        outcome = train_study(study, out, progress=told)
        assert baseline in (*outcome.trained, *outcome.reused)
        assert not outcome.stopped
        problems = {failure.node.name: failure.problem for failure in outcome.failures}
        assert problems.keys() == {intermediate.name, target.name}
        assert problems[intermediate.name].startswith(sentence)
        assert problems[target.name] == f"{intermediate.name} failed, which it starts from."
        assert problems.items() <= told.ended.items(), "people are told of both"
        assert len(list(out.glob("errors/*.log"))) == ("traceback" in sentence)
    monkeypatch.undo()
    assert train_study(study, out).trained == (intermediate, target)
    assert leftovers(out) == []


def leftovers(out: Path) -> list[str]:
    """Files below the study's folder that are no part of a checkpoint."""
    cards = {card.parent for card in out.rglob("xeval.json")}
    files = [path for path in out.rglob("*") if path.is_file() and path.parent not in cards]
    return sorted(path.relative_to(out).as_posix() for path in files)


def flip_a_weight(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of a weight": flip_a_weight,
    "no weights": lambda checkpoint: (checkpoint / "model.safetensors").unlink(),
    "an empty card": lambda checkpoint: (checkpoint / "xeval.json").write_bytes(b""),
}


def test_a_damaged_checkpoint_is_named_and_trained_anew_before_anything_starts_from_it(
    study: Study, out: Path
) -> None:
    base, baseline, intermediate, target = nodes(study)
    train_study(study, out)
    before = Checkpoint(out / intermediate.name, "x").digest
    for damage in DAMAGE.values():
        shutil.rmtree(out / target.name)
        damage(out / intermediate.name)
        assert [planned.state for planned in plan_study(study, out)] == ["finished"] * 2 + ["to do"] * 2
        told = Told()
        outcome = train_study(study, out, progress=told)
        assert (outcome.reused, outcome.trained) == ((base, baseline), (intermediate, target))
        assert len(told.said) == 1
        assert f"{intermediate.name} is trained anew" in told.said[0]
        assert Checkpoint(out / intermediate.name, "x").digest == before
        card = Checkpoint(out / target.name, "x").lineage
        assert card is not None
        assert card.parent == before
        assert {checkpoint.name for checkpoint in discover(out)} == {node.name for node in nodes(study)}


def test_a_card_of_before_that_names_no_weights_stays_valid(study: Study, out: Path) -> None:
    train_study(study, out)
    for node in nodes(study):
        card = Checkpoint(out / node.name, "x").lineage
        assert card is not None
        assert card.weights == Checkpoint(out / node.name, "x").weights_digest
        card.model_copy(update={"weights": None}).write(out / node.name)
        flip_a_weight(out / node.name)
    assert len(train_study(study, out).reused) == 4


def test_what_killed_processes_leave_is_removed(study: Study, out: Path) -> None:
    train_study(study, out)
    assert leftovers(out) == []
    base, target = nodes(study)[:2]
    shutil.rmtree(out / nodes(study)[3].name)
    (out / f"{target.name}.partial" / "checkpoint").mkdir(parents=True)
    (out / f"{target.name}.partial" / "state.safetensors").write_bytes(b"x")
    for digest in (base.digest, "of a study file of before"):
        (out / ".locks" / digest).touch()
        write_report(out, digest, NodeReport(node="x", run="r", worker="w"))
    (out / ".reports" / f"{nodes(study)[3].digest}.json").write_bytes(b"")
    (out / ".reports" / ".x.json.partial").touch()
    os.utime(out / ".reports" / ".x.json.partial", (0, 0))
    told = Told()
    assert len(train_study(study, out, progress=told).trained) == 1
    assert leftovers(out) == []
    assert len(told.said) == 1
    assert "was damaged and is removed" in told.said[0]


def test_a_lock_that_nobody_else_may_take_ends_its_node_only(
    study: Study, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, wanted = files.locked, nodes(study)[1].digest

    def refused(path: Path) -> AbstractContextManager[bool]:
        if path.name == wanted:
            raise PermissionError(13, "Permission denied", str(path))
        return locked(path)

    monkeypatch.setattr(files, "locked", refused)
    outcome = train_study(study, out)
    assert len(outcome.trained) == 3
    (failure,) = outcome.failures
    assert "this lock belongs to another user; delete it when nobody trains here" in failure.problem


def test_missing_and_damaged_data_end_the_nodes_that_need_them_only(
    tmp_path: Path,
    tiny_encoder: Path,
    out: Path,
    xeval: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xeval.train.plan.MEASURED_SECONDS", 0.0)
    (tmp_path / "data" / "snli").mkdir(parents=True)
    (tmp_path / "data" / "snli" / "snli_1.0_train.jsonl").write_text("{")
    file = written(tmp_path, tiny_encoder, ', "qqp", "snli"')
    code, shown, _ = xeval("train", file, "--dry-run")
    assert (code, "4 cannot be trained" in " ".join(shown.split())) == (1, True)
    assert shown.count(": cannot be trained: ") == 4
    study = load_study(file)
    planned = {p.node.condition: p for p in plan_study(study, out) if p.node.phase == "intermediate"}
    states = {name: p.state for name, p in planned.items()}
    assert states == {"facts": "to do", "qqp": "cannot", "snli": "cannot"}
    assert "qqp" in (planned["qqp"].problem or "")
    outcome = train_study(study, out)
    assert [node.condition for node in outcome.trained] == ["none", "none", "facts", "facts"]
    failed = [(failure.node.condition, failure.node.phase) for failure in outcome.failures]
    assert sorted(failed) == [
        (name, phase) for name in ("qqp", "snli") for phase in ("intermediate", "target")
    ]
    code, _, err = xeval("train", file, "-o", tmp_path / "all")
    assert code == 1
    assert "note: " in err, "two steps teach nothing"
    assert " has collapsed: gives one answer to all English dev items of " in " ".join(err.split())
