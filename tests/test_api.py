"""The names of ``import xeval``: they stay, their examples run, and what they give is what the commands give."""

import doctest
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import xeval

ROOT = Path(__file__).parents[1]
PUBLIC = """
Checkpoint CheckpointError Checkpoints Comparison DataError FileSource Gains Lineage MinedPairs Remark Result Scores
StoreError Study Task TrainingSet UsageError XevalError __version__ add_task all_tasks analyse compare discover evaluate
mine scores task
""".split()
FROM_API = [name for name in PUBLIC if getattr(getattr(xeval, name), "__module__", "") == "xeval.api"]


def test_the_public_names_are_these() -> None:
    assert xeval.__all__ == PUBLIC
    assert {name for name in dir(xeval) if name not in ("train", "analysis")} == set(PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xeval.nothing  # type: ignore[attr-defined]


def test_importing_it_imports_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import xeval; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("xeval")} == {"xeval"}
    assert {name.split(".")[0] for name in loaded} <= {"xeval", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", FROM_API)
def test_every_example_runs(name: str, example_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example_folder)
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(xeval, name)) or "")
    assert examples, f"{name} shows no example"
    vectors = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    names: dict[str, Any] = {"xeval": xeval, "german": vectors, "english": vectors}
    for example in examples:
        exec(compile(example.source, f"<example of {name}>", "single"), names)


def test_results_show_themselves_shortly(example_folder: Path) -> None:
    runs, scores = xeval.discover(example_folder / "runs"), xeval.scores(example_folder / "results")
    result = xeval.analyse(example_folder / "scores.parquet")
    comparison = xeval.compare(example_folder / "scores.parquet", "none", "mnli")
    for value in (runs, scores, result, result.gains, result.verdict, comparison):
        assert len(repr(value)) < 200
        assert "\n" not in repr(value)
    for value in (runs, scores, result, result.gains, result.verdict):
        assert "<" in value._repr_html_()
    assert list(runs.to_frame()["condition"]) == ["mnli", "none"]


def test_results_are_those_of_the_commands(
    example_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command = request.getfixturevalue("xeval")
    code, out, _ = command("report", example_folder / "scores.parquet", "-o", tmp_path / "report", "--json")
    result = xeval.analyse(example_folder / "scores.parquet")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(result.to_dict()))
    page = result.write_report(tmp_path / "written")
    assert page.is_file()
    code, out, _ = command("compare", example_folder / "scores.parquet", "none", "mnli", "--json")
    rows = pd.DataFrame(
        [row for task in json.loads(out)["tasks"] for row in [*task["languages"], task["mean"]]]
    )
    ours = xeval.compare(example_folder / "scores.parquet", "none", "mnli").to_frame()
    assert list(ours["difference"]) == list(rows["difference"])


def test_what_could_not_be_evaluated_is_told(example_folder: Path, tmp_path: Path) -> None:
    scores = xeval.evaluate(
        example_folder / "runs",
        tasks=["pawsx", "xquad"],
        data=example_folder / "data",
        store=tmp_path / "s",
        progress=False,
    )
    assert any("xquad" in subject or "xquad" in reason for subject, reason in scores.problems)
    with pytest.raises(xeval.UsageError, match="nothing could be evaluated"):
        xeval.evaluate(
            example_folder / "runs",
            tasks=["xquad"],
            data=example_folder / "data",
            store=tmp_path / "t",
            progress=False,
        )


def test_the_notebook_runs() -> None:
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    outputs = [str(output) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("multi-hop QA minus classification" in output for output in outputs)
