"""Every command of the README is run, in its order, on tiny checkpoints and data laid out as the README says."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from support.published import write_all

from xeval import cli
from xeval.tasks import _registry
from xeval.tasks.catalogue.classification import PARAPHRASE_LABELS

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
ELSEWHERE = {
    "xeval score submission/paws-base labels": "tests/test_cli_score.py",
    "make demo": "tests/test_study.py runs the demo's path; CI runs make test",
    "make test": "is what runs this",
    "xeval checkpoints base e5-small --out base/e5-small": "tests/train/test_base.py",
    "xeval checkpoints base FacebookAI/xlm-roberta-large --out base/xlmr": "needs the hub; tests/train/test_base.py",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines]


def test_every_command_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path], tiny_encoder: Path
) -> None:
    for seed, name in enumerate(("paws-base", "paws-squad")):
        make_checkpoint(tmp_path / "runs" / name, "ForSequenceClassification", PARAPHRASE_LABELS, seed=seed)
    shutil.copytree(tiny_encoder, tmp_path / "runs" / "encoder")
    shutil.copytree(tiny_encoder, tmp_path / "base" / "tiny")
    write_all(tmp_path / "data")
    (study,) = blocks("toml")
    (tmp_path / "study.toml").write_text(study)
    (task,) = (block for block in blocks("python") if block.startswith("# my_task.py"))
    (tmp_path / "my_task.py").write_text(task)
    tasks, sets = _registry()
    registry = (dict(tasks), dict(sets))  # the added task must not stay for other tests
    monkeypatch.setattr("xeval.tasks._registry", lambda: registry)
    monkeypatch.chdir(tmp_path)
    ran = 0
    for command in commands():
        if command in ELSEWHERE:
            continue
        assert command.startswith("xeval "), command
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, command
        ran += 1
    assert ran >= 12
    assert (tmp_path / "report" / "report.html").exists()
    assert (tmp_path / "my-study" / "report" / "report.html").exists()
    (code,) = (block for block in blocks("python") if block.startswith("import xeval"))
    names: dict[str, object] = {}
    exec(compile(code, str(README), "exec"), names)
    assert set(names["result"].gains.to_frame()["subject"]) == {"pawsx", "classification"}  # type: ignore[attr-defined]


def test_commands_in_the_text_and_the_table_exist() -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    known = {name for name, command in commands.items() if not command.hidden}
    assert set(re.findall(r"`xeval ([a-z]+)", TEXT)) == known
    inline = set(re.findall(r"`(xeval checkpoints base [^`]*--out[^`]*)`", TEXT))
    assert inline <= set(ELSEWHERE)


def test_files_that_the_readme_points_at_exist() -> None:
    local = [target for target in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in target]
    assert local
    for target in local:
        assert (README.parent / target).exists(), target
