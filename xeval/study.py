"""A whole study: train what is missing, evaluate what is new, analyse, report. Every part resumes by itself.

OUT/checkpoints   the phases' checkpoints, one directory a node
OUT/store         one file per (checkpoint, task, language)
OUT/report        report.html, report.md, results.json, tables, figures
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xeval import reporting
from xeval.checkpoints import Checkpoint
from xeval.console.display import Steps, console, print_json, spinner
from xeval.console.evaluation import EvaluationSteps
from xeval.digests import cache_root
from xeval.evaluation.evaluator import software
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import plan_units, problem_lines
from xeval.evaluation.run import Outcome, run_units
from xeval.store import Store

if TYPE_CHECKING:
    from xeval.train.engines import EngineOptions
    from xeval.train.plan import PlannedNode
    from xeval.train.study import Study

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
    from xeval.train.plan import plan_study
    from xeval.train.study import load_study

    study = load_study(path)
    out = out or path.with_suffix("")
    planned = plan_study(study, out / "checkpoints")
    trained = _train(study, out, planned)
    if trained is None:
        return 1
    outcome = _evaluate(study, out, planned)
    told = [
        problem for problem in outcome.problems if not problem.skipped
    ]  # every node has tasks it is not made for
    for failed, line in problem_lines(told):
        console(stderr=True).print(f"xeval: {line}" if failed else line, markup=False)
    whole = trained and outcome.ok
    frame = reporting.read_frame(out / "store", study.evaluation.limit)
    result = reporting.analyse_frame(
        frame, study.analysis.margin_points, study.analysis.margin_logit, incomplete=not whole
    )
    notes = study.notes
    if not whole:
        notes += (
            "Something failed: runs that lack a language or a target take part where they can, or not at all.",
        )
    reporting.write(
        result,
        frame,
        out / "report",
        title=study.title,
        notes=notes,
        widgets=reporting.changed_items(out / "store", study.data_root, study.evaluation.limit),
        study_file=path,
    )
    return 0 if whole else 1


def train(
    path: Path,
    out: Path | None,
    options: "EngineOptions",
    *,
    save_dtype: Literal["bfloat16"] | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Train a study's phases, or show them; gives the exit code."""
    from xeval.train.plan import estimate, plan_study
    from xeval.train.study import load_study

    study = load_study(path)
    if save_dtype is not None:
        study = replace(study, save_dtype=save_dtype)
    out = out or path.with_suffix("")
    root = out / "checkpoints"
    with spinner("counting the work", quiet=not dry_run or as_json):
        planned = plan_study(study, root)
        guess = estimate(study, root, planned, options.nodes_at_a_time) if dry_run else None
    if guess is None:
        return 0 if _train(study, out, planned, options) else 1
    from xeval.console.training import plan_json, show_plan

    if as_json:
        print_json(plan_json(study.name, planned, guess))
    else:
        show_plan(console(), study.name, planned, guess, options.nodes_at_a_time)
    return 1 if any(p.problem for p in planned) else 0


def _train(
    study: "Study", out: Path, planned: "Sequence[PlannedNode]", options: "EngineOptions | None" = None
) -> bool | None:
    """Whether every node is trained; None when the run was stopped on the way."""
    from xeval.console.training import TrainingSteps
    from xeval.errors import require_package
    from xeval.train.engines import EngineOptions, train_with
    from xeval.train.grid import tidy

    root = out / "checkpoints"
    require_package("accelerate", "Training")
    left = [p for p in planned if p.state != "finished"]
    if not left:
        tidy([p.node for p in planned], root)
        _say_what_collapsed(root, planned)
        return True
    with Steps("train", sum(p.tokens_left for p in left) or 1, pieces=len(left), noun="checkpoints") as steps:
        outcome = train_with(options or EngineOptions(), study, root, TrainingSteps(steps, planned))
    _say_what_collapsed(root, planned)
    if outcome.stopped:
        console(stderr=True).print("stopped; the same command goes on from here")
        return None
    return not outcome.failures


def _say_what_collapsed(root: Path, planned: "Sequence[PlannedNode]") -> None:
    """Name the finished checkpoints that training has taught nothing, as their cards say."""
    from xeval.train.grid import is_finished

    for node in (p.node for p in planned):
        card = Checkpoint(root / node.name, node.name).lineage if is_finished(node, root) else None
        if card is not None and card.collapsed:
            console(stderr=True).print(f"note: {node.name} has collapsed: {card.collapsed}", markup=False)


def _evaluate(study: "Study", out: Path, grid: "Sequence[PlannedNode]") -> Outcome:
    from xeval.train.grid import is_finished

    root, store = out / "checkpoints", Store(out / "store")
    options = RunOptions(study.data_root, study.evaluation.settings(), study.evaluation.limit)
    checkpoints = [Checkpoint(root / p.node.name, p.node.name) for p in grid if is_finished(p.node, root)]
    planned = plan_units(checkpoints, study.targets, store, options, languages=study.languages)
    if planned.count("done") == len(planned.units):
        return Outcome(0, len(planned.units), planned.problems)
    left = planned.count("todo") + planned.count("copy")
    with Steps("evaluate", left, pieces=left) as steps:
        return run_units(planned, store, options, EvaluationSteps(steps))


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
