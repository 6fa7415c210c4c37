"""The loop that trains a study's nodes in this process, and what it tells while it does.

Several such loops may run on one folder, in as many processes as there are devices: they share out the nodes.
"""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from xeval.checkpoints import Checkpoint
from xeval.errors import CheckpointError, DataError, UsageError
from xeval.failures import contained, log_file
from xeval.train.grid import (
    Node,
    aside,
    damage,
    is_finished,
    locked,
    nodes,
    set_aside,
    study_texts,
    tidy,
)
from xeval.train.job import NotFiniteError
from xeval.train.reports import Reporter, drop_damaged_reports, read_report
from xeval.train.study import Study

if TYPE_CHECKING:
    from xeval.train.phases import Step

POLL_SECONDS = 1.0
EVERYWHERE = (DataError, UsageError, CheckpointError, NotFiniteError)
"""Errors that all processes meet that train a node together: same data, same weights, same loss."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Failure:
    """A node that could not be trained, and why in one sentence."""

    node: Node
    problem: str


@dataclass(frozen=True)
class TrainingOutcome:
    """What became of the nodes. ``stopped`` is true when a signal ended the run before all were done."""

    trained: tuple[Node, ...]
    reused: tuple[Node, ...]
    failures: tuple[Failure, ...]
    stopped: bool


class TrainingProgress(Protocol):
    """Told what happens, to be shown."""

    def begin(self, grid: Sequence[Node], finished: int) -> None:
        """The study has these nodes, of which so many are finished already."""

    def start(self, node: Node) -> None:
        """Work on a node begins."""

    def step(self, node: Node, step: "Step") -> None:
        """A step of a phase is done."""

    def end(self, node: Node, problem: str | None) -> None:
        """Work on a node has ended; ``problem`` says why it failed."""

    def say(self, text: str) -> None:
        """Something else that people should know."""


class Silent:
    """Progress that shows nothing."""

    def begin(self, grid: Sequence[Node], finished: int) -> None:
        """Nothing."""

    def start(self, node: Node) -> None:
        """Nothing."""

    def step(self, node: Node, step: "Step") -> None:
        """Nothing."""

    def end(self, node: Node, problem: str | None) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


class Team(Protocol):
    """The processes that train every node together, as Accelerate started them."""

    def from_main(self, value: str | None) -> str | None:
        """The first process's value."""


class Alone:
    """One process."""

    def from_main(self, value: str | None) -> str | None:
        """The value itself."""
        return value


def parent_failed(parent: Node) -> str:
    """Why a node cannot be trained whose parent failed."""
    return f"{parent.name} failed, which it starts from."


def train_study(
    study: Study,
    out: Path,
    *,
    grid: Sequence[Node] | None = None,
    progress: TrainingProgress | None = None,
    save_seconds: float = 300.0,
    run: str | None = None,
    worker: str | None = None,
    stop: Callable[[], bool] | None = None,
    team: Team | None = None,
) -> TrainingOutcome:
    """Train every node that is not finished below ``out``; a failed node does not stop the others.

    SIGTERM or SIGINT saves the state of the phase under way and returns; calling again continues. A node that
    another process works on is waited for.

    Args:
        grid: the nodes to train, parents first; None takes all of the study.
        run: name of the run that this process is a part of; what failed in it is not tried again.
        worker: name of this process in the nodes' reports; None takes machine and process number.
        stop: asked while nodes are trained or waited for; true acts like a signal.
        team: other processes that call :func:`follow` and train every node together with this one.

    Raises:
        UsageError, DataError: the study's data or names are wrong, so that nothing can be trained.
    """
    progress, run = progress or Silent(), run or uuid.uuid4().hex
    alone, team = team is None, team or Alone()
    reporter = Reporter(out, run, worker)
    if grid is None:
        grid = nodes(study)
        tidy(grid, out)
    trained: list[Node] = []
    failures: dict[str, Failure] = {}
    tell_damage(grid, out, progress)
    reused = [node for node in grid if is_finished(node, out)]
    waiting = [node for node in grid if not is_finished(node, out)]
    progress.begin(grid, len(reused))

    def fail(node: Node, problem: str) -> None:
        failures[node.digest] = Failure(node, problem)
        if node in waiting:
            waiting.remove(node)
        progress.end(node, problem)

    with stop_on_signal() as signalled:

        def stopping() -> bool:
            return signalled.is_set() or (stop is not None and stop())

        while waiting and not stopping():
            before = len(waiting)
            for node in list(waiting):
                parent = node.parent
                if parent is not None and parent.digest in failures:
                    fail(node, parent_failed(parent))
                    continue
                if parent is not None and not is_finished(parent, out):
                    if parent in reused:  # it was damaged since
                        reused.remove(parent)
                        waiting.append(parent)
                        tell_damage([parent], out, progress)
                    continue
                with contained(out, node.name, partial(fail, node)), locked(node, out) as mine:
                    if not mine:
                        continue
                    report = read_report(out, node.digest)
                    if is_finished(node, out):
                        reused.append(node)
                    elif report is not None and report.run == run and report.problem is not None:
                        failures[node.digest] = Failure(node, report.problem)
                    else:
                        team.from_main(node.digest)
                        problem = train_node(
                            study, node, out, progress, stopping, save_seconds, reporter, alone=alone
                        )
                        if problem is not None:
                            failures[node.digest] = Failure(node, problem)
                        elif is_finished(node, out):
                            trained.append(node)
                    if is_finished(node, out) or node.digest in failures:
                        waiting.remove(node)
                if stopping():
                    break
            if len(waiting) == before:
                team.from_main("")
                signalled.wait(POLL_SECONDS)
        team.from_main(None)
    return TrainingOutcome(tuple(trained), tuple(reused), tuple(failures.values()), bool(waiting))


