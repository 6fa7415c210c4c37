"""``xeval power``: what it prints with and without a pilot, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

Run = Callable[..., tuple[int, str, str]]

STUDY = """
[study]
name = "planned"
base = "e5-small"
conditions = ["none", "mnli", "squad", "mnli+squad"]
targets = ["xnli", "xhops-question-2"]
seeds = { baseline = 4, intermediate = 3 }

[analysis]
margin_points = 2.0
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def scores(path: Path, seeds: int) -> Path:
    """Tidy scores of a pilot with ``seeds`` runs of baseline and one condition."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "condition": condition,
            "target": target,
            "group": group,
            "seed": seed,
            "lang": "de",
            "item_id": f"{target}-{item}",
            "cluster_id": f"{target}-{item}",
            "hops": 1,
            "metric": "accuracy",
            "num": int(rng.random() < 0.6),
            "den": 1,
        }
        for condition in ("none", "hellaswag")
        for target, group in (("xnli", "classification"), ("chains", "multi-hop QA"))
        for seed in range(seeds)
        for item in range(100)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_plan_without_a_pilot(xeval: Run, study: Path) -> None:
    code, out, _ = xeval("power", study)
    assert code == 0
    assert "4 + 3 (planned)" in out
    assert "each of 2 conditions" in out  # the mixture is no part of C
    assert "Without a pilot" in out
    assert "illustrative assumptions" in out
    assert "for each single C(k) about 1.4 times" in out
    assert "±2 points" in out
    assert max(map(len, out[: out.index("Seeds:")].splitlines())) <= 80
    code, out, err = xeval("power", study, "--json", "--contrast", 20)
    facts = json.loads(out)
    assert (code, err, facts["conditions"], facts["assumed"]) == (0, "", 2, True)
    assert facts["planned_power"] > 0.8
    assert any("The plan is enough for 20 points" in sentence for sentence in facts["sentences"])
    planned = [row for row in facts["settings"] if row["planned"]]
    assert [(row["baseline"], row["condition"], row["runs"]) for row in planned] == [(4, 3, 10)]
    for row in facts["settings"]:
        assert row["detectable"] == sorted(row["detectable"], reverse=True)
        assert row["formula"] < row["detectable"][1]


def test_the_limit_of_items_counts(xeval: Run, study: Path) -> None:
    study.write_text(STUDY + "[evaluation]\nlimit = 50\n")
    facts = json.loads(xeval("power", study, "--json")[1])
    assert {side["clusters"] for side in facts["sides"].values()} == {50}
    assert any(sentence.startswith("2 points need") for sentence in facts["sentences"])


def test_a_plan_from_a_pilot(xeval: Run, study: Path, tmp_path: Path) -> None:
    facts = json.loads(xeval("power", study, "--pilot", scores(tmp_path / "pilot.csv", 3), "--json")[1])
    assert not facts["assumed"]
    assert facts["pilot_df"] == [4, 4]
    assert {side["clusters"] for side in facts["sides"].values()} == {100}
    assert any("From the pilot" in sentence for sentence in facts["sentences"])
    planned = next(row for row in facts["settings"] if row["planned"])
    assert facts["detectable_at_upper_run_sd"] >= planned["detectable"][1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('"xnli", ', ""), "has no classification target"),
        (('"xhops-question-2"', '"xquad"'), "has no multi-hop QA target"),
        ((', "mnli", "squad", "mnli+squad"', ""), "has only the baseline"),
        (("intermediate = 3", "intermediate = 1"), "a single run"),
    ],
)
def test_studies_without_a_contrast_are_refused(
    xeval: Run, study: Path, change: tuple[str, str], sentence: str
) -> None:
    study.write_text(STUDY.replace(*change))
    code, out, err = xeval("power", study)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.split())


def test_pilots_that_say_nothing_are_refused(xeval: Run, study: Path, tmp_path: Path) -> None:
    code, out, err = xeval("power", study, "--pilot", scores(tmp_path / "pilot.csv", 1))
    assert (code, out) == (1, "")
    assert "a single run of every condition" in " ".join(err.split())
    code, _, err = xeval("power", study, "--pilot", tmp_path / "nothing")
    assert code == 2
    assert "no such file or directory" in " ".join(err.split())
