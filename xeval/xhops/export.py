"""The grid as files for other tools: JSON lines, Parquet, SQuAD's JSON, or a directory for ``datasets``."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

from xeval.errors import UsageError
from xeval.xhops.grid import FORMATS, HOPS, Format, Hops, Row, check, rows
from xeval.xhops.lexicons import LANGUAGES, VERSION
from xeval.xhops.worlds import CHAINS, DEPTH, FAMILIES, SPLITS, Split

FileFormat = Literal["jsonl", "parquet", "squad", "hf"]
FILE_FORMATS: tuple[FileFormat, ...] = ("jsonl", "parquet", "squad", "hf")
SIZES: Mapping[Split, int] = {"train": 4000, "dev": 500, "test": 1000}
CARD = "README.md"


def write(
    directory: Path,
    format: FileFormat,
    *,
    formats: Sequence[Format] = FORMATS,
    hops: Sequence[Hops] = HOPS,
    languages: Sequence[str] = LANGUAGES,
    sizes: Mapping[Split, int] = SIZES,
    seed: int = 0,
    family: str | None = None,
    chains: int = CHAINS,
    depth: int = DEPTH,
) -> list[Path]:
    """Write the grid and its data card into a new or empty directory.

    Args:
        directory: made where it is missing.
        format: "jsonl" and "parquet" give one file for each answer format and split; "squad" gives the questions
            in SQuAD v1.1's JSON, one file for each language and split; "hf" gives Parquet files that
            ``datasets.load_dataset(directory)`` reads, with one configuration of all rows and one for each format.
        formats: answer formats to write ("squad" writes questions only).
        hops: numbers of hops to write.
        languages: of the test split; train and dev are English.
        sizes: rows of each cell (format, hops, language) by split; a split that is left out is not written.
        seed, family, chains, depth: as of :func:`xeval.xhops.generate`.

    Returns:
        The files written, the card first.

    Raises:
        UsageError: the directory holds something already, or an argument is out of range.
        OSError: a file cannot be written; none is left then.
    """
    check("format", format, FILE_FORMATS)
    for name, values, allowed in (
        ("formats", formats, FORMATS),
        ("hops", hops, HOPS),
        ("languages", languages, LANGUAGES),
        ("splits", tuple(sizes), SPLITS),
    ):
        if not values:
            raise UsageError(f"xhops: {name} is empty; name at least one of {', '.join(map(str, allowed))}.")
        for value in values:
            check(name, value, allowed)
    if format == "squad" and "question" not in formats:
        raise UsageError(
            "xhops: SQuAD's format holds questions only; ask for the format 'question', or write jsonl."
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory}: holds something already; name a new or an empty directory.")
    cells = {
        (split, language): [
            row for number in hops for row in rows(number, language, split, size, seed, family, chains, depth)
        ]
        for split, size in sizes.items()
        for language in (languages if split == "test" else ("en",))
    }
    directory.mkdir(parents=True, exist_ok=True)
    card = directory / CARD
    written = [card]
    try:
        if format == "squad":
            for (split, language), cell in cells.items():
                written.append(directory / f"{split}.{language}.json")
                text = json.dumps(_squad(cell), ensure_ascii=False)
                written[-1].write_text(text + "\n", encoding="utf-8")
        else:
            for kind, split in product(formats, sizes):
                records = (
                    record(row, language, kind)
                    for (of, language), cell in cells.items()
                    if of == split
                    for row in cell
                )
                suffix = "jsonl" if format == "jsonl" else "parquet"
                written.append(directory / f"{kind}-{split}.{suffix}")
                (_write_lines if format == "jsonl" else _write_parquet)(records, written[-1])
        counts = {split: sum(len(cell) for (of, _), cell in cells.items() if of == split) for split in sizes}
        settings = f"seed {seed}, {chains} chains of {depth} links, families {family or ', '.join(FAMILIES)}"
        header = _configurations(formats, tuple(sizes)) if format == "hf" else ""
        kinds: Sequence[Format] = ("question",) if format == "squad" else formats
        card.write_text(header + _card(settings, kinds, hops, languages, counts), encoding="utf-8")
    except BaseException:
        for (
            path
        ) in written:  # a folder that holds something is not written to, and half of the grid is no grid
            path.unlink(missing_ok=True)
        raise
    return written


def record(row: Row, language: str, format: Format) -> dict[str, Any]:
    """A row in one answer format as plain values; what the format does not have is None.

    ``candidates`` are the entities of the answer's type, or the claims to choose among; ``label`` is "true" or
    "false" for a claim, and the number of the right candidate for a choice.
    """
    right = row.order.index(0)
    names = [row.candidates[chain] for chain in row.order]
    return {
        "item_id": row.item_id,
        "lang": language,
        "format": format,
        "hops": row.hops,
        "family": row.family,
        "context": row.context,
        "question": row.question if format == "question" else None,
        "claim": row.claim if format == "claim" else None,
        "answer": row.candidates[0] if format == "question" else None,
        "answer_start": row.start if format == "question" else None,
        "label": {"claim": row.label, "choice": str(right), "question": None}[format],
        "candidates": list(row.choices) if format == "choice" else names,
        "supporting": list(row.supporting),
    }


def _write_lines(records: Iterable[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in records)


def _write_parquet(records: Iterable[dict[str, Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    text, number = pyarrow.string(), pyarrow.int32()
    # Given explicitly: a column that is empty in one format has to keep its type when formats are read together.
    types = {
        **dict.fromkeys(("item_id", "lang", "format"), text),
        "hops": number,
        **dict.fromkeys(("family", "context", "question", "claim", "answer"), text),
        "answer_start": number,
        "label": text,
        "candidates": pyarrow.list_(text),
        "supporting": pyarrow.list_(number),
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records), pyarrow.schema(types)), path)


def _squad(cell: Iterable[Row]) -> dict[str, Any]:
    worlds: dict[str, list[Row]] = {}
    for row in cell:
        worlds.setdefault(row.cluster_id, []).append(row)
    articles = [
        {
            "title": name,
            "paragraphs": [
                {
                    "context": asked[0].context,
                    "qas": [
                        {
                            "id": row.item_id,
                            "question": row.question,
                            "answers": [{"text": row.candidates[0], "answer_start": row.start}],
                        }
                        for row in asked
                    ],
                }
            ],
        }
        for name, asked in worlds.items()
    ]
    return {"version": f"xhops-{VERSION}", "data": articles}


def _configurations(formats: Sequence[Format], splits: Sequence[Split]) -> str:
    """The card's header, in which ``datasets`` looks up files and configurations."""

    def lines() -> Iterator[str]:
        yield from ("---", "pretty_name: xhops", "configs:")
        for name in ("all", *formats):
            yield f"- config_name: {name}"
            if name == "all":
                yield "  default: true"
            yield "  data_files:"
            for split in splits:
                yield f"  - split: {split}"
                yield f'    path: "{"*" if name == "all" else name}-{split}.parquet"'
        yield "---"

    return "\n".join(lines()) + "\n"


