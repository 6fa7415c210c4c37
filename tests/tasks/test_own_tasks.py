"""A task from one file of the user's: every kind and every file format, and what a wrong row is told."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xeval.tasks
from xeval.checkpoints import Lineage
from xeval.errors import DataError, UsageError
from xeval.examples import Answer, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.store import read_scores
from xeval.tasks import add_task, all_tasks, all_training_sets
from xeval.tasks.user_file import task_from_file

PASSAGE = "Anna works in Berlin. Boris works in Rome."
ROWS: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"lang": "de", "id": "1", "first": "Anna wohnt hier.", "second": "Sie ist hier.", "label": "yes"},
        {"lang": "de", "id": "2", "first": "Anna wohnt hier.", "second": "Sie ist fort.", "label": "no"},
        {"lang": "zh", "id": "1", "first": "安娜住在这里。", "second": "她在这里。", "label": "yes"},
    ],
    "choice": [
        {"lang": "de", "context": "Anna", "choices": ["wohnt", "arbeitet", "geht"], "label": 2, "hops": 2},
        {"lang": "de", "context": "Boris", "choices": ["wohnt", "kommt"], "label": 0, "category": "bridge"},
    ],
    "tagging": [
        {"lang": "de", "words": ["Anna", "wohnt"], "tags": ["PROPN", "VERB"]},
        {"lang": "de", "words": ["Boris", "7"], "tags": ["PROPN", "NUM"], "cluster": "story"},
    ],
    "span_qa": [
        {"lang": "en", "question": "Where is Anna?", "context": PASSAGE, "answers": ["Berlin"]},
        {
            "lang": "en",
            "question": "And Boris?",
            "context": PASSAGE,
            "answers": [{"text": "Rome", "start": 37}, {"text": "in Rome", "answer_start": 34}],
        },
        {"lang": "en", "question": "And Eve?", "context": PASSAGE, "answers": []},
    ],
    "retrieval": [
        {"lang": "de", "source": "Anna wohnt in Berlin.", "target": "Anna lives in Berlin."},
        {"lang": "de", "source": "Boris kommt.", "target": "Boris comes."},
    ],
}
EXAMPLES: dict[str, list[Any]] = {
    "classification": [
        TextPair("1", "1", "Anna wohnt hier.", "Sie ist hier.", "yes"),
        TextPair("2", "2", "Anna wohnt hier.", "Sie ist fort.", "no"),
    ],
    "choice": [
        MultipleChoice("de-1", "de-1", "Anna", ("wohnt", "arbeitet", "geht"), 2, hops=2),
        MultipleChoice("de-2", "de-2", "Boris", ("wohnt", "kommt"), 0, category="bridge"),
    ],
    "tagging": [
        TaggedSentence("de-1", "de-1", ("Anna", "wohnt"), ("PROPN", "VERB")),
        TaggedSentence("de-2", "story", ("Boris", "7"), ("PROPN", "NUM")),
    ],
    "span_qa": [
        Question("en-1", "en-1", "Where is Anna?", PASSAGE, (Answer("Berlin", 14),)),
        Question("en-2", "en-1", "And Boris?", PASSAGE, (Answer("Rome", 37), Answer("in Rome", 34))),
        Question("en-3", "en-1", "And Eve?", PASSAGE, ()),
    ],
    "retrieval": [
        Translation("de-1", "de-1", "Anna wohnt in Berlin.", "Anna lives in Berlin."),
        Translation("de-2", "de-2", "Boris kommt.", "Boris comes."),
    ],
}
LABELS = {"classification": ("no", "yes"), "tagging": ("NUM", "PROPN", "VERB")}
GROUPS = {
    "classification": "classification",
    "choice": "classification",
    "tagging": "structured",
    "span_qa": "single-hop QA",
    "retrieval": "retrieval",
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the format that the file's ending says."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = dict.fromkeys(name for row in rows for name in row)
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), path)
        return path
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        [json.dumps(v) if isinstance(v, list) else str(v) for v in (row.get(name, "") for name in columns)]
        for row in rows
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            csv.writer(file).writerows([columns, *cells])
        else:
            file.write("".join("\t".join(line) + "\n" for line in [columns, *cells]))
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("kind", list(ROWS))
def test_every_kind_in_every_format(tmp_path: Path, kind: str, ending: str) -> None:
    rows = ROWS[kind]
    if ending == ".parquet" and kind == "span_qa":  # a column has one type
        rows = [dict(row, answers=[{"text": "Rome", "start": 37}]) for row in rows[:1]]
    made = task_from_file(write_rows(tmp_path / f"my-task{ending}", rows), kind)
    assert (made.name, made.kind.name, made.group) == ("my-task", kind, GROUPS[kind])
    assert made.labels == LABELS.get(kind, ())
    language = rows[0]["lang"]
    assert made.languages == (("de", "zh") if kind == "classification" else (language,))
    read = made.source.load(None, language, made.split)
    if ending == ".parquet" and kind == "span_qa":
        assert read[0].answers == (Answer("Rome", 37),)  # type: ignore[union-attr]
    else:
        assert read == EXAMPLES[kind]


def test_group_training_set_and_metrics(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.jsonl", ROWS["span_qa"])
    made = task_from_file(path, "span_qa", "multi-hop QA", "squad")
    assert (made.group, made.training, made.metrics[0]) == ("multi-hop QA", "squad", "f1_mixed")
    chunks = [{"lang": "de", "words": ["Anna", "S.", "geht"], "tags": ["B-PER", "I-PER", "O"]}]
    assert task_from_file(write_rows(path, chunks), "tagging").metrics[0] == "chunk_f1_legacy"
    assert task_from_file(write_rows(path, ROWS["tagging"]), "tagging").metrics[0] == "tag_accuracy"


def test_the_digest_is_that_of_content_and_language(tmp_path: Path) -> None:
    first = task_from_file(write_rows(tmp_path / "a.jsonl", ROWS["classification"]), "classification").source
    same = task_from_file(write_rows(tmp_path / "b.jsonl", ROWS["classification"]), "classification").source
    less = task_from_file(
        write_rows(tmp_path / "c.jsonl", ROWS["classification"][:2]), "classification"
    ).source
    assert first.digest(None, "de", "test") == same.digest(None, "de", "test")
    assert len({source.digest(None, "de", "test") for source in (first, less)}) == 2
    assert first.digest(None, "de", "test") != first.digest(None, "zh", "test")


def test_labels_of_published_synonyms_match_their_heads(tmp_path: Path) -> None:
    from xeval.tasks.base import match_labels

    rows = [{"lang": "de", "first": "a", "label": label} for label in ("not_paraphrase", "paraphrase")]
    made = task_from_file(write_rows(tmp_path / "x.jsonl", rows), "classification")
    assert match_labels(made.labels, ("paraphrase", "not_paraphrase")) == ("paraphrase", "different")


@pytest.mark.parametrize(
    ("tags", "metric", "chance"),
    [
        (["B-PER", "I-PER", "O"], "chunk_f1_legacy", 0.0),
        (["B-PER", "E-PER", "S-LOC"], "chunk_f1_legacy", 0.0),
        (["I-PER", "I-LOC", "O"], "chunk_f1_legacy", 0.0),
        (["NOUN", "NOUN", "VERB"], "tag_accuracy", "data"),
        (["B-PER", "L-PER", "U-LOC"], "tag_accuracy", "data"),
    ],
)
def test_chunk_f1_stands_beside_the_chance_of_chunks(
    tmp_path: Path, tags: list[str], metric: str, chance: float | str
) -> None:
    rows = [{"lang": "de", "words": ["Anna", "in", "Rom"], "tags": tags}]
    made = task_from_file(write_rows(tmp_path / "ner.jsonl", rows), "tagging")
    assert (made.metrics[0], made.chance) == (metric, chance)


GOOD = ROWS["classification"][0]


@pytest.mark.parametrize(
    ("kind", "row", "problem"),
    [
        ("classification", {"lang": "de", "first": "a"}, "line 2: label: Field required"),
        ("classification", {"first": "a", "label": "b"}, "line 2: lang: Field required"),
        (
            "classification",
            {"lang": "de", "first": " ", "label": "b"},
            "line 2: first: String should have at least",
        ),
        (
            "classification",
            GOOD | {"lang": "gerrman"},
            "line 2: Unknown language 'gerrman': did you mean 'de'",
        ),
        ("classification", GOOD | {"hops": "two"}, "line 2: hops: Input should be a valid integer"),
        ("classification", GOOD | {"id": "1"}, "the id '1' occurs 2 times"),
        (
            "choice",
            {"lang": "de", "context": "a", "choices": ["b", "c"], "label": 2},
            "label is 2, but there are 2",
        ),
        (
            "choice",
            {"lang": "de", "context": "a", "choices": [], "label": 0},
            "line 2: choices: Value should have at least 1 item",
        ),
        ("choice", {"lang": "de", "context": "a", "choices": "b c", "label": 0}, "line 2: choices: "),
        ("tagging", {"lang": "de", "words": ["a", "b"], "tags": ["X"]}, "line 2: 2 words but 1 tags"),
        (
            "span_qa",
            {"lang": "de", "question": "a", "context": "b", "answers": ["c"]},
            "'c' is not in the context",
        ),
        (
            "span_qa",
            {"lang": "de", "question": "a", "context": "bc", "answers": [{"text": "c", "start": 0}]},
            "'c' does not stand at character 0",
        ),
        ("retrieval", {"lang": "de", "source": "a"}, "line 2: target: Field required"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, kind: str, row: dict[str, Any], problem: str) -> None:
    path = write_rows(tmp_path / "mine.jsonl", [ROWS[kind][0], row])
    with pytest.raises(DataError) as raised:
        task_from_file(path, kind)
    assert problem in str(raised.value)
    assert str(raised.value).startswith(f"{path}")
    assert "\n" not in str(raised.value)


def test_placeholder_labels_are_refused(tmp_path: Path) -> None:
    rows = [{"lang": "de", "first": f"text {number}", "label": "0"} for number in range(20)]
    with pytest.raises(DataError, match="all 20 items have the label '0'"):
        task_from_file(write_rows(tmp_path / "x.jsonl", rows), "classification")


@pytest.mark.parametrize(
    ("name", "kind", "group", "problem"),
    [
        ("x.jsonl", "classificaton", "", "--kind classificaton: say what the rows"),
        ("x.jsonl", "", "", "--kind (none): say what the rows"),
        (
            "x.jsonl",
            "choice",
            "multihop QA",
            "--group multihop QA: no such group; did you mean 'multi-hop QA'",
        ),
        ("x.json", "choice", "", "no such file that ends in .jsonl"),
        ("y.jsonl", "choice", "", "no such file that ends in .jsonl"),
        ("my task.jsonl", "choice", "", "the task is named after the file"),
    ],
)
def test_wrong_use(tmp_path: Path, name: str, kind: str, group: str, problem: str) -> None:
    for existing in ("x.jsonl", "x.json", "my task.jsonl"):
        (tmp_path / existing).write_text("")
    with pytest.raises(UsageError) as raised:
        task_from_file(tmp_path / name, kind, group)
    assert problem in str(raised.value)


def test_damaged_and_empty_files(tmp_path: Path) -> None:
    for ending in ("jsonl", "csv", "tsv", "parquet"):
        path = tmp_path / f"x.{ending}"
        path.write_text("")
        with pytest.raises(DataError, match=r"x\."):
            task_from_file(path, "choice")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that forgets what a test adds."""
    tasks, sets = dict(all_tasks()), dict(all_training_sets())
    monkeypatch.setattr(xeval.tasks, "_registry", lambda: (tasks, sets))


