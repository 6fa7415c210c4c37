"""Commands about checkpoints: what there is, where each comes from, and bases to start from."""

from pathlib import Path
from typing import Annotated

import typer

from xeval.cli.app import EVALUATE, app, group
from xeval.cli.messages import say, warn
from xeval.cli.options import BasesOption, Checkpoints, Json, name_bases
from xeval.conditions import BASELINE, MIXED, training_sets
from xeval.errors import UsageError

checkpoints = group(
    "checkpoints",
    EVALUATE,
    "Checkpoints: list them, say where one comes from, make a base.\n\nExample: `xeval checkpoints ls runs/`",
)


@checkpoints.command(name="ls")
@app.command(name="ls", hidden=True)
def list_checkpoints(root: Checkpoints, base: BasesOption = None, as_json: Json = False) -> None:
    """Show the tree of checkpoints: lineage, model, what each can do, and what is wrong with broken ones.

    Example: `xeval checkpoints ls runs/`
    """
    from xeval.checkpoints import Checkpoint
    from xeval.console import display
    from xeval.console.lineage import show_tree
    from xeval.evaluation.plan import suited_tasks
    from xeval.tasks import all_tasks
    from xeval.train.lineage import lineage_tree

    name_bases(base)

    def able(checkpoint: Checkpoint) -> list[str]:
        return [task.name for task in suited_tasks(checkpoint, all_tasks().values())[0]]

    branches = lineage_tree(root, able)
    if as_json:
        display.print_json([branch.to_json() for branch in branches])
    else:
        screen = display.console()
        screen.print(show_tree(branches, screen.width))
        for branch in branches:
            if branch.problem:
                warn(f"{branch.name}: {branch.problem}")
            elif branch.state == "left out":
                say(f"left out: {branch.name}: {branch.note}")
    raise typer.Exit(1 if any(branch.problem for branch in branches) else 0)


@checkpoints.command()
@app.command(hidden=True)
def card(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint's directory.")],
    phase: Annotated[str, typer.Option(help="base, intermediate or target.")],
    base: Annotated[str, typer.Option(help="Name of the pretrained encoder.")],
    condition: Annotated[str, typer.Option(help="Intermediate tasks joined by +, or none.")] = BASELINE,
    target: Annotated[str | None, typer.Option(help="English training set of the target phase.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of the run.")] = None,
    new_names: Annotated[
        bool, typer.Option("--new-names", help="Take names of training sets that are not known here.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a card that says how the checkpoint was trained.")
    ] = False,
) -> None:
    """Write a lineage card beside a checkpoint that was trained elsewhere.

    Example: `xeval checkpoints card runs/xnli-s1 --phase target --base xlm-roberta-large --target mnli --seed 1`
    """
    from pydantic import ValidationError

    from xeval.checkpoints import Checkpoint, Lineage
    from xeval.errors import CheckpointError
    from xeval.train.intermediates import check_names

    found = Checkpoint(checkpoint, checkpoint.name)
    found.check(card=False)
    try:
        lineage = Lineage.model_validate(
            {
                "phase": phase,
                "base": base,
                "condition": condition,
                "target": target,
                "seed": seed,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]}: {first['msg']}.") from error
    if not base.strip():
        raise UsageError("--base is empty; give the name of the pretrained encoder.")
    if phase == "target" and not target:
        raise UsageError("a target-phase card needs --target, the name of the English training set.")
    if phase != "target" and target is not None:
        raise UsageError(f"--target is for the target phase, not for {phase}; drop it.")
    if phase == "intermediate" and condition == BASELINE:
        raise UsageError(
            "a card of the intermediate phase needs --condition, the sets that it was trained on."
        )
    if phase == "base" and condition != BASELINE:
        raise UsageError("a base has no --condition; drop it, or name another phase.")
    if not new_names:
        try:
            check_names(condition, target)
        except UsageError as error:
            raise UsageError(f"{error} For a set of your own add --new-names.") from error
    elif any(
        not name or name != name.strip() for name in training_sets(MIXED.join([condition, target or "x"]))
    ):
        raise UsageError(
            f"--condition {condition!r}: names are joined by + or > without blanks; put it right."
        )
    try:
        before = found.lineage
    except CheckpointError:
        before = None  # it is damaged, and a new one is the remedy
    if before is not None and (before.data or before.recipe or before.history) and not force:
        raise UsageError(
            f"{checkpoint}: its card says how it was trained (phase {before.phase}, condition {before.condition}); "
            "to lose that for good add --force."
        )
    lineage.weights = found.weights_digest
    say(f"wrote {lineage.write(checkpoint)}")


@checkpoints.command()
@app.command(hidden=True)
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

    Example: `xeval checkpoints base e5-small --out base/e5-small`
    """
    from xeval.console.display import spinner
    from xeval.train.base import make_base

    with spinner(f"making the base checkpoint {name}"):
        path = make_base(name, out, layers=layers, vocabulary=_lines(trim_to), revision=revision)
    say(f"wrote {path}")


def _lines(paths: list[Path] | None) -> list[str] | None:
    if not paths:
        return None
    lines: list[str] = []
    for path in paths:
        try:
            lines.extend(path.read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--trim-to {path}: cannot be read as UTF-8 text ({error}).") from error
    return lines
