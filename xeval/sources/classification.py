"""Readers of text-pair classification: XNLI, MultiNLI, SNLI, ANLI, PAWS-X, QQP, ConjNLI, and machine translations.

Ids are those of the data set, so that items are parallel across languages where the data set is. Layouts that
leave them out (XTREME's prepared files, the hub's copies of XNLI) give ``row-1``, ``row-2`` and so on, which are
parallel too, but not with the ids of another layout: take one layout for all languages.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xeval.digests import text_digest
from xeval.errors import DataError
from xeval.examples import TextPair
from xeval.sources.parquet import parquet_rows
from xeval.sources.text import checked, first_line, json_rows, label_of, numbered_lines, text_of, tsv_rows

NLI_LABELS = {
    "entailment": "entailment",
    "neutral": "neutral",
    "contradiction": "contradiction",
    "contradictory": "contradiction",  # the machine-translated files of XNLI say so
}
PARAPHRASE_LABELS = {"0": "different", "1": "paraphrase"}
DUPLICATE_LABELS = {"0": "not_duplicate", "1": "duplicate"}
NO_LABEL = ("-", "-1")  # what SNLI's files and their Parquet form say where annotators have no majority
UNTRANSLATED = "NS"
NLI_CLASSES = ("entailment", "neutral", "contradiction")
DUPLICATE_CLASSES = ("not_duplicate", "duplicate")
HYPOTHESES_OF_A_PREMISE = 3
_ANLI_LABELS = {"e": "entailment", "n": "neutral", "c": "contradiction"}
_SNLI_CLASSES = {str(number): label for number, label in enumerate(NLI_CLASSES)}


def read_xnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """XNLI 1.0: ``xnli.test.tsv`` or ``.jsonl``, all languages in one file; or XTREME's ``dev-de.tsv``.

    The cluster is the premise (``promptID``), which has three hypotheses and is parallel in all languages. In
    files without ids they stand one after the other, so that every three rows are a cluster.
    """
    examples: list[TextPair] = []
    others: set[str] = set()
    for path in paths:
        if path.suffix == ".tsv" and not first_line(path).startswith("language\t"):
            examples += _in_threes(_xtreme_pairs(path, NLI_LABELS))
            continue
        for line, row in _nli_rows(path, ("language", "gold_label", "sentence1", "sentence2", *_NLI_IDS)):
            if (found := text_of(row, "language", path, line)) == language:
                examples.append(_nli_pair(row, path, line))
            else:
                others.add(found)
    if not examples and others:
        raise DataError(f"{paths[0]}: no {language!r} in it; it has {', '.join(sorted(others))}.")
    return checked(examples, paths)


def read_xnli_parquet(paths: Sequence[Path], language: str) -> list[TextPair]:
    """XNLI in its home on the hub: premise, hypothesis and label; a file a language, without ids."""
    columns = ("premise", "hypothesis", "label")
    examples: list[TextPair] = []
    for path in paths:
        for number, row in parquet_rows(path, columns, {"label": NLI_CLASSES}):
            examples.append(_pair_of(row, columns, len(examples), path, number))
    return checked(list(_in_threes(examples)), paths)


def read_xnli_parquet_of_xtreme(paths: Sequence[Path], language: str) -> list[TextPair]:
    """XNLI in the hub's copy of XTREME: all languages in one file, without ids.

    Quotation marks at the beginning of a text were taken for those of a spreadsheet when it was made.
    """
    columns = ("sentence1", "sentence2", "gold_label")
    examples: list[TextPair] = []
    for path in paths:
        for number, row in parquet_rows(path, ("language", *columns)):
            if row["language"] == language:
                examples.append(_pair_of(row, columns, len(examples), path, number))
    return checked(list(_in_threes(examples)), paths)


def read_mnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """MultiNLI 1.0 ``.jsonl``, ``.txt`` or Parquet, or XNLI-MT's ``multinli.train.en.tsv``, also as XTREME's
    ``train-en.tsv``.

    As everywhere in the field, items without a majority label ("-") are left out.
    """
    examples: list[TextPair] = []
    for path in paths:
        if path.suffix == ".parquet":
            for line, cells in parquet_rows(path, _MNLI_COLUMNS, {"label": NLI_CLASSES}):
                named = {"gold_label": "label", "sentence1": "premise", "sentence2": "hypothesis"}
                ids = {name: cells[name] for name in _NLI_IDS}
                renamed = {name: cells[column] for name, column in named.items()}
                examples.append(_nli_pair({**ids, **renamed}, path, line))
            continue
        if path.suffix == ".tsv" and not first_line(path).startswith(("premise\thypo\t", "gold_label\t")):
            examples += _xtreme_pairs(path, NLI_LABELS)
            continue
        if first_line(path).startswith("premise\thypo\tlabel"):
            for line, row in tsv_rows(path, ("premise", "hypo", "label")):
                label = label_of(row, "label", NLI_LABELS, path, line)
                item = f"{path.name}:{line}"
                texts = text_of(row, "premise", path, line), text_of(row, "hypo", path, line)
                examples.append(TextPair(item, item, *texts, label))
            continue
        for line, row in _nli_rows(path, ("gold_label", "sentence1", "sentence2", *_NLI_IDS)):
            if row.get("gold_label") != "-":
                examples.append(_nli_pair(row, path, line))
    return checked(examples, paths)


def read_pawsx(paths: Sequence[Path], language: str, *, keep_untranslated: bool = True) -> list[TextPair]:
    """PAWS-X ``x-final/{lang}/test_2k.tsv`` (id, sentence1, sentence2, label), its Parquet form, or XTREME's
    ``dev-de.tsv``.

    Some pairs could not be translated: a sentence is "NS" and the label 0 (68 of 2,000 in German dev, 32 in
    test). XTREME scores them and so do we by default, because published scores are over all 2,000;
    ``keep_untranslated=False`` leaves them out. Machine-translated training files may hold empty sentences,
    which are pairs of that kind too.
    """
    examples: list[TextPair] = []
    columns = ("id", "sentence1", "sentence2", "label")
    for path in paths:
        if path.suffix != ".parquet" and not first_line(path).startswith("id\t"):
            examples += _xtreme_pairs(path, PARAPHRASE_LABELS)
            continue
        rows = parquet_rows(path, columns) if path.suffix == ".parquet" else tsv_rows(path, columns)
        for line, row in rows:
            item = text_of(row, "id", path, line)
            label = label_of(row, "label", PARAPHRASE_LABELS, path, line)
            first, second = ((row[name] or "").strip() for name in ("sentence1", "sentence2"))
            if keep_untranslated or not {first, second} & {UNTRANSLATED, ""}:
                examples.append(TextPair(item, item, first, second, label))
    return checked(examples, paths)


def read_pawsx_parquet_of_xtreme(paths: Sequence[Path], language: str) -> list[TextPair]:
    """PAWS-X in the hub's copy of XTREME: sentence1, sentence2 and label, without ids.

    Rows whose quotation marks do not pair were lost or run together when it was made: 1,999 of 2,000 Korean
    test items and 49,175 of 49,401 English training items are left.
    """
    columns = ("sentence1", "sentence2", "label")
    examples: list[TextPair] = []
    for path in paths:
        for number, row in parquet_rows(path, columns):
            label = label_of(row, "label", PARAPHRASE_LABELS, path, number)
            item = f"row-{len(examples) + 1}"
            first, second = ((row[name] or "").strip() for name in columns[:2])
            examples.append(TextPair(item, item, first, second, label))
    return checked(examples, paths)


def read_conjnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """ConjNLI ``conj_dev.tsv`` and its training file (Premise, Hypothesis, Label); English."""
    examples = []
    for path in paths:
        for line, row in tsv_rows(path, ("Premise", "Hypothesis", "Label")):
            item = f"{path.name}:{line}"
            texts = text_of(row, "Premise", path, line), text_of(row, "Hypothesis", path, line)
            label = label_of(row, "Label", NLI_LABELS, path, line)
            examples.append(TextPair(item, item, *texts, label))
    return checked(examples, paths)


def read_snli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """SNLI 1.0 ``.jsonl``, ``.txt`` or Parquet, which all have the same rows in the same order.

    As everywhere in the field, pairs without a majority label are left out: 785 of 550,152 in train, 158 of 10,000
    in dev. Ids number the rows with those that are left out, so that they are the same in every layout.
    """
    examples: list[TextPair] = []
    number = 0
    for path in paths:
        hub = path.suffix == ".parquet"
        columns = ("premise", "hypothesis", "label") if hub else ("sentence1", "sentence2", "gold_label")
        names = {**(_SNLI_CLASSES if hub else NLI_LABELS), **dict.fromkeys(NO_LABEL, "")}
        for line, row in parquet_rows(path, columns) if hub else _nli_rows(path, columns):
            number += 1
            if label := label_of(row, columns[2], names, path, line):
                item = f"snli-{number}"
                texts = text_of(row, columns[0], path, line), text_of(row, columns[1], path, line)
                examples.append(TextPair(item, item, *texts, label))
    return checked(examples, paths)


def read_anli(paths: Sequence[Path], language: str, *, round_name: str) -> list[TextPair]:
    """One round (``r1``, ``r2`` or ``r3``) of Adversarial NLI: ``R1/train.jsonl`` of v1.0 or v0.1, or Parquet.

    Ids are those of the data set behind the round's name.
    """
    examples: list[TextPair] = []
    for path in paths:
        hub = path.suffix == ".parquet"
        columns = ("uid", "premise" if hub else "context", "hypothesis", "label")
        names = {label: label for label in NLI_CLASSES} if hub else _ANLI_LABELS
        for line, row in parquet_rows(path, columns, {"label": NLI_CLASSES}) if hub else json_rows(path):
            item = f"{round_name}-{text_of(row, 'uid', path, line)}"
            texts = text_of(row, columns[1], path, line), text_of(row, "hypothesis", path, line)
            examples.append(TextPair(item, item, *texts, label_of(row, "label", names, path, line)))
    return checked(examples, paths)


def read_qqp(paths: Sequence[Path], language: str) -> list[TextPair]:
    """Quora Question Pairs as GLUE has them: ``QQP/train.tsv`` and ``dev.tsv``, or Parquet.

    As in GLUE's loaders, lines that break off before the label are left out (3 of 363,849 in train). Ids number
    the rows with those, so that they are the same in both layouts. A question may be empty.
    """
    examples: list[TextPair] = []
    texts = ("question1", "question2")
    for path in paths:
        if path.suffix == ".parquet":
            columns = (*texts, "label", "idx")
            for _, row in parquet_rows(path, columns, {"label": DUPLICATE_CLASSES}):
                item = f"row-{int(row['idx']) + 1}"
                first, second = ((row[name] or "").strip() for name in texts)
                examples.append(TextPair(item, item, first, second, row["label"]))
            continue
        lines = numbered_lines(path)
        header = next(lines, (1, ""))[1].split("\t")
        for name in (*texts, "is_duplicate"):
            if name not in header:
                raise DataError(f"{path}: its header lacks the column {name!r}; it has {', '.join(header)}.")
        for line, text in lines:
            cells = dict(zip(header, text.split("\t"), strict=False))
            if cells.get("is_duplicate"):
                item = f"row-{line - 1}"
                label = label_of(cells, "is_duplicate", DUPLICATE_LABELS, path, line)
                first, second = (cells[name].strip() for name in texts)
                examples.append(TextPair(item, item, first, second, label))
    return checked(examples, paths)


def read_translated_mnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """XNLI-MT's ``multinli.train.de.tsv`` (premise, hypo, label), or what the hub's XNLI makes of it.

    The files of all languages have the same rows in the same order; ids are their numbers. A translation may be
    empty.
    """
    examples: list[TextPair] = []
    for path in paths:
        hub = path.suffix == ".parquet"
        columns = ("premise", "hypothesis" if hub else "hypo", "label")
        rows = parquet_rows(path, columns, {"label": NLI_CLASSES}) if hub else tsv_rows(path, columns)
        for line, row in rows:
            item = f"row-{len(examples) + 1}"
            first, second = ((row[name] or "").strip() for name in columns[:2])
            label = label_of(row, "label", NLI_LABELS, path, line)
            examples.append(TextPair(item, item, first, second, label))
    return checked(examples, paths)


def read_xtreme_translations(
    paths: Sequence[Path], language: str, *, labels: Mapping[str, str]
) -> list[TextPair]:
    """XTREME's ``translate-train/en-de-translated.tsv``: an English pair, the translated pair and the label.

    The files of different languages have the same pairs, but no ids: they are made of the English pair and of how
    often it has occurred in the file. English is read from the first of the files.
    """
    examples: list[TextPair] = []
    seen: Counter[str] = Counter()
    for path in paths[:1] if language == "en" else paths:
        for line, text in numbered_lines(path):
            cells = [cell.strip() for cell in text.split("\t")]
            if len(cells) != 5:
                raise DataError(
                    f"{path}, line {line}: {len(cells)} columns instead of 5 (English pair, translated pair, label)."
                )
            pair = text_digest(*cells[:2])[:16]
            seen[pair] += 1
            item = pair if seen[pair] == 1 else f"{pair}-{seen[pair]}"
            first, second = cells[:2] if language == "en" else cells[2:4]
            label = label_of({"label": cells[4]}, "label", labels, path, line)
            examples.append(TextPair(item, item, first, second, label))
    return checked(examples, paths)


_NLI_IDS = ("promptID", "pairID")
_MNLI_COLUMNS = ("premise", "hypothesis", "label", *_NLI_IDS)


def _nli_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    return json_rows(path) if path.suffix == ".jsonl" else tsv_rows(path, needed)


def _nli_pair(row: Mapping[str, Any], path: Path, line: int) -> TextPair:
    return TextPair(
        text_of(row, "pairID", path, line),
        text_of(row, "promptID", path, line),
        text_of(row, "sentence1", path, line),
        text_of(row, "sentence2", path, line),
        label_of(row, "gold_label", NLI_LABELS, path, line),
    )


def _pair_of(
    row: Mapping[str, Any], columns: tuple[str, str, str], earlier: int, path: Path, number: int
) -> TextPair:
    """A pair without ids: its id is the number of pairs before it plus one."""
    item = f"row-{earlier + 1}"
    texts = text_of(row, columns[0], path, number), text_of(row, columns[1], path, number)
    return TextPair(item, item, *texts, label_of(row, columns[2], NLI_LABELS, path, number))


def _in_threes(pairs: Iterable[TextPair]) -> Iterator[TextPair]:
    for number, pair in enumerate(pairs):
        yield replace(pair, cluster_id=f"premise-{number // HYPOTHESES_OF_A_PREMISE + 1}")


def _xtreme_pairs(path: Path, labels: Mapping[str, str]) -> Iterator[TextPair]:
    """XTREME's prepared files: no header, no ids, quoted as spreadsheets do, tests without labels."""
    lines = (line for _, line in numbered_lines(path))
    for number, cells in enumerate(_csv_cells(path, csv.reader(lines, delimiter="\t")), 1):
        if len(cells) == 2:
            raise DataError(
                f"{path}, row {number}: no label (XTREME's download script removes those of the test sets); "
                "put the data set's original file in its place."
            )
        if len(cells) != 3:
            raise DataError(f"{path}, row {number}: {len(cells)} columns instead of 3.")
        label = label_of({"label": cells[2]}, "label", labels, path, number)
        item = f"row-{number}"
        yield TextPair(item, item, cells[0].strip(), cells[1].strip(), label)


def _csv_cells(path: Path, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{path}: a quotation mark is never closed, or a text is too long ({error})."
        ) from None
