"""A study: one TOML file, the grid of phases that it implies, and the loop that trains what is not there yet.

The grid is a tree: base -> intermediate (condition, seed) -> target (training set, seed). Each node is a
directory named after the digest of its inputs, so that a change retrains what it touches and nothing else.
Several processes may work on one study at a time; a lock per node keeps them from doing the same work.
"""

import re
import signal
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from train.intermediates import NONE, condition_sets, data_digest, has_dev, load_examples, training_set
from train.recipes import PHASE_VERSION, RECIPES, Hyperparameters, Phase, Recipe, total_steps
from xeval.checkpoints import CARD_NAME, PARTIAL_SUFFIX, Checkpoint
from xeval.digests import value_digest
from xeval.errors import UsageError, XevalError, did_you_mean
from xeval.examples import Example, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.sources import data_root
from xeval.tasks import Task, TrainingSet, task

if TYPE_CHECKING:
    from train.phases import Step

BASE_VERSION = 1
"""Part of every digest: raise it when ``make_base`` gives other weights for the same name."""

LOCKS = ".locks"
POLL_SECONDS = 1.0
CHARACTERS_PER_TOKEN = 4.0  # XLM-R's pieces on English text; for estimates only
SAMPLE = 500


# --- the file ----------------------------------------------------------------------------------------------


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seeds(_Table):
    """Seeds of the baseline and of every other condition: a list, or a number n for 0 to n - 1."""

    baseline: tuple[int, ...]
    intermediate: tuple[int, ...]

    @field_validator("baseline", "intermediate", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        seeds = range(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(seeds, range | list) and (not seeds or len(set(seeds)) < len(seeds)):
            raise ValueError("give a number of at least 1, or a list of different seeds")
        return seeds


class StudyTable(_Table):
    """``[study]``. Paths are relative to the study file; ``title`` and ``notes`` are for the report."""

    name: str = Field(pattern=r"^[\w][\w.-]*$")
    title: str | None = None
    notes: tuple[str, ...] = ()
    base: str
    revision: str | None = None
    layers: PositiveInt | None = None
    trim_vocabulary: bool = False
    freeze_embeddings: bool = False
    data: str | None = None
    conditions: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    languages: tuple[str, ...] | None = None
    seeds: Seeds


class RecipeTable(_Table):
    """``[recipe]``: a name, and changes to each phase; ``sets`` changes phases on that one training set."""

    name: str = "small"
    intermediate: dict[str, Any] = Field(default_factory=dict)
    target: dict[str, Any] = Field(default_factory=dict)
    sets: dict[str, dict[str, Any]] = Field(default_factory=dict)


class EvaluationTable(_Table):
    """``[evaluation]``: settings of the task kinds that differ from their defaults, and a limit of items."""

    limit: PositiveInt | None = None
    layer: int | None = None
    pooling: Literal["mean", "mean_no_special", "cls"] | None = None
    max_length: PositiveInt | None = None
    stride: PositiveInt | None = None
    question_length: PositiveInt | None = None
    answer_length: PositiveInt | None = None
    n_best: PositiveInt | None = None

    def settings(self) -> dict[str, int | str]:
        """The changes for :meth:`xeval.tasks.Task.settings`."""
        return self.model_dump(exclude_none=True, exclude={"limit"})


class AnalysisTable(_Table):
    """``[analysis]``: differences of at most this much count as none (on scores in points, on log odds)."""

    margin_points: float = Field(default=1.0, gt=0)
    margin_logit: float = Field(default=0.05, gt=0)


class StudyFile(_Table):
    """The whole file."""

    study: StudyTable
    recipe: RecipeTable = RecipeTable()
    evaluation: EvaluationTable = EvaluationTable()
    analysis: AnalysisTable = AnalysisTable()


@dataclass(frozen=True)
class Study:
    """A checked study file: every name in it exists. ``languages`` None means all of every task."""

    path: Path
    name: str
    title: str
    notes: tuple[str, ...]
    base: str
    revision: str | None
    layers: int | None
    trim_vocabulary: bool
    freeze_embeddings: bool
    data_root: Path | None
    conditions: tuple[str, ...]
    targets: tuple[Task, ...]
    languages: tuple[str, ...] | None
    seeds: Seeds
    recipe: Recipe
    changes: RecipeTable
    evaluation: EvaluationTable
    analysis: AnalysisTable

    def hyper(self, phase: Phase, sets: Sequence[TrainingSet]) -> Hyperparameters:
        """The recipe for one phase with the file's changes."""
        changes = dict(self.changes.intermediate if phase == "intermediate" else self.changes.target)
        if len(sets) == 1:
            changes |= self.changes.sets.get(sets[0].name, {})
        return self.recipe.resolve(phase, sets, changes)

    def target_sets(self) -> tuple[TrainingSet, ...]:
        """Training sets of the targets, each once; retrieval has none."""
        names = dict.fromkeys(target.training for target in self.targets if target.training is not None)
        return tuple(training_set(name) for name in names)

    def task_languages(self, target: Task) -> tuple[str, ...]:
        """The languages of a target that the study covers."""
        return tuple(lang for lang in target.languages if self.languages is None or lang in self.languages)


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        UsageError: it cannot be read, or a key, name or value in it is wrong; says which and what is near.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a study file ({error}).") from error
    try:
        file = StudyFile.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path.name}: {_problem(error)}") from error
    try:
        return _checked(path, file)
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from error


def _problem(error: ValidationError) -> str:
    """The first problem of a file as a sentence; unknown keys first, because they explain missing ones."""
    found = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")[0]
    *tables, key = (part for part in found["loc"] if isinstance(part, str))
    where = f" in [{'.'.join(tables)}]" if tables else ""
    if found["type"] == "extra_forbidden":
        table: Any = StudyFile
        for name in tables:
            table = table.model_fields[name].annotation
        return f"unknown key {key!r}{where}{did_you_mean(key, table.model_fields) or '.'}"
    if found["type"] == "missing":
        return f"the key {key!r}{where} is missing."
    return f"{key}{where}: {found['msg']}."


def _checked(path: Path, file: StudyFile) -> Study:
    table, changes = file.study, file.recipe
    for key, names in (("conditions", table.conditions), ("targets", table.targets)):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"{key} names {twice!r} twice.")
    if NONE not in table.conditions:
        raise UsageError(f"conditions lacks {NONE!r}, the baseline that every gain is measured against.")
    targets = tuple(task(name) for name in table.targets)
    known = list(dict.fromkeys(lang for target in targets for lang in target.languages))
    for language in table.languages or ():
        if language not in known:
            raise UsageError(f"no target has the language {language!r}{did_you_mean(language, known) or '.'}")
    if changes.name not in RECIPES:
        raise UsageError(f"unknown recipe {changes.name!r}{did_you_mean(changes.name, RECIPES) or '.'}")
    base = path.parent / table.base
    study = Study(
        path=path,
        title=table.title or table.name,
        base=str(base.resolve()) if base.is_dir() else table.base,
        data_root=None if table.data is None else data_root(table.data, path.parent.resolve()),
        targets=targets,
        recipe=RECIPES[changes.name],
        changes=changes,
        evaluation=file.evaluation,
        analysis=file.analysis,
        **{
            key: getattr(table, key)
            for key in (
                "name",
                "notes",
                "revision",
                "layers",
                "trim_vocabulary",
                "freeze_embeddings",
                "conditions",
                "languages",
                "seeds",
            )
        },
    )
    for target in targets:
        if not study.task_languages(target):
            raise UsageError(f"target {target.name} is in none of the languages; drop it or add one of its.")
    _check_changes(study)
    return study


