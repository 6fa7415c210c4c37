"""Commands about files of predictions in the layout of XTREME's submissions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli.app import LOOK, app
from xeval.cli.messages import say, warn
from xeval.cli.options import DataOption, Json, LanguagesOption, Limit, split

if TYPE_CHECKING:
    from xeval.submission import SubmissionScores

export = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Write what a store holds in the formats of other projects.\n\nExample: `xeval export xtreme results`",
)
app.add_typer(export, name="export", rich_help_panel=LOOK)


@app.command(rich_help_panel=LOOK)
def score(
    predictions: Annotated[Path, typer.Argument(help="Folder with TASK/test-LANGUAGE.tsv, .json or .jsonl.")],
    labels: Annotated[Path, typer.Argument(help="Folder with the true labels in files of the same names.")],
    tasks: Annotated[
        str, typer.Option("--tasks", "-t", help="Task names joined by commas; empty: all in PREDICTIONS.")
    ] = "",
    languages: LanguagesOption = "",
    xtreme_r: Annotated[
        bool, typer.Option("--xtreme-r", help="Average over XTREME-R's languages, not XTREME's.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score prediction files in XTREME's submission layout; no model is needed.

    Example: `xeval score submission/my-model labels --tasks xnli,xquad`
    """
    from xeval.display import print_json
    from xeval.submission import score_submission

    scored = score_submission(
        predictions, labels, tasks=split(tasks), languages=split(languages), xtreme_r=xtreme_r
    )
    if as_json:
        print_json(scored.to_json())
    else:
        _print_scores(scored)
    for warning in scored.warnings:
        warn(warning)


@export.command(name="xtreme")
def export_xtreme(
    store: Annotated[Path, typer.Argument(help="Folder that keeps the results.")] = Path("xeval-store"),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("submission"),
    checkpoint: Annotated[str, typer.Option(help="Name of the only checkpoint to export.")] = "",
    limit: Limit = None,
    data: DataOption = None,
) -> None:
    """Write predictions in XTREME's submission layout, a folder per checkpoint.

    Tatoeba is written in the order of XTREME's sorted English sentences, which takes --data.

    Example: `xeval export xtreme results -o submission`
    """
    from xeval import submission

    exported = submission.export_xtreme(store, out, checkpoint=checkpoint, limit=limit, data=data)
    for reason in exported.skipped:
        say(f"skipped {reason}")
    say(f"wrote {len(exported.files)} files below {out}")
    raise typer.Exit(0 if exported.files else 1)


def _print_scores(scored: "SubmissionScores") -> None:
    from xeval.display import console
    from xeval.submission.tables import averages_table, language_table

    out = console()
    out.print(language_table(scored))
    out.print()
    out.print(averages_table(scored))
    out.print()
    for task, signatures in scored.signatures().items():
        for metric, signature in signatures.items():
            out.print(
                f"{task} {metric}: {signature}", style="dim", markup=False, highlight=False, soft_wrap=True
            )
