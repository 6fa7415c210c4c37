"""Collects the items that changed between the baseline and the conditions of a store, with their texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xeval.analysis.report.item_browser import Answer, Change, ChangedCell, Item, ItemBrowser, Passage
from xeval.conditions import BASELINE, DIAGNOSTIC
from xeval.digests import text_digest
from xeval.errors import DataError, StoreError, XevalError
from xeval.examples import Example, Translation
from xeval.store import Store, UnitRecord, read_table

if TYPE_CHECKING:
    from xeval.analysis.report import Widget

MOST = 100  # items of a cell; the page's size allows fewer where there are many cells
LONGEST = 1600  # characters of a passage
CUT = "…"
_ORDER = "order of the item browser"


@dataclass(frozen=True)
class _Run:
    """One run's rows on a target and language, in the order of the first run's items."""

    record: UnitRecord
    seed: int
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    answers: list[str]


@dataclass(frozen=True)
class _Rows:
    """What all runs of a target and language have in common: the columns of the items."""

    item_id: list[str]
    cluster_id: list[str]
    hops: list[int]
    category: list[str]
    gold: list[str] | None
    """Ids of the right sentences, which mining units store beside their rows."""


@dataclass(frozen=True)
class _Texts:
    """Examples by item; for mining also the English sentences, whose ids are the answers."""

    examples: Mapping[str, Example]
    sentences: Mapping[str, str]


def browser(
    root: Path, data: Path | None = None, limit: int | None = None, settings: Mapping[str, str] | None = None
) -> "Widget | None":
    """The item browser as a widget of the page; None where no item changed or there is nothing to compare."""
    from xeval.analysis.report import Widget
    from xeval.analysis.report.item_browser import browser_data, browser_html, browser_script

    found = changed_items(root, data, limit, settings)
    if not any(cell.changes for cell in found.cells):
        return None
    return Widget(
        id="items",
        title="Items that changed",
        html=browser_html(found),
        script=browser_script(),
        data=browser_data(found),
    )


def changed_items(
    root: Path, data: Path | None = None, limit: int | None = None, settings: Mapping[str, str] | None = None
) -> ItemBrowser:
    """Items that most runs of the baseline have right and most runs of a condition wrong, or the other way round.

    A run has an item right when num / den of the main metric is at least one half; a tagged sentence, when it is 1; and
    where den is 0, as nothing was to be found and nothing was claimed.

    Args:
        root: the store.
        data: root of the published data sets; built-in ones need none. Texts are shown only where the data are those
            that every run of the cell was computed on.
        limit: compare the results on the first ``limit`` items.
        settings: what the units' settings are to be, where several are stored.

    Raises:
        StoreError: the store is missing, empty or damaged, or runs of one cell hold different items.
    """
    units = Store(root).require(limit, settings)
    places: dict[tuple[str, str], list[tuple[Path, UnitRecord]]] = {}
    for path, record in units:
        if record.group != DIAGNOSTIC:
            places.setdefault((record.task, record.language), []).append((path, record))
    cells: list[ChangedCell] = []
    missing: dict[str, list[str]] = {}
    for _, members in sorted(places.items()):
        if any(record.run.condition == BASELINE for _, record in members):
            cells += _cells(members, data, missing)
    cells.sort(key=lambda cell: (cell.condition, cell.target, cell.lang))
    return ItemBrowser(BASELINE, tuple(cells), tuple(_note(why, where) for why, where in missing.items()))


def _cells(
    members: Sequence[tuple[Path, UnitRecord]], data: Path | None, missing: dict[str, list[str]]
) -> list[ChangedCell]:
    """Every condition against the baseline on a target and language; why texts are missing goes into ``missing``."""
    records = [record for _, record in members]
    first = records[0]
    rows, runs = _read(members)
    baseline = runs.pop(BASELINE)
    ways = {condition: _differ(baseline, runs[condition]) for condition in sorted(runs)}
    samples = {condition: _sample(rows.item_id, way) for condition, way in ways.items()}
    wanted = sorted({row for sample in samples.values() for row in sample})
    texts = _Texts({}, {})
    try:
        if wanted:
            texts = _texts(data, records, rows, wanted)
    except XevalError as error:
        missing.setdefault(str(error), []).append(f"{first.task} ({first.language})")
    items = {row: _item(rows, row, texts, baseline) for row in wanted}
    return [
        ChangedCell(
            condition,
            first.task,
            first.language,
            first.main_metric,
            len(rows.item_id),
            int((way > 0).sum()),
            int((way < 0).sum()),
            int((_tied(baseline) | _tied(runs[condition])).sum()),
            _answer_language(first),
            tuple(
                Change(
                    items[row],
                    "won" if way[row] > 0 else "lost",
                    _answers(runs[condition], row, rows.item_id[row], texts),
                )
                for row in samples[condition]
            ),
        )
        for condition, way in ways.items()
    ]


def _read(members: Sequence[tuple[Path, UnitRecord]]) -> tuple[_Rows, dict[str, list[_Run]]]:
    """The runs of a target and language by condition, in the order of their seeds."""
    rows: _Rows | None = None
    runs: dict[str, list[_Run]] = {}
    for path, record in members:
        table = read_table(path)
        ids = table["item_id"].to_pylist()
        if rows is None:
            category = table["category"].to_pylist() if "category" in table.column_names else [""] * len(ids)
            gold = table["gold"].to_pylist() if "gold" in table.column_names else None
            clusters = table["cluster_id"].to_pylist()
            rows = _Rows(ids, clusters, table["hops"].to_pylist(), category, gold)
        if ids != rows.item_id:
            row_of = {name: row for row, name in enumerate(ids)}
            if row_of.keys() != set(rows.item_id):
                raise StoreError(
                    f"{path}: holds other items than {members[0][0].name} beside it; evaluate all checkpoints on the "
                    "same items."
                )
            table = table.take([row_of[name] for name in rows.item_id])
        num, den = (table[f"{record.main_metric}.{part}"].to_numpy() for part in ("num", "den"))
        scores = np.divide(num, den, out=np.full(len(num), np.nan), where=den > 0)
        needed = 1.0 - 1e-9 if record.kind == "tagging" else 0.5
        made = _Run(
            record,
            record.run.seed,
            scores,
            np.isnan(scores) | (scores >= needed),
            table["prediction"].to_pylist(),
        )
        runs.setdefault(record.run.condition, []).append(made)
    if rows is None:
        raise ValueError("no unit")
    for listed in runs.values():
        listed.sort(key=lambda run: (run.seed, run.record.fingerprint))
    return rows, runs


def _share(runs: Sequence[_Run]) -> NDArray[np.float64]:
    """Of every item, the share of the runs that have it right."""
    share: NDArray[np.float64] = np.mean([run.right for run in runs], axis=0)
    return share


def _differ(before: Sequence[_Run], after: Sequence[_Run]) -> NDArray[np.int64]:
    """1 where the majority goes from wrong to right, -1 where it goes from right to wrong, else 0."""
    old, new = _share(before), _share(after)
    return ((old < 0.5) & (new > 0.5)).astype(np.int64) - ((old > 0.5) & (new < 0.5))


def _tied(runs: Sequence[_Run]) -> NDArray[np.bool_]:
    tied: NDArray[np.bool_] = _share(runs) == 0.5
    return tied


def _sample(ids: Sequence[str], way: NDArray[np.int64]) -> list[int]:
    """Rows of changed items, by turns one of each direction, in an order that depends on the items' ids alone."""

    def drawn(sign: int) -> list[int]:
        return sorted(np.flatnonzero(way == sign).tolist(), key=lambda row: text_digest(_ORDER, ids[row]))

    lost, won = drawn(-1), drawn(1)
    turns = [row for pair in zip(lost, won, strict=False) for row in pair]
    shorter = min(len(lost), len(won))
    return [*turns, *lost[shorter:], *won[shorter:]][:MOST]


