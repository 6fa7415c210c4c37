"""The command that sets two checkpoints or conditions against each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli.app import LOOK, app
from xeval.cli.messages import say
from xeval.cli.options import Json, Limit

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.compare import Comparison, Difference, TaskComparison


@app.command(rich_help_panel=LOOK)
def compare(
    source: Annotated[Path, typer.Argument(help="A store, or a CSV or Parquet file of tidy scores.")],
    a: Annotated[str, typer.Argument(help="A condition, such as none, or the name of a checkpoint.")],
    b: Annotated[str, typer.Argument(help="What is compared with A.")],
    task: Annotated[str, typer.Option("--task", help="One task; empty: all that both have.")] = "",
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Compare two checkpoints or conditions, item by item: B minus A per task and language, with what could be seen.

    p-values are corrected over a task's languages (Holm). Where no difference is found, `sees` is the difference that
    would have been found with 80 % power: smaller ones are not ruled out. `only A/B` counts the items that one of
    them alone has right.

    Example: `xeval compare results none mnli --task xnli`
    """
    from analysis.compare import compare as compare_scores
    from xeval import display
    from xeval import study as studies

    found = compare_scores(studies.read_frame(source, limit), a, b, task=task)
    if as_json:
        display.print_json(found.to_dict())
        return
    console = display.console()
    console.print(f"A = {a}, B = {b}; points", markup=False, soft_wrap=True)
    for one in found.tasks:
        console.print()
        console.print(_table(one, found))
        for line in _summary(one):
            console.print(line, markup=False)
    if not all(one.significant for task in found.tasks for one in (*task.languages, task.mean) if one):
        console.print()
        console.print("–: not significant; sees: the difference found with 80 % power, if there is one.")
    for note in found.notes:
        say(note)


def _table(task: "TaskComparison", found: "Comparison") -> "Table":
    from xeval.display import table

    columns = (
        "lang",
        "A",
        "B",
        "B − A",
        f"{100 * found.confidence:g} % CI",
        "p",
        "p Holm",
        "only A/B",
        "better",
        "sees",
    )
    rows = [_cells(one) for one in task.languages]
    if task.mean:
        rows.append(_cells(task.mean))
    return table(f"{task.task}: {task.metric}", columns, rows, right=1)


def _cells(one: "Difference") -> list[str]:
    value = one.estimate.value
    return [
        one.lang or "mean",
        f"{one.a:.1f}",
        f"{one.b:.1f}",
        _signed(value),
        f"{_signed(one.estimate.low)} {_signed(one.estimate.high)}",
        _p(one.p_value),
        _p(one.p_corrected) if one.lang else "",
        "/".join(f"{count:.0f}" for count in one.discordant) if one.discordant else "",
        ("B" if value > 0 else "A") if one.significant else "–",
        "" if one.significant else f"{one.detectable:.2f}",
    ]


def _summary(task: "TaskComparison") -> list[str]:
    lines = []
    if task.transfer > 1:
        lines.append(
            f"B is better in at least {task.b_better}, A in at least {task.a_better} of the {task.transfer} "
            "languages of the mean."
        )
    if task.items_only:
        lines.append("One run on a side: the intervals cover new items, not new seeds of training.")
    if any(one.exact for one in task.languages):
        lines.append("p of a language: exact McNemar; of the mean: t.")
    return lines


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
