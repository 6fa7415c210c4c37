"""A study from base to report through the command, its resumption, and the packaged demo file."""

import json
import shutil
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from xeval import cli, reporting
from xeval import study as studies
from xeval.store import Store
from xeval.train.grid import nodes
from xeval.train.study import load_study

STUDY = """
[study]
name = "tiny"
title = "A tiny study"
notes = ["It shows nothing."]
base = "base"
conditions = ["none", "xhops-lookup"]
targets = ["xhops-claim-1", "xhops-question-1", "xhops-question-2", "django"]
languages = ["en", "de", "zh"]
seeds = { baseline = 2, intermediate = 2 }

[recipe]
name = "small"
intermediate = { max_steps = 2, batch_size = 4, train_size = 16 }
target = { max_steps = 2, batch_size = 4, train_size = 16 }

[evaluation]
limit = 9
"""


@pytest.fixture
def study_file(tmp_path: Path, tiny_encoder: Path) -> Path:
    shutil.copytree(tiny_encoder, tmp_path / "base")
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["xeval", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def test_a_study_runs_from_base_to_report_and_again_from_the_store(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "train", study_file, "--out", out, "--dry-run") == 0
    # base, two intermediates, and two training sets for each of 2 x 2 runs
    assert "11 nodes" in capsys.readouterr().out
    assert run(monkeypatch, "study", study_file, "--out", out) == 0
    first = capsys.readouterr()
    assert "A tiny study" in (out / "report" / "report.html").read_text()
    assert "It shows nothing." in (out / "report" / "report.md").read_text()
    assert "report.html" in first.out
    results = json.loads((out / "report" / "results.json").read_text())
    assert results["title"] == "A tiny study"
    units, damaged = Store(out / "store").records(limit=9)
    assert not damaged
    # 2 conditions x 2 seeds x (claim + two questions) x 3 languages, and retrieval on base and intermediates
    assert len(units) == 2 * 2 * 3 * 3 + 3 * 2
    report = (out / "report" / "report.html").read_bytes()
    monkeypatch.setattr("xeval.train.phases.train_phase", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(
        "xeval.evaluation.evaluator.Evaluator.evaluate", lambda *_: pytest.fail("computed again")
    )
    assert run(monkeypatch, "study", study_file, "--out", out) == 0
    assert (out / "report" / "report.html").read_bytes() == report


def test_a_report_of_a_store_and_of_a_csv_agree(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "study", study_file, "--out", out) == 0
    reporting.read_frame(out / "store", limit=9).to_csv(tmp_path / "scores.csv", index=False)
    capsys.readouterr()
    assert run(monkeypatch, "report", out / "store", "--limit", 9, "--out", tmp_path / "a", "--json") == 0
    from_store = json.loads(capsys.readouterr().out)
    assert run(monkeypatch, "report", tmp_path / "scores.csv", "--out", tmp_path / "b", "--json") == 0
    assert json.loads(capsys.readouterr().out) == from_store


def test_a_typo_in_a_study_file_names_the_nearest_key(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study_file.write_text(STUDY.replace("conditions =", "condtions ="))
    assert run(monkeypatch, "study", study_file, "--out", tmp_path / "out") == 2
    assert "did you mean 'conditions'?" in " ".join(capsys.readouterr().err.split())


def test_the_demo_is_an_ordinary_study_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study_file: Path
) -> None:
    with resources.as_file(resources.files("xeval") / studies.DEMO_FILE) as path:
        study = load_study(path)
        grid = nodes(study)
    groups = {target.group for target in study.targets}
    assert {"classification", "multi-hop QA", "retrieval"} <= groups
    assert len(study.seeds.baseline) > len(study.seeds.intermediate) > 1
    assert len({language for t in study.targets if t.training for language in study.task_languages(t)}) >= 6
    retrieval = next(target for target in study.targets if target.group == "retrieval")
    assert len(study.task_languages(retrieval)) >= 10
    assert grid[0].phase == "base"
    called: list[Path] = []
    run_study: Callable[..., int] = studies.run_study
    monkeypatch.setattr(
        studies, "run_study", lambda path, out: called.append(path) or run_study(study_file, out)
    )
    assert run(monkeypatch, "demo", "--out", tmp_path / "demo") == 0
    assert [path.name for path in called] == ["demo.toml"]
    assert (tmp_path / "demo" / "report" / "report.html").exists()
