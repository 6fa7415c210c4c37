"""Follows the nodes of a run by the files that whoever trains them writes."""

from collections.abc import Sequence
from pathlib import Path

from xeval.train.grid import Node, is_finished, tidy
from xeval.train.loop import Failure, TrainingOutcome, TrainingProgress, parent_failed, tell_damage
from xeval.train.phases import Step
from xeval.train.reports import NodeReport, read_report


class Watch:
    """What has become of the nodes so far, told to ``progress``.

    Args:
        grid: parents before their children.
        run: failures of other runs do not count.
    """

    def __init__(self, grid: Sequence[Node], out: Path, run: str, progress: TrainingProgress) -> None:
        self.grid, self.out, self.run, self.progress = grid, out, run, progress
        self.reused = tuple(node for node in grid if is_finished(node, out))
        self.waiting = [node for node in grid if node not in self.reused]
        self.failures: dict[str, Failure] = {}
        self._seen: dict[str, NodeReport] = {}
        tidy(grid, out)
        tell_damage(self.waiting, out, progress)
        progress.begin(grid, len(self.reused))

    def look(self) -> None:
        """Read the files; what is finished or has failed is no longer waited for."""
        for node in list(self.waiting):
            if is_finished(node, self.out):
                self._end(node, None)
            elif node.parent is not None and node.parent.digest in self.failures:
                self.fail(node, parent_failed(node.parent))
            elif (report := read_report(self.out, node.digest)) is not None and report.run == self.run:
                self._told(node, report)

    def under_way(self, worker: str | None = None) -> list[Node]:
        """The nodes that are begun in this run, by one worker or any."""
        return [
            node
            for node in self.waiting
            if node.digest in self._seen and worker in (None, self._seen[node.digest].worker)
        ]

    def fail(self, node: Node, problem: str) -> None:
        """The node cannot be trained."""
        self.failures[node.digest] = Failure(node, problem)
        self._end(node, problem)

    def outcome(self) -> TrainingOutcome:
        """What became of all nodes; those still waited for make it a stopped run."""
        ended = [node for node in self.grid if node not in self.waiting and node not in self.reused]
        trained = tuple(node for node in ended if node.digest not in self.failures)
        return TrainingOutcome(trained, self.reused, tuple(self.failures.values()), bool(self.waiting))

    def _told(self, node: Node, report: NodeReport) -> None:
        before = self._seen.get(node.digest)
        if before is None:
            self.progress.start(node)
        self._seen[node.digest] = report
        if report.problem is not None:
            self.fail(node, report.problem)
        elif report.loss is not None and report != before:
            self.progress.step(node, Step(report.step, report.steps, report.loss, report.tokens))

    def _end(self, node: Node, problem: str | None) -> None:
        self.waiting.remove(node)
        self.progress.end(node, problem)
