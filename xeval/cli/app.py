"""The application that commands register with, and its entry point."""

import io
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xeval.cli.messages import say, warn
from xeval.errors import UsageError, XevalError, remarks_to

INTERRUPTED = 128 + signal.SIGINT
STOPPED = "stopped; what is finished is kept, the same command goes on from there."
EVALUATE, LOOK, TRAIN = "Evaluate checkpoints", "Look at results", "Make checkpoints"


ORDER = "demo run checkpoints data mine score show compare report export study train power doctor".split()


class _InOrder(TyperGroup):
    """Lists the commands in the order of the work, whatever order they register in; former names are not listed."""

    def list_commands(self, ctx: Any) -> list[str]:
        shown = [name for name in super().list_commands(ctx) if not self.commands[name].hidden]
        return sorted(shown, key=ORDER.index)


app = typer.Typer(
    name="xeval",
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Does English intermediate-task training help zero-shot cross-lingual transfer, and does the help "
    "shrink when the target task needs multi-hop reasoning? Evaluates stored checkpoints and says so with "
    "honest intervals.\n\nFirst time here? `xeval demo` runs a small study from checkpoint to report.",
)


def group(name: str, panel: str, text: str) -> typer.Typer:
    """A new group of commands below ``xeval NAME``."""
    made = typer.Typer(
        no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}, help=text
    )
    app.add_typer(made, name=name, rich_help_panel=panel)
    return made


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal without UTF-8 gets question marks, not a traceback
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with remarks_to(say):
            try:
                app()
            finally:
                sys.stdout.flush()
    except UsageError as error:
        warn(str(error))
        sys.exit(2)
    except XevalError as error:
        warn(str(error))
        sys.exit(1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer
        if not isinstance(error, BrokenPipeError):  # else the reader, such as head, has seen enough
            where = f"{error.filename}: " if error.filename else ""
            warn(f"{where}{error.strerror or error}; put it right and give the same command again.")
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer has made this of a KeyboardInterrupt
            warn(STOPPED)
        raise
    except KeyboardInterrupt:  # outside of the command: while modules are imported, or the last bytes written
        warn(STOPPED)
        sys.exit(INTERRUPTED)
    except _Terminated:
        warn(STOPPED)
        sys.exit(128 + signal.SIGTERM)
    except BaseException as error:  # what nobody foresaw is a sentence too, and its traceback goes to a file
        from xeval.digests import cache_root
        from xeval.failures import explained, is_failure

        if not is_failure(error):
            raise
        warn(explained(error, cache_root(), " ".join(sys.argv[1:2])))
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(BaseException):
    """A request to end, taken as calmly as Ctrl-C: locks are freed and the terminal gets its cursor back."""


def _terminate(*_: object) -> None:
    raise _Terminated
