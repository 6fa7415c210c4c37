"""``xeval compare``: what a person types and reads."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from xeval.store import Store, UnitRecord

Run = Callable[..., tuple[int, str, str]]
LANGUAGES = ("de", "en", "sw")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three target checkpoints per condition; the intermediate task helps in German and English only."""
    rng = np.random.default_rng(0)
    for condition in ("none", "mnli"):
        for seed in range(3):
            for language in LANGUAGES:
                name = f"{condition}-{seed}"
                record = UnitRecord(
                    fingerprint=name.replace("-", ""),
                    identity="0",
                    task="xnli",
                    task_version=1,
                    kind="classification",
                    group="classification",
                    language=language,
                    main_metric="accuracy",
                    metrics=["accuracy"],
                    checkpoint=name,
                    checkpoint_digest=f"digest-{name}",
                    checkpoint_path=f"/models/{name}",
                    lineage={"condition": condition, "seed": seed, "phase": "target"},
                    data_digest="d",
                )
                rate = 0.85 if condition == "mnli" and language != "sw" else 0.6
                rows = {
                    "item_id": [str(number) for number in range(200)],
                    "cluster_id": [str(number) for number in range(200)],
                    "hops": [0] * 200,
                    "accuracy.num": (rng.random(200) < rate).astype(float).tolist(),
                    "accuracy.den": [1.0] * 200,
                }
                Store(tmp_path / "store").write(record, rows)
    return tmp_path / "store"


def test_help_has_an_example(xeval: Run) -> None:
    code, out, _ = xeval("compare", "--help")
    assert code == 0
    assert "Example:" in out


def test_conditions_and_checkpoints_of_a_store(xeval: Run, store: Path) -> None:
    code, out, err = xeval("compare", store, "none", "mnli")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert lines["A"] == "A = none, B = mnli; points".split()
    assert lines["de"][-1] == lines["en"][-1] == "B"
    assert lines["sw"][-2] == "–"
    assert float(lines["sw"][-1]) > 0  # what could have been seen
    assert "B is better in at least 1, A in at least 0 of the 2 languages of the mean." in out
    assert "McNemar" not in out
    code, out, _ = xeval("compare", store, "none-0", "mnli-1", "--task", "xnli")
    assert code == 0
    assert "exact McNemar" in out
    assert "not new seeds of training" in out


def test_json_holds_the_same_numbers(xeval: Run, store: Path) -> None:
    _, table, _ = xeval("compare", store, "none", "mnli")
    code, out, err = xeval("compare", store, "none", "mnli", "--json")
    assert (code, err) == (0, "")
    (task,) = json.loads(out)["tasks"]
    assert [one["lang"] for one in task["languages"]] == list(LANGUAGES)
    for one in (*task["languages"], task["mean"]):
        assert f"{one['difference']:+.2f}".replace("-", "−") in table


def test_a_csv_of_another_tool(xeval: Run, tmp_path: Path) -> None:
    names = [(c, i) for c in ("old", "new") for i in range(20)]
    rows = pd.DataFrame(
        {
            "condition": [c for c, _ in names], "target": "quiz", "group": "classification", "seed": -1, "lang": "de",
            "item_id": [i for _, i in names], "cluster_id": [i for _, i in names], "hops": 0, "metric": "accuracy",
            "num": [float(c == "new" or i < 10) for c, i in names], "den": 1,
        }
    )  # fmt: skip
    rows.to_csv(tmp_path / "scores.csv", index=False)
    code, out, _ = xeval("compare", tmp_path / "scores.csv", "old", "new", "--json")
    (only,) = json.loads(out)["tasks"][0]["languages"]
    assert code == 0
    assert (only["difference"], only["only_a_right"], only["only_b_right"]) == (50.0, 0.0, 10.0)
    assert only["p_value"] == pytest.approx(2 / 2**10)


def test_the_table_fits_80_columns_and_is_plain_when_piped(
    xeval: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, piped, _ = xeval("compare", store, "none", "mnli")
    assert "\x1b" not in piped
    narrow = Console(width=80, force_terminal=True, highlight=False, no_color=True)
    monkeypatch.setattr("xeval.console.display.console", lambda *_: narrow)
    with narrow.capture() as captured:
        xeval("compare", store, "none", "mnli")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())
    assert [line.rstrip() for line in shown.splitlines()] == [line.rstrip() for line in piped.splitlines()]
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("none", "nmli"), 2, "did you mean 'mnli'"),
        (("none", "none"), 2, "both sides are 'none'"),
        (("none", "none-1"), 2, "share a run"),
        (("none", "mnli", "--task", "xnil"), 2, "did you mean 'xnli'"),
        (("none", "mnli", "--limit", "5"), 1, "no results with --limit 5 yet"),
    ],
)
def test_wrong_use_is_one_sentence(
    xeval: Run, store: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    found, out, err = xeval("compare", store, *arguments)
    assert (found, out) == (code, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def test_a_missing_source_is_named(xeval: Run) -> None:
    code, _, err = xeval("compare", "nowhere.csv", "none", "mnli")
    assert code == 2
    assert "nowhere.csv" in err


def test_different_items_are_refused_by_the_first(xeval: Run, store: Path) -> None:
    for path in sorted((store / "units" / "xnli" / "de").glob("mnli2-*.parquet")):
        record, rows = Store(store).read(path)
        Store(store).write(record, {name: values[1:] for name, values in rows.items()})
    code, _, err = xeval("compare", store, "none", "mnli")
    assert code == 1
    assert "lacks item '0'" in err
    assert "language 'de'" in err
