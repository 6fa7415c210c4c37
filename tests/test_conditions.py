"""Conditions as text, and the run that a lineage card tells of."""

import pytest

from xeval.conditions import (
    GROUPS,
    NO_SEED,
    Run,
    has_several,
    run_of,
    single_conditions,
    stages,
    training_sets,
)
from xeval.tasks import all_tasks


@pytest.mark.parametrize(
    ("condition", "sets", "leads"),
    [
        ("none", ["none"], ("none",)),
        ("mnli", ["mnli"], ("mnli",)),
        ("mnli+squad", ["mnli", "squad"], ("mnli+squad",)),
        ("a>b+c>d", ["a", "b", "c", "d"], ("a", "a>b+c", "a>b+c>d")),
    ],
)
def test_a_condition_names_its_sets_and_stages(
    condition: str, sets: list[str], leads: tuple[str, ...]
) -> None:
    assert training_sets(condition) == sets
    assert stages(condition) == leads
    assert has_several(condition) == (len(sets) > 1)


def test_means_are_over_single_conditions_or_all_where_none_is_single() -> None:
    assert single_conditions(["a", "a+b", "b"]) == ("a", "b")
    assert single_conditions(["a+b", "a>b"]) == ("a+b", "a>b")


def test_a_run_is_what_its_card_says() -> None:
    card = {
        "phase": "target",
        "condition": "mnli",
        "target": "squad",
        "seed": 3,
        "parent": "d1",
        "collapsed": None,
    }
    assert run_of(card, "name") == Run("mnli", 3, "target", "squad", "d1", "")
    # The parent of a baseline is the base checkpoint, the same for all runs.
    assert run_of(card | {"condition": "none"}, "name").parent == ""
    assert run_of(card | {"phase": "intermediate"}, "name").parent == ""
    assert run_of(None, "name") == Run("name", NO_SEED, "", "", "", "")
    assert run_of({"seed": 0}, "name").seed == 0


def test_every_task_is_of_a_known_group() -> None:
    assert {task.group for task in all_tasks().values()} <= {*GROUPS, "diagnostic"}
