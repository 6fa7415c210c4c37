"""Files of other tools. Their layout is that of genuine ones: lm_eval 0.4.13 (run with its dummy model),
embeddings-benchmark/results (mteb 1.12 to 1.39) and results of ScandEval and EuroEval 16.5 published on GitHub.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from xeval.analysis import analyse
from xeval.analysis.estimate.aggregates import AggregateScore, aggregate_gains, difference
from xeval.analysis.report import write
from xeval.analysis.report.aggregate import aggregate_report
from xeval.analysis.report.render.console import summary
from xeval.analysis.report.render.markdown import text
from xeval.errors import DataError, UsageError
from xeval.interop import readers as foreign
from xeval.interop.readers.mapping import language_code, read_mapping

DATE = "2026-01-02T03-04-05.678901"
ITEMS = 6


def write_harness(
    folder: Path,
    model: str,
    tasks: dict[str, list[float]],
    *,
    metric: str = "acc",
    samples: bool = True,
    **config: Any,
) -> Path:
    """A results file and its samples; ``tasks`` gives the score of every document."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for task, values in tasks.items():
        results[task] = {
            "name": task,
            "alias": task,
            "sample_len": len(values),
            f"{metric},none": sum(values) / len(values),
            f"{metric}_stderr,none": 0.1,
        }
        lines = []
        for number, value in enumerate(values):
            document = {"premise": f"{task} {number // 3}", "hypothesis": str(number), "label": number % 3}
            lines.append(
                {
                    "doc_id": number, "doc": document, "target": str(number % 3), "arguments": {}, "resps": [],
                    "filtered_resps": [], "filter": "none", "metrics": [metric],
                    "doc_hash": hashlib.sha256(json.dumps(document).encode()).hexdigest(),
                    "prompt_hash": "p", "target_hash": "t", metric: value,
                }
            )  # fmt: skip
        if samples:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / f"samples_{task}_{DATE}.jsonl").write_text(text, encoding="utf-8")
    document = {
        "results": results, "group_subtasks": {}, "configs": {}, "versions": {}, "config": {"limit": None, **config},
        "model_name": model,
    }  # fmt: skip
    (folder / f"results_{DATE}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def write_map(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def right(count: int) -> list[float]:
    return [1.0] * count + [0.0] * (ITEMS - count)


@pytest.fixture
def harness(tmp_path: Path) -> Path:
    """Two models on XNLI in three languages."""
    root = tmp_path / "harness"
    write_harness(root / "base", "base", {"xnli_en": right(4), "xnli_de": right(2), "xnli_zh": right(1)})
    write_harness(root / "tuned", "tuned", {"xnli_en": right(5), "xnli_de": right(4), "xnli_zh": right(2)})
    return root


RUNS = '[runs]\n"base" = { condition = "none" }\n"tuned" = { condition = "mnli" }\n'


def test_samples_become_tidy_scores(harness: Path, tmp_path: Path) -> None:
    found = foreign.read(harness, write_map(tmp_path / "map.toml", RUNS))
    frame = found.frame
    assert frame is not None
    assert (found.tool, found.missing) == ("lm-evaluation-harness", ())
    assert set(frame["condition"]) == {"none", "mnli"}
    assert set(frame["lang"]) == {"en", "de", "zh"}
    assert set(frame["group"]) == {"classification"}
    own = frame[(frame["condition"] == "mnli") & (frame["lang"] == "de")]
    assert own["num"].tolist() == [1, 1, 1, 1, 0, 0]
    # Three hypotheses share a premise, so two clusters of three, the same ones in every language.
    assert own["cluster_id"].tolist() == ["xnli/0"] * 3 + ["xnli/3"] * 3
    assert frame["chance"].unique().tolist() == [pytest.approx(1 / 3)]
    assert frame["main"].all()


def test_a_study_from_samples_is_analysed(harness: Path, tmp_path: Path) -> None:
    frame = foreign.read(harness, write_map(tmp_path / "map.toml", RUNS)).frame
    assert frame is not None
    (gain,) = [one for one in analyse(frame).gains.tasks if one.condition == "mnli"]
    # de: 2 to 4 of 6, zh: 1 to 2 of 6; English is no transfer.
    assert gain.points.value == pytest.approx(100 * (2 / 6 + 1 / 6) / 2)


def test_without_a_map_models_are_conditions_and_names_say_seeds(tmp_path: Path) -> None:
    write_harness(tmp_path / "a", "ckpt/none-seed0", {"xnli_de": right(2)})
    write_harness(tmp_path / "b", "ckpt/mnli-seed3", {"xnli_de": right(2)})
    write_harness(tmp_path / "c", "other/model", {"xnli_de": right(2)})
    frame = foreign.item_scores(tmp_path)
    runs = set(zip(frame["condition"], frame["seed"], frame["name"], strict=True))
    assert runs == {
        ("none", 0, "ckpt/none-seed0"),
        ("mnli", 3, "ckpt/mnli-seed3"),
        ("other/model", -1, "other/model"),
    }


def test_folders_tell_runs_of_one_model_apart(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_harness(tmp_path / "out" / folder, "same", {"xnli_de": right(2)})
    with pytest.raises(DataError, match="both hold 'xnli_de'"):
        foreign.item_scores(tmp_path / "out")
    rules = (
        '[runs]\n"first" = { condition = "none", seed = 0 }\n"second" = { condition = "none", seed = 1 }\n'
    )
    frame = foreign.item_scores(tmp_path / "out", write_map(tmp_path / "map.toml", rules))
    assert set(frame["seed"]) == {0, 1}
    assert frame["checkpoint"].nunique() == 2


def test_no_baseline_is_said_with_the_models(harness: Path) -> None:
    with pytest.raises(UsageError, match=r"which of the models 'base', 'tuned' is the condition 'none'"):
        foreign.read(harness)


def test_unknown_tasks_need_the_map(tmp_path: Path) -> None:
    write_harness(tmp_path / "out", "none-seed0", {"hops_deu_Latn": right(2), "xnli_de": right(1)})
    found = foreign.read(tmp_path / "out")
    assert found.notes == ("Left out, as neither known nor in the map: hops_deu_Latn.",)
    rules = '[tasks]\n"hops_{lang}" = { target = "hops", group = "multi-hop QA", metric = "acc", hops = 2 }\n'
    frame = foreign.read(tmp_path / "out", write_map(tmp_path / "map.toml", rules)).frame
    assert frame is not None
    own = frame[frame["target"] == "hops"]
    assert set(zip(own["lang"], own["hops"], own["group"], strict=True)) == {("de", 2, "multi-hop QA")}
    assert own["cluster_id"].nunique() == ITEMS
    write_harness(tmp_path / "rest", "none-seed0", {"odd": right(2)})
    with pytest.raises(UsageError, match="no task is known here"):
        foreign.read(tmp_path / "rest")


def test_mlqa_with_two_languages_is_not_taken_for_one(tmp_path: Path) -> None:
    write_harness(
        tmp_path, "none-seed0", {"mlqa_de_de": right(2), "mlqa_de_en": right(2)}, metric="f1", samples=False
    )
    found = foreign.read(tmp_path)
    assert {score.lang for score in found.scores} == {"de"}
    assert found.notes == ("Left out, as neither known nor in the map: mlqa_de_en.",)


def test_filters_are_metrics_of_their_own(tmp_path: Path) -> None:
    write_harness(tmp_path, "none-seed0", {"qa_de": right(2)}, metric="exact_match")
    file = tmp_path / f"samples_qa_de_{DATE}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    other = [line | {"filter": "strict", "exact_match": 0.0} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines + other))
    results = json.loads((tmp_path / f"results_{DATE}.json").read_text())
    results["results"]["qa_de"]["exact_match,strict"] = 0.0
    (tmp_path / f"results_{DATE}.json").write_text(json.dumps(results))
    rule = 'target = "qa", group = "single-hop QA"'
    unsaid = write_map(tmp_path / "a.toml", f'[tasks]\n"qa_{{lang}}" = {{ {rule} }}\n')
    with pytest.raises(UsageError, match="which of its metrics"):
        foreign.read(tmp_path, unsaid)
    said = write_map(
        tmp_path / "b.toml", f'[tasks]\n"qa_{{lang}}" = {{ {rule}, metric = "exact_match,strict" }}\n'
    )
    frame = foreign.read(tmp_path, said).frame
    assert frame is not None
    assert frame.groupby("metric")["num"].sum().to_dict() == {"exact_match,none": 2, "exact_match,strict": 0}
    assert set(frame.loc[frame["main"], "metric"]) == {"exact_match,strict"}


def test_a_corpus_metric_is_no_item_score(tmp_path: Path) -> None:
    """lm_eval stores pairs, or values whose mean is not the result, for metrics such as F1 over all documents."""
    write_harness(tmp_path, "none-seed0", {"xnli_de": right(2)})
    file = tmp_path / f"samples_xnli_de_{DATE}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line |= {"metrics": ["acc", "f1"], "f1": [1, 0]}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = foreign.read(tmp_path)
    assert found.frame is not None
    assert set(found.frame["metric"]) == {"acc"}
    assert found.notes == ("xnli_de: f1 is no mean of numbers per item, so left out.",)
    results = json.loads((tmp_path / f"results_{DATE}.json").read_text())
    results["results"]["xnli_de"]["acc,none"] = 0.5
    (tmp_path / f"results_{DATE}.json").write_text(json.dumps(results))
    with pytest.raises(UsageError, match="no metric 'acc' that is a number per item"):
        foreign.read(tmp_path)


def test_other_documents_are_refused(harness: Path, tmp_path: Path) -> None:
    file = harness / "tuned" / f"samples_xnli_de_{DATE}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1]["doc_hash"] = "0"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match="document 1 of 'xnli_de' is another one"):
        foreign.read(harness, write_map(tmp_path / "map.toml", RUNS))


def test_damaged_samples_name_the_line(tmp_path: Path) -> None:
    write_harness(tmp_path, "none-seed0", {"xnli_de": right(2)})
    file = tmp_path / f"samples_xnli_de_{DATE}.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match="line 7: document 5 occurs twice"):
        foreign.read(tmp_path)
    file.write_text(lines[0] + "\n{")
    with pytest.raises(DataError, match="cannot be read as JSON lines"):
        foreign.read(tmp_path)


def test_results_without_samples_are_aggregates(tmp_path: Path) -> None:
    write_harness(tmp_path / "a", "none-seed0", {"xnli_de": right(2)}, samples=False, limit=6)
    found = foreign.read(tmp_path)
    assert found.frame is None
    assert found.scores == (
        AggregateScore("none", "xnli", "classification", "acc", "de", 0, pytest.approx(100 / 3)),  # type: ignore[arg-type]
    )
    assert "--log_samples" in found.missing[0]
    assert found.notes == ("Run with --limit, so on the first items only: none-seed0.",)
    with pytest.raises(DataError, match="--log_samples"):
        foreign.item_scores(tmp_path)


def euroeval(model: str, values: list[float], dataset: str = "scala-da", **more: Any) -> dict[str, Any]:
    mean = 100 * sum(values) / len(values)
    total = {"test_mcc": mean, "test_mcc_se": 1.0, "test_macro_f1": mean / 2, "test_macro_f1_se": 1.0}
    return {
        "dataset": dataset, "task": "linguistic-acceptability", "languages": ["da"], "model": model,
        "results": {"raw": [{"mcc": value, "macro_f1": value / 2} for value in values], "total": total},
        "generative": False, "validation_split": False, **more,
    }  # fmt: skip


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("\n" + "\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return path


def test_euroeval_iterations_are_runs_of_a_fine_tuned_model(tmp_path: Path) -> None:
    before, after = [0.2, 0.3, 0.4], [0.35, 0.45, 0.40]
    file = write_lines(
        tmp_path / "euroeval_benchmark_results.jsonl",
        [euroeval("org/none", before), euroeval("org/mnli", after)],
    )
    rules = write_map(
        tmp_path / "map.toml", '[runs]\n"org/none" = {condition="none"}\n"org/mnli" = {condition="mnli"}\n'
    )
    found = foreign.read(file, rules)
    assert (found.tool, found.frame) == ("EuroEval", None)
    assert {score.seed for score in found.scores} == {0, 1, 2}
    assert "none per item" in found.missing[0]
    (gain,), notes = aggregate_gains(found.scores)
    assert notes == []
    assert (gain.target, gain.group, gain.metric) == ("scala-da", "classification", "mcc")
    # By hand: means 30 and 40, variances 100 and 25 over 3 runs each; Welch's df = 41.667² / (33.333²/2 + 8.333²/2).
    assert gain.points == pytest.approx(10.0)
    error, df = math.sqrt(125 / 3), (125 / 3) ** 2 / ((100 / 3) ** 2 / 2 + (25 / 3) ** 2 / 2)
    assert gain.df == pytest.approx(df)
    from scipy import stats

    reach = stats.t.ppf(0.975, df) * error
    assert gain.interval == pytest.approx((10 - reach, 10 + reach))
    assert gain.logit is None  # a correlation has no odds


def test_euroeval_of_older_versions_and_in_points(tmp_path: Path) -> None:
    """ScandEval had the iterations below `test`, `dataset_languages` and no `generative`; QA is logged in points."""
    old = euroeval("org/none", [0.2, 0.4])
    old["results"]["raw"] = {
        "test": [{"test_mcc": 0.2, "test_loss": 1.0}, {"test_mcc": 0.4, "test_loss": 1.0}]
    }
    old["dataset_languages"] = ["nb", "nn"]
    del old["languages"], old["generative"]
    qa = euroeval("org/none", [0.1], dataset="squad-xx", task="reading-comprehension", generative=True)
    qa["results"] = {"raw": [{"f1": 15.0}, {"f1": 25.0}], "total": {"test_f1": 20.0, "test_f1_se": 5.0}}
    found = foreign.read(
        write_lines(tmp_path / "r.jsonl", [old, qa]),
        write_map(tmp_path / "map.toml", '[runs]\n"org/none" = {condition = "none"}\n'),
    )
    assert [(s.lang, s.seed, s.group, s.score) for s in found.scores] == [
        ("nb-nn", -1, "classification", pytest.approx(30.0)),
        ("da", -1, "single-hop QA", pytest.approx(20.0)),
    ]
    assert "iterations are no runs" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"results": {"raw": [], "total": {"test_mcc": 1.0}}}, "has no scores of mcc"),
        ({"results": {"raw": [{"em": 0.1}], "total": {"test_mcc": 1.0}}}, "an iteration lacks 'mcc'"),
        (
            {"results": {"raw": [{"mcc": 0.1}], "total": {"test_mcc": 77.0}}},
            "is not the mean of the iterations",
        ),
    ],
)
def test_euroeval_lines_that_do_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write_lines(tmp_path / "r.jsonl", [euroeval("none-seed0", [0.1]) | change])
    with pytest.raises(DataError, match=message):
        foreign.read(file)


