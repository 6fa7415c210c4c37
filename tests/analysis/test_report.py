"""The report: complete, the same bytes every time, and nothing from outside."""

import itertools
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import synthetic
from rich.console import Console

from analysis import analyse
from analysis.report import console, write_report

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags close, and collects ids, addresses and visible text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.collect(attrs)

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002
        self.collect(attrs)

    def collect(self, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.addresses.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    gains = {
        "classification": 4.0,
        "multi-hop classification": 3.0,
        "single-hop QA": 4.0,
        "multi-hop QA": 1.0,
    }
    grid = synthetic.crossed(np.random.default_rng(0), gains, {"none": 2, "mnli": 2})
    sentences = synthetic.Task(
        "sentences", "retrieval", 70, {"mnli": 3.0}, ("de", "sw"), 20, deterministic=("none",)
    )
    retrieval = synthetic.frame([sentences], np.random.default_rng(1), {"none": 1, "mnli": 2})
    frame = pd.concat([grid, retrieval], ignore_index=True)
    return frame.assign(chance=frame["group"].map({"classification": 0.25}))


@pytest.fixture(scope="module")
def written(frame, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    options = {"title": "A <study> & more", "notes": ["Made by a test."], "provenance": {"xeval": "0.1.0"}}
    files = write_report(analyse(frame), out, **options)
    return out, files, options


def test_same_input_same_bytes(frame, written, tmp_path):
    out, files, options = written
    again = write_report(analyse(frame.sample(frac=1, random_state=1)), tmp_path, **options)
    assert [path.relative_to(out) for path in files] == [path.relative_to(tmp_path) for path in again]
    for one, other in zip(files, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_files(written):
    out, files, _ = written
    names = {path.relative_to(out).as_posix() for path in files}
    assert names == {
        "report.html", "report.md", "results.json", "figures/verdict-points.svg", "figures/verdict-logit.svg",
        "figures/forest.svg", "figures/forest-narrow.svg", "figures/gains-mnli.svg", "figures/specifications.svg",
    }  # fmt: skip
    assert all(path.exists() for path in files)


def walk(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)
    else:
        yield value


def test_results_hold_every_number_and_only_finite_ones(frame, written):
    out, _, _ = written
    results = json.loads((out / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    leaves = list(walk(results))
    assert all(math.isfinite(leaf) for leaf in leaves if isinstance(leaf, float))
    analysis = analyse(frame)
    shown = results["analysis"]
    key = analysis.contrasts["C"].mean.points
    assert shown["contrasts"]["C"]["mean"]["points"]["value"] == key.value
    assert shown["contrasts"]["C"]["mean"]["points"]["low"] == key.low
    assert shown["verdict"]["outcome"] == analysis.verdict.outcome
    assert len(shown["cell_gains"]) == len(analysis.cells)
    assert len(shown["scores"]) == len(analysis.scores)


def test_the_page_is_well_formed_and_needs_nothing_from_outside(written):
    out, _, _ = written
    text = (out / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    assert not re.search(r"https?:|@import|<script|<link", text)
    assert all(target in page.ids for target in re.findall(r"url\(#([^)]+)\)", text))
    assert "A &lt;study&gt; &amp; more" in text
    assert "prefers-color-scheme: dark" in text
    svg = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", svg)) == set(), (
        "figures take their colours from the theme"
    )


def test_the_page_says_what_the_analysis_found(frame, written):
    out, _, _ = written
    analysis = analyse(frame)
    markdown = (out / "report.md").read_text()
    page = " ".join(Page((out / "report.html").read_text()).text)
    for text in (markdown, page):
        for sentence in (analysis.verdict.headline, *analysis.verdict.sentences, *analysis.verdict.confounds):
            assert sentence in text
        for expected in (
            "Made by a test.",
            "Table 1",
            "Answer format × hops",
            "Retrieval",
            "25.0",
            "sentences",
        ):
            assert expected in text
        assert f"{analysis.contrasts['C'].mean.points.value:+.2f}".replace("-", "−") in text


def test_markdown_tables_have_equal_rows(written):
    lines = (written[0] / "report.md").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.replace("\\|", "").count("|") == line.replace("\\|", "").count("|")
    assert any(line.startswith("| C ") for line in lines)


def test_figures_are_svg_with_text(written):
    out, files, _ = written
    for path in files:
        if path.suffix == ".svg":
            root = ElementTree.fromstring(path.read_text())
            assert root.tag.endswith("svg")
            assert any(element.tag.endswith("}text") for element in root.iter())
    forest = (out / "figures/forest.svg").read_text()
    assert "multi-hop-QA" in forest


def test_console_prints_verdict_and_tables(frame):
    analysis = analyse(frame)
    terminal = Console(width=170, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    terminal.print(console(analysis))
    text = terminal.export_text()
    assert analysis.verdict.headline in text
    assert "Table 1" in text
    assert "Answer format" in text


def test_a_study_without_verdict_has_a_report(frame, tmp_path):
    alone = analyse(frame[frame["group"] == "retrieval"])
    files = write_report(alone, tmp_path, title="Retrieval")
    text = next(path for path in files if path.name == "report.html").read_text()
    Page(text)
    assert alone.verdict.sentences[0] in text
    assert "verdict-points" not in text


@pytest.fixture(scope="module")
def several():
    """Two conditions, one pair of one source, enough baseline runs for the check of the baseline."""
    gains = {"mnli": 3.0, "squad": 2.0}
    tasks = [
        synthetic.Task("xnli", "classification", 65, gains, ("en", "de", "sw")),
        synthetic.Task("pawsx", "classification", 70, gains, ("en", "de")),
        synthetic.Task("chains", "multi-hop QA", 55, gains, ("en", "de", "sw")),
    ]
    return analyse(synthetic.frame(tasks, np.random.default_rng(3), {"none": 4, "mnli": 3, "squad": 3}))


def test_what_stands_beside_the_verdict_is_printed(several, tmp_path):
    write_report(several, tmp_path, title="Several")
    markdown = (tmp_path / "report.md").read_text()
    page = " ".join(Page((tmp_path / "report.html").read_text()).text)
    headings = [
        "C by the Multi-Bootstrap", "C of each intermediate task", "Tests in their order", "In how many languages",
        "Specification curve", "C without one part", "Baseline against itself", "Gain against baseline",
    ]  # fmt: skip
    for text in (markdown, page):
        places = [text.index(heading) for heading in headings]
        assert places == sorted(places)
        for expected in (
            "mnli on xnli",
            "2,000 replicates",
            "Bayes factors",
            "max-T",
            "split in two halves in 3 ways",
        ):
            assert expected in text
    band = several.robustness.bands[0].points
    assert f"[{band[0]:.2f}, {band[1]:.2f}]".replace("-", "−") in markdown
    shown = several.robustness.specifications
    assert f"{len(shown.on('points'))} on each scale" in markdown
    assert "figures/specifications.svg" in markdown


def test_a_study_with_one_specification_shows_no_curve(tmp_path):
    """One target of either group, the same languages, and numbers of runs that cannot be paired."""
    tasks = [synthetic.Task("pairs", "classification", 65), synthetic.Task("chains", "multi-hop QA", 55)]
    alone = analyse(synthetic.frame(tasks, np.random.default_rng(4), {"none": 4, "mnli": 3}))
    assert len(alone.robustness.specifications.on("points")) == 1
    write_report(alone, tmp_path, title="Alone")
    assert "Specification curve" not in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "figures/specifications.svg").exists()


def test_parts_that_do_not_exist_leave_no_heading(frame, tmp_path):
    write_report(analyse(frame[frame["group"] == "retrieval"]), tmp_path, title="Retrieval")
    markdown = (tmp_path / "report.md").read_text()
    for heading in (
        "Multi-Bootstrap",
        "Bayes factors",
        "Specification curve",
        "without one part",
        "against itself",
    ):
        assert heading not in markdown.replace("check of the baseline against itself", "")
    results = json.loads((tmp_path / "results.json").read_text())["analysis"]
    assert results["bootstrap"] is results["bands"] is results["evidence"] is results["leave_one_out"] is None
    assert results["specification_curve"] is results["baseline_control"] is None
    assert any(note.startswith("No check of the baseline") for note in results["notes"])
