"""The ``xeval`` command: one thin function per sub-command. Exit codes: 0 done, 1 something failed, 2 wrong use."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xeval.errors import UsageError, XevalError

if TYPE_CHECKING:
    from xeval.runner import Plan, RunOptions
    from xeval.store import Store
    from xeval.tasks import Task

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

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
StoreOption = Annotated[
    Path, typer.Option("--store", "-s", help="Folder that keeps the results.", envvar="XEVAL_STORE")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", help="Folder with the published data sets.", envvar="XEVAL_DATA"),
]
Checkpoints = Annotated[Path, typer.Argument(help="A checkpoint, or a folder that holds some at any depth.")]
TasksOption = Annotated[
    str, typer.Option("--tasks", "-t", help="Task names joined by commas; empty: all that fit a checkpoint.")
]
LanguagesOption = Annotated[
    str, typer.Option("--languages", "-l", help="Language codes joined by commas; empty: all of a task's.")
]
TasksFrom = Annotated[
    Path | None, typer.Option(help="Python file with task declarations of your own.", show_default=False)
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first N items of a unit; kept apart from full results.")
]
MaxLength = Annotated[int | None, typer.Option(min=8, help="Longest sequence in tokens.")]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer for retrieval; 0 is the embedding output.")]
Pooling = Annotated[
    str | None, typer.Option(help="For retrieval: mean (with special tokens), mean_no_special or cls.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N; empty: a GPU where there is one.")]
Dtype = Annotated[str, typer.Option(help="float32 or bfloat16; empty: bfloat16 on a GPU, else float32.")]
Budget = Annotated[
    int, typer.Option(min=0, help="Padded tokens per batch; 0 fits the device. Changes no score.")
]


@app.command(rich_help_panel=EVALUATE)
def run(
    checkpoints: Checkpoints,
    store: StoreOption = Path("xeval-store"),
    data: DataOption = None,
    tasks: TasksOption = "",
    languages: LanguagesOption = "",
    limit: Limit = None,
    max_length: MaxLength = None,
    layer: Layer = None,
    pooling: Pooling = None,
    device: Device = "",
    dtype: Dtype = "",
    token_budget: Budget = 0,
    tasks_from: TasksFrom = None,
    as_json: Json = False,
) -> None:
    """Evaluate checkpoints; what the store already holds is not computed again.

    Example: `xeval run runs/ --data data/ --tasks xnli,xquad --store results`
    """
    from xeval import runner
    from xeval.display import Steps, print_json

    options = _options(data, limit, max_length, layer, pooling, device, dtype, token_budget)
    _, where, planned = _plan(checkpoints, store, tasks, languages, tasks_from, options)
    with Steps("evaluate", planned.count("todo") + planned.count("copy"), quiet=as_json) as steps:
        outcome = runner.run(planned, where, options, runner.StepWatcher(steps))
    if as_json:
        problems = [vars(problem) for problem in outcome.problems]
        print_json({"done": outcome.done, "reused": outcome.reused, "problems": problems})
    else:
        _print_problems(outcome.problems)
        _say(f"{outcome.done} units computed, {outcome.reused} already in the store {store}")
        if outcome.done or outcome.reused:
            _say(f"look at them with: xeval show {store}" + (f" --limit {limit}" if limit else ""))
    raise typer.Exit(0 if outcome.ok else 1)


@app.command(rich_help_panel=EVALUATE)
def plan(
    checkpoints: Checkpoints,
    store: StoreOption = Path("xeval-store"),
    data: DataOption = None,
    tasks: TasksOption = "",
    languages: LanguagesOption = "",
    limit: Limit = None,
    max_length: MaxLength = None,
    layer: Layer = None,
    pooling: Pooling = None,
    device: Device = "",
    dtype: Dtype = "",
    tasks_from: TasksFrom = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say for every unit why.")] = False,
    as_json: Json = False,
) -> None:
    """Show what `run` would compute, and with --explain why.

    Example: `xeval plan runs/ --data data/ --tasks xnli --explain`
    """
    from xeval import display, runner

    options = _options(data, limit, max_length, layer, pooling, device, dtype, 0)
    chosen, where, planned = _plan(checkpoints, store, tasks, languages, tasks_from, options)
    rows = [
        {
            "checkpoint": unit.checkpoint.name,
            "task": unit.task.name,
            "language": unit.language,
            "status": unit.status,
            "fingerprint": unit.fingerprint,
            **({"why": runner.explain(unit, where)} if explain else {}),
        }
        for unit in planned.units
    ]
    if as_json:
        display.print_json({"units": rows, "problems": [vars(problem) for problem in planned.problems]})
        return
    out = display.console()
    if explain:
        columns = ("checkpoint", "task", "language", "status", "why")
        out.print(display.table(None, columns, [[row[c] for c in columns] for row in rows]))
    else:
        counted: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            counted.setdefault((row["checkpoint"], row["task"]), []).append(row["status"])
        out.print(
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
    _print_problems(planned.problems)
    _say(
        f"{len(rows)} units of {len(chosen)} tasks: {planned.count('done')} stored, "
        f"{planned.count('copy')} to copy, {planned.count('todo')} to compute"
    )


@app.command(rich_help_panel=LOOK)
def show(
    store: Annotated[Path, typer.Argument(help="Folder that keeps the results.")] = Path("xeval-store"),
    task: Annotated[str, typer.Option("--task", help="One task, a column per language.")] = "",
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Show scores: checkpoints by tasks, or with --task by languages.

    Example: `xeval show results --task xquad`
    """
    from xeval import display, tables

    summary = tables.summarise(store, limit)
    if as_json:
        display.print_json(summary.to_json())
    else:
        display.console().print(tables.render(summary, task))
        for reason in summary.damaged:
            _warn(reason)
    raise typer.Exit(1 if summary.damaged else 0)