@pytest.mark.usefixtures("known")
def test_a_name_that_exists_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "xnli.jsonl", ROWS["classification"])
    with pytest.raises(UsageError, match="two declarations are named 'xnli'"):
        add_task(task_from_file(path, "classification"))


@pytest.mark.usefixtures("known")
def test_from_the_users_file_to_scores(
    tmp_path: Path, make_checkpoint: Callable[..., Path], xeval: Callable[..., tuple[int, str, str]]
) -> None:
    rows = write_rows(tmp_path / "my-nli.jsonl", ROWS["classification"])
    models, store = tmp_path / "models", tmp_path / "store"
    make_checkpoint(models / "fits", "ForSequenceClassification", ("YES", "No"))
    make_checkpoint(models / "carded", "ForSequenceClassification", ("no", "yes"))
    make_checkpoint(models / "elsewhere", "ForSequenceClassification", ("no", "yes"))
    make_checkpoint(models / "other-labels", "ForSequenceClassification", ("a", "b"))
    Lineage(phase="target", base="tiny", target="my-data", seed=0).write(models / "carded")
    Lineage(phase="target", base="tiny", target="mnli", seed=0).write(models / "elsewhere")
    own = ("--task-file", rows, "--kind", "classification", "--trained-on", "my-data", "--store", store)
    code, _, err = xeval("run", models, *own)
    assert code == 1  # the two that cannot do the task are told
    assert "it is trained on mnli" in err
    assert "its head names its labels a, b" in err
    scores = read_scores(store)
    assert set(scores["name"]) == {"fits", "carded"}
    assert {(row.lang, row.item_id) for row in scores.itertuples()} == {("de", "1"), ("de", "2"), ("zh", "1")}
    assert set(scores["group"]) == {"classification"}


