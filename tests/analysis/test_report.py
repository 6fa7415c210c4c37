"""The report: complete, the same bytes every time, and nothing from outside."""

import itertools
import json
import math
import re
import warnings
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.report import Widget, analysis_report, figures, write
from xeval.analysis.report.from_items import FromItems, from_items
from xeval.analysis.report.render.console import summary
from xeval.analysis.report.vega import draw

VOID = {"meta", "br", "link", "img", "hr", "input"}
PARTS = [
    "Mean gains and contrasts", "Gains by target", "C of each intermediate task", "Gain against baseline",
    "Gains by language and target", "Bootstrap distribution of C", "Hops within one target", "Specification curve",
    "C without one part", "Baseline against itself", "Variance components and regressions",
    "Versions, seeds and settings",
]  # fmt: skip
"""The second to the thirteenth part; the first is the verdict."""


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

    def handle_startendtag(self, tag, attrs):
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
def analysis(frame):
    return analyse(frame)


@pytest.fixture(scope="module")
def written(analysis, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    options = {"title": "A <study> & more", "notes": ["Made by a test."], "provenance": {"xeval": "0.1.0"}}
    files = write(analysis_report(analysis, **options), out)
    return out, files, options


def test_same_input_same_bytes(frame, written, tmp_path):
    out, files, options = written
    other = frame.sample(frac=1, random_state=1)
    again = write(analysis_report(analyse(other), **options), tmp_path)
    assert [path.relative_to(out) for path in files] == [path.relative_to(tmp_path) for path in again]
    for first, second in zip(files, again, strict=True):
        if first.suffix != ".pdf":
            assert first.read_bytes() == second.read_bytes(), first.name


def test_files(written):
    out, files, _ = written
    names = {path.relative_to(out).as_posix() for path in files}
    figures = {
        "verdict-points", "verdict-logit", "forest", "gains-mnli", "conditions", "baseline",
        "bootstrap-points", "bootstrap-logit", "specifications", "leave-one-out", "variance",
    }  # fmt: skip
    tables = {
        "contrasts",
        "grid",
        "gains",
        "scores",
        "scores-source",
        "leave-one-out",
        "scales",
        "gains-mnli",
    }
    assert names == {
        "report.html", "report.md", "results.json", *(f"tables/{name}.tex" for name in tables),
        *(f"figures/{name}.{kind}" for name in figures for kind in ("svg", "pdf")),
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


def test_results_hold_every_number_and_only_finite_ones(analysis, written):
    out, _, _ = written
    results = json.loads((out / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    leaves = list(walk(results))
    assert all(math.isfinite(leaf) for leaf in leaves if isinstance(leaf, float))
    shown = results["analysis"]
    key = analysis.contrasts["C"].points
    assert shown["contrasts"]["C"]["mean"]["points"]["value"] == key.value
    assert shown["contrasts"]["C"]["mean"]["points"]["low"] == key.low
    assert shown["verdict"]["outcome"] == analysis.verdict.outcome
    assert len(shown["cell_gains"]) == len(analysis.gains.cells)
    assert len(shown["scores"]) == len(analysis.scores)


def test_the_page_is_well_formed_and_needs_nothing_from_outside(written):
    out, _, _ = written
    text = (out / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    assert "default-src 'none'" in text  # the browser itself then refuses every request
    assert len(text) < 15e6
    text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:|@import|<link|<iframe|<img", text)
    assert all(target in page.ids for target in re.findall(r"url\(#([^)]+)\)", text))
    assert "A &lt;study&gt; &amp; more" in text
    assert "light-dark(#fefefe, #12171e)" in text
    svg = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert set(re.findall(r'(?:fill|stroke)="(#\w+)', svg)) == set(), (
        "figures take their colours from the theme"
    )


def test_the_page_says_what_the_analysis_found(analysis, written):
    out, _, _ = written
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
        assert f"{analysis.contrasts['C'].points.value:+.2f}".replace("-", "−") in text


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


def several_frame():
    """Two conditions, one pair of one source, two to four hops, enough baseline runs for the check of the baseline."""
    gains = {"mnli": 3.0, "squad": 2.0}
    tasks = [
        synthetic.Task("xnli", "classification", 65, gains, ("en", "de", "sw")),
        synthetic.Task("pawsx", "classification", 70, gains, ("en", "de")),
        synthetic.Task("chains", "multi-hop QA", 55, gains, ("en", "de", "sw")),
    ]
    frame = synthetic.frame(tasks, np.random.default_rng(3), {"none": 4, "mnli": 3, "squad": 3})
    chains = frame["target"] == "chains"
    frame.loc[chains, "hops"] = 2 + frame[chains]["item_id"].str[-1].astype(int) % 3
    return frame


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The analysis, and the folder of its report."""
    frame = several_frame()
    analysis, out = analyse(frame), tmp_path_factory.mktemp("several")
    widget = Widget(
        "items", "Items <1>", "<p id='here'>x</p>", "console.assert(true)", {"a": "</script>", "b": [1]}
    )
    write(analysis_report(analysis, title="Several", widgets=[widget]), out)
    return analysis, out


def test_the_thirteen_parts_stand_in_their_order(written, several):
    for out in (written[0], several[1]):
        markdown, html = ((out / name).read_text() for name in ("report.md", "report.html"))
        assert re.findall(r"^## (\d+)\. ", markdown, re.MULTILINE) == [str(place) for place in range(1, 14)]
        for place, title in enumerate(PARTS, 2):
            assert f"## {place}. {title}\n" in markdown
            assert f'<h2><span class="n">{place}</span>{title}</h2>' in html
        numbered = json.loads((out / "results.json").read_text())["parts"]
        assert [part["part"] for part in numbered] == list(range(1, 14))
        assert all(part["blocks"] for part in numbered)


def test_every_figure_says_what_it_shows(several):
    """Targets or items, languages, runs and the method, below each figure of the page."""
    html = (several[1] / "report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    assert len(captions) == 10
    for caption in captions:
        assert re.search(r"\d+ targets?, ", caption)
        assert re.search(r"\d+ (transfer|shared) languages?", caption)
        assert re.search(r"baseline and .* condition runs", caption)
        assert "item" in caption
    assert len(re.findall(r'aria-live="polite"', html)) >= len(captions)


def test_results_hold_the_numbers_of_every_figure_and_table(several):
    analysis, out = several
    results = json.loads((out / "results.json").read_text())
    drawn = {path.stem for path in (out / "figures").glob("*.svg")}
    maps = {f"gains-{name}" for name in analysis.conditions}
    assert drawn - maps == set(results["charts"])
    html = (out / "report.html").read_text()
    cells = [
        cell
        for part in results["parts"]
        for block in part["blocks"]
        for row in block.get("rows", ())
        for cell in row
    ]
    shown = {cell for row in re.findall(r"<td class=\"n\">([^<]+)</td>", html) for cell in [row]}
    assert shown <= set(cells)
    counts = [record["count"] for record in results["charts"]["bootstrap-points"]["records"]]
    assert sum(counts) == analysis.robustness.bootstrap["points"].count


def test_hops_within_a_target(several):
    """At equal weights of languages and runs, the gain on the items of h hops is a difference of plain means."""
    frame = several_frame()
    rows = frame[(frame["target"] == "chains") & (frame["lang"] != "en") & (frame["hops"] == 3)]
    means = rows.groupby("condition")["num"].mean()
    charts = json.loads((several[1] / "results.json").read_text())["charts"]
    found = {record["row"]: record["points"][0] for record in charts["hops"]["records"]}
    assert found["mnli · 3 hops"] == pytest.approx(100 * (means["mnli"] - means["none"]))
    expected = 100 * (means[["mnli", "squad"]].mean() - means["none"])
    assert found["mean · 3 hops"] == pytest.approx(expected)
    assert len(found) == 9


def test_a_condition_is_also_shown_with_the_targets_of_its_own_source(several):
    """mnli is XNLI's own training set: C(mnli) is on PAWS-X alone, and on both where the pair is kept."""
    charts = json.loads((several[1] / "results.json").read_text())["charts"]
    found = {record["row"]: record for record in charts["conditions"]["records"]}
    assert list(found) == ["mnli", "mnli, own source kept", "squad"]
    assert found["mnli, own source kept"]["hollow"]
    frame = several_frame()
    transfer = frame[(frame["lang"] != "en") & frame["condition"].isin(["none", "mnli"])]
    gains = transfer.groupby(["target", "lang", "condition"])["num"].mean().unstack("condition")
    gains = 100 * (gains["mnli"] - gains["none"]).unstack("target")
    alone = gains.loc["de", "chains"] - gains.loc["de", "pawsx"]
    both = (alone + gains["chains"].mean() - gains["xnli"].mean()) / 2
    assert found["mnli"]["points"][0] == pytest.approx(alone)
    assert found["mnli, own source kept"]["points"][0] == pytest.approx(both)


def test_a_widget_follows_the_thirteen_parts(several):
    html = (several[1] / "report.html").read_text()
    page = Page(html)
    assert {"items", "items-data", "here"} <= set(page.ids)
    assert (
        html.index('id="part-13"') < html.index('<section id="items">') < html.index("console.assert(true)")
    )
    data = re.search(r'id="items-data">(.*?)</script>', html).group(1)
    assert json.loads(data) == {"a": "</script>", "b": [1]}
    assert "Items &lt;1&gt;" in html


def test_heat_map_cells_name_their_place(several):
    analysis, out = several
    drawn = figures.heat_map(analysis, "mnli")
    keys = [(cell["condition"], cell["target"], cell["lang"]) for cell in drawn.records if "share" in cell]
    assert set(keys) == {
        (gain.condition, gain.subject, gain.lang) for gain in analysis.gains.cells if gain.condition == "mnli"
    }
    assert [cell["text"] for cell in drawn.records if "share" not in cell] == [
        "pawsx, sw, mnli: not evaluated"
    ]
    assert max(abs(cell["share"]) for cell in drawn.records if "share" in cell) <= 1.0
    svg = (out / "figures/gains-mnli.svg").read_text()
    shown = {cell["shown"] for cell in drawn.records if "shown" in cell}
    assert shown <= set(re.findall(">([^<]+)</text>", svg))


def test_latex_files_say_what_they_stand_on(several):
    for path in (several[1] / "tables").glob("*.tex"):
        text = path.read_text()
        assert text.count("\\begin{") == text.count("\\end{") == 2
        caption = re.search(r"\\caption\{(.*)\}\n\\label", text).group(1)
        assert re.search(r"languages?", caption)
        assert re.search(r"condition runs", caption)
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1)
        rows = [line for line in text.splitlines() if line.endswith(" \\\\")]
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)


def test_conditions_with_like_names_have_their_own_files():
    from xeval.analysis.report.wording import condition_slugs

    assert condition_slugs(["anli", "anli+", "mnli+squad", "Ünï", "ж"]) == {
        "anli": "anli", "anli+": "anli--2", "mnli+squad": "mnli-squad", "Ünï": "n", "ж": "condition",
    }  # fmt: skip
    assert list(condition_slugs(["m" * 400, "m" * 401]).values()) == ["m" * 80, "m" * 80 + "--2"]


def test_what_stands_beside_the_verdict_is_printed(several):
    analysis, out = several
    markdown = (out / "report.md").read_text()
    page = " ".join(Page((out / "report.html").read_text()).text)
    for text in (markdown, page):
        for expected in (
            "mnli on xnli", "2,000 replicates", "Bayes factors", "max-T", "split in two halves in 3 ways",
            "Tests in their order", "In how many languages", "C by the Multi-Bootstrap",
        ):  # fmt: skip
            assert expected in text
    band = analysis.robustness.bands[0].intervals["points"]
    assert f"[{band[0]:.2f}, {band[1]:.2f}]".replace("-", "−") in markdown
    shown = analysis.robustness.specifications
    assert f"{len(shown.at('points'))} on each scale" in markdown
    assert "figures/specifications.svg" in markdown


def test_a_study_with_one_run_per_side_and_one_specification(tmp_path):
    """One target of either group, the same languages, one run of the condition."""
    tasks = [synthetic.Task("pairs", "classification", 65), synthetic.Task("chains", "multi-hop QA", 55)]
    alone = analyse(synthetic.frame(tasks, np.random.default_rng(4), {"none": 3, "mnli": 1}))
    assert len(alone.robustness.specifications.at("points")) == 1
    write(analysis_report(alone, title="Alone"), tmp_path)
    markdown = (tmp_path / "report.md").read_text()
    assert "These data leave one specification of C" in markdown
    assert not (tmp_path / "figures/specifications.svg").exists()
    assert not (tmp_path / "figures/hops.svg").exists()
    for expected in (
        "Nothing on hops within a target: no multi-hop target has items with different numbers of hops (chains: 2)",
        "A trained condition has one run: there are no simultaneous bands.",
        "it needs 4 baseline seeds",
    ):
        assert expected in markdown
    Page((tmp_path / "report.html").read_text())


def test_scores_in_the_language_of_training_alone_make_a_report(frame, tmp_path):
    rows = frame[frame["lang"] == "en"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analyse(rows)
        write(analysis_report(found, title="A first pilot"), tmp_path)
    assert found.verdict.outcome == "no contrast"
    markdown = (tmp_path / "report.md").read_text()
    assert "No target has a gain in a transfer language." in markdown
    assert "Scores in the language of training (en)" in markdown
    assert not (tmp_path / "figures/forest.svg").exists()
    assert not (tmp_path / "tables/gains.tex").exists()
    Page((tmp_path / "report.html").read_text())
    screen = Console(width=120, record=True, file=StringIO())
    screen.print(summary(analysis_report(found, title="T")))
    assert "Scores in the language of training (en)" in screen.export_text()


def levels(frame: pd.DataFrame, target: str, rare: int, lang: str = "") -> FromItems:
    """Two hops and three by halves; the ``rare`` first items have four, in all languages or in one."""
    item = frame["item_id"].str[-5:].astype(int)
    own, here = frame["target"] == target, (frame["lang"] == lang) | (lang == "")
    hops = frame["hops"].mask(own, 2 + item % 2).mask(own & here & (item < rare), 4)
    rows = frame.assign(hops=hops)
    return from_items(analyse(rows))


@pytest.mark.parametrize("lang", ["", "sw"])
def test_a_number_of_hops_with_one_cluster_is_left_out_and_the_report_says_so(frame, lang):
    found = levels(frame, "multi-hop-QA", 1, lang)
    assert {gain.hops for gain in found.hop_gains if gain.target == "multi-hop-QA"} == {2, 3}
    assert {slope.hops for slope in found.hop_slopes} == {(2, 3)}
    assert len(found.left_out) == 1
    assert "its items of 4 hops are fewer than two item clusters" in found.left_out[0]
    assert found.left_out[0].endswith(f"in {lang or 'de, sw'}; this number of hops is left out here.")
    enough = levels(frame, "multi-hop-QA", 12, lang)
    assert enough.left_out == ()
    assert {gain.hops for gain in enough.hop_gains} == {2, 3, 4}


def test_parts_that_do_not_exist_say_why(frame, tmp_path):
    """Retrieval alone: no C, so thirteen parts of which many are one sentence."""
    rows = frame[frame["group"] == "retrieval"]
    alone = analyse(rows)
    write(analysis_report(alone, title="Retrieval"), tmp_path)
    markdown = (tmp_path / "report.md").read_text()
    page = Page((tmp_path / "report.html").read_text())
    assert alone.verdict.sentences[0] in " ".join(page.text)
    assert re.findall(r"^## (\d+)\. ", markdown, re.MULTILINE) == [str(place) for place in range(1, 14)]
    for expected in (
        "There is no C in this study, so there is no C(k)",
        "so there is no bootstrap of it",
        "so there is no specification curve",
        "so there is no part of it to leave out",
        "Nothing on hops within a target: there is no multi-hop target.",
        "No slope of gain on baseline",
        "No check of the baseline against itself",
    ):
        assert expected in markdown
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} == {
        "forest",
        "gains-mnli",
        "variance",
    }
    results = json.loads((tmp_path / "results.json").read_text())["analysis"]
    assert results["bootstrap"] is results["bands"] is results["evidence"] is results["leave_one_out"] is None
    assert results["specification_curve"] is results["baseline_control"] is None


def test_names_with_dollar_signs_and_foreign_letters_are_drawn_as_they_are() -> None:
    gains = {"$x_1$ 条件": 4.0}
    tasks = [
        synthetic.Task("$\\bad{$", "classification", 60, gains, clusters=8),
        synthetic.Task("链", "multi-hop QA", 60, gains, clusters=8),
    ]
    found = analyse(synthetic.frame(tasks, np.random.default_rng(0), {"none": 2, "$x_1$ 条件": 2}))
    for figure in (figures.forest(found), figures.heat_map(found, "$x_1$ 条件")):
        svg = draw(figure).svg
        assert ElementTree.fromstring(svg).get("width")
        assert "$\\bad{$" in svg
        assert "链" in svg
