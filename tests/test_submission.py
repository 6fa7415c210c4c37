"""Scores of submission files equal XTREME's own.

Expected values come from google-research/xtreme at 838c13b (``evaluate_one_task`` and ``evaluate``, with seqeval 0.0.12
and Python 3.11) on the same files.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from support.submissions import questions, write, write_submission

from xeval.errors import DataError, UsageError
from xeval.interop.submission import SUBMISSION_TASKS, score_submission
from xeval.interop.submission.scoring import FileScore, score_file
from xeval.metrics import METRICS

XNLI = "entailment\nneutral\ncontradiction\nneutral\n"
POS = "NOUN\nNOUN\nSCONJ\n\nSYM\nSYM\nVERB\n"
GOLD = questions({"a": ["The old river."], "b": ["Anna", "in Rome"], "c": ["2,000"]})
TWICE = json.dumps({"data": [{"paragraphs": json.loads(GOLD)["data"][0]["paragraphs"] * 2}]})
CHOICES = "".join(json.dumps({"label": label}) + "\n" for label in (0, 1, 1, 1))


def scored(root: Path, task: str, language: str, predictions: str, labels: str) -> FileScore:
    return score_file(
        SUBMISSION_TASKS[task],
        language,
        write(root / "predictions", predictions),
        write(root / "labels", labels),
    )


def chunks(f1: float, precision: float, recall: float) -> dict[str, float]:
    return {"f1": f1, "precision": precision, "recall": recall}


def answers(exact_match: float, f1: float) -> dict[str, float]:
    return {"exact_match": exact_match, "f1": f1}


@pytest.mark.parametrize(
    ("task", "language", "predictions", "labels", "expected"),
    [
        ("xnli", "en", "neutral\nneutral\ncontradiction\nneutral\n", XNLI, {"accuracy": 75.0}),
        ("xnli", "en", "neutral\nneutral\ncontradiction\nneutral", XNLI, {"accuracy": 75.0}),
        ("xnli", "en", "neutral\r\nneutral \r\n contradiction\r\nneutral\r\n", XNLI, {"accuracy": 75.0}),
        ("tatoeba", "de", "3\n1\n2", "3\n2\n1\n", {"accuracy": 33.33333333333333}),
        (
            "xcopa",
            "et",
            '{"label": 0}\n{"label": 1.0}\n{"label": 1}\n{"label": 0}',
            CHOICES,
            {"accuracy": 75.0},
        ),
        (
            "udpos",
            "en",
            "NOUN\nVERB\nCCONJ\n\nSYM\nSYM\nVERB\n",
            POS,
            chunks(54.54545454545454, 50.0, 60.0),
        ),
        ("udpos", "en", POS + "\n", POS, chunks(100.0, 100.0, 100.0)),
        ("panx", "en", "O\nO\n\nB-LOC\n", "B-PER\nO\n\nO\n", chunks(0.0, 0.0, 0.0)),
        (
            "panx",
            "en",
            "B-PER\nI-LOC\nO\n\nO\nI-ORG\nI-ORG\n",
            "B-PER\nI-PER\nO\n\nO\nB-ORG\nI-ORG",
            chunks(40.0, 33.33333333333333, 50.0),
        ),
        (
            "bucc2018",
            "de",
            "a\t1\nb\t3\nc\t4\n",
            "a\t1\nb\t2\nc\t4\nd\t5\n",
            chunks(57.14285714285715, 66.66666666666666, 50.0),
        ),
        (
            "xquad",
            "de",
            '{"a": "old river", "b": "Rome", "c": "2000"}',
            GOLD,
            answers(66.66666666666667, 88.88888888888887),
        ),
        ("mlqa", "ar", '{"a": "مدينة المال"}', questions({"a": ["المدينة الم"]}), answers(100.0, 100.0)),
        (
            "mlqa",
            "zh",
            '{"a": "在柏林, 2019年"}',
            questions({"a": ["柏林2019年"]}),
            answers(0.0, 88.8888888888889),
        ),
    ],
)
def test_a_file_scores_as_in_xtreme(
    tmp_path: Path, task: str, language: str, predictions: str, labels: str, expected: dict[str, float]
) -> None:
    score = scored(tmp_path, task, language, predictions, labels)
    assert score.published == expected
    assert list(score.published) == list(expected)
    assert score.oddities == ()


@pytest.mark.parametrize(
    ("task", "predictions", "labels", "expected", "oddity"),
    [
        ("xnli", "neutral\nneutral\n\nneutral\n", XNLI, {"accuracy": 50.0}, "1 blank line counts"),
        ("xnli", "\ufeff" + XNLI, XNLI, {"accuracy": 75.0}, "byte order mark"),
        ("xnli", "0\n1\n2\nneutral\n", XNLI, {"accuracy": 25.0}, "3 predictions are no labels of the task"),
        (
            "udpos",
            "NOUN\nNOUN\n\nSYM\nSYM\nVERB\n",
            POS,
            chunks(44.44444444444445, 50.0, 40.0),
            "1 sentence has another number of tags",
        ),
        (
            "udpos",
            "NOUN\n\n\n\nSYM\nVERB\n",
            "NOUN\n\n\n\nSYM\nSYM\n",
            chunks(66.66666666666666, 66.66666666666666, 66.66666666666666),
            "2 sentences have no tags",
        ),
        (
            "bucc2018",
            "a\t1\na\t1\nb\nc\t4\t5\n\n",
            "a\t1\nb\t2\n",
            chunks(33.33333333333333, 25.0, 50.0),
            "1 line repeats another one and counts once; 3 lines are no pairs of ids",
        ),
        ("bucc2018", "", "a\t1\nb\t2\n", chunks(0.0, 0.0, 0.0), "no pair"),
        (
            "tydiqa",
            '{"a": "a river", "c": "2,000 !", "z": "x"}',
            GOLD,
            answers(33.333333333333336, 55.55555555555555),
            "1 question has no answer and scores 0; 1 answer belongs to no question and is ignored",
        ),
        (
            "xquad",
            '{"a": "river", "b": "Anna", "a": "old"}',
            GOLD,
            answers(33.333333333333336, 55.55555555555555),
            "1 answer repeats an id, the last one counts",
        ),
        (
            "xquad",
            '{"data": {"a": "old river"}}',
            GOLD,
            answers(33.333333333333336, 33.333333333333336),
            "2 questions have no answer and score 0",
        ),
        ("xquad", '{"a": "river"}', TWICE, answers(0.0, 22.222222222222218), "3 questions repeat an id"),
        ("xcopa", CHOICES.replace("0", '"0"'), CHOICES, {"accuracy": 75.0}, "1 prediction is no label"),
    ],
)
def test_what_xtreme_tolerates_scores_the_same_and_is_told(
    tmp_path: Path, task: str, predictions: str, labels: str, expected: dict[str, float], oddity: str
) -> None:
    score = scored(tmp_path, task, "en", predictions, labels)
    assert score.published == expected
    assert oddity in "; ".join(score.oddities)


@pytest.mark.parametrize(
    ("task", "predictions", "labels", "sentence"),
    [
        ("xnli", "neutral\n", XNLI, "number of labels is 1"),
        ("xnli", XNLI + "neutral\n", XNLI, "number of labels is 5"),
        ("xnli", "", XNLI, "number of labels is 0"),
        ("xnli", "", "", "holds no label"),
        ("xnli", "neutral\n" * 10, "entailment\n" * 10, "placeholder"),
        ("tatoeba", "0\n" * 10, "0\n" * 10, "placeholder"),
        ("udpos", "NOUN\nNOUN\nSCONJ\n", POS, "number of sentences is 1"),
        ("udpos", "\n" + POS, POS, "number of sentences is 3"),
        ("udpos", POS, "X\n" * 10, "placeholder"),
        ("panx", "O\nB-PER\n", "O\nO\n", "every tag is 'O'"),
        ("panx", "O\n", "\n\n", "holds no tag"),
        ("bucc2018", "a\t1\n", "a 1\n", "holds no pair"),
        ("xquad", '{"a": ', GOLD, "not JSON"),
        ("xquad", '["a"]', GOLD, "answers by question id"),
        ("xquad", '{"a": 3}', GOLD, "answer of question a is no text"),
        ("xquad", '{"a": null}', GOLD, "answer of question a is no text"),
        ("xquad", '{"a": "x"}', questions({"a": [], "b": ["y"]}), "no gold answer"),
        ("xquad", '{"a": "x"}', questions({"a": [""], "b": [" "]}), "every answer is blank"),
        ("xquad", "{}", '{"data": []}', "no question"),
        ("xquad", "{}", '{"data": [{"qas": []}]}', "no SQuAD JSON"),
        ("xcopa", '{"labl": 0}\n', '{"label": 0}\n', "line 1"),
        ("xcopa", '{"label": 0}\n\n', '{"label": 0}\n{"label": 1}\n', "line 2"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_sentence(
    tmp_path: Path, task: str, predictions: str, labels: str, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence) as refused:
        scored(tmp_path, task, "en", predictions, labels)
    assert str(tmp_path) in str(refused.value)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", XNLI)
    (tmp_path / "predictions").write_bytes("naïve\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 text at byte 2"):
        score_file(SUBMISSION_TASKS["xnli"], "en", tmp_path / "predictions", labels)


TAGS = st.sampled_from(["NOUN", "VERB", "SCONJ", "SYM", "O", "B-PER", "I-PER", "S-X", "E", "", ""])


@given(st.lists(TAGS, max_size=14), st.lists(TAGS, max_size=14))
@settings(deadline=None, max_examples=300)
def test_tag_files_of_any_shape_score_as_seqeval_does(
    tmp_path_factory: pytest.TempPathFactory, predicted: list[str], gold: list[str]
) -> None:
    """Sentences are what blank lines end; a file that ends without one ends its last sentence."""

    def sentences(lines: list[str]) -> list[list[str]]:
        found: list[list[str]] = [[]]
        for line in lines:
            if line:
                found[-1].append(line)
            else:
                found.append([])
        return found if found[-1] else found[:-1]

    gold = [*gold, "NOUN", "VERB"]  # never a placeholder
    inputs = (tmp_path_factory.getbasetemp(), "udpos", "en", "".join(f"{t}\n" for t in predicted))
    labels = "".join(f"{t}\n" for t in gold)
    of_gold, of_predicted = sentences(gold), sentences(predicted)
    if len(of_gold) != len(of_predicted):
        with pytest.raises(DataError, match="number of sentences"):
            scored(*inputs, labels)
        return
    assert scored(*inputs, labels).published == {
        "f1": f1_score(of_gold, of_predicted) * 100,
        "precision": precision_score(of_gold, of_predicted) * 100,
        "recall": recall_score(of_gold, of_predicted) * 100,
    }


def test_honest_scores_stand_beside_the_published_ones(tmp_path: Path) -> None:
    tags = scored(tmp_path, "udpos", "en", "NOUN\nNOUN\nVERB\n", "NOUN\nNOUN\nNOUN\n")
    assert (tags.published["f1"], tags.honest) == (0.0, {"tag_accuracy": pytest.approx(200 / 3)})
    assert scored(tmp_path, "panx", "en", "O\n", "B-PER\n").honest == {}
    answered = scored(tmp_path, "xquad", "zh", '{"a": "柏林"}', questions({"a": ["在柏林"], "b": ["x"]}))
    num, _ = METRICS["f1_mixed"](["柏林"], [("在柏林",)], "zh")
    assert answered.published["f1"] == 0.0
    assert answered.honest["f1_mixed"] == pytest.approx(100 * num[0] / 2)
    assert answered.honest["f1_mixed"] > 0
    shifted = scored(tmp_path, "udpos", "en", "NOUN\n", "NOUN\nVERB\n")
    assert shifted.honest == {}


def test_a_whole_submission_has_xtremes_averages(tmp_path: Path) -> None:
    result = score_submission(*write_submission(tmp_path))
    assert result.averages.means == {
        "pawsx": {"accuracy": 59.52380952380952},
        "xnli": {"accuracy": 60.0},
        "panx": chunks(65.04901960784314, 60.94444444444446, 70.0),
        "udpos": chunks(45.689196135165254, 50.84483632309719, 41.515151515151516),
        "bucc2018": chunks(54.54545454545454, 60.0, 50.0),
        "tatoeba": {"accuracy": 59.95370370370368},
        "xquad": answers(76.51515151515152, 89.89898989898988),
        "mlqa": answers(66.66666666666667, 87.4074074074074),
        "tydiqa": answers(75.92592592592592, 88.2716049382716),
    }
    assert result.averages.groups == {
        "classification": 59.76190476190476,
        "tagging": 55.3691078715042,
        "qa": 80.78095772540216,
        "retrieval": 57.249579124579114,
    }
    # The reference adds the tasks up in the order of a set, so its last digit is not determined.
    assert result.averages.overall == pytest.approx(65.23378407690919, abs=1e-12)
    assert result.warnings == ()
    assert set(result.honest) == {"udpos", "xquad", "mlqa", "tydiqa"}
    assert set(result.honest_means["xquad"]) == {"em_mixed", "f1_mixed"}
    signatures = result.signatures()
    assert {task: set(by_metric) for task, by_metric in signatures.items()} == {
        task: {*next(iter(by_language.values())), *result.honest_means.get(task, {})}
        for task, by_language in result.scores.items()
    }
    assert "range:0-100" in signatures["xnli"]["accuracy"]
    assert "threshold:submitted" in signatures["bucc2018"]["f1"]
    json.dumps(result.to_json(), allow_nan=False)


def test_languages_that_xtreme_r_adds_are_averaged_on_request(tmp_path: Path) -> None:
    folders = write_submission(tmp_path, added=True)
    xtreme = score_submission(*folders)
    assert xtreme.averages.means["panx"]["f1"] == 65.04901960784314
    assert len(xtreme.scores["panx"]) == 48
    assert any("panx: XTREME-R's qu pl" in warning for warning in xtreme.warnings)
    more = score_submission(*folders, xtreme_r=True)
    assert more.averages.means["panx"]["f1"] == 65.06842320261437
    assert more.averages.means["xquad"] == answers(76.38888888888889, 89.8148148148148)
    assert more.averages.tasks["xcopa"] == 59.848484848484844
    assert more.averages.overall is None


def test_a_part_of_a_submission_is_scored_and_what_is_missing_is_told(tmp_path: Path) -> None:
    predictions, labels = write_submission(tmp_path)
    whole = score_submission(predictions, labels)
    part = score_submission(predictions, labels, tasks=["xnli", "mlqa"], languages=["de", "zh"])
    assert part.scores == {
        task: {code: whole.scores[task][code] for code in ("de", "zh")} for task in ("xnli", "mlqa")
    }
    assert part.averages.groups == {}
    assert part.warnings == ()
    (predictions / "xnli" / "test-de.tsv").unlink()
    less = score_submission(predictions, labels)
    assert less.warnings == ("xnli: no predictions in de; its average is over 14 of XTREME's 15 languages.",)
    assert (less.averages.overall, set(less.averages.groups)) == (None, {"tagging", "qa", "retrieval"})
    (labels / "xnli" / "test-zh.tsv").unlink()
    with pytest.raises(DataError, match=r"labels/xnli/test-zh\.tsv: no such file"):
        score_submission(predictions, labels)


def test_unknown_names_are_told_with_the_nearest_one(tmp_path: Path) -> None:
    predictions, labels = write_submission(tmp_path)
    for name in ("xqad", "mewslix", "lareqa", ".hidden"):
        (predictions / name).mkdir()
    write(predictions / "xnli" / "test-dee.tsv", "x")
    write(predictions / "xnli" / "test-pl.tsv", "x")
    write(predictions / "xnli" / "test-xh.tsv.zip", "x")
    warnings = "\n".join(score_submission(predictions, labels).warnings)
    assert "did you mean 'xquad'?" in warnings
    assert warnings.count("mAP@20") == 2
    assert "test-dee.tsv: not scored, no file name of xnli; did you mean 'test-de.tsv'?" in warnings
    assert "xnli has no Polish test set" in warnings
    assert "hidden" not in warnings
    for tasks, sentence in ((["xqad"], "did you mean 'xquad'"), (["lareqa"], "mAP@20")):
        with pytest.raises(UsageError, match=sentence):
            score_submission(predictions, labels, tasks=tasks)
    with pytest.raises(UsageError, match="German"):
        score_submission(predictions, labels, languages=["gerrman"])


def test_missing_folders_are_told(tmp_path: Path) -> None:
    predictions, labels = write_submission(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        score_submission(predictions, tmp_path / "nowhere")
    with pytest.raises(DataError, match="--tasks names xcopa"):
        score_submission(predictions, labels, tasks=["xcopa"])
    with pytest.raises(DataError, match="no predictions to score"):
        score_submission(predictions / "xnli", labels)
    (labels / "xnli").rename(tmp_path / "elsewhere")
    result = score_submission(predictions, labels)
    assert "xnli" not in result.scores
    assert any("has no folder xnli" in warning for warning in result.warnings)
