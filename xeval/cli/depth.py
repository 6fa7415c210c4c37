"""The command that compares reading the whole context with reading single sentences."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli.app import LOOK, app
from xeval.cli.messages import say, warn
from xeval.cli.options import Json, Limit
from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.tasks.depth import Depth


@app.command(rich_help_panel=LOOK)
def depth(
    store: Annotated[Path, typer.Argument(help="Folder that keeps the results.")] = Path("xeval-store"),
    task: Annotated[str, typer.Option("--task", help="One task, such as xquad; empty: all.")] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Parquet file to write tidy scores to, easy and hard items apart."),
    ] = None,
    hard_as_multi_hop: Annotated[
        bool,
        typer.Option(
            "--hard-as-multi-hop",
            help="In --out, put hard items in the group multi-hop QA, for `xeval report`.",
        ),
    ] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Show how much of question answering needs more than one sentence: easy and hard items of one data set.

    Easy items are those whose answer's sentence shares most words with the question. `gain` is F1 with the full
    context minus F1 of the most confident single sentence, `over best` minus that of the best single sentence.
    Needs the results of a task and of its diagnostic, which is called after it with `-depth` at the end.

    Example: `xeval run runs --tasks xquad,xquad-depth --store results`, then `xeval depth results --task xquad`
    """
    from dataclasses import asdict

    from xeval.console import display
    from xeval.tasks.depth import compare, split_by_depth

    if out is not None and (out.suffix != ".parquet" or not out.parent.is_dir()):
        raise UsageError(f"--out {out}: name a .parquet file in a folder that exists.")
    results, lacking = compare(store, task, limit)
    if as_json:
        display.print_json({"depth": [asdict(result) for result in results], "lacking": lacking})
    else:
        columns = (
            "checkpoint,task,language,items,easy,hard,F1 easy,F1 hard,gain easy,gain hard,over best,solvable"
        ).split(",")
        display.print_table(
            display.table(
                "F1 (f1_mixed) and shares, %", columns, [_cells(result) for result in results], right=3
            )
        )
    for reason in lacking:
        warn(reason)
    if out is not None:
        split_by_depth(store, limit, hard_as_multi_hop=hard_as_multi_hop).to_parquet(out, index=False)
        say(f"wrote {out}; analyse it with: xeval report {out}")
    raise typer.Exit(1 if lacking else 0)


def _cells(result: "Depth") -> list[str]:
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
