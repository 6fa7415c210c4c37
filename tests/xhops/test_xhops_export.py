"""The grid as files: readable by their usual readers, complete, and the same as what is generated."""

import json
from pathlib import Path
from typing import Any

import pytest

from xeval.errors import UsageError
from xeval.xhops import FORMATS, HOPS, generate, write

SIZES: Any = {"train": 6, "test": 4}
FIELDS = [
    *("item_id", "lang", "format", "hops", "family", "context", "question", "claim"),
    *("answer", "answer_start", "label", "candidates", "supporting"),
]


def test_json_lines_hold_every_field_of_every_row(tmp_path: Path) -> None:
    written = write(tmp_path / "out", "jsonl", languages=("de", "fa"), sizes=SIZES)
    assert {path.name for path in written} == {"README.md"} | {
        f"{format}-{split}.jsonl" for format in FORMATS for split in SIZES
    }
    for format in FORMATS:
        lines = (tmp_path / f"out/{format}-test.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        assert [list(entry) for entry in entries] == [FIELDS] * (len(HOPS) * 2 * 4)
        assert {(entry["lang"], entry["hops"]) for entry in entries} == {
            (code, hops) for code in ("de", "fa") for hops in HOPS
        }
        ids = [[entry["item_id"] for entry in entries if entry["lang"] == code] for code in ("de", "fa")]
        assert ids[0] == ids[1]
    questions = [json.loads(line) for line in (tmp_path / "out/question-test.jsonl").open(encoding="utf-8")]
    for entry in questions:
        assert entry["context"][entry["answer_start"] :].startswith(entry["answer"])
        assert entry["answer"] in entry["candidates"]
        assert entry["claim"] is entry["label"] is None
    choices = [json.loads(line) for line in (tmp_path / "out/choice-test.jsonl").open(encoding="utf-8")]
    wanted = [
        item for code in ("de", "fa") for hops in HOPS for item in generate("choice", hops, code, "test", 4)
    ]
    assert [(entry["context"], tuple(entry["candidates"]), int(entry["label"])) for entry in choices] == [
        (item.context, item.choices, item.label) for item in wanted
    ]


def test_datasets_loads_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "grid", "hf", languages=("en", "zh"), sizes=SIZES, family="work")
    cache = str(tmp_path / "cache")
    everything = datasets.load_dataset(str(tmp_path / "grid"), cache_dir=cache)
    assert {split: len(part) for split, part in everything.items()} == {
        "train": 3 * 3 * 6,
        "test": 3 * 3 * 2 * 4,
    }
    assert everything["test"].column_names == FIELDS
    claims = datasets.load_dataset(str(tmp_path / "grid"), "claim", split="test", cache_dir=cache)
    assert set(claims["label"]) <= {"true", "false"}
    item = generate("claim", 1, "en", "test", 1, family="work")[0]
    assert (claims[0]["context"], claims[0]["claim"], claims[0]["label"]) == (
        item.second,
        item.first,
        item.label,
    )
    assert (claims[0]["question"], claims[0]["answer_start"]) == (None, None)


def test_parquet_keeps_its_types_where_a_column_is_empty(tmp_path: Path) -> None:
    import pyarrow.parquet

    write(tmp_path, "parquet", languages=("ja",), sizes={"test": 2})
    schemas = {str(pyarrow.parquet.read_schema(tmp_path / f"{format}-test.parquet")) for format in FORMATS}
    assert len(schemas) == 1
    assert not (tmp_path / "README.md").read_text(encoding="utf-8").startswith("---")


def test_squad_files_are_read_back(tmp_path: Path) -> None:
    written = write(tmp_path, "squad", languages=("ta", "en"), sizes=SIZES)
    assert sorted(path.name for path in written) == [
        "README.md",
        "test.en.json",
        "test.ta.json",
        "train.en.json",
    ]
    from xeval.sources.questions import read_squad

    items = {item.item_id: item for item in read_squad([tmp_path / "test.ta.json"], "ta")}
    for hops in HOPS:
        for item in generate("question", hops, "ta", "test", 4):
            found = items[item.item_id]
            assert (found.question, found.context, found.answers) == (
                item.question,
                item.context,
                item.answers,
            )


def test_the_card_says_what_how_and_under_which_licence(tmp_path: Path) -> None:
    write(tmp_path, "hf", languages=("en",), sizes={"test": 1}, seed=5, chains=2)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for said in (
        "## How it was made",
        "## Limits",
        "## Licence",
        "Unicode License",
        "seed 5, 2 chains of 3 links",
    ):
        assert said in card


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note.txt").write_text("mine")
    new = tmp_path / "new"
    for directory, change, complaint in (
        (tmp_path / "full", {}, "holds something already"),
        (new, {"format": "xml"}, "'xml'"),
        (new, {"languages": ("xx",)}, "'xx'"),
        (new, {"languages": ()}, "languages is empty"),
        (new, {"hops": (4,)}, "4"),
        (new, {"sizes": {"all": 3}}, "'all'"),
        (new, {"format": "squad", "formats": ("claim",)}, "questions only"),
        (new, {"depth": 2}, "depth is 2"),
    ):
        arguments: dict[str, Any] = {"format": "jsonl", "sizes": {"test": 2}} | change
        with pytest.raises(UsageError, match=complaint):
            write(directory, **arguments)
    assert not new.exists()
