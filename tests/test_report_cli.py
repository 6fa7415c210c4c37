"""``xeval report`` on tidy scores: the remedy that a refusal names works; the full number of items is looked up."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xeval.reporting import items_in_full

Run = Callable[..., tuple[int, str, str]]


def scores() -> pd.DataFrame:
    rows = [
        {
            "condition": condition, "target": target, "group": group, "seed": seed, "lang": lang, "item_id": item,
            "cluster_id": item, "hops": 1, "metric": "accuracy", "num": float((item * 7 + seed * 3 + level) % 5 < 3),
            "den": 1.0,
        }
        for target, group in (("xnli", "classification"), ("hotpotqa", "multi-hop QA"))
        for level, condition in enumerate(("none", "mnli"))
        for seed in (0, 1, 2)
        for lang in ("en", "de")
        for item in range(20)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("missing", ["run", "language"])
def test_a_missing_run_refuses_the_report_and_the_remedy_named_makes_it(
    xeval: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("xeval.reporting.write", lambda result, *_, **__: made.append(result))
    frame = scores()
    lost = (frame["target"] == "hotpotqa") & (frame["condition"] == "mnli") & (frame["seed"] == 1)
    frame[~(lost & ((frame["lang"] == "de") | (missing == "run")))].to_csv(
        tmp_path / "scores.csv", index=False
    )
    code, _, error = xeval("report", tmp_path / "scores.csv", "-o", tmp_path / "out")
    assert code == 1
    assert made == []
    (remedy,) = re.findall(r"`xeval (report [^`]*)`", " ".join(error.split()))
    code, _, error = xeval(*shlex.split(remedy), tmp_path / "scores.csv", "-o", tmp_path / "out")
    assert code == 0, error
    assert made[0].targets["hotpotqa"].seeds == {"mnli": (0, 2), "none": (0, 1, 2)}


def test_the_full_number_of_items_is_that_of_the_store(tmp_path: Path) -> None:
    for language, rows in (("en", 30), ("de", 40)):
        folder = tmp_path / "units" / "xnli" / language
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"item_id": list(range(rows))}), folder / "a-b.parquet")
    (tmp_path / "units" / "xnli" / "sw").mkdir()
    (tmp_path / "units" / "xnli" / "sw" / "a-b.parquet").write_bytes(b"damaged")
    assert items_in_full(tmp_path, ["xnli", "xquad"]) == {"xnli": 40}
