"""A run of evaluations as steps on the console, one a unit."""

import time

import numpy as np

from xeval.console.display import Steps
from xeval.evaluation.plan import Unit
from xeval.store import UnitRecord
from xeval.tasks.embedding import describe_recipe

LARGE_UNIT = 50_000  # sequences; a unit as large says how far it is, where there is no live display


class EvaluationSteps:
    """The :class:`xeval.evaluation.progress.RunProgress` of the command line."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._items = self._seen = 0
        self._name = ""
        self._begun = 0.0
        self._recipes: set[tuple[str, str]] = set()
        steps.now("loading")

    def started(self, unit: Unit, items: int) -> None:
        """A unit of so many sequences is under way."""
        self._items, self._seen = max(1, items), 0
        self._name, self._begun = unit.name, time.monotonic()
        self._steps.now(unit.name)

    def advanced(self, items: int) -> None:
        """So many sequences of the unit are done."""
        tenth = 10 * self._seen // self._items
        self._seen += items
        self._steps.advance(items / self._items)
        done = f"{self._name}: {self._seen:,} of {self._items:,} sequences"
        rate = self._seen / max(time.monotonic() - self._begun, 1e-9)
        self._steps.now(f"{done}, {rate:,.0f} a second")
        if self._items >= LARGE_UNIT and 10 * self._seen // self._items > tenth:
            self._steps.say(done)

    def finished(self, unit: Unit, record: UnitRecord, score: float) -> None:
        """A unit is stored."""
        self._advance_to_end()
        chance = "" if record.chance is None else f" (chance {100 * record.chance:.1f})"
        recipe = describe_recipe(record.settings)
        how = f" [{recipe}]" if recipe and (unit.task.name, recipe) not in self._recipes else ""
        self._recipes.add((unit.task.name, recipe))
        collapsed = ", COLLAPSED" if record.constant is not None else ""
        shown = "-, nothing to score" if np.isnan(score) else f"{100 * score:.1f}"
        self._steps.finished(f"{unit.name}: {record.main_metric} {shown}{chance}{collapsed}{how}")

    def failed(self, unit: Unit, reason: str) -> None:
        """A unit failed."""
        self._advance_to_end()
        self._steps.failed(f"{unit.name}: FAILED: {reason.removeprefix(f'{unit.name}: ')}")

    def _advance_to_end(self) -> None:
        self._steps.advance(1 - self._seen / self._items if self._items else 1)
        self._items = self._seen = 0
