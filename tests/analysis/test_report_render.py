"""One small report in every form: what each renderer makes of every kind of block."""

import json
import re
from io import StringIO

import pytest
from rich.console import Console

from xeval.analysis.report import Report
from xeval.analysis.report.model import (
    Facts,
    Figure,
    Figures,
    Paragraph,
    Section,
    Sentences,
    Table,
    with_banner,
)
from xeval.analysis.report.render import html, latex, markdown
from xeval.analysis.report.render import json as numbers
from xeval.analysis.report.render.console import summary
from xeval.analysis.report.vega import draw

BANNER = "Smoke run."
GAINS = Table(
    title="Table 1. Gains",
    caption="5 % of a_b & c.",
    columns=("", "C [95 % CI]"),
    rows=(("G_1|x", "−0.50 [−1.00, 0.10]"), ("<b>*", "< 0.001")),
    strong=frozenset({1}),
    keys=({"target": "G_1"}, {}),
    name="gains",
    basis="3 items.",
    below=("It holds.",),
    main=True,
)
HISTOGRAM = Figure(
    name="control",
    kind="histogram",
    title="Halves",
    caption="Over 3 splits.",
    records=(
        {"low": -1.0, "high": 0.0, "count": 1, "text": "1 split"},
        {"low": 0.0, "high": 1.0, "count": 2, "text": "2"},
    ),
    options={"axis": {"x": "C", "y": "splits"}, "margin": 1.0},
)


@pytest.fixture(scope="module")
def report() -> Report:
    blocks = (
        Paragraph("Why there is less.", missing=True),
        Sentences("Notes", ("One note.",), main=True),
        Figures((HISTOGRAM,), HISTOGRAM.caption),
        GAINS,
        Facts({"seed": "1 | 2"}),
    )
    return Report(
        title="A <study>",
        about="Of one condition.",
        headline="Inconclusive",
        sentences=("First.", "Second."),
        sections=(
            Section("Verdict", ()),
            Section("Gains", tuple(with_banner(block, BANNER) for block in blocks)),
        ),
        numbers={"value": float("inf"), "notes": ("One note.",)},
        banner=BANNER,
    )


def test_markdown(report: Report) -> None:
    assert (
        markdown.text(report)
        == r"""# A <study>

> **Smoke run.**

## 1. Inconclusive

First.

Second.

## 2. Gains

Why there is less.

### Notes

- One note.

![Halves](figures/control.svg)

Smoke run. Over 3 splits.

### Table 1. Gains

|  | C [95 % CI] |
| :-- | --: |
| G\_1\|x | −0.50 [−1.00, 0.10] |
| <b>\* | < 0.001 |

Smoke run. 5 % of a_b & c.

- It holds.

| | |
| :-- | :-- |
| seed | 1 \| 2 |
"""
    )


def test_latex(report: Report) -> None:
    assert latex.tables(report) == {
        "gains": "% needs \\usepackage{booktabs}\n\\begin{table}[t]\n\\centering\n\\small\n"
        "\\caption{Gains. Smoke run. 5 \\% of a\\_b \\& c. 3 items.}\n\\label{tab:gains}\n\\begin{tabular}{lr}\n"
        "\\toprule\n & C [95 \\% CI] \\\\\n\\midrule\nG\\_1\\textbar{}x & $-$0.50 [$-$1.00, 0.10] \\\\\n"
        "\\textbf{$<$b$>$*} & $<$ 0.001 \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    }


def test_json(report: Report) -> None:
    found = json.loads(numbers.text(report))
    assert found["value"] is None
    blocks = found["parts"][1]["blocks"]
    assert blocks[3] == {
        "table": "Table 1. Gains",
        "caption": "Smoke run. 5 % of a_b & c.",
        "columns": ["", "C [95 % CI]"],
        "rows": [list(row) for row in GAINS.rows],
        "below": ["It holds."],
    }
    assert blocks[2] == {"charts": ["control"], "caption": "Smoke run. Over 3 splits."}
    assert found["charts"]["control"]["records"] == list(HISTOGRAM.records)


def test_console(report: Report) -> None:
    screen = Console(width=60, record=True, file=StringIO())
    screen.print(summary(report))
    lines = [line.strip(" │╭╮╰╯─") for line in screen.export_text().splitlines()]
    assert [line for line in lines if line] == [
        "Smoke run.",
        "Inconclusive",
        "First.",
        "Second.",
        "Table 1. Gains",
        "C [95 % CI]",
        "G_1|x  −0.50 [−1.00, 0.10]",
        "<b>*               < 0.001",
        "Notes:",
        "- One note.",
    ]


def test_page(report: Report) -> None:
    page = html.page(report, {"control": draw(HISTOGRAM, BANNER)})
    main = re.sub(
        r"<svg.*?</svg>", "<svg/>", page[page.index("<main>") : page.index("</main>")], flags=re.DOTALL
    )
    body = re.sub(r"\s+", " ", main)
    for expected in (
        '<p class="smoke" role="note">Smoke run.</p> <h1>A &lt;study&gt;</h1>',
        "<h2>Inconclusive</h2> <p>First.</p> <p>Second.</p>",
        '<h2><span class="n">2</span>Gains</h2> <p class="missing">Why there is less.</p>',
        "<details><summary>Notes</summary> <ul> <li>One note.</li> </ul>",
        '<div class="live" data-chart="control" role="group" aria-label="Halves Arrow keys',
        "<svg/> </div> </div> </div>",
        "<figcaption>Smoke run. Over 3 splits.</figcaption>",
        '<tr data-filter data-target="G_1"><th scope="row">G_1|x</th><td class="n">−0.50 [−1.00, 0.10]</td></tr>',
        '<tr class="strong"><th scope="row">&lt;b&gt;*</th><td class="n">&lt; 0.001</td></tr>',
        "<dt>seed</dt><dd>1 | 2</dd>",
    ):
        assert expected in body
