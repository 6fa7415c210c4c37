"""A study as Slurm jobs, submitted through submitit: one a node, which waits for the job of its parent.

All jobs are handed to Slurm at once, so that nobody has to wait for them: calling again finds those that are
still in the queue by their names, watches them, and submits anew what has ended without a finished node. A job
whose time runs out, or that is pre-empted with submitit's signal, saves its state and puts itself back in the
queue.
"""

import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xeval.digests import text_digest
from xeval.errors import UsageError, XevalError, require_package
from xeval.train.engines.task import NodeTask
from xeval.train.engines.watch import Watch
from xeval.train.grid import nodes
from xeval.train.loop import Silent, TrainingOutcome, TrainingProgress, stop_on_signal
from xeval.train.reports import report_file
from xeval.train.study import Study

FOLDER = ".slurm"
RUN = "slurm"
DEFAULTS: dict[str, str | int | bool] = {"time": 24 * 60, "cpus_per_task": 1}
REQUEUES = 100  # of one job whose time runs out
POLL_SECONDS = 5.0
MISSED_QUERIES = 10  # in a row, of a controller that is busy or starts again
GONE_LOOKS = (
    2  # at a queue without the job, before a shared folder's delay can no longer be why no result is seen
)


class UnfinishedError(XevalError):
    """The job ends without a finished node."""


@dataclass(frozen=True)
class NodeJob:
    """What a job runs; submitit calls ``checkpoint`` before it puts the job back in the queue."""

    task: NodeTask

    def __call__(self) -> None:
        """Train the node; an error gives the job an exit code after which its children's jobs do not start."""
        from submitit.core.job_environment import JobEnvironment

        again = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
        with stop_on_signal((signal.SIGTERM,)) as cancelled, stop_on_signal((again,)) as interrupted:
            ended = self.task.train(lambda: cancelled.is_set() or interrupted.is_set())
        if ended == "stopped" and interrupted.is_set():
            signal.raise_signal(again)  # submitit's own handler follows, now that the state is saved
        if ended != "finished":
            raise UnfinishedError(self.task.problem() or "told to end; the state is saved.")

    def checkpoint(self) -> Any:
        """The same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def train_on_slurm(
    study: Study,
    out: Path,
    *,
    options: Mapping[str, str | int | bool] | None = None,
    progress: TrainingProgress | None = None,
    save_seconds: float = 300.0,
    poll_seconds: float = POLL_SECONDS,
) -> TrainingOutcome:
    """Submit a job for every node that is neither finished nor queued, and watch them until all have ended.

    SIGTERM or SIGINT ends the watching; the jobs stay in the queue.

    Args:
        options: of sbatch, by their long names; ``time`` in minutes. They go before the study file's.

    Raises:
        UsageError: submitit or Slurm is not here, or sbatch refuses a job.
        XevalError: the queue cannot be asked for some time.
    """
    executor = _executor(out.resolve() / FOLDER)
    settings = DEFAULTS | study.engines.slurm | dict(options or {})
    progress, out = progress or Silent(), out.resolve()
    watch = Watch(nodes(study), out, RUN, progress)
    names = {node.digest: f"xeval-{text_digest(node.digest, str(out))[:16]}" for node in watch.waiting}
    jobs = _queue()
    for node in watch.waiting:
        name, parent = names[node.digest], node.parent
        if name in jobs:
            continue
        report_file(out, node.digest).unlink(missing_ok=True)  # of a job that has failed
        after = jobs.get(names.get(parent.digest, "")) if parent is not None else None
        task = NodeTask(
            study.path.resolve(), study.save_dtype, out, node.digest, RUN, None, save_seconds, node.name
        )
        jobs[name] = _submit(executor, NodeJob(task), name, after, settings)
    gone = dict.fromkeys(names, 0)
    with stop_on_signal() as stop:
        while watch.waiting and not stop.is_set():
            stop.wait(poll_seconds)
            queued = _queue()
            watch.look()
            for node in list(watch.waiting):
                gone[node.digest] = 0 if names[node.digest] in queued else gone[node.digest] + 1
                if gone[node.digest] >= GONE_LOOKS:
                    watch.fail(node, _why_gone(jobs[names[node.digest]], out))
    if watch.waiting:
        progress.say("the jobs stay in the queue; the same command watches them again")
    return watch.outcome()


def _executor(folder: Path) -> Any:
    require_package("submitit", "--engine slurm")
    import submitit

    try:
        return submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES)
    except RuntimeError as error:
        raise UsageError(
            "there is no Slurm here (no srun); run this where jobs are submitted from."
        ) from error


def _submit(
    executor: Any, job: NodeJob, name: str, after: str | None, settings: Mapping[str, str | int | bool]
) -> str:
    """Hand a job to sbatch, to start after another one; gives its number."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    minutes = settings["time"]
    if not str(minutes).isdecimal():
        raise UsageError(f"--slurm time={minutes}: give whole minutes.")
    others = {key.replace("_", "-"): value for key, value in settings.items() if key != "time"}
    depends = {"dependency": f"afterok:{after}", "kill-on-invalid-dep": "yes"} if after is not None else {}
    executor.update_parameters(
        job_name=name, time=int(minutes), additional_parameters={"requeue": True} | others | depends
    )
    try:
        return str(executor.submit(job).job_id)
    except (FailedJobError, FailedSubmissionError) as error:
        raise UsageError(f"sbatch refuses the job: {' '.join(str(error).split())[-300:]}") from error


def _queue() -> dict[str, str]:
    """Numbers of this user's jobs that wait or run, by their names."""
    for _ in range(MISSED_QUERIES):
        asked = subprocess.run(
            ["squeue", "--me", "--noheader", "--format=%A %j"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            jobs = (line.split(maxsplit=1) for line in asked.stdout.splitlines())
            return {name: number for number, name in jobs}
        time.sleep(POLL_SECONDS)
    raise XevalError(f"squeue does not answer ({asked.stderr.strip()}); the jobs stay in the queue.")


def _why_gone(job: str, out: Path) -> str:
    return f"its job {job} ended without a result (cancelled?); see {out / FOLDER / job}_0_log.err"
