"""What is exported reads back: the same scores, intervals by the formula, records and cards as their formats ask."""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeval.analysis.frame.tidy import check, load
from xeval.digests import text_digest
from xeval.errors import DataError, Remark, UsageError
from xeval.interop import writers as exports
from xeval.interop.writers.latex import escape
from xeval.interop.writers.model_card import BEGIN, END, write_model_index
from xeval.store import Store, UnitRecord, read_scores

Run = Callable[..., tuple[int, str, str]]
needs_duckdb = pytest.mark.skipif(
    importlib.util.find_spec("duckdb") is None, reason="DuckDB is not installed"
)

ROWS = 2 * 2 * 3 * 12 * (1 + 2)  # conditions, seeds, languages, items; one metric of nli_x and two of hop%qa

# The fields that eval.schema.json of Every Eval Ever, version 0.3.0, requires.
REQUIRED = {
    "": "schema_version evaluation_id retrieved_timestamp source_metadata model_info eval_library evaluation_results",
    "source_metadata": "source_type source_organization_name evaluator_relationship",
    "eval_library": "name version",
    "model_info": "name id additional_details",
    "model_info.additional_details": "deployment_type model_availability",
    "result": "evaluation_name source_data metric_config score_details",
    "result.source_data": "dataset_name source_type",
    "result.metric_config": "lower_is_better min_score max_score",
    "result.score_details": "score",
    "result.score_details.uncertainty.standard_error": "value",
    "result.score_details.uncertainty.confidence_interval": "lower upper",
}


def fill(root: Path, *, limit: int | None = None, constant: str | None = None, collapsed: str = "") -> Path:
    """A store: two targets, two conditions of two seeds, three languages; awkward names, digits and missing values."""
    rng = np.random.default_rng(5)
    for target, group, kind in (
        ("nli_x", "classification", "classification"),
        ("hop%qa", "multi-hop QA", "span_qa"),
    ):
        for condition in ("none", "squad"):
            for seed, lang in ((seed, lang) for seed in (0, 1) for lang in ("en", "ar", "nan")):
                num = rng.integers(0, 2, 12) / 3.0 if kind == "span_qa" else rng.integers(0, 2, 12) * 1.0
                name = f"{condition}/{target}/seed-{seed}"
                record = UnitRecord(
                    fingerprint=text_digest(name, lang),
                    identity="12345678",
                    task=target,
                    task_version=1,
                    kind=kind,
                    group=group,
                    language=lang,
                    main_metric="f1_mixed" if kind == "span_qa" else "accuracy",
                    metrics=["f1_mixed", "em_mixed"] if kind == "span_qa" else ["accuracy"],
                    signatures={"accuracy": "accuracy|version:1|range:0-1"},
                    chance=None if kind == "span_qa" else 1 / 3,
                    limit=limit,
                    settings={"max_length": 128, "layers": ""},
                    checkpoint=name,
                    checkpoint_digest=text_digest(name),
                    checkpoint_path=name,
                    data_digest="d",
                    lineage={
                        "phase": "target",
                        "base": "b",
                        "condition": condition,
                        "seed": seed,
                        "target": target,
                        "parent": f"{condition}-{seed}",
                        "collapsed": collapsed or None,
                    },
                    constant=constant,
                    software={"xeval": "0.1.0", "numpy": "2"},
                    dtype="float32",
                    finished="2026-01-01T00:00:00+00:00",
                )
                rows: dict[str, list[object]] = {
                    "item_id": [f"{target}-{n}" for n in range(12)],
                    "cluster_id": [f"{target}-{n // 2}" for n in range(12)],
                    "hops": [2] * 12,
                    "category": [""] * 12,
                    "prediction": ["بله"] * 12,
                }
                for metric in record.metrics:
                    rows[f"{metric}.num"], rows[f"{metric}.den"] = num.tolist(), [1.0] * 12
                Store(root).write(record, rows)
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("exports") / "store")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_exported_tables_are_the_same_scores(xeval: Run, store: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"scores.{form}"
    code, out, err = xeval("export", form, store, "-o", path)
    assert (code, out) == (0, "")
    assert f"wrote {ROWS} rows" in err
    again = load(path)
    pd.testing.assert_frame_equal(check(again), check(read_scores(store)))
    assert set(again.columns) == set(read_scores(store).columns)
    assert set(again["unit"]) == set(
        read_scores(store)["unit"]
    )  # what the report's provenance is a digest of


def test_limited_results_are_exported_apart(xeval: Run, tmp_path: Path) -> None:
    fill(tmp_path / "store", limit=12)
    code, _, err = xeval("export", "csv", tmp_path / "store", "-o", tmp_path / "s.csv")
    assert code == 1
    assert "holds no results yet; it holds some with --limit 12." in err
    assert "holds no results yet; it holds some with --limit 12." in xeval("show", tmp_path / "store")[2]
    assert (
        "with --limit 5 yet; it holds some with --limit 12."
        in xeval("show", tmp_path / "store", "--limit", 5)[2]
    )
    assert xeval("export", "csv", tmp_path / "store", "-o", tmp_path / "s.csv", "--limit", 12)[0] == 0


def test_latex_has_a_table_per_condition_with_escaped_names(xeval: Run, store: Path, tmp_path: Path) -> None:
    code, _, err = xeval("export", "latex", store, "-o", tmp_path / "t.tex")
    assert code == 0
    assert "wrote 2 tables" in err
    text = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}{lrr}") == 2  # more languages than tasks: a row a language
    assert r"language & hop\%qa & nli\_x \\" in text
    assert "after squad" in text
    assert "mean over 2 runs" in text
    assert "12 items" in text
    for line in text.splitlines():
        bare = line.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}")
        assert line.count(r"\midrule") == 0 or line == r"\midrule"