def test_euroeval_lines_twice(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "r.jsonl", [euroeval("none-seed0", [0.1])] * 2)
    with pytest.raises(DataError, match="line 3: none-seed0 on scala-da stands in"):
        foreign.read(file)


def write_mteb(root: Path, model: str, scores: dict[str, float], task: str = "BUCC.v2", **more: Any) -> Path:
    folder = root / model.replace("/", "__") / "revision"
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {"f1": value, "accuracy": value + 0.01, "hf_subset": f"{code[:2]}-en", "languages": [code, "eng-Latn"],
         "main_score": value}
        for code, value in scores.items()
    ]  # fmt: skip
    document = {
        "dataset_revision": "1739dc1", "evaluation_time": 32.1, "mteb_version": "1.39.7", "task_name": task,
        "scores": {"test": entries}, **more,
    }  # fmt: skip
    file = folder / f"{task}.json"
    file.write_text(json.dumps(document))
    (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": "revision"}))
    return file


def test_mteb_files_are_aggregates_by_language(tmp_path: Path) -> None:
    write_mteb(tmp_path, "org/base", {"deu-Latn": 0.50, "cmn-Hans": 0.20})
    write_mteb(tmp_path, "org/tuned", {"deu-Latn": 0.75, "cmn-Hans": 0.40})
    rules = write_map(
        tmp_path / "map.toml", '[runs]\n"org/base" = {condition="none"}\n"org/tuned" = {condition="mnli"}\n'
    )
    found = foreign.read(tmp_path, rules)
    assert (found.tool, found.frame, found.notes) == ("mteb", None, ())
    (gain,), _ = aggregate_gains(found.scores)
    assert (gain.target, gain.group, gain.metric, gain.languages) == (
        "BUCC.v2",
        "retrieval",
        "f1",
        ("de", "zh"),
    )
    assert gain.points == pytest.approx(22.5)
    assert gain.error_reduction == pytest.approx(22.5 / 65)
    # Mean of log(3) and of log(0.4 / 0.6) - log(0.2 / 0.8).
    assert gain.logit == pytest.approx((math.log(3) + math.log(4 / 6) - math.log(1 / 4)) / 2)
    assert gain.interval is None
    with pytest.raises(DataError, match="none per sentence"):
        foreign.item_scores(tmp_path, rules)


def test_mteb_subsets_of_one_language_need_the_map(tmp_path: Path) -> None:
    file = write_mteb(tmp_path, "none-seed0", {"deu-Latn": 0.5}, task="Reviews")
    document = json.loads(file.read_text())
    document["scores"]["test"].append(document["scores"]["test"][0] | {"hf_subset": "de_ext", "f1": 0.6})
    file.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="subsets de-en, de_ext are all of language 'de'"):
        foreign.read(tmp_path)
    rules = write_map(
        tmp_path / "map.toml",
        '[tasks]\nReviews = {group = "classification", metric = "f1", subsets = ["de_ext"]}\n',
    )
    assert [score.score for score in foreign.read(tmp_path, rules).scores] == [pytest.approx(60.0)]