def _texts(data: Path | None, records: Sequence[UnitRecord], rows: _Rows, wanted: Sequence[int]) -> _Texts:
    """The texts of some rows.

    Raises:
        XevalError: the task is unknown, its data are not there, or they are not those of every run.
    """
    from xeval.sources.bucc import CollectionSource
    from xeval.tasks import task as known_task

    first = records[0]
    task = known_task(first.task)
    digest = task.source.digest(data, first.language, task.split)
    if any(record.data_digest != digest or record.task_version != task.version for record in records):
        where = "the built-in data" if data is None else f"the data below {data}"
        raise DataError(f"{where} are not those that the results were computed on.")
    if first.kind == "mining" and isinstance(task.source, CollectionSource):
        collection = task.source.collection(data, first.language, task.split)
        foreign = dict(zip(collection.source.ids, collection.source.texts, strict=True))
        english = dict(zip(collection.target.ids, collection.target.texts, strict=True))
        sides = {rows.item_id[row]: rows.cluster_id[row] for row in wanted}
        return _Texts(
            {item: Translation(item, name, foreign[name], "") for item, name in sides.items()}, english
        )
    ids = {rows.item_id[row] for row in wanted}
    examples = task.source.load(data, first.language, task.split)
    found = {example.item_id: example for example in examples if example.item_id in ids}
    if lacking := sorted(ids - found.keys()):
        raise DataError(f"the examples do not go by the items' ids (such as {lacking[0]}).")
    return _Texts(found, {})


