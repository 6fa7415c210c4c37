"""The command that scores files of predictions in the layout of XTREME's submissions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xeval.cli.app import EVALUATE, app
from xeval.cli.messages import warn
from xeval.cli.options import Json, LanguagesOption, split

if TYPE_CHECKING:
    from xeval.interop.submission import SubmissionScores


@app.command(rich_help_panel=EVALUATE)
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
    from xeval.console.display import print_json
    from xeval.interop.submission import score_submission

    scored = score_submission(
        predictions, labels, tasks=split(tasks), languages=split(languages), xtreme_r=xtreme_r
    )
    if as_json:
        print_json(scored.to_json())
    else:
        _print_scores(scored)
    for warning in scored.warnings:
        warn(warning)


def _print_scores(scored: "SubmissionScores") -> None:
    from xeval.console.display import console
    from xeval.console.submission_scores import averages_table, language_table

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
