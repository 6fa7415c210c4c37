"""Readers of tagged sentences: Universal Dependencies, Universal NER, PAN-X and XTREME's prepared files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xeval.errors import DataError
from xeval.examples import TaggedSentence
from xeval.sources.text import checked, numbered_lines

UPOS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)
NER_TYPES = ("PER", "LOC", "ORG")
_ZERO_WIDTH_NON_JOINER = "\u200c"
_TREEBANK_FILE = re.compile(r"([a-z]+_[a-z0-9]+)-ud-")


@dataclass
class _Block:
    """One sentence as it stands in a file."""

    line: int
    sent_id: str
    document: str
    rows: list[tuple[int, list[str]]]


def read_conllu(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """Universal POS tags of CoNLL-U files; all treebanks of a language are read together.

    Words are the syntactic words of the treebank (integer ids): French "du" is two words, "de" and "le". The
    lines of multi-word tokens (1-2) and empty nodes (8.1) are passed over. XTREME instead fuses such words to
    the written token and keeps the tag of the word that is highest in the tree; its scores therefore count
    somewhat fewer tokens in treebanks with contractions. As in XTREME, spaces and U+200C inside a word are
    removed, and sentences without text ("_" for every word, as in the French FTB) are left out.

    Ids are ``{lang}_{treebank}:{sent_id}``; the cluster is the document (``newdoc``) where the file tells.
    The PUD treebanks are translations of each other: their ids are ``pud:{sent_id}`` in every language, and
    the cluster is the document that the first six characters of the id name.

    Raises:
        DataError: a line that is not CoNLL-U, or a tag that is not one of the 17.
    """
    del language
    examples = []
    for path in paths:
        for block in _blocks(path):
            words: list[str] = []
            tags: list[str] = []
            for line, cells in block.rows:
                if len(cells) != 10:
                    raise DataError(f"{path}, line {line}: {len(cells)} columns instead of CoNLL-U's 10.")
                if not cells[0].isdecimal():
                    continue
                _require_next(cells[0], len(words) + 1, path, line)
                if cells[3] not in UPOS:
                    raise DataError(
                        f"{path}, line {line}: {cells[3]!r} is no universal POS tag; "
                        "a file without annotation cannot be scored."
                    )
                words.append(cells[1].replace(" ", "").replace(_ZERO_WIDTH_NON_JOINER, ""))
                tags.append(cells[3])
            if set(words) != {"_"}:
                examples.append(_tagged(path, block, words, tags))
    return checked(examples, paths)


def read_universal_ner(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """Universal NER ``*.iob2``: id, word, IOB2 tag, and two columns about annotators.

    Scored are the benchmark's three types PER, LOC and ORG; the fourth of Serbian (OTH) is read as O. Ids and
    clusters are as in ``read_conllu``; annotation batches (``batch-0000``) are no documents.
    """
    del language
    examples = []
    for path in paths:
        for block in _blocks(path):
            words: list[str] = []
            tags: list[str] = []
            for line, cells in block.rows:
                if len(cells) < 3:
                    raise DataError(
                        f"{path}, line {line}: {len(cells)} columns; id, word and tag are needed."
                    )
                _require_next(cells[0], len(words) + 1, path, line)
                words.append(cells[1].replace(" ", "").replace(_ZERO_WIDTH_NON_JOINER, ""))
                tags.append(_entity_tag(cells[2], path, line))
            examples.append(_tagged(path, block, words, tags))
    return checked(examples, paths)


def read_word_tags(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """A word, a tab and a tag in a line, a blank line between sentences: PAN-X, and XTREME's prepared files.

    PAN-X's original files put the language before every word ("de:Berlin"); that prefix is cut. Ids are the
    running numbers of the sentences, which are not parallel, so the language is part of them.

    Raises:
        DataError: a line without a tag, as in the test files that XTREME's script makes.
    """
    examples: list[TaggedSentence] = []
    prefix = f"{language}:"
    for path in paths:
        for block in _blocks(path, comments=False):
            words, tags = [], []
            for line, cells in block.rows:
                if len(cells) != 2 or not cells[1].strip():
                    raise DataError(
                        f"{path}, line {line}: a word, a tab and a tag are needed (XTREME's download script "
                        "removes the tags of the test sets; put the data set's original file in its place)."
                    )
                words.append(cells[0].strip())
                tags.append(cells[1].strip())
            if all(word.startswith(prefix) for word in words):
                words = [word.removeprefix(prefix).strip() for word in words]
            item = f"{language}-{len(examples) + 1}"
            examples.append(TaggedSentence(item, item, tuple(words), tuple(tags)))
    return checked(examples, paths)


def _blocks(path: Path, *, comments: bool = True) -> Iterator[_Block]:
    """Sentences: runs of lines between blank lines, with what the comments say about them."""
    document, documents, number = "", 0, 0
    block = _Block(0, "", "", [])
    for line, text in [*numbered_lines(path), (0, "")]:
        if text.strip():
            if comments and text.startswith("#"):
                key, _, value = (part.strip() for part in text[1:].partition("="))
                if key == "sent_id":
                    block.sent_id = value
                elif key in ("newdoc", "newdoc id"):
                    documents += 1
                    document = value or str(documents)
            else:
                block.rows.append((line, text.split("\t")))
        elif block.rows:
            number += 1
            yield _Block(block.rows[0][0], block.sent_id or str(number), document, block.rows)
            block = _Block(0, "", "", [])


def _require_next(cell: str, number: int, path: Path, line: int) -> None:
    if cell != str(number):
        raise DataError(f"{path}, line {line}: word {cell} where word {number} is due; a line is missing.")


def _tagged(path: Path, block: _Block, words: Sequence[str], tags: Sequence[str]) -> TaggedSentence:
    if not words:
        raise DataError(f"{path}, line {block.line}: a sentence without words.")
    match = _TREEBANK_FILE.match(path.name)
    treebank = match[1] if match else path.stem
    if treebank.endswith("_pud"):
        treebank = "pud"
    item = f"{treebank}:{block.sent_id}"
    if treebank == "pud":
        cluster = f"pud:{block.sent_id[:6]}"
    elif block.document and not block.document.startswith("batch-"):
        cluster = f"{treebank}:{block.document}"
    else:
        cluster = item
    return TaggedSentence(item, cluster, tuple(words), tuple(tags))


def _entity_tag(tag: str, path: Path, line: int) -> str:
    position, _, kind = tag.partition("-")
    if tag != "O" and (position not in ("B", "I") or not kind):
        raise DataError(f"{path}, line {line}: {tag!r} is no IOB2 tag.")
    return tag if kind in NER_TYPES else "O"
