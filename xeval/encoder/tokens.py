"""Texts to token sequences. Each distinct text is tokenised once; sequences are assembled from the pieces.

Assembling here, rather than asking the tokenizer for every pair, lets one context serve several questions,
and gives training and evaluation one definition of truncation and windows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeval.digests import file_digest
from xeval.errors import CheckpointError
from xeval.failures import is_failure

Ids = NDArray[np.int32]
# How vocabularies write the start of a word: SentencePiece, and byte-level BPE.
_BOUNDARIES = ("▁", "Ġ")


@dataclass(frozen=True)
class Pieces:
    """Token ids of one text without special tokens, and their (start, end) character offsets [tokens, 2]."""

    ids: Ids
    offsets: Ids


@dataclass(frozen=True)
class Template:
    """Where a tokenizer puts its special tokens and segment numbers, read off two probe texts."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    single_suffix: tuple[int, ...]
    second_type: int
    suffix_type: int

    @property
    def pair_overhead(self) -> int:
        """Number of special tokens around a pair."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)

    @property
    def single_overhead(self) -> int:
        """Number of special tokens around a single text."""
        return len(self.prefix) + len(self.single_suffix)


class TextEncoder:
    """A fast tokenizer with the special-token layout made explicit."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.unknown_id: int | None = tokenizer.unk_token_id
        self.uses_types: bool = "token_type_ids" in tokenizer.model_input_names
        self.template = _read_template(tokenizer)
        self.boundary_ids: frozenset[int] = _read_boundaries(tokenizer)
        """Pieces that mark the start of a word and hold none of its characters; none in WordPiece."""
        self._before_word = _read_word_start(tokenizer)

    def pieces(self, texts: Iterable[str]) -> dict[str, Pieces]:
        """Tokenise each distinct text once, without special tokens and without truncation."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        encoded = _call(
            self.tokenizer,
            distinct,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return {
            text: Pieces(np.asarray(ids, np.int32), np.asarray(offsets, np.int32).reshape(-1, 2))
            for text, ids, offsets in zip(
                distinct, encoded["input_ids"], encoded["offset_mapping"], strict=True
            )
        }

    def word_pieces(self, sentences: Sequence[Sequence[str]]) -> list[list[Ids]]:
        """Pieces of every word of pre-cut sentences; a word that has none becomes the unknown token.

        A boundary piece alone counts as none: fast tokenizers put one before words that their normalisation
        empties (U+200B), where SentencePiece itself gives no piece, and XTREME then the unknown token.

        Words get the pieces that they have in running text. Vocabularies that mark the space before a word, and add
        none to a text (byte-level BPE with ``add_prefix_space`` false, Gemma's), thus mark all words but the first.

        Raises:
            CheckpointError: the tokenizer cuts running text in another way than its words, with and without a space.
        """
        before = self._before_word
        if before is None:
            raise CheckpointError(
                "the tokenizer does not cut running text at words, so that single words cannot be tagged as it reads "
                "them; use a checkpoint with another tokenizer."
            )
        encoded = _call(
            self.tokenizer,
            [
                [word if number == 0 else before + word for number, word in enumerate(words)]
                for words in sentences
            ],
            is_split_into_words=True,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [
            self._split_words(encoded["input_ids"][row], encoded.word_ids(row), len(words))
            for row, words in enumerate(sentences)
        ]

    def _split_words(self, ids: list[int], word_of: list[int | None], count: int) -> list[Ids]:
        words: list[list[int]] = [[] for _ in range(count)]
        for piece, word in zip(ids, word_of, strict=True):
            if word is not None:
                words[word].append(piece)
        return [np.asarray(self._or_unknown(pieces), np.int32) for pieces in words]

    def _or_unknown(self, pieces: list[int]) -> list[int]:
        if not self.boundary_ids.issuperset(pieces):
            return pieces
        if self.unknown_id is None:
            raise CheckpointError(
                "the tokenizer gives a word no piece and has no unknown token to stand for it."
            )
        return [self.unknown_id]

    def single(self, first: Ids, max_length: int) -> tuple[Ids, Ids]:
        """One text with special tokens, cut at ``max_length``; gives ids and segment numbers."""
        template = self.template
        kept = first[: max(0, max_length - template.single_overhead)]
        ids = np.concatenate([_ids(template.prefix), kept, _ids(template.single_suffix)])
        return ids, np.zeros(len(ids), np.int32)

    def pair(self, first: Ids, second: Ids, max_length: int) -> tuple[Ids, Ids]:
        """Two texts with special tokens, the longer cut first; gives ids and segment numbers."""
        template = self.template
        keep_first, keep_second = longest_first(len(first), len(second), max_length - template.pair_overhead)
        first, second = first[:keep_first], second[:keep_second]
        ids = np.concatenate(
            [_ids(template.prefix), first, _ids(template.middle), second, _ids(template.suffix)]
        )
        types = np.zeros(len(ids), np.int32)
        boundary = len(template.prefix) + len(first) + len(template.middle)
        types[boundary : boundary + len(second)] = template.second_type
        types[boundary + len(second) :] = template.suffix_type
        return ids, types


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths after cutting the longer text until both fit in ``room`` tokens together."""
    if first + second <= room:
        return first, second
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return (shorter, longer) if first <= second else (longer, shorter)


def _ids(values: tuple[int, ...]) -> Ids:
    return np.asarray(values, np.int32)


def _read_boundaries(tokenizer: Any) -> frozenset[int]:
    """Ids of the boundary marks that the vocabulary has as pieces."""
    numbers = zip(_BOUNDARIES, tokenizer.convert_tokens_to_ids(list(_BOUNDARIES)), strict=True)
    return frozenset(
        number
        for mark, number in numbers
        # A vocabulary without the mark answers with the unknown token, and Ġ is also a letter of Maltese.
        if number is not None
        and tokenizer.convert_ids_to_tokens(number) == mark
        and tokenizer.decode([number]).strip() in ("", "▁")
    )


def marks_inner_words(folder: Path) -> bool:
    """Whether ``word_pieces`` puts a space before words, told from the files of a tokenizer, without transformers.

    Units of tagging name it among their settings where it is so, because they were once computed without the space.
    """
    file = folder / "tokenizer.json"
    if not file.exists():
        return (
            folder / "merges.txt"
        ).exists()  # byte-level BPE, which transformers builds without a prefix space
    return _marks_inner_words(file, file_digest(file))


@cache
def _marks_inner_words(file: Path, _digest: str) -> bool:
    content = file.read_bytes()
    # A quick look, since vocabularies can be large: Metaspace and WordPiece mark every word, or none.
    if b'"Metaspace"' in content or b'"WordPiece"' in content:
        return False
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        found = _space_before_words(
            tokenizer.encode("a a", add_special_tokens=False).ids,
            lambda words: tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False).ids,
        )
    except BaseException as error:
        if not is_failure(error):
            raise
        return False  # loading the tokenizer says what is wrong with it
    return found == " "


