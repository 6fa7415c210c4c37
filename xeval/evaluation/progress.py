"""How a run tells what it does; consoles implement it, and so can a notebook or a log."""

from typing import Protocol

from xeval.evaluation.plan import Unit
from xeval.store import UnitRecord


class RunProgress(Protocol):
    """Is told how a run goes on."""

    def started(self, unit: Unit, items: int) -> None:
        """A unit of so many sequences is under way."""

    def advanced(self, items: int) -> None:
        """So many sequences of the unit are done."""

    def finished(self, unit: Unit, record: UnitRecord, score: float) -> None:
        """A unit is stored; the score is that of its main metric, 0 to 1, nan where there was nothing to score."""

    def failed(self, unit: Unit, reason: str) -> None:
        """A unit failed."""
