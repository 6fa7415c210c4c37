"""The units that an export takes from a store, their scores, and files written in one step."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xeval.errors import StoreError, UsageError, did_you_mean
from xeval.metrics import corpus_score
from xeval.store import Store, UnitRecord, read_table

if TYPE_CHECKING:
    from xeval.analysis.estimate.variance import Estimate


@dataclass(frozen=True)
class MetricScore:
    """A metric of a unit.

    Attributes:
        score: sum of numerators over sum of denominators, 0 to 1.
        estimate: in points, over new items only; None where there are fewer than two item clusters.
    """

    metric: str
    score: float
    estimate: "Estimate | None"
    items: int


def chosen_units(
    root: Path,
    limit: int | None = None,
    checkpoint: str = "",
    settings: Mapping[str, str] | None = None,
) -> list[tuple[Path, UnitRecord]]:
    """The current units of a store, or of one of its checkpoints.

    Raises:
        StoreError: the store is missing, holds no results or a damaged one.
        UsageError: the store has no checkpoint of that name, or no results with such settings.
    """
    units = Store(root).require(limit, settings)
    names = {record.checkpoint for _, record in units}
    if checkpoint and checkpoint not in names:
        raise UsageError(
            f"{root}: no checkpoint is named {checkpoint!r}{did_you_mean(checkpoint, names)}; it has "
            f"{', '.join(sorted(names))}."
        )
    return [unit for unit in units if checkpoint in ("", unit[1].checkpoint)]


def unit_scores(path: Path, record: UnitRecord, metrics: Sequence[str] = ()) -> list[MetricScore]:
    """The metrics of a unit, by default the task's own, without the layers of a sweep.

    A metric whose denominators sum to 0 is left out: it has no score.
    """
    from xeval.analysis.estimate.variance import Term, estimate, make_block

    table = read_table(path)
    names, codes = np.unique(np.asarray(table["cluster_id"].to_pylist(), str), return_inverse=True)
    found = []
    for metric in metrics or [name for name in record.metrics if "@" not in name]:
        num, den = (
            np.bincount(codes, table[f"{metric}.{part}"].to_numpy(), names.size).astype(np.float64)[None, :]
            for part in ("num", "den")
        )
        score = corpus_score(num, den)
        if np.isnan(score):
            continue
        over_items = None
        if names.size > 1:
            block = make_block(num, den, np.arange(names.size), (0,), 0, deterministic=True)
            over_items = estimate([Term(1.0, block)], "points", np.zeros(names.size, np.int64))
        found.append(MetricScore(metric, score, over_items, table.num_rows))
    return found


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its name when the block ends well; else it is removed.

    Raises:
        StoreError: the file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".", suffix=".partial", delete=False
        ) as file:
            temporary = Path(file.name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place with --out."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text in one step."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return path


def plain(value: Any) -> str:
    """A setting or version as text."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