def _read_word_start(tokenizer: Any) -> str | None:
    def apart(words: list[str]) -> list[int]:
        encoded = _call(tokenizer, [words], is_split_into_words=True, add_special_tokens=False)
        ids: list[int] = encoded["input_ids"][0]
        return ids

    return _space_before_words(_call(tokenizer, "a a", add_special_tokens=False)["input_ids"], apart)


def _space_before_words(running: list[int], apart: Callable[[list[str]], list[int]]) -> str | None:
    """What has to stand before a word that is given alone to get its pieces in running text; None: nothing helps.

    Args:
        running: the pieces of "a a".
        apart: gives the pieces of words that are given one by one.
    """
    return next((before for before in ("", " ") if apart(["a", f"{before}a"]) == running), None)


def _call(tokenizer: Any, *texts: Any, **options: Any) -> Any:
    """What the tokenizer gives; written in Rust, it raises plain exceptions, and panics."""
    try:
        return tokenizer(*texts, **options)
    except BaseException as error:
        if not is_failure(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"the tokenizer fails ({type(error).__name__}: {reason}); load its files from their source again."
        ) from error


def _read_template(tokenizer: Any) -> Template:
    single = _call(tokenizer, "a")
    pair = _call(tokenizer, "a", "a", return_token_type_ids=True)
    ids, parts, types = pair["input_ids"], pair.sequence_ids(0), pair["token_type_ids"]
    first = [i for i, part in enumerate(parts) if part == 0]
    second = [i for i, part in enumerate(parts) if part == 1]
    if not first or not second:
        raise CheckpointError("the tokenizer gives no token for the letter a; its vocabulary is unusable.")
    single_last = max(i for i, part in enumerate(single.sequence_ids(0)) if part == 0)
    return Template(
        prefix=tuple(ids[: first[0]]),
        middle=tuple(ids[first[-1] + 1 : second[0]]),
        suffix=tuple(ids[second[-1] + 1 :]),
        single_suffix=tuple(single["input_ids"][single_last + 1 :]),
        second_type=types[second[0]],
        suffix_type=types[-1],
    )
