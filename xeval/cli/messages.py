"""What a command says on standard error."""

from typing import Any


def say(text: str) -> None:
    from xeval.display import console

    console(stderr=True).print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    from xeval.display import console

    console(stderr=True).print(f"[bold red]xeval:[/] {_escape(text)}", soft_wrap=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def print_problems(problems: Any) -> None:
    for problem in problems:
        if problem.fatal:
            warn(
                problem.reason
                if problem.subject in problem.reason
                else f"{problem.subject}: {problem.reason}"
            )
    skipped = [problem for problem in problems if not problem.fatal]
    if skipped:
        names = ", ".join(problem.subject for problem in skipped)
        say(f"data are missing for some or all languages of {names} (name the tasks to see why)")
