import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.tiny_studies import Told, tiny_study, weights

from xeval import cli
from xeval.checkpoints import Checkpoint
from xeval.errors import UsageError, XevalError
from xeval.train.engines import EngineOptions, train_with
from xeval.train.engines.devices import Devices, devices_of_workers, gpus_named
from xeval.train.engines.task import NodeTask, mark_file
from xeval.train.engines.workers import WorkerPool
from xeval.train.grid import Node, is_finished, locked, nodes
from xeval.train.loop import train_study
from xeval.train.reports import NodeReport, read_report, write_report
from xeval.train.study import Study


@pytest.fixture
def study(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return tiny_study(tmp_path, tiny_encoder)


# --- devices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "present", "expected"),
    [
        ("all", "0123", "0123"),
        ("2", "0123", "01"),
        ("0,2", "0123", "02"),
        ("3,", "0123", "3"),
        ("1", "57", "5"),
        ("1,0", "57", "75"),
    ],
)
def test_gpus_are_named_by_number_or_list(text: str, present: str, expected: str) -> None:
    assert gpus_named(text, tuple(present)) == tuple(expected)


@pytest.mark.parametrize("text", ["all", "1", "0,1", "0", "x", "1,1", "-1"])
def test_gpus_that_are_not_here_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--gpus {text}: ")):
        gpus_named(text, ())


