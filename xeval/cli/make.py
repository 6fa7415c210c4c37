"""Commands that make checkpoints and run whole studies."""

from pathlib import Path
from typing import Annotated

import typer

from xeval.cli.app import TRAIN, app
from xeval.cli.messages import say
from xeval.cli.options import read_lines


@app.command(rich_help_panel=TRAIN)
def base(
    name: Annotated[str, typer.Argument(help="e5-small (built in), a hub name, or a local directory.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
    layers: Annotated[int | None, typer.Option(min=1, help="Keep only the first N layers.")] = None,
    trim_to: Annotated[
        list[Path] | None, typer.Option(help="Keep only the vocabulary of these text files (exact on them).")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of the hub repository.")] = None,
) -> None:
    """Make a base checkpoint from the built-in weights, the hub, or a directory.

    Example: `xeval base e5-small --out base/e5-small`
    """
    from train.base import make_base
    from xeval.display import spinner

    with spinner(f"making the base checkpoint {name}"):
        path = make_base(name, out, layers=layers, vocabulary=read_lines(trim_to), revision=revision)
    say(f"wrote {path}")


@app.command(name="train", rich_help_panel=TRAIN)
def train_command(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the study.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the phases, train nothing.")] = False,
) -> None:
    """Train the phases of a study: base, intermediate, target, for every condition and seed.

    Example: `xeval train study.toml --dry-run`
    """
    from xeval import study as studies

    raise typer.Exit(studies.train(study, out, dry_run=dry_run))


@app.command(name="study", rich_help_panel=TRAIN)
def study_command(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the study.")] = None,
) -> None:
    """Run a whole study: train, evaluate, analyse, report. Stop it at any time and call it again.

    Example: `xeval study study.toml --out my-study`
    """
    from xeval import study as studies

    raise typer.Exit(studies.run_study(study, out))


@app.command(rich_help_panel=TRAIN)
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.")] = Path("demo"),
) -> None:
    """Run a small study on built-in weights and data: no hub, no account, no GPU needed.

    Example: `xeval demo`
    """
    from xeval import study as studies

    raise typer.Exit(studies.run_demo(out))
