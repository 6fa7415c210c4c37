"""What people see while something runs: rich on a terminal, plain lines elsewhere, nothing but JSON on request."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

PLAIN_WIDTH = 160
BARS = "▁▂▃▄▅▆▇█"
SHARE_TO_JUDGE_BY = 0.05  # of the work, before a time left is more than a guess


def console(stderr: bool = False) -> Console:
    """A console that keeps whole lines when piped and respects NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False)


def print_json(value: Any) -> None:
    """Machine-readable output on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]], right: int = 99) -> Table:
    """A rich table; columns from number ``right`` on are aligned to the right."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number >= right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def sparkline(values: Sequence[float]) -> str:
    """A bar per value, from the lowest to the highest of them."""
    low, high = min(values), max(values)
    steps = [round((len(BARS) - 1) * (value - low) / (high - low)) if high > low else 0 for value in values]
    return "".join(BARS[step] for step in steps)


def duration(seconds: float) -> str:
    """A time for people: 41 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Steps:
    """A row of steps with a live bar, the step under way, and the time left; plain lines when piped.

    Args:
        title: what the steps are of.
        total: number of steps, in any unit that grows with the time they take.
    """

    def __init__(self, title: str, total: float, quiet: bool = False) -> None:
        self._title, self._total, self._quiet = title, total, quiet
        self._console = console(stderr=True)
        self._live = self._console.is_terminal and not quiet
        self._begun = time.monotonic()
        self._done = 0.0
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    def __enter__(self) -> "Steps":
        if self._live:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
                TextColumn("[dim]{task.fields[now]}"),
                console=self._console,
            )
            self._progress.start()
            self._bar = self._progress.add_task(self._title, total=self._total, now="")
        elif not self._quiet:
            self._console.print(f"{self._title}: started")
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
        elif not self._quiet:
            self._console.print(f"{self._title}: ended after {duration(time.monotonic() - self._begun)}")

    def now(self, text: str) -> None:
        """Say what is under way (live display only)."""
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, now=text)

    def advance(self, amount: float) -> None:
        """Some of the total is done."""
        self._done += amount
        if self._progress is not None and self._bar is not None:
            self._progress.advance(self._bar, amount)

    def say(self, text: str) -> None:
        """A lasting line: above the bar on a terminal, with the time left when piped."""
        if self._quiet:
            return
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)
            return
        share = self._done / self._total if self._total else 0.0
        suffix = ""
        if share >= SHARE_TO_JUDGE_BY:
            left = (time.monotonic() - self._begun) * (1 - share) / share
            suffix = f"  [{share:.0%}, {duration(max(0.0, left))} left]"
        self._console.print(text + suffix, markup=False)


@contextmanager
def spinner(text: str, quiet: bool = False) -> Iterator[None]:
    """Say that something of unknown length is under way."""
    target = console(stderr=True)
    if quiet or not target.is_terminal:
        if not quiet:
            target.print(text)
        yield
        return
    with target.status(text):
        yield


__all__ = ["Steps", "console", "duration", "print_json", "sparkline", "spinner", "table"]
