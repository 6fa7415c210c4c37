"""What the files of other tools do not say: which condition and seed a model is, which target and language a task is.

A map is a TOML file::

    [runs]                                  # name of the model, or the folder of its files below the source
    "xlm-roberta-large" = { condition = "none", seed = 0 }
    "out/mnli-a" = { condition = "mnli", seed = 0 }

    [tasks]                                 # name of the task; {lang} stands for the language
    "xnli_{lang}" = { target = "xnli", group = "classification", metric = "acc", cluster = "premise", chance = 0.3333 }
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xeval.conditions import BASELINE, GROUPS, NO_SEED
from xeval.errors import UsageError
from xeval.languages import LANGUAGES

SEEDED = re.compile(r"(?P<condition>.+?)[-_]seed[-_]?(?P<seed>\d+)")
"""A folder or model named so says its condition and seed by itself: ``mnli-seed2``."""
OTHER_CODES = {"zho": "zh", "fas": "fa", "swa": "sw", "msa": "ms", "arb": "ar", "ekk": "et"}
"""ISO 639-3 codes that stand for languages of :mod:`xeval.languages` beside its own."""


class RunRule(BaseModel):
    """The condition of a model's runs, and its seed where it is one of several runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    condition: str = Field(min_length=1)
    seed: int | None = Field(default=None, ge=0)


class TaskRule(BaseModel):
    """What a task of another tool is here.

    Attributes:
        target, group: as in tidy scores; an empty target is the task's own name.
        metric: which of the tool's metrics stands for the target, with its filter (``exact_match,strict``) where the
            tool reports several; empty: the only one there is, or the tool's own choice.
        lang: the language, where neither the task's name nor the file tells it.
        cluster: field of a logged document; items that share its value are resampled together.
        hops: hops of all its items; 0 where unknown.
        chance: the metric by chance, 0 to 1.
        percent: whether the tool's per-item values go from 0 to 100.
        split, subsets: which of a result file's splits and subsets count; empty: all of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    target: str = ""
    group: str = ""
    metric: str = ""
    lang: str = ""
    cluster: str = ""
    hops: int = Field(default=0, ge=0)
    chance: float | None = Field(default=None, ge=0, le=1)
    percent: bool = False
    split: str = ""
    subsets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run as the analysis knows it; ``seed`` is None where the files do not say."""

    condition: str
    seed: int | None

    @property
    def number(self) -> int:
        return NO_SEED if self.seed is None else self.seed


@dataclass(frozen=True)
class ScoreMap:
    """Rules of a map file."""

    runs: Mapping[str, RunRule] = field(default_factory=dict)
    tasks: Mapping[str, TaskRule] = field(default_factory=dict)

    def run(self, *names: str) -> Run:
        """The run of a model known by these names, the most specific first.

        Without a rule, a last name of the form ``mnli-seed2`` says condition and seed; any other model is a condition
        of its own.
        """
        for name in names:
            if rule := self.runs.get(name):
                return Run(rule.condition, rule.seed)
        for name in names:
            if found := SEEDED.fullmatch(name.rstrip("/").rsplit("/", 1)[-1]):
                return Run(found["condition"], int(found["seed"]))
        return Run(names[-1], None)

    def task(self, name: str, known: Mapping[str, TaskRule]) -> tuple[TaskRule, str] | None:
        """The rule of a task and the language in its name (empty where there is none); own rules before known ones."""
        for rules in (self.tasks, known):
            if rule := rules.get(name):
                return rule, language_code(rule.lang) if rule.lang else ""
            for pattern, rule in rules.items():
                if "{lang}" in pattern and (found := _pattern(pattern).fullmatch(name)):
                    return rule, language_code(found["lang"])
        return None


def read_mapping(path: Path | None) -> ScoreMap:
    """The rules of a map file; none without a file.

    Raises:
        UsageError: the file is missing or wrong; the message names the entry.
    """
    if path is None:
        return ScoreMap()
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no file; name a map in TOML.")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such map file; write one, or leave --map out.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: is no TOML file ({error}); mend it.") from error
    if unknown := sorted(set(document) - {"runs", "tasks"}):
        raise UsageError(f"{path}: unknown section [{unknown[0]}]; a map has [runs] and [tasks].")
    runs = _rules(path, "runs", document.get("runs", {}), RunRule)
    tasks = _rules(path, "tasks", document.get("tasks", {}), TaskRule)
    for name, rule in tasks.items():
        if rule.group and rule.group not in GROUPS:
            raise UsageError(
                f"{path}: tasks.{name!r} has the unknown group {rule.group!r}; use one of {', '.join(GROUPS)}."
            )
    return ScoreMap(runs, tasks)


def language_code(text: str) -> str:
    """The two-letter code of ``deu-Latn``, ``deu_Latn``, ``deu`` or ``de``; another code stays as it is."""
    code = re.split(r"[-_]", text, maxsplit=1)[0].lower()
    return code if code in LANGUAGES else _ISO3.get(code, code)


def missing_baseline(conditions: Sequence[str]) -> str:
    """One sentence for scores without a baseline."""
    names = ", ".join(repr(name) for name in conditions)
    return (
        f"the scores have no baseline: tell with --map which of the models {names} is the condition "
        f"{BASELINE!r}, by a line such as `{conditions[0]!r} = {{ condition = {BASELINE!r} }}` below [runs]."
    )


_ISO3 = {language.iso3: code for code, language in LANGUAGES.items()} | OTHER_CODES
Rule = TypeVar("Rule", RunRule, TaskRule)


def _rules(path: Path, section: str, entries: Any, kind: type[Rule]) -> dict[str, Rule]:
    if not isinstance(entries, dict):
        raise UsageError(f"{path}: [{section}] is no table of names; write a name and its rule per line.")
    found = {}
    for name, entry in entries.items():
        try:
            found[name] = kind.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{path}: {section}.{name!r}{f', {where}' if where else ''}: {first['msg'].lower()}; a rule has "
                f"{', '.join(kind.model_fields)}."
            ) from error
    return found


def _pattern(text: str) -> re.Pattern[str]:
    """``{lang}`` is a language's code with or without script; further ones repeat the first."""
    first, *rest = (re.escape(part) for part in text.split("{lang}"))
    return re.compile(first + r"(?P<lang>[a-z]{2,3}(?:[-_][A-Z][a-z]{3})?)" + r"(?P=lang)".join(rest))
