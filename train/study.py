"""A study: one TOML file that names a base, conditions, targets, seeds and a recipe, read and checked.

What is to be trained follows from it: :mod:`xeval.train.grid`.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from xeval.conditions import BASELINE, MIXED, mixed_sets, stages, training_sets
from xeval.errors import UsageError, did_you_mean
from xeval.files import is_regular
from xeval.retrieval.recipes import Pooling
from xeval.sources import FileSource, data_root
from xeval.tasks import Task, TrainingSet, task
from xeval.tasks.catalogue.intermediate import translated_training_set
from xeval.tasks.embedding import check_recipe
from xeval.train.base import no_directory
from xeval.train.intermediates import (
    condition_sets,
    known_sets,
    own_training_set,
    training_set,
)
from xeval.train.lines import MLM, MlmData, read_lines
from xeval.train.recipes import MOST_ROWS, MOST_TOKENS, RECIPES, Hyperparameters, Phase, Recipe, shown

# --- the file ----------------------------------------------------------------------------------------------


MOST_BYTES = 1_000_000  # of a study file
MOST_NAMES = 1_000  # of conditions, of targets, of seeds
MOST_NODES = 50_000

Text = Annotated[str, Field(min_length=1, max_length=1_000)]
Number = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Seeds(_Table):
    """Seeds of the baseline and of every other condition: a list, or a number n for 0 to n - 1."""

    baseline: tuple[Seed, ...]
    intermediate: tuple[Seed, ...]

    @field_validator("baseline", "intermediate", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= MOST_NAMES:
                raise ValueError(f"give a number of 1 to {MOST_NAMES:,}, or a list of different seeds")
            return tuple(range(value))
        if isinstance(value, list):
            numbers = [seed for seed in value if isinstance(seed, int)]
            if not value or len(value) > MOST_NAMES or len(set(numbers)) < len(numbers):
                raise ValueError(f"give a number of 1 to {MOST_NAMES:,}, or a list of different seeds")
            return tuple(value)
        return value


class StudyTable(_Table):
    """``[study]``. Paths are relative to the study file; ``title`` and ``notes`` are for the report."""

    name: str = Field(pattern=r"^[\w][\w.-]*$", max_length=100)
    title: Text | None = None
    notes: tuple[str, ...] = Field(default=(), max_length=MOST_NAMES)
    base: Text
    revision: Text | None = None
    layers: int | None = Field(default=None, ge=1, le=1_000)
    trim_vocabulary: bool = False
    freeze_embeddings: bool = False
    save_dtype: Literal["bfloat16"] | None = None
    data: Text | None = None
    conditions: tuple[Annotated[str, Field(max_length=200)], ...] = Field(min_length=1, max_length=MOST_NAMES)
    targets: tuple[str, ...] = Field(min_length=1, max_length=MOST_NAMES)
    languages: tuple[str, ...] | None = Field(default=None, max_length=MOST_NAMES)
    seeds: Seeds


class RecipeTable(_Table):
    """``[recipe]``: a name, and changes to each phase; ``sets`` changes phases on that one training set."""

    name: str = "small"
    intermediate: dict[str, Any] = Field(default_factory=dict)
    target: dict[str, Any] = Field(default_factory=dict)
    sets: dict[str, dict[str, Any]] = Field(default_factory=dict)


class EvaluationTable(_Table):
    """``[evaluation]``: settings of the task kinds that differ from their defaults, and a limit of items."""

    limit: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    layer: int | None = Field(default=None, ge=-1_000, le=1_000)
    pooling: Pooling | None = None
    prompt: Text | None = None
    max_length: Tokens | None = None
    stride: Tokens | None = None
    question_length: Tokens | None = None
    answer_length: Tokens | None = None
    n_best: Number | None = None
    recipe: str | None = None
    centring: str | None = None
    similarity: str | None = None
    margin: str | None = None
    k: Number | None = None
    direction: str | None = None
    matching: str | None = None

    def settings(self) -> dict[str, int | str]:
        """The changes for :meth:`xeval.tasks.Task.settings`."""
        return self.model_dump(exclude_none=True, exclude={"limit"})


class AnalysisTable(_Table):
    """``[analysis]``: differences of at most this much count as none (on scores in points, on log odds)."""

    margin_points: float = Field(default=1.0, gt=0, le=100)
    margin_logit: float = Field(default=0.05, gt=0, le=100)


class SetTable(_Table):
    """``[sets.NAME]``: an intermediate set of one's own, from a file of rows or from a set's machine translations."""

    file: Text | None = None
    kind: str = ""
    dev: Text | None = None
    translation_of: Text | None = None
    languages: tuple[str, ...] = Field(default=(), max_length=MOST_NAMES)


class MlmTable(_Table):
    """``[mlm]``: text for conditions such as ``mnli+mlm``; patterns below the data, {lang} is filled in."""

    files: tuple[Text, ...] = Field(min_length=1, max_length=MOST_NAMES)
    languages: tuple[Text, ...] = Field(min_length=1, max_length=MOST_NAMES)


class EnginesTable(_Table):
    """``[engines.ray]`` and ``[engines.slurm]``: what a node's training asks of a cluster; changes no weights."""

    ray: dict[Literal["num_cpus", "num_gpus", "memory"], Annotated[float, Field(ge=0, le=1e18)]] = Field(
        default_factory=dict
    )
    slurm: dict[str, str | int | bool] = Field(default_factory=dict)


