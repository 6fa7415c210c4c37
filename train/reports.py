"""Where every node of a study stands, as small files in the study's folder.

Whoever trains a node writes them, on whatever machine; whoever watches a run, or lists a folder, reads them. A
finished node has none: its lineage card says all.
"""

import os
import socket
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from xeval.files import write_text

REPORTS = ".reports"
SECONDS_BETWEEN = 1.0


class NodeReport(BaseModel):
    """How far a node is; ``problem`` says in one sentence why it failed.

    ``run`` is the call that it was trained in: a failure holds for that call, and the next one tries again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    node: str
    run: str
    worker: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    tokens: int = 0
    problem: str | None = None


def report_file(out: Path, digest: str) -> Path:
    """The file of the node with that digest."""
    return out / REPORTS / f"{digest}.json"


def read_report(out: Path, digest: str) -> NodeReport | None:
    """The node's report; None where there is none, or the file is damaged: it tells of progress only."""
    try:
        return NodeReport.model_validate_json(report_file(out, digest).read_bytes())
    except (OSError, ValidationError):
        return None


def drop_damaged_reports(out: Path) -> list[Path]:
    """Remove reports that cannot be read, and give their paths."""
    damaged = [path for path in sorted((out / REPORTS).glob("*.json")) if read_report(out, path.stem) is None]
    for path in damaged:
        path.unlink(missing_ok=True)
    return damaged


def write_report(out: Path, digest: str, report: NodeReport) -> None:
    """Replace the node's report in one step."""
    write_text(report_file(out, digest), report.model_dump_json() + "\n")


class Reporter:
    """Writes the reports of the nodes that this process trains."""

    def __init__(self, out: Path, run: str, worker: str | None = None) -> None:
        self.out, self.run = out, run
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}"
        self._last = -SECONDS_BETWEEN

    def start(self, digest: str, name: str) -> None:
        """The node is begun, or gone on with: what its last report says of steps still holds."""
        before = read_report(self.out, digest)
        step, steps = (before.step, before.steps) if before else (0, 0)
        self._write(digest, NodeReport(node=name, run=self.run, worker=self.worker, step=step, steps=steps))

    def step(self, digest: str, name: str, step: int, steps: int, loss: float, tokens: int) -> None:
        """A step is done; written at most once a second."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN:
            self._write(
                digest,
                NodeReport(
                    node=name,
                    run=self.run,
                    worker=self.worker,
                    step=step,
                    steps=steps,
                    loss=loss,
                    tokens=tokens,
                ),
            )

    def end(self, digest: str, name: str, problem: str | None) -> None:
        """The node is finished, or failed."""
        if problem is None:
            report_file(self.out, digest).unlink(missing_ok=True)
        else:
            self._write(digest, NodeReport(node=name, run=self.run, worker=self.worker, problem=problem))

    def _write(self, digest: str, report: NodeReport) -> None:
        write_report(self.out, digest, report)
        self._last = time.monotonic()