@app.command(rich_help_panel=LOOK)
def report(
    source: Annotated[Path, typer.Argument(help="A store, or a CSV or Parquet file of tidy scores.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the report to.")] = Path("report"),
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Cross-lingual transfer study",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Of a store, the results on the first N items.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Analyse scores and write the report: gains, the contrast, its interval and the verdict.

    Example: `xeval report results -o report`
    """
    from xeval import study as studies

    studies.report(source, out, title=title, limit=limit, as_json=as_json)


@app.command(name="ls", rich_help_panel=EVALUATE)
def list_checkpoints(root: Checkpoints, as_json: Json = False) -> None:
    """List checkpoints with their lineage, and what is wrong with the broken ones.

    Example: `xeval ls runs/`
    """
    from xeval import display
    from xeval.checkpoints import discover

    rows: list[dict[str, Any]] = []
    for checkpoint in discover(root):
        row: dict[str, Any] = {"checkpoint": checkpoint.name}
        try:
            checkpoint.check()
            lineage = checkpoint.lineage
            row |= {"head": checkpoint.architecture, "digest": checkpoint.digest}
            if lineage is not None:
                row |= lineage.model_dump(
                    mode="json", include={"phase", "condition", "target", "seed", "base"}
                )
        except XevalError as error:
            row["problem"] = str(error)
        rows.append(row)
    if as_json:
        display.print_json(rows)
    else:
        columns = ("checkpoint", "phase", "condition", "target", "seed", "head", "digest")
        cells = [
            ["" if row.get(c) is None else str(row[c])[: 12 if c == "digest" else None] for c in columns]
            for row in rows
        ]
        display.console().print(display.table(None, columns, cells))
        for row in rows:
            if "problem" in row:
                _warn(row["problem"])
    raise typer.Exit(1 if any("problem" in row for row in rows) else 0)


@app.command(rich_help_panel=EVALUATE)
def card(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint's directory.")],
    phase: Annotated[str, typer.Option(help="base, intermediate or target.")],
    base: Annotated[str, typer.Option(help="Name of the pretrained encoder.")],
    condition: Annotated[str, typer.Option(help="Intermediate tasks joined by +, or none.")] = "none",
    target: Annotated[str | None, typer.Option(help="English training set of the target phase.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
) -> None:
    """Write a lineage card beside a checkpoint that was trained elsewhere.

    Example: `xeval card runs/xnli-s1 --phase target --base xlm-roberta-large --target mnli --seed 1`
    """
    from pydantic import ValidationError

    from xeval.checkpoints import Checkpoint, Lineage

    Checkpoint(checkpoint, checkpoint.name).check()
    try:
        lineage = Lineage.model_validate(
            {"phase": phase, "base": base, "condition": condition, "target": target, "seed": seed}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]}: {first['msg']}.") from error
    if phase == "target" and target is None:
        raise UsageError("a target-phase card needs --target, the name of the English training set.")
    _say(f"wrote {lineage.write(checkpoint)}")


@app.command(name="tasks", rich_help_panel=EVALUATE)
def list_tasks(tasks_from: TasksFrom = None, as_json: Json = False) -> None:
    """List the tasks: kind, group, metrics, languages, licence.

    Example: `xeval tasks`
    """
    from xeval import display
    from xeval.tasks import add_tasks_from, all_tasks

    if tasks_from is not None:
        add_tasks_from(tasks_from)
    rows = [
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
    cells = [
        [" ".join(v) if isinstance(v, list) else "" if v is None else str(v) for v in row.values()]
        for row in rows
    ]
    display.console().print(display.table(None, tuple(rows[0]), cells))


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
        path = make_base(name, out, layers=layers, vocabulary=_lines(trim_to), revision=revision)
    _say(f"wrote {path}")


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


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False) -> None:
    """Say what this machine offers: versions, device, memory, caches.

    Example: `xeval doctor`
    """
    from xeval import display, study

    facts = study.machine_facts()
    if as_json:
        display.print_json(facts)
    else:
        display.console().print(display.table(None, ("what", "is"), [[k, str(v)] for k, v in facts.items()]))


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
        _warn(str(error))
        sys.exit(2)
    except XevalError as error:
        _warn(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _warn("stopped; what is finished is kept, the same command goes on from there.")
        sys.exit(130)


def _options(
    data: Path | None,
    limit: int | None,
    max_length: int | None,
    layer: int | None,
    pooling: str | None,
    device: str,
    dtype: str,
    token_budget: int,
) -> "RunOptions":
    from xeval.runner import RunOptions

    if data is not None and not data.is_dir():
        raise UsageError(f"--data {data}: no such directory.")
    named = {"max_length": max_length, "layer": layer, "pooling": pooling}
    settings: dict[str, int | str] = {k: v for k, v in named.items() if v is not None}
    return RunOptions(data, settings, limit, device, dtype, token_budget)


def _plan(
    root: Path, store: Path, tasks: str, languages: str, tasks_from: Path | None, options: "RunOptions"
) -> "tuple[list[Task], Store, Plan]":
    from xeval import runner
    from xeval.checkpoints import discover
    from xeval.display import spinner
    from xeval.languages import language
    from xeval.store import Store
    from xeval.tasks import add_tasks_from, all_tasks, task

    if tasks_from is not None:
        add_tasks_from(tasks_from)
    chosen = [task(name) for name in _split(tasks)] or list(all_tasks().values())
    codes = [language(code).code for code in _split(languages)] or None
    where = Store(store)
    with spinner(f"looking at the checkpoints below {root}", quiet=True):
        found = list(discover(root))
    return chosen, where, runner.plan(found, chosen, where, options, languages=codes, named=bool(tasks))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


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


def _say(text: str) -> None:
    from xeval.display import console

    console(stderr=True).print(text, markup=False)


def _warn(text: str) -> None:
    from xeval.display import console

    console(stderr=True).print(f"[bold red]xeval:[/] {_escape(text)}")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _print_problems(problems: Any) -> None:
    for problem in problems:
        if problem.fatal:
            _warn(
                problem.reason
                if problem.subject in problem.reason
                else f"{problem.subject}: {problem.reason}"
            )
    skipped = [problem for problem in problems if not problem.fatal]
    if skipped:
        names = ", ".join(problem.subject for problem in skipped)
        _say(f"data are missing for some or all languages of {names} (name the tasks to see why)")


if __name__ == "__main__":
    main()
