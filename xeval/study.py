"""A whole study: train what is missing, evaluate what is new, analyse, report. Every part resumes by itself.

OUT/checkpoints   the phases' checkpoints, one directory a node
OUT/store         one file per (checkpoint, task, language)
OUT/report        report.html, report.md, results.json, figures
"""

import os
import platform
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval import __version__
from xeval.checkpoints import Checkpoint
from xeval.digests import cache_root, text_digest
from xeval.display import Steps, console, print_json, spinner, table
from xeval.errors import StoreError
from xeval.runner import Outcome, RunOptions, StepWatcher, plan, run, software
from xeval.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from analysis import Analysis
    from train.phases import Step
    from train.study import Node, PlannedNode, Study

DEMO_FILE = "demo.toml"


def run_demo(out: Path) -> int:
    """Run the study that comes with the package; gives the exit code."""
    with resources.as_file(resources.files("xeval") / DEMO_FILE) as path:
        return run_study(path, out)


def run_study(path: Path, out: Path | None = None) -> int:
    """Train, evaluate and report a study; gives the exit code (1 when something failed).

    Args:
        path: the study file.
        out: the study's folder; by default one beside the study file, with its name.
    """
    from train.study import load_study, plan_study

    study = load_study(path)
    out = out or path.with_suffix("")
    planned = plan_study(study, out / "checkpoints")
    trained = _train(study, out, planned)
    if trained is None:
        return 1
    outcome = _evaluate(study, out, planned)
    for problem in outcome.problems:
        console(stderr=True).print(f"xeval: {problem.subject}: {problem.reason}", markup=False)
    frame = read_frame(out / "store", study.evaluation.limit)
    result = analyse_frame(frame, study.analysis.margin_points, study.analysis.margin_logit)
    _report(result, frame, out / "report", title=study.title, notes=study.notes, study_file=path)
    return 0 if trained and outcome.ok else 1


def train(path: Path, out: Path | None, *, dry_run: bool) -> int:
    """Train a study's phases, or show them; gives the exit code."""
    from train.study import load_study, plan_study

    study = load_study(path)
    out = out or path.with_suffix("")
    with spinner("counting the work", quiet=not dry_run):
        planned = plan_study(study, out / "checkpoints")
    if dry_run:
        rows = [[p.node.name, p.node.phase, p.state, f"{p.steps:,}", f"{p.tokens:,}"] for p in planned]
        console().print(table(study.name, ("node", "phase", "state", "steps", "tokens"), rows, right=3))
        left = sum(p.tokens for p in planned if p.state != "finished")
        console().print(f"{len(rows)} nodes, about {left:,} tokens to train on")
        return 0
    return 0 if _train(study, out, planned) else 1


def report(source: Path, out: Path, *, title: str, limit: int | None, as_json: bool) -> None:
    """Analyse a store or a file of tidy scores, write the report and print its summary."""
    frame = read_frame(source, limit)
    result = analyse_frame(frame)
    if as_json:
        from analysis.report import write_report

        write_report(result, out, title=title, provenance=_provenance(frame))
        print_json(result.to_dict())
        return
    _report(result, frame, out, title=title, notes=(), study_file=None)


def read_frame(source: Path, limit: int | None = None) -> "pd.DataFrame":
    """Tidy scores of a store, or of a CSV or Parquet file."""
    from analysis.scores import load
    from xeval.store import read_scores

    return read_scores(source, limit) if source.is_dir() else load(source)


def analyse_frame(
    frame: "pd.DataFrame", margin_points: float = 1.0, margin_logit: float = 0.05
) -> "Analysis":
    """The analysis of tidy scores."""
    from analysis import analyse

    with spinner("analysing"):
        return analyse(frame, margin_points=margin_points, margin_logit=margin_logit)


