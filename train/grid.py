"""The grid of phases that a study implies: a tree, base -> intermediate (condition, seed) -> target (set, seed).

A condition of several stages, ``a>b``, has an intermediate node for each; conditions that begin alike share them.

Each node is a directory named after the digest of its inputs, so that a change retrains what it touches and
nothing else. Several processes may work on one study at a time; a lock per node keeps them apart.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from xeval import files
from xeval.checkpoints import CARD_NAME, PARTIAL_SUFFIX, Checkpoint
from xeval.conditions import BASELINE, THEN, stages
from xeval.digests import value_digest
from xeval.errors import CheckpointError, DataError, UsageError
from xeval.tasks import TrainingSet
from xeval.train.intermediates import data_digest, has_dev, load_examples
from xeval.train.lines import MlmData
from xeval.train.recipes import PHASE_VERSION, Hyperparameters, Phase
from xeval.train.reports import REPORTS, report_file
from xeval.train.study import Study

BASE_VERSION = 1
"""Part of every digest: raise it when ``make_base`` gives other weights for the same name."""

LOCKS = ".locks"
WRITING_SECONDS = 600.0  # after which whoever wrote a file under a temporary name is dead
DAMAGED = ".damaged-"
"""Before the name of a directory that was set aside: nothing looks for checkpoints in hidden folders."""


@dataclass(frozen=True)
class Node:
    """One directory of the study.

    Attributes:
        name: the directory below the study's output, ``none/xhops-claim/seed-0-1f2e3d4c``.
        digest: digest of everything the weights depend on.
        hyper: None for the base.
        mlm: text for masked language modelling; None without.
        problem: why it cannot be trained, where its data are missing or damaged.
    """

    name: str
    phase: Literal["base", "intermediate", "target"]
    digest: str
    parent: "Node | None" = None
    condition: str = BASELINE
    sets: tuple[TrainingSet, ...] = ()
    seed: int | None = None
    hyper: Hyperparameters | None = None
    mlm: MlmData | None = None
    problem: str | None = None


def nodes(study: Study) -> list[Node]:
    """Every node of the study, parents before their children.

    Raises:
        DataError: texts that the base's vocabulary is cut to are missing.
    """
    base = _base_node(study)
    grid = {base.name: base}
    data = {s.name: _digest_or_problem(partial(data_digest, s, study.data_root)) for s in _all_sets(study)}
    for condition in study.conditions:
        sets = study.condition_sets(condition)
        for seed in study.seeds.intermediate if sets else study.seeds.baseline:
            parent = base
            for stage in stages(condition) if sets else ():
                parent = _child(study, parent, "intermediate", stage, study.condition_sets(stage), seed, data)
                grid.setdefault(parent.name, parent)
            for target_set in study.target_sets():
                child = _child(study, parent, "target", condition, (target_set,), seed, data)
                grid[child.name] = child
    return list(grid.values())


@dataclass(frozen=True)
class _Problem:
    """Stands for the digest of data that cannot be used."""

    text: str


def _digest_or_problem(digest: Callable[[], str]) -> str | _Problem:
    try:
        return digest()
    except (DataError, OSError) as error:
        return _Problem(str(error))


def _all_sets(study: Study) -> list[TrainingSet]:
    intermediate = [
        s for each in study.conditions for stage in stages(each) for s in study.condition_sets(stage)
    ]
    return list({s.name: s for s in (*study.target_sets(), *intermediate)}.values())


def _base_node(study: Study) -> Node:
    inputs: dict[str, Any] = {
        "version": BASE_VERSION,
        "base": study.base,
        "revision": study.revision,
        "layers": study.layers,
    }
    if Path(study.base).is_dir():
        inputs["base"] = Checkpoint(Path(study.base), study.base).digest
    if study.trim_vocabulary:
        inputs["vocabulary"] = {
            "train": [data_digest(s, study.data_root) for s in _all_sets(study)],
            "evaluation": [
                target.source.digest(study.data_root, language, target.split)
                for target in study.targets
                for language in study.task_languages(target)
            ],
        }
        if study.mlm is not None:
            inputs["vocabulary"]["mlm"] = study.mlm.digest(study.data_root)
    digest = value_digest(inputs)
    name = re.sub(r"[^\w.-]", "-", Path(study.base).name)
    return Node(f"base/{name}-{digest[:8]}", "base", digest)


def _child(
    study: Study,
    parent: Node,
    phase: Phase,
    condition: str,
    sets: tuple[TrainingSet, ...],
    seed: int,
    data: Mapping[str, str | _Problem],
) -> Node:
    problems = [found.text for s in sets if isinstance(found := data[s.name], _Problem)]
    mlm = study.condition_mlm(condition) if phase == "intermediate" else None
    hyper = study.hyper(phase, sets, mlm=mlm is not None)
    inputs: dict[str, Any] = {
        "version": PHASE_VERSION,
        "parent": parent.digest,
        "phase": phase,
        "sets": {s.name: found if isinstance(found := data[s.name], str) else None for s in sets},
        "hyper": hyper.digest_values(),
        "freeze_embeddings": study.freeze_embeddings,
        "seed": seed,
    }
    if study.save_dtype is not None:  # what is rounded on disk is what children start from
        inputs["save_dtype"] = study.save_dtype
    if mlm is not None:
        text = _digest_or_problem(partial(mlm.digest, study.data_root))
        inputs["mlm"] = text if isinstance(text, str) else None
        problems += [text.text] if isinstance(text, _Problem) else []
    digest = value_digest(inputs)
    stage = "intermediate" if phase == "intermediate" else sets[0].name
    folder = condition.replace(THEN, "-then-")
    name = f"{folder}/{stage}/seed-{seed}-{digest[:8]}"
    return Node(name, phase, digest, parent, condition, sets, seed, hyper, mlm, next(iter(problems), None))


# --- on disk -----------------------------------------------------------------------------------------------


def is_finished(node: Node, out: Path) -> bool:
    """Whether the node's checkpoint is complete below ``out``, and its weights are those that its card names."""
    return (out / node.name / CARD_NAME).exists() and damage(node, out) is None


