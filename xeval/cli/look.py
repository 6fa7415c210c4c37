"""Commands that show and analyse results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli import completion
from xeval.cli.app import LOOK, TRAIN, app
from xeval.cli.messages import say, warn
from xeval.cli.options import (
    DEFAULT_STORE,
    DataOption,
    Json,
    Limit,
    MapOption,
    Setting,
    StoreArgument,
    check_parquet,
    settings_of,
)
from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.tasks.depth import Depth


@app.command(rich_help_panel=LOOK)
def show(
    store: StoreArgument = DEFAULT_STORE,
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
    depth: Annotated[
        bool,
        typer.Option("--depth", help="QA items that one sentence answers against those that need more."),
    ] = False,
    limit: Limit = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Show scores: checkpoints by tasks, or with --task by languages.

    --depth shows easy and hard items of a question-answering task apart. Easy items are those whose answer's sentence
    shares most words with the question. `gain` is F1 with the full context minus F1 of the most confident single
    sentence, `over best` minus that of the best one. It needs the results of the task and of its diagnostic:
    `xeval run runs --tasks xquad,xquad-depth`.

    Example: `xeval show results --task xquad --intervals`
    """
    if depth:
        if intervals or layers or setting:
            raise UsageError("--depth is a view of its own; leave --intervals, --layers and --setting out.")
        raise typer.Exit(0 if _show_depth(store, task, limit, as_json=as_json) else 1)
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


def _show_depth(store: Path, task: str, limit: int | None, *, as_json: bool) -> bool:
    """Print easy and hard items apart; whether every task has its diagnostic."""
    from dataclasses import asdict

    from xeval.console import display
    from xeval.tasks.depth import compare

    results, lacking = compare(store, task, limit)
    if as_json:
        display.print_json({"depth": [asdict(result) for result in results], "lacking": lacking})
    else:
        columns = (
            "checkpoint,task,language,items,easy,hard,F1 easy,F1 hard,gain easy,gain hard,over best,solvable"
        ).split(",")
        cells = [_depth_cells(result) for result in results]
        display.print_table(display.table("F1 (f1_mixed) and shares, %", columns, cells, right=3))
    for reason in lacking:
        warn(reason)
    return not lacking


def _depth_cells(result: "Depth") -> list[str]:
    whole, parts = result.whole, (result.easy, result.hard)
    return [
        result.checkpoint,
        result.task,
        result.language,
        str(whole.items),
        *("0" if part is None else str(part.items) for part in parts),
        *("-" if part is None else f"{100 * part.full:.1f}" for part in parts),
        *("-" if part is None else f"{100 * (part.full - part.single):+.1f}" for part in parts),
        f"{100 * (whole.full - whole.best):+.1f}",
        f"{100 * whole.solvable:.1f}",
    ]


@app.command(name="depth", hidden=True)
def show_depth(
    store: StoreArgument = DEFAULT_STORE,
    task: Annotated[str, typer.Option("--task", help="One task, such as xquad; empty: all.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="As `export depth --out`.")] = None,
    hard_as_multi_hop: Annotated[bool, typer.Option("--hard-as-multi-hop")] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """As `show --depth` and, with --out, `export depth`.

    Example: `xeval show results --depth --task xquad`
    """
    from xeval.cli.export import write_depth

    if out is not None:
        check_parquet(out)
    complete = _show_depth(store, task, limit, as_json=as_json)
    if out is not None:
        write_depth(store, out, limit, hard_as_multi_hop=hard_as_multi_hop)
    raise typer.Exit(0 if complete else 1)


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


@app.command(rich_help_panel=TRAIN)
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
