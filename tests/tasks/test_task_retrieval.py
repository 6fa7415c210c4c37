"""Retrieval and mining tasks: recipes, the layer sweep, BUCC with a threshold from dev, export to XTREME's layout.

The references here are plain computations: FAISS on embeddings of ``transformers`` alone, and the loops of the
published mining scripts (XTREME's third_party/utils_retrieve.py) written anew.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from support.published import write_all
from transformers import AutoModel, AutoTokenizer

from xeval.checkpoints import Checkpoint, discover
from xeval.console.display import Steps
from xeval.console.evaluation import EvaluationSteps
from xeval.encoder.loop import Loop
from xeval.encoder.tokens import TextEncoder
from xeval.errors import StoreError, UsageError, XevalError
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import Plan, Unit, estimated_work, plan_units
from xeval.evaluation.run import Outcome, run_units
from xeval.examples import Translation
from xeval.interop.submission import export_xtreme, score_submission
from xeval.sources.bucc import BuccSource
from xeval.store import Store, UnitRecord, read_table
from xeval.tasks import task
from xeval.tasks.base import Scoring
from xeval.tasks.embedding import describe_recipe
from xeval.tasks.mining import MINING
from xeval.tasks.retrieval import RETRIEVAL

Make = Callable[..., Path]


class Deep(Checkpoint):
    """A checkpoint of which only the depth matters."""

    def __init__(self, depth: int, name: str = "num_hidden_layers") -> None:
        super().__init__(Path("deep"), "deep")
        object.__setattr__(self, "config", {name: depth})


def evaluate(
    models: Path, data: Path, store: Path, name: str, languages: tuple[str, ...] = ("de",), **options: Any
) -> tuple[Plan, Outcome]:
    chosen = RunOptions(data=data, device="cpu", **options)
    planned = plan_units(list(discover(models)), [task(name)], Store(store), chosen, languages=languages)
    with Steps("run", len(planned.units), quiet=True) as steps:
        return planned, run_units(planned, Store(store), chosen, EvaluationSteps(steps))


def stored(store: Path, unit: Unit) -> tuple[UnitRecord, dict[str, list[Any]]]:
    path = Store(store).unit_path(
        unit.task.name, unit.language, unit.fingerprint, unit.identity, unit.inputs["limit"]
    )
    return Store(store).read(path)


def plain_embeddings(directory: Path, texts: Sequence[str]) -> np.ndarray:
    """One sentence at a time, by transformers alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory).eval()
    with torch.inference_mode():
        rows = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    values = torch.stack(rows).numpy()
    unit: np.ndarray = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize(
    ("recipe", "depth", "kind", "layer"),
    [
        ("default", 12, RETRIEVAL, 12),
        ("jiant", 24, RETRIEVAL, 14),
        ("jiant", 12, RETRIEVAL, 7),
        ("jiant", 24, MINING, 14),
        ("xtreme", 12, RETRIEVAL, 8),
        ("xtreme", 24, RETRIEVAL, 14),
        ("xtreme", 24, MINING, 20),
        ("laser", 6, MINING, 6),
    ],
)
def test_a_recipe_is_written_out_for_the_encoders_depth(
    recipe: str, depth: int, kind: Any, layer: int
) -> None:
    settings = kind.resolve({"recipe": recipe}, Deep(depth))
    assert (settings.recipe, settings.layer) == (recipe, layer)
    assert set(settings.stored()) == set(kind.defaults.stored())
    # The config of DistilBERT calls it n_layers.
    assert kind.resolve({"recipe": recipe}, Deep(depth, "n_layers")) == settings


