"""``xeval xhops write``: the grid as files, and what is refused."""

import json
import sys
from pathlib import Path

import pytest

from xeval import cli
from xeval.xhops import generate


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["xeval", "xhops", "write", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_files_hold_what_the_tasks_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "grid"
    few = ("--languages", "th", "--formats", "question", "--hops", "2", "--family", "work")
    assert call(monkeypatch, out, *few, "--train", 0, "--dev", 0, "--test", 7) == 0
    rows = [
        json.loads(line) for line in (out / "question-test.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    expected = generate("question", 2, "th", "test", 7, family="work")
    assert [(r["item_id"], r["context"], r["question"]) for r in rows] == [
        (e.item_id, e.context, e.question) for e in expected
    ]


def test_wrong_requests_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid"
    for wrong, sentence in (
        (("--hops", "4"), "hops is 4"),
        (("--hops", "two"), "hops is 'two'"),
        (("--format", "xml"), "format is 'xml'"),
        (("--languages", "xx"), "'xx'"),
    ):
        assert call(monkeypatch, out, *wrong) == 2
        assert sentence in capsys.readouterr().err
        assert not out.exists()
