"""Runs that learnt nothing are found, named, and the gains are given without them."""

import json
import math
import re
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.checks.collapse import collapsed_runs
from xeval.analysis.estimate.arrays import build
from xeval.analysis.frame.tidy import check
from xeval.analysis.report import Widget, analysis_report, write
from xeval.analysis.report.render.console import summary
from xeval.analysis.report.wording import smoke
from xeval.errors import DataError

GAINS = {"mnli": 12.0}
SEEDS = {"none": 3, "mnli": 3}


def sound(langs=("en", "de", "sw"), seeds=SEEDS) -> pd.DataFrame:
    tasks = [
        synthetic.Task("pairs", "classification", 65, GAINS, langs, 60, 2),
        synthetic.Task("chains", "multi-hop QA", 55, GAINS, langs, 60, 2),
    ]
    rows = synthetic.frame(tasks, np.random.default_rng(3), seeds, cluster_sd=3.0)
    return rows.assign(chance=0.3)


def of_run(frame, target="pairs", condition="none", seed=0):
    return (frame["target"] == target) & (frame["condition"] == condition) & (frame["seed"] == seed)


def one_label(frame, run) -> pd.DataFrame:
    """The run gives one of three labels to all items, in every language."""
    third = (frame["item_id"].str[-5:].astype(int) % 3 == 0).astype(float)
    return frame.assign(num=frame["num"].mask(run, third))


def found(frame, **options):
    return {
        (run.target, run.condition, run.seed): run.reason for run in analyse(frame, **options).collapse.runs
    }


def test_sound_runs_are_not_called_collapsed():
    assert analyse(sound()).collapse is None
    assert analyse(sound().drop(columns="chance")).collapse is None


def test_a_run_at_chance_in_english_is_collapsed_whatever_it_scores_elsewhere():
    frame = sound()
    guesses = np.random.default_rng(0).random(len(frame)) < 0.3
    run = of_run(frame) & (frame["lang"] == "en")
    reasons = found(frame.assign(num=frame["num"].mask(run, guesses.astype(float))))
    assert set(reasons) == {("pairs", "none", 0)}
    assert reasons["pairs", "none", 0].startswith("not above chance in en (")
    abroad = of_run(frame) & (frame["lang"] != "en")
    assert analyse(frame.assign(num=frame["num"].mask(abroad, guesses.astype(float)))).collapse is None


def test_without_english_the_mean_over_all_languages_counts():
    frame = sound(("de", "sw", "hi"))
    guesses = (np.random.default_rng(0).random(len(frame)) < 0.3).astype(float)
    reasons = found(frame.assign(num=frame["num"].mask(of_run(frame), guesses)))
    assert reasons["pairs", "none", 0].startswith("not above chance in the mean over 3 languages")
    one_language = of_run(frame) & (frame["lang"] == "de")
    assert analyse(frame.assign(num=frame["num"].mask(one_language, guesses))).collapse is None


def test_what_the_store_says_of_a_run_counts_without_chance():
    frame = sound().drop(columns="chance")
    told = frame.assign(
        constant=of_run(frame, seed=1) & (frame["lang"] == "en"),
        collapsed=np.where(of_run(frame, "chains", "mnli", 2), "the loss stayed at the constant's.", ""),
    )
    assert found(told) == {
        ("pairs", "none", 1): "the same prediction for every item in en",
        ("chains", "mnli", 2): "the loss stayed at the constant's",
    }
    elsewhere = frame.assign(constant=of_run(frame, seed=1) & (frame["lang"] == "sw"))
    assert analyse(elsewhere).collapse is None
    no_english = elsewhere[elsewhere["lang"] == "sw"]
    assert found(no_english) == {("pairs", "none", 1): "the same prediction for every item in every language"}
    with pytest.raises(DataError, match="constant is 'entailment'; give true or false"):
        analyse(frame.assign(constant="entailment"))


def test_equal_item_scores_in_all_languages_tell_of_one_answer_without_chance():
    frame = sound().drop(columns="chance")
    reasons = found(one_label(frame, of_run(frame)))
    assert reasons == {("pairs", "none", 0): "the same score on every item in all 3 languages"}
    nothing = frame.assign(num=frame["num"].mask(of_run(frame), 0.0))
    assert found(nothing) == {("pairs", "none", 0): "the same score on every item (0.0)"}
    perfect = frame.assign(num=frame["num"].mask(of_run(frame), 1.0))
    assert analyse(perfect).collapse is None


@pytest.mark.parametrize("correlated", [False, True])
def test_a_guessing_run_passes_as_sound_in_at_most_one_of_twenty_cases(correlated):
    runs, clusters, size = 400, 30, 3
    rng = np.random.default_rng(7)
    draws = rng.random((runs, clusters, 1 if correlated else size)) < 1 / 3
    num = np.broadcast_to(draws, (runs, clusters, size)).reshape(-1)
    seed, cluster, item = (axis.reshape(-1) for axis in np.indices((runs, clusters, size)))
    frame = pd.DataFrame(
        {
            "condition": "none", "target": "pairs", "group": "classification", "seed": seed, "lang": "en",
            "item_id": cluster * size + item, "cluster_id": cluster, "hops": 1, "metric": "accuracy",
            "num": num.astype(float), "den": 1.0, "chance": 1 / 3,
        }
    )  # fmt: skip
    study = build(check(frame))
    missed = runs - len(collapsed_runs(study, {}))
    assert missed <= runs * (0.05 + 3 * math.sqrt(0.05 * 0.95 / runs))
    assert missed > 0


