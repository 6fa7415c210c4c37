"""What a command says on standard error."""

from typing import Any

PROBLEMS_SHOWN = 10


def say(text: str) -> None:
    from xeval.display import print_text

    print_text(text, stderr=True)


def warn(text: str) -> None:
    from xeval.display import print_text

    print_text(text, lead="xeval:", stderr=True)


def print_problems(problems: Any) -> None:
    fatal = [problem for problem in problems if problem.fatal]
    for problem in fatal[:PROBLEMS_SHOWN]:
        warn(problem.reason if problem.subject in problem.reason else f"{problem.subject}: {problem.reason}")
    if more := fatal[PROBLEMS_SHOWN:]:
        warn(f"{len(more)} more failed, from {more[0].subject} to {more[-1].subject}.")
    skipped = [problem for problem in problems if not problem.fatal]
    if skipped:
        names = ", ".join(problem.subject for problem in skipped)
        say(f"data are missing for some or all languages of {names} (name the tasks to see why)")
