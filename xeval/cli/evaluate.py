"""The command that evaluates checkpoints."""

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from xeval.cli.app import EVALUATE, app
from xeval.cli.messages import print_problems, say
from xeval.cli.options import (
    Budget,
    Evaluation,
    Json,
    OwnTasks,
    Retrieval,
    grouped,
)
from xeval.errors import UsageError

Explain = Annotated[bool, typer.Option("--explain", help="With --dry-run: say for every unit why.")]

if TYPE_CHECKING:
    from xeval.tasks.mining import Work


@app.command(rich_help_panel=EVALUATE)
@grouped
def run(
    asked: Evaluation,
    retrieval: Retrieval,
    own: OwnTasks,
    token_budget: Budget = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be computed, and compute nothing.")
    ] = False,
    explain: Explain = False,
    as_json: Json = False,
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
    if dry_run:
        _show_plan(asked, retrieval, own, explain=explain, as_json=as_json)
    if explain:
        raise UsageError("--explain says why a unit would be computed; add --dry-run.")
    from xeval.console.display import Steps, print_json
    from xeval.console.evaluation import EvaluationSteps
    from xeval.evaluation.run import run_units

    options = asked.options(retrieval, token_budget)
    _, store, planned = asked.plan(options, own)
    left = planned.count("todo") + planned.count("copy")
    with Steps("evaluate", left, quiet=as_json, pieces=left) as steps:
        outcome = run_units(planned, store, options, EvaluationSteps(steps))
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


@app.command(name="plan", hidden=True)
@grouped
def plan(
    asked: Evaluation, retrieval: Retrieval, own: OwnTasks, explain: Explain = False, as_json: Json = False
) -> None:
    """As `run --dry-run`.

    Example: `xeval run runs/ --data data/ --tasks xnli --dry-run --explain`
    """
    _show_plan(asked, retrieval, own, explain=explain, as_json=as_json)


def _show_plan(
    asked: Evaluation, retrieval: Retrieval, own: OwnTasks, *, explain: bool, as_json: bool
) -> NoReturn:
    """Print what a run would compute, and exit."""
    from dataclasses import asdict

    from xeval.console import display
    from xeval.evaluation.plan import estimated_work, stored
    from xeval.evaluation.plan import explain as reason
    from xeval.tasks.embedding import describe_recipe

    options = asked.options(retrieval)
    chosen, store, planned = asked.plan(options, own)
    known = stored(store, options.limit) if explain else {}
    rows: list[dict[str, Any]] = [
        {
            "checkpoint": unit.checkpoint.name,
            "task": unit.task.name,
            "language": unit.language,
            "status": unit.status,
            "fingerprint": unit.fingerprint,
            "recipe": describe_recipe(unit.settings.stored()),
            "settings": unit.settings.stored(),
            **({"why": reason(unit, known)} if explain else {}),
        }
        for unit in planned.units
    ]
    work = estimated_work(planned, options)
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
