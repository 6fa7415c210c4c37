"""Commands that show and analyse results."""

from pathlib import Path
from typing import Annotated

import typer

from xeval.cli import completion
from xeval.cli.app import LOOK, app
from xeval.cli.messages import say, warn
from xeval.cli.options import DataOption, Json, Limit, MapOption, Setting, settings_of
from xeval.errors import UsageError


@app.command(rich_help_panel=LOOK)
def show(
    store: Annotated[Path, typer.Argument(help="Folder that keeps the results.")] = Path("xeval-store"),
    task: Annotated[
        str,
        typer.Option(
            "--task",
            autocompletion=completion.one_of(completion.stored_tasks),
            help="One task, language by language.",
        ),
    ] = "",
    intervals: Annotated[
        bool,
        typer.Option("--intervals", help="95 % intervals over new items, for these very checkpoints."),
    ] = False,
    layers: Annotated[bool, typer.Option("--layers", help="The curve of every layer sweep.")] = False,
    limit: Limit = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Show scores: checkpoints by tasks, or with --task by languages.

    Example: `xeval show results --task xquad --intervals`
    """
    from xeval.console import display
    from xeval.console import score_tables as tables

    summary = tables.summarise(store, limit, settings_of(setting), task=task, layers=layers)
    if as_json:
        display.print_json(summary.to_json(intervals=intervals))
    else:
        made = (
            tables.render_layers(summary)
            if layers
            else tables.render(summary, by_language=bool(task), intervals=intervals)
        )
        display.print_table(made)
        for line in tables.footnotes(summary, intervals=intervals and not layers):
            display.print_text(line, style="dim")
        for remark in summary.remarks:
            say(remark)
        for reason in summary.damaged:
            warn(reason)
    raise typer.Exit(1 if summary.damaged else 0)


@app.command(rich_help_panel=LOOK)
def report(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A store, a CSV or Parquet file of tidy scores, or results of lm-evaluation-harness, EuroEval or mteb."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the report to.")] = Path("report"),
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Cross-lingual transfer study",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Of a store, the results on the first N items.")
    ] = None,
    setting: Setting = None,
    data: DataOption = None,
    mapping: MapOption = None,
    published: Annotated[
        str, typer.Option(help="Analyse published scores instead of a source: phang2020.", metavar="NAME")
    ] = "",
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete", help="Go on where runs lack languages, or a target lacks runs of others."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Analyse scores and write the report: gains, the contrast, its interval and the verdict.

    With --data, or where the tasks are built in, the items that changed are shown with their texts.

    Example: `xeval report results -o report`
    """
    from xeval import reporting

    if published and source is not None:
        raise UsageError("both a source and --published are given; leave one of them out.")
    if published:
        reporting.report_published(published, out, as_json=as_json)
        return
    if source is None:
        raise UsageError("nothing to report on; give a store, a file of scores, or --published NAME.")
    reporting.report(
        source,
        out,
        title=title,
        limit=limit,
        settings=settings_of(setting),
        data=data,
        mapping=mapping,
        incomplete=incomplete,
        as_json=as_json,
    )


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False) -> None:
    """Say what this machine offers: versions, device, memory, caches.

    Example: `xeval doctor`
    """
    from xeval import study
    from xeval.console import display

    facts = study.machine_facts()
    if as_json:
        display.print_json(facts)
    else:
        display.print_table(display.table(None, ("what", "is"), [[k, str(v)] for k, v in facts.items()]))