def test_gains_and_the_contrast_are_given_with_and_without_collapsed_runs():
    frame = one_label(sound(), of_run(sound()))
    analysis = analyse(frame)
    compared = {one.name: one for one in analysis.collapse.compared}
    assert set(compared) == {"C", "G(classification)", "pairs after mnli"}
    clean = analyse(frame[~of_run(frame)], incomplete="drop")
    for name, both in (("C", clean.contrasts["C"]), ("pairs after mnli", clean.gains.tasks[-1])):
        assert compared[name].without.points.value == pytest.approx(both.points.value, abs=1e-12)
        assert compared[name].without.logit.low == pytest.approx(both.logit.low, abs=1e-9)
        assert compared[name].all_runs.points.value - both.points.value == pytest.approx(
            analysis.contrasts["C"].points.value - clean.contrasts["C"].points.value
            if name == "C"
            else analysis.gains.tasks[-1].points.value - both.points.value
        )
    assert (
        compared["pairs after mnli"].all_runs.points.value
        > compared["pairs after mnli"].without.points.value + 5
    )


def test_the_outcome_without_collapsed_runs_is_told_where_it_differs():
    """Half of the baselines of classification give one label: what looks like a gain there is none."""
    frame = sound(seeds={"none": 2, "mnli": 3})
    frame = one_label(frame, of_run(frame))
    analysis = analyse(frame)
    without = analyse(frame[~of_run(frame)], incomplete="drop")
    assert (
        analysis.collapse.headline
        == without.verdict.headline
        == "No verdict: a trained condition has a single run"
    )
    assert (
        f"“{without.verdict.headline}” instead of “{analysis.verdict.headline}”" in analysis.collapse.sentence
    )
    paired = analyse(one_label(sound(), of_run(sound())), paired=True)
    assert {one.name for one in paired.collapse.compared} == {"C", "G(classification)", "pairs after mnli"}


def test_a_target_whose_baseline_runs_all_collapsed_has_nothing_without_them():
    frame = sound()
    frame = one_label(frame, (frame["target"] == "pairs") & (frame["condition"] == "none"))
    analysis = analyse(frame)
    assert len(analysis.collapse.runs) == 3
    assert {one.without for one in analysis.collapse.compared} == {None}
    assert "No verdict: gains only" in analysis.collapse.sentence
    assert analysis.copied == {}


def test_page_markdown_json_latex_and_console_tell_of_collapsed_runs_and_of_a_smoke_run(tmp_path):
    frame = one_label(sound(), of_run(sound()))
    limits = frame["target"].map({"pairs": 120.0})
    analysis = replace(analyse(frame.assign(limit=limits)), totals={"pairs": 5010})
    browser = Widget("items", "Items that changed", "<p>one</p>")
    report = analysis_report(analysis, title="Collapsed", widgets=[browser])
    write(report, tmp_path)
    screen = Console(width=160, record=True, file=StringIO())
    screen.print(summary(report))
    markdown, page = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    smoke = "Smoke run (--limit): the first 120 of 5,010 items (pairs) of each language, not the test set."
    for text in (screen.export_text(), markdown, page):
        assert "Collapsed: 1 of 12 runs learnt nothing" in text
        assert "With and without collapsed runs" in text
        assert "not above chance in en" in text
        assert smoke in text
    assert markdown.startswith(f"# Collapsed\n\n> **{smoke}**\n")
    assert page.index(f'<p class="smoke" role="note">{smoke}</p>') < page.index("<h1>")
    captions = re.findall(r'(?:<p class="caption">|<figcaption>)(?!Hides marks)(.{30})', page)
    assert len(captions) > 12
    assert [caption for caption in captions if not caption.startswith("Smoke run (--limit)")] == []
    items = page[page.index('<section id="items">') :]
    assert items.index(smoke) < items.index("<p>one</p>")
    tables = {path.stem: path.read_text() for path in (tmp_path / "tables").glob("*.tex")}
    assert {"collapsed", "collapsed-without", "gains", "scores"} <= set(tables)
    assert all("Smoke run (--limit): the first 120 of 5,010 items" in table for table in tables.values())
    figures = (ElementTree.parse(path) for path in (tmp_path / "figures").glob("*.svg"))
    drawn = [" ".join(figure.getroot().itertext()) for figure in figures]
    assert len(drawn) == 11
    assert [figure for figure in drawn if smoke not in figure] == []
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["smoke_run"] == smoke
    assert all(chart.startswith("Smoke") for part in results["parts"] for chart in captions_of(part))
    numbers = results["analysis"]
    assert numbers["limit"] == {"pairs": {"first_items": 120, "of": 5010}}
    (run,) = numbers["collapsed"]["runs"]
    assert (run["target"], run["condition"], run["seed"]) == ("pairs", "none", 0)
    assert [one["name"] for one in numbers["collapsed"]["compared"]] == [
        "C",
        "G(classification)",
        "pairs after mnli",
    ]


def captions_of(part) -> list[str]:
    """Of the tables and figures of a part in results.json."""
    return [block["caption"] for block in part["blocks"] if "caption" in block]


def test_what_is_known_of_the_number_of_items_is_said():
    frame = sound()
    assert smoke(analyse(frame.assign(limit=np.nan))) == ""
    limited = analyse(frame.assign(limit=120))
    assert smoke(limited) == "Smoke run (--limit): the first 120 items of each language, not the test set."
    both = replace(limited, totals={"pairs": 5010, "chains": 120})
    assert smoke(both).startswith(
        "Smoke run (--limit): the first 120 of 5,010 items (pairs) of each language"
    )
    several = replace(limited, totals={"pairs": 5010, "chains": 600})
    assert "the first 120 of 600 items (chains); the first 120 of 5,010 items (pairs) of each" in smoke(
        several
    )
    assert smoke(replace(limited, totals={"pairs": 120, "chains": 120})) == ""
    assert limited.to_dict()["limit"]["chains"] == {"first_items": 120, "of": None}