def damage(node: Node, out: Path) -> str | None:
    """Why the checkpoint of a node that was finished cannot be used; None where it can, or there is none."""
    directory = out / node.name
    if not (directory / CARD_NAME).exists():
        return None
    try:
        with os.scandir(directory) as entries:
            found = sorted((entry.name, entry.stat()) for entry in entries)
    except OSError as error:
        return f"{directory}: cannot be read ({error.strerror})"
    return _damage(directory, tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in found))


@lru_cache(maxsize=100_000)
def _damage(directory: Path, state: tuple[tuple[str, int, int, int], ...]) -> str | None:
    """As :func:`damage`, computed again when a file's size, time or place has changed, which ``state`` holds."""
    del state
    checkpoint = Checkpoint(directory, directory.name)
    try:
        checkpoint.check()
        checkpoint.require_own_card()
    except CheckpointError as error:
        return str(error).rstrip(".")
    except OSError as error:
        return f"{directory}: cannot be read ({error.strerror})"
    return None


def aside(node: Node) -> Path:
    """Where the node's directory goes when it is damaged, below the study's output."""
    return Path(node.name).with_name(DAMAGED + Path(node.name).name)


def set_aside(node: Node, out: Path) -> None:
    """Move a damaged checkpoint out of the way, so that the node can be trained again."""
    if (out / aside(node)).exists():
        shutil.rmtree(out / aside(node))
    (out / node.name).rename(out / aside(node))


def is_begun(node: Node, out: Path) -> bool:
    """Whether an unfinished state of the node lies below ``out``."""
    return (out / (node.name + PARTIAL_SUFFIX)).exists()


@contextmanager
def locked(node: Node, out: Path) -> Iterator[bool]:
    """Take the node's lock for the block, if nobody else holds it; gives whether it was had.

    The system lets go of a lock when the process that holds it dies. The file of a finished node's lock is removed.

    Raises:
        UsageError: the file system below ``out`` has no locks.
        CheckpointError: the lock belongs to a user who lets nobody else take it.
    """
    path = _lock_file(node.digest, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with files.locked(path) as mine:
            yield mine
            if mine and is_finished(node, out):
                path.unlink(missing_ok=True)
    except NotImplementedError as error:
        raise UsageError(
            f"{out}: the file system has no locks (flock), so that two processes could train one node; "
            "have it mounted with locks, or choose another folder."
        ) from error
    except PermissionError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)) != path:
            raise
        raise CheckpointError(
            f"{path}: this lock belongs to another user; delete it when nobody trains here, or have it made writable."
        ) from error


def _lock_file(digest: str, out: Path) -> Path:
    return out / LOCKS / digest


def tidy(grid: Sequence[Node], out: Path) -> None:
    """Remove what processes that were killed have left below ``out`` and nobody needs any more.

    States, reports and locks of finished nodes go, and reports and locks of nodes that the study no longer has. The
    state of such a node stays: with the study file as it was, training goes on from it.
    """
    known = {node.digest: node for node in grid}
    left = {file.name for file in (out / LOCKS).glob("*")}
    left |= {file.stem for file in (out / REPORTS).glob("*.json")}
    left |= {node.digest for node in grid if is_begun(node, out)}
    for digest in sorted(left):
        node = known.get(digest)
        if node is not None and not is_finished(node, out):
            continue
        with suppress(OSError, NotImplementedError), files.locked(_lock_file(digest, out)) as mine:
            if not mine:
                continue
            if node is not None:
                shutil.rmtree(out / (node.name + PARTIAL_SUFFIX), ignore_errors=True)
            report_file(out, digest).unlink(missing_ok=True)
            _lock_file(digest, out).unlink(missing_ok=True)
    for file in (out / REPORTS).glob(f".*{files.PARTIAL}"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > WRITING_SECONDS:
                file.unlink()


# --- the texts ---------------------------------------------------------------------------------------------


def study_texts(study: Study) -> Iterator[str]:
    """Every text that the study's training, dev and evaluation read; words where data are cut in words."""
    for data in _all_sets(study):
        for split in ("train", "dev") if has_dev(data, study.data_root) else ("train",):
            for example in load_examples(data, study.data_root, split):
                yield from example.texts()
    if study.mlm is not None:
        yield from study.mlm.lines(study.data_root)
    for target in study.targets:
        for language in study.task_languages(target):
            for example in target.source.load(study.data_root, language, target.split):
                yield from example.texts()
