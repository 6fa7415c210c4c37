"""The names of ``import xeval``: they stay, their examples run, and what they give is what the commands give."""

import doctest
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from support.published import write_all
from support.synthetic import Task, frame
from support.tiny_studies import tiny_study

import xeval
from xeval.checkpoints import Lineage

ROOT = Path(__file__).parents[1]
PUBLIC = """
Checkpoint CheckpointError Checkpoints Comparison DataError FileSource Gains Lineage MinedPairs Remark Result Scores
StoreError Study Task TrainingSet UsageError XevalError __version__ add_task all_tasks analyse compare discover evaluate
mine scores task
""".split()
FROM_API = [name for name in PUBLIC if getattr(getattr(xeval, name), "__module__", "") == "xeval.api"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    """What the examples name: checkpoints, data, scores, a study, an encoder, two texts."""
    root = tmp_path_factory.mktemp("examples")
    data = write_all(root / "data")
    for seed, condition in enumerate(("none", "mnli")):
        path = make_checkpoint(
            root / "runs" / condition,
            "ForSequenceClassification",
            labels=("different", "paraphrase"),
            seed=seed,
        )
        Lineage(phase="target", base="tiny", target="pawsx-en", condition=condition, seed=0).write(path)
    make_checkpoint(root / "base" / "e5-small")
    tiny_study(root, root / "base" / "e5-small")
    for code, name in (("de", "deu.deu"), ("en", "deu.eng")):
        language, suffix = name.split(".")
        text = (data / f"tatoeba/tatoeba.{language}-eng.{suffix}").read_text()
        (root / f"news.{code}").write_text(text)
    tasks = [Task("pairs", "classification", 70, {"mnli": 4}), Task("hops", "multi-hop QA", 40, {"mnli": 1})]
    drawn = frame(tasks, np.random.default_rng(0), {"none": 3, "mnli": 3})
    drawn.to_parquet(root / "scores.parquet")
    xeval.evaluate(root / "runs", tasks=["pawsx"], data=data, store=root / "results", progress=False)
    return root


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
def test_every_example_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(xeval, name)) or "")
    assert examples, f"{name} shows no example"
    vectors = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    names: dict[str, Any] = {"xeval": xeval, "german": vectors, "english": vectors}
    for example in examples:
        exec(compile(example.source, f"<example of {name}>", "single"), names)


def test_results_show_themselves_shortly(folder: Path) -> None:
    runs, scores = xeval.discover(folder / "runs"), xeval.scores(folder / "results")
    result = xeval.analyse(folder / "scores.parquet")
    comparison = xeval.compare(folder / "scores.parquet", "none", "mnli")
    for value in (runs, scores, result, result.gains, result.verdict, comparison):
        assert len(repr(value)) < 200
        assert "\n" not in repr(value)
    for value in (runs, scores, result, result.gains, result.verdict):
        assert "<" in value._repr_html_()
    assert list(runs.to_frame()["condition"]) == ["mnli", "none"]


def test_results_are_those_of_the_commands(
    folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command = request.getfixturevalue("xeval")
    code, out, _ = command("report", folder / "scores.parquet", "-o", tmp_path / "report", "--json")
    result = xeval.analyse(folder / "scores.parquet")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(result.to_dict()))
    page = result.write_report(tmp_path / "written")
    assert page.is_file()
    code, out, _ = command("compare", folder / "scores.parquet", "none", "mnli", "--json")
    rows = pd.DataFrame(
        [row for task in json.loads(out)["tasks"] for row in [*task["languages"], task["mean"]]]
    )
    ours = xeval.compare(folder / "scores.parquet", "none", "mnli").to_frame()
    assert list(ours["difference"]) == list(rows["difference"])


def test_what_could_not_be_evaluated_is_told(folder: Path, tmp_path: Path) -> None:
    scores = xeval.evaluate(
        folder / "runs", tasks=["pawsx", "xquad"], data=folder / "data", store=tmp_path / "s", progress=False
    )
    assert any("xquad" in subject or "xquad" in reason for subject, reason in scores.problems)
    with pytest.raises(xeval.UsageError, match="nothing could be evaluated"):
        xeval.evaluate(
            folder / "runs", tasks=["xquad"], data=folder / "data", store=tmp_path / "t", progress=False
        )


def test_the_notebook_runs() -> None:
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    outputs = [str(output) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("multi-hop QA minus classification" in output for output in outputs)
