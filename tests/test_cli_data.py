"""``xeval data check``: what it finds, what it calls a problem, and its exit codes."""

import json
from pathlib import Path

import pytest
from support.published import write_all, write_hub, write_xtreme_folder
from typer.testing import CliRunner

from xeval.cli import app
from xeval.errors import UsageError
from xeval.sources import published

runner = CliRunner()


@pytest.fixture
def any_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny data count as whole."""
    monkeypatch.setattr(published, "expected", lambda *_: None)


def check(*arguments: str) -> tuple[int, str, str]:
    result = runner.invoke(app, ["data", "check", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_short_data_are_a_problem(tmp_path: Path) -> None:
    root = write_all(tmp_path)
    code, out, err = check(str(root), "--tasks", "xnli,xquad", "--languages", "de")
    assert code == 1
    assert out.splitlines()[1].split()[:6] == ["xnli", "test", "de", "XNLI-1.0/xnli.test.tsv", "12", "5,010"]
    assert "xnli, test, de: 12 items, the published data have 5,010" in " ".join(err.split())


@pytest.mark.usefixtures("any_count")
def test_summary_counts_languages_and_rows(tmp_path: Path) -> None:
    code, out, _ = check(str(write_all(tmp_path)), "-l", "de,en,zh")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}
    assert rows["xnli"] == ["test", "3", "3", "36", "-", "-"]
    assert rows["xcopa"] == ["test", "1", "1", "12", "-", "-"]
    assert not rows.keys() & {"mnli", "django", "django-topic"}


@pytest.mark.usefixtures("any_count")
def test_json_says_which_layout(tmp_path: Path) -> None:
    code, out, _ = check(str(write_hub(tmp_path)), "--tasks", "pawsx,xnli", "-l", "de,en", "--json")
    found = json.loads(out)
    assert code == 0
    assert {each["where"] for each in found if each["name"] == "pawsx"} == {
        f"google-research-datasets/paws-x/{code}/test-00000-of-00001.parquet" for code in ("de", "en")
    }
    assert all(each["rows"] == 12 and len(each["digest"]) == 32 for each in found)


def test_blanked_labels_are_a_problem(tmp_path: Path) -> None:
    code, out, err = check(str(write_xtreme_folder(tmp_path)), "-t", "xnli,xquad", "-l", "zh", "--json")
    assert (code, err) == (1, "")
    problems = [problem for each in json.loads(out) for problem in each["problems"]]
    assert len(problems) == 2
    assert all("XTREME's download script" in problem for problem in problems)


def test_absent_data_are_no_problem(tmp_path: Path) -> None:
    code, _, err = check(str(tmp_path))
    assert code == 0
    assert "nothing was found" in err
    code, out, _ = check(str(tmp_path), "-t", "xnli", "--json")
    assert (code, json.loads(out)) == (0, [])


def test_the_hub_without_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    code, _, err = check("hub", "-t", "xnli", "-l", "de,en")
    assert code == 0
    assert " ".join(err.split()).count("facebook/xnli, revision b8dd5d7") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere"], "nowhere: no such directory"),
        ([".", "-t", "xnly"], "unknown task or training set 'xnly'; did you mean 'xnli'?"),
        ([".", "-l", "dee"], "Unknown language 'dee'"),
    ],
)
def test_wrong_use(arguments: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem.replace("?", r"\?")):
        check(*arguments)
