"""The item browser: which items changed, their texts only from the very data, a sample that fits, shown in Chromium."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeval.analysis.report.item_browser import (
    Answer,
    Change,
    ChangedCell,
    Item,
    ItemBrowser,
    Passage,
    browser_data,
)
from xeval.digests import text_digest
from xeval.errors import StoreError, UsageError
from xeval.examples import Answer as Gold
from xeval.examples import Example, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.items import LONGEST, _cut, browser, changed_items
from xeval.sources.bucc import Collection, Sentences
from xeval.store import Store, UnitRecord
from xeval.tasks import Task
from xeval.tasks import task as known_task
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.mining import MINING
from xeval.tasks.span_qa import SPAN_QA
from xeval.tasks.tagging import TAGGING

Scores = Mapping[tuple[str, int], Sequence[float]]


@dataclass(frozen=True)
class Memory:
    """Examples that are given."""

    examples: tuple[Example, ...]

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        del root, language, split
        return ()

    def digest(self, root: Path | None, language: str, split: str) -> str:
        return text_digest(str(root), language, split, repr(self.examples))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        del root, language, split
        return list(self.examples)


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """Makes a task that is known by its name, for one test."""
    known: dict[str, Task] = {}

    def find(name: str) -> Task:
        if name not in known:
            raise UsageError(f"unknown task {name!r}; `xeval data tasks` lists all.")
        return known[name]

    def make(kind: object, examples: Sequence[Example], source: object = None, name: str = "own") -> Task:
        known[name] = Task(
            name,
            kind,
            "classification",
            ("ar", "ur"),
            ("accuracy",),
            source or Memory(tuple(examples)),
            None,  # type: ignore[arg-type]
        )
        return known[name]

    monkeypatch.setattr("xeval.tasks.task", find)
    return make


def write(
    root: Path,
    task: Task,
    scores: Scores,
    answers: Mapping[tuple[str, int], Sequence[str]] | None = None,
    *,
    lang: str = "ur",
    ids: Sequence[str] = (),
    dens: Sequence[float] = (),
    columns: Mapping[str, Sequence[str]] | None = None,
    order: Sequence[int] = (),
    **changes: object,
) -> None:
    """A unit per run (condition, seed) with these item scores; ``order`` permutes the rows of its second unit."""
    for number, ((condition, seed), num) in enumerate(scores.items()):
        examples = task.source.load(None, lang, "test")
        names = list(ids) or [example.item_id for example in examples]
        given_answers = (answers or {}).get((condition, seed), [f"{condition} {seed}"] * len(num))
        rows: dict[str, list[object]] = {
            "item_id": names,
            "cluster_id": [name.split("#")[0] for name in names],
            "hops": [2] * len(num),
            "category": ["bridge"] * len(num),
            "prediction": list(given_answers),
            "accuracy.num": list(num),
            "accuracy.den": list(dens) or [1.0] * len(num),
            **{name: list(values) for name, values in (columns or {}).items()},
        }
        if order and number == 1:
            rows = {name: [values[place] for place in order] for name, values in rows.items()}
        values: dict[str, object] = {
            "fingerprint": text_digest(task.name, condition, str(seed), lang),
            "identity": "12345678",
            "task": task.name,
            "task_version": 1,
            "kind": task.kind.name,
            "group": task.group,
            "language": lang,
            "main_metric": "accuracy",
            "metrics": ["accuracy"],
            "checkpoint": f"{condition}/{seed}",
            "checkpoint_digest": f"{condition}/{seed}",
            "checkpoint_path": f"{condition}/{seed}",
            "data_digest": task.source.digest(None, lang, "test"),
            "lineage": {"phase": "target", "condition": condition, "seed": seed},
        }
        Store(root).write(UnitRecord.model_validate(values | changes), rows)


def pairs(count: int) -> list[TextPair]:
    return [TextPair(f"i{n}", f"i{n}", f"ٹام {n}", None, "yes") for n in range(count)]


# Items: 0 stays right, 1 is lost by every run, 2 is won by two of three, 3 is tied under the baseline, 4 stays wrong.
RUNS: Scores = {
    ("none", 0): [1, 1, 0, 1, 0],
    ("none", 1): [1, 1, 0, 0, 0],
    ("squad", 0): [1, 0, 1, 1, 0],
    ("squad", 1): [1, 0, 1, 1, 0],
    ("squad", 2): [1, 0, 0, 1, 0],
}


def test_the_majority_of_runs_decides_and_every_run_is_shown(
    tmp_path: Path, declare: Callable[..., Task]
) -> None:
    write(tmp_path, declare(CLASSIFICATION, pairs(5)), RUNS)
    found = changed_items(tmp_path)
    (cell,) = found.cells
    assert (cell.condition, cell.target, cell.lang, cell.metric) == ("squad", "own", "ur", "accuracy")
    assert (cell.items, cell.won, cell.lost, cell.tied) == (5, 1, 1, 1)
    lost, won = cell.changes
    assert (lost.direction, lost.item.item_id) == ("lost", "i1")
    assert (won.direction, won.item.item_id) == ("won", "i2")
    assert [(a.seed, a.score, a.right, a.text) for a in won.answers] == [
        (0, 1.0, True, "squad 0"),
        (1, 1.0, True, "squad 1"),
        (2, 0.0, False, "squad 2"),
    ]
    assert [(a.seed, a.right) for a in won.item.baseline] == [(0, False), (1, False)]
    assert (won.item.hops, won.item.category) == (2, "bridge")
    assert won.item.passages == (Passage("text", "ٹام 2"),)
    assert won.item.gold == ("yes",)
    assert found.notes == ()


def test_the_order_of_rows_changes_nothing_and_other_items_are_refused(
    tmp_path: Path, declare: Callable[..., Task]
) -> None:
    task = declare(CLASSIFICATION, pairs(5))
    write(tmp_path / "a", task, RUNS)
    write(tmp_path / "b", task, RUNS, order=[4, 2, 0, 1, 3])
    assert changed_items(tmp_path / "a") == changed_items(tmp_path / "b")
    write(tmp_path / "c", task, {("none", 0): RUNS["none", 0]})
    write(tmp_path / "c", task, {("squad", 0): RUNS["squad", 0]}, ids=["i0", "i1", "i2", "i3", "j"])
    with pytest.raises(StoreError, match="other items"):
        changed_items(tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_digest": "of other data"}, "are not those that the results were computed on"),
        ({"task_version": 2}, "are not those that the results were computed on"),
    ],
)
def test_texts_of_other_data_are_never_shown(
    tmp_path: Path, declare: Callable[..., Task], changes: dict[str, object], reason: str
) -> None:
    task = declare(CLASSIFICATION, pairs(5))
    write(tmp_path, task, dict(itertools.islice(RUNS.items(), 4)))
    write(tmp_path, task, {("squad", 2): RUNS["squad", 2]}, **changes)
    found = changed_items(tmp_path)
    (note,) = found.notes
    assert reason in note
    assert "own (ur)" in note
    assert "only ids and predictions" in note
    for change in found.cells[0].changes:
        assert (change.item.passages, change.item.gold) == ((), ())
        assert change.answers[0].text == "squad 0"


def test_missing_data_and_unknown_tasks_are_named(
    tmp_path: Path, declare: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xeval.sources import FileSource
    from xeval.sources.classification import read_pawsx

    task = declare(CLASSIFICATION, pairs(5))
    write(tmp_path, task, RUNS)
    declare(CLASSIFICATION, (), FileSource(("x/{lang}.tsv",), read_pawsx))
    assert "No folder with the data is named" in changed_items(tmp_path).notes[0]
    unknown = declare(CLASSIFICATION, pairs(5), name="gone")
    write(tmp_path, unknown, RUNS)
    monkeypatch.setattr("xeval.tasks.task", known_task)
    assert any("unknown task 'gone'" in note for note in changed_items(tmp_path).notes)


def test_a_tagged_sentence_is_right_when_all_of_it_is(tmp_path: Path, declare: Callable[..., Task]) -> None:
    sentences = [
        TaggedSentence(f"s{n}", f"s{n}", ("زار", "برلين", "."), ("O", "B-LOC", "O")) for n in (1, 2, 3)
    ]
    answers = {("none", 0): ["O B-LOC O"] * 3, ("squad", 0): ["O B-LOC O", "O B-ORG O", "O O O"]}
    write(
        tmp_path,
        declare(TAGGING, sentences),
        {("none", 0): [3, 3, 3], ("squad", 0): [3, 2, 2]},
        answers,
        dens=[3, 3, 3],
    )
    (cell,) = changed_items(tmp_path).cells
    assert (cell.won, cell.lost, cell.answer_lang) == (0, 2, "en")
    by_id = {change.item.item_id: change for change in cell.changes}
    assert by_id["s2"].answers[0].text == "\u2068برلين\u2069 B-LOC → B-ORG"
    assert by_id["s2"].item.baseline[0].text == "all tags right"
    assert by_id["s2"].item.gold == ("\u2068برلين\u2069 B-LOC",)


def test_where_nothing_is_to_be_found_nothing_found_is_right(
    tmp_path: Path, declare: Callable[..., Task]
) -> None:
    task = declare(TAGGING, [TaggedSentence(f"s{n}", f"s{n}", ("a",), ("O",)) for n in (1, 2)])
    answers = {("none", 0): ["O", "O"], ("squad", 0): ["O", "B-PER"]}
    write(tmp_path, task, {("none", 0): [0, 0]}, answers, dens=[0, 0])
    write(tmp_path, task, {("squad", 0): [0, 0]}, answers, dens=[0, 1])
    (cell,) = changed_items(tmp_path).cells
    assert (cell.won, cell.lost) == (0, 1)
    assert cell.changes[0].item.baseline[0].score is None
    assert cell.changes[0].item.gold == ("O everywhere",)


def test_choices_and_answers_are_shown_with_their_texts(tmp_path: Path, declare: Callable[..., Task]) -> None:
    flip: Scores = {("none", 0): [0], ("squad", 0): [1]}
    chosen = {("none", 0): ["0"], ("squad", 0): ["1"]}
    write(
        tmp_path / "a", declare(CHOICE, [MultipleChoice("c", "c", "گرم", ("ہاں", "نہیں"), 1)]), flip, chosen
    )
    (change,) = changed_items(tmp_path / "a").cells[0].changes
    assert change.answers[0].text == "2. نہیں"
    assert change.item.baseline[0].text == "1. ہاں"
    assert change.item.passages[1] == Passage("choices", "1. ہاں\n2. نہیں")
    context = "x" * 5000 + "لاہور" + "y" * 5000
    asked = [Question("q", "q", "کہاں؟", context, (Gold("لاہور", 5000), Gold("لاہور", 5000)))]
    write(tmp_path / "b", declare(SPAN_QA, asked), flip)
    (change,) = changed_items(tmp_path / "b").cells[0].changes
    passage = change.item.passages[1]
    assert passage.mark is not None
    assert passage.text[slice(*passage.mark)] == "لاہور"
    assert change.item.gold == ("لاہور",)


def test_mined_pairs_are_shown_as_sentences(tmp_path: Path, declare: Callable[..., Task]) -> None:
    @dataclass(frozen=True)
    class Mined(Memory):
        def collection(self, root: Path | None, language: str, split: str) -> Collection:
            del root, language, split
            english = Sentences(["e1", "e2"], ["one", "two"])
            return Collection(Sentences(["u1"], ["ایک"]), english, frozenset({("u1", "e1")}))

        def sizes(self, root: Path | None, language: str, split: str) -> tuple[int, int]:
            del root, language, split
            return 1, 2

    task = declare(MINING, (), Mined((Translation("u1:e1", "u1", "ایک", "one"),)))
    answers = {("none", 0): ["e2", ""], ("squad", 0): ["e1", ""]}
    write(
        tmp_path,
        task,
        {("none", 0): [0, 0], ("squad", 0): [2, 0]},
        answers,
        ids=["u1", "u1#2"],
        dens=[2, 0],
        columns={"gold": ["e1", "e1"]},
    )
    (cell,) = changed_items(tmp_path).cells
    (change,) = cell.changes
    assert change.item.passages == (Passage("sentence", "ایک"),)
    assert change.item.gold == ("one",)
    assert [change.item.baseline[0].text, change.answers[0].text] == ["two", "one"]


@given(st.integers(0, 9000), st.integers(1, 1000), st.integers(0, 9000))
def test_a_cut_passage_keeps_its_mark(before: int, length: int, after: int) -> None:
    text = "ا" * before + "م" * length + "ب" * after
    cut = _cut("passage", text, (before, before + length))
    assert cut.mark is not None
    assert cut.text[slice(*cut.mark)] == "م" * length
    assert len(cut.text) <= LONGEST + 2
    assert cut.text.strip("…") in text


def test_the_sample_takes_turns_and_starts_alike_in_all_languages(
    tmp_path: Path, declare: Callable[..., Task]
) -> None:
    task = declare(CLASSIFICATION, pairs(400))
    odd = [float(n % 4 == 0) for n in range(400)]  # 100 items right before, 300 wrong
    for lang in ("ar", "ur"):
        write(tmp_path, task, {("none", 0): odd, ("squad", 0): [1 - value for value in odd]}, lang=lang)
    first, second = changed_items(tmp_path).cells
    assert (first.lost, first.won, len(first.changes)) == (100, 300, 100)
    assert [change.direction for change in first.changes] == ["lost", "won"] * 50
    assert [c.item.item_id for c in first.changes] == [c.item.item_id for c in second.changes]
    assert [c.item.item_id for c in first.changes[::2]] != [
        f"i{n}" for n in range(0, 200, 4)
    ]  # not the first ones


def a_browser(cells: int, items: int, length: int = 50) -> ItemBrowser:
    def change(cell: int, number: int) -> Change:
        answer = (Answer(0, 1.0, True, "yes"),)
        item = Item(
            f"i{number}", 1, "", (Passage("text", f"{cell} {number} " + "ل" * length),), ("yes",), answer
        )
        return Change(item, "won", answer)

    return ItemBrowser(
        "none",
        tuple(
            ChangedCell(
                "squad",
                f"t{c}",
                "ar",
                "accuracy",
                items,
                items,
                0,
                0,
                "en",
                tuple(change(c, n) for n in range(items)),
            )
            for c in range(cells)
        ),
        (),
    )


@given(st.integers(0, 6), st.integers(0, 12), st.integers(0, 20_000))
def test_the_data_fit_the_budget_and_all_numbers_lead_somewhere(cells: int, items: int, budget: int) -> None:
    made = a_browser(cells, items)
    data = browser_data(made, budget)
    empty = browser_data(ItemBrowser("none", made.cells, ()), 0)
    size = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
    assert size <= max(budget, len(json.dumps(empty, ensure_ascii=False, separators=(",", ":")).encode()))
    assert len({len(cell[5]) for cell in data["cells"]}) <= 1  # the same number of every cell
    assert all(row < len(data["items"]) for cell in data["cells"] for row, _, _ in cell[5])
    used = {text for item in data["items"] for _, text in item[3]}
    assert used <= set(range(len(data["texts"])))
    assert [cell[4] for cell in data["cells"]] == [[items, items, 0, 0]] * cells


def test_everything_is_kept_where_it_fits() -> None:
    assert [len(cell[5]) for cell in browser_data(a_browser(3, 40))["cells"]] == [40, 40, 40]


def test_no_section_without_changes_and_one_sentence_without_a_store(
    tmp_path: Path, declare: Callable[..., Task]
) -> None:
    task = declare(CLASSIFICATION, pairs(2))
    write(tmp_path, task, {("none", 0): [1, 0], ("squad", 0): [1, 0]})
    assert browser(tmp_path) is None
    with pytest.raises(StoreError, match="no such store"):
        browser(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="no results with --limit 3 yet"):
        browser(tmp_path, limit=3)


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
PROBE = """
const found = {};
const look = (name, condition, target, lang) => {
  document.dispatchEvent(new CustomEvent("xeval:cell", { detail: { condition, target, lang } }));
  const text = document.querySelector(".items-text dd");
  found[name] = {
    items: document.querySelectorAll("#items-list > li").length,
    text: text.textContent,
    direction: getComputedStyle(text).direction,
    lang: text.lang,
    marked: document.querySelector("#items-list mark")?.textContent ?? "",
    count: document.getElementById("items-count").textContent,
    more: !document.getElementById("items-more").hidden,
    picked: ["condition", "target", "lang"].map((one) => document.getElementById(`items-${one}`).value),
    bold: document.querySelectorAll("#items-list b").length,
    wide: document.body.scrollWidth > document.body.clientWidth,
  };
};
look("urdu", "squad", "qa", "ur");
look("arabic", "squad", "own", "ar");
look("unknown", "squad", "own", "xx");
document.getElementById("items-more").click();
found.after = document.querySelectorAll("#items-list > li").length;
document.documentElement.dataset.found = JSON.stringify(found);
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_cell_opens_in_chromium_with_text_from_right_to_left(
    tmp_path: Path, declare: Callable[..., Task]
) -> None:
    hostile = [TextPair(f"i{n}", f"i{n}", "مرحبا </script><b>" + "س" * 300, None, "yes") for n in range(15)]
    write(
        tmp_path / "s",
        declare(CLASSIFICATION, hostile),
        {("none", 0): [0] * 15, ("squad", 0): [1] * 15},
        lang="ar",
    )
    asked = [Question("q", "q", "ٹام کہاں ہے؟", "😀 ٹام لاہور میں ہے۔", (Gold("لاہور", 6),))]
    write(tmp_path / "s", declare(SPAN_QA, asked, name="qa"), {("none", 0): [0], ("squad", 0): [1]})
    made = browser(tmp_path / "s")
    assert made is not None
    data = json.dumps(made.data, ensure_ascii=False).replace("<", "\\u003c")
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><body style='width:390px'>{made.html}"
        f'<script type="application/json" id="{made.id}-data">{data}</script>'
        f"<script>{made.script}</script><script>{PROBE}</script>",
        encoding="utf-8",
    )
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=2000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(unescape(done.stdout.split('data-found="')[1].split('"')[0]))
    assert found["urdu"]["marked"] == "لاہور"  # offsets count the emoji as one
    assert (found["urdu"]["direction"], found["urdu"]["lang"]) == ("rtl", "ur")
    assert found["urdu"]["count"].startswith("1 of 1 changed item shown")
    assert found["arabic"]["picked"] == ["squad", "own", "ar"]
    assert found["unknown"]["picked"] == ["squad", "own", "ar"]
    assert found["arabic"]["text"].startswith("مرحبا </script><b>")
    assert found["arabic"]["bold"] == 0
    assert (found["arabic"]["items"], found["arabic"]["more"], found["after"]) == (10, True, 15)
    assert not found["arabic"]["wide"]
