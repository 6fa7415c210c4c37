"""Commands that show and analyse results."""

from pathlib import Path
from typing import Annotated

import typer

from xeval.cli.app import LOOK, app
from xeval.cli.messages import warn
from xeval.cli.options import Json, Limit


@app.command(rich_help_panel=LOOK)
def show(
    store: Annotated[Path, typer.Argument(help="Folder that keeps the results.")] = Path("xeval-store"),
    task: Annotated[str, typer.Option("--task", help="One task, a column per language.")] = "",
    layers: Annotated[bool, typer.Option("--layers", help="The curve of every layer sweep.")] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Show scores: checkpoints by tasks, or with --task by languages.

    Example: `xeval show results --task xquad`
    """
    from xeval import display, tables

    summary = tables.summarise(store, limit)
    if as_json:
        display.print_json(summary.to_json())
    else:
        made = tables.render_layers(summary, task) if layers else tables.render(summary, task)
        display.console().print(made)
        for line in tables.signatures(summary, task):
            display.console().print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
        for reason in summary.damaged:
            warn(reason)
    raise typer.Exit(1 if summary.damaged else 0)


@app.command(rich_help_panel=LOOK)
def report(
    source: Annotated[Path, typer.Argument(help="A store, or a CSV or Parquet file of tidy scores.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the report to.")] = Path("report"),
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Cross-lingual transfer study",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Of a store, the results on the first N items.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Analyse scores and write the report: gains, the contrast, its interval and the verdict.

    Example: `xeval report results -o report`
    """
    from xeval import study as studies

    studies.report(source, out, title=title, limit=limit, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False) -> None:
    """Say what this machine offers: versions, device, memory, caches.

    Example: `xeval doctor`
    """
    from xeval import display, study

    facts = study.machine_facts()
    if as_json:
        display.print_json(facts)
    else:
        display.console().print(display.table(None, ("what", "is"), [[k, str(v)] for k, v in facts.items()]))