def test_the_width_in_latex_is_that_of_the_formula(tmp_path: Path) -> None:
    """One run, four items, three right: 75 ± t(0.975; 3) * sqrt(4/3 * (3 * 0.0625 + 0.5625)) / 4 * 100 = 79.6."""
    rows = []
    for condition, nums in (("none", [1, 1, 1, 0]), ("squad", [1, 1, 0, 0])):
        for lang in ("en", "de"):
            rows += [
                {
                    "condition": condition,
                    "target": "t",
                    "group": "classification",
                    "seed": -1,
                    "lang": lang,
                    "item_id": n,
                    "cluster_id": n,
                    "hops": 0,
                    "metric": "accuracy",
                    "num": num,
                    "den": 1,
                }
                for n, num in enumerate(nums)
            ]
    pd.DataFrame(rows).to_csv(tmp_path / "s.csv", index=False)
    exports.export_latex(tmp_path / "s.csv", tmp_path / "t.tex")
    text = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert r"de & $75.0_{\pm 79.6}$" in text
    assert "interval over new items." in text


@given(st.text(max_size=30))
def test_escaped_text_holds_no_bare_special_character(text: str) -> None:
    left = escape(text)
    for command in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}"):
        left = left.replace(command, "")
    left = re.sub(r"\\[&%$#_{}]", "", left)
    assert not set(left) & set("\\&%$#_{}~^")


def read_records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]


def test_records_hold_what_every_eval_ever_requires(xeval: Run, store: Path, tmp_path: Path) -> None:
    code, _, err = xeval("export", "eee", store, "-o", tmp_path / "e", "--organization", "A lab/b")
    assert code == 0
    assert "wrote 8 records" in err
    for path in (tmp_path / "e").rglob("*.json"):
        where = path.relative_to(tmp_path / "e").as_posix()
        uuid4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
        assert re.fullmatch(rf"data/xeval/A_lab_b/[\w.+-]+/{uuid4}\.json", where)
    for record in read_records(tmp_path / "e"):
        for place, names in REQUIRED.items():
            holders = [record] if not place.startswith("result") else record["evaluation_results"]
            for part in place.removeprefix("result").strip(".").split(".") if place else []:
                holders = [holder[part] for holder in holders] if part else holders
            assert all(set(names.split()) <= set(holder) for holder in holders), place
        assert record["schema_version"] == "0.3.0"
        details = [record["model_info"]["additional_details"], record["eval_library"]["additional_details"]]
        for result in record["evaluation_results"]:
            assert 0 <= result["score_details"]["score"] <= 1
            details += [
                holder["additional_details"] for holder in result.values() if "additional_details" in holder
            ]
        assert all(isinstance(value, str) for one in details for value in one.values())


