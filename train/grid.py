"""The grid of phases that a study implies: a tree, base -> intermediate (condition, seed) -> target (set, seed).

A condition of several stages, ``a>b``, has an intermediate node for each; conditions that begin alike share them.

Each node is a directory named after the digest of its inputs, so that a change retrains what it touches and
nothing else. Several processes may work on one study at a time; a lock per node keeps them apart.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from train.intermediates import NONE, THEN, data_digest, has_dev, load_examples, stages
from train.lines import MlmData
from train.recipes import PHASE_VERSION, Hyperparameters, Phase
from train.study import Study
from xeval.checkpoints import CARD_NAME, PARTIAL_SUFFIX, Checkpoint
from xeval.digests import value_digest
from xeval.errors import UsageError
from xeval.examples import Example, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.tasks import TrainingSet

BASE_VERSION = 1
"""Part of every digest: raise it when ``make_base`` gives other weights for the same name."""

LOCKS = ".locks"


@dataclass(frozen=True)
class Node:
    """One directory of the study.

    Attributes:
        name: the directory below the study's output, ``none/xhops-claim/seed-0-1f2e3d4c``.
        digest: digest of everything the weights depend on.
        hyper: None for the base.
        mlm: text for masked language modelling; None without.
    """

    name: str
    phase: Literal["base", "intermediate", "target"]
    digest: str
    parent: "Node | None" = None
    condition: str = NONE
    sets: tuple[TrainingSet, ...] = ()
    seed: int | None = None
    hyper: Hyperparameters | None = None
    mlm: MlmData | None = None


def nodes(study: Study) -> list[Node]:
    """Every node of the study, parents before their children.

    Raises:
        DataError: training data are not below the study's data folder.
    """
    base = _base_node(study)
    grid = {base.name: base}
    data = {s.name: data_digest(s, study.data_root) for s in _all_sets(study)}
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
    data: Mapping[str, str],
) -> Node:
    mlm = study.condition_mlm(condition) if phase == "intermediate" else None
    hyper = study.hyper(phase, sets, mlm=mlm is not None)
    inputs: dict[str, Any] = {
        "version": PHASE_VERSION,
        "parent": parent.digest,
        "phase": phase,
        "sets": {s.name: data[s.name] for s in sets},
        "hyper": hyper.digest_values(),
        "freeze_embeddings": study.freeze_embeddings,
        "seed": seed,
    }
    if study.save_dtype is not None:  # what is rounded on disk is what children start from
        inputs["save_dtype"] = study.save_dtype
    if mlm is not None:
        inputs["mlm"] = mlm.digest(study.data_root)
    digest = value_digest(inputs)
    stage = "intermediate" if phase == "intermediate" else sets[0].name
    folder = condition.replace(THEN, "-then-")
    name = f"{folder}/{stage}/seed-{seed}-{digest[:8]}"
    return Node(name, phase, digest, parent, condition, sets, seed, hyper, mlm)


# --- on disk -----------------------------------------------------------------------------------------------


def is_finished(node: Node, out: Path) -> bool:
    """Whether the node's checkpoint is complete below ``out``."""
    return (out / node.name / CARD_NAME).exists()


def is_begun(node: Node, out: Path) -> bool:
    """Whether an unfinished state of the node lies below ``out``."""
    return (out / (node.name + PARTIAL_SUFFIX)).exists()


@contextmanager
def locked(node: Node, out: Path) -> Iterator[bool]:
    """Take the node's lock for the block, if nobody else holds it; gives whether it was had.

    The system lets go of a lock when the process that holds it dies.

    Raises:
        UsageError: the file system below ``out`` has no locks.
    """
    from filelock import FileLock, Timeout

    (out / LOCKS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCKS / node.digest, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except NotImplementedError as error:
        raise UsageError(
            f"{out}: the file system has no locks (flock), so that two processes could train one node; "
            "have it mounted with locks, or choose another folder."
        ) from error
    try:
        yield True
    finally:
        lock.release()


# --- the texts ---------------------------------------------------------------------------------------------


def study_texts(study: Study) -> Iterator[str]:
    """Every text that the study's training, dev and evaluation read; words where data are cut in words."""
    for data in _all_sets(study):
        for split in ("train", "dev") if has_dev(data, study.data_root) else ("train",):
            for example in load_examples(data, study.data_root, split):
                yield from example_texts(example)
    if study.mlm is not None:
        yield from study.mlm.lines(study.data_root)
    for target in study.targets:
        for language in study.task_languages(target):
            for example in target.source.load(study.data_root, language, target.split):
                yield from example_texts(example)


def example_texts(example: Example) -> tuple[str, ...]:
    """The texts of an example; words where data are cut in words."""
    match example:
        case TextPair():
            return (example.first,) if example.second is None else (example.first, example.second)
        case MultipleChoice():
            return (example.context, *example.choices)
        case TaggedSentence():
            return example.words
        case Question():
            return (example.question, example.context)
        case Translation():
            return (example.source, example.target)
