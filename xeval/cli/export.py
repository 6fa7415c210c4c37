"""Commands that write what a store holds in the formats of other programs, and that query it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli.app import LOOK, app, group
from xeval.cli.messages import say
from xeval.cli.options import (
    DEFAULT_STORE,
    DataOption,
    Json,
    Limit,
    Setting,
    StoreArgument,
    StoreOption,
    check_parquet,
    settings_of,
)

if TYPE_CHECKING:
    from xeval.interop.writers import Answer

export = group(
    "export",
    LOOK,
    "Write what a store holds in the formats of other programs, or query it.\n\n"
    "Example: `xeval export csv results -o scores.csv`",
)

ScoresArgument = Annotated[Path, typer.Argument(help="A store, or a CSV or Parquet file of tidy scores.")]
CheckpointOption = Annotated[str, typer.Option(help="Name of the only checkpoint to export.")]


@export.command(name="xtreme")
def export_xtreme(
    store: StoreArgument = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("submission"),
    checkpoint: CheckpointOption = "",
    limit: Limit = None,
    setting: Setting = None,
    data: DataOption = None,
) -> None:
    """Write predictions in XTREME's submission layout, a folder per checkpoint.

    Tatoeba is written in the order of XTREME's sorted English sentences, which takes --data.

    Example: `xeval export xtreme results -o submission`
    """
    from xeval.interop import submission

    exported = submission.export_xtreme(
        store, out, checkpoint=checkpoint, limit=limit, settings=settings_of(setting), data=data
    )
    for reason in exported.skipped:
        say(f"skipped {reason}")
    say(f"wrote {len(exported.files)} files below {out}")
    raise typer.Exit(0 if exported.files and not exported.failed else 1)


@export.command(name="csv")
def export_csv(
    store: StoreArgument = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("scores.csv"),
    limit: Limit = None,
    setting: Setting = None,
) -> None:
    """Write tidy scores as CSV: a row per run, language, item and metric, as `xeval report` reads them.

    Example: `xeval export csv results -o scores.csv`
    """
    from xeval.interop import writers as exports

    say(f"wrote {exports.export_table(store, out, 'csv', limit, settings_of(setting)):,} rows to {out}")


@export.command(name="parquet")
def export_parquet(
    store: StoreArgument = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("scores.parquet"),
    limit: Limit = None,
    setting: Setting = None,
) -> None:
    """Write tidy scores as one Parquet file, as `xeval report` reads them.

    Example: `xeval export parquet results -o scores.parquet`
    """
    from xeval.interop import writers as exports

    say(f"wrote {exports.export_table(store, out, 'parquet', limit, settings_of(setting)):,} rows to {out}")


@export.command(name="latex")
def export_latex(
    source: ScoresArgument = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("scores.tex"),
    limit: Limit = None,
    setting: Setting = None,
) -> None:
    """Write scores with their intervals as LaTeX tables (booktabs), tasks by languages, one per condition.

    Example: `xeval export latex results -o scores.tex`
    """
    from xeval.interop import writers as exports

    say(
        f"wrote {exports.export_latex(source, out, limit=limit, settings=settings_of(setting))} tables to {out}"
    )


@export.command(name="eee")
def export_eee(
    store: StoreArgument = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("every-eval-ever"),
    organization: Annotated[str, typer.Option(help="Who provides the results.")] = "unknown",
    relationship: Annotated[
        str,
        typer.Option(
            help="Of you to the model's developer: first_party, third_party, collaborative or other."
        ),
    ] = "other",
    checkpoint: CheckpointOption = "",
    limit: Limit = None,
    setting: Setting = None,
) -> None:
    """Write a record per checkpoint in the Every Eval Ever schema (0.3.0), in the layout of its data store.

    Example: `xeval export eee results -o every-eval-ever --organization "My Lab"`
    """
    from xeval.interop import writers as exports

    written = exports.export_records(
        store,
        out,
        organization=organization,
        relationship=relationship,
        checkpoint=checkpoint,
        limit=limit,
        settings=settings_of(setting),
    )
    say(f"wrote {len(written)} records below {out}")


@export.command(name="model-card")
def export_model_card(
    store: StoreArgument = DEFAULT_STORE,
    checkpoint: Annotated[
        str, typer.Option(help="Name of the checkpoint; needed where there are several.")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the model in its card; empty: the checkpoint's.")] = "",
    readme: Annotated[
        Path | None, typer.Option(help="README.md to put it into, between marked lines; else it is printed.")
    ] = None,
    limit: Limit = None,
    setting: Setting = None,
) -> None:
    """Print a checkpoint's scores as the model-index of a Hugging Face model card, or put them into one.

    Example: `xeval export model-card results --checkpoint paws-squad --readme README.md`
    """
    from xeval.interop import writers as exports

    block = exports.model_index(store, checkpoint, limit=limit, settings=settings_of(setting), name=name)
    if readme is None:
        sys.stdout.write(block)
        return
    exports.write_model_index(readme, block)
    say(f"wrote the model-index of {readme}")


@export.command(name="depth")
def export_depth(
    store: StoreArgument = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.")] = Path("depth.parquet"),
    hard_as_multi_hop: Annotated[
        bool, typer.Option("--hard-as-multi-hop", help="Put hard items in the group multi-hop QA.")
    ] = False,
    limit: Limit = None,
) -> None:
    """Write tidy scores of question answering with easy and hard items apart, see `xeval show --depth`.

    Example: `xeval export depth results -o split.parquet --hard-as-multi-hop`
    """
    check_parquet(out)
    write_depth(store, out, limit, hard_as_multi_hop=hard_as_multi_hop)


def write_depth(store: Path, out: Path, limit: int | None, *, hard_as_multi_hop: bool) -> None:
    """Write tidy scores with easy and hard items apart, and say what to do with them."""
    from xeval.tasks.depth import split_by_depth

    split_by_depth(store, limit, hard_as_multi_hop=hard_as_multi_hop).to_parquet(out, index=False)
    say(f"wrote {out}; analyse it with: xeval report {out}")


@export.command(name="sql")
def export_sql(
    store: StoreArgument,
    statement: Annotated[str, typer.Argument(help="One SELECT over the tables scores and units.")],
    limit: Limit = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Query a store with SQL (the package duckdb); nothing is written. CSV when piped.

    `scores`: condition, target, group, seed, lang, item_id, cluster_id, hops, category, prediction, metric, main, num,
    den, ... `units`: a row per checkpoint, task and language, with score, items, settings, lineage.

    Example: `xeval export sql results "select name, target, avg(score) from units group by all"`
    """
    from xeval.console import display
    from xeval.interop import writers as exports

    answer = exports.query(store, statement, limit, settings_of(setting))
    if as_json:
        display.print_json(answer.to_json())
    elif sys.stdout.isatty():
        _print_table(answer)
    else:
        _print_csv(answer)


@app.command(hidden=True)
def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT over the tables scores and units.")],
    store: StoreOption = DEFAULT_STORE,
    limit: Limit = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """As `export sql`.

    Example: `xeval export sql results "select name, target, avg(score) from units group by all"`
    """
    export_sql(store, statement, limit, setting, as_json)


def _print_table(answer: "Answer") -> None:
    from xeval.console import display

    kinds = [{type(value) for value in column} - {type(None)} for column in zip(*answer.rows, strict=True)]
    texts = [number for number, kind in enumerate(kinds) if not kind <= {int, float}]
    rows = [["" if value is None else _text(value) for value in row] for row in answer.rows]
    display.print_table(display.table(None, answer.columns, rows, right=max(texts, default=-1) + 1))
    display.print_text(f"{len(rows):,} rows", style="dim")


def _print_csv(answer: "Answer") -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
