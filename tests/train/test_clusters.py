"""A real Ray cluster and a real Slurm on this machine, where they are installed; run with -m slow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_studies import tiny_study, weights

from xeval.checkpoints import Checkpoint
from xeval.errors import UsageError
from xeval.train.engines.slurm_jobs import train_on_slurm
from xeval.train.grid import is_finished, nodes
from xeval.train.loop import train_study
from xeval.train.phases import Step
from xeval.train.study import Study

STEPS = 60

RAY = """
import os, signal, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from xeval.train.engines.ray_cluster import train_on_ray
from xeval.train.loop import Silent
from xeval.train.reports import read_report
from xeval.train.study import load_study

study, out = load_study(Path(sys.argv[1])), Path(sys.argv[2])
memory = 80_000_000
cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 0, "object_store_memory": memory, "include_dashboard": False},
)
machines = [cluster.add_node(num_cpus=1, object_store_memory=memory) for _ in range(2)]
os.environ["RAY_ADDRESS"] = cluster.address


def machine_of(pid):
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return next(m for m in machines if m.all_processes["raylet"][0].process.pid == parent)


class Losing(Silent):
    lost = None

    def step(self, node, step):
        if self.lost is None and step.step < step.steps:
            self.lost = node
            print("lost", node.name, flush=True)
            machine = machine_of(read_report(out, node.digest).worker.rpartition(":")[2])
            machines.remove(machine)
            cluster.remove_node(machine, allow_graceful=False)


told = Losing()
outcome = train_on_ray(study, out, progress=told, save_seconds=0)
assert told.lost is not None
assert not outcome.failures, outcome.failures
assert not outcome.stopped
assert told.lost in outcome.trained
cluster.shutdown()
print("trained", len(outcome.trained), flush=True)
"""


@pytest.fixture
def study(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return tiny_study(tmp_path, tiny_encoder, STEPS)


@pytest.fixture
def slurm() -> None:
    """Skips where jobs cannot be submitted."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    try:
        state = subprocess.run(
            ["sinfo", "--noheader", "--format=%a"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no Slurm here (sinfo)")
    if "up" not in state.stdout:
        pytest.skip(f"Slurm does not answer: {state.stderr.strip()}")


@pytest.mark.slow
def test_ray_trains_what_one_process_does_though_a_machine_is_lost(study: Study, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    program, alone, out = tmp_path / "program.py", tmp_path / "alone", tmp_path / "out"
    program.write_text(RAY)
    done = subprocess.run(
        [sys.executable, str(program), str(study.path), str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert f"trained {len(nodes(study))}" in done.stdout
    train_study(study, alone)
    assert weights(study, out) == weights(study, alone)


class Cancelling:
    """Has Slurm do something to the first job that is seen to train."""

    def __init__(self, *command: str) -> None:
        self.command, self.name = command, ""
        self.steps: dict[str, list[int]] = {}
        self.said: list[str] = []

    def begin(self, grid: object, finished: int) -> None: ...

    def start(self, node: object) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)

    def end(self, node: object, problem: str | None) -> None: ...

    def step(self, node: object, step: Step) -> None:
        name = node.name  # type: ignore[attr-defined]
        self.steps.setdefault(name, []).append(step.step)
        if self.command and not self.name and step.step < step.steps:
            self.name = name
            running = subprocess.run(
                ["squeue", "--me", "--noheader", "--states=RUNNING", "--format=%A"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            subprocess.run([*self.command, *running], check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_slurm_trains_what_one_process_does_though_a_job_is_cancelled(study: Study, tmp_path: Path) -> None:
    alone, out = tmp_path / "alone", tmp_path / "out"
    told = Cancelling("scancel")
    first = train_on_slurm(study, out, progress=told, save_seconds=0, poll_seconds=1, options={"time": 20})
    assert told.name
    assert any("ended without a result (cancelled?)" in failure.problem for failure in first.failures)
    assert not first.stopped
    again = Cancelling()
    second = train_on_slurm(study, out, progress=again, save_seconds=0, poll_seconds=1, options={"time": 20})
    assert not second.failures
    assert told.name in {node.name for node in second.trained}
    assert all(is_finished(node, out) for node in nodes(study))
    assert min(again.steps.get(told.name, [STEPS])) > 1
    train_study(study, alone)
    assert weights(study, out) == weights(study, alone)


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_job_that_is_told_its_time_is_up_goes_back_to_the_queue(study: Study, tmp_path: Path) -> None:
    """Slurm holds a requeued job for two minutes."""
    out = tmp_path / "out"
    told = Cancelling("scancel", "--signal=USR2")
    outcome = train_on_slurm(
        study, out, progress=told, save_seconds=1000, poll_seconds=1, options={"time": 20}
    )
    assert told.name
    assert not outcome.failures
    assert len(outcome.trained) == len(nodes(study))
    logs = "".join(path.read_text() for path in (out / ".slurm").glob("*_log.*"))
    assert "Calling checkpoint method." in logs
    assert "Requeued job" in logs
    lineage = Checkpoint(out / told.name, told.name).lineage
    assert lineage is not None
    assert lineage.recipe["steps"] == STEPS


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_an_option_that_sbatch_does_not_know_is_one_sentence(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sbatch refuses the job: .*partition"):
        train_on_slurm(study, tmp_path / "out", options={"partition": "nowhere"})
    with pytest.raises(UsageError, match="--slurm time=1:00:00: give whole minutes"):
        train_on_slurm(study, tmp_path / "out", options={"time": "1:00:00"})
