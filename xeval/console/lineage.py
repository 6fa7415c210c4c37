"""The tree of checkpoints as a table."""

from collections.abc import Sequence

from rich.table import Table

from xeval.console.display import duration, table
from xeval.train.lineage import Branch, labels

WIDE = 92  # columns that the steps, times and notes take
WIDEST = 140  # columns that the models take beside them
SHOWN = 3  # names of labels or tasks in a cell


def show_tree(branches: Sequence[Branch], width: int) -> Table:
    """A line a branch; on a narrow terminal without the time and the notes, or what the model is."""
    columns = ["checkpoint", "can do", "steps", "dev", "state"]
    if width >= WIDE:
        columns[4:4] = ["time"]
        columns.append("note")
    if width >= WIDEST:
        columns[1:1] = ["head", "labels", "size"]
    rows = []
    for branch in branches:
        score, seconds = branch.score, branch.seconds
        steps = "" if branch.steps is None else f"{branch.steps:,}"
        if branch.steps is not None and branch.planned_steps not in (None, branch.steps):
            steps += f" of {branch.planned_steps:,}"
        model = branch.checkpoint
        cells = {
            "head": "" if model is None else model.architecture,
            "labels": "" if model is None else _listed(labels(model)),
            "size": "" if model is None else f"{model.bytes / 1e6:,.1f} MB",
            "can do": _listed(branch.able) or ("" if model is None else "no known task"),
            "checkpoint": "  " * branch.depth + branch.label,
            "steps": steps,
            "dev": "" if score is None else f"{100 * score:.1f}",
            "time": "" if seconds is None else duration(seconds),
            "state": branch.state,
            "note": branch.note or "",
        }
        rows.append([cells[column] for column in columns])
    return table(None, columns, rows)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return " ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
