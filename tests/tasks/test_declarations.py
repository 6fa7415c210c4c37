"""A task is one frozen declaration; these hold for all of them."""

import ast
import inspect
from pathlib import Path

import pytest

from xeval.errors import UsageError
from xeval.languages import language
from xeval.metrics import METRICS
from xeval.tasks import _MODULES, Task, TrainingSet, add_tasks_from, all_tasks, all_training_sets, task

TASKS = list(all_tasks().values())


@pytest.mark.parametrize("declared", TASKS, ids=lambda declared: declared.name)
def test_declarations_are_complete(declared: Task) -> None:
    assert declared.languages
    assert list(declared.languages) == sorted(set(declared.languages))
    assert all(language(code).code == code for code in declared.languages)
    assert all(name in METRICS for name in declared.metrics)
    assert declared.licence
    assert declared.chance is not None
    if declared.training is not None:
        assert all_training_sets()[declared.training].kind is declared.kind
        assert all_training_sets()[declared.training].labels == declared.labels


def test_a_declaration_takes_at_most_25_lines() -> None:
    for module in _MODULES:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.Assign) and isinstance(getattr(module, node.targets[0].id, None), Task):  # type: ignore[attr-defined]
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 25


def test_published_language_lists() -> None:
    """Numbers of languages in XTREME, beside those that only XTREME-R has."""
    counts = {"xnli": 15, "pawsx": 7, "udpos": 33, "xquad": 11, "mlqa": 7, "tydiqa": 9, "tatoeba": 36}
    later = {"udpos": "lt pl ro uk wo", "xquad": "ro", "tatoeba": "az lt pl ro uk"}
    assert {
        name: len(set(task(name).languages) - {*later.get(name, "").split()}) for name in counts
    } == counts
    assert len(task("xcopa").languages) == 11


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'xquad'"):
        task("xqad")


def test_a_task_from_a_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xeval.tasks

    tasks, sets = dict(all_tasks()), dict(all_training_sets())
    monkeypatch.setattr(xeval.tasks, "_registry", lambda: (tasks, sets))
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from xeval.tasks import task\n"
        "MINE = replace(task('xnli'), name='my-nli', languages=('de',))\n"
    )
    add_tasks_from(path)
    assert task("my-nli").languages == ("de",)
    path.write_text("nothing = 1\n")
    with pytest.raises(UsageError, match="declares no task"):
        add_tasks_from(path)
    path.write_text(
        "from dataclasses import replace\nfrom xeval.tasks import task\nX = replace(task('xnli'), version=9)\n"
    )
    with pytest.raises(UsageError, match="two declarations are named 'xnli'"):
        add_tasks_from(path)


def test_training_sets_are_named_once() -> None:
    assert all(isinstance(value, TrainingSet) for value in all_training_sets().values())
    assert set(all_training_sets()) >= {
        "mnli",
        "pawsx-en",
        "squad",
        "tydiqa-en",
        "udpos-en",
        "copa",
        "xhops-claim",
    }
