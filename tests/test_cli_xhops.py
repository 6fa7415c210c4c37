"""``xeval data xhops``: the grid as files, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

from xeval.xhops import generate

Run = Callable[..., tuple[int, str, str]]


def test_the_files_hold_what_the_tasks_read(tmp_path: Path, xeval: Run) -> None:
    out = tmp_path / "grid"
    few = ("--languages", "th", "--formats", "question", "--hops", "2", "--family", "work")
    code, _, err = xeval("data", "xhops", out, *few, "--train", 0, "--dev", 0, "--test", 7)
    assert code == 0, err
    rows = [
        json.loads(line) for line in (out / "question-test.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    expected = generate("question", 2, "th", "test", 7, family="work")
    assert [(r["item_id"], r["context"], r["question"]) for r in rows] == [
        (e.item_id, e.context, e.question) for e in expected
    ]


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path: Path, xeval: Run) -> None:
    out = tmp_path / "grid"
    for wrong, sentence in (
        (("--hops", "4"), "hops is 4"),
        (("--hops", "two"), "hops is 'two'"),
        (("--format", "xml"), "format is 'xml'"),
        (("--languages", "xx"), "'xx'"),
    ):
        code, _, err = xeval("data", "xhops", out, *wrong)
        assert code == 2
        assert sentence in err
        assert not out.exists()
