"""Readers of tagged sentences: Universal Dependencies, Universal NER, PAN-X, XTREME's prepared files, CCGbank."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xeval.errors import DataError
from xeval.examples import Example, TaggedSentence
from xeval.languages import language as known_language
from xeval.sources.base import HUB, MissingDataError, no_data_root
from xeval.sources.files import files_digest
from xeval.sources.text import checked, numbered_lines

UPOS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)
NER_TYPES = ("PER", "LOC", "ORG")
NER_TAGS = ("O", *(f"{position}-{kind}" for kind in NER_TYPES for position in "BI"))
_ZERO_WIDTH_NON_JOINER = "\u200c"
_TREEBANK_FILE = re.compile(r"([a-z]+_[a-z0-9]+)-ud-")
_EMPTY_NODE = re.compile(r"\d+\.\d+")
# A leaf of CCGbank: (<L category POS POS word category-with-indices>)
_LEAF = re.compile(r"\(<L (\S+) \S+ \S+ (\S+) \S+>\)")
CCGBANK_SECTIONS = {"train": range(19), "dev": range(19, 22), "test": range(22, 25)}
_SPAN = re.compile(r"(\d+)-(\d+)")
# Which of several equally high words gives a written token its tag, best first: XTREME's conversion script,
# third_party/ud-conversion-tools/conllu_to_conll.py in google-research/xtreme at 838c13b.
_PRECEDENCE = {
    "es": "VERB AUX PRON ADP DET".split(),
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ".split(),
    "it": "VERB AUX ADV PRON ADP DET INTJ".split(),
}
_DEFAULT_PRECEDENCE = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT".split()


@dataclass
class _Block:
    """One sentence as it stands in a file."""

    line: int
    sent_id: str
    document: str
    rows: list[tuple[int, list[str]]]


@dataclass(frozen=True)
class _Token:
    """A written token: its form, and the rows of its syntactic words (one, unless it is a contraction)."""

    form: str
    words: range


@dataclass(frozen=True)
class _Sentence:
    """The syntactic words of a CoNLL-U sentence, row by row, and the written tokens that they make up."""

    lines: list[int]
    rows: list[list[str]]
    tokens: list[_Token]


def read_conllu(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """Universal POS tags of written tokens, as XTREME cuts them; all treebanks of a language read together.

    A written token that stands for several syntactic words (a CoNLL-U line 1-2: French "du", German "zum") is
    one word here, with one tag: that of the syntactic word with the fewest ancestors, where basic and enhanced
    dependencies count alike; among several of them a fixed order of tags decides, then the first word. XTREME's
    script breaks off where it needs the rank of a tag that the order of the language lacks (SYM; NOUN in
    Spanish); such tags come last here. Empty nodes (8.1) are passed over.

    As in XTREME, spaces and U+200C inside a word are removed, and sentences are left out in which all words, or
    all but one, are the "_" of treebanks that may not publish their text (French FTB). For equal numbers the
    treebanks must be those of UD 2.5 (2.7 for lt pl ro uk wo); later ones have other sentences and tokens.

    Ids are ``{lang}_{treebank}:{sent_id}``; the cluster is the document (``newdoc``) where the file tells.
    The PUD treebanks are translations of each other: their ids are ``pud:{sent_id}`` in every language, and
    the cluster is the document that the first six characters of the id name.

    Raises:
        DataError: a line that is not CoNLL-U, or a tag that is not one of the 17.
    """
    examples = []
    for path in paths:
        for block in _blocks(path):
            sentence = _conllu_sentence(path, block)
            forms = [token.form.strip() for token in sentence.tokens]
            if not 0 < forms.count("_") >= len(forms) - 1:
                heads = [_head_of_token(path, sentence, token, language) for token in sentence.tokens]
                tags = [sentence.rows[head][3] for head in heads]
                examples.append(_tagged(path, block, [_without_spaces(form) for form in forms], tags))
    return checked(examples, paths)


def read_conllu_words(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """Universal POS tags of the treebanks' own units, the syntactic words: French "du" is "de" and "le".

    Ids, clusters, removed characters and errors are those of ``read_conllu``; only sentences without any text
    are left out.
    """
    examples = []
    for path in paths:
        for block in _blocks(path):
            rows = _conllu_sentence(path, block).rows
            if any(row[1] != "_" for row in rows):
                words = [_without_spaces(row[1]) for row in rows]
                examples.append(_tagged(path, block, words, [row[3] for row in rows]))
    return checked(examples, paths)


def read_universal_ner(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """Universal NER ``*.iob2``: id, word, IOB2 tag, and two columns about annotators.

    Scored are the benchmark's three types PER, LOC and ORG; the fourth of Serbian (OTH) is read as O. Ids and
    clusters are as in ``read_conllu``; annotation batches (``batch-0000``) are no documents.
    """
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
                words.append(_without_spaces(cells[1]))
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


def read_supertags(paths: Sequence[Path], language: str) -> list[TaggedSentence]:
    """CCG supertags: CCGbank's own ``wsj_0001.auto``, or files derived from it, as jiant reads them.

    A derived file (``ccg.train``) has one sentence a line: its words joined by spaces, a tab, and as many tags
    joined by spaces, which may be categories or numbers that stand for them. Of ``.auto`` files, leaves are read.

    Raises:
        DataError: a line of another form, or not as many tags as words.
    """
    examples: list[TaggedSentence] = []
    for path in paths:
        if path.suffix == ".auto":
            examples += _derivations(path)
            continue
        for line, text in numbered_lines(path):
            cells = text.strip().split("\t")
            words, tags = cells[0].split(" "), cells[-1].split()
            if len(cells) != 2 or len(words) != len(tags):
                raise DataError(
                    f"{path}, line {line}: words with spaces between, a tab and as many tags are needed; these are "
                    f"{len(cells)} columns, {len(words)} words and {len(tags)} tags."
                )
            item = f"line-{line}"
            examples.append(TaggedSentence(item, item, tuple(words), tuple(tags)))
    return checked(examples, paths)


@dataclass(frozen=True)
class CcgbankSource:
    """CCGbank 1.1 as the LDC delivers it (LDC2005T13): ``data/AUTO/00/wsj_0001.auto`` and so on.

    Sections 00 to 18 are train, 19 to 21 dev and 22 to 24 test, as in jiant; parsers of the time trained on 02 to
    21 instead.

    Attributes:
        folders: where ``data/AUTO`` may lie below the data root; the first that has the split counts.
    """

    folders: tuple[str, ...]

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of a split's sections, in their order.

        Raises:
            MissingDataError: there are none, or the language is not English.
            DataError: no data root is given.
        """
        if root is None:
            raise no_data_root(self.folders[0])
        sections = CCGBANK_SECTIONS.get(split, range(0)) if language == "en" and root != HUB else range(0)
        for folder in self.folders:
            found = [
                path
                for number in sections
                for path in sorted((root / folder).glob(f"{number:02}/wsj_*.auto"))
            ]
            if found:
                return tuple(found)
        tried = [f"{folder}/{sections[0]:02}/wsj_*.auto" for folder in self.folders if sections]
        raise MissingDataError(known_language(language).name, split, root, tried)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the files' names and contents, and of what is taken from them."""
        return files_digest(self.files(root, language, split), language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The sentences of a split."""
        return list(read_supertags(self.files(root, language, split), language))


def _derivations(path: Path) -> Iterator[TaggedSentence]:
    """The sentences of an ``.auto`` file: a line ``ID=wsj_0001.1 PARSER=GOLD ...`` and then the derivation."""
    item = ""
    for line, text in numbered_lines(path):
        if text.startswith("ID="):
            item = text.removeprefix("ID=").split()[0]
        elif text.strip():
            leaves = _LEAF.findall(text)
            if not item or not leaves or len(leaves) != text.count("(<L "):
                raise DataError(f"{path}, line {line}: no derivation of CCGbank after a line with its ID.")
            tags, words = zip(*leaves, strict=True)
            yield TaggedSentence(item, item, words, tags)
            item = ""


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


def _conllu_sentence(path: Path, block: _Block) -> _Sentence:
    """Check the lines of a sentence and put its words into written tokens."""
    sentence = _Sentence([], [], [])
    for line, cells in block.rows:
        if len(cells) != 10:
            raise DataError(f"{path}, line {line}: {len(cells)} columns instead of CoNLL-U's 10.")
        if _EMPTY_NODE.fullmatch(cells[0]):
            continue
        due = len(sentence.rows) + 1
        open_token = sentence.tokens and sentence.tokens[-1].words.stop >= due
        if span := _SPAN.fullmatch(cells[0]):
            first, last = int(span[1]), int(span[2])
            if first != due or last < first or open_token:
                raise DataError(f"{path}, line {line}: token {cells[0]} where word {due} is due.")
            sentence.tokens.append(_Token(cells[1], range(first - 1, last)))
            continue
        _require_next(cells[0], due, path, line)
        if cells[3] not in UPOS:
            raise DataError(
                f"{path}, line {line}: {cells[3]!r} is no universal POS tag; "
                "a file without annotation cannot be scored."
            )
        if not open_token:
            sentence.tokens.append(_Token(cells[1], range(due - 1, due)))
        sentence.lines.append(line)
        sentence.rows.append(cells)
    if sentence.tokens and sentence.tokens[-1].words.stop > len(sentence.rows):
        raise DataError(f"{path}, line {block.line}: the sentence ends inside a token of several words.")
    return sentence


def _head_of_token(path: Path, sentence: _Sentence, token: _Token, language: str) -> int:
    """Row of the syntactic word whose tag stands for the token."""
    if len(token.words) == 1:
        return token.words[0]
    heads = [_heads(path, *numbered) for numbered in zip(sentence.lines, sentence.rows, strict=True)]
    order = _PRECEDENCE.get(language, _DEFAULT_PRECEDENCE)

    def height(row: int) -> tuple[int, int, int]:
        tag = sentence.rows[row][3]
        return _count_ancestors(row + 1, heads), order.index(tag) if tag in order else len(order), row

    return min(token.words, key=height)


def _heads(path: Path, line: int, cells: Sequence[str]) -> set[int]:
    """Numbers of the words that govern a word, 0 for the root; enhanced edges from empty nodes are left out."""
    enhanced = [] if cells[8] == "_" else [edge.partition(":")[0] for edge in cells[8].split("|")]
    if not cells[6].isdecimal():
        raise DataError(f"{path}, line {line}: {cells[6]!r} is no head; the tag of a contraction needs it.")
    return {int(cells[6]), *(int(head) for head in enhanced if head.isdecimal())}


def _count_ancestors(word: int, heads: Sequence[set[int]]) -> int:
    """How many words govern the word directly or indirectly, the root counted; cycles are allowed."""
    found: set[int] = set()
    waiting = [word]
    while waiting:
        number = waiting.pop()
        above = heads[number - 1] if 0 < number <= len(heads) else set()
        waiting += above - found
        found |= above
    return len(found - {word})


def _without_spaces(word: str) -> str:
    return word.replace(" ", "").replace(_ZERO_WIDTH_NON_JOINER, "")


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
