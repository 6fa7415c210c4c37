"""What the console shows: tables that fit, intervals, the live view, help, completion, and calm ends."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from scipy.stats import t as student

from xeval import cli
from xeval.cli import completion
from xeval.console import display
from xeval.console import score_tables as tables
from xeval.store import METADATA_KEY, Store, UnitRecord, read_scores

Run = Callable[..., tuple[int, str, str]]
WORDS = st.text("abcxyz-/ 漢", min_size=1, max_size=40)
NUMBERS = st.sampled_from(["1.0", "100.0 ±10.5", "−12.34", "", "<.001"])


def drawn(table: Any, width: int) -> list[str]:
    screen = Console(width=width, file=io.StringIO(), highlight=False)
    screen.print(table)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@given(st.data(), st.integers(80, 200))
def test_any_table_fits_and_no_number_is_cut(data: st.DataObject, width: int) -> None:
    columns = data.draw(st.lists(WORDS, min_size=2, max_size=24))
    row = st.tuples(WORDS, *[NUMBERS] * (len(columns) - 1))
    rows = data.draw(st.lists(row, max_size=5))
    lines = drawn(display.table("title", columns, rows, right=1), width)
    assert max(map(cell_len, lines)) <= width
    shown = " ".join(lines)
    for number in {cell for row in rows for cell in row[1:] if cell}:
        assert shown.count(number) >= sum(row[1:].count(number) for row in rows)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5), st.integers(80, 200))
def test_texts_lose_no_letter(rows: list[tuple[str, ...]], width: int) -> None:
    lines = drawn(display.table(None, ("a", "b", "c"), rows), width)
    assert max(map(cell_len, lines), default=0) <= width
    assert sorted("abc" + "".join("".join(row) for row in rows).replace(" ", "")) == sorted(
        "".join(lines).replace(" ", "")
    )


def test_what_does_not_fit_goes_into_blocks_with_the_names_repeated() -> None:
    columns = ["checkpoint", *(f"xhops-small-question-{n}" for n in range(1, 13))]
    rows = [["xhops-small-lookup/xhops-small-question/seed-1", *["61.4 ±2.3"] * 12]]
    lines = drawn(display.table("scores", columns, rows, right=1), 80)
    assert sum(line.startswith("checkpoint") for line in lines) == 3
    assert sum(line.count("61.4 ±2.3") for line in lines) == 12
    assert "xhops-small-lookup/" in {line.split()[0] for line in lines if line.strip()}


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    assert drawn(display.table(None, ("a",), [["[bold]x[/bold]"]]), 80)[1].strip() == "[bold]x[/bold]"


def test_a_piped_table_has_a_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_table(display.table(None, ("name", "n"), [["x" * 300, "1"], ["y", "2"]], right=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["name", "n"], ["x" * 300, "1"], ["y", "2"]]
    display.print_text("long " * 100)
    assert capsys.readouterr().out == "long " * 100 + "\n"


# Scores and intervals


def write_unit(
    store: Path,
    language: str,
    num: np.ndarray,
    clusters: np.ndarray,
    name: str = "one",
    den: float = 1.0,
    **changes: object,
) -> None:
    fields: dict[str, object] = {
        "fingerprint": f"{name}{language}",
        "identity": "i",
        "task": "paws",
        "task_version": 1,
        "kind": "classification",
        "group": "classification",
        "language": language,
        "main_metric": "accuracy",
        "metrics": ["accuracy"],
        "chance": 0.5,
        "checkpoint": name,
        "checkpoint_digest": name,
        "checkpoint_path": name,
        "data_digest": "d",
    } | changes
    record = UnitRecord.model_validate(fields)
    rows = {
        "item_id": [str(number) for number in range(num.size)],
        "cluster_id": [f"c{number}" for number in clusters],
        "hops": [None] * num.size,
        "category": [None] * num.size,
        "prediction": [""] * num.size,
    }
    for metric in record.metrics:
        rows |= {f"{metric}.num": num.tolist(), f"{metric}.den": [den] * num.size}
    Store(store).write(record, rows)


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, np.ndarray]:
    """Two languages of the same 40 clusters of 3 items, with scores that go together."""
    random = np.random.default_rng(7)
    easy = random.random(40)
    clusters = np.repeat(np.arange(40), 3)
    scores = {code: (random.random(120) < easy[clusters]).astype(float) for code in ("de", "zh")}
    for code, num in scores.items():
        write_unit(tmp_path / "store", code, num, clusters)
    return scores


def influence(num: np.ndarray) -> np.ndarray:
    """Of every cluster of 3 on the ratio sum(num) / sum(den), with all den = 1."""
    return (num - num.mean()).reshape(40, 3).sum(axis=1) / num.size  # type: ignore[no-any-return]


def test_intervals_count_clusters_within_and_across_languages(
    xeval: Run, stored: dict[str, np.ndarray], tmp_path: Path
) -> None:
    # t interval of a linearised ratio: variance = C / (C - 1) * sum of squared influences of the C clusters.
    def half(values: np.ndarray) -> float:
        return float(student.ppf(0.975, 39) * np.sqrt(40 / 39 * np.sum(values**2)))

    code, out, _ = xeval("show", tmp_path / "store", "--intervals", "--json")
    by_language = json.loads(out)["scores"]["one"]["paws"]
    assert code == 0
    for lang, num in stored.items():
        low, high = by_language[lang]["interval"]
        assert (low + high) / 2 == pytest.approx(num.mean())
        assert (high - low) / 2 == pytest.approx(half(influence(num)))
    together = half((influence(stored["de"]) + influence(stored["zh"])) / 2)
    mean = (stored["de"].mean() + stored["zh"].mean()) / 2
    _, out, _ = xeval("show", tmp_path / "store", "--intervals")
    assert f"{100 * mean:.1f} ±{100 * together:.1f}" in out
    assert "of new training seeds it says nothing" in out
    apart = np.sqrt(half(influence(stored["de"])) ** 2 + half(influence(stored["zh"])) ** 2) / 2
    assert together > 1.1 * apart  # what would come out if the clusters were taken for different ones
    _, out, _ = xeval("show", tmp_path / "store", "--task", "paws", "--intervals")
    assert f"{100 * stored['zh'].mean():.1f} ±{100 * half(influence(stored['zh'])):.1f}" in out
    _, out, _ = xeval("show", tmp_path / "store", "--json")
    assert "interval" not in out


def test_a_single_cluster_has_no_interval_and_equal_items_no_interval_of_nothing(
    xeval: Run, tmp_path: Path
) -> None:
    write_unit(tmp_path / "store", "de", np.array([1.0, 0.0]), np.array([0, 0]), "single")
    write_unit(tmp_path / "store", "de", np.ones(50), np.arange(50), "all-right")
    _, out, _ = xeval("show", tmp_path / "store", "--intervals")
    assert re.search(r"single +50\.0 ± +\?", out)
    wide = re.search(r"all-right +100\.0 ±([\d.]+)", out)
    assert wide is not None
    # 1 - 0.025^(1/50): the share of wrong items that 50 right ones leave possible (exact binomial bound).
    assert float(wide[1]) == pytest.approx(100 * (1 - 0.025 ** (1 / 50)), abs=0.06)
    _, out, _ = xeval("show", tmp_path / "store", "--intervals", "--json")
    assert json.loads(out)["scores"]["single"]["paws"]["de"]["interval"] == [None, None]


def test_what_there_is_more_of_goes_downwards(tmp_path: Path) -> None:
    for code in ("de", "es", "fr", "zh"):
        write_unit(tmp_path, code, np.ones(4), np.arange(4))
    lines = drawn(tables.render(tables.summarise(tmp_path, task="paws"), by_language=True), 80)
    assert [line.split() for line in lines[1:]] == [
        ["language", "one", "chance"],
        *[[code, "100.0", "50.0"] for code in ("de", "es", "fr", "zh")],
    ]


def test_json_shows_what_the_table_shows_of_one_task_and_of_layers(xeval: Run, tmp_path: Path) -> None:
    write_unit(tmp_path, "de", np.ones(4), np.arange(4))
    write_unit(tmp_path, "de", np.zeros(4), np.arange(4), task="xnli")
    swept = {"metrics": ["accuracy", "accuracy@0", "accuracy@1"], "settings": {"layer": 1, "layers": "all"}}
    write_unit(tmp_path, "de", np.ones(4), np.arange(4), task="tatoeba", **swept)

    def tasks(*arguments: str) -> list[str]:
        code, out, _ = xeval("show", tmp_path, "--json", *arguments)
        assert code == 0
        return sorted(json.loads(out)["scores"]["one"])

    assert tasks() == ["paws", "tatoeba", "xnli"]
    assert tasks("--task", "xnli") == tasks("--task", "xnli", "--intervals") == ["xnli"]
    assert tasks("--layers") == ["tatoeba"]
    for arguments in (("--task", "xnil"), ("--layers", "--task", "xnli")):
        found = [xeval("show", tmp_path, *arguments, *json_too) for json_too in ((), ("--json",))]
        assert [code for code, _, _ in found] == [2, 2]
        assert found[0][2] == found[1][2] != ""


def test_where_there_is_nothing_to_score_the_means_are_over_the_rest_and_say_so(
    xeval: Run, tmp_path: Path
) -> None:
    for code, den in (("de", 0.0), ("en", 1.0)):
        write_unit(tmp_path, code, np.array([den, 0.0]), np.arange(2), den=den)
        write_unit(tmp_path, "de", np.zeros(2), np.arange(2), "other", den=0.0)
    code, out, err = xeval("show", tmp_path)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:4]] == [
        ["checkpoint", "paws"],
        ["one", "50.0"],
        ["other", "-"],
    ]
    assert "one · paws: nothing to score in de; means are over the other languages" in out
    _, out, _ = xeval("show", tmp_path, "--task", "paws", "--intervals")
    assert re.search(r"one +- +50\.0", out)
    for arguments in ((), ("--intervals",), ("--task", "paws")):
        code, out, _ = xeval("show", tmp_path, "--json", *arguments)
        assert code == 0
        found = json.loads(out)["scores"]["one"]["paws"]
        assert (found["de"]["accuracy"], found["en"]["accuracy"]) == (None, 0.5)


def test_a_number_that_is_none_is_null_in_every_json(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_json({"a": [float("nan"), (1.5, float("-inf"))], "b": np.float64("nan"), "c": "NaN"})
    assert json.loads(capsys.readouterr().out) == {"a": [None, [1.5, None]], "b": None, "c": "NaN"}


def test_a_collapsed_checkpoint_and_a_smoke_run_are_marked(xeval: Run, tmp_path: Path) -> None:
    write_unit(
        tmp_path, "de", np.ones(4), np.arange(4), limit=4, constant="neutral", remarks=["mind the gap"]
    )
    write_unit(tmp_path, "de", np.ones(4), np.arange(4), "fine", limit=4)
    lineage = {"phase": "target", "condition": "squad", "collapsed": "the loss stayed at 1.10"}
    write_unit(tmp_path, "de", np.ones(4), np.arange(4), "lost", limit=4, lineage=lineage)
    for arguments in ((), ("--task", "paws")):
        _, out, _ = xeval("show", tmp_path, "--limit", "4", *arguments)
        assert "of the first 4 items only (--limit)" in out.splitlines()[0]
        assert re.findall(r"(\w+) +100\.0(†?)", out) == [("fine", ""), ("lost", "†"), ("one", "†")]
        assert "† one gives all items one answer ('neutral'): paws (de)" in out
        assert "† lost collapsed in training: the loss stayed at 1.10: paws (de)" in out
        assert "one · paws (de): mind the gap" in out
    _, out, _ = xeval("show", tmp_path, "--limit", "4", "--json")
    found = json.loads(out)
    assert found["limit"] == 4
    units = {name: tasks["paws"]["de"] for name, tasks in found["scores"].items()}
    assert {name: (unit["constant"], unit["collapsed"]) for name, unit in units.items()} == {
        "one": ("neutral", None),
        "fine": (None, None),
        "lost": (None, "the loss stayed at 1.10"),
    }
    frame = read_scores(tmp_path, limit=4).drop_duplicates("name").set_index("name")
    assert frame["constant"].to_dict() == {"one": True, "fine": False, "lost": False}
    assert frame["collapsed"].to_dict() == {"one": "", "fine": "", "lost": "the loss stayed at 1.10"}
    assert set(frame["limit"]) == {4}


def test_files_without_digests_are_counted(xeval: Run, tmp_path: Path) -> None:
    write_unit(tmp_path, "de", np.ones(4), np.arange(4))
    write_unit(tmp_path, "fr", np.ones(4), np.arange(4))
    _, out, _ = xeval("show", tmp_path, "--json")
    assert json.loads(out)["unchecked"] == 0
    (path,) = tmp_path.rglob("onefr-i.parquet")
    rows = pq.read_table(path)
    text = rows.schema.metadata[METADATA_KEY].replace(b'"schema_version":2', b'"schema_version":1')
    pq.write_table(rows.replace_schema_metadata({METADATA_KEY: text}), path)
    _, out, _ = xeval("show", tmp_path, "--json")
    assert json.loads(out)["unchecked"] == 1
    assert "1 of 2 results were stored without digests" in xeval("show", tmp_path)[2]


def test_ctrl_c_says_what_is_kept(xeval: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "summarise", interrupt)
    code, out, err = xeval("show", tmp_path)
    assert (code, out) == (130, "")
    assert err == "xeval: stopped; what is finished is kept, the same command goes on from there.\n"


# The view of what is running


def terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Console:
    screen = Console(
        width=80, force_terminal=True, file=io.StringIO(), _environ={"TERM": "xterm", **environment}
    )
    monkeypatch.setattr(display, "console", lambda *_, **__: screen)
    return screen


def written(screen: Console) -> str:
    return screen.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", text)


def test_the_live_view_says_how_far_how_fast_and_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("xeval.console.display.time.monotonic", lambda: clock[0])
    screen = terminal(monkeypatch)
    with display.Steps("evaluate", 4, pieces=4) as steps:
        steps.advance(1)
        steps.finished("a · xnli · de: accuracy 50.0")
        clock[0] += 60
        steps.advance(1)
        steps.failed("a · xnli · zh: FAILED: out of memory")
        steps.now("a · xnli · fr: 10 of 20 sequences, 5 a second")
        assert steps._live is not None
        steps._live.refresh()
    text = plain(written(screen))
    assert "50% 2 of 4 units 2.0 a minute" in text
    assert "1 min 00 s gone, about 1 min 00 s left" in text
    assert "now: a · xnli · fr: 10 of 20 sequences, 5 a second" in text
    assert "1 failed, the last: a · xnli · zh: FAILED: out of memory" in text
    assert "evaluate: ended after 1 min 00 s, 1 failed" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_done_before_does_not_count_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xeval.console.display.time.monotonic", lambda: clock[0])
    with display.Steps("mine", 10) as steps:
        steps.skip(6)
        clock[0] += 1
        steps.say("begun")
        clock[0] += 59
        steps.advance(2)
        steps.say("half of the rest")
    assert capsys.readouterr().err.splitlines()[1:3] == ["begun", "half of the rest  [80%, 1 min 00 s left]"]


def test_without_a_terminal_there_is_a_line_per_piece(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xeval.console.display.time.monotonic", lambda: clock[0])
    with display.Steps("evaluate", 2, pieces=2) as steps:
        steps.now("never shown")
        clock[0] += 30
        for name in ("de", "zh"):
            steps.advance(1)
            steps.finished(name)
    assert capsys.readouterr().err.splitlines() == [
        "evaluate: started",
        "de  [1 of 2, 50%, 30 s left]",
        "zh  [2 of 2]",
        "evaluate: ended after 30 s",
    ]


@pytest.mark.parametrize(
    ("environment", "forbidden"), [({"TERM": "dumb"}, "\x1b"), ({"NO_COLOR": "1"}, "31m")]
)
def test_simple_terminals_get_what_they_can_show(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], forbidden: str
) -> None:
    screen = terminal(monkeypatch, **environment)
    with display.Steps("evaluate", 2, pieces=2) as steps:
        steps.failed("it broke")
    assert "it broke" in written(screen)
    assert forbidden not in written(screen)


def test_sentences_break_between_words_and_paths_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch, NO_COLOR="1")
    path = "/data/" + "x" * 120
    display.print_text(f"{path}: no such store; " + "make one " * 20, lead="xeval:", stderr=True)
    lines = plain(written(screen)).splitlines()
    assert path in " ".join(lines)
    assert all(len(line) <= 80 for line in lines if path not in line)
    assert "make one make one" in lines[-1]


# Help, options and completion


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


ALL = dict(commands(typer.main.get_command(cli.app)))
TREE = {path: command for path, command in ALL.items() if not command.hidden and path[0] != "xhops"}


def test_about_a_dozen_commands_and_the_former_names_go_on_working(xeval: Run) -> None:
    top = {path[0] for path in TREE}
    assert len(top) == 14
    former = {path for path in ALL if path not in TREE}
    for name in ("plan", "depth", "ls", "card", "base", "tasks", "sql"):
        assert (name,) in former
    assert ("xhops", "write") in former
    assert xeval("tasks", "--json") == xeval("data", "tasks", "--json")


def test_every_command_shows_an_example_of_itself() -> None:
    for path, command in TREE.items():
        assert f"`xeval {' '.join(path)}" in command.help.partition("Example: ")[2], path
        for option in command.params:
            assert option.help or option.hidden, (path, option.name)


def test_every_command_that_prints_a_table_prints_json() -> None:
    writes = {"card", "base", "train", "study", "demo", "xhops"}
    for path, command in TREE.items():
        if hasattr(command, "commands") or path[0] == "export" or path[-1] in writes:
            continue
        assert any("--json" in option.opts for option in command.params), path


def test_the_help_fits_80_columns_and_its_panels_follow_the_work(
    xeval: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for path in [(), *TREE]:
        _, out, _ = xeval(*path, "--help")
        assert max(map(len, out.splitlines())) <= 80, path
    _, out, _ = xeval("--help")
    panels = re.findall(r"─ ([A-Z]\w+(?: \w+)+) ─", out)
    assert panels == ["Evaluate checkpoints", "Look at results", "Make checkpoints"]


def test_mining_and_evaluation_take_the_same_options() -> None:
    def names(*path: str) -> set[str]:
        return {option.name for option in TREE[path].params}

    assert {"recipe", "layer", "margin", "k", "matching"} <= names("mine") & names("run")
    assert not {"direction", "layers"} & names("mine")


def test_a_wrong_command_or_option_gets_the_nearest(xeval: Run) -> None:
    assert "'show'" in xeval("shwo")[2]
    assert "--limit" in xeval("show", "--limt", "3")[2].replace("--limt", "")


def test_names_are_completed_after_the_last_comma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEVAL_CACHE", str(tmp_path))
    offer = completion.listed(completion.tasks)
    assert offer("xn") == ["xnli"]
    assert offer("xnli,paw") == ["xnli,pawsx"]
    assert "xnli,xnli" not in offer("xnli,x")
    assert completion.listed(completion.languages)("de,f") == ["de,fa", "de,fi", "de,fr"]
    assert completion.one_of(completion.recipes)("j") == ["jiant"]


def test_task_names_are_kept_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEVAL_CACHE", str(tmp_path))
    known = completion.tasks()
    kept = tmp_path / "completion.json"
    kept.write_text(kept.read_text().replace("pawsx", "kept-one"))
    assert "kept-one" in completion.tasks()
    for damaged in ("{", "[]", '{"state": "older", "tasks": ["kept-one"]}'):
        kept.write_text(damaged)
        assert completion.tasks() == known


@pytest.mark.usefixtures("stored")
def test_completion_in_a_shell_imports_nothing_heavy(tmp_path: Path) -> None:
    def complete(line: str, *forbidden: str) -> list[str]:
        code = (
            "import sys; sys.argv = ['xeval']\n"
            "from xeval import cli\n"
            "try: cli.main()\nexcept SystemExit: pass\n"
            f"heavy = set({forbidden!r}) & set(sys.modules)\n"
            "sys.exit(f'imported {heavy}' if heavy else 0)"
        )
        environment = {
            **os.environ,
            "_XEVAL_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
            "XEVAL_CACHE": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    heavy = ("torch", "transformers", "pandas", "scipy", "numpy", "pyarrow")
    complete("xeval run m --tasks x")  # fills the folder of kept names
    assert complete("xeval run m --tasks xnli,paw", *heavy) == ["xnli,pawsx"]
    assert complete("xeval run m --languages sw", *heavy) == ["sw"]
    assert complete(f"xeval show {tmp_path}/store --task p", *heavy) == ["paws"]
    assert complete(f"xeval compare {tmp_path}/store o", *heavy[:4]) == ["one"]


# Ends


def ending(code: str, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    program = (
        "import os, signal, sys, time\nsys.argv = ['xeval', 'end']\nfrom xeval import cli\n"
        f"@cli.app.command(rich_help_panel='Look at results')\ndef end() -> None:\n    {code}\ncli.main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


def test_a_request_to_end_is_taken_calmly() -> None:
    done = ending("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)")
    assert done.returncode == 143
    assert done.stderr == "xeval: stopped; what is finished is kept, the same command goes on from there.\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = ending("print('x')", full)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "xeval: No space left on device; put it right and give the same command again."
    ]


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = ending("print('x' * 100_000)", closed)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_without_utf8_gets_question_marks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xeval", "tasks", "--json"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
