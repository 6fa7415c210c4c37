"""The item browser: the items that changed between the baseline and a condition, as a widget of the page.

The page holds a sample: of every cell (condition, target, language) equally many items of each direction of change,
as many as fit into ``BUDGET``. A cell's sample grows by appending, and starts with the same items in all languages
and under all conditions where they changed, so that translations can be compared.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from xeval.languages import LANGUAGES

BUDGET = 8_000_000
"""Bytes of the browser's data; the page is to stay below 15 MB."""

Direction = Literal["won", "lost"]


@dataclass(frozen=True)
class Answer:
    """What one run answered. ``score`` is num / den of the main metric, None where den is 0 (nothing to find)."""

    seed: int
    score: float | None
    right: bool
    text: str


@dataclass(frozen=True)
class Passage:
    """A piece of an item's text; ``mark`` is the extent (in characters) of the gold answer inside it."""

    label: str
    text: str
    mark: tuple[int, int] | None = None


@dataclass(frozen=True)
class Item:
    """A test item in one language. ``gold`` and ``passages`` are empty where the texts are not at hand."""

    item_id: str
    hops: int
    category: str
    passages: tuple[Passage, ...]
    gold: tuple[str, ...]
    baseline: tuple[Answer, ...]


@dataclass(frozen=True)
class Change:
    """An item that most runs of one side have right and most of the other have wrong."""

    item: Item
    direction: Direction
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class ChangedCell:
    """A condition against the baseline on one target and language.

    Attributes:
        items: all; ``won`` and ``lost`` of them changed, ``tied`` are right in just half of the runs of a side.
        answer_lang: language of the answers; empty where it is not known.
        changes: a sample, in the order in which it is cut.
    """

    condition: str
    target: str
    lang: str
    metric: str
    items: int
    won: int
    lost: int
    tied: int
    answer_lang: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class ItemBrowser:
    """What the section shows; ``notes`` say which texts are missing, and why."""

    baseline: str
    cells: tuple[ChangedCell, ...]
    notes: tuple[str, ...]


def browser_html(browser: ItemBrowser) -> str:
    """The section's markup, without its items."""
    from xeval.analysis.report.render.html import template

    return str(template("item_browser.html.jinja").render(browser=browser))


def browser_script() -> str:
    """The section's JavaScript; it reads the data from the element ``items-data``."""
    return resources.files("xeval.analysis.report").joinpath("item_browser.js").read_text(encoding="utf-8")


def browser_data(browser: ItemBrowser, budget: int = BUDGET) -> dict[str, Any]:
    """The section's data, cut to the largest sample per cell that fits.

    Args:
        budget: bytes of the data as compact JSON in UTF-8.
    """
    pack = _Pack()
    languages = {cell.lang: LANGUAGES[cell.lang].name for cell in browser.cells if cell.lang in LANGUAGES}
    data: dict[str, Any] = {
        "baseline": browser.baseline,
        "languages": dict(sorted(languages.items())),
        "texts": pack.texts,
        "items": pack.items,
        "cells": [
            [
                cell.condition,
                cell.target,
                cell.lang,
                cell.metric,
                [cell.items, cell.won, cell.lost, cell.tied],
                [],
                cell.answer_lang,
            ]
            for cell in browser.cells
        ],
    }
    used = _size(data)
    for place in range(max((len(cell.changes) for cell in browser.cells), default=0)):
        texts, items = len(pack.texts), len(pack.items)
        added = [
            (number, pack.change(cell, cell.changes[place]))
            for number, cell in enumerate(browser.cells)
            if place < len(cell.changes)
        ]
        used += sum(_size(added_item) + 1 for added_item in (*pack.texts[texts:], *pack.items[items:]))
        used += sum(_size(change) + 1 for _, change in added)
        if used > budget:
            del pack.texts[texts:], pack.items[items:]
            break
        for number, change in added:
            data["cells"][number][5].append(change)
    return data


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


class _Pack:
    """Texts and items by number; every text, item and baseline's answer is kept once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.items: list[list[Any]] = []
        self._text: dict[str, int] = {}
        self._item: dict[tuple[str, str, str], int] = {}

    def change(self, cell: ChangedCell, change: Change) -> list[Any]:
        """Number of the item, whether it was won, the condition's answers."""
        item = change.item
        key = (cell.target, cell.lang, item.item_id)
        if key not in self._item:
            self._item[key] = len(self.items)
            passages = [[self._number(p.label), self._number(p.text), *(p.mark or ())] for p in item.passages]
            gold = [self._number(text) for text in item.gold]
            self.items.append(
                [item.item_id, item.hops, item.category, passages, gold, self._answers(item.baseline)]
            )
        return [self._item[key], int(change.direction == "won"), self._answers(change.answers)]

    def _number(self, text: str) -> int:
        if text not in self._text:
            self._text[text] = len(self.texts)
            self.texts.append(text)
        return self._text[text]

    def _answers(self, listed: Sequence[Answer]) -> list[list[Any]]:
        return [
            [
                answer.seed,
                None if answer.score is None else round(answer.score, 3),
                int(answer.right),
                self._number(answer.text),
            ]
            for answer in listed
        ]
