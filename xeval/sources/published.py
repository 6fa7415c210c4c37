"""What published data sets hold: rows per language and digests of their content, to check what was loaded.

The figures and where each comes from stand in ``published.toml``.
"""

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

from xeval.digests import text_digest
from xeval.examples import Example

_OUTSIDE_DIGEST = {"item_id", "cluster_id", "hops", "category", "choice_first"}


@dataclass(frozen=True)
class Expected:
    """What a split of a language holds.

    Attributes:
        rows: number of examples; several where the data set is published in several forms.
        digest: ``examples_digest`` of the authors' files; None where they have not been at hand.
        version: the release that the figures are of, where other releases may differ; else empty.
    """

    rows: tuple[int, ...]
    digest: str | None
    version: str


@dataclass(frozen=True)
class Difference:
    """One sentence on how data differ from what is published; ``fatal`` unless another release explains it."""

    text: str
    fatal: bool


def expected(task: str, split: str, language: str) -> Expected | None:
    """What is known of a split (train, dev, test) of a task or training set; None when nothing is."""
    table = _table()
    entry = table.get(table["same"].get(task, task), {}).get(split, {})
    rows = entry.get("languages", {}).get(language, entry.get("rows"))
    if rows is None:
        return None
    counts = tuple(rows) if isinstance(rows, list) else (rows,)
    return Expected(counts, entry.get("digests", {}).get(language), entry.get("version", ""))


def examples_digest(examples: Sequence[Example]) -> str:
    """Digest of texts, labels, tags and answers in their order, whatever the files' layout.

    Ids are left out, because some layouts of a data set have none.
    """
    return text_digest(*(_canonical(example) for example in examples))


def differences(task: str, split: str, language: str, examples: Sequence[Example]) -> list[Difference]:
    """How loaded examples differ from the published ones; empty when they do not, or nothing is known."""
    return list(_differences(task, split, language, examples))


def row_problem(task: str, split: str, language: str, rows: int) -> str | None:
    """One sentence if the number of examples is not the published one; None if it is, or none is known."""
    known = expected(task, split, language)
    if known is None or rows in known.rows:
        return None
    counts = " or ".join(f"{count:,}" for count in known.rows)
    if known.version:
        return (
            f"{task}, {split}, {language}: {rows:,} items, {known.version} has {counts}; "
            "take scores of other releases for what they are."
        )
    return (
        f"{task}, {split}, {language}: {rows:,} items, the published data have {counts}; "
        "scores cannot be compared with published ones until the files are whole."
    )


def _differences(task: str, split: str, language: str, examples: Sequence[Example]) -> Iterator[Difference]:
    known = expected(task, split, language)
    if known is None:
        return
    if problem := row_problem(task, split, language, len(examples)):
        yield Difference(problem, fatal=not known.version)
    elif known.digest is not None and examples_digest(examples) != known.digest:
        yield Difference(
            f"{task}, {split}, {language}: the number of items is right but their texts, labels or order are "
            "not those of the published files; load them again.",
            fatal=not known.version,
        )


def _canonical(example: Example) -> str:
    content = {name: value for name, value in asdict(example).items() if name not in _OUTSIDE_DIGEST}
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files("xeval.sources") / "published.toml").read_text(encoding="utf-8"))