class _TrainingSteps:
    """Training as steps, one token each."""

    def __init__(self, steps: Steps, planned: "Sequence[PlannedNode]") -> None:
        self._steps = steps
        self._work = {p.node.digest: p.tokens for p in planned}
        self._seen = 0.0

    def begin(self, grid: "Sequence[Node]", finished: int) -> None:
        if finished:
            self._steps.say(f"{finished} of {len(grid)} checkpoints are there already")

    def start(self, node: "Node") -> None:
        self._seen = 0.0
        self._steps.now(node.name)

    def step(self, node: "Node", step: "Step") -> None:
        done = self._work.get(node.digest, 0) * step.step / step.steps
        self._steps.advance(done - self._seen)
        self._seen = done
        self._steps.now(f"{node.name}  step {step.step} of {step.steps}  loss {step.loss:.3f}")

    def end(self, node: "Node", problem: str | None) -> None:
        self._steps.advance(max(0.0, self._work.get(node.digest, 0) - self._seen))
        self._steps.say(f"{node.name}: " + ("trained" if problem is None else f"FAILED: {problem}"))


def _train(study: "Study", out: Path, planned: "Sequence[PlannedNode]") -> bool | None:
    """Whether every node is trained; None when the run was stopped on the way."""
    from train.study import train_study

    root = out / "checkpoints"
    left = [p for p in planned if p.state != "finished"]
    if not left:
        return True
    with Steps("train", sum(p.tokens for p in left) or 1) as steps:
        outcome = train_study(study, root, progress=_TrainingSteps(steps, planned))
    if outcome.stopped:
        console(stderr=True).print("stopped; the same command goes on from here")
        return None
    return not outcome.failures


def _evaluate(study: "Study", out: Path, grid: "Sequence[PlannedNode]") -> Outcome:
    from train.study import is_finished

    root, store = out / "checkpoints", Store(out / "store")
    options = RunOptions(study.data_root, study.evaluation.settings(), study.evaluation.limit)
    checkpoints = [Checkpoint(root / p.node.name, p.node.name) for p in grid if is_finished(p.node, root)]
    planned = plan(checkpoints, study.targets, store, options, languages=study.languages)
    if planned.count("done") == len(planned.units):
        return Outcome(0, len(planned.units), planned.problems)
    with Steps("evaluate", planned.count("todo") + planned.count("copy")) as steps:
        return run(planned, store, options, StepWatcher(steps))


def _report(
    result: "Analysis",
    frame: "pd.DataFrame",
    out: Path,
    *,
    title: str,
    notes: Sequence[str],
    study_file: Path | None,
) -> None:
    """Write the report unless the very same one is there, and print its summary."""
    from analysis.report import console as summary
    from analysis.report import write_report

    provenance = _provenance(frame)
    if study_file is not None:
        provenance["study file"] = study_file.name
    stamp = text_digest(title, *notes, *(f"{k}={v}" for k, v in provenance.items()))
    stamp_file = out / ".stamp"
    if not (stamp_file.exists() and stamp_file.read_text() == stamp and (out / "report.html").exists()):
        try:
            with spinner("writing the report"):
                write_report(result, out, title=title, notes=notes, provenance=provenance)
            stamp_file.write_text(stamp)
        except OSError as error:
            raise StoreError(f"{out}: the report cannot be written ({error.strerror}).") from error
    screen = console()
    screen.print(summary(result))
    for note in notes:
        screen.print(f"Note: {note}", markup=False)
    screen.print(f"report: {out / 'report.html'}", markup=False)


def _provenance(frame: "pd.DataFrame") -> dict[str, str]:
    """What the numbers come from: versions and a digest of the scores."""
    columns = ["condition", "target", "lang", "seed", "item_id", "metric", "num", "den"]
    if "unit" in frame:
        scores = text_digest(*sorted(frame["unit"].unique()))
    else:
        scores = text_digest(frame[columns].to_csv(index=False))
    used = {name: version for name, version in software().items() if name != "xeval"}
    return {"xeval": __version__, "scores": scores, **used}


def machine_facts() -> dict[str, Any]:
    """What the machine offers to a run."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    device, dtype = RunOptions().resolve()
    return {
        **software(),
        "system": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory (GiB)": round(memory, 1),
        "GPUs": ", ".join(gpus) or "none",
        "a run would use": f"{device}, {dtype}",
        "cache": str(cache_root()),
        "hub offline": os.environ.get("HF_HUB_OFFLINE", "no"),
    }


__all__ = ["analyse_frame", "machine_facts", "read_frame", "report", "run_demo", "run_study", "train"]
