"""Plans, runs, resumption: nothing is computed twice, nothing is lost, nothing stale passes for new."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.published import write_all

from xeval.checkpoints import Lineage, discover
from xeval.console.display import Steps
from xeval.console.evaluation import EvaluationSteps
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import Unit, explain, plan_units, stored
from xeval.evaluation.run import Outcome, run_units
from xeval.metrics import METRICS
from xeval.store import Store, UnitRecord, read_scores, read_table
from xeval.tasks import task
from xeval.tasks.catalogue.classification import NLI_LABELS, PARAPHRASE_LABELS

Make = Callable[..., Path]
SPAWN = multiprocessing.get_context("fork")


class Silent:
    """A watcher that only remembers."""

    def __init__(self) -> None:
        self.finished_units: list[str] = []
        self.failures: list[str] = []

    def started(self, unit: Unit, items: int) -> None: ...
    def advanced(self, items: int) -> None: ...

    def finished(self, unit: Unit, record: UnitRecord, score: float) -> None:
        assert 0 <= score <= 1
        assert record.task == unit.task.name
        self.finished_units.append(unit.name)

    def failed(self, unit: Unit, reason: str) -> None:
        self.failures.append(f"{unit.name}: {reason}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("data"))


@pytest.fixture
def models(tmp_path: Path, make_checkpoint: Make) -> Path:
    root = tmp_path / "models"
    make_checkpoint(root / "encoder", seed=1)
    make_checkpoint(root / "paws-a", "ForSequenceClassification", PARAPHRASE_LABELS, seed=2)
    make_checkpoint(root / "paws-b", "ForSequenceClassification", PARAPHRASE_LABELS, seed=3)
    return root


def evaluate(
    models: Path,
    data: Path,
    store: Path,
    tasks: tuple[str, ...] = ("pawsx", "tatoeba"),
    languages: tuple[str, ...] = ("en", "de", "zh"),
    watcher: Silent | None = None,
    **options: Any,
) -> Outcome:
    chosen = RunOptions(data=data, device="cpu", **options)
    planned = plan_units(
        list(discover(models)), [task(t) for t in tasks], Store(store), chosen, languages=languages
    )
    return run_units(planned, Store(store), chosen, watcher or Silent())


def contents(store: Path) -> dict[str, Any]:
    """Everything a store says but how much work it was and when."""
    units, damaged = Store(store).records()
    assert not damaged
    return {
        path.relative_to(store).as_posix(): (
            read_table(path).to_pylist(),
            record.model_dump(exclude={"seconds", "finished", "tokens"}),
        )
        for path, record in units
    }


def test_every_kind_runs_on_every_item(tmp_path: Path, data: Path, make_checkpoint: Make) -> None:
    models = tmp_path / "models"
    make_checkpoint(models / "encoder")
    make_checkpoint(models / "nli", "ForSequenceClassification", NLI_LABELS)
    make_checkpoint(models / "choice", "ForMultipleChoice")
    make_checkpoint(models / "qa", "ForQuestionAnswering")
    make_checkpoint(models / "tagger", "ForTokenClassification", task("udpos").labels)
    names = ("xnli", "xcopa", "xquad", "udpos", "tatoeba")
    outcome = evaluate(models, data, tmp_path / "store", names)
    assert outcome.ok, outcome.problems
    assert outcome.done == 3 + 1 + 3 + 3 + 2
    scores = read_scores(tmp_path / "store")
    counts = scores[scores["main"]].groupby(["target", "lang"])["item_id"].nunique()
    assert set(counts) == {12}
    assert scores["num"].between(0, 12).all()
    tags = scores[(scores["metric"] == "tag_accuracy") & (scores["lang"] == "de")]
    assert tags["den"].tolist() == [12.0] * 12  # every word is scored
    assert set(scores.loc[scores["target"] == "xnli", "chance"]) == {4 / 12}
    assert set(scores["condition"]) == {"encoder", "nli", "choice", "qa", "tagger"}


def test_a_second_run_computes_nothing(tmp_path: Path, data: Path, models: Path) -> None:
    first, second = Silent(), Silent()
    assert evaluate(models, data, tmp_path / "s", watcher=first).done == 8
    outcome = evaluate(models, data, tmp_path / "s", watcher=second)
    assert (outcome.done, outcome.reused, second.finished_units) == (0, 8, [])


def test_a_damaged_unit_is_computed_anew_and_nothing_else_is(
    tmp_path: Path, data: Path, models: Path
) -> None:
    evaluate(models, data, tmp_path / "s", ("pawsx",))
    before = contents(tmp_path / "s")
    rows, record = sorted((tmp_path / "s").rglob("*.parquet"))[:2]
    for path, place in ((rows, 10), (record, -20)):  # among the rows, and in what follows them
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
    second = Silent()
    assert evaluate(models, data, tmp_path / "s", ("pawsx",), watcher=second).done == 2
    assert contents(tmp_path / "s") == before


def test_a_retrained_checkpoint_at_the_same_path_is_evaluated_again(
    tmp_path: Path, data: Path, models: Path, make_checkpoint: Make
) -> None:
    evaluate(models, data, tmp_path / "s")
    make_checkpoint(models / "paws-a", "ForSequenceClassification", PARAPHRASE_LABELS, seed=77)
    options = RunOptions(data=data, device="cpu")
    planned = plan_units(
        list(discover(models)), [task("pawsx")], Store(tmp_path / "s"), options, languages=["de"]
    )
    (stale,) = [unit for unit in planned.units if unit.status == "todo"]
    assert (
        explain(stale, stored(Store(tmp_path / "s"), None)) == "changed since: weights, tokenizer or config"
    )
    assert evaluate(models, data, tmp_path / "s").done == 3
    scores = read_scores(tmp_path / "s")
    newest = scores[scores["condition"] == "paws-a"]
    assert newest["checkpoint"].nunique() == 1
    assert newest["checkpoint"].iloc[0] == stale.checkpoint.digest


def test_a_card_written_later_or_a_copy_costs_no_new_work(
    tmp_path: Path, data: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(models, data, tmp_path / "s")
    Lineage(phase="target", base="tiny", condition="squad", target="pawsx-en", seed=4).write(
        models / "paws-a"
    )
    (models / "paws-b").rename(models / "paws-c")
    monkeypatch.setattr(
        "xeval.evaluation.evaluator.Evaluator.evaluate", lambda *_: pytest.fail("computed again")
    )
    assert evaluate(models, data, tmp_path / "s").done == 6
    scores = read_scores(tmp_path / "s")
    assert set(scores.loc[scores["target"] == "pawsx", "condition"]) >= {"squad", "paws-c"}
    assert set(scores.loc[scores["condition"] == "squad", "seed"]) == {4}


def test_changed_data_and_settings_are_new_units(tmp_path: Path, models: Path) -> None:
    data = write_all(tmp_path / "data")
    evaluate(models, data, tmp_path / "s", ("pawsx",))
    assert evaluate(models, data, tmp_path / "s", ("pawsx",), settings={"max_length": 16}).done == 6
    with (data / "x-final/de/test_2k.tsv").open("a") as file:
        file.write("99\tneu\tneuer\t1\n")
    assert evaluate(models, data, tmp_path / "s", ("pawsx",)).done == 2


def test_limited_results_never_pass_for_full_ones(tmp_path: Path, data: Path, models: Path) -> None:
    evaluate(models, data, tmp_path / "s", ("pawsx",), limit=5)
    assert not Store(tmp_path / "s").finished()
    assert evaluate(models, data, tmp_path / "s", ("pawsx",)).done == 6
    assert read_scores(tmp_path / "s")["item_id"].nunique() == 12
    assert read_scores(tmp_path / "s", limit=5)["item_id"].nunique() == 5


def test_scores_do_not_depend_on_the_batch_budget(tmp_path: Path, data: Path, models: Path) -> None:
    evaluate(models, data, tmp_path / "a", token_budget=30)
    evaluate(models, data, tmp_path / "b", token_budget=5000)
    rows = [
        {name: entry[0] for name, entry in contents(tmp_path / store).items()}  # scores and predictions
        for store in ("a", "b")
    ]
    assert rows[0] == rows[1]


def test_a_unit_does_not_depend_on_what_else_reads_its_files(tmp_path: Path, make_checkpoint: Make) -> None:
    make_checkpoint(tmp_path / "m" / "tagger", "ForTokenClassification", task("udpos").labels)
    treebank = tmp_path / "data/udpos/UD_de-Tiny/de_tiny-ud-test.conllu"
    treebank.parent.mkdir(parents=True)
    rows = [
        "1-2 Zum _ _ _ _ _",
        "1 Zu _ ADP _ _ 3",
        "2 dem _ DET _ _ 3",
        "3 Haus _ NOUN _ _ 4",
        "4 geht _ VERB _ _ 0",
    ]
    treebank.write_text("\n".join(["\t".join([*row.split(), *"___"]) for row in rows] + ["", ""]))
    names = ("udpos", "udpos-words")
    evaluate(tmp_path / "m", tmp_path / "data", tmp_path / "together", names, ("de",))
    for name in names:
        assert evaluate(tmp_path / "m", tmp_path / "data", tmp_path / "apart", (name,), ("de",)).done == 1
    together, apart = contents(tmp_path / "together"), contents(tmp_path / "apart")
    assert together == apart
    words = [len(rows[0]["prediction"].split()) for rows, _ in together.values()]
    assert sorted(words) == [3, 4]


def test_weights_or_data_replaced_after_the_plan_fail_the_unit(
    tmp_path: Path, models: Path, make_checkpoint: Make
) -> None:
    data = write_all(tmp_path / "data")
    store, options = Store(tmp_path / "s"), RunOptions(data=data, device="cpu")
    planned = plan_units(list(discover(models)), [task("pawsx")], store, options, languages=["de", "zh"])
    make_checkpoint(models / "paws-a", "ForSequenceClassification", PARAPHRASE_LABELS, seed=77)
    with (data / "x-final/zh/test_2k.tsv").open("a") as file:
        file.write("99\tneu\tneuer\t1\n")
    outcome = run_units(planned, store, options, Silent())
    failed = {p.subject: p.reason for p in outcome.problems if p.fatal}
    assert outcome.done == 1
    assert set(failed) == {"paws-a · pawsx · de", "paws-a · pawsx · zh", "paws-b · pawsx · zh"}
    assert "weights, tokenizer or config changed during the run" in failed["paws-a · pawsx · de"]
    assert "the data changed during the run" in failed["paws-b · pawsx · zh"]
    assert evaluate(models, data, tmp_path / "s", ("pawsx",), ("de", "zh")).done == 3


def test_weights_replaced_while_a_unit_is_computed_store_nothing(
    tmp_path: Path, data: Path, make_checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(tmp_path / "m/encoder", seed=1)
    kind = type(task("tatoeba").kind)
    original = kind.predict

    def replaced_meanwhile(self: Any, *arguments: Any) -> Any:
        make_checkpoint(tmp_path / "m/encoder", seed=2)
        return original(self, *arguments)

    monkeypatch.setattr(kind, "predict", replaced_meanwhile)
    outcome = evaluate(tmp_path / "m", data, tmp_path / "s", ("tatoeba",), ("de",))
    assert "changed during the run" in next(p.reason for p in outcome.problems if p.fatal)
    assert not Store(tmp_path / "s").finished()


def test_a_card_that_was_written_for_other_weights_is_told(
    tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    path = make_checkpoint(tmp_path / "m/paws", "ForSequenceClassification", PARAPHRASE_LABELS, seed=1)
    (found,) = discover(tmp_path / "m")
    Lineage(phase="target", base="tiny", target="pawsx-en", seed=0, weights=found.weights_digest).write(path)
    assert evaluate(tmp_path / "m", data, tmp_path / "s", ("pawsx",), ("de",)).ok
    make_checkpoint(path, "ForSequenceClassification", PARAPHRASE_LABELS, seed=2)
    outcome = evaluate(tmp_path / "m", data, tmp_path / "s", ("pawsx",), ("de",))
    assert outcome.done == 0
    assert "not those that its lineage card was written for" in outcome.problems[0].reason


def test_damaged_weights_are_refused_in_every_kind(tmp_path: Path, data: Path, make_checkpoint: Make) -> None:
    from safetensors.torch import load_file, save_file

    make_checkpoint(tmp_path / "m/encoder")
    make_checkpoint(tmp_path / "m/nli", "ForSequenceClassification", NLI_LABELS)
    make_checkpoint(tmp_path / "m/choice", "ForMultipleChoice")
    make_checkpoint(tmp_path / "m/qa", "ForQuestionAnswering")
    make_checkpoint(tmp_path / "m/tagger", "ForTokenClassification", task("udpos").labels)
    for number, file in enumerate(sorted((tmp_path / "m").rglob("model.safetensors"))):
        weights = load_file(file)
        name = next(name for name in weights if name.endswith("layer.0.output.dense.weight"))
        weights[name][0] = float("nan") if number % 2 else float("inf")
        save_file(weights, file, metadata={"format": "pt"})
    names = ("xnli", "xcopa", "xquad", "udpos", "tatoeba")
    outcome = evaluate(tmp_path / "m", data, tmp_path / "s", names, ("de", "zh"))
    failed = [problem for problem in outcome.problems if problem.fatal]
    assert (outcome.done, len(failed)) == (0, 9)
    assert all("not finite; the checkpoint's weights are damaged" in problem.reason for problem in failed)


def test_whatever_goes_wrong_in_a_unit_ends_that_one_and_its_traceback_is_kept(
    tmp_path: Path, data: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = type(task("pawsx").kind).encode

    class PanicException(BaseException):
        """As libraries written in Rust raise it."""

    def encode(self: Any, examples: Any, *arguments: Any) -> Any:
        if examples[0].item_id.startswith("de"):
            raise PanicException("index out of bounds")
        if examples[0].item_id.startswith("zh"):
            raise KeyError("layer")
        return original(self, examples, *arguments)

    loaded = type(task("pawsx").source).load
    monkeypatch.setattr(type(task("pawsx").kind), "encode", encode)
    monkeypatch.setattr(
        type(task("pawsx").source),
        "load",
        lambda self, root, language, split: [
            replace(example, item_id=f"{language}-{example.item_id}")
            for example in loaded(self, root, language, split)
        ],
    )
    outcome = evaluate(models, data, tmp_path / "s", ("pawsx",))
    failed = {p.subject: p.reason for p in outcome.problems if p.fatal}
    assert outcome.done == 2
    assert set(failed) == {f"paws-{name} · pawsx · {language}" for name in "ab" for language in ("de", "zh")}
    for subject, reason in failed.items():
        log = Path(reason.split("the traceback is in ")[1].rstrip("."))
        assert ("KeyError" if "zh" in subject else "PanicException") in log.read_text()


def test_one_and_the_same_prediction_for_all_items_is_recorded(
    tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    from safetensors.torch import load_file, save_file

    make_checkpoint(tmp_path / "m/nli", "ForSequenceClassification", NLI_LABELS)
    file = tmp_path / "m/nli/model.safetensors"
    weights = load_file(file)
    weights["classifier.weight"][:] = 0
    weights["classifier.bias"][:] = weights["classifier.bias"].new_tensor([0, 1, 0])
    save_file(weights, file, metadata={"format": "pt"})
    make_checkpoint(tmp_path / "m/tagger", "ForTokenClassification", task("udpos").labels)
    outcome = evaluate(tmp_path / "m", data, tmp_path / "s", ("xnli", "udpos"), ("de",))
    told = [problem.reason for problem in outcome.problems if problem.subject == "nli · xnli · de"]
    assert told == ["collapsed: all items got the one answer 'neutral', its score says nothing."]
    found = {record.task: record.constant for _, record in Store(tmp_path / "s").records()[0]}
    assert found == {"xnli": "neutral", "udpos": None}


def test_one_failing_checkpoint_and_one_failing_unit_leave_the_rest_done(
    tmp_path: Path, models: Path, make_checkpoint: Make
) -> None:
    data = write_all(tmp_path / "data")
    weights = make_checkpoint(models / "broken") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    labels = (data / "x-final/de/test_2k.tsv").read_text().replace("\t1\n", "\t0\n")
    (data / "x-final/de/test_2k.tsv").write_text(labels * 1)
    with (data / "x-final/de/test_2k.tsv").open("a") as file:
        file.write("100\ta\tb\tno label\n")
    outcome = evaluate(models, data, tmp_path / "s")
    assert not outcome.ok
    assert outcome.done == 8 - 2
    reasons = " | ".join(problem.reason for problem in outcome.problems)
    assert "broke off" in reasons
    assert "no label" in reasons
    assert all("\n" not in problem.reason for problem in outcome.problems)


def test_a_damaged_unit_file_is_computed_again(tmp_path: Path, data: Path, models: Path) -> None:
    evaluate(models, data, tmp_path / "s")
    before = contents(tmp_path / "s")
    victim = sorted((tmp_path / "s").rglob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:-20])
    assert evaluate(models, data, tmp_path / "s").done == 1
    assert contents(tmp_path / "s") == before


def test_killed_at_twenty_random_moments_the_store_equals_an_undisturbed_one(
    tmp_path: Path, data: Path, models: Path
) -> None:
    evaluate(models, data, tmp_path / "whole")
    generator = random.Random(20)
    kills = 0
    while kills < 20:
        child = SPAWN.Process(target=evaluate, args=(models, data, tmp_path / "killed"))
        child.start()
        child.join(timeout=generator.uniform(0.0, 0.15))
        if child.is_alive():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        kills += 1
        if len(Store(tmp_path / "killed").finished()) == 8:  # begin anew, so that every kill hits work
            for path in (tmp_path / "killed").rglob("*.parquet"):
                path.unlink()
    last = Silent()
    evaluate(models, data, tmp_path / "killed", watcher=last)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert evaluate(models, data, tmp_path / "killed").done == 0


def computed_units(models: Path, data: Path, store: Path, names: Any) -> None:
    """Run in a child process: note which units were really computed."""
    from xeval.evaluation.evaluator import Evaluator

    original = Evaluator.evaluate

    def noting(self: Any, unit: Unit) -> Any:
        names.put(unit.name)
        time.sleep(0.05)
        return original(self, unit)

    Evaluator.evaluate = noting  # type: ignore[method-assign]
    evaluate(models, data, store)


def test_two_processes_on_one_store_compute_no_unit_twice(tmp_path: Path, data: Path, models: Path) -> None:
    names: Any = SPAWN.Queue()
    children = [
        SPAWN.Process(target=computed_units, args=(models, data, tmp_path / "s", names)) for _ in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    computed = [names.get(timeout=5) for _ in range(8)]
    assert len(set(computed)) == 8
    assert names.empty()


def test_an_unusable_task_and_missing_data_are_said(tmp_path: Path, data: Path, models: Path) -> None:
    outcome = evaluate(models, data, tmp_path / "s", ("xquad", "pawsx"), ("fr", "de"))
    reasons = [problem.reason for problem in outcome.problems]
    assert any("no checkpoint can do xquad" in reason for reason in reasons)
    assert any("No test data for French" in reason for reason in reasons)
    assert outcome.done == 2


def test_heads_are_mapped_by_label_name_not_by_number(
    tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    import json

    models = tmp_path / "m"
    path = make_checkpoint(models / "a", "ForSequenceClassification", ("LABEL_0", "LABEL_1", "LABEL_2"))
    outcome = evaluate(models, data, tmp_path / "s", ("xnli",), ("de",))
    assert "set id2label" in outcome.problems[-1].reason
    scores = {}
    for order in (NLI_LABELS, NLI_LABELS[::-1]):
        config = json.loads((path / "config.json").read_text())
        config["id2label"] = dict(enumerate(order))
        (path / "config.json").write_text(json.dumps(config))
        evaluate(models, data, tmp_path / order[0], ("xnli",), ("de",))
        (entry,) = contents(tmp_path / order[0]).values()
        scores[order[0]] = [row["prediction"] for row in entry[0]]
    turned = dict(zip(NLI_LABELS, NLI_LABELS[::-1], strict=True))
    assert [turned[label] for label in scores["entailment"]] == scores["contradiction"]


def test_an_odd_number_of_items_is_remarked_once_and_fails_nothing(
    tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    for name in ("a", "b"):
        make_checkpoint(tmp_path / "models" / name)
    outcome = evaluate(tmp_path / "models", data, tmp_path / "s", ("tatoeba",), ("de",))
    (remark,) = outcome.problems
    assert outcome.ok
    assert (remark.subject, remark.fatal, remark.remark) == ("tatoeba · de", False, True)
    assert remark.reason.startswith("tatoeba, test, de: 12 items, the published data have 1,000;")


def test_a_metrics_new_definition_is_new_work_and_is_said(
    tmp_path: Path, data: Path, make_checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(tmp_path / "models/encoder")
    evaluate(tmp_path / "models", data, tmp_path / "s", ("tatoeba",), ("de",))
    options, store = RunOptions(data=data, device="cpu"), Store(tmp_path / "s")
    found = list(discover(tmp_path / "models"))
    (unit,) = plan_units(found, [task("tatoeba")], store, options, languages=["de"]).units
    assert unit.status == "done"
    monkeypatch.setitem(METRICS, "accuracy", replace(METRICS["accuracy"], version=2))
    (unit,) = plan_units(found, [task("tatoeba")], store, options, languages=["de"]).units
    assert unit.status == "todo"
    assert explain(unit, stored(store, None)) == "changed since: the definition of a metric"
    elsewhere = Store(tmp_path / "nowhere")
    (unit,) = plan_units(found, [task("tatoeba")], elsewhere, options, languages=["de"]).units
    assert explain(unit, stored(elsewhere, None)).startswith("never computed")


def test_what_a_kind_adds_to_the_tasks_metrics_is_stored(
    tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    make_checkpoint(tmp_path / "models/encoder")
    evaluate(tmp_path / "models", data, tmp_path / "s", ("tatoeba",), ("de",), settings={"layers": "all"})
    scores = read_scores(tmp_path / "s")
    assert set(scores["metric"]) == {"accuracy", "accuracy@0", "accuracy@1", "accuracy@2"}
    assert set(scores.loc[scores["main"], "metric"]) == {"accuracy"}


def test_a_large_unit_says_how_far_it_is(
    tmp_path: Path,
    data: Path,
    make_checkpoint: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_checkpoint(tmp_path / "models/encoder")
    monkeypatch.setattr("xeval.console.evaluation.LARGE_UNIT", 10)
    options, store = RunOptions(data=data, device="cpu", token_budget=16), Store(tmp_path / "s")
    planned = plan_units(
        list(discover(tmp_path / "models")), [task("tatoeba")], store, options, languages=["de"]
    )
    with Steps("evaluate", 1) as steps:
        run_units(planned, store, options, EvaluationSteps(steps))
    lines = [line for line in capsys.readouterr().err.splitlines() if " of 24 sequences" in line]
    assert 5 < len(lines) <= 10
    assert "left]" in lines[-2]


def test_tags_are_read_at_the_piece_that_training_labelled(
    tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    path = make_checkpoint(tmp_path / "models" / "tagger", "ForTokenClassification", task("udpos").labels)
    recipe = {"label_piece": "first_nonempty"}
    Lineage(phase="target", base="tiny", target="udpos-en", seed=0, recipe=recipe).write(path)

    def planned(**settings: str) -> Any:
        options = RunOptions(data, settings)
        return plan_units(list(discover(tmp_path)), [task("udpos")], Store(tmp_path / "store"), options)

    assert {unit.settings.label_piece for unit in planned().units} == {"first_nonempty"}
    assert planned(label_piece="first_nonempty").units
    refused = planned(label_piece="last")
    assert not refused.units
    assert any("was trained with first_nonempty" in problem.reason for problem in refused.problems)