def test_a_task_on_checkpoints_of_another_training_set(
    tmp_path: Path, make_checkpoint: Callable[..., Path], xeval: Callable[..., tuple[int, str, str]]
) -> None:
    models = tmp_path / "models"
    for name, trained in (("own", "xhops-claim"), ("other", "my-claims")):
        make_checkpoint(models / name, "ForSequenceClassification", ("false", "true"))
        Lineage(phase="target", base="tiny", target=trained, seed=0).write(models / name)
    asked = ("--tasks", "xhops-claim-2", "--languages", "de", "--limit", 4, "--json")
    code, out, err = xeval("run", "--dry-run", models, *asked, "--trained-on", "my-claims")
    assert code == 0, err
    assert {unit["checkpoint"] for unit in json.loads(out)["units"]} == {"other"}
    code, out, _ = xeval("run", "--dry-run", models, *asked)
    assert {unit["checkpoint"] for unit in json.loads(out)["units"]} == {"own"}
    for wrong in (("--trained-on", "my-claims"), ("--tasks", "tatoeba", "--trained-on", "my-claims")):
        code, _, err = xeval("run", "--dry-run", models, *wrong)
        assert code == 2
        assert "--trained-on" in err


def test_options_without_a_file(xeval: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, _, err = xeval("run", "--dry-run", tmp_path, "--kind", "choice")
    assert code == 2
    assert "name the file" in err


@pytest.mark.usefixtures("known")
def test_own_questions_can_be_read_by_the_sentence(tmp_path: Path) -> None:
    add_task(task_from_file(write_rows(tmp_path / "mine.jsonl", ROWS["span_qa"]), "span_qa"))
    assert xeval.tasks.task("mine-depth").kind.name == "single_sentence_qa"


@pytest.mark.usefixtures("known")
def test_without_a_training_set_every_fitting_head_is_used(
    tmp_path: Path, make_checkpoint: Callable[..., Path], xeval: Callable[..., tuple[int, str, str]]
) -> None:
    rows = write_rows(tmp_path / "my-nli.jsonl", ROWS["classification"])
    models = tmp_path / "models"
    for name in ("plain", "carded"):
        make_checkpoint(models / name, "ForSequenceClassification", ("no", "yes"))
    make_checkpoint(models / "encoder")
    Lineage(phase="target", base="tiny", target="mnli", seed=0).write(models / "carded")
    code, out, _ = xeval(
        "run", "--dry-run", models, "--task-file", rows, "--kind", "classification", "--json"
    )
    assert code == 0
    assert [problem["subject"] for problem in json.loads(out)["problems"] if problem["skipped"]] == [
        "encoder"
    ]
    assert {unit["checkpoint"] for unit in json.loads(out)["units"]} == {"plain", "carded"}
