"""Averages. The golden numbers come from ``evaluate`` of google-research/xtreme's evaluate.py at 838c13b.

To make them again: in a checkout, replace ``evaluate.evaluate_one_task`` by a function that returns
``{metric: made_up(task, language, metric) for metric in METRICS[task]}`` as below, call
``evaluate.evaluate("mock_test_data/predictions", "mock_test_data/labels", "xtreme")`` and print both results.
"""

import pytest

from xeval.errors import UsageError
from xeval.metrics.averages import Averages, averages, task_score

LANGUAGES = {
    "pawsx": "de en es fr ja ko zh",
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "panx": "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh "
    "kk tr et fi hu",
    "udpos": "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
    "bucc2018": "de fr ru zh",
    "tatoeba": "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et "
    "fi hu",
    "xquad": "en es de el ru tr ar vi th zh hi",
    "mlqa": "en es de ar hi vi zh",
    "tydiqa": "en ar bn fi id ko ru sw te",
}
METRICS = {
    **dict.fromkeys(("pawsx", "xnli", "tatoeba"), ("accuracy",)),
    **dict.fromkeys(("panx", "udpos", "bucc2018"), ("f1", "precision", "recall")),
    **dict.fromkeys(("xquad", "mlqa", "tydiqa"), ("exact_match", "f1")),
}


def made_up(task: str, language: str, metric: str) -> float:
    return (len(task) * 7.3 + ord(language[0]) * 1.7 + ord(language[1]) * 0.9 + len(metric) * 3.1) % 61 + 20.5


def of(*tasks: str) -> Averages:
    return averages(
        {
            task: {
                language: {metric: made_up(task, language, metric) for metric in METRICS[task]}
                for language in LANGUAGES[task].split()
            }
            for task in tasks
        }
    )


def test_averages_are_those_of_xtreme() -> None:
    found = of(*LANGUAGES)
    assert found.means == {
        "pawsx": {"accuracy": 52.95714285714286},
        "xnli": {"accuracy": 52.14666666666667},
        "panx": {"f1": 50.02499999999998, "precision": 53.424999999999955, "recall": 45.65000000000001},
        "udpos": {"f1": 45.70606060606058, "precision": 58.163636363636336, "recall": 50.71212121212124},
        "bucc2018": {"f1": 64.35000000000001, "precision": 55.55, "recall": 46.25000000000004},
        "tatoeba": {"accuracy": 55.974999999999994},
        "xquad": {"exact_match": 51.30909090909092, "f1": 45.59090909090907},
        "mlqa": {"exact_match": 56.1857142857143, "f1": 45.71428571428569},
        "tydiqa": {"exact_match": 52.15555555555558, "f1": 44.588888888888874},
    }
    assert found.tasks == {
        "pawsx": 52.95714285714286,
        "xnli": 52.14666666666667,
        "panx": 50.02499999999998,
        "udpos": 45.70606060606058,
        "bucc2018": 64.35000000000001,
        "tatoeba": 55.974999999999994,
        "xquad": 48.449999999999996,
        "mlqa": 50.94999999999999,
        "tydiqa": 48.37222222222223,
    }
    assert found.groups == {
        "classification": 52.551904761904765,
        "tagging": 47.86553030303028,
        "qa": 49.257407407407406,
        "retrieval": 60.1625,
    }
    # XTREME sums over a set of names, whose order differs from process to process.
    assert found.overall == pytest.approx(52.10356581689914, abs=1e-12)


def test_overall_is_over_tasks_and_only_when_all_nine_are_there() -> None:
    complete = of(*LANGUAGES)
    assert complete.overall == pytest.approx(sum(complete.tasks.values()) / 9)
    assert complete.overall != pytest.approx(sum(complete.groups.values()) / 4)
    partial = of("xquad", "mlqa", "tydiqa", "xnli")
    assert partial.overall is None
    assert partial.groups == {"qa": complete.groups["qa"]}


def test_a_task_beyond_xtreme_has_a_score_and_no_group() -> None:
    found = averages({"xcopa": {"et": {"accuracy": 0.5}, "zh": {"accuracy": 0.75}}})
    assert found == Averages({"xcopa": {"accuracy": 0.625}}, {"xcopa": 0.625}, {}, None)


def test_task_score_by_metrics() -> None:
    assert task_score("xquad", {"exact_match": 50.0, "f1": 70.0}) == 60.0
    assert task_score("panx", {"precision": 1.0, "f1": 70.0, "recall": 2.0}) == 70.0
    with pytest.raises(UsageError, match="lareqa has the metrics map; a task score needs f1 or accuracy"):
        task_score("lareqa", {"map": 1.0})


def test_languages_have_to_be_scored_alike() -> None:
    with pytest.raises(
        UsageError, match="xquad cannot be averaged: de has the metrics f1, en has f1, exact_match"
    ):
        averages({"xquad": {"en": {"f1": 1.0, "exact_match": 1.0}, "de": {"f1": 1.0}}})
    with pytest.raises(UsageError, match="xnli has no scores to average"):
        averages({"xnli": {}})