def tell_damage(grid: Sequence[Node], out: Path, progress: TrainingProgress) -> None:
    """Say which checkpoints are no longer what their cards say, and are therefore trained again."""
    for node in grid:
        if (problem := damage(node, out)) is not None:
            progress.say(f"{problem}; {node.name} is trained anew, and the old one kept as {aside(node)}")
    for path in drop_damaged_reports(out):
        progress.say(f"{path}: was damaged and is removed; it told of progress only")


def follow(study: Study, out: Path, team: Team) -> None:
    """Train with the first process of the team whatever node it chooses, until it has no more."""
    from xeval.train.phases import PhaseStoppedError

    grid = {node.digest: node for node in nodes(study)}
    with stop_on_signal():  # the first process decides when all stop
        while (digest := team.from_main(None)) is not None:
            if not digest or grid[digest].parent is None:
                continue
            with suppress(PhaseStoppedError, *EVERYWHERE):
                # What stops one of them so stops all; the first one reports it.
                _train(study, grid[digest], out, Silent(), lambda: False, float("inf"))


def train_node(
    study: Study,
    node: Node,
    out: Path,
    progress: TrainingProgress,
    stop: Callable[[], bool],
    save_seconds: float,
    reporter: Reporter,
    *,
    alone: bool = True,
) -> str | None:
    """Train one node, whose parent is finished and whose lock is held; gives the problem when it fails.

    This is the one place that decides what a failure ends: whatever goes wrong in a node ends that node, in one
    sentence, and what starts from it. When ``stop`` becomes true the state is saved: the node is then neither finished
    nor failed.

    Args:
        alone: whether no other process trains this node too. Others do not notice what has gone wrong in this one
            only, so that it has to end, which ends them.
    """
    from xeval.train.phases import PhaseStoppedError

    problems, everywhere = list[str](), False

    class Reported(Silent):
        def step(self, node: Node, step: "Step") -> None:
            reporter.step(node.digest, node.name, step.step, step.steps, step.loss, step.tokens)
            progress.step(node, step)

        def say(self, text: str) -> None:
            progress.say(text)

    with contained(out, node.name, problems.append):
        reporter.start(node.digest, node.name)
        progress.start(node)
        if damage(node, out) is not None:
            set_aside(node, out)
        try:
            if node.problem is not None:
                raise DataError(node.problem)
            if node.parent is None:
                _make_base(study, out / node.name)
            else:
                _train(study, node, out, Reported(), stop, save_seconds)
        except PhaseStoppedError:
            return None
        except EVERYWHERE:
            everywhere = True
            raise
    problem = problems[0] if problems else None
    with contained(out, node.name, progress.say):
        reporter.end(node.digest, node.name, problem)
        if problem is None:
            log_file(out, node.name).unlink(missing_ok=True)
    progress.end(node, problem)
    if problem is not None and not alone and not everywhere:
        raise SystemExit(1)
    return problem


def _train(
    study: Study,
    node: Node,
    out: Path,
    progress: TrainingProgress,
    stop: Callable[[], bool],
    save_seconds: float,
) -> None:
    from xeval.train.phases import PhaseJob, train_phase

    assert node.parent is not None
    assert node.phase != "base"
    assert node.seed is not None
    assert node.hyper is not None
    job = PhaseJob(
        phase=node.phase,
        parent=Checkpoint(out / node.parent.name, node.parent.name),
        sets=node.sets,
        hyper=node.hyper,
        seed=node.seed,
        data_root=study.data_root,
        base=study.base,
        condition=node.condition,
        freeze_embeddings=study.freeze_embeddings,
        recipe=study.recipe.name,
        mlm=node.mlm,
    )
    train_phase(
        job,
        out / node.name,
        progress=lambda step: progress.step(node, step),
        say=lambda text: progress.say(f"{node.name}: {text}"),
        stop=stop,
        save_seconds=save_seconds,
        save_dtype=study.save_dtype,
    )


def _make_base(study: Study, out: Path) -> None:
    from transformers.utils import logging

    from xeval.train.base import make_base

    logging.disable_progress_bar()
    make_base(
        study.base,
        out,
        layers=study.layers,
        vocabulary=study_texts(study) if study.trim_vocabulary else None,
        revision=study.revision,
    )


@contextmanager
def stop_on_signal(signals: Sequence[signal.Signals] = STOP_SIGNALS) -> Iterator[threading.Event]:
    """An event that the signals set; a second one acts as usual. Main thread only, as signals are."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in signals}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