def test_a_record_has_every_metric_with_its_interval_over_items(store: Path, tmp_path: Path) -> None:
    exports.export_records(store, tmp_path, organization="lab", checkpoint="squad/hop%qa/seed-1")
    (record,) = read_records(tmp_path)
    names = [
        (one["evaluation_name"], one["metric_config"]["metric_name"]) for one in record["evaluation_results"]
    ]
    assert names == [
        (f"hop%qa.{lang}", metric) for lang in ("ar", "en", "nan") for metric in ("f1_mixed", "em_mixed")
    ]
    frame = read_scores(store)
    rows = frame[(frame["name"] == "squad/hop%qa/seed-1") & (frame["lang"] == "ar") & frame["main"]]
    found = record["evaluation_results"][0]["score_details"]
    score = rows["num"].sum() / rows["den"].sum()
    assert found["score"] == pytest.approx(score)
    # The standard error of a ratio, linearised, over the six clusters of two items.
    residual = (rows["num"] - score * rows["den"]).groupby(rows["cluster_id"]).sum() / rows["den"].sum()
    error = np.sqrt(6 / 5 * (residual**2).sum())
    assert found["uncertainty"]["standard_error"]["value"] == pytest.approx(error)
    interval = found["uncertainty"]["confidence_interval"]
    assert interval["upper"] - score == pytest.approx(2.5705818356 * error)  # t(0.975; 5)
    assert interval["confidence_level"] == 0.95


def test_the_same_store_gives_the_same_records(store: Path, tmp_path: Path) -> None:
    first = exports.export_records(store, tmp_path / "a", organization="lab")
    second = exports.export_records(store, tmp_path / "b", organization="lab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.name for path in first] == [path.name for path in second]


def test_the_model_index_reads_back_through_the_hubs_library(xeval: Run, store: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    name = "squad/nli_x/seed-0"
    code, block, _ = xeval("export", "model-card", store, "--checkpoint", name, "--name", "mine")
    assert code == 0
    card = ModelCard(f"---\n{block}---\n")
    assert card.data.model_name == "mine"
    frame = read_scores(store)
    rows = frame[(frame["name"] == name) & frame["main"]]
    expected = {lang: part["num"].mean() for lang, part in rows.groupby("lang")}
    assert {one.dataset_config: one.metric_value for one in card.data.eval_results} == pytest.approx(
        expected, abs=1e-6
    )
    one = card.data.eval_results[0]
    assert (one.task_type, one.dataset_type, one.metric_type) == ("text-classification", "nli_x", "accuracy")
    assert one.metric_args == {"signature": "accuracy|version:1|range:0-1"}
    readme = tmp_path / "README.md"
    assert xeval("export", "model-card", store, "--checkpoint", name, "--readme", readme)[0] == 0
    assert ModelCard.load(readme).data.model_name == "seed-0"


BLOCK = "model-index:\n- name: m\n  results: []\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "# A title\n\ntext --- text\n",
        "---\nlicense: mit\n# a remark\n---\n# A title\n",
        "---\n---\nbody\n",
        "---\nlicense: mit\n---",
    ],
)
def test_the_block_is_put_into_a_readme_and_replaced_there(tmp_path: Path, text: str, newline: str) -> None:
    import yaml

    readme = tmp_path / "README.md"
    if text:
        readme.write_bytes(text.replace("\n", newline).encode())
    write_model_index(readme, BLOCK.replace("m\n", "old\n", 1))
    write_model_index(readme, BLOCK)
    first = readme.read_bytes().decode()
    write_model_index(readme, BLOCK)
    assert readme.read_bytes().decode() == first
    assert ("\r\n" in first) == (newline == "\r\n" and bool(text))
    plain = first.replace("\r\n", "\n")
    assert plain.count(BEGIN) == plain.count(END) == 1
    metadata = yaml.safe_load(plain.split("---\n")[1])
    assert metadata["model-index"] == [{"name": "m", "results": []}]
    left = plain.replace(f"{BEGIN}\n{BLOCK}{END}\n", "")
    if text.startswith("---\nlicense"):
        assert left == text.rstrip("\n") + "\n"
    else:
        assert left.removeprefix("---\n---\n").strip() == text.removeprefix("---\n---\n").strip()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("---\nmodel-index: []\n---\n", "hold a model-index already"),
        (f"---\n{BEGIN}\n---\n", "only one of the lines"),
    ],
)
def test_a_model_index_of_somebody_else_is_left_alone(tmp_path: Path, text: str, sentence: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(DataError, match=sentence):
        write_model_index(readme, BLOCK)
    assert readme.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (("csv", "nowhere"), "no such store", 1),
        (("csv", "STORE", "-o", "scores.txt"), "ends in .csv", 2),
        (("parquet", "STORE", "-o", "/proc/x/s.parquet"), "cannot be written", 1),
        (("latex", "nowhere.csv"), "no such file", 2),
        (("eee", "STORE", "--relationship", "friend"), "first_party, third_party", 2),
        (("eee", "STORE", "--organization", " "), "name who provides", 2),
        (("eee", "STORE", "--checkpoint", "none/nli_x/sed-0"), "did you mean 'none/nli_x/seed-0'", 2),
        (("model-card", "STORE"), "several checkpoints", 2),
    ],
)
def test_wrong_use_is_one_sentence(
    xeval: Run,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, out, err = xeval("export", *(str(store) if word == "STORE" else word for word in arguments))
    assert (ended, out) == (code, "")
    assert sentence in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.rglob("*.partial")) == []