def test_mteb_splits_and_old_files(tmp_path: Path) -> None:
    file = write_mteb(tmp_path, "none-seed0", {"deu-Latn": 0.5})
    document = json.loads(file.read_text())
    document["scores"] = {"dev": document["scores"]["test"], "validation": document["scores"]["test"]}
    file.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="has the splits dev, validation"):
        foreign.read(tmp_path)
    file.write_text(
        json.dumps({"mteb_version": "1.1.0", "dataset_revision": "x", "test": {"de-en": {"f1": 0.5}}})
    )
    with pytest.raises(DataError, match="is older: load and save it with a newer mteb"):
        foreign.read(tmp_path)


def test_what_is_no_tools_file_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "broken.json").write_text("{")
    assert foreign.recognise(tmp_path) is None
    assert foreign.recognise(tmp_path / "absent") is None
    with pytest.raises(DataError, match="holds no results of lm-evaluation-harness, EuroEval or mteb"):
        foreign.read(tmp_path)
    write_mteb(tmp_path, "none-seed0", {"deu-Latn": 0.5})
    assert foreign.recognise(tmp_path) == "mteb"
    (tmp_path / "unit.parquet").touch()  # a store is never another tool's folder
    assert foreign.recognise(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[runs", "is no TOML file"),
        ("[run]\n", r"unknown section \[run\]"),
        ("runs = 3\n", r"\[runs\] is no table"),
        ('[runs]\na = {condition = "none", sed = 1}\n', "runs.'a', sed"),
        ('[tasks]\na = {group = "easy"}\n', "unknown group 'easy'"),
        ("[tasks]\na = {chance = 3}\n", "tasks.'a', chance"),
    ],
)
def test_a_wrong_map_names_the_entry(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_mapping(write_map(tmp_path / "map.toml", text))


def test_a_missing_map(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such map file"):
        read_mapping(tmp_path / "map.toml")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("de", "de"),
        ("deu", "de"),
        ("deu-Latn", "de"),
        ("zho_Hans", "zh"),
        ("cmn-Hans", "zh"),
        ("ber-Tfng", "ber"),
    ],
)
def test_language_codes(text: str, code: str) -> None:
    assert language_code(text) == code


