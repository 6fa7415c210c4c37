"""What every reader of another tool's files gives, and how it reads JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.analysis.estimate.aggregates import AggregateScore
from xeval.errors import DataError
from xeval.files import is_regular

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Foreign:
    """Scores of another tool.

    Attributes:
        tool: its name.
        frame: tidy scores, where the files hold a score per item; else None.
        scores: otherwise, one number per run, target and language.
        missing: what the files lack and what follows from it; a sentence each.
        notes: what was left out of them and why; a sentence each.
    """

    tool: str
    frame: "pd.DataFrame | None"
    scores: tuple[AggregateScore, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    def conditions(self) -> list[str]:
        """The conditions that have scores, sorted."""
        if self.frame is not None:
            return sorted(self.frame["condition"].unique())
        return sorted({score.condition for score in self.scores})


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        DataError: it cannot be read.
    """
    _require_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); fetch or write it again.") from error


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of a JSON-lines file; empty lines are passed over.

    Raises:
        DataError: a line is no JSON object.
    """
    _require_file(path)
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    value = json.loads(line)
                    if not isinstance(value, dict):
                        raise DataError(f"{path}, line {number}: is no JSON object; write the file again.")
                    yield number, value
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON lines ({error}); fetch or write it again."
        ) from error


def _require_file(path: Path) -> None:
    """A FIFO would be waited for."""
    if path.exists() and not is_regular(path):
        raise DataError(f"{path}: is no file that can be read; move it away.")


def listed(names: list[str], most: int = 6) -> str:
    """The first names, joined by commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
