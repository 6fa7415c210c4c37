"""One node as a task of a cluster: what runs on the machine that the engine has chosen."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xeval.errors import UsageError
from xeval.failures import contained
from xeval.train.grid import is_finished, locked, nodes
from xeval.train.loop import Silent, parent_failed, train_node
from xeval.train.reports import REPORTS, Reporter, read_report
from xeval.train.study import load_study

LOCK_SECONDS = 1.0


@dataclass(frozen=True)
class NodeTask:
    """What a machine has to know to train one node; the study file and ``out`` lie in a shared folder.

    Attributes:
        digest, name: the node's.
        run: the run whose files say that it is to stop.
    """

    study: Path
    save_dtype: Literal["bfloat16"] | None
    out: Path
    digest: str
    run: str
    worker: str | None = None
    save_seconds: float = 300.0
    name: str = ""

    def train(self, stop: Callable[[], bool]) -> Literal["finished", "failed", "stopped"]:
        """Train the node unless it is finished; its report says why it failed, whatever went wrong."""
        with contained(self.out, self.name or self.digest, self._report):
            return self._train(stop)
        return "failed"

    def _train(self, stop: Callable[[], bool]) -> Literal["finished", "failed", "stopped"]:
        study = replace(load_study(self.study), save_dtype=self.save_dtype)
        node = next((node for node in nodes(study) if node.digest == self.digest), None)
        if node is None:
            raise UsageError(
                f"{self.study}: gives other nodes on this machine than where the run was started; the study's "
                "data and the installed versions have to be the same everywhere."
            )
        if node.parent is not None and not is_finished(node.parent, self.out):
            self._report(parent_failed(node.parent))
            return "failed"
        while not stop():
            with locked(node, self.out) as mine:
                if is_finished(node, self.out):
                    return "finished"
                if mine:
                    reporter = Reporter(self.out, self.run, self.worker)
                    if train_node(study, node, self.out, Silent(), stop, self.save_seconds, reporter):
                        return "failed"
                    return "finished" if is_finished(node, self.out) else "stopped"
            time.sleep(LOCK_SECONDS)
        return "stopped"

    def _report(self, problem: str) -> None:
        Reporter(self.out, self.run, self.worker).end(self.digest, self.name or self.digest, problem)

    def problem(self) -> str | None:
        """Why the node failed in this run."""
        report = read_report(self.out, self.digest)
        return report.problem if report is not None and report.run == self.run else None


def mark_file(out: Path, run: str) -> Path:
    """A file of the run that every machine has to see: it is there as long as the run is to go on."""
    return out / REPORTS / f"{run}.run"
