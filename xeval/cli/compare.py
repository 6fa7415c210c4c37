"""The command that sets two checkpoints or conditions against each other."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli import completion
from xeval.cli.app import LOOK, app
from xeval.cli.messages import say
from xeval.cli.options import Json, Limit, MapOption, Setting, settings_of
from xeval.errors import remarks_to

if TYPE_CHECKING:
    from rich.table import Table

    from xeval.analysis.compare import Comparison, Difference, TaskComparison


@app.command(rich_help_panel=LOOK)
def compare(
    source: Annotated[Path, typer.Argument(help="A store, or a CSV or Parquet file of tidy scores.")],
    a: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.one_of(completion.stored_names),
            help="A condition, such as none, or the name of a checkpoint.",
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.one_of(completion.stored_names), help="What is compared with A."
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            "--task",
            autocompletion=completion.one_of(completion.stored_tasks),
            help="One task; empty: all that both have.",
        ),
    ] = "",
    limit: Limit = None,
    setting: Setting = None,
    mapping: MapOption = None,
    as_json: Json = False,
) -> None:
    """Compare two checkpoints or conditions, item by item: B minus A per task and language, with what could be seen.

    p-values are corrected over a task's languages (Holm). Where no difference is found, `sees` is the difference that
    would have been found with 80 % power: smaller ones are not ruled out. `only A/B` counts the items that one of
    them alone has right.

    Example: `xeval compare results none mnli --task xnli`
    """
    from xeval import reporting
    from xeval.analysis.compare import compare as compare_scores
    from xeval.console import display

    remarks: list[str] = []
    with remarks_to(remarks.append):
        frame = reporting.read_frame(source, limit, mapping, settings_of(setting), main_only=True)
    found = compare_scores(frame, a, b, task=task)
    found = replace(found, notes=(*found.notes, *remarks))
    if as_json:
        display.print_json(found.to_dict())
        return
    display.print_text(f"A = {a}, B = {b}; points")
    for one in found.tasks:
        display.print_text("")
        display.print_table(_table(one, found))
        for line in _summary(one):
            display.print_text(line)
    if not all(one.significant for task in found.tasks for one in (*task.languages, task.mean) if one):
        display.print_text(
            "\n–: not significant; sees: the difference found with 80 % power, if there is one."
        )
    for note in found.notes:
        say(note)


def _table(task: "TaskComparison", found: "Comparison") -> "Table":
    from xeval.console.display import table

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