def scores_of(condition: str, target: str, group: str, *runs: dict[str, float]) -> list[AggregateScore]:
    return [
        AggregateScore(condition, target, group, "acc", lang, seed, value)
        for seed, run in enumerate(runs)
        for lang, value in run.items()
    ]


def test_gains_use_the_languages_that_all_runs_have() -> None:
    scores = scores_of("none", "t", "classification", {"en": 90, "de": 50, "zh": 40}, {"en": 90, "de": 54})
    scores += scores_of("mnli", "t", "classification", {"en": 95, "de": 60, "zh": 70})
    (gain,), notes = aggregate_gains(scores)
    assert gain.languages == ("de",)
    assert gain.points == pytest.approx(8.0)
    assert (gain.baseline_runs, gain.runs, gain.interval) == (2, 1, None)
    assert notes == ["t (acc), mnli: some run lacks zh, left out of the gain."]


def test_the_given_baseline_of_retrieval_does_not_vary() -> None:
    scores = [AggregateScore("none", "t", "retrieval", "f1", "de", -1, 40.0)]
    scores += [AggregateScore("mnli", "t", "retrieval", "f1", "de", seed, 50.0 + seed) for seed in range(3)]
    (gain,), _ = aggregate_gains(scores)
    assert gain.df == pytest.approx(2.0)
    # SD 1 over 3 runs: t(.975, 2) = 4.302653 (table) times 1 / sqrt(3).
    assert gain.interval == pytest.approx(
        (11 - 4.302653 / math.sqrt(3), 11 + 4.302653 / math.sqrt(3)), abs=1e-5
    )


