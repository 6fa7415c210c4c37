"""What a report consists of: sections of paragraphs, lists, tables, figures and facts, which every renderer reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

Kind = Literal["intervals", "scatter", "histogram", "choices", "shares", "heat"]
Record = dict[str, Any]
Row = TypeVar("Row")
Column = tuple[str, Callable[[Row], str]]
"""A heading, and what stands below it in the row of something."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph. ``missing``: it says why something is not there; ``main``: the console prints it too."""

    text: str
    missing: bool = False
    main: bool = False
    kind: str = "paragraph"

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text}


@dataclass(frozen=True)
class Sentences:
    """A titled list; where it is ``folded`` it opens on demand and shows ``line`` before that."""

    title: str
    sentences: tuple[str, ...]
    line: str = ""
    folded: bool = True
    main: bool = False
    kind: str = "sentences"

    def to_dict(self) -> dict[str, Any]:
        return {"title": self.title, "sentences": list(self.sentences)}


@dataclass(frozen=True)
class Table:
    """A titled table of texts.

    Attributes:
        labels: so many columns at the left are text, the others numbers.
        strong: rows that are set bold.
        aside: number of a column that a narrow page leaves out.
        keys: for each row, the condition, target and language that it belongs to, where it belongs to one.
        name: of its LaTeX file, empty for none; ``basis``: what its caption says there besides.
        folded: opens on demand and shows ``line`` before that. ``below``: sentences that follow it.
        main: the console prints it too.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    strong: frozenset[int] = frozenset()
    aside: int | None = None
    keys: tuple[Mapping[str, str], ...] = ()
    name: str = ""
    basis: str = ""
    folded: bool = False
    line: str = ""
    below: tuple[str, ...] = ()
    main: bool = False
    kind: str = "table"

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        columns: Sequence[Column[Row]],
        *,
        keys: Callable[[Row], Mapping[str, str]] | None = None,
        **more: Any,
    ) -> "Table":
        """A table with a row for each of ``rows``."""
        texts = tuple(tuple(text(row) for _, text in columns) for row in rows)
        headings = tuple(heading for heading, _ in columns)
        return cls(columns=headings, rows=texts, keys=tuple(map(keys, rows)) if keys else (), **more)

    def key(self, row: int) -> Mapping[str, str]:
        """What the row belongs to."""
        return self.keys[row] if self.keys else {}

    def longest(self, start: int, stop: int) -> int:
        """Letters of the longest text in some columns, without their headings; 0 for no column."""
        return max((len(text) for row in self.rows for text in row[start:stop]), default=0)

    def to_dict(self) -> dict[str, Any]:
        rows, columns, below = [list(row) for row in self.rows], list(self.columns), list(self.below)
        return {
            "table": self.title,
            "caption": self.caption,
            "columns": columns,
            "rows": rows,
            "below": below,
        }


@dataclass(frozen=True)
class Figure:
    """A figure as data.

    Attributes:
        name: of its files; ``title`` is its name for screen readers.
        kind: how :mod:`.vega` draws it.
        caption: what it shows, of how many items, seeds and languages, by which test.
        records: a mark each, with the text that a reader gets by pointing at it (``text``) and, where it belongs to one
            condition, target or language, also that.
        options: what its kind needs besides.
    """

    name: str
    kind: Kind
    title: str
    caption: str
    records: tuple[Record, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """One or two figures side by side under one caption, below ``heading`` where there is one.

    ``table``: the same numbers for LaTeX. ``condition``: the only one that they show, if there is one.
    """

    figures: tuple[Figure, ...]
    caption: str = ""
    heading: str = ""
    condition: str = ""
    table: Table | None = None
    kind: str = "figures"

    def to_dict(self) -> dict[str, Any]:
        if not self.condition:
            return {"charts": [figure.name for figure in self.figures], "caption": self.caption}
        cells = (record for figure in self.figures for record in figure.records if "shown" in record)
        keys = ("condition", "target", "lang")
        shown = {"|".join(cell[key] for key in keys): cell["shown"] for cell in cells}
        return {"heat_map": self.condition, "cells": shown}


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    values: Mapping[str, str]
    kind: str = "facts"

    def to_dict(self) -> dict[str, Any]:
        return {"facts": dict(self.values)}


Block = Paragraph | Sentences | Table | Figures | Facts


@dataclass(frozen=True)
class Section:
    """A titled part of the report; the first one's title is the verdict's place."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Widget:
    """An interactive section of the page alone, after the others.

    Attributes:
        id: of its element; letters, digits and hyphens. ``title``: its heading.
        html: what stands below the heading, as it is: whoever makes it escapes what it quotes.
        script: a JavaScript module that runs after those of the page; empty for none. It may listen to the document's
            event ``xeval:cell``, whose ``detail`` holds the ``condition``, ``target`` and ``lang`` of a heat-map cell.
        data: anything that JSON holds, to be read from the element with the id ``ID-data``; None for none.
    """

    id: str
    title: str
    html: str
    script: str = ""
    data: Any = None


@dataclass(frozen=True)
class Report:
    """A report, to be rendered as a page, Markdown, LaTeX tables, JSON and for a terminal.

    Attributes:
        about: what it is of, below the title. ``banner``: what must be known before any number; empty for nothing.
        headline, sentences: the verdict, or that there is none and what is there instead.
        strips: the verdict as figures. ``sections``: the first one continues the verdict.
        numbers: everything behind the texts, unrounded, ready for JSON.
        filters: names and values that marks, cells and rows of the page can be hidden by: key, title, values.
    """

    title: str
    about: str
    headline: str
    sentences: tuple[str, ...]
    sections: tuple[Section, ...]
    numbers: Mapping[str, Any]
    banner: str = ""
    strips: Figures | None = None
    filters: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    widgets: tuple[Widget, ...] = ()

    def blocks(self) -> Iterator[Block]:
        """All blocks in their order, the verdict's figures first."""
        if self.strips:
            yield self.strips
        for section in self.sections:
            yield from section.blocks

    def figures(self) -> Iterator[Figure]:
        """All figures in their order."""
        for block in self.blocks():
            if isinstance(block, Figures):
                yield from block.figures

    def tables(self) -> Iterator[Table]:
        """All tables in their order, those behind figures included."""
        for block in self.blocks():
            if isinstance(block, Table):
                yield block
            elif isinstance(block, Figures) and block.table:
                yield block.table


def with_banner(block: Block, banner: str) -> Block:
    """The block with ``banner`` before its captions."""
    if isinstance(block, Figures):
        table = (
            replace(block.table, caption=f"{banner} {block.table.caption}".strip()) if block.table else None
        )
        return replace(
            block, caption=f"{banner} {block.caption}".strip() if block.caption else "", table=table
        )
    return replace(block, caption=f"{banner} {block.caption}".strip()) if isinstance(block, Table) else block