def test_two_checkpoints_of_one_name_are_exported_apart(store: Path, tmp_path: Path) -> None:
    path, record = Store(store).records()[0][0]
    rows = Store(store).read(path)[1]
    other = {"checkpoint_digest": "other", "checkpoint_path": "else/where", "fingerprint": "1" * 32}
    for changes in ({}, other):
        Store(tmp_path / "s").write(record.model_copy(update=changes), rows)
    with (
        pytest.warns(Remark),
        pytest.raises(UsageError, match="--checkpoint: else/where, squad/hop%qa/seed-0"),
    ):
        exports.model_index(tmp_path / "s")
    with pytest.warns(Remark):
        written = exports.export_records(tmp_path / "s", tmp_path / "out", organization="o")
    assert [json.loads(path.read_text())["model_info"]["name"] for path in written] == [
        "else/where",
        "squad/hop%qa/seed-0",
    ]


def test_smoke_runs_and_collapsed_checkpoints_are_told_in_every_format(xeval: Run, tmp_path: Path) -> None:
    store = fill(tmp_path / "s", limit=12, constant="yes", collapsed="flat loss")
    for form in ("csv", "parquet", "store"):
        source = store if form == "store" else tmp_path / f"scores.{form}"
        if form != "store":
            xeval("export", form, store, "-o", source, "--limit", 12)
            again = pd.read_csv(source) if form == "csv" else pd.read_parquet(source)
            assert (set(again["limit"]), set(again["constant"])) == ({12.0}, {True})
        text = latex(source, tmp_path / "scores.tex", limit=12)
        assert text.count(r"\caption{Of the first 12 items only. ") == 2
        assert text.count(r"^{\dagger}_{\pm") == text.count(r"_{\pm") > 0
        assert r"$\dagger$: a run gave all items one answer" in text
    card = exports.model_index(store, "none/nli_x/seed-0", limit=12)
    assert ("first 12 items" in card, "constant: 'yes'" in card, "collapsed: flat loss" in card) == (
        True,
    ) * 3
    (written,) = exports.export_records(
        store, tmp_path / "eee", organization="o", checkpoint="none/nli_x/seed-0", limit=12
    )
    result = json.loads(written.read_text())["evaluation_results"][0]
    assert result["source_data"]["additional_details"]["items"] == "the first 12"
    details = result["metric_config"]["additional_details"]
    assert (details["constant"], details["collapsed"]) == ("yes", "flat loss")


