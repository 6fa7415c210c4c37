"""The target tasks and their English training sets, by name. A task is one frozen declaration."""

import runpy
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from xeval.conditions import Group
from xeval.errors import UsageError, did_you_mean
from xeval.tasks import depth
from xeval.tasks.base import Encoded, Kind, Predictions, Task, TrainingSet
from xeval.tasks.catalogue import (
    bitext,
    classification,
    commonsense,
    multi_hop,
    single_hop_qa,
    structured,
    xhops,
)

__all__ = [
    "Encoded",
    "Group",
    "Kind",
    "Predictions",
    "Task",
    "TrainingSet",
    "add_task",
    "add_tasks_from",
    "all_tasks",
    "all_training_sets",
    "is_built_in",
    "task",
    "training_set",
]

ENTRY_POINT_GROUP = "xeval.tasks"
_MODULES = (classification, structured, single_hop_qa, commonsense, bitext, xhops, multi_hop)


_BUILT_IN = frozenset(
    value.name for module in _MODULES for value in vars(module).values() if isinstance(value, Task)
)


@cache
def _registry() -> tuple[dict[str, Task], dict[str, TrainingSet]]:
    tasks: dict[str, Task] = {}
    sets: dict[str, TrainingSet] = {}
    plugins = [point.load() for point in entry_points(group=ENTRY_POINT_GROUP)]
    for module in (*_MODULES, *plugins):
        _collect(vars(module), tasks, sets)
    return tasks, sets


def _collect(names: dict[str, object], tasks: dict[str, Task], sets: dict[str, TrainingSet]) -> int:
    found = 0
    for value in names.values():
        registry: dict[str, Task] | dict[str, TrainingSet]
        if isinstance(value, Task):
            registry = tasks
        elif isinstance(value, TrainingSet):
            registry = sets
        else:
            continue
        if registry.get(value.name, value) is not value:
            raise UsageError(f"two declarations are named {value.name!r}; rename one of them.")
        registry[value.name] = value  # type: ignore[assignment]
        found += 1
    return found


def add_task(added: Task) -> None:
    """Add one task; its name must be new."""
    _collect({added.name: added}, *_registry())


def add_tasks_from(path: Path) -> None:
    """Add the :class:`Task` and :class:`TrainingSet` values of a Python file; the file is run."""
    if not path.is_file():
        raise UsageError(f"{path}: no such Python file with task declarations.")
    if not _collect(runpy.run_path(str(path)), *_registry()):
        raise UsageError(f"{path}: declares no task; a task is a module-level `xeval.tasks.Task(...)`.")


def is_built_in(declared: Task) -> bool:
    """Whether a task, or the one that a diagnostic is of, comes with the package."""
    return declared.name.removesuffix(depth.SUFFIX) in _BUILT_IN


def all_tasks() -> dict[str, Task]:
    """Every known task by name, in the order of declaration."""
    return dict(_registry()[0])


def all_training_sets() -> dict[str, TrainingSet]:
    """Every known English training set of a target by name."""
    return dict(_registry()[1])


def task(name: str) -> Task:
    """The task of that name, or the diagnostic ``NAME-depth`` of one; raises UsageError with the nearest name."""
    tasks = _registry()[0]
    if name not in tasks:
        if original := tasks.get(name.removesuffix(depth.SUFFIX)):
            return depth.by_sentence(original)
        raise UsageError(f"unknown task {name!r}{did_you_mean(name, tasks)}; `xeval data tasks` lists all.")
    return tasks[name]


def training_set(name: str) -> TrainingSet:
    """The English training set of that name; raises UsageError with the nearest name."""
    sets = _registry()[1]
    if name not in sets:
        raise UsageError(f"unknown training set {name!r}{did_you_mean(name, sets)}.")
    return sets[name]