def test_single_settings_of_a_recipe_can_be_changed() -> None:
    settings = RETRIEVAL.resolve({"recipe": "jiant", "layer": 3, "margin": "ratio", "k": 4}, Deep(12))
    assert (
        describe_recipe(settings.stored())
        == "jiant: layer 3, mean, cosine, margin ratio k=4, english queries"
    )
    mining = MINING.resolve({"centring": "language_mean", "direction": "english"}, Deep(12))
    assert "direction" not in mining.stored()  # mining looks both ways
    assert describe_recipe(mining.stored()) == (
        "default: layer 12, mean, cosine, language_mean, margin ratio k=4, matching max, duplicates drop"
    )
    assert describe_recipe({"max_length": 5}) == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"recipe": "jaint"}, "did you mean 'jiant'"),
        ({"layer": 13}, r"--layer 13: deep has layers 0 \(embeddings\) to 12"),
        ({"pooling": "median"}, "pooling median: no such choice.*mean_no_special"),
        ({"layers": "some"}, "layers some: no such choice; use all"),
        ({"direction": "englisch"}, "did you mean 'english'"),
    ],
)
def test_settings_that_do_not_exist_are_said(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        RETRIEVAL.resolve(changes, Deep(12))


def test_the_published_default_and_the_same_written_out_are_one_fingerprint(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    make_checkpoint(tmp_path / "models/encoder")
    data = write_all(tmp_path / "data")

    def fingerprint(**settings: Any) -> str:
        options = RunOptions(data=data, device="cpu", settings=settings)
        (unit,) = plan_units(
            list(discover(tmp_path / "models")),
            [task("tatoeba")],
            Store(tmp_path / "s"),
            options,
            languages=["de"],
        ).units
        return unit.fingerprint

    assert fingerprint() == fingerprint(recipe="default", layer=2, pooling="mean")
    others = [
        {"recipe": "jiant"},
        {"layer": 1},
        {"layers": "all"},
        {"direction": "english"},
        {"centring": "language_mean"},
    ]
    assert len({fingerprint(), *(fingerprint(**changes) for changes in others)}) == 6


def test_a_layer_that_is_too_deep_fails_that_task_alone(tmp_path: Path, make_checkpoint: Make) -> None:
    make_checkpoint(tmp_path / "models/encoder")
    planned, outcome = evaluate(
        tmp_path / "models", write_all(tmp_path / "data"), tmp_path / "s", "tatoeba", settings={"layer": 3}
    )
    assert planned.units == ()
    assert not outcome.ok
    assert "layers 0 (embeddings) to 2" in outcome.problems[0].reason


@pytest.mark.parametrize("code", ["jv", "de"])
def test_tatoeba_equals_plain_transformers_and_faiss(
    real_data: Path, tiny_encoder: Path, tmp_path: Path, code: str
) -> None:
    planned, outcome = evaluate(tiny_encoder, real_data, tmp_path, "tatoeba", (code,), limit=200)
    assert outcome.ok
    _, rows = stored(tmp_path, planned.units[0])
    examples = [
        e for e in task("tatoeba").source.load(real_data, code, "test")[:200] if isinstance(e, Translation)
    ]
    foreign = plain_embeddings(tiny_encoder, [e.source for e in examples])
    english = plain_embeddings(tiny_encoder, [e.target for e in examples])
    index = faiss.IndexFlatIP(english.shape[1])
    index.add(english)
    similarity, found = index.search(foreign, 2)
    clear = similarity[:, 0] - similarity[:, 1] > 1e-5  # where rounding cannot change the order
    assert clear.mean() > 0.9
    assert [rows["prediction"][n] for n in np.flatnonzero(clear)] == [
        examples[found[n, 0]].target for n in np.flatnonzero(clear)
    ]
    right = np.asarray(
        [examples[row].target == e.target for row, e in zip(found[:, 0], examples, strict=True)]
    )
    np.testing.assert_array_equal(np.asarray(rows["accuracy.num"])[clear], right[clear])


def small() -> tuple[list[Translation], np.ndarray, np.ndarray]:
    """Five pairs, of which two have equal English sentences; foreign and English embeddings of width 4."""
    texts = [("eins", "one"), ("zwei", "two"), ("uno", "one"), ("drei", "three"), ("vier", "four")]
    examples = [Translation(str(n), str(n), *pair) for n, pair in enumerate(texts)]
    draw = np.random.default_rng(5)
    foreign = draw.standard_normal((5, 4)).astype(np.float32)
    english = (foreign + draw.standard_normal((5, 4))).astype(np.float32)
    english[2] = english[0]
    return examples, foreign, english


@pytest.mark.parametrize("direction", ["foreign", "english", "both"])
def test_who_asks(tiny_encoder: Path, direction: str) -> None:
    examples, foreign, english = small()
    encoder = TextEncoder(AutoTokenizer.from_pretrained(tiny_encoder))
    settings = RETRIEVAL.resolve({"direction": direction}, Deep(2))
    encoded = RETRIEVAL.encode(examples, encoder, settings)
    reduced = {"embedding": np.concatenate([foreign, english])}
    predicted = RETRIEVAL.predict(examples, encoded, reduced, Scoring(task("tatoeba"), "de", (), settings))
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (foreign, english))
    cosine = a @ b.T
    targets = np.asarray([e.target for e in examples])
    by_foreign = targets[cosine.argmax(1)] == targets
    by_english = cosine.argmax(0) == np.arange(5)
    expected = {"foreign": by_foreign, "english": by_english, "both": (by_foreign + 1.0 * by_english) / 2}
    assert 0 < by_foreign.mean() < 1
    np.testing.assert_array_equal(predicted.metrics["accuracy"][0], expected[direction])
    if direction == "foreign":
        neighbour = np.where(by_foreign, np.arange(5), cosine.argmax(1))
        assert predicted.columns["neighbour"] == neighbour.tolist()
    if direction == "english":
        assert predicted.columns["neighbour"] == cosine.argmax(0).tolist()
        assert predicted.texts == [examples[row].source for row in cosine.argmax(0)]


def test_a_query_without_a_ratio_is_wrong_and_said_and_embeddings_of_zeros_are_refused(
    tiny_encoder: Path,
) -> None:
    examples, foreign, _ = small()
    encoder = TextEncoder(AutoTokenizer.from_pretrained(tiny_encoder))
    settings = RETRIEVAL.resolve({"margin": "ratio", "k": 2, "direction": "both"}, Deep(2))
    encoded = RETRIEVAL.encode(examples, encoder, settings)
    away = {"embedding": np.concatenate([np.abs(foreign), -np.abs(foreign)])}
    predicted = RETRIEVAL.predict(examples, encoded, away, Scoring(task("tatoeba"), "de", (), settings))
    assert predicted.metrics["accuracy"][0].tolist() == [0.0] * 5
    assert predicted.texts == [""] * 5
    assert predicted.columns["neighbour"] == [-1] * 5
    assert [text.split(",")[0] for text in predicted.remarks] == [
        f"5 of 5 {way} queries got no answer" for way in ("foreign", "english")
    ]
    away["embedding"][7] = 0
    with pytest.raises(XevalError, match="1 of 5 sentence embeddings are all zeros"):
        RETRIEVAL.predict(examples, encoded, away, Scoring(task("tatoeba"), "de", (), settings))


def test_a_sweep_gives_the_scores_of_encoders_that_stop_at_each_layer(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    make_checkpoint(tmp_path / "models/encoder", layers=3)
    data = write_all(tmp_path / "data", items=60)
    planned, outcome = evaluate(
        tmp_path / "models", data, tmp_path / "s", "tatoeba", settings={"layers": "all", "layer": 1}
    )
    assert outcome.ok
    record, rows = stored(tmp_path / "s", planned.units[0])
    assert record.metrics == ["accuracy", "accuracy@0", "accuracy@1", "accuracy@2", "accuracy@3"]
    assert (record.main_metric, list(record.metric_versions), list(record.signatures)) == (
        "accuracy",
        ["accuracy"],
        ["accuracy"],
    )
    assert rows["accuracy.num"] == rows["accuracy@1.num"]
    curve = []
    for layer in range(4):
        planned, _ = evaluate(tmp_path / "models", data, tmp_path / "s", "tatoeba", settings={"layer": layer})
        _, single = stored(tmp_path / "s", planned.units[0])
        assert rows[f"accuracy@{layer}.num"] == single["accuracy.num"]
        curve.append(sum(single["accuracy.num"]))
        if layer == 1:
            assert rows["neighbour"] == single["neighbour"]
    assert len(set(curve)) > 1


def bucc(root: Path, pairs: int = 30) -> Path:
    """BUCC's files for de: pairs that share words, sentences without a translation, and repeated ones."""
    words = "Anna Boris Berlin Acme works lives brown fox lazy dog 0123 jumps over the quick river".split()
    draw = np.random.default_rng(0)
    for stem, count in (("de-en.sample", pairs), ("de-en.training", 2 * pairs)):
        sides: dict[str, list[str]] = {"de": [], "en": []}
        for number in range(2 * count):
            shared = " ".join(draw.choice(words, 6))
            sides["de"].append(f"de-{number:04d}\t{shared} Fuchs {number}\n")
            other = shared if number < count else " ".join(draw.choice(words, 6))
            sides["en"].append(f"en-{number:04d}\t{other} fox {number if number < count else -number}\n")
        sides["de"].append(sides["de"][0].replace("de-0000", "de-9999"))
        gold = "".join(f"de-{n:04d}\ten-{n:04d}\n" for n in range(count))
        files = {"de": "".join(sides["de"]), "en": "".join(sides["en"]), "gold": gold}
        for side, text in files.items():
            path = root / f"bucc2018/{stem}.{side}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root


def reference(
    directory: Path, root: Path, split: str
) -> tuple[list[tuple[float, str, str]], set[tuple[str, str]]]:
    """Candidates as the published scripts find them: margin ratio, k = 4, greedy one-to-one, no repeated sentence."""
    collection = BuccSource().collection(root, "de", split)
    by_text: list[dict[str, list[str]]] = []
    for side in (collection.source, collection.target):
        ids: dict[str, list[str]] = {}
        for name, text in zip(side.ids, side.texts, strict=True):
            ids.setdefault(text, []).append(name)
        by_text.append(ids)
    texts = [list(ids) for ids in by_text]
    x, y = (plain_embeddings(directory, side) for side in texts)
    cosine = x.astype(np.float64) @ y.astype(np.float64).T
    forward, backward = np.argsort(-cosine, 1)[:, :4], np.argsort(-cosine, 0)[:4].T
    x_mean = np.take_along_axis(cosine, forward, 1).mean(1)
    y_mean = np.take_along_axis(cosine.T, backward, 1).mean(1)
    margin = cosine / ((x_mean[:, None] + y_mean[None]) / 2)
    candidates = []
    for i in range(len(x)):
        j = max(forward[i], key=lambda column: margin[i, column])
        candidates.append((margin[i, j], i, int(j)))
    for j in range(len(y)):
        i = max(backward[j], key=lambda row: margin[row, j])
        candidates.append((margin[i, j], int(i), j))
    used: tuple[set[int], set[int]] = (set(), set())
    found = []
    for score, i, j in sorted(candidates, reverse=True):
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            one, other = by_text[0][texts[0][i]], by_text[1][texts[1][j]]
            if len(one) == len(other) == 1:
                found.append((float(score), one[0], other[0]))
    return found, set(collection.gold)


def best_cut(found: list[tuple[float, str, str]], gold: set[tuple[str, str]]) -> tuple[float, float]:
    """The best F1 over all cuts, and the threshold halfway to the next candidate."""
    best, threshold, right = -1.0, 0.0, 0
    for number, (score, one, other) in enumerate(found):
        right += (one, other) in gold
        f1 = 2 * right / (number + 1 + len(gold))
        if f1 > best:
            after = found[number + 1][0] if number + 1 < len(found) else score
            best, threshold = f1, (score + after) / 2
    return best, threshold


def test_bucc_takes_its_threshold_from_dev_as_the_published_scripts_do(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    root = bucc(tmp_path / "data")
    planned, outcome = evaluate(tiny_encoder, root, tmp_path / "s", "bucc2018")
    assert outcome.ok, outcome.problems
    record, rows = stored(tmp_path / "s", planned.units[0])
    dev, dev_gold = reference(tiny_encoder, root, "dev")
    test, gold = reference(tiny_encoder, root, "test")
    _, threshold = best_cut(dev, dev_gold)
    assert rows["threshold"][0] == pytest.approx(threshold, abs=1e-5)
    extracted = {(one, other) for score, one, other in test if score >= threshold}
    assert {(a, b) for a, b in zip(rows["source_id"], rows["target_id"], strict=True) if a} == extracted
    right = len(extracted & gold)
    expected = {
        "pair_f1": 2 * right / (len(extracted) + len(gold)),
        "pair_f1_oracle": best_cut(test, gold)[0],
        "pair_precision": right / len(extracted),
        "pair_recall": right / len(gold),
    }
    for name, value in expected.items():
        assert sum(rows[f"{name}.num"]) / sum(rows[f"{name}.den"]) == pytest.approx(value, abs=1e-12), name
    assert 0 < expected["pair_f1"] < expected["pair_f1_oracle"] <= 1
    assert record.main_metric == "pair_f1"
    assert record.signatures["pair_f1"].startswith("pair_f1|version:1|range:0-1|threshold:dev")
    # Another threshold can be chosen from the rows.
    scores = {
        (a, b): s for a, b, s in zip(rows["cluster_id"], rows["candidate"], rows["score"], strict=True) if b
    }
    assert scores.keys() == {(one, other) for _, one, other in test}
    np.testing.assert_allclose(
        sorted(scores.values(), reverse=True), [score for score, _, _ in test], atol=1e-5
    )
    assert {(a, b) for a, g in zip(rows["cluster_id"], rows["gold"], strict=True) for b in g.split()} == gold
    assert len(set(rows["item_id"])) == len(rows["item_id"])
    # de-0000 occurs twice in the data, so its pair is never found, and it stays an item.
    assert rows["candidate"][rows["item_id"].index("de-0000")] == ""


def test_jiant_lets_repeated_sentences_stand_for_all_their_ids(tmp_path: Path, tiny_encoder: Path) -> None:
    root = bucc(tmp_path / "data")
    planned, _ = evaluate(
        tiny_encoder, root, tmp_path / "s", "bucc2018", settings={"recipe": "jiant", "layer": 2}
    )
    _, rows = stored(tmp_path / "s", planned.units[0])
    found = dict(zip(rows["cluster_id"], rows["candidate"], strict=True))
    assert found["de-0000"] == found["de-9999"]
    assert found["de-0000"]


def test_an_interrupted_mining_unit_goes_on(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bucc(tmp_path / "data")
    monkeypatch.setattr("xeval.encoder.pooling.BLOCK_SENTENCES", 40)
    sequences = type(MINING).sequences
    blocks: list[int] = []

    def stops(self: Any, texts: Any, *rest: Any) -> Any:
        blocks.append(len(texts))
        if len(blocks) == 5:
            raise KeyboardInterrupt
        return sequences(self, texts, *rest)

    monkeypatch.setattr(type(MINING), "sequences", stops)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tiny_encoder, root, tmp_path / "s", "bucc2018")
    assert list((tmp_path / "s/work").rglob("*.npy"))
    planned, outcome = evaluate(tiny_encoder, root, tmp_path / "s", "bucc2018")
    assert outcome.ok
    assert sum(blocks[:4] + blocks[5:]) == 60 + 60 + 120 + 120  # distinct sentences, each embedded once
    assert not list((tmp_path / "s/work").iterdir())
    again, _ = evaluate(tiny_encoder, root, tmp_path / "t", "bucc2018")
    assert stored(tmp_path / "s", planned.units[0])[1] == stored(tmp_path / "t", again.units[0])[1]


def test_a_full_disk_when_a_mined_unit_is_written_costs_no_embedding_and_damaged_work_is_said(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = bucc(tmp_path / "data"), tmp_path / "s"
    embedded: list[int] = []
    run = Loop.run

    def counted(self: Loop, block: Any, reduce: Any, *rest: Any) -> Any:
        embedded.append(len(block))
        return run(self, block, reduce, *rest)

    def full(*_: Any) -> None:
        raise StoreError("the disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", full)
        _, outcome = evaluate(tiny_encoder, root, store, "bucc2018")
    assert [problem.reason for problem in outcome.problems] == ["the disk is full."]
    (work,) = (store / "work").iterdir()
    with (work / "test.target.npy").open("r+b") as file:
        file.truncate(500)
    (work / "dev.search").write_bytes(b"")
    monkeypatch.setattr(Loop, "run", counted)
    planned, outcome = evaluate(tiny_encoder, root, store, "bucc2018")
    assert outcome.ok
    assert [problem.reason.split("; ")[-1] for problem in outcome.problems] == [
        "the search starts again.",
        "it starts again.",
    ]
    assert 120 in embedded
    assert 60 not in embedded
    assert not list((store / "work").iterdir())
    again, _ = evaluate(tiny_encoder, root, tmp_path / "t", "bucc2018")
    assert stored(store, planned.units[0])[1] == stored(tmp_path / "t", again.units[0])[1]
    Store(store).work(planned.units[0].fingerprint)  # as a process leaves it that dies before it removes it
    evaluate(tiny_encoder, root, store, "bucc2018")
    assert not list((store / "work").iterdir())


def test_the_first_sentences_of_bucc_are_a_unit_of_their_own(tmp_path: Path, tiny_encoder: Path) -> None:
    planned, outcome = evaluate(tiny_encoder, bucc(tmp_path / "data"), tmp_path / "s", "bucc2018", limit=20)
    assert outcome.ok
    _, rows = stored(tmp_path / "s", planned.units[0])
    assert set(rows["cluster_id"]) == {f"de-{n:04d}" for n in range(20)}


def test_what_mining_takes_is_estimated(tmp_path: Path, tiny_encoder: Path) -> None:
    options = RunOptions(data=bucc(tmp_path / "data"), device="cpu")
    planned = plan_units(
        list(discover(tiny_encoder)), [task("bucc2018")], Store(tmp_path / "s"), options, languages=["de"]
    )
    ((_, work),) = estimated_work(planned, options)
    assert (work.source, work.target) == (121, 120)
    assert [part.operations for part in work.search] == [4 * 61 * 60 * 32, 4 * 121 * 120 * 32]
    assert all(part.seconds > 0 for part in work.search)
    assert work.disk == (61 + 60 + 121 + 120) * 32 * 4
    assert work.embedding_operations > 0


def test_exported_predictions_score_as_stored(tmp_path: Path, tiny_encoder: Path) -> None:
    root = bucc(write_all(tmp_path / "data", items=40))
    scores = {}
    for name, code, metric in (("tatoeba", "zh", "accuracy"), ("bucc2018", "de", "pair_f1")):
        planned, _ = evaluate(tiny_encoder, root, tmp_path / "s", name, (code,))
        _, rows = stored(tmp_path / "s", planned.units[0])
        scores[name] = 100 * sum(rows[f"{metric}.num"]) / sum(rows[f"{metric}.den"])
    exported = export_xtreme(tmp_path / "s", tmp_path / "out", data=root)
    assert exported.skipped == ()
    labels = tmp_path / "labels"
    english = [
        e.target for e in task("tatoeba").source.load(root, "zh", "test") if isinstance(e, Translation)
    ]
    order = sorted(range(40), key=lambda row: english[row])
    (labels / "tatoeba").mkdir(parents=True)
    (labels / "tatoeba/test-zh.tsv").write_text("".join(f"{row}\n" for row in order))
    (labels / "bucc2018").mkdir()
    gold = (root / "bucc2018/de-en.training.gold").read_text()
    (labels / "bucc2018/test-de.tsv").write_text(gold)
    result = score_submission(tmp_path / "out/encoder", labels)
    assert result.scores["tatoeba"]["zh"]["accuracy"] == pytest.approx(scores["tatoeba"], abs=1e-9)
    assert result.scores["bucc2018"]["de"]["f1"] == pytest.approx(scores["bucc2018"], abs=1e-9)


def test_planted_pairs_are_mined(tmp_path: Path, tiny_encoder: Path) -> None:
    data = write_all(tmp_path / "data", items=120)
    planned, outcome = evaluate(tiny_encoder, data, tmp_path / "s", "bucc-planted", ("de",))
    assert outcome.ok, outcome.problems
    path = next((tmp_path / "s").rglob("*.parquet"))
    assert read_table(path).num_rows > 20
    assert planned.units[0].task.group == "diagnostic"