def test_differences_leave_out_the_targets_own_training_data() -> None:
    scores = []
    for target, group, gain in (
        ("xnli", "classification", 9.0),
        ("pawsx", "classification", 1.0),
        ("a", "multi-hop QA", 2.0),
        ("b", "multi-hop QA", 4.0),
    ):
        scores += scores_of("none", target, group, {"de": 50.0})
        scores += scores_of("mnli", target, group, {"de": 50.0 + gain})
    gains, _ = aggregate_gains(scores)
    found = difference(gains, ("multi-hop QA",), ("classification",))
    assert found is not None
    assert (found.plus_mean, found.minus_mean, found.value) == pytest.approx(
        (3.0, 1.0, 2.0)
    )  # MNLI is XNLI's own
    assert found.without == pytest.approx({"a": 3.0, "b": 1.0})
    assert found.spread == pytest.approx(math.sqrt(2.0))
    # Gains 1, 2, 4 with one of them alone on the second side: 3 - 1 = 2, 2.5 - 2 = 0.5, 1.5 - 4 = -2.5.
    assert found.p_value == pytest.approx(2 / 3)
    assert found.smallest == pytest.approx(1 / 3)


def test_aggregates_without_baseline_or_condition() -> None:
    with pytest.raises(DataError, match="no run is mapped to the condition 'none'"):
        aggregate_gains(scores_of("mnli", "t", "", {"de": 50}))
    with pytest.raises(DataError, match="only the baseline"):
        aggregate_gains(scores_of("none", "t", "", {"de": 50}))
    with pytest.raises(DataError, match="has two results"):
        aggregate_gains(scores_of("none", "t", "", {"de": 50}) * 2)


