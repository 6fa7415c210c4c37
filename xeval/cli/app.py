"""The application that commands register with, and its entry point."""

import os
import sys
from typing import Annotated

import typer

from xeval.cli.messages import warn
from xeval.errors import UsageError, XevalError

app = typer.Typer(
    name="xeval",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Does English intermediate-task training help zero-shot cross-lingual transfer, and does the help "
    "shrink when the target task needs multi-hop reasoning? Evaluates stored checkpoints and says so with "
    "honest intervals.\n\nFirst time here? `xeval demo` runs a small study from checkpoint to report.",
)

EVALUATE, LOOK, TRAIN = "Evaluate checkpoints", "Look at results", "Make checkpoints"


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from xeval import __version__

        typer.echo(f"xeval {__version__}")
        raise typer.Exit(0)


def main() -> None:
    """Entry point: errors a user can act on are one sentence on standard error."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except UsageError as error:
        warn(str(error))
        sys.exit(2)
    except XevalError as error:
        warn(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        warn("stopped; what is finished is kept, the same command goes on from there.")
        sys.exit(130)
