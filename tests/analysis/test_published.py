"""Published scores: what is computed from them, by hand from the printed numbers."""

import json
import math
from pathlib import Path

import pytest

from xeval.analysis.published import published_report
from xeval.analysis.published.phang2020 import expected_maximum
from xeval.analysis.published.scores import read_published
from xeval.analysis.report.render.json import results
from xeval.analysis.report.render.markdown import text
from xeval.errors import UsageError


@pytest.fixture(scope="module")
def numbers():
    return json.loads(json.dumps(results(published_report("phang2020")), allow_nan=False))


def test_every_number_has_a_source():
    rows, sources = read_published("phang2020")
    assert len(rows) == 82
    assert {row.source for row in rows} == set(sources)
    assert all(0 <= row.score <= 100 for row in rows)
    assert len([row for row in rows if row.target == "tatoeba" and row.lang != "all"]) == 36
    keys = [(row.condition, row.target, row.lang, row.metric, row.source) for row in rows]
    assert len(set(keys)) == len(keys)


def test_gains_on_three_measures(numbers):
    # Printed scores: 79.2 80.0, 86.4 87.9, 73.8 74.9, 65.4 64.0, 76.6 78.7, 71.6 72.4, 65.1 76.0.
    expected = {
        "xnli": (0.8, 0.049, 0.038),
        "pawsx": (1.5, 0.134, 0.110),
        "udpos": (1.1, 0.058, 0.042),
        "panx": (-1.4, -0.061, -0.040),
        "xquad": (2.1, 0.121, 0.090),
        "mlqa": (0.8, 0.040, 0.028),
        "tydiqa": (10.9, 0.529, 0.312),
    }
    found = {
        gain["target"]: (gain["points"], gain["logit"], gain["error_reduction"])
        for gain in numbers["gains"]
        if gain["metric"] in ("accuracy", "f1")
    }
    assert set(found) == set(expected)
    for target, values in expected.items():
        assert found[target] == pytest.approx(values, abs=6e-4)
    by_metric = {(gain["target"], gain["metric"]): gain["points"] for gain in numbers["gains"]}
    assert by_metric["tydiqa", "em"] == pytest.approx(14.5)
    assert by_metric["tydiqa", "mean of em and f1"] == pytest.approx(12.7)
    assert all(gain["interval"] is None for gain in numbers["gains"])


def test_types_against_each_other(numbers):
    found = {(one["scores"], one["plus"], one["measure"]): one for one in numbers["differences"]}
    one = found["leaderboard, f1", "single-hop QA", "points"]
    assert one["plus_mean"] == pytest.approx((2.1 + 0.8 + 10.9) / 3)
    assert one["minus_mean"] == pytest.approx((0.8 + 1.5) / 2)
    assert one["value"] == pytest.approx(3.45)
    assert one["without"]["tydiqa"] == pytest.approx((2.1 + 0.8) / 2 - 1.15)
    assert one["smallest"] == pytest.approx(1 / 10)  # 10 ways to choose 3 of 5 targets
    other = found["leaderboard", "structured", "points"]
    assert other["value"] == pytest.approx((1.1 - 1.4) / 2 - 1.15)
    # The sign of the difference without TyDiQA depends on the scale.
    assert one["without"]["tydiqa"] > 0
    assert found["leaderboard, f1", "single-hop QA", "logit"]["without"]["tydiqa"] < 0


def test_spread_within_types(numbers):
    # Squared deviations: QA of (2.1, .8, 10.9) 6.25 + 14.44 + 39.69, classification 0.245,
    # structured 3.125; 2 + 1 + 1 df.
    spread = numbers["pooled_sd_within_types"]
    assert spread["df"] == 4
    assert spread["points"] == pytest.approx(math.sqrt((60.38 + 0.245 + 3.125) / 4), abs=1e-6)


def test_where_the_overall_gain_comes_from(numbers):
    parts = numbers["parts_of_the_overall_gain"]
    assert parts["all nine"] == pytest.approx(9 * 5.4)
    assert parts["classification"] == pytest.approx(2.3)
    assert parts["structured"] == pytest.approx(-0.3)
    assert parts["single-hop QA"] == pytest.approx(2.3 + 0.65 + 12.7)
    assert parts["retrieval"] == pytest.approx(48.6 - 17.65)
    retrieval = numbers["retrieval_gain"]
    assert retrieval["from_gains"] == pytest.approx(30.95 / 2)
    # 9 x 73.5 less the seven scores (508.6), less 66.0 and 57.3.
    assert retrieval["from_scores"] == pytest.approx((661.5 - 508.6 - 123.3) / 2)
    reach = retrieval["from_gains_rounding"] + retrieval["from_scores_rounding"]
    assert abs(retrieval["from_gains"] - retrieval["from_scores"]) < reach


def test_the_baselines_of_retrieval(numbers):
    baselines = numbers["retrieval_baselines"]
    assert baselines["bucc2018"] == {
        "xtreme": 66.0,
        "replication": pytest.approx((77.7 + 62.7 + 79.2 + 66.5) / 4),
    }
    assert baselines["tatoeba"]["xtreme"] == 57.3
    assert baselines["tatoeba"]["replication"] == pytest.approx(31.0, abs=0.05)


def test_printed_means_against_their_rows(numbers):
    found = {(one["mean"], one["condition"]): one for one in numbers["printed_means"]}
    assert found["7 tasks", "none"]["of_rows"] == pytest.approx(490.95 / 7)
    assert found["structured", "none"]["of_rows"] == pytest.approx(69.6)
    assert found["structured", "none"]["printed"] == 69.0
    notes = " ".join(numbers["notes"])
    assert notes.count("made of other rows") == 2


def test_expected_maximum():
    # Of 1, 2 and 3 draws: 0, 1 / sqrt(pi), 3 / (2 sqrt(pi)).
    assert expected_maximum(1) == pytest.approx(0.0, abs=1e-9)
    assert expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi))


def test_the_report_says_what_it_cannot_show(numbers):
    report = published_report("phang2020")
    assert report.headline == "No verdict: gains only"
    assert len(numbers["cannot_show"]) == 8
    shown = text(report)
    assert all(
        sentence in shown for sentence in (*report.sentences, *numbers["cannot_show"], numbers["command"])
    )


def test_the_committed_report_is_up_to_date():
    folder = Path(__file__).parents[2] / "reports" / "phang2020"
    assert (folder / "report.md").read_text(encoding="utf-8") == text(published_report("phang2020"))


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="no published scores named 'phang'; use phang2020"):
        published_report("phang")
