"""Worker processes on this machine, each with devices of its own, that share out a study's nodes.

A worker that dies takes nothing with it: the system lets go of its node's lock, and whoever comes next goes on
from the last saved state.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xeval.errors import XevalError
from xeval.train.engines.devices import Devices
from xeval.train.engines.watch import Watch
from xeval.train.grid import nodes
from xeval.train.loop import Silent, TrainingOutcome, TrainingProgress, stop_on_signal, train_study
from xeval.train.reports import REPORTS, NodeReport, write_report
from xeval.train.study import Study

POLL_SECONDS = 0.5
DEATHS = 2
"""A node whose worker died so often in one run is given up: it takes too much memory, for example."""


@dataclass
class _Worker:
    """A process, or a team of them, and the pipe whose end tells it to save its state and leave."""

    number: int
    process: "subprocess.Popen[bytes]"
    log: Path
    waiting: int = 0  # nodes that were to be trained when it was started


@dataclass
class WorkerPool:
    """The workers of one run.

    Attributes:
        devices: of every worker.
        processes: that train one node together, through Accelerate.
    """

    study: Study
    out: Path
    devices: Sequence[Devices]
    processes: int = 1
    save_seconds: float = 300.0

    def train(self, progress: TrainingProgress | None = None) -> TrainingOutcome:
        """Train what is not finished; see :func:`xeval.train.loop.train_study`.

        Raises:
            XevalError: the workers die before they can train anything.
        """
        self.progress, self.run = progress or Silent(), uuid.uuid4().hex
        self._deaths, self._early_deaths = dict[str, int](), 0
        grid = nodes(self.study)
        watch = Watch(grid, self.out, self.run, self.progress)
        (self.out / REPORTS).mkdir(parents=True, exist_ok=True)
        base = train_study(self.study, self.out, grid=grid[:1], run=self.run)  # nothing can begin before it
        watch.look()
        if base.stopped or not watch.waiting:
            return watch.outcome()
        with stop_on_signal() as stop:
            number_of_workers = min(len(self.devices), len(watch.waiting))
            workers = [self._start_for(number, watch) for number in range(number_of_workers)]
            try:
                while watch.waiting and workers and not stop.is_set():
                    stop.wait(POLL_SECONDS)
                    watch.look()
                    for at, worker in reversed(list(enumerate(workers))):
                        if worker.process.poll() is not None and watch.waiting:
                            after = self._after_death(worker, watch)
                            workers[at : at + 1] = [after] if after else []
            finally:
                for worker in workers:
                    _dismiss(worker)
        watch.look()
        if watch.waiting and not stop.is_set():
            raise XevalError(
                f"no worker is left, and {len(watch.waiting)} nodes are to be trained; the last lines of "
                f"{self.out / REPORTS}/worker-*.log say why."
            )
        if not watch.waiting and not watch.failures:
            for worker in workers:
                worker.log.unlink(missing_ok=True)
        return watch.outcome()

    def _command(self, number: int) -> list[str]:
        command = [sys.executable, "-m"]
        if self.processes > 1:
            command += [
                "torch.distributed.run",
                "--standalone",
                "--nproc_per_node",
                str(self.processes),
                "-m",
            ]
        command += [
            "xeval.train.engines.worker",
            str(self.study.path),
            str(self.out),
            self.run,
            _name(number),
        ]
        command += ["--save-seconds", str(self.save_seconds)]
        if self.study.save_dtype is not None:
            command += ["--save-dtype", self.study.save_dtype]
        return command

    def _environment(self, number: int) -> dict[str, str]:
        devices = self.devices[number]
        on_cpu = {} if devices.gpus else {"ACCELERATE_USE_CPU": "true"}
        # A file of the working directory, such as the user's own torch.py, must not come before the libraries.
        return devices.environment | on_cpu | {"PYTHONSAFEPATH": "1"}

    def _start_for(self, number: int, watch: Watch) -> _Worker:
        worker = self._start(number)
        worker.waiting = len(watch.waiting)
        return worker

    def _start(self, number: int) -> _Worker:
        log = self.out / REPORTS / f"{_name(number)}.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                self._command(number),
                env=os.environ | self._environment(number),
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which passes it on by closing the pipe
            )
        return _Worker(number, process, log)

    def _after_death(self, dead: _Worker, watch: Watch) -> _Worker | None:
        """Another worker in the place of one that has ended too early; None where that makes no sense."""
        code = dead.process.returncode
        if code == 0:  # it found nothing left to do
            return None
        lost = watch.under_way(_name(dead.number))
        for node in lost:
            self._deaths[node.digest] = self._deaths.get(node.digest, 0) + 1
            if self._deaths[node.digest] >= DEATHS:
                report = NodeReport(
                    node=node.name,
                    run=self.run,
                    worker=_name(dead.number),
                    problem=f"{self._deaths[node.digest]} workers died over it ({_why(dead)}); is there enough memory?",
                )
                write_report(self.out, node.digest, report)
        if not lost and len(watch.waiting) == dead.waiting:
            self._early_deaths += 1
            if self._early_deaths > DEATHS * len(self.devices):
                return None
        what = f"over {lost[0].name}, which goes on from its last save" if lost else "before it had a node"
        self.progress.say(f"{_name(dead.number)} died ({_why(dead)}) {what}")
        return self._start_for(dead.number, watch)


def _name(number: int) -> str:
    return f"worker-{number}"


def _why(worker: _Worker) -> str:
    code = worker.process.returncode
    return f"signal {-code}" if code < 0 else f"exit code {code}, see {worker.log}"


def _dismiss(worker: _Worker) -> None:
    """Tell a worker to save its state and leave, and wait for it."""
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    worker.process.wait()
