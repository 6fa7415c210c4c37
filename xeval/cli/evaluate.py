"""Commands about checkpoints and their evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xeval.cli.app import EVALUATE, app
from xeval.cli.messages import print_problems, say, warn
from xeval.cli.options import (
    Budget,
    Checkpoints,
    Evaluation,
    Json,
    OwnTasks,
    Retrieval,
    TasksFrom,
    grouped,
)
from xeval.conditions import BASELINE, MIXED, training_sets
from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.tasks.mining import Work


@app.command(rich_help_panel=EVALUATE)
@grouped
def run(
    asked: Evaluation, retrieval: Retrieval, own: OwnTasks, token_budget: Budget = 0, as_json: Json = False
) -> None:
    """Evaluate checkpoints; what the store already holds is not computed again.

    Example: `xeval run runs/ --data data/ --tasks xnli,xquad --store results`

    A task of your own needs one file, JSON lines for instance, with `lang` and, by `--kind`, these fields in every
    row (`id`, `cluster`, `hops` and `category` may be added):

    - classification: `first`, `second` (may be left out), `label`
    - choice: `context`, `choices` (a list), `label` (number of the right one, from 0)
    - tagging: `words`, `tags` (lists)
    - span_qa: `question`, `context`, `answers` (a list of texts, or of objects with `text` and `start`)
    - retrieval: `source`, `target` (its English translation)

    Without `--tasks`, that task alone is run:
    `xeval run runs/ --task-file my-nli.jsonl --kind classification --trained-on mnli`
    """
    from xeval.console.display import Steps, print_json
    from xeval.evaluation import runner

    options = asked.options(retrieval, token_budget)
    _, store, planned = asked.plan(options, own)
    left = planned.count("todo") + planned.count("copy")
    with Steps("evaluate", left, quiet=as_json, pieces=left) as steps:
        outcome = runner.run(planned, store, options, runner.StepWatcher(steps))
    if as_json:
        problems = [vars(problem) for problem in outcome.problems]
        print_json({"done": outcome.done, "reused": outcome.reused, "problems": problems})
    else:
        print_problems(outcome.problems)
        say(f"{outcome.done} units computed, {outcome.reused} already in the store {store.root}")
        if outcome.done or outcome.reused:
            limit = f" --limit {asked.limit}" if asked.limit else ""
            say(f"look at them with: xeval show {store.root}{limit}")
    raise typer.Exit(0 if outcome.ok else 1)


@app.command(rich_help_panel=EVALUATE)
@grouped
def plan(
    asked: Evaluation,
    retrieval: Retrieval,
    own: OwnTasks,
    explain: Annotated[bool, typer.Option("--explain", help="Say for every unit why.")] = False,
    as_json: Json = False,
) -> None:
    """Show what `run` would compute, and with --explain why.

    Example: `xeval plan runs/ --data data/ --tasks xnli --explain`
    """
    from dataclasses import asdict

    from xeval.console import display
    from xeval.evaluation import runner
    from xeval.tasks.embedding import describe_recipe

    options = asked.options(retrieval)
    chosen, store, planned = asked.plan(options, own)
    known = runner.stored(store, options.limit) if explain else {}
    rows: list[dict[str, Any]] = [
        {
            "checkpoint": unit.checkpoint.name,
            "task": unit.task.name,
            "language": unit.language,
            "status": unit.status,
            "fingerprint": unit.fingerprint,
            "recipe": describe_recipe(unit.settings),
            "settings": unit.settings,
            **({"why": runner.explain(unit, known)} if explain else {}),
        }
        for unit in planned.units
    ]
    work = runner.mining_work(planned, options)
    if as_json:
        problems = [vars(problem) for problem in planned.problems]
        estimates = {unit.name: asdict(estimate) for unit, estimate in work}
        display.print_json({"units": rows, "problems": problems, "work": estimates})
        raise typer.Exit(0 if planned.ok else 1)
    if explain:
        columns = ("checkpoint", "task", "language", "status", "why")
        display.print_table(display.table(None, columns, [[row[c] for c in columns] for row in rows]))
    else:
        counted: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            counted.setdefault((row["checkpoint"], row["task"]), []).append(row["status"])
        display.print_table(
            display.table(
                None,
                ("checkpoint", "task", "units", "stored", "to do"),
                [
                    [*key, str(len(s)), str(s.count("done")), str(len(s) - s.count("done"))]
                    for key, s in counted.items()
                ],
                right=2,
            )
        )
    print_problems(planned.problems)
    for name, described in dict.fromkeys((row["task"], row["recipe"]) for row in rows if row["recipe"]):
        say(f"{name}: recipe {described}")
    for unit, estimate in work:
        say(_work_line(unit.name, estimate))
    say(
        f"{len(rows)} units of {len(chosen)} tasks: {planned.count('done')} stored, "
        f"{planned.count('copy')} to copy, {planned.count('todo')} to compute"
    )
    raise typer.Exit(0 if planned.ok else 1)


def _work_line(name: str, work: "Work") -> str:
    from xeval.console.display import duration

    search = work.search[-1]
    seconds = sum(part.seconds for part in work.search)
    return (
        f"{name}: {work.source:,} x {work.target:,} sentences; {search.index} search {search.operations:.1e} "
        f"operations, about {duration(seconds)} with dev; encoder {work.embedding_operations:.1e} "
        f"operations, {duration(work.embedding_seconds)} at the least; memory {search.bytes / 1e9:.1f} GB and "
        f"{work.disk / 1e9:.1f} GB of files beside the model"
    )


@app.command(name="ls", rich_help_panel=EVALUATE)
def list_checkpoints(root: Checkpoints, as_json: Json = False) -> None:
    """Show the tree of checkpoints: lineage, model, what each can do, and what is wrong with broken ones.

    Example: `xeval ls runs/`
    """
    from xeval.checkpoints import Checkpoint
    from xeval.console import display
    from xeval.evaluation.runner import suited_tasks
    from xeval.tasks import all_tasks
    from xeval.train.lineage import lineage_tree, show_tree

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


@app.command(rich_help_panel=EVALUATE)
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

    Example: `xeval card runs/xnli-s1 --phase target --base xlm-roberta-large --target mnli --seed 1`
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


@app.command(name="tasks", rich_help_panel=EVALUATE)
def list_tasks(tasks_from: TasksFrom = None, as_json: Json = False) -> None:
    """List the tasks: kind, group, number of languages, metrics, training set, licence; --json names the languages.

    Example: `xeval tasks`
    """
    from xeval.console import display
    from xeval.tasks import add_tasks_from, all_tasks

    if tasks_from is not None:
        add_tasks_from(tasks_from)
    rows: list[dict[str, Any]] = [
        {
            "task": task.name,
            "kind": task.kind.name,
            "group": task.group,
            "metrics": list(task.metrics),
            "training": task.training,
            "languages": list(task.languages),
            "licence": task.licence,
        }
        for task in all_tasks().values()
    ]
    if as_json:
        display.print_json(rows)
        return
    columns = ("task", "kind", "group", "languages", "metrics", "training", "licence")
    cells = [
        [
            str(len(row["languages"]))
            if c == "languages"
            else " ".join(row[c])
            if c == "metrics"
            else row[c] or ""
            for c in columns
        ]
        for row in rows
    ]
    display.print_table(display.table(None, columns, cells))
