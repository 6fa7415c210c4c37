"""Readers of text-pair classification: XNLI, MultiNLI, PAWS-X, ConjNLI.

Ids are those of the data set, so that items are parallel across languages where the data set is.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xeval.errors import DataError
from xeval.examples import TextPair
from xeval.sources.text import checked, first_line, json_rows, label_of, numbered_lines, text_of, tsv_rows

NLI_LABELS = {
    "entailment": "entailment",
    "neutral": "neutral",
    "contradiction": "contradiction",
    "contradictory": "contradiction",  # the machine-translated files of XNLI say so
}
PARAPHRASE_LABELS = {"0": "different", "1": "paraphrase"}
UNTRANSLATED = "NS"


def read_xnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """XNLI 1.0: ``xnli.test.tsv`` or ``.jsonl``, all languages in one file; or XTREME's ``dev-de.tsv``.

    The cluster is the premise (``promptID``), which has three hypotheses and is parallel in all languages.
    """
    examples: list[TextPair] = []
    others: set[str] = set()
    for path in paths:
        if path.suffix == ".tsv" and not first_line(path).startswith("language\t"):
            examples += _xtreme_pairs(path, NLI_LABELS)
            continue
        for line, row in _nli_rows(path, ("language", "gold_label", "sentence1", "sentence2", *_NLI_IDS)):
            if (found := text_of(row, "language", path, line)) == language:
                examples.append(_nli_pair(row, path, line))
            else:
                others.add(found)
    if not examples and others:
        raise DataError(f"{paths[0]}: no {language!r} in it; it has {', '.join(sorted(others))}.")
    return checked(examples, paths)


def read_mnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """MultiNLI 1.0 ``.jsonl`` or ``.txt``, or XNLI-MT's ``multinli.train.en.tsv`` (premise, hypo, label).

    As everywhere in the field, items without a majority label ("-") are left out.
    """
    del language
    examples = []
    for path in paths:
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
    """PAWS-X ``x-final/{lang}/test_2k.tsv`` (id, sentence1, sentence2, label), or XTREME's ``dev-de.tsv``.

    Some pairs could not be translated: a sentence is "NS" and the label 0 (68 of 2,000 in German dev, 32 in
    test). XTREME scores them and so do we by default, because published scores are over all 2,000;
    ``keep_untranslated=False`` leaves them out. Machine-translated training files may hold empty sentences,
    which are pairs of that kind too.
    """
    del language
    examples: list[TextPair] = []
    for path in paths:
        if not first_line(path).startswith("id\t"):
            examples += _xtreme_pairs(path, PARAPHRASE_LABELS)
            continue
        for line, row in tsv_rows(path, ("id", "sentence1", "sentence2", "label")):
            item = text_of(row, "id", path, line)
            label = label_of(row, "label", PARAPHRASE_LABELS, path, line)
            first, second = row["sentence1"].strip(), row["sentence2"].strip()
            if keep_untranslated or not {first, second} & {UNTRANSLATED, ""}:
                examples.append(TextPair(item, item, first, second, label))
    return checked(examples, paths)


def read_conjnli(paths: Sequence[Path], language: str) -> list[TextPair]:
    """ConjNLI ``conj_dev.tsv`` and its training file (Premise, Hypothesis, Label); English."""
    del language
    examples = []
    for path in paths:
        for line, row in tsv_rows(path, ("Premise", "Hypothesis", "Label")):
            item = f"{path.name}:{line}"
            texts = text_of(row, "Premise", path, line), text_of(row, "Hypothesis", path, line)
            label = label_of(row, "Label", NLI_LABELS, path, line)
            examples.append(TextPair(item, item, *texts, label))
    return checked(examples, paths)


_NLI_IDS = ("promptID", "pairID")


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


def _xtreme_pairs(path: Path, labels: Mapping[str, str]) -> Iterator[TextPair]:
    """XTREME's prepared files: no header, no ids, quoted as spreadsheets do, tests without labels."""
    lines = (line for _, line in numbered_lines(path))
    for number, cells in enumerate(csv.reader(lines, delimiter="\t"), 1):
        if len(cells) == 2:
            raise DataError(
                f"{path}, row {number}: no label (XTREME's download script removes those of the test sets); "
                "put the data set's original file in its place."
            )
        if len(cells) != 3:
            raise DataError(f"{path}, row {number}: {len(cells)} columns instead of 3.")
        label = label_of({"label": cells[2]}, "label", labels, path, number)
        yield TextPair(str(number), str(number), cells[0].strip(), cells[1].strip(), label)
