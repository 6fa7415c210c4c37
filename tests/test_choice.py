"""Of several units of one checkpoint, task and language the right one stands for it, and what is left aside is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xeval import choice
from xeval.checkpoints import Checkpoint, Lineage
from xeval.errors import Remark, UsageError
from xeval.store import Store, UnitRecord, read_scores

Run = Callable[..., tuple[int, str, str]]
EARLY, LATE, FUTURE = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"


def write(root: Path, score: float, **changes: Any) -> Path:
    """Store a unit with this accuracy over ten items."""
    fields: dict[str, Any] = {
        "identity": "12345678",
        "task": "xnli",
        "task_version": 1,
        "kind": "classification",
        "group": "classification",
        "language": "de",
        "main_metric": "accuracy",
        "metrics": ["accuracy"],
        "settings": {"max_length": 128},
        "changed": {},
        "dtype": "float32",
        "checkpoint": "model",
        "checkpoint_digest": "a" * 32,
        "checkpoint_path": "/nowhere/model",
        "data_digest": "d" * 32,
        "finished": EARLY,
    } | changes
    key = [
        str(fields[name])
        for name in ("checkpoint_digest", "settings", "dtype", "data_digest", "task_version")
    ]
    record = UnitRecord.model_validate({"fingerprint": choice_key(key), **fields})
    right = round(10 * score)
    rows: dict[str, list[Any]] = {
        "item_id": [str(number) for number in range(10)],
        "cluster_id": [str(number) for number in range(10)],
        "hops": [0] * 10,
        "prediction": [""] * 10,
        "accuracy.num": [1.0] * right + [0.0] * (10 - right),
        "accuracy.den": [1.0] * 10,
    }
    return Store(root).write(record, rows)


def choice_key(parts: list[str]) -> str:
    from xeval.digests import text_digest

    return text_digest(*parts)


def shown(root: Path, **settings: str) -> tuple[dict[str, float], str]:
    """Accuracies by language, and the remarks in one text."""
    found = Store(root).current(settings=settings)
    return {r.language: r.sums["accuracy"][0] / 10 for _, r in found.units}, "\n".join(found.remarks)


# Weights


@pytest.fixture
def there(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Callable[[int], dict[str, Any]]:
    """Puts a checkpoint of a seed at the one path; gives what a unit evaluated there says of it."""
    kept: dict[int, Path] = {}

    def put(seed: int) -> dict[str, Any]:
        if seed not in kept:
            kept[seed] = tmp_path / f"kept-{seed}"
            make_checkpoint(kept[seed], seed=seed)
        path = tmp_path / "models" / "model"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(kept[seed], path)
        found = Checkpoint(path, "model")
        return {
            "checkpoint_digest": found.digest,
            "checkpoint_path": str(path),
            "identity": found.identity,
        }

    return put


def test_the_weights_that_lie_at_the_path_now_count_whatever_the_clock_said(
    tmp_path: Path, there: Callable[[int], dict[str, Any]]
) -> None:
    root = tmp_path / "store"
    write(root, 0.5, **there(1))
    write(root, 0.9, finished=FUTURE, **there(2))
    assert shown(root) == ({"de": 0.9}, "")
    there(1)
    assert shown(root) == ({"de": 0.5}, "")
    there(3)
    scores, remarks = shown(root)
    assert scores == {"de": 0.9}
    assert "what is at" in remarks
    assert "has no results" in remarks


def test_changed_weights_that_were_never_evaluated_are_said(
    tmp_path: Path, there: Callable[[int], dict[str, Any]]
) -> None:
    write(tmp_path / "store", 0.5, **there(1))
    there(2)
    scores, remarks = shown(tmp_path / "store")
    assert scores == {"de": 0.5}
    assert "run again" in remarks


@pytest.mark.parametrize("gone", [True, False])
def test_where_the_weights_at_the_path_are_not_known_it_is_said_and_can_be_chosen(
    tmp_path: Path, there: Callable[[int], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    root = tmp_path / "store"
    first = there(1)
    write(root, 0.5, **first)
    write(root, 0.9, finished=LATE, **there(2))
    if gone:
        shutil.rmtree(tmp_path / "models")
    else:
        monkeypatch.setattr(choice, "MOST_BYTES", 10)
        monkeypatch.setenv("XEVAL_CACHE", str(tmp_path / "empty"))
    scores, remarks = shown(root)
    assert scores == {"de": 0.9}
    assert "2 different weights" in remarks
    assert ("there is no checkpoint" if gone else "too large to be read") in remarks
    chosen = first["checkpoint_digest"]
    assert f"--setting weights={chosen[:8]}" in remarks
    assert shown(root, weights=chosen[:8])[0] == shown(root, weights=chosen)[0] == {"de": 0.5}


def test_the_card_that_lies_there_now_says_what_a_score_is_of(
    tmp_path: Path, there: Callable[[int], dict[str, Any]]
) -> None:
    root = tmp_path / "store"
    known = there(1)
    path = Path(known["checkpoint_path"])
    for condition, finished in (("squad", EARLY), ("mnli", FUTURE)):
        card = Lineage(phase="target", base="b", condition=condition, target="t", seed=1)
        card.write(path)
        identity = Checkpoint(path, "model").identity
        write(root, 0.5, **known | {"identity": identity, "lineage": card.model_dump(), "finished": finished})
    Lineage(phase="target", base="b", condition="squad", target="t", seed=1).write(path)
    assert set(read_scores(root)["condition"]) == {"squad"}
    Lineage(phase="target", base="b", condition="qed", target="t", seed=1).write(path)
    with pytest.warns(Remark, match="computes nothing anew"):
        read_scores(root)


# Settings


def test_the_tasks_own_settings_count_before_changed_ones_and_the_others_can_be_asked_for(
    tmp_path: Path,
) -> None:
    write(tmp_path, 0.5)
    write(tmp_path, 0.9, finished=FUTURE, settings={"max_length": 64}, changed={"max_length": 64})
    scores, remarks = shown(tmp_path)
    assert scores == {"de": 0.5}
    assert remarks == (
        "xnli: shown with max_length=128; 1 result is stored with other settings too, --setting max_length=64 chooses."
    )
    assert shown(tmp_path, max_length="64") == ({"de": 0.9}, "")
    assert shown(tmp_path, max_length="128") == ({"de": 0.5}, "")
    with pytest.raises(UsageError, match="did you mean 'max_length'"):
        shown(tmp_path, max_lenght="64")
    with pytest.raises(UsageError, match=r"no result has it.*there are 128, 64"):
        shown(tmp_path, max_length="65")


def test_where_no_settings_are_the_tasks_own_those_of_most_languages_are_shown(tmp_path: Path) -> None:
    """As in stores from before units knew which of their settings were changed."""
    for language, length, finished in (
        ("de", 64, EARLY),
        ("fr", 64, EARLY),
        ("de", 32, FUTURE),
        ("ru", 32, LATE),
    ):
        changes = {"settings": {"max_length": length}, "changed": None, "finished": finished}
        write(tmp_path, length / 100, language=language, **changes)
    write(tmp_path, 0.6, language="zh", settings={"max_length": 64}, changed=None)
    scores, remarks = shown(tmp_path)
    assert scores == {"de": 0.6, "fr": 0.6, "ru": 0.3, "zh": 0.6}
    assert "xnli: shown with max_length=64" in remarks
    assert "not evaluated alike (max_length=64: de fr zh; max_length=32: ru)" in remarks


def test_a_later_definition_of_the_task_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    write(tmp_path, 0.9, finished=FUTURE)
    write(tmp_path, 0.5, task_version=2)
    assert shown(tmp_path) == ({"de": 0.5}, "")


# Names


def test_checkpoints_of_one_name_are_told_apart_by_their_paths_and_never_averaged(
    xeval: Run, tmp_path: Path
) -> None:
    for run, score in (("run1", 0.2), ("run2", 0.8)):
        path = f"/x/{run}/checkpoint-100"
        write(tmp_path, score, checkpoint="checkpoint-100", checkpoint_path=path, checkpoint_digest=run)
    write(tmp_path, 0.4, checkpoint="run1/checkpoint-100", checkpoint_path="/y/run1/checkpoint-100")
    names = {"x/run1/checkpoint-100": 0.2, "run2/checkpoint-100": 0.8, "run1/checkpoint-100": 0.4}
    code, out, _ = xeval("show", tmp_path, "--json")
    found = json.loads(out)
    assert code == 0
    assert {name: each["xnli"]["de"]["accuracy"] for name, each in found["scores"].items()} == names
    assert "checkpoint-100" in " ".join(found["remarks"])
    _, out, err = xeval("show", tmp_path)
    assert [line.split()[:2] for line in out.splitlines() if "checkpoint-100" in line] == [
        [name, f"{100 * score:.1f}"] for name, score in sorted(names.items())
    ]
    assert "2 checkpoints are named 'checkpoint-100'" in err
    with pytest.warns(Remark, match="are named"):
        frame = read_scores(tmp_path)
    assert frame.groupby("condition")["num"].mean().to_dict() == pytest.approx(names)
    code, out, err = xeval("compare", tmp_path, "run2/checkpoint-100", "run1/checkpoint-100")
    assert code == 0, err
    assert "-40.00" in out.replace("−", "-")
    assert "are named 'checkpoint-100'" in err