def latex(source: Path, out: Path, **options: Any) -> str:
    exports.export_latex(source, out, **options)
    return out.read_text(encoding="utf-8")


def test_settings_choose_what_is_exported(xeval: Run, store: Path, tmp_path: Path) -> None:
    path, record = Store(store).records()[0][0]
    rows = Store(store).read(path)[1]
    changes = {
        "settings": {"max_length": 64, "layers": ""},
        "changed": {"max_length": 64},
        "fingerprint": "1" * 32,
    }
    for update in ({"changed": {}}, changes):
        Store(tmp_path / "s").write(record.model_copy(update=update), rows)
    for arguments, unit in ((), record.fingerprint), (("--setting", "max_length=64"), "1" * 32):
        code, _, err = xeval("export", "csv", tmp_path / "s", "-o", tmp_path / "scores.csv", *arguments)
        assert code == 0
        assert ("--setting max_length=64 chooses" in err) == (not arguments)
        assert set(pd.read_csv(tmp_path / "scores.csv")["unit"].astype(str)) == {unit}
    code, _, err = xeval(
        "export", "csv", tmp_path / "s", "-o", tmp_path / "scores.csv", "--setting", "max_length"
    )
    assert (code, "such as layer=7" in err) == (2, True)


@needs_duckdb
def test_sql_sees_scores_with_predictions_and_units(xeval: Run, store: Path) -> None:
    frame, key = read_scores(store), ["unit", "metric", "item_id"]
    frame = frame.astype(dict.fromkeys(frame.select_dtypes("category").columns, str))
    answer = exports.query(store, "select * from scores")
    held = pd.DataFrame(answer.rows, columns=list(answer.columns))
    assert set(held.columns) == set(frame.columns) | {"category", "prediction"}
    held["limit"] = held["limit"].astype(float)
    pd.testing.assert_frame_equal(
        held.sort_values(key, ignore_index=True)[list(frame.columns)],
        frame.sort_values(key, ignore_index=True),
        check_dtype=False,
    )
    code, out, _ = xeval("export", "sql", store, "select count(*) n, min(prediction) p from scores")
    assert (code, out) == (0, f"n,p\n{ROWS},بله\n")
    code, out, _ = xeval(
        "export",
        "sql",
        store,
        "select name, score, settings->>'max_length' as m from units where lang = 'ar' order by 1 limit 1",
        "--json",
    )
    (row,) = json.loads(out)
    assert (row["name"], row["m"]) == ("none/hop%qa/seed-0", "128")
    assert 0 <= row["score"] <= 1


@needs_duckdb
@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("drop table units", "give one SELECT"),
        ("select 1; select 2", "give one SELECT"),
        ("", "give one SELECT"),
        ("copy (select 1) to 'x.csv'", "give one SELECT"),
        ("attach 'x.db'", "give one SELECT"),
        ("set enable_external_access = true", "give one SELECT"),
        ("selec 1", "syntax error"),
        ("select nme from units", "nme"),
        ("select * from scors", "The tables are scores and units"),
        ("select * from read_text('/etc/hostname')", "disabled by configuration"),
        ("select * from 'README.md'", "cannot be run"),
    ],
)
def test_sql_reads_the_store_and_nothing_else(
    xeval: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = xeval("export", "sql", store, statement)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_duckdb_sql_says_what_to_install(
    xeval: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, _, err = xeval("export", "sql", store, "select 1")
    assert code == 2
    assert "pip install duckdb" in err


def test_every_command_of_the_group_shows_an_example(xeval: Run) -> None:
    code, listed, _ = xeval("export", "--help")
    assert code == 0
    for name in ("xtreme", "csv", "parquet", "latex", "eee", "model-card", "depth", "sql"):
        assert name in listed
        assert "Example:" in xeval("export", name, "--help")[1]