def _check_changes(study: Study) -> None:
    """Refuse unknown keys of the recipe's changes, sets that no phase trains on, and values out of range."""
    mixtures = [condition_sets(condition) for condition in study.conditions]
    used = {s.name for sets in (study.target_sets(), *mixtures) for s in sets}
    for name in study.changes.sets:
        if name not in used:
            raise UsageError(f"[recipe.sets.{name}]: no phase trains on it{did_you_mean(name, used) or '.'}")
    tables = {"intermediate": study.changes.intermediate, "target": study.changes.target} | {
        f"sets.{name}": changes for name, changes in study.changes.sets.items()
    }
    fields = Hyperparameters.model_fields
    for table, changes in tables.items():
        if unknown := next((key for key in changes if key not in fields), None):
            near = did_you_mean(unknown, fields) or "."
            raise UsageError(f"unknown key {unknown!r} in [recipe.{table}]{near}")
    for sets in mixtures:
        if sets:
            study.hyper("intermediate", sets)
    for target_set in study.target_sets():
        study.hyper("target", (target_set,))


# --- the grid ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """One directory of the study.

    Attributes:
        name: the directory below the study's output, ``none/xhops-claim/seed-0-1f2e3d4c``.
        digest: digest of everything the weights depend on.
        hyper: None for the base.
    """

    name: str
    phase: Literal["base", "intermediate", "target"]
    digest: str
    parent: "Node | None" = None
    condition: str = NONE
    sets: tuple[TrainingSet, ...] = ()
    seed: int | None = None
    hyper: Hyperparameters | None = None


def nodes(study: Study) -> list[Node]:
    """Every node of the study, parents before their children.

    Raises:
        DataError: training data are not below the study's data folder.
    """
    base = _base_node(study)
    grid = [base]
    data = {s.name: data_digest(s, study.data_root) for s in _all_sets(study)}
    for condition in study.conditions:
        sets = condition_sets(condition)
        for seed in study.seeds.intermediate if sets else study.seeds.baseline:
            parent = base
            if sets:
                parent = _child(study, base, "intermediate", condition, sets, seed, data)
                grid.append(parent)
            grid += [
                _child(study, parent, "target", condition, (s,), seed, data) for s in study.target_sets()
            ]
    return grid


def _all_sets(study: Study) -> list[TrainingSet]:
    intermediate = [s for condition in study.conditions for s in condition_sets(condition)]
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
    hyper = study.hyper(phase, sets)
    digest = value_digest(
        {
            "version": PHASE_VERSION,
            "parent": parent.digest,
            "phase": phase,
            "sets": {s.name: data[s.name] for s in sets},
            "hyper": hyper.digest_values(),
            "freeze_embeddings": study.freeze_embeddings,
            "seed": seed,
        }
    )
    stage = "intermediate" if phase == "intermediate" else sets[0].name
    name = f"{condition}/{stage}/seed-{seed}-{digest[:8]}"
    return Node(name, phase, digest, parent, condition, sets, seed, hyper)


def study_texts(study: Study) -> Iterator[str]:
    """Every text that the study's training, dev and evaluation read; words where data are cut in words."""
    for data in _all_sets(study):
        for split in ("train", "dev") if has_dev(data, study.data_root) else ("train",):
            for example in load_examples(data, study.data_root, split):
                yield from _texts(example)
    for target in study.targets:
        for language in study.task_languages(target):
            for example in target.source.load(study.data_root, language, target.split):
                yield from _texts(example)


