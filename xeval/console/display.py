"""What people see while something runs: rich on a terminal, plain lines elsewhere, nothing but JSON on request."""

import json
import math
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 160
WIDE = 100_000  # no table breaks at it
BARS = "▁▂▃▄▅▆▇█"
SHARE_TO_JUDGE_BY = 0.05  # of the work, before a time left is more than a guess
GAP = 2  # blanks between two columns of a table
LONGEST_PIECE = 24  # of a text that has no place to break at
SEPARATORS = " /-+,·="
BAR_WIDTH = 20
REFRESHED = 4  # times a second


def console(stderr: bool = False) -> Console:
    """A console that respects NO_COLOR and is PLAIN_WIDTH wide when piped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False)


def print_json(value: Any) -> None:
    """Machine-readable output on standard output; a number that is none (0/0) is null, as JSON knows no other word."""
    sys.stdout.write(json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def print_table(shown: Table) -> None:
    """Print a table on standard output: fitted to a terminal, each row on one line when piped."""
    screen = console()
    if screen.is_terminal:
        screen.print(shown)
        return
    screen.width = WIDE
    with screen.capture() as captured:
        screen.print(shown)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_text(text: str, style: str = "", *, lead: str = "", stderr: bool = False) -> None:
    """A sentence, after ``lead`` in red: broken between words on a terminal, where a long path stays whole; one line
    when piped."""
    _print(console(stderr), text, style, lead)


def _print(screen: Console, text: str, style: str = "", lead: str = "") -> None:
    lines = (f"{lead} {text}" if lead else text).split("\n")
    if screen.is_terminal:
        broken = [
            textwrap.wrap(line, screen.width, break_long_words=False, break_on_hyphens=False) or [""]
            for line in lines
        ]
        lines = [line for paragraph in broken for line in paragraph]
    shown = Text("\n".join(lines), style=style)
    shown.stylize("bold red", 0, len(lead))
    screen.print(shown, soft_wrap=True)


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]], right: int = 99) -> Table:
    """A table of texts that fits the width it is printed at.

    Columns from number ``right`` on hold numbers: they are aligned to the right and never broken. Where the width is
    too small, the headings and the texts of the other columns are broken, at separators first; where that is not
    enough, the columns are shown in several blocks, each after the leading columns of texts.
    """
    return _Fitted(title, columns, rows, right)


class _Fitted(Table):
    """A table that decides how it is laid out when it is printed."""

    def __init__(
        self, title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]], right: int
    ) -> None:
        super().__init__()
        self._title, self._names, self._cells, self._right = title, tuple(columns), tuple(rows), right

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = [self._longest(number) for number in range(len(self._names))]
        natural = sum(widths) + GAP * max(0, len(widths) - 1)
        return Measurement(min(natural, options.max_width), max(natural, 1))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            yield Text(self._title, style="bold")
        for number, block in enumerate(self._blocks(options.max_width)):
            if number:
                yield Text()
            yield self._drawn(block)

    def _longest(self, number: int, *, header: bool = True) -> int:
        texts = [row[number] for row in self._cells] + ([self._names[number]] if header else [])
        return max((cell_len(text) for text in texts), default=0)

    def _least(self, number: int) -> int:
        """The smallest width of a column that breaks no number, and no piece of a text that is not overlong."""
        texts = [self._names[number]]
        if number < self._right:
            texts += [row[number] for row in self._cells]
        pieces = max((cell_len(piece.strip()) for text in texts for piece in _pieces(text)), default=1)
        if number >= self._right:
            return max(self._longest(number, header=False), pieces)
        return min(pieces, LONGEST_PIECE)

    def _blocks(self, room: int) -> Iterator[dict[int, int]]:
        """The columns of every block, with their widths."""
        columns = range(len(self._names))
        most, least = [self._longest(n) for n in columns], [self._least(n) for n in columns]
        keys = list(columns[: self._right]) if self._right < len(columns) else list(columns[:1])
        for key in keys:  # texts of one or two pieces a line are hard to read: rather one block more
            least[key] = max(least[key], min(most[key], room // (2 * len(keys) + 1)))
        rest = [number for number in columns if number not in keys]
        groups: list[list[int]] = [[]]
        taken = start = sum(least[key] + GAP for key in keys)
        for number in rest:
            if groups[-1] and taken + least[number] > room:
                groups.append([])
                taken = start
            groups[-1].append(number)
            taken += least[number] + GAP
        for group in _evened(groups):
            yield self._shared({n: most[n] for n in (*keys, *group)}, least, room)

    def _shared(self, widths: dict[int, int], least: Sequence[int], room: int) -> dict[int, int]:
        """Widths that fit into ``room``: headings over numbers give way first, and of these the widest."""
        widths = dict(widths)
        while sum(widths.values()) + GAP * (len(widths) - 1) > room:
            wide = [number for number in widths if widths[number] > least[number]]
            if not wide:
                break
            widths[max(wide, key=lambda number: (number >= self._right, widths[number]))] -= 1
        return widths

    def _drawn(self, widths: dict[int, int]) -> Table:
        made = Table(header_style="bold", box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        first = next(iter(widths), 0)
        for number, width in widths.items():
            made.add_column(
                Text("\n".join(_broken(self._names[number], width))),
                justify="right" if number >= self._right else "left",
                width=width,
                no_wrap=True,
                overflow="fold",
            )
        for row in self._cells:
            made.add_row(
                *(Text("\n".join(_broken(row[n], w, " " * (n == first)))) for n, w in widths.items())
            )
        return made


def _pieces(text: str, separators: str = SEPARATORS) -> list[str]:
    """A text cut after its separators."""
    pieces = [""]
    for before, letter in zip(" " + text, text, strict=False):
        if before in separators and letter not in separators and pieces[-1].strip():
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _broken(text: str, width: int, indent: str = "") -> list[str]:
    """The lines of a text in a column; all but the first begin with ``indent``."""
    lines: list[str] = []
    for given in text.split("\n"):
        line = ""
        for part in _pieces(given, " /"):
            whole = cell_len(indent + part.rstrip()) <= width
            for piece in [part] if whole else _pieces(part):
                if line.strip() and cell_len((line + piece).rstrip()) > width:
                    lines.append(line.rstrip())
                    line = indent
                line += piece
                while cell_len(line.rstrip()) > width:
                    kept = next(n for n in range(len(line), 0, -1) if n == 1 or cell_len(line[:n]) <= width)
                    lines.append(line[:kept])
                    line = line[kept:]
        lines.append(line.rstrip())
    return lines


def _evened(groups: list[list[int]]) -> list[list[int]]:
    """As many groups of nearly the same size, where the last one is much shorter than the others."""
    numbers = [number for group in groups for number in group]
    size = -(-len(numbers) // len(groups))
    if len(groups) == 1 or any(len(group) < size for group in groups[:-1]):
        return groups  # columns of unlike widths: the given cut is the one that fits
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


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
    """Work in steps: on a terminal a live view of what is done, its rate, the time left, what is under way and what
    failed last; plain lines when piped.

    Args:
        title: what the steps are of.
        total: amount of work, in any unit that grows with the time it takes.
        pieces: number of pieces that are reported by :meth:`finished` and :meth:`failed`, where it is known.
        noun: what a piece is called, in the plural.
    """

    def __init__(
        self, title: str, total: float, quiet: bool = False, pieces: int = 0, noun: str = "units"
    ) -> None:
        self._title, self._total, self._quiet = title, total, quiet
        self._pieces, self._noun = pieces, noun
        self._console = console(stderr=True)
        self._begun = time.monotonic()
        self._done = self._before = 0.0
        self._now = self._last_failure = ""
        self._ended = self._failures = 0
        self._live: Live | None = None
        self._spinner = Spinner("dots")

    def __enter__(self) -> "Steps":
        if self._quiet:
            return self
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self._view, console=self._console, refresh_per_second=REFRESHED, transient=True
            )
            self._live.start()
        else:
            self._print(f"{self._title}: started")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        if not self._quiet:
            failed = f", {self._failures} failed" if self._failures else ""
            self._print(f"{self._title}: ended after {duration(time.monotonic() - self._begun)}{failed}")

    def now(self, text: str) -> None:
        """Say what is under way (live view only)."""
        self._now = text

    def advance(self, amount: float) -> None:
        """Some of the total is done."""
        self._done += amount

    def skip(self, amount: float) -> None:
        """Some of the total had been done before: it tells nothing about the time left."""
        self._done += amount
        self._before += amount

    def finished(self, text: str) -> None:
        """A piece is done: counted, and a lasting line."""
        self._ended += 1
        self.say(text)

    def failed(self, text: str) -> None:
        """A piece failed: counted, a lasting line, and kept in sight."""
        self._ended += 1
        self._failures += 1
        self._last_failure = text
        self.say(text, style="red")

    def say(self, text: str, style: str = "") -> None:
        """A lasting line: above the live view, or with what is done and the time left when piped."""
        if self._quiet:
            return
        if self._live is not None:
            self._print(text, style)
            return
        parts = [f"{self._ended} of {self._pieces}"] if self._pieces else []
        if self._can_judge:
            parts += [f"{self._share:.0%}", f"{duration(self._seconds_left)} left"]
        self._print(text + (f"  [{', '.join(parts)}]" if parts else ""), style)

    @property
    def _share(self) -> float:
        return min(1.0, self._done / self._total) if self._total else 0.0

    @property
    def _can_judge(self) -> bool:
        done, total = self._done - self._before, self._total - self._before
        return self._share < 1 and done > 0 and done >= SHARE_TO_JUDGE_BY * total

    @property
    def _seconds_left(self) -> float:
        gone = time.monotonic() - self._begun
        return gone * (self._total - self._done) / (self._done - self._before)

    def _print(self, text: str, style: str = "") -> None:
        _print(self._console, text, style)

    def _view(self) -> Group:
        """Three or four lines, cut at the width of the terminal."""
        gone = time.monotonic() - self._begun
        head = Table.grid(padding=(0, 1))
        cells: list[Any] = [
            self._spinner,
            Text(self._title, style="bold"),
            ProgressBar(total=1.0, completed=self._share, width=BAR_WIDTH),
            f"{self._share:.0%}",
        ]
        if self._pieces:
            cells.append(f"{self._ended} of {self._pieces} {self._noun}")
        if self._ended:
            per_minute = 60 * self._ended / max(gone, 1e-9)
            cells.append(
                f"{per_minute:.1f} a minute" if per_minute >= 1 else f"{60 * per_minute:.1f} an hour"
            )
        head.add_row(*cells)
        left = f"about {duration(self._seconds_left)} left" if self._can_judge else ""
        lines = [Text(f"  {duration(gone)} gone" + (f", {left}" if left else ""))]
        if self._now:
            lines.append(Text(f"  now: {self._now}", style="dim"))
        if self._failures:
            lines.append(Text(f"  {self._failures} failed, the last: {self._last_failure}", style="red"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(head, *lines)


@contextmanager
def spinner(text: str, quiet: bool = False) -> Iterator[None]:
    """Say that something of unknown length is under way."""
    target = console(stderr=True)
    if quiet or not target.is_terminal or target.is_dumb_terminal:
        if not quiet:
            target.print(text)
        yield
        return
    with target.status(text):
        yield


__all__ = [
    "Steps",
    "console",
    "duration",
    "print_json",
    "print_table",
    "print_text",
    "sparkline",
    "spinner",
    "table",
]
