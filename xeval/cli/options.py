"""Options that several commands share, under the same names everywhere, and what they mean together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.runner import Plan, RunOptions
    from xeval.store import Store
    from xeval.tasks import Task

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
StoreOption = Annotated[
    Path, typer.Option("--store", "-s", help="Folder that keeps the results.", envvar="XEVAL_STORE")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", help="Folder with the published data sets.", envvar="XEVAL_DATA"),
]
Checkpoints = Annotated[Path, typer.Argument(help="A checkpoint, or a folder that holds some at any depth.")]
TasksOption = Annotated[
    str, typer.Option("--tasks", "-t", help="Task names joined by commas; empty: all that fit a checkpoint.")
]
LanguagesOption = Annotated[
    str, typer.Option("--languages", "-l", help="Language codes joined by commas; empty: all of a task's.")
]
TasksFrom = Annotated[
    Path | None, typer.Option(help="Python file with task declarations of your own.", show_default=False)
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first N items of a unit; kept apart from full results.")
]
MaxLength = Annotated[int | None, typer.Option(min=8, help="Longest sequence in tokens.")]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer for retrieval; 0 is the embedding output.")]
Pooling = Annotated[
    str | None, typer.Option(help="For retrieval: mean (with special tokens), mean_no_special or cls.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N; empty: a GPU where there is one.")]
Dtype = Annotated[str, typer.Option(help="float32 or bfloat16; empty: bfloat16 on a GPU, else float32.")]
Budget = Annotated[
    int, typer.Option(min=0, help="Padded tokens per batch; 0 fits the device. Changes no score.")
]


def run_options(
    data: Path | None,
    limit: int | None,
    max_length: int | None,
    layer: int | None,
    pooling: str | None,
    device: str,
    dtype: str,
    token_budget: int,
) -> "RunOptions":
    from xeval.runner import RunOptions

    if data is not None and not data.is_dir():
        raise UsageError(f"--data {data}: no such directory.")
    named = {"max_length": max_length, "layer": layer, "pooling": pooling}
    settings: dict[str, int | str] = {k: v for k, v in named.items() if v is not None}
    return RunOptions(data, settings, limit, device, dtype, token_budget)


def plan_units(
    root: Path, store: Path, tasks: str, languages: str, tasks_from: Path | None, options: "RunOptions"
) -> "tuple[list[Task], Store, Plan]":
    from xeval import runner
    from xeval.checkpoints import discover
    from xeval.display import spinner
    from xeval.languages import language
    from xeval.store import Store
    from xeval.tasks import add_tasks_from, all_tasks, task

    if tasks_from is not None:
        add_tasks_from(tasks_from)
    chosen = [task(name) for name in split(tasks)] or list(all_tasks().values())
    codes = [language(code).code for code in split(languages)] or None
    where = Store(store)
    with spinner(f"looking at the checkpoints below {root}", quiet=True):
        found = list(discover(root))
    return chosen, where, runner.plan(found, chosen, where, options, languages=codes, named=bool(tasks))


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read_lines(paths: list[Path] | None) -> list[str] | None:
    if not paths:
        return None
    lines: list[str] = []
    for path in paths:
        try:
            lines.extend(path.read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--trim-to {path}: cannot be read as UTF-8 text ({error}).") from error
    return lines
