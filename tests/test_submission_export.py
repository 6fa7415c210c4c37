"""What a store holds, exported in XTREME's layout and scored there, gives the stored scores."""

import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.published import write_all
from support.submissions import questions, write

from xeval.checkpoints import discover
from xeval.console.display import Steps
from xeval.console.evaluation import EvaluationSteps
from xeval.console.score_tables import summarise
from xeval.digests import text_digest
from xeval.errors import Remark, StoreError, UsageError
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import plan_units
from xeval.evaluation.run import run_units
from xeval.examples import Example, MultipleChoice, Question, TaggedSentence, TextPair
from xeval.interop.submission import SUBMISSION_TASKS, export_xtreme, score_submission
from xeval.sources.tagging import UPOS
from xeval.store import Store, UnitRecord
from xeval.tasks import task
from xeval.tasks.catalogue.classification import NLI_LABELS, PARAPHRASE_LABELS

LANGUAGES = ("de", "en", "zh")
RUN = ("xnli", "pawsx", "udpos", "xquad", "xcopa")
XTREMES_NAMES = {
    "accuracy": "accuracy",
    "chunk_f1_legacy": "f1",
    "squad_f1": "f1",
    "squad_em": "exact_match",
}


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]
) -> tuple[Path, Path]:
    """A data root and a store with the results of a tiny checkpoint for every kind of head."""
    root = tmp_path_factory.mktemp("study")
    heads = {
        "runs/nli": ("ForSequenceClassification", NLI_LABELS),
        "runs/paws": ("ForSequenceClassification", PARAPHRASE_LABELS),
        "runs/tags": ("ForTokenClassification", UPOS),
        "runs/spans": ("ForQuestionAnswering", ()),
        "runs/choice": ("ForMultipleChoice", ()),
    }
    for seed, (name, (head, labels)) in enumerate(heads.items()):
        make_checkpoint(root / "models" / name, head, labels, seed=seed)
    data = write_all(root / "data")
    options = RunOptions(data)
    store = Store(root / "store")
    plan = plan_units(
        list(discover(root / "models")), [task(name) for name in RUN], store, options, languages=LANGUAGES
    )
    with Steps("run", len(plan.units), quiet=True) as steps:
        assert run_units(plan, store, options, EvaluationSteps(steps)).ok
    return data, store.root


def label_file(name: str, examples: Sequence[Example]) -> str:
    """The true labels in XTREME's format."""
    lines = []
    gold: dict[str, list[str]] = {}
    for example in examples:
        match example:
            case TextPair():
                lines.append({"different": "0", "paraphrase": "1"}.get(example.label, example.label))
            case MultipleChoice():
                lines.append(json.dumps({"label": example.label}))
            case TaggedSentence():
                lines += [*example.tags, ""]
            case Question():
                gold[example.item_id] = [answer.text for answer in example.answers]
    return questions(gold) if SUBMISSION_TASKS[name].form == "answers" else "\n".join(lines) + "\n"


def test_export_and_score_give_the_stored_scores(study: tuple[Path, Path], tmp_path: Path) -> None:
    data, store = study
    exported = export_xtreme(store, tmp_path / "out")
    assert exported.skipped == ()
    compared = set()
    for unit in summarise(store).units:
        name, code = unit.record.task, unit.record.language
        layout = SUBMISSION_TASKS[name]
        assert tmp_path / "out" / unit.record.checkpoint / name / layout.file_name(code) in exported.files
        examples = task(name).source.load(data, code, "test")
        write(tmp_path / "labels" / name / layout.file_name(code), label_file(name, examples))
        result = score_submission(
            tmp_path / "out" / unit.record.checkpoint, tmp_path / "labels", tasks=[name], languages=[code]
        )
        assert [w for w in result.warnings if "average" not in w] == []
        scores = {**result.honest.get(name, {}).get(code, {}), **result.scores[name][code]}
        for metric, value in unit.scores.items():
            assert scores[XTREMES_NAMES.get(metric, metric)] == pytest.approx(100 * value, abs=1e-10)
            compared.add((name, metric))
    assert len(exported.files) == len(summarise(store).units) == 13
    assert {name for name, _ in compared} == set(RUN)


def test_files_are_in_xtremes_formats(study: tuple[Path, Path], tmp_path: Path) -> None:
    _, store = study
    exported = export_xtreme(store, tmp_path)
    runs = tmp_path / "runs"
    texts = {path.relative_to(runs).as_posix(): path.read_text() for path in exported.files}
    assert set(texts["nli/xnli/test-en.tsv"].splitlines()) <= set(NLI_LABELS)
    assert set(texts["paws/pawsx/test-de.tsv"].splitlines()) <= {"0", "1"}
    assert [json.loads(line).keys() for line in texts["choice/xcopa/test-zh.jsonl"].splitlines()] == [
        {"label"}
    ] * 12
    answers = json.loads(texts["spans/xquad/test-en.json"])
    assert list(answers) == [f"q{number}" for number in range(12)]
    sentences = texts["tags/udpos/test-de.tsv"].split("\n\n")
    assert [len(sentence.split()) for sentence in sentences] == [12] * 12
    assert not texts["tags/udpos/test-de.tsv"].endswith("\n\n")
    assert {stat.S_IMODE(path.stat().st_mode) for path in exported.files} == {0o644}
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".tsv", ".json", ".jsonl"}


def test_one_checkpoint_can_be_chosen(study: tuple[Path, Path], tmp_path: Path) -> None:
    _, store = study
    exported = export_xtreme(store, tmp_path, checkpoint="runs/nli")
    assert {path.parent for path in exported.files} == {tmp_path / "runs/nli/xnli"}
    with pytest.raises(UsageError, match="did you mean 'runs/nli'"):
        export_xtreme(store, tmp_path, checkpoint="runs/nlo")