def _card(
    settings: str,
    formats: Sequence[Format],
    hops: Sequence[Hops],
    languages: Sequence[str],
    counts: Mapping[Split, int],
) -> str:
    sizes = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    return f"""# xhops {VERSION}

The same generated facts as claims to judge, as questions to answer from the text, and as claims to choose among, at
one, two and three hops, parallel in many languages: answer format x number of hops x language, all else equal.

- Formats: {", ".join(formats)}. Hops: {", ".join(map(str, hops))}.
- Languages of the test split: {" ".join(languages)}. Train and dev are English.
- Rows of each format: {sizes}.
- Made with: {settings}. The same version and settings give the same rows, character by character.

## How it was made

A context states a few chains of facts, one link a sentence, shuffled: an office is in a company, the company in a city,
the city in a country. Names are drawn at random, so knowing the world does not help. One hop asks for a stated
link; two and three hops ask for what follows from several links. The family `founding` ends its chains in years and
asks for the oldest or the newest city, or what is in it. All formats of an `item_id` ask about the same fact, and all
hops of a world read the same context. Chains that are not asked about have the same shape. A false claim names
another entity of the context. Pairs of names that share a context in one split never do in another.

Sentences come from patterns written for each language such that names never inflect, each translated back word by
word. No native speaker has corrected them. An automatic solver answers every item.

## Columns

`item_id` (equal in all languages and formats), `lang`, `format`, `hops`, `family`, `context`, `question`, `claim`,
`answer` and `answer_start` (code points into the context; the entity may occur a second time), `label` (claim: true or
false; choice: number of the right candidate), `candidates` (entities of the answer's type in the context; for a
choice the claims), `supporting` (numbers of the sentences that are needed, from 0). What a format does not have is
empty. SQuAD files hold the questions in SQuAD v1.1's layout.

## Limits

Few names, one pattern for each relation, and a controlled vocabulary: scores tell how a model combines stated facts
across languages, not how well it reads the language. Carrier words ("the city", "by the name") make some sentences
stiffer than usual. The number of candidates fixes the level of chance. A reader of all chains of `founding` who does
not read the question can rule out the chains in the middle.

## Licence

Patterns and generated text: Apache-2.0, as xeval. Names of cities, countries and languages: Unicode CLDR, copyright
Unicode, Inc., Unicode License v3 (https://www.unicode.org/license.txt). Names of persons, dogs and companies are
common names and words.
"""