class StudyFile(_Table):
    """The whole file. ``[training]`` names the sets of targets that are trained on another one than their own."""

    study: StudyTable
    training: dict[str, str] = Field(default_factory=dict)
    sets: dict[str, SetTable] = Field(default_factory=dict)
    mlm: MlmTable | None = None
    recipe: RecipeTable = RecipeTable()
    evaluation: EvaluationTable = EvaluationTable()
    analysis: AnalysisTable = AnalysisTable()
    engines: EnginesTable = EnginesTable()


@dataclass(frozen=True)
class Study:
    """A checked study file: every name in it exists. ``languages`` None means all of every task.

    ``save_dtype`` is the number format of the weights on disk; None keeps float32. ``own_sets`` are the sets that the
    file itself declares.
    """

    path: Path
    name: str
    title: str
    notes: tuple[str, ...]
    base: str
    revision: str | None
    layers: int | None
    trim_vocabulary: bool
    freeze_embeddings: bool
    save_dtype: Literal["bfloat16"] | None
    data_root: Path | None
    conditions: tuple[str, ...]
    targets: tuple[Task, ...]
    languages: tuple[str, ...] | None
    seeds: Seeds
    own_sets: Mapping[str, TrainingSet]
    mlm: MlmData | None
    recipe: Recipe
    changes: RecipeTable
    evaluation: EvaluationTable
    analysis: AnalysisTable
    engines: EnginesTable

    def condition_sets(self, condition: str) -> tuple[TrainingSet, ...]:
        """The sets that a condition's last stage trains on; masked language modelling is none of them.

        Raises:
            UsageError: the condition cannot be trained.
        """
        if condition != BASELINE and BASELINE in training_sets(condition):
            raise UsageError(f"condition {condition!r} names {BASELINE!r} beside others; drop it.")
        names = mixed_sets(condition)
        if MLM not in names:
            return condition_sets(condition, self.own_sets)
        names.remove(MLM)
        if self.mlm is None:
            raise UsageError(f"condition {condition!r} needs text; add [mlm] with files and languages.")
        if not names or names == [BASELINE] or MLM in names:
            raise UsageError(
                f"condition {condition!r}: {MLM} stands once and beside a task, as in 'mnli+{MLM}'."
            )
        return condition_sets(MIXED.join(names), self.own_sets)

    def condition_mlm(self, condition: str) -> MlmData | None:
        """The text that a condition's last stage interleaves; None without masked language modelling."""
        return self.mlm if MLM in mixed_sets(condition) else None

    def hyper(self, phase: Phase, sets: Sequence[TrainingSet], mlm: bool = False) -> Hyperparameters:
        """The recipe for one phase with the file's changes; ``mlm_share`` holds for phases with ``mlm`` alone."""
        changes = dict(self.changes.intermediate if phase == "intermediate" else self.changes.target)
        if len(sets) == 1:
            changes |= self.changes.sets.get(sets[0].name, {})
        if not mlm:
            changes.pop("mlm_share", None)
        return self.recipe.resolve(phase, sets, changes)

    def target_sets(self) -> tuple[TrainingSet, ...]:
        """Training sets of the targets, each once; retrieval has none."""
        names = dict.fromkeys(target.training for target in self.targets if target.training is not None)
        return tuple(training_set(name, self.own_sets) for name in names)

    def task_languages(self, target: Task) -> tuple[str, ...]:
        """The languages of a target that the study covers."""
        return tuple(lang for lang in target.languages if self.languages is None or lang in self.languages)


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        UsageError: it cannot be read, or a key, name or value in it is wrong; says which and what is near.
    """
    try:
        # Through JSON, where lists are tuples and nothing else is taken for what it is not.
        file = StudyFile.model_validate_json(json.dumps(_content(path), default=_not_in_json), strict=True)
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deep for a study file.") from error
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise UsageError(f"{path}: is nested too deep for a study file.") from error
        raise UsageError(f"{path.name}: {_problem(error)}") from error
    try:
        return _checked(path, file)
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from error


def _content(path: Path) -> dict[str, Any]:
    """What a study file holds."""
    if not is_regular(path):
        what = "is no file" if path.exists() else "there is no such file"
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.toml")])
        raise UsageError(f"{path}: {what}{near or '.'}")
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UsageError(
                f"{path}: has {size:,} bytes, a study file at most {MOST_BYTES:,}; is it another file?"
            )
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a study file ({error}).") from error


def _not_in_json(value: Any) -> Any:
    """Stands for a date or a time, which no key of a study file takes."""
    return {"date or time": str(value)}


def _problem(error: ValidationError) -> str:
    """The first problem of a file as a sentence; unknown keys first, because they explain missing ones."""
    found = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")[0]
    parts = [part for part in found["loc"] if isinstance(part, str)]
    if parts[:2] == ["engines", "slurm"]:
        parts = parts[:3]  # without the types that were tried
    if parts[-1:] == ["[key]"]:
        return f"unknown key {parts[-2]!r} in [{'.'.join(parts[:-2])}]; {found['msg']}."
    *tables, key = parts or ["the file"]
    where = f" in [{'.'.join(tables)}]" if tables else ""
    if found["type"] == "extra_forbidden":
        table: Any = StudyFile
        for name in tables:
            if get_origin(table) is dict:
                table = get_args(table)[1]
                continue
            table = table.model_fields[name].annotation
            if get_origin(table) is UnionType:  # a table that may be left out
                table = get_args(table)[0]
        return f"unknown key {key!r}{where}{did_you_mean(key, table.model_fields) or '.'}"
    if found["type"] == "missing":
        return f"the key {key!r}{where} is missing."
    message = found["msg"].removeprefix("Value error, ")
    return f"{key}{where}: {message}, not {shown(found['input'])}."


def _checked(path: Path, file: StudyFile) -> Study:
    table, changes = file.study, file.recipe
    for key, names in (("conditions", table.conditions), ("targets", table.targets)):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"{key} names {twice!r} twice.")
    if BASELINE not in table.conditions:
        raise UsageError(f"conditions lacks {BASELINE!r}, the baseline that every gain is measured against.")
    own_sets = _own_sets(path, file.sets)
    targets = _targets(table.targets, file.training, own_sets)
    known = list(dict.fromkeys(lang for target in targets for lang in target.languages))
    for language in table.languages or ():
        if language not in known:
            raise UsageError(f"no target has the language {language!r}{did_you_mean(language, known) or '.'}")
    if changes.name not in RECIPES:
        raise UsageError(f"unknown recipe {changes.name!r}{did_you_mean(changes.name, RECIPES) or '.'}")
    check_recipe(file.evaluation.settings())
    base = path.parent / table.base
    if (problem := no_directory(table.base, path.parent)) is not None:
        raise UsageError(f"base in [study]: {problem}")
    mlm = None
    if file.mlm is not None:
        mlm = MlmData(FileSource(file.mlm.files, read_lines), file.mlm.languages)
    study = Study(
        path=path,
        title=table.title or table.name,
        base=str(base.resolve()) if base.is_dir() else table.base,
        data_root=None if table.data is None else data_root(table.data, path.parent.resolve()),
        targets=targets,
        own_sets=own_sets,
        mlm=mlm,
        recipe=RECIPES[changes.name],
        changes=changes,
        evaluation=file.evaluation,
        analysis=file.analysis,
        engines=file.engines,
        **{
            key: getattr(table, key)
            for key in (
                "name",
                "notes",
                "revision",
                "layers",
                "trim_vocabulary",
                "freeze_embeddings",
                "save_dtype",
                "conditions",
                "languages",
                "seeds",
            )
        },
    )
    wanted = sum(
        len(study.seeds.baseline if condition == BASELINE else study.seeds.intermediate)
        * (len(study.target_sets()) + (condition != BASELINE) * len(stages(condition)))
        for condition in study.conditions
    )
    if wanted > MOST_NODES:
        raise UsageError(
            f"conditions, seeds and targets make {wanted:,} checkpoints; at most {MOST_NODES:,} are trained."
        )
    for target in targets:
        if not study.task_languages(target):
            raise UsageError(f"target {target.name} is in none of the languages; drop it or add one of its.")
    _check_changes(study)
    return study


def _targets(
    names: Sequence[str], trained_on: Mapping[str, str], own: Mapping[str, TrainingSet]
) -> tuple[Task, ...]:
    """The tasks, with the training sets that the file gives them instead of their own."""
    targets = {name: task(name) for name in names}
    for name, set_name in trained_on.items():
        if name not in targets:
            near = did_you_mean(name, targets) or "."
            raise UsageError(f"[training]: {name!r} is no target of this study{near}")
        target, chosen = targets[name], training_set(set_name, own)
        if target.training is None:
            raise UsageError(f"[training]: {name} compares embeddings and is not trained; drop it.")
        if chosen.kind is not target.kind or set(chosen.labels) != set(target.labels):
            raise UsageError(
                f"[training]: {name} is {_shape(target)}, and {set_name} is {_shape(chosen)}; choose a set of the same."
            )
        targets[name] = replace(target, training=set_name)
    return tuple(targets.values())


def _shape(of: Task | TrainingSet) -> str:
    """Kind and labels, for a message."""
    return f"{of.kind.name} with the labels {', '.join(of.labels)}" if of.labels else of.kind.name


def _own_sets(path: Path, tables: Mapping[str, SetTable]) -> dict[str, TrainingSet]:
    """The sets that a study file declares; files lie relative to it."""
    made = {}
    for name, own in tables.items():
        if name in known_sets() or name in (BASELINE, MLM) or not re.fullmatch(r"\w[\w.-]{0,99}", name):
            raise UsageError(
                f"[sets.{name}]: the name is taken, or holds other signs than letters, digits, '.', '-' and '_'; "
                "choose another one."
            )
        if (own.file is None) == (own.translation_of is None):
            raise UsageError(f"[sets.{name}]: give either file or translation_of.")
        if own.translation_of is not None:
            made[name] = translated_training_set(name, own.translation_of, own.languages)
        else:
            assert own.file is not None
            dev = None if own.dev is None else path.parent / own.dev
            file = path.parent / own.file
            made[name] = own_training_set(name, file, own.kind, dev=dev, languages=own.languages)
    return made


def _check_changes(study: Study) -> None:
    """Refuse unknown keys of the recipe's changes, sets that no phase trains on, and values out of range."""
    mixtures = {stage: study.condition_sets(stage) for each in study.conditions for stage in stages(each)}
    used = {s.name for sets in (study.target_sets(), *mixtures.values()) for s in sets}
    if unused := next((name for name in study.own_sets if name not in used), None):
        raise UsageError(f"[sets.{unused}]: no condition and no [training] names it; drop it, or add it.")
    if study.mlm is not None and not any(map(study.condition_mlm, mixtures)):
        raise UsageError(f"[mlm]: no condition uses it; name one such as 'mnli+{MLM}', or drop the table.")
    for name in study.changes.sets:
        if name not in used:
            raise UsageError(f"[recipe.sets.{name}]: no phase trains on it{did_you_mean(name, used) or '.'}")
    study.recipe.check("intermediate", study.changes.intermediate, "[recipe.intermediate]")
    study.recipe.check("target", study.changes.target, "[recipe.target]")
    for name, changes in study.changes.sets.items():
        study.recipe.check("intermediate", changes, f"[recipe.sets.{name}]")
        study.recipe.check("target", changes, f"[recipe.sets.{name}]")
    for condition, sets in mixtures.items():
        if sets:
            study.hyper("intermediate", sets, mlm=study.condition_mlm(condition) is not None)
    for target_set in study.target_sets():
        study.hyper("target", (target_set,))
