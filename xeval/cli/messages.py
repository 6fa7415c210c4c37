"""What a command says on standard error."""

from typing import Any


def say(text: str) -> None:
    from xeval.console.display import print_text

    print_text(text, stderr=True)


def warn(text: str) -> None:
    from xeval.console.display import print_text

    print_text(text, lead="xeval:", stderr=True)


def print_problems(problems: Any) -> None:
    """Failures with their reasons, then what was left out, and what is to be read with the scores."""
    from xeval.evaluation.plan import problem_lines

    for failed, line in problem_lines(problems):
        (warn if failed else say)(line)
