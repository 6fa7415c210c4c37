"""What the commands print with --json is what docs/output.schema.json says."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from test_cli_console import TREE

from xeval.checkpoints import Lineage

Run = Callable[..., tuple[int, str, str]]
SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "output.schema.json").read_text(encoding="utf-8"))
EVALUATION = "runs --data data --store results --tasks pawsx --languages de,zh"
CALLS = {
    "run": f"run {EVALUATION}",
    "run --dry-run": f"run {EVALUATION} --dry-run --explain",
    "show": "show results --intervals",
    "show --depth": "show by-sentence --depth",
    "report": "report scores.parquet -o report",
    "report --published": "report --published phang2020 -o published",
    "compare": "compare scores.parquet none mnli",
    "doctor": "doctor",
    "checkpoints ls": "checkpoints ls runs",
    "data tasks": "data tasks",
    "data check": "data check data --tasks pawsx",
    "mine": "mine source.npy target.npy",
    "mine --dry-run": "mine source.npy target.npy --dry-run",
    "score": "score submission/mnli labels",
    "power": "power power.toml",
    "train --dry-run": "train study.toml --dry-run",
    "export sql": "export sql results units",
}


def test_the_schema_names_every_command_that_prints_json() -> None:
    printing = {
        " ".join(path) for path, command in TREE.items() if any("--json" in o.opts for o in command.params)
    }
    assert {name.partition(" --")[0] for name in SCHEMA["commands"]} == printing
    assert set(CALLS) == set(SCHEMA["commands"])


@pytest.mark.parametrize("name", CALLS)
def test_what_is_printed_fits_the_schema(
    name: str,
    example_folder: Path,
    make_checkpoint: Callable[..., Path],
    xeval: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(example_folder)
    vectors = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    np.save("source.npy", vectors[0])
    np.save("target.npy", vectors[1])
    if name == "show --depth":
        make_checkpoint(Path("readers/qa"), "ForQuestionAnswering")
        Lineage(phase="target", base="tiny", target="squad", seed=0).write(Path("readers/qa"))
        tasks = ("--data", "data", "--tasks", "xquad,xquad-depth", "--languages", "de")
        assert xeval("run", "readers", *tasks, "--store", "by-sentence")[0] == 0
    if name == "power":
        text = Path("study.toml").read_text().replace("xhops-question-1", "xhops-question-2")
        text = text.replace("baseline = 1, intermediate = [7]", "baseline = 2, intermediate = 2")
        Path("power.toml").write_text(text)
    if name == "score":
        assert xeval("export", "xtreme", "results", "-o", "submission")[0] == 0
        for path in Path("submission/mnli").rglob("*.tsv"):
            labels = Path("labels") / path.relative_to("submission/mnli")
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(f"{number % 2}\n" for number in range(12)))
    words = CALLS[name].split()
    if name == "export sql":
        pytest.importorskip("duckdb")
        words[-1] = "select * from units"
    code, out, err = xeval(*words, "--json")
    assert out, err
    jsonschema.validate(json.loads(out), {"$defs": SCHEMA["$defs"], **SCHEMA["commands"][name]})
    assert code in (0, 1)
