"""What a person types and reads: help, wrong use, exit codes, JSON, piped output."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.published import write_all

from xeval import __version__
from xeval.tasks.catalogue.classification import PARAPHRASE_LABELS

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def models(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Path:
    make_checkpoint(tmp_path / "models" / "encoder")
    make_checkpoint(tmp_path / "models" / "paws", "ForSequenceClassification", PARAPHRASE_LABELS)
    return tmp_path / "models"


def test_version_and_help(xeval: Run) -> None:
    assert xeval("--version") == (0, f"xeval {__version__}\n", "")
    code, out, _ = xeval("--help")
    assert code == 0
    commands = (
        "run checkpoints data show report compare power score export mine doctor train study demo".split()
    )
    for command in commands:
        assert command in out
        code, out_of_command, _ = xeval(command, "--help")
        assert code == 0
        assert "Example:" in out_of_command


def test_the_help_needs_no_heavy_import() -> None:
    code = (
        "import sys; sys.argv=['xeval','--help']\n"
        "from xeval import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'torch','transformers','pandas','pyarrow','scipy','matplotlib','numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "nowhere"), "no such directory"),
        (("run", ".", "--tasks", "xqad"), "did you mean 'xquad'"),
        (("run", ".", "--languages", "gerrman"), "German"),
        (("run", ".", "--data", "nowhere"), "--data nowhere"),
        (("run", ".", "--dtype", "float17"), "float32 or bfloat16"),
        (("run", ".", "--device", "tpu"), "--device tpu"),
        (("run", ".", "--tasks-from", "no.py"), "no such Python file"),
        (("show", "nowhere"), "no such store"),
        (("report", "nowhere"), "nowhere"),
        (("study", "nowhere.toml"), "nowhere.toml"),
        (("card", "nowhere", "--phase", "base", "--base", "x"), "nowhere"),
        (("base", "e5-smal", "--out", "x"), "e5-smal"),
    ],
)
def test_wrong_use_is_one_sentence(
    xeval: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_checkpoint: Callable[..., Path],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    make_checkpoint(tmp_path / "c")
    monkeypatch.chdir(tmp_path)
    code, out, err = xeval(*arguments)
    assert code in (1, 2)
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""


def test_unknown_options_are_wrong_use(xeval: Run) -> None:
    code, _, err = xeval("run", ".", "--bogus")
    assert code == 2
    assert "--bogus" in err


def test_run_show_plan_and_ls_as_tables_and_as_json(xeval: Run, models: Path, tmp_path: Path) -> None:
    data, store = write_all(tmp_path / "data"), tmp_path / "store"
    where = (models, "--data", data, "--store", store, "--tasks", "pawsx,tatoeba", "--languages", "de,zh")
    code, out, _ = xeval("run", *where, "--dry-run", "--json")
    assert code == 0
    assert [unit["status"] for unit in json.loads(out)["units"]] == ["todo"] * 4
    code, out, err = xeval("run", *where)
    assert (code, out) == (0, "")
    assert "4 units computed, 0 already in the store" in err
    assert "paws · pawsx · de: accuracy" in err
    code, out, _ = xeval("run", *where, "--json")
    told = json.loads(out)
    assert (code, told["done"], told["reused"]) == (0, 0, 4)
    left_out = [(problem["subject"], problem["skipped"]) for problem in told["problems"]]
    assert left_out == [("encoder", True), ("paws", True)]  # each can do one of the two tasks that are named
    code, out, _ = xeval("run", *where, "--dry-run", "--explain")
    assert out.count("stored") == 4
    code, out, _ = xeval("show", store)
    assert "chance" in out
    assert "tatoeba" in out
    code, out, _ = xeval("show", store, "--json")
    scores = json.loads(out)["scores"]
    assert 0 <= scores["paws"]["pawsx"]["de"]["accuracy"] <= 1
    assert scores["encoder"]["tatoeba"]["zh"]["items"] == 12
    code, out, _ = xeval("show", store, "--task", "pawsx")
    assert "de" in out
    code, _, err = xeval("show", store, "--task", "pawx")
    assert code == 2
    assert "did you mean 'pawsx'" in err
    code, out, _ = xeval("checkpoints", "ls", models, "--json")
    rows = {row["checkpoint"]: row for row in json.loads(out)}
    assert set(rows) == {"encoder", "paws"}
    assert rows["paws"]["head"] == "BertForSequenceClassification"
    assert rows["paws"]["labels"] == ["different", "paraphrase"]
    assert rows["paws"]["able"] == ["pawsx"]
    assert "tatoeba" in rows["encoder"]["able"]
    assert rows["encoder"]["bytes"] == (models / "encoder/model.safetensors").stat().st_size


def test_one_broken_checkpoint_gives_exit_code_1_and_the_others_go_on(
    xeval: Run, models: Path, tmp_path: Path
) -> None:
    weights = models / "paws" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    data = write_all(tmp_path / "data")
    code, _, err = xeval("run", models, "--data", data, "--store", tmp_path / "s", "--tasks", "pawsx,tatoeba")
    assert code == 1
    assert "broke off" in err
    assert "encoder · tatoeba · de" in err
    code, out, err = xeval("checkpoints", "ls", models)
    assert code == 1
    assert "encoder" in out
    assert "broke off" in err


def test_without_task_names_what_fits_is_run_and_missing_data_is_no_failure(
    xeval: Run, models: Path, tmp_path: Path
) -> None:
    data = write_all(tmp_path / "data")
    (models / "paws").rename(tmp_path / "elsewhere")
    code, _, err = xeval(
        "run", models, "--data", data, "--store", tmp_path / "s", "--languages", "de", "--limit", 3
    )
    assert code == 0, err
    assert "django" in err
    assert "--limit 3" in err


def test_a_damaged_store_file_is_named(xeval: Run, models: Path, tmp_path: Path) -> None:
    data, store = write_all(tmp_path / "data"), tmp_path / "store"
    xeval("run", models, "--data", data, "--store", store, "--tasks", "pawsx")
    victim = sorted(store.rglob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:-5])
    code, out, err = xeval("show", store)
    assert code == 1
    assert victim.name in " ".join(err.split()).replace(" ", "")
    assert "pawsx" in out


def test_cards_make_a_lineage(xeval: Run, models: Path) -> None:
    code, _, err = xeval("checkpoints", "card", models / "paws", "--phase", "target", "--base", "tiny")
    assert code == 2
    assert "--target" in err
    code, _, _ = xeval(
        "checkpoints",
        "card",
        models / "paws",
        "--phase",
        "target",
        "--base",
        "tiny",
        "--target",
        "pawsx-en",
        "--seed",
        1,
    )
    assert code == 0
    code, out, _ = xeval("checkpoints", "ls", models, "--json")
    (paws,) = (row for row in json.loads(out) if row["checkpoint"] == "paws")
    assert paws["target"] == "pawsx-en"
    card = (models / "paws" / "xeval.json").read_text()
    assert '"weights": "' in card


TARGET = ("--phase", "target", "--base", "tiny", "--target", "pawsx-en")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--phase", "target", "--base", "x", "--target", "pawsx_en"),
            "'pawsx_en'; did you mean 'pawsx-en'? For a",
        ),
        (
            (*TARGET, "--condition", "mlni+squad"),
            "unknown training set 'mlni'; did you mean 'mnli'? For a set of your",
        ),
        ((*TARGET, "--condition", "mnli + squad"), "unknown training set 'mnli '; did you mean 'mnli'?"),
        ((*TARGET, "--condition", "a b + c", "--new-names"), "names are joined by + or > without blanks"),
        (("--phase", "target", "--base", " ", "--target", "pawsx-en"), "--base is empty"),
        ((*TARGET, "--seed", "-7"), "greater than or equal to 0"),
        (("--phase", "trget", "--base", "x"), "--phase: Input should be 'base', 'intermediate' or 'target'"),
        (
            ("--phase", "base", "--base", "x", "--target", "mnli"),
            "--target is for the target phase, not for base",
        ),
        (("--phase", "base", "--base", "x", "--condition", "mnli"), "a base has no --condition"),
        (("--phase", "intermediate", "--base", "x"), "needs --condition, the sets that it was trained on."),
    ],
)
def test_a_card_with_nonsense_is_refused(
    xeval: Run, models: Path, options: tuple[str, ...], message: str
) -> None:
    code, _, err = xeval("checkpoints", "card", models / "paws", *options)
    assert (code, message in " ".join(err.replace("│", " ").split())) == (2, True), err
    assert not (models / "paws" / "xeval.json").exists()


def test_a_training_card_is_replaced_on_demand_only(xeval: Run, models: Path) -> None:
    path = models / "paws" / "xeval.json"
    written = ("card", models / "paws", *TARGET, "--condition", "my-set", "--new-names")
    path.write_text("{")
    assert xeval(*written)[0] == 0, "a damaged card is replaced"
    assert xeval(*written)[0] == 0, "so is one that was written by hand"
    trained = json.loads(path.read_text()) | {"recipe": {"steps": 3}}
    path.write_text(json.dumps(trained))
    code, _, err = xeval(*written)
    assert (code, "its card says how it was trained" in " ".join(err.split())) == (2, True)
    assert json.loads(path.read_text()) == trained
    assert xeval(*written, "--force")[0] == 0
    assert json.loads(path.read_text())["recipe"] == {}


def test_no_color_is_respected() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xeval", "ls", "nowhere"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 1
    assert "\x1b[" not in done.stderr
    assert done.stderr.startswith("xeval: nowhere: no such directory")


def test_layer_curves(xeval: Run, models: Path, tmp_path: Path) -> None:
    data, store = write_all(tmp_path / "data"), tmp_path / "store"
    chosen = ("--data", data, "--tasks", "tatoeba", "--languages", "de,zh", "--store", store)
    where = (models / "encoder", *chosen)
    assert xeval("run", *where)[0] == 0
    code, _, err = xeval("show", store, "--layers")
    assert (code, "run with --layers all" in err) == (2, True)
    assert xeval("run", *where, "--layers", "all")[0] == 0
    code, out, _ = xeval("show", store, "--task", "tatoeba", "--layers")
    assert code == 0
    curves = [line.split()[3] for line in out.splitlines() if line.startswith("encoder")]
    assert [len(curve) for curve in curves] == [3, 3]
    assert set("".join(curves)) <= set("▁▂▃▄▅▆▇█")
    _, out, _ = xeval("show", store, "--layers", "--json")
    unit = json.loads(out)["scores"]["encoder"]["tatoeba"]["de"]
    assert unit["signatures"] == {"accuracy": "accuracy|version:1|range:0-1"}
    assert unit["settings"]["layers"] == "all"
    assert {"accuracy@0", "accuracy@1", "accuracy@2"} < unit.keys()


def test_an_error_that_nobody_foresaw_is_one_sentence_and_a_log_file(
    xeval: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("half of nothing")

    monkeypatch.setenv("XEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("xeval.study.machine_facts", broken)
    code, out, err = xeval("doctor")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("xeval: unexpected ZeroDivisionError: half of nothing")
    log = tmp_path / "cache/errors/doctor.log"
    assert str(log) in err
    assert "half of nothing" in log.read_text()