def _item(rows: _Rows, row: int, texts: _Texts, baseline: Sequence[_Run]) -> Item:
    name = rows.item_id[row]
    example = texts.examples.get(name)
    if rows.gold is None:
        gold = () if example is None else example.gold_texts()
    else:
        gold = tuple(texts.sentences.get(one, one) for one in rows.gold[row].split()) or ("",)
    return Item(
        name,
        rows.hops[row],
        rows.category[row],
        () if example is None else tuple(_cut(*passage) for passage in example.passages()),
        gold,
        _answers(baseline, row, name, texts),
    )


def _answers(runs: Sequence[_Run], row: int, item: str, texts: _Texts) -> tuple[Answer, ...]:
    return tuple(
        Answer(
            run.seed,
            None if np.isnan(run.scores[row]) else float(run.scores[row]),
            bool(run.right[row]),
            _shown(run.answers[row], texts.examples.get(item), texts.sentences),
        )
        for run in runs
    )


def _shown(answer: str, example: Example | None, sentences: Mapping[str, str]) -> str:
    """A stored prediction for people; of mining the sentence whose id it is."""
    return sentences.get(answer, answer) if example is None or sentences else example.shown(answer)


def _answer_language(record: UnitRecord) -> str:
    """Answers are in the language of the item where they are taken from its text; labels and tags are English words."""
    if record.kind in ("span_qa", "choice"):
        return record.language
    return "" if record.kind in ("retrieval", "mining") else "en"


def _cut(label: str, text: str, mark: tuple[int, int] | None = None) -> Passage:
    """A passage of at most ``LONGEST`` characters, around its mark where it has one."""
    if len(text) <= LONGEST:
        return Passage(label, text, mark)
    begin = 0 if mark is None else min(max(0, (mark[0] + mark[1] - LONGEST) // 2), len(text) - LONGEST)
    end = begin + LONGEST
    before, after = (CUT if begin else ""), (CUT if end < len(text) else "")
    if mark is not None:
        shift = len(before) - begin
        mark = mark[0] + shift, min(mark[1], end) + shift
    return Passage(label, before + text[begin:end] + after, mark)


def _note(reason: str, places: Sequence[str]) -> str:
    """One sentence on texts that are missing."""
    named = ", ".join(places[:6]) + (f" and {len(places) - 6} more" if len(places) > 6 else "")
    return f"Texts and gold answers of {named} are not shown, only ids and predictions: {reason}"


__all__ = ["browser", "changed_items"]
