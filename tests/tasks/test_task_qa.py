"""MLQA and TyDiQA from files in their authors' layouts to stored scores; what the span procedure promises."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xeval import cli
from xeval.checkpoints import discover
from xeval.console.evaluation import EvaluationSteps
from xeval.encoder.tokens import TextEncoder
from xeval.errors import DataError
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import plan_units
from xeval.evaluation.run import run_units
from xeval.examples import Answer, Question
from xeval.metrics import qa_metrics
from xeval.store import Store
from xeval.tasks import task, training_set
from xeval.tasks.base import Scoring
from xeval.tasks.span_qa import SPAN_QA, best_spans

# A passage, a question and its answer. MLQA's metric drops the German and the Arabic article, SQuAD's does not.
MLQA_TEXTS = {
    "ar": ("سافر القطار من المدينة. وصل مساء.", "من أين سافر القطار؟", "المدينة"),
    "de": ("Anna wohnt in der alten Stadt. Boris wohnt am Fluss.", "Wo wohnt Anna?", "der alten Stadt"),
    "zh": ("安娜在柏林工作。鲍里斯住在河边。", "安娜在哪里工作？", "柏林"),
}
TYDIQA_TEXTS = {
    "english": ("Anna works in Berlin. Boris lives near the river.", "Where does Anna work?", "Berlin"),
    "telugu": ("అన్నా బెర్లిన్‌లో పని చేస్తుంది. బోరిస్ నది దగ్గర ఉంటాడు.", "అన్నా ఎక్కడ పని చేస్తుంది?", "బెర్లిన్‌లో"),
    "korean": (
        "안나는 베를린에서 일한다. 보리스는 강 근처에 산다.",
        "안나는 어디에서 일하는가?",
        "베를린에서",
    ),
}


def squad_file(path: Path, *articles: tuple[str, str, str, str]) -> None:
    """An article of one passage for every (id, context, question, answer)."""
    data = [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": context,
                    "qas": [
                        {
                            "id": name,
                            "question": question,
                            "answers": [{"text": answer, "answer_start": context.index(answer)}],
                        }
                    ],
                }
            ],
        }
        for name, context, question, answer in articles
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": "1.0", "data": data}), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for language, (context, question, answer) in MLQA_TEXTS.items():
        for split, name in (("test", "same-id"), ("dev", "dev-id")):
            for other in ("en", language):  # MLQA crosses languages: the files of other pairs are not read
                path = root / f"mlqa/MLQA_V1/{split}/{split}-context-{language}-question-{other}.json"
                squad_file(path, (name, context, question if other == language else "Where?", answer))
    dev = [(f"{name}-1", *texts) for name, texts in TYDIQA_TEXTS.items()]
    squad_file(root / "tydiqa/tydiqa-goldp-v1.1-dev.json", *dev)
    squad_file(root / "tydiqa/tydiqa-goldp-v1.1-train.json", *((f"{row[0]}-train", *row[1:]) for row in dev))
    return root


def test_mlqa_asks_and_reads_in_one_language(data: Path) -> None:
    for language, (context, asked, answer) in MLQA_TEXTS.items():
        (read,) = task("mlqa").source.load(data, language, task("mlqa").split)
        assert isinstance(read, Question)
        assert (read.item_id, read.question, read.context) == ("same-id", asked, context)
        assert read.answers == (Answer(answer, context.index(answer)),)
    assert task("mlqa").source.load(data, "de", "dev")[0].item_id == "dev-id"
    with pytest.raises(DataError, match="test-context-vi-question-vi"):
        task("mlqa").source.load(data, "vi", "test")


def test_tydiqa_tests_on_its_dev_set_and_trains_in_english(data: Path) -> None:
    tydiqa = task("tydiqa")
    for code, name in (("en", "english"), ("te", "telugu"), ("ko", "korean")):
        (read,) = tydiqa.source.load(data, code, tydiqa.split)
        assert isinstance(read, Question)
        assert (read.item_id, read.question) == (f"{name}-1", TYDIQA_TEXTS[name][1])
    trained = training_set("tydiqa-en").source.load(data, "en", "train")
    assert [example.item_id for example in trained] == ["english-1-train"]


def test_tydiqa_in_a_file_per_language(data: Path) -> None:
    one = data / "tydiqa/tydiqa-goldp-v1.1-dev.json"
    for name, texts in TYDIQA_TEXTS.items():
        squad_file(data / f"tydiqa/tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{name}.json", (f"{name}-1", *texts))
    together = [task("tydiqa").source.load(data, code, "test")[0].item_id for code in ("en", "ko", "te")]
    one.unlink()
    apart = [task("tydiqa").source.load(data, code, "test")[0].item_id for code in ("en", "ko", "te")]
    assert apart == together == ["english-1", "korean-1", "telugu-1"]


class Silent(EvaluationSteps):
    """A watcher that shows nothing."""

    def __init__(self) -> None: ...
    def started(self, *_: Any) -> None: ...
    def advanced(self, *_: Any) -> None: ...
    def finished(self, *_: Any) -> None: ...
    def failed(self, *_: Any) -> None: ...


def test_scores_are_stored_under_the_published_metrics(
    data: Path, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    make_checkpoint(tmp_path / "models/qa", "ForQuestionAnswering")
    store, options = Store(tmp_path / "store"), RunOptions(data=data, device="cpu")
    chosen = [task("mlqa"), task("tydiqa")]
    planned = plan_units(
        list(discover(tmp_path / "models")), chosen, store, options, languages=("de", "zh", "en", "ko", "te")
    )
    assert [(unit.task.name, unit.language) for unit in planned.units] == [
        *(("mlqa", language) for language in ("de", "zh")),
        *(("tydiqa", language) for language in ("en", "ko", "te")),
    ]
    assert run_units(planned, store, options, Silent()).done == 5
    mains = {record.task: record.main_metric for _, record in store.current().units}
    assert mains == {"mlqa": "mlqa_f1", "tydiqa": "squad_f1"}
    for path, record in store.current().units:
        _, rows = store.read(path)
        texts = MLQA_TEXTS if record.task == "mlqa" else {k[:2]: v for k, v in TYDIQA_TEXTS.items()}
        context, _, answer = texts[record.language]
        assert rows["prediction"][0] in context
        for metric in record.metrics:
            expected, _ = qa_metrics[metric](rows["prediction"], [(answer,)], record.language)
            assert rows[f"{metric}.num"] == expected.tolist()


def reduced(scores: list[float], starts: list[int], ends: list[int]) -> dict[str, np.ndarray[Any, Any]]:
    return {"score": np.asarray(scores), "start": np.asarray(starts), "end": np.asarray(ends)}


def test_a_prediction_is_raw_text_of_the_context(tiny_tokenizer: Any) -> None:
    """Cut by character offsets, so that Chinese keeps no added spaces and Latin words no lower case."""
    encoder = TextEncoder(tiny_tokenizer)
    contexts = {"zh": "谁住在巴黎?安娜在柏林工作。", "de": "Der  Fuchs (München) wohnt."}
    for language, answer in (("zh", "柏林"), ("de", "Fuchs (München)")):
        context = contexts[language]
        example = Question("q", "c", "Wo?", context, (Answer(answer, context.index(answer)),))
        encoded = SPAN_QA.encode([example], encoder, SPAN_QA.defaults)
        spans = SPAN_QA.targets([example], encoded, ())
        texts, scores = best_spans(
            [example], encoded, reduced([2.5], spans["start_positions"], spans["end_positions"])
        )
        assert answer in texts[0]
        assert texts[0] in context
        assert scores.tolist() == [2.5]


def test_no_candidate_is_the_empty_text_and_wrong(tiny_tokenizer: Any) -> None:
    examples = [
        Question("q", "c", "Wo?", "München.", (Answer("München", 0),)),
        Question("r", "c", "Wo?", "München.", ()),
    ]
    encoded = SPAN_QA.encode(examples, TextEncoder(tiny_tokenizer), SPAN_QA.defaults)
    nothing = reduced([-np.inf, -np.inf], [0, 0], [0, 0])
    predicted = SPAN_QA.predict(
        examples, encoded, nothing, Scoring(task("xquad"), "de", (), SPAN_QA.defaults)
    )
    assert predicted.texts == ["", ""]
    # A question without gold answers is right exactly when nothing is predicted.
    assert predicted.metrics["squad_em"][0].tolist() == [0.0, 1.0]


def test_the_hub_is_a_data_root(
    tmp_path: Path,
    make_checkpoint: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a network the error is about the download, not about a missing folder of that name."""
    make_checkpoint(tmp_path / "qa", "ForQuestionAnswering")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    where = ["--data", "hub", "--tasks", "xquad", "--languages", "de", "--store", str(tmp_path / "s")]
    monkeypatch.setattr(sys, "argv", ["xeval", "run", "--dry-run", str(tmp_path / "qa"), *where])
    with pytest.raises(SystemExit):
        cli.main()
    err = " ".join(capsys.readouterr().err.split())
    assert "google/xquad" in err
    assert "no such directory" not in err