def test_workers_share_out_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert devices_of_workers("0123", 0, 2) == [Devices(("0", "1"), 2), Devices(("2", "3"), 2)]
    assert devices_of_workers((), 2, 2) == [Devices((), 2)] * 2
    assert Devices(("0", "1"), 2).environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert Devices((), 3).environment == {
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    with pytest.raises(UsageError, match="3 GPUs cannot be shared out"):
        devices_of_workers("012", 0, 2)


# --- worker processes --------------------------------------------------------------------------------------


def test_two_workers_train_what_one_process_does_and_one_of_them_is_killed(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, out = tmp_path / "alone", tmp_path / "out"
    train_study(study, alone)
    started: dict[str, list[Any]] = {}
    start = WorkerPool._start

    def remembered(pool: WorkerPool, number: int) -> Any:
        worker = start(pool, number)
        started.setdefault(f"worker-{number}", []).append(worker.process)
        return worker

    monkeypatch.setattr(WorkerPool, "_start", remembered)

    class Killing(Told):
        killed: str | None = None

        def start(self, node: Node) -> None:
            if self.killed is None and node.parent is not None:
                report = read_report(out, node.digest)
                assert report is not None
                self.killed = report.worker
                started[report.worker][0].kill()

    told = Killing()
    pool = WorkerPool(study, out, [Devices()] * 2, save_seconds=0)
    outcome = pool.train(told)
    assert told.killed is not None
    assert len(started[told.killed]) == 2
    assert any(f"{told.killed} died (signal 9)" in text for text in told.said)
    assert not outcome.failures
    assert not outcome.stopped
    assert {node.name for node in outcome.trained} == {node.name for node in nodes(study)}
    assert weights(study, out) == weights(study, alone)
    assert not list(out.rglob("*.partial"))
    assert not list(out.rglob("*.json.*"))
    assert [process.returncode for process in started[told.killed]] == [-signal.SIGKILL, 0]
    again = train_with(EngineOptions(workers=2), study, out)
    assert len(again.reused) == len(nodes(study))


DYING = """
import os, signal, sys
from pathlib import Path
from xeval.train.reports import NodeReport, write_report
if len(sys.argv) > 1:
    out, run, digest, name = sys.argv[1:]
    write_report(Path(out), digest, NodeReport(node=name, run=run, worker="worker-0"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_node_that_kills_its_workers_is_given_up(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, node = tmp_path / "out", nodes(study)[1]

    def command(pool: WorkerPool, number: int) -> list[str]:
        del number
        if read_report(out, node.digest) is not None and pool._deaths.get(node.digest) == 2:
            return [sys.executable, "-c", "import sys; sys.exit(0)"]
        return [sys.executable, "-c", DYING, str(out), pool.run, node.digest, node.name]

    monkeypatch.setattr(WorkerPool, "_command", command)
    told = Told()
    with pytest.raises(XevalError, match="no worker is left, and 4 nodes are to be trained"):
        WorkerPool(study, out, [Devices()]).train(told)
    problem = told.ended[node.name]
    assert problem is not None
    assert "2 workers died over it (signal 9); is there enough memory?" in problem


def test_workers_that_cannot_start_end_the_run(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerPool, "_command", lambda *_: [sys.executable, "-c", DYING])
    told = Told()
    with pytest.raises(XevalError, match=r"no worker is left.*worker-\*\.log say why"):
        WorkerPool(study, tmp_path / "out", [Devices()]).train(told)
    assert told.said == ["worker-0 died (signal 9) before it had a node"] * 2


@pytest.mark.slow
def test_a_worker_saves_its_state_and_leaves_when_its_input_ends(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    slow = tiny_study(tmp_path, Path(study.base), steps=100_000)
    command = [
        sys.executable,
        "-m",
        "xeval.train.engines.worker",
        str(slow.path),
        str(out),
        "run",
        "worker-0",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    grid = nodes(slow)
    while process.poll() is None:
        report = read_report(out, grid[1].digest)
        if report is not None and report.step:
            break
    process.stdin.close()
    assert process.wait() == 0
    assert list((out / (grid[1].name + ".partial")).glob("state*"))
    assert not any(is_finished(node, out) for node in grid[1:])


@pytest.mark.slow
def test_two_processes_train_every_node_together(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = train_with(EngineOptions(processes=2), study, out)
    assert not outcome.failures
    assert len(outcome.trained) == len(nodes(study))
    for node in nodes(study)[1:]:
        card = Checkpoint(out / node.name, node.name).lineage
        assert card is not None
        assert card.device is not None
        assert card.device.startswith("2 x cpu")


# --- what one process knows of the others ------------------------------------------------------------------


def test_what_failed_in_a_run_is_not_tried_again_in_it(study: Study, tmp_path: Path) -> None:
    first = nodes(study)[1]
    report = NodeReport(node=first.name, run="this", worker="another", problem="the loss was not finite")
    write_report(tmp_path, first.digest, report)
    assert [n.name for n in nodes(study)[1:2]] == [first.name]
    outcome = train_study(study, tmp_path, grid=nodes(study)[:2], run="this")
    assert [failure.problem for failure in outcome.failures] == ["the loss was not finite"]
    outcome = train_study(study, tmp_path, grid=nodes(study)[:2], run="next")
    assert [node.name for node in outcome.trained] == [first.name]
    assert read_report(tmp_path, first.digest) is None


# --- a node as a task --------------------------------------------------------------------------------------


def task(study: Study, out: Path, node: Node) -> NodeTask:
    return NodeTask(study.path, study.save_dtype, out, node.digest, "run", "here")


def test_a_task_trains_one_node(study: Study, tmp_path: Path) -> None:
    base, first = nodes(study)[:2]
    assert task(study, tmp_path, first).train(lambda: False) == "failed"
    assert task(study, tmp_path, first).problem() == f"{base.name} failed, which it starts from."
    assert task(study, tmp_path, base).train(lambda: False) == "finished"
    assert task(study, tmp_path, first).train(lambda: True) == "stopped"
    assert task(study, tmp_path, first).train(lambda: False) == "finished"
    assert task(study, tmp_path, first).train(lambda: False) == "finished"
    other = replace(task(study, tmp_path, first), digest="00")
    assert other.train(lambda: False) == "failed"
    assert "gives other nodes on this machine" in (other.problem() or "")
    lost = replace(task(study, tmp_path, first), study=tmp_path / "lost.toml", digest="01")
    assert lost.train(lambda: False) == "failed"
    assert "lost.toml: there is no such file" in (lost.problem() or "")


def test_a_task_waits_for_the_lock(study: Study, tmp_path: Path) -> None:
    base = nodes(study)[0]
    asked = iter([False, True])
    with locked(base, tmp_path) as mine:
        assert mine
        assert task(study, tmp_path, base).train(lambda: next(asked)) == "stopped"
    assert not is_finished(base, tmp_path)


def test_a_ray_task_stops_when_the_mark_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xeval.train.engines import ray_cluster

    monkeypatch.setattr(ray_cluster, "MARK_SECONDS", 0.0)
    mark = mark_file(tmp_path, "run")
    mark.parent.mkdir()
    mark.touch()
    stop = ray_cluster._until_gone(mark)
    assert not stop()
    mark.unlink()
    assert stop()


# --- the command -------------------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["xeval", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return code or 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--engine rya", "--engine rya: unknown; did you mean 'ray'? There are local, ray, slurm."),
        ("--engine ray --workers 2", "--gpus, --workers and --processes are for this machine"),
        ("--gpus 1 --workers 2", "--workers is for processors"),
        ("--slurm partition=gpu", "--slurm is for --engine slurm."),
        ("--engine ray --ray num_gpu=1", "--ray num_gpu: unknown; did you mean 'num_gpus'?"),
        ("--engine ray --ray num_gpus=one", "--ray num_gpus=one: give a number."),
        ("--engine slurm --slurm --mem=8G", "--slurm --mem=8G: give KEY=VALUE, without dashes"),
        ("--save-dtype float16", "--save-dtype float16: give bfloat16"),
        ("--json", "--json shows a plan; add --dry-run."),
    ],
)
def test_wrong_options_are_one_sentence(
    study: Study,
    options: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "train", study.path, *options.split()) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_dry_run_as_json(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", study.path, "--dry-run", "--json", "--save-dtype", "bfloat16") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [node["state"] for node in plan["nodes"]] == ["to do"] * 6
    assert {node["parent"] for node in plan["nodes"]} >= {None, plan["nodes"][0]["name"]}
    rounded = replace(study, save_dtype="bfloat16")
    assert [node["name"] for node in plan["nodes"]] == [node.name for node in nodes(rounded)]
    assert plan["total"]["peak_bytes"] > plan["total"]["disk_bytes"]
