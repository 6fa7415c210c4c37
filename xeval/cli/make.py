"""Commands that train the phases of a study and run whole studies."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from xeval.cli.app import EVALUATE, TRAIN, app
from xeval.errors import UsageError

WHERE = "Where to train"


@app.command(name="train", rich_help_panel=TRAIN)
def train_command(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the study.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the phases, their time and disk; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: JSON instead of a table.")] = False,
    save_dtype: Annotated[
        str, typer.Option(help="bfloat16 halves the disk that weights take; empty: as the study file says.")
    ] = "",
    gpus: Annotated[
        str,
        typer.Option(
            help="`all`, a number, or numbers joined by commas: one process a GPU, which share out the nodes.",
            rich_help_panel=WHERE,
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=0, help="The same on a CPU: so many processes.", rich_help_panel=WHERE)
    ] = 0,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that train one node together.", rich_help_panel=WHERE)
    ] = 1,
    engine: Annotated[
        str,
        typer.Option(help="local, ray or slurm (needs the package ray, or submitit).", rich_help_panel=WHERE),
    ] = "local",
    ray: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of a Ray task: num_gpus, num_cpus.", rich_help_panel=WHERE),
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Any long option of sbatch; time in minutes.",
            rich_help_panel=WHERE,
        ),
    ] = None,
) -> None:
    """Train the phases of a study: base, intermediate, target, for every condition and seed.

    Example: `xeval train study.toml --gpus all`
    """
    from xeval import study as studies
    from xeval.train.engines import EngineOptions

    if as_json and not dry_run:
        raise UsageError("--json shows a plan; add --dry-run.")
    if save_dtype not in ("", "bfloat16"):
        raise UsageError(f"--save-dtype {save_dtype}: give bfloat16, or leave it out for float32.")
    options = EngineOptions(engine, gpus, workers, processes, _pairs("ray", ray), _pairs("slurm", slurm))
    dtype: Literal["bfloat16"] | None = "bfloat16" if save_dtype else None
    raise typer.Exit(studies.train(study, out, options, save_dtype=dtype, dry_run=dry_run, as_json=as_json))


def _pairs(option: str, given: list[str] | None) -> dict[str, str | bool]:
    """Settings by name; one without a value is True."""
    pairs: dict[str, str | bool] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not name or name.startswith("-") or (equals and not value):
            raise UsageError(f"--{option} {text}: give KEY=VALUE, without dashes before the key.")
        pairs[name] = value if equals else True
    return pairs


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


@app.command(rich_help_panel=EVALUATE)
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.")] = Path("demo"),
) -> None:
    """Run a small study on built-in weights and data: no hub, no account, no GPU needed.

    Example: `xeval demo`
    """
    from xeval import study as studies

    raise typer.Exit(studies.run_demo(out))
