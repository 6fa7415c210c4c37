"""Zero-shot cross-lingual evaluation of stored checkpoints, and a verdict whose intervals count seeds and items.

    import xeval

    runs = xeval.discover("runs")
    scores = xeval.evaluate(runs, tasks=["xnli", "xhops-question-2"], data="data", store="results")
    result = xeval.analyse(scores)
    result.verdict
    result.write_report("report")

The names below are the public interface; each is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from xeval.analysis.compare import Comparison
    from xeval.api import (
        Checkpoints,
        Gains,
        MinedPairs,
        Result,
        Scores,
        Study,
        analyse,
        compare,
        discover,
        evaluate,
        mine,
        scores,
    )
    from xeval.checkpoints import Checkpoint, Lineage
    from xeval.errors import CheckpointError, DataError, Remark, StoreError, UsageError, XevalError
    from xeval.sources import FileSource
    from xeval.tasks import Task, TrainingSet, add_task, all_tasks, task

_PLACES = {
    "xeval.api": "Checkpoints Gains MinedPairs Result Scores Study analyse compare discover evaluate mine scores",
    "xeval.analysis.compare": "Comparison",
    "xeval.checkpoints": "Checkpoint Lineage",
    "xeval.errors": "CheckpointError DataError Remark StoreError UsageError XevalError",
    "xeval.sources": "FileSource",
    "xeval.tasks": "Task TrainingSet add_task all_tasks task",
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Checkpoints",
    "Comparison",
    "DataError",
    "FileSource",
    "Gains",
    "Lineage",
    "MinedPairs",
    "Remark",
    "Result",
    "Scores",
    "StoreError",
    "Study",
    "Task",
    "TrainingSet",
    "UsageError",
    "XevalError",
    "__version__",
    "add_task",
    "all_tasks",
    "analyse",
    "compare",
    "discover",
    "evaluate",
    "mine",
    "scores",
    "task",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("xeval-transfer")
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'xeval' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "train", "analysis"]