def _texts(example: Example) -> tuple[str, ...]:
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


# --- the plan ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlannedNode:
    """What :func:`train_study` will do for a node. ``tokens`` is an estimate from the texts' lengths."""

    node: Node
    state: Literal["finished", "begun", "to do"]
    steps: int
    tokens: int


def plan_study(study: Study, out: Path) -> list[PlannedNode]:
    """The state of every node below ``out`` and the work of those that are to be trained."""
    cost: dict[tuple[str, ...], tuple[list[int], float]] = {}
    planned = []
    for node in nodes(study):
        steps = tokens = 0
        if node.hyper is not None:
            key = tuple(s.name for s in node.sets)
            if key not in cost:
                cost[key] = _sizes(study, node.sets)
            rows, characters = cost[key]
            hyper = node.hyper
            rows = [min(size, hyper.train_size or size) for size in rows]
            steps = total_steps(hyper, rows)
            tokens = round(steps * hyper.batch_size * hyper.accumulation * characters / CHARACTERS_PER_TOKEN)
        state: Literal["finished", "begun", "to do"] = "to do"
        if is_finished(node, out):
            state = "finished"
        elif _partial(node, out).exists():
            state = "begun"
        planned.append(PlannedNode(node, state, steps, tokens))
    return planned


def _sizes(study: Study, sets: Sequence[TrainingSet]) -> tuple[list[int], float]:
    """Examples of every set, and the mean number of characters of a sample, every choice with its context."""
    rows, characters = [], []
    for data in sets:
        examples = load_examples(data, study.data_root, "train")
        rows.append(len(examples))
        for example in examples[:: max(1, len(examples) // SAMPLE)]:
            copies = len(example.choices) - 1 if isinstance(example, MultipleChoice) else 0
            texts = _texts(example)
            characters.append(sum(map(len, texts)) + copies * len(texts[0]))
    return rows, sum(characters) / len(characters)


def is_finished(node: Node, out: Path) -> bool:
    """Whether the node's checkpoint is complete below ``out``."""
    return (out / node.name / CARD_NAME).exists()


def _partial(node: Node, out: Path) -> Path:
    return out / (node.name + PARTIAL_SUFFIX)


# --- the loop ----------------------------------------------------------------------------------------------


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


def train_study(
    study: Study, out: Path, *, progress: TrainingProgress | None = None, save_seconds: float = 300.0
) -> TrainingOutcome:
    """Train every node that is not finished below ``out``; a failed node does not stop the others.

    SIGTERM or SIGINT saves the state of the phase under way and returns; calling again continues. A node that
    another process works on is waited for.

    Raises:
        UsageError, DataError: the study's data or names are wrong, so that nothing can be trained.
    """
    from filelock import FileLock, Timeout

    progress = progress or Silent()
    grid = nodes(study)
    trained: list[Node] = []
    reused = [node for node in grid if is_finished(node, out)]
    failures: dict[str, Failure] = {}
    waiting = [node for node in grid if not is_finished(node, out)]
    progress.begin(grid, len(reused))
    (out / LOCKS).mkdir(parents=True, exist_ok=True)
    with _stop_on_signal() as stop:
        while waiting and not stop.is_set():
            before = len(waiting)
            for node in list(waiting):
                parent = node.parent
                if parent is not None and parent.digest in failures:
                    failures[node.digest] = Failure(node, f"{parent.name} failed, which it starts from.")
                    waiting.remove(node)
                if (parent is not None and not is_finished(parent, out)) or node not in waiting:
                    continue
                try:
                    with FileLock(out / LOCKS / node.digest, timeout=0):
                        if is_finished(node, out):
                            reused.append(node)
                        elif problem := _train_node(study, node, out, progress, stop, save_seconds):
                            failures[node.digest] = Failure(node, problem)
                        elif is_finished(node, out):
                            trained.append(node)
                        if is_finished(node, out) or node.digest in failures:
                            waiting.remove(node)
                except Timeout:
                    continue
                if stop.is_set():
                    break
            if len(waiting) == before:
                stop.wait(POLL_SECONDS)
    return TrainingOutcome(tuple(trained), tuple(reused), tuple(failures.values()), bool(waiting))


def _train_node(
    study: Study,
    node: Node,
    out: Path,
    progress: TrainingProgress,
    stop: threading.Event,
    save_seconds: float,
) -> str | None:
    """Train one node, whose parent is finished; gives the problem when it fails."""
    from train.phases import PhaseJob, PhaseStoppedError, train_phase

    progress.start(node)
    problem = None
    try:
        if node.parent is None:
            _make_base(study, out / node.name)
        else:
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
            )
            train_phase(
                job,
                out / node.name,
                progress=lambda step: progress.step(node, step),
                stop=stop.is_set,
                save_seconds=save_seconds,
            )
    except PhaseStoppedError:
        return None
    except (XevalError, OSError) as error:
        problem = str(error)
    progress.end(node, problem)
    return problem


def _make_base(study: Study, out: Path) -> None:
    from transformers.utils import logging

    from train.base import make_base

    logging.disable_progress_bar()
    make_base(
        study.base,
        out,
        layers=study.layers,
        vocabulary=study_texts(study) if study.trim_vocabulary else None,
        revision=study.revision,
    )


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second signal acts as usual. Main thread only, as signals are."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
