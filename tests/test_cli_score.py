"""``xeval score`` and ``xeval export xtreme``: what a person types and reads."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.submissions import write, write_submission

from xeval.store import Store, UnitRecord

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one XNLI and one Django unit of one checkpoint."""
    for task in ("xnli", "django"):
        record = UnitRecord(
            fingerprint=task,
            identity="0",
            task=task,
            task_version=1,
            kind="classification",
            group="classification",
            language="de",
            main_metric="accuracy",
            metrics=["accuracy"],
            checkpoint="model",
            checkpoint_digest="c",
            checkpoint_path="/models/model",
            data_digest="d",
        )
        Store(tmp_path / "store").write(
            record,
            {
                "item_id": ["0", "1"],
                "prediction": ["neutral", "entailment"],
                "accuracy.num": [1, 0],
                "accuracy.den": [1, 1],
            },
        )
    return tmp_path / "store"


@pytest.mark.parametrize("command", [("score",), ("export",), ("export", "xtreme")])
def test_help_has_an_example(xeval: Run, command: tuple[str, ...]) -> None:
    code, out, _ = xeval(*command, "--help")
    assert code == 0
    assert "Example:" in out


def test_scores_as_a_table_and_as_json(xeval: Run, tmp_path: Path) -> None:
    predictions, labels = write_submission(tmp_path)
    code, out, err = xeval("score", predictions, labels)
    assert (code, err) == (0, "")
    tables, _, signatures = out.rpartition("\n\n")
    lines = {line.split()[0]: line.split()[1:] for line in tables.splitlines() if line.strip()}
    # The rounded averages of tests/test_submission.py, in the order of the tasks.
    assert lines["mean"] == "59.5 60.0 65.0 45.7 54.5 60.0 76.5/89.9 66.7/87.4 75.9/88.3".split()
    assert lines["udpos"][:4] == ["45.7", "50.8", "41.5", "45.7"]
    assert "= all tasks" in out
    assert "65.2" in out
    assert "honest: tag_accuracy" in out
    assert "udpos f1: chunk_f1_legacy|version:1|range:0-100|chunks:seqeval-0.0.12|average:micro" in signatures
    code, out, _ = xeval("score", predictions, labels, "--json")
    result = json.loads(out)
    assert set(result) == {"scores", "averages", "honest", "honest_means", "warnings", "signatures"}
    assert result["scores"]["xquad"]["en"].keys() == {"exact_match", "f1"}
    assert result["averages"]["means"]["xquad"]["f1"] == 89.89898989898988
    assert set(result["averages"]["groups"]) == {"classification", "tagging", "qa", "retrieval"}


def test_a_part_is_scored_and_warnings_go_to_standard_error(xeval: Run, tmp_path: Path) -> None:
    predictions, labels = write_submission(tmp_path)
    write(predictions / "xquad/test-de.json", '{"q0": "the old river", "x": "y"}')
    code, out, err = xeval("score", predictions, labels, "-t", "xquad,xnli", "-l", "de,el", "--json")
    assert code == 0
    assert {task: list(codes) for task, codes in json.loads(out)["scores"].items()} == {
        "xnli": ["de", "el"],
        "xquad": ["de", "el"],
    }
    (warning,) = json.loads(out)["warnings"]
    assert "test-de.json: 11 questions have no answer and score 0; 1 answer belongs to no question" in warning
    assert " ".join(err.split()) == f"xeval: {warning}"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("predictions", "nowhere"), 1, "nowhere: no such folder"),
        (("predictions", "labels", "--tasks", "xqad"), 2, "did you mean 'xquad'"),
        (("predictions", "labels", "--languages", "gerrman"), 2, "German"),
        (("predictions", "labels", "--tasks", "mewslix"), 2, "mAP@20"),
        (("labels/xnli", "labels"), 1, "no predictions to score"),
        (("predictions",), 2, "LABELS"),
    ],
)
def test_wrong_use_is_one_sentence(
    xeval: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    write_submission(tmp_path)
    monkeypatch.chdir(tmp_path)
    ended, out, err = xeval("score", *arguments)
    assert (ended, out) == (code, "")
    assert sentence.lower() in " ".join(err.split()).lower()
    assert "Traceback" not in err


def test_export_says_what_it_wrote_and_what_it_left_out(xeval: Run, store: Path, tmp_path: Path) -> None:
    code, out, err = xeval("export", "xtreme", store, "-o", tmp_path / "out")
    assert (code, out) == (0, "")
    assert (tmp_path / "out/model/xnli/test-de.tsv").read_text() == "neutral\nentailment\n"
    assert "skipped django: no task of XTREME." in err
    assert "wrote 1 files below" in err
    code, _, err = xeval("export", "xtreme", store, "-o", tmp_path / "out", "--checkpoint", "modell")
    assert code == 2
    assert "did you mean 'model'" in err
    code, _, err = xeval("export", "xtreme", tmp_path / "nowhere")
    assert code == 1
    assert "no such store" in err


def test_scoring_needs_no_deep_learning_library(tmp_path: Path) -> None:
    predictions, labels = write_submission(tmp_path)
    code = (
        f"import sys; sys.argv=['xeval', 'score', {str(predictions)!r}, {str(labels)!r}]\n"
        "from xeval import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
