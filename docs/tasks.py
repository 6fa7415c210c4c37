"""Writes TASKS.md, one page with every task, language, metric, recipe and licence, from their declarations.

Run it after a declaration has changed: python docs/tasks.py
"""

import ast
import inspect
import tokenize
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from xeval.languages import LANGUAGES
from xeval.metrics import METRICS
from xeval.retrieval import recipes as retrieval
from xeval.tasks import Task, all_tasks, all_training_sets
from xeval.tasks.base import Kind
from xeval.tasks.catalogue.intermediate import INTERMEDIATES
from xeval.train import recipes as training

PAGE = Path(__file__).with_name("TASKS.md")


def page() -> str:
    """The page as Markdown."""
    tasks = list(all_tasks().values())
    parts = [
        "# Tasks, languages, metrics and recipes",
        "Made by `python docs/tasks.py` from the declarations; `xeval data tasks --json` says the same of the tasks.",
        "[Tasks](#tasks) · [Settings](#settings) · [Training sets](#training-sets) · [Languages](#languages) · "
        "[Metrics](#metrics) · [Retrieval and mining](#retrieval-and-mining) · [Training](#training)",
        "## Tasks",
        "The first metric represents the task. Any question-answering task NAME has a diagnostic `NAME-depth`, which "
        "reads every sentence alone. Chance is the score of guessing; *data*: computed from the items.",
        _table(
            ("task", "kind", "group", "languages", "metrics", "trained on", "chance", "licence", "source"),
            map(_task, tasks),
        ),
        "## Settings",
        "What `xeval run` takes where nothing else is said; a retrieval or mining task starts from a recipe "
        "([below](#retrieval-and-mining)).",
        _table(("kind", "settings"), _settings(tasks)),
        _table(("task", "differs in"), ((f"`{t.name}`", _pairs(t.overrides)) for t in tasks if t.overrides)),
        "## Training sets",
        "English. Those of a target serve as intermediate tasks too.",
        _table(("set", "kind", "targets", "labels", "licence", "source"), _training_sets(tasks)),
        "## Languages",
        "Codes are XTREME's (ISO 639-1); the script is that of the benchmarks' texts (ISO 15924), the family "
        "Glottolog's.",
        _table(("code", "name", "script", "family", "branch", "tasks"), _languages(tasks)),
        "## Metrics",
        "All lie between 0 and 1, and higher is better. Scores with equal signatures are comparable.",
        _table(("metric", "what", "signature"), _metrics()),
        "## Retrieval and mining",
        f"`--recipe NAME`; single settings can be changed beside it. {_sources(retrieval)} Layers are (depth of the "
        "encoder, layer): other depths take the same share, and (1, 1) is the last layer.",
        *(_recipe_table(purpose) for purpose in ("retrieval", "mining")),
        *_comments(retrieval, _retrieval_spans),
        "## Training",
        '`[recipe] name = "..."` in a study file; single values can be changed there. The kind of the target, then '
        "its training set, changes what the last lines say. – is None.",
        _hyperparameters(),
        *_comments(training, _training_spans),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _task(task: Task) -> tuple[str, ...]:
    chance = "" if task.chance is None else "*data*" if task.chance == "data" else f"{task.chance:.3g}"
    return (
        f"`{task.name}`",
        task.kind.name,
        task.group,
        str(len(task.languages)),
        _names(task.metrics),
        f"`{task.training}`" if task.training else "",
        chance,
        task.licence,
        task.citation,
    )


def _settings(tasks: Sequence[Task]) -> Iterator[tuple[str, str]]:
    kinds: dict[str, Kind[Any]] = {task.kind.name: task.kind for task in tasks}
    for name, kind in kinds.items():
        yield name, _pairs({k: v for k, v in kind.defaults.stored().items() if v not in ("", -1)})


def _training_sets(tasks: Sequence[Task]) -> Iterator[tuple[str, ...]]:
    for one in {**all_training_sets(), **INTERMEDIATES}.values():
        targets = _names(task.name for task in tasks if task.training == one.name)
        yield f"`{one.name}`", one.kind.name, targets, ", ".join(one.labels), one.licence, one.citation


def _languages(tasks: Sequence[Task]) -> Iterator[tuple[str, ...]]:
    for code, known in LANGUAGES.items():
        where = ", ".join(task.name for task in tasks if code in task.languages)
        yield f"`{code}`", known.name, known.script, known.family, known.branch, where


def _metrics() -> Iterator[tuple[str, str, str]]:
    for metric in METRICS.values():
        # The version of Unicode is that of the Python which runs.
        signature = metric.signature().replace(unicodedata.unidata_version, "VERSION")
        yield f"`{metric.name}`", metric.summary, f"`{signature}`"


def _recipe_table(purpose: retrieval.Purpose) -> str:
    chosen = [recipe[purpose] for recipe in retrieval.RECIPES.values()]
    rows = [
        [field.name, *(str(getattr(recipe, field.name)) for recipe in chosen)]
        for field in fields(retrieval.Recipe)
        if field.name != "name"
    ]
    return _table((purpose, *(f"`{recipe.name}`" for recipe in chosen)), rows)


def _hyperparameters() -> str:
    chosen = list(training.RECIPES.values())
    columns = [f"`{recipe.name}` {phase}" for recipe in chosen for phase in ("intermediate", "target")]
    rows = []
    for name, field in training.Hyperparameters.model_fields.items():
        values = [getattr(phase, name) for recipe in chosen for phase in (recipe.intermediate, recipe.target)]
        note = f" ({field.description})" if field.description else ""
        rows.append([f"`{name}`{note}", *("–" if value is None else str(value) for value in values)])
    for place in ("by_kind", "by_training_set"):
        for name in dict.fromkeys(name for recipe in chosen for name in getattr(recipe, place)):
            changes = [_pairs(getattr(recipe, place).get(name, {})) for recipe in chosen]
            rows.append([f"target: {name}", *(cell for change in changes for cell in ("", change))])
    return _table(("value", *columns), rows)


def _sources(module: ModuleType) -> str:
    """The sentence of a module's docstring that names the sources."""
    paragraphs = inspect.cleandoc(module.__doc__ or "").split("\n\n")
    return next(part.replace("\n", " ") for part in paragraphs if part.startswith("Sources"))


def _comments(module: ModuleType, spans: Any) -> Iterator[str]:
    """A list of what is said beside the values of every recipe in the code."""
    path = Path(inspect.getsourcefile(module) or "")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    with path.open("rb") as file:
        comments = {
            token.start[0]: token.string.lstrip("# ").strip()
            for token in tokenize.tokenize(file.readline)
            if token.type == tokenize.COMMENT
        }
    lines = []
    for name, first, last in spans(tree):
        while first - 1 in comments:  # the comment above belongs to it
            first -= 1
        said = " ".join(comments[line] for line in range(first, last + 1) if line in comments)
        lines.append(f"- `{name}`: {said}" if said else f"- `{name}`: ours")
    yield "\n".join(lines)


def _retrieval_spans(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of the entries of RECIPES."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "RECIPES":
            assert isinstance(node.value, ast.Dict)
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                assert isinstance(key, ast.Constant)
                yield str(key.value), key.lineno, value.end_lineno or key.lineno


def _training_spans(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of the calls that make a recipe."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Recipe":
            name = next(word.value for word in node.keywords if word.arg == "name")
            assert isinstance(name, ast.Constant)
            yield str(name.value), node.lineno, node.end_lineno or node.lineno


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
