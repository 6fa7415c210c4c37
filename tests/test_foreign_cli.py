"""``xeval report`` and ``xeval compare`` on other tools' files and on published scores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_foreign import RUNS, right, write_harness, write_map, write_mteb

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of lm-evaluation-harness and the map of its two models."""
    root = tmp_path / "harness"
    write_harness(root / "base", "base", {"xnli_en": right(4), "xnli_de": right(2)})
    write_harness(root / "tuned", "tuned", {"xnli_en": right(5), "xnli_de": right(4)})
    return root, write_map(tmp_path / "map.toml", RUNS)


def test_samples_are_reported_and_compared(xeval: Run, tmp_path: Path, logs: tuple[Path, Path]) -> None:
    root, rules = logs
    code, _, _ = xeval("report", root, "--map", rules, "-o", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out" / "report.html").exists()
    code, out, _ = xeval("compare", root, "none", "mnli", "--map", rules, "--json")
    assert code == 0
    assert json.loads(out)["tasks"][0]["task"] == "xnli"


def test_without_a_map_the_message_names_the_models(
    xeval: Run, tmp_path: Path, logs: tuple[Path, Path]
) -> None:
    code, _, err = xeval("report", logs[0], "-o", tmp_path / "out")
    assert code == 2
    assert "which of the models 'base', 'tuned' is the condition 'none'" in " ".join(err.split())


def test_aggregates_are_reported_without_a_verdict(xeval: Run, tmp_path: Path) -> None:
    write_mteb(tmp_path / "mteb", "none-seed0", {"deu-Latn": 0.5})
    write_mteb(tmp_path / "mteb", "mnli-seed0", {"deu-Latn": 0.6})
    code, out, _ = xeval("report", tmp_path / "mteb", "-o", tmp_path / "out")
    assert code == 0
    assert "No verdict: gains only" in out
    assert "none per sentence" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    code, _, err = xeval("compare", tmp_path / "mteb", "none", "mnli")
    assert code != 0
    assert "none per sentence" in " ".join(err.split())


def test_published_scores(xeval: Run, tmp_path: Path) -> None:
    code, out, _ = xeval("report", "--published", "phang2020", "-o", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["headline"] == "No verdict: gains only"
    assert (tmp_path / "out" / "figures" / "gains.svg").exists()
    assert xeval("report", tmp_path, "--published", "phang2020")[0] == 2
    assert xeval("report")[0] == 2
