from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xeval.checkpoints import Checkpoint, Lineage, TrainingData
from xeval.console.lineage import show_tree
from xeval.errors import CheckpointError
from xeval.train.lineage import lineage_tree
from xeval.train.reports import NodeReport, write_report


@pytest.fixture
def folder(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Path:
    """A base, an intermediate, a target on each, a broken checkpoint and one without a card."""

    def made(name: str, number: int, parent: str | None, **card: Any) -> None:
        path = make_checkpoint(tmp_path / name, seed=number)
        digest = None if parent is None else Checkpoint(tmp_path / parent, parent).digest
        Lineage(base="tiny", parent=digest, **card).write(path)

    made("z-base", 1, None, phase="base")
    common: dict[str, Any] = {"condition": "lookup", "seed": 7}
    made("inter", 2, "z-base", phase="intermediate", wall_seconds=90.0, **common)
    history = [{"step": 2, "loss": 1.0, "xnli.accuracy": 0.5, "xnli.loss": 9.0, "tokens": 5}]
    data = [TrainingData(name="xnli", digest="00", rows=4)]
    target: dict[str, Any] = {"phase": "target", "target": "xnli", "history": history, "data": data}
    made("child", 3, "inter", **common, **target, recipe={"steps": 2, "planned_steps": 9, "best_score": 0.75})
    made("b", 4, "z-base", seed=0, **target, recipe={"steps": 9, "planned_steps": 9}, collapsed="one answer")
    made("orphan", 5, "child", seed=3, **target, notes="restarted")
    make_checkpoint(tmp_path / "plain", seed=6)
    (make_checkpoint(tmp_path / "broken", seed=7) / "model.safetensors").write_bytes(b"x")
    write_report(tmp_path, "01", NodeReport(node="none/xnli", run="r", worker="w", step=3, steps=8, loss=0.1))
    write_report(tmp_path, "02", NodeReport(node="none/qa", run="r", worker="w", problem="out of memory"))
    write_report(tmp_path, "03", NodeReport(node="b", run="r", worker="w", problem="of an earlier call"))
    (tmp_path / "none" / "xnli.partial").mkdir(parents=True)
    (tmp_path / "none" / "pos.partial").mkdir()
    return tmp_path


def test_children_stand_below_the_checkpoint_that_their_card_names(folder: Path) -> None:
    found = {branch.name: branch for branch in lineage_tree(folder)}
    depths = [(branch.name, branch.depth) for branch in found.values()]
    assert [pair for pair in depths if pair[0] in ("z-base", "inter", "child", "b")] == [
        ("z-base", 0),
        ("b", 1),
        ("inter", 1),
        ("child", 2),
    ]
    assert {name for name, depth in depths if not depth} == {
        *("z-base", "orphan", "plain", "broken", "none/xnli", "none/qa", "none/pos")
    }
    assert found["child"].score == 0.75
    assert found["b"].score == 0.5
    assert (found["b"].state, found["b"].label) == ("collapsed", "xnli · seed 0")
    assert (found["inter"].label, found["inter"].seconds) == ("lookup · seed 7", 90.0)
    assert (found["none/xnli"].state, found["none/xnli"].steps) == ("begun", 3)
    assert (found["none/qa"].state, found["none/qa"].problem) == ("failed", "out of memory")
    assert found["none/pos"].state == "begun"
    assert found["broken"].problem is not None
    assert found["orphan"].note == "restarted"


@pytest.mark.parametrize("width", [40, 80, 140])
def test_the_tree_is_shown_at_any_width(folder: Path, width: int) -> None:
    screen = Console(file=StringIO(), width=width, highlight=False)
    screen.print(show_tree(lineage_tree(folder), width))
    file = screen.file
    assert isinstance(file, StringIO)
    text = file.getvalue()
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert "75.0" in text
    assert ("1 min 30 s" in text) == (width >= 92)
    if width >= 80:
        assert "    xnli · seed 7" in text
        assert "2 of 9" in text
        assert "collapsed" in text


def test_the_tree_as_json(folder: Path) -> None:
    rows = {branch.name: branch.to_json() for branch in lineage_tree(folder)}
    child = Checkpoint(folder / "child", "child")
    assert rows["child"]["digest"] == child.digest
    assert rows["child"]["target"] == "xnli"
    assert rows["child"]["head"] == "BertModel"
    assert rows["plain"]["digest"] == Checkpoint(folder / "plain", "plain").digest
    assert "digest" not in rows["broken"]
    assert rows["none/qa"]["problem"] == "out of memory"


def test_one_checkpoint_is_a_tree(folder: Path) -> None:
    (branch,) = lineage_tree(folder / "child")
    assert (branch.name, branch.label) == ("child", "lookup > xnli · seed 7")


def test_what_is_only_begun_is_shown_and_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        lineage_tree(tmp_path)
    (tmp_path / "none.partial").mkdir()
    assert [branch.state for branch in lineage_tree(tmp_path)] == ["begun"]