def test_aggregates_without_a_gain() -> None:
    scores = scores_of("none", "t", "", {"en": 50}) + scores_of("mnli", "t", "", {"en": 60})
    with pytest.raises(DataError, match=r"no gain to show: t \(acc\), mnli: no language other than en"):
        aggregate_report(scores, title="T", command="c", missing=(), notes=())


def test_the_report_of_aggregates(tmp_path: Path) -> None:
    scores = scores_of("none", "t", "classification", {"de": 50.0}, {"de": 52.0})
    scores += scores_of("mnli", "t", "classification", {"de": 55.0}, {"de": 58.0})
    scores += scores_of("none", "a|b", "", {"de": 50.0}, {"de": 52.0})
    report = aggregate_report(
        scores, title="T", command="xeval report r", missing=("No items.",), notes=("N.",)
    )
    assert report.headline == "No verdict: gains only"
    assert "a|b (acc): no result of mnli." in text(report)
    assert "| +5.50 |" in text(report)
    files = write(report, tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in files} == {
        "report.html", "report.md", "results.json", "figures/gains.svg", "figures/gains.pdf", "tables/gains.tex",
    }  # fmt: skip
    numbers = json.loads((tmp_path / "results.json").read_text())
    assert numbers["gains"][0]["points"] == pytest.approx(5.5)
    assert numbers["cannot_show"] == ["No items."]
    from rich.console import Console

    screen = Console(width=100, record=True, file=(tmp_path / "screen").open("w"))
    screen.print(summary(report))
    assert "+5.50" in screen.export_text()


def test_points_of_a_correlation_are_not_set_against_points_of_a_share() -> None:
    scores = scores_of("none", "a", "single-hop QA", {"de": 50.0}) + scores_of(
        "mnli", "a", "single-hop QA", {"de": 60.0}
    )
    for condition, value in (("none", 10.0), ("mnli", 20.0)):
        scores.append(
            AggregateScore(condition, "b", "classification", "mcc", "de", 0, value, proportion=False)
        )
    gains, _ = aggregate_gains(scores)
    assert [gain.points for gain in gains] == pytest.approx([10.0, 10.0])
    assert difference(gains, ("single-hop QA",), ("classification",)) is None
