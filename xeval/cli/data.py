"""Commands about data sets."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xeval.cli import completion
from xeval.cli.app import EVALUATE, app, group
from xeval.cli.messages import say, warn
from xeval.cli.options import Json, LanguagesOption, TasksFrom, split
from xeval.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from xeval.sources import Source

data = group(
    "data",
    EVALUATE,
    "Data sets: which tasks there are, what lies in a folder, the built-in grid as files.\n\n"
    "Example: `xeval data check data/`",
)

DIGITS_SHOWN = 12


@dataclass
class _Check:
    """What was found of a split of a language."""

    name: str
    split: str
    language: str
    where: str = ""
    rows: int | None = None
    expected: tuple[int, ...] = ()
    digest: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@data.command()
def check(
    root: Annotated[str, typer.Argument(help="Folder with the published data sets, or `hub`.")],
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            "-t",
            autocompletion=completion.listed(completion.tasks),
            help="Tasks or training sets joined by commas, a line per language.",
        ),
    ] = "",
    languages: LanguagesOption = "",
    tasks_from: TasksFrom = None,
    as_json: Json = False,
) -> None:
    """Read every data set that lies below a folder and compare it with what is published.

    Absent data are no problem; wrong counts, placeholder labels and unreadable files are (exit code 1).

    Example: `xeval data check data/ --tasks xnli,xquad`
    """
    from xeval.console import display
    from xeval.languages import language
    from xeval.sources import HUB, data_root
    from xeval.tasks import add_tasks_from

    where = data_root(root)
    if where != HUB and not where.is_dir():
        raise UsageError(f"{root}: no such directory; name the folder with the data sets, or hub.")
    if tasks_from is not None:
        add_tasks_from(tasks_from)
    wanted = _wanted(split(tasks), {language(code).code for code in split(languages)})
    checks: list[_Check] = []
    with display.Steps("data", len(wanted), quiet=as_json) as steps:
        for name, part, code, source in wanted:
            steps.now(f"{name} {part} {code}")
            checks.append(_check(name, part, code, source, where))
            steps.advance(1)
    if as_json:
        display.print_json([asdict(each) for each in checks if each.where or each.problems])
    else:
        _print(checks, by_language=bool(tasks))
    raise typer.Exit(1 if any(each.problems for each in checks) else 0)


def _wanted(names: list[str], codes: set[str]) -> "list[tuple[str, str, str, Source]]":
    """(name, split, language, source) of all tasks and training sets that are read from a data root."""
    from xeval.tasks import all_tasks, all_training_sets
    from xeval.tasks.catalogue.intermediate import INTERMEDIATES

    tasks, sets = all_tasks(), {**all_training_sets(), **INTERMEDIATES}
    for name in names:
        if name not in tasks and name not in sets:
            raise UsageError(f"unknown task or training set {name!r}{did_you_mean(name, [*tasks, *sets])}.")
    entries: list[tuple[str, str, str, Source]] = [
        (task.name, task.split, code, task.source) for task in tasks.values() for code in task.languages
    ]
    entries += [(s.name, part, "en", s.source) for s in sets.values() for part in ("train", "dev")]
    return [
        entry
        for entry in entries
        if (not names or entry[0] in names)
        and (not codes or entry[2] in codes)
        and not _built_in(entry[3], entry[2], entry[1])
    ]


def _built_in(source: "Source", language: str, part: str) -> bool:
    """Whether the data come with the installation: then they need no data root."""
    try:
        source.files(None, language, part)
    except DataError:
        return False
    return True


def _check(name: str, part: str, language: str, source: "Source", root: Path) -> _Check:
    from xeval.sources import HUB, MissingDataError, NotDownloadedError
    from xeval.sources.published import differences, examples_digest, expected

    known = expected(name, part, language)
    result = _Check(name, part, language, expected=() if known is None else known.rows)
    try:
        paths = source.files(root, language, part)
        first = Path(*paths[0].parts[-2:]) if root == HUB else paths[0].relative_to(root)
        result.where = f"{first}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        examples = source.load(root, language, part)
    except MissingDataError:
        return result
    except NotDownloadedError as error:
        result.notes.append(str(error))
        return result
    except DataError as error:
        if root == HUB and not result.where:
            raise  # a hub that cannot be reached would not be reached for the others either
        result.problems.append(str(error))
        return result
    result.rows, result.digest = len(examples), examples_digest(examples)
    for difference in differences(name, part, language, examples):
        (result.problems if difference.fatal else result.notes).append(difference.text)
    return result


def _print(checks: list[_Check], *, by_language: bool) -> None:
    from xeval.console import display

    columns: tuple[str, ...]
    if by_language:
        columns = ("data", "split", "language", "found at", "rows", "expected", "digest")
        rows = [
            [
                each.name,
                each.split,
                each.language,
                each.where or "-",
                _count(each.rows),
                " or ".join(map(_count, each.expected)) or "-",
                each.digest[:DIGITS_SHOWN] or "-",
            ]
            for each in checks
        ]
    else:
        columns = ("data", "split", "languages", "of", "rows", "problems", "other release")
        rows = [list(row) for row in _by_task(checks)]
    display.print_table(display.table(None, columns, rows, right=99 if by_language else 2))
    for problem in dict.fromkeys(problem for each in checks for problem in each.problems):
        warn(problem)
    if by_language:
        for note in dict.fromkeys(note for each in checks for note in each.notes):
            say(f"note: {note}")
    elif not rows:
        say(
            "nothing was found; name a task with --tasks, and `xeval run --dry-run` says where it looks for the files"
        )


def _by_task(checks: Iterable[_Check]) -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[_Check]] = {}
    for each in checks:
        groups.setdefault((each.name, each.split), []).append(each)
    for (name, part), checks_of in groups.items():
        read = [each for each in checks_of if each.rows is not None]
        problems = sum(len(each.problems) for each in checks_of)
        notes = sum(len(each.notes) for each in checks_of)
        if read or problems:
            rows = sum(each.rows or 0 for each in read)
            yield (
                name,
                part,
                str(len(read)),
                str(len(checks_of)),
                f"{rows:,}",
                str(problems or "-"),
                str(notes or "-"),
            )


def _count(rows: Any) -> str:
    return "-" if rows is None else f"{rows:,}"


@data.command(name="tasks")
@app.command(name="tasks", hidden=True)
def list_tasks(tasks_from: TasksFrom = None, as_json: Json = False) -> None:
    """List the tasks: kind, group, number of languages, metrics, training set, licence; --json names the languages.

    Example: `xeval data tasks`
    """
    from xeval.console import display
    from xeval.tasks import add_tasks_from, all_tasks

    if tasks_from is not None:
        add_tasks_from(tasks_from)
    rows: list[dict[str, Any]] = [
        {
            "task": task.name,
            "kind": task.kind.name,
            "group": task.group,
            "metrics": list(task.metrics),
            "training": task.training,
            "languages": list(task.languages),
            "licence": task.licence,
        }
        for task in all_tasks().values()
    ]
    if as_json:
        display.print_json(rows)
        return
    columns = ("task", "kind", "group", "languages", "metrics", "training", "licence")
    cells = [
        [
            str(len(row["languages"]))
            if c == "languages"
            else " ".join(row[c])
            if c == "metrics"
            else row[c] or ""
            for c in columns
        ]
        for row in rows
    ]
    display.print_table(display.table(None, columns, cells))


_old_group = typer.Typer(no_args_is_help=True)
app.add_typer(_old_group, name="xhops", hidden=True)


@data.command(name="xhops")
@_old_group.command(name="write")
def write_grid(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    format: Annotated[str, typer.Option(help="jsonl, parquet, squad, or hf (for `datasets`).")] = "jsonl",
    formats: Annotated[str, typer.Option(help="Of claim, question, choice; empty: all.")] = "",
    hops: Annotated[str, typer.Option(help="Of 1, 2, 3; empty: all.")] = "",
    languages: LanguagesOption = "",
    train: Annotated[int, typer.Option(min=0, help="English training rows of each cell.")] = 4000,
    dev: Annotated[int, typer.Option(min=0, help="English dev rows of each cell.")] = 500,
    test: Annotated[int, typer.Option(min=0, help="Test rows of each cell and language.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another benchmark.")] = 0,
    family: Annotated[str, typer.Option(help="work, dogs or founding; empty: all in turn.")] = "",
    chains: Annotated[int, typer.Option(help="Chains of facts in a context: the number of candidates.")] = 3,
    depth: Annotated[int, typer.Option(help="Links of a chain; at least the hops.")] = 3,
) -> None:
    """Write the grid with its data card: one seed gives the same files on any machine.

    Example: `xeval data xhops grid --format hf --languages en,de,th`
    """
    from xeval import xhops

    asked = {"train": train, "dev": dev, "test": test}
    written = xhops.write(
        directory,
        format,  # type: ignore[arg-type]  # checked there
        formats=split(formats) or xhops.FORMATS,  # type: ignore[arg-type]
        hops=[int(n) if n.isdecimal() else n for n in split(hops)] or xhops.HOPS,  # type: ignore[misc]
        languages=split(languages) or xhops.LANGUAGES,
        sizes={name: size for name, size in asked.items() if size},  # type: ignore[misc]
        seed=seed,
        family=family or None,
        chains=chains,
        depth=depth,
    )
    say(f"wrote {len(written)} files, the data card first: {written[0]}")