def unit(store: Path, rows: dict[str, list[Any]], **fields: Any) -> None:
    """Store a unit of an imagined run."""
    known = {
        "fingerprint": text_digest(json.dumps(fields, default=str)),
        "identity": "0",
        "task_version": 1,
        "kind": "retrieval",
        "group": "retrieval",
        "main_metric": "accuracy",
        "metrics": ["accuracy"],
        "checkpoint": "model",
        "checkpoint_digest": "c",
        "checkpoint_path": "/models/model",
        "data_digest": "d",
    }
    length = len(next(iter(rows.values())))
    filled = {"item_id": [str(n) for n in range(length)], "prediction": [""] * length, **rows}
    record = UnitRecord.model_validate({**known, **fields})
    shares = {
        f"{name}.{part}": [1.0] * len(filled["item_id"]) for name in record.metrics for part in ("num", "den")
    }
    Store(store).write(record, {**filled, **shares})


def test_tatoeba_is_written_in_the_order_of_the_sorted_english(tmp_path: Path) -> None:
    data, store = write_all(tmp_path / "data"), tmp_path / "store"
    source = task("tatoeba").source
    english = [example.target for example in source.load(data, "de", "test")]
    order = sorted(range(len(english)), key=lambda row: english[row])
    assert order != sorted(order)
    neighbours = [row if row % 3 else (row + 1) % 12 for row in range(12)]
    digest = source.digest(data, "de", "test")
    unit(store, {"neighbour": neighbours}, task="tatoeba", language="de", data_digest=digest)
    exported = export_xtreme(store, tmp_path / "out", data=data)
    assert exported.files[0].read_text().split() == [str(neighbours[row]) for row in order]
    # XTREME's label of a sorted English sentence is the row of its translation.
    write(tmp_path / "labels/tatoeba/test-de.tsv", "".join(f"{row}\n" for row in order))
    result = score_submission(tmp_path / "out/model", tmp_path / "labels")
    assert result.scores["tatoeba"]["de"]["accuracy"] == pytest.approx(100 * 8 / 12)


@pytest.mark.parametrize(
    ("rows", "with_data", "fields", "reason"),
    [
        ({"neighbour": [0] * 12}, False, {}, "--data"),
        ({"neighbour": [0] * 12}, True, {"data_digest": "other"}, "not those that it was computed on"),
        ({"prediction": ["x"] * 12}, True, {}, "no column neighbour"),
        ({"neighbour": [0] * 3}, True, {"limit": 3}, "needs all items"),
        ({"neighbour": [0] * 12}, True, {"language": "fr"}, "fra"),
        ({"prediction": ["x"]}, True, {"task": "bucc2018"}, "no columns source_id"),
        ({"prediction": ["x"]}, True, {"task": "django"}, "django: no task of XTREME"),
        ({"prediction": ["x"]}, True, {"task": "xnli", "language": "pl"}, "no language of XTREME's xnli"),
    ],
)
def test_what_cannot_be_exported_is_named(
    tmp_path: Path, rows: dict[str, list[Any]], with_data: bool, fields: dict[str, Any], reason: str
) -> None:
    data = write_all(tmp_path / "data")
    unit(tmp_path / "store", rows, **{"task": "tatoeba", "language": "de", **fields})
    exported = export_xtreme(
        tmp_path / "store", tmp_path / "out", data=data if with_data else None, limit=fields.get("limit")
    )
    assert exported.files == ()
    assert reason in exported.skipped[0]


def test_mined_pairs_are_written_without_the_sentences_that_have_none(tmp_path: Path) -> None:
    rows = {"source_id": ["de-1", "de-2", "de-3", None], "target_id": ["en-9", "", "en-7", None]}
    unit(tmp_path / "store", rows, task="bucc2018", language="de")
    (path,) = export_xtreme(tmp_path / "store", tmp_path / "out").files
    assert path.read_text() == "de-1\ten-9\nde-3\ten-7\n"


def test_two_checkpoints_of_one_name_are_told_apart_and_a_moved_one_is_one(tmp_path: Path) -> None:
    fields = {"task": "xnli", "language": "de"}
    unit(tmp_path / "store", {"prediction": ["old"]}, **fields, finished="1")
    unit(tmp_path / "store", {"prediction": ["new"]}, **fields, finished="2", checkpoint_path="/moved")
    (path,) = export_xtreme(tmp_path / "store", tmp_path / "out").files
    assert path.read_text() == "new\n"
    unit(tmp_path / "store", {"prediction": ["x"]}, **fields, checkpoint_path="/b", checkpoint_digest="e")
    with pytest.warns(Remark, match="2 checkpoints are named 'model': they are shown as b, moved"):
        found = export_xtreme(tmp_path / "store", tmp_path / "out").files
    assert {path.parts[-3]: path.read_text() for path in found} == {"moved": "new\n", "b": "x\n"}


def test_a_store_that_cannot_be_exported_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        export_xtreme(tmp_path / "nowhere", tmp_path / "out")
    store = tmp_path / "store"
    unit(store, {"prediction": ["x"]}, task="xnli", language="de", checkpoint="../x")
    with pytest.raises(StoreError, match="leads out of the folder"):
        export_xtreme(store, tmp_path / "out")
    with pytest.raises(StoreError, match="no results with --limit 5 yet; it holds some without --limit"):
        export_xtreme(store, tmp_path / "out", limit=5)
    write(tmp_path / "file", "")
    unit(tmp_path / "good", {"prediction": ["x"]}, task="xnli", language="de")
    with pytest.raises(StoreError, match="cannot be written"):
        export_xtreme(tmp_path / "good", tmp_path / "file")
    next(store.rglob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="damaged"):
        export_xtreme(store, tmp_path / "out")
