"""The page as a browser shows it: a headless Chromium, driven through its pipe; skipped where there is none."""

import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.report import Widget, analysis_report, write

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120.0
LISTENER = """
window.heard = [];
document.addEventListener("xeval:cell", (event) => window.heard.push(event.detail));
"""


class Browser:
    """One page of a headless Chromium, spoken to in the Chrome DevTools Protocol."""

    def __init__(self, program, profile):
        to_browser, self.writer = os.pipe()
        self.reader, from_browser = os.pipe()
        command = (
            f'exec "$0" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking '
            f'--disable-component-update --disable-sync "--user-data-dir=$1" --remote-debugging-pipe '
            f"3<&{to_browser} 4>&{from_browser}"
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command, program, str(profile)],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.rest, self.events, self.session = 0, b"", [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.rest:
            read = os.read(self.reader, 1 << 20)
            assert read, "the browser has ended"
            self.rest += read
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def run(self, script):
        """The value of a JavaScript expression, awaited."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition):
        limit = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < limit, f"never true: {condition}"
            time.sleep(0.05)

    def open(self, page, width, theme="light"):
        """Show a page and wait until all its figures are drawn."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.load(page)
        self.wait("document.documentElement?.dataset.drawn !== undefined")

    def load(self, page):
        """Go to a page and wait until all of it has been read."""
        self.events = []
        self.send("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def complaints(self):
        """Errors, warnings and everything else on the console, and requests other than for the page."""
        self.run("0")
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        found = [str(event["params"]) for event in self.events if event["method"] in kinds]
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return found + [one["request"]["url"] for one in sent if one["type"] != "Document"]

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.process.kill()
    opened.process.wait()
    os.close(opened.writer)
    os.close(opened.reader)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    gains = {"mnli": 3.0, "squad": 2.0}
    tasks = [
        synthetic.Task("xnli", "classification", 65, gains, ("en", "de", "sw")),
        synthetic.Task("pawsx", "classification", 70, gains, ("en", "de")),
        synthetic.Task("a-target-with-quite-a-long-name", "structured", 70, gains, ("en", "de", "ur")),
        synthetic.Task("chains", "multi-hop QA", 55, gains, ("en", "de", "sw")),
    ]
    frame = synthetic.frame(tasks, np.random.default_rng(3), {"none": 4, "mnli": 3, "squad": 3})
    chains = frame["target"] == "chains"
    frame.loc[chains, "hops"] = 2 + frame[chains]["item_id"].str[-1].astype(int) % 3
    out = tmp_path_factory.mktemp("page")
    widget = Widget("cells", "Cells", "<p>Listens.</p>", LISTENER, {"nothing": True})
    write(analysis_report(analyse(frame), title="A study", widgets=[widget]), out)
    return out / "report.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_all_figures_are_drawn_nothing_overflows_and_the_console_stays_empty(browser, page, width, theme):
    browser.open(page, width, theme)
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    charts = browser.run("""[...document.querySelectorAll("[data-chart]")].map((place) => ({
        name: place.dataset.chart, room: place.clientWidth, fixed: place.dataset.chart.startsWith("gains-"),
        drawn: [...place.querySelectorAll("svg")].map((svg) => svg.getBoundingClientRect().width),
        marks: place.querySelectorAll("[aria-roledescription], path").length,
        hidden: getComputedStyle(place.parentElement.querySelector(".static")).display }))""")
    assert len(charts) == 14
    for chart in charts:
        assert chart["drawn"], chart["name"]
        if not chart["fixed"]:
            assert all(0.9 * chart["room"] <= width <= chart["room"] + 1 for width in chart["drawn"]), chart
        assert chart["marks"] > 2
        assert chart["hidden"] == "none"
    words = browser.run(
        """[...document.querySelectorAll(".live svg text")].map((text) => text.textContent)"""
    )
    assert not [word for word in words if "…" in word]
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(254, 254, 254)", "dark": "rgb(18, 23, 30)"}[theme]
    assert browser.complaints() == []


def test_filters_hide_marks_cells_and_rows_and_say_so(browser, page):
    browser.open(page, 1440)
    marks = 'document.querySelectorAll(\'[data-chart="forest"] [aria-roledescription="point"]\').length'
    before = browser.run(marks)
    browser.run("""document.querySelector('.filters input[value="squad"]').click()""")
    browser.wait(f"{marks} === {before - 4}")  # one target each, four targets
    assert browser.run("""document.querySelector('figure[data-condition="squad"]').hidden""")
    assert browser.run(
        """[...document.querySelectorAll('tr[data-condition="squad"]')].every((row) => row.hidden)"""
    )
    assert "1 of 2 conditions" in browser.run("document.querySelector('.status').textContent")
    browser.run("""document.querySelector('.filters [data-all]').click()""")
    browser.wait(f"{marks} === {before}")
    assert browser.run("document.querySelector('.status').textContent") == ""
    assert browser.complaints() == []


def test_tables_sort_by_number_and_back(browser, page):
    browser.open(page, 1440)
    table = """[...document.querySelectorAll("details")].find((one) => one.innerHTML.includes("Gain per target"))"""
    column = f"""[...{table}.querySelectorAll("tbody tr")].map(
        (row) => parseFloat(row.cells[3].textContent.replaceAll("−", "-")))"""
    click = f"""{table}.querySelectorAll("thead button")[3].click()"""
    original = browser.run(column)
    assert original != sorted(original)
    browser.run(click)
    assert browser.run(column) == sorted(original)
    browser.run(click)
    assert browser.run(column) == sorted(original, reverse=True)
    browser.run(click)
    assert browser.run(column) == original


def test_names_sort_as_names(browser, page):
    browser.open(page, 1440)
    table = (
        """[...document.querySelectorAll("table.sortable")].find((one) => one.innerHTML.includes("pawsx"))"""
    )
    browser.run(f"""{table}.querySelector("thead button").click()""")
    names = browser.run(f"""[...{table}.querySelectorAll("tbody th")].map((name) => name.textContent)""")
    assert names == sorted(names)
    assert len(set(names)) > 2


def test_a_page_that_is_made_narrow_is_drawn_anew(browser, page):
    browser.open(page, 1440)
    height = """document.querySelector('[data-chart="forest"]').clientHeight"""
    wide = browser.run(height)
    browser.send(
        "Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=True
    )
    browser.wait(f"{height} > {1.3 * wide}")
    browser.wait("document.documentElement.scrollWidth <= innerWidth")
    assert browser.complaints() == []


def test_the_keyboard_reads_a_figure_and_a_cell_tells_other_scripts(browser, page):
    browser.open(page, 1440)
    browser.run("""document.querySelector('[data-chart="leave-one-out"]').focus()""")
    for expected in ("C: ", "C without target pawsx: "):
        browser.press("ArrowDown")
        said = browser.run("""document.querySelector('[data-chart="leave-one-out"]').closest("figure")
            .querySelector(".readout").textContent""")
        assert said.startswith(expected)
        assert said.endswith("points")
    browser.run("""document.querySelector('[data-chart="gains-mnli"]').focus()""")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "Enter"):
        browser.press(key)
    said = browser.run("""document.querySelector('[data-chart="gains-mnli"]').closest("figure")
        .querySelector(".readout").textContent""")
    (heard,) = browser.run("window.heard")
    assert said.startswith(f"{heard['target']}, {heard['lang']}, {heard['condition']}: ")
    assert heard["condition"] == "mnli"
    assert browser.complaints() == []


def test_pointing_at_a_mark_shows_its_value_and_the_scale_can_be_changed(browser, page):
    browser.open(page, 1440)
    chart = """document.querySelector('[data-chart="conditions"]')"""
    browser.run(f"{chart}.scrollIntoView({{block: 'center'}})")
    mark = f"""{chart}.querySelector('[aria-roledescription="point"]')"""
    place = browser.run(f"""(() => {{ const box = {mark}.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }})()""")
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    browser.wait("!document.querySelector('.tip').hidden")
    assert browser.run("document.querySelector('.tip').textContent").startswith("C(mnli): ")
    browser.run(f"{chart}.parentElement.querySelectorAll('.switch button')[1].click()")
    browser.wait(f"{chart}.textContent.includes('C(k) in log-odds')")


def test_the_theme_can_be_chosen(browser, page):
    browser.open(page, 1440, "light")
    seen = []
    for _ in range(3):
        browser.run("document.querySelector('[data-theme-switch]').click()")
        seen.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert seen == ["rgb(18, 23, 30)", "rgb(254, 254, 254)", "rgb(254, 254, 254)"]


def test_print_shows_the_figures_for_paper(browser, page):
    browser.open(page, 1440, "dark")
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('.live')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('.static')).display") == "block"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(254, 254, 254)"
    browser.send("Emulation.setEmulatedMedia", media="")


def test_without_scripts_the_figures_for_paper_stand_in_the_page(browser, page):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.load(page)
        found = browser.send("DOM.getDocument", depth=0)["root"]["nodeId"]
        node = browser.send("DOM.querySelector", nodeId=found, selector=".static svg")["nodeId"]
        assert browser.send("DOM.getBoxModel", nodeId=node)["model"]["height"] > 50
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
