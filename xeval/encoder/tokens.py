"""Texts to token sequences. Each distinct text is tokenised once; sequences are assembled from the pieces.

Assembling here, rather than asking the tokenizer for every pair, lets one context serve several questions,
and gives training and evaluation one definition of truncation and windows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeval.errors import CheckpointError

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

    def pieces(self, texts: Iterable[str]) -> dict[str, Pieces]:
        """Tokenise each distinct text once, without special tokens and without truncation."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        encoded = self.tokenizer(
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
        """
        encoded = self.tokenizer(
            [list(words) for words in sentences],
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


def _read_template(tokenizer: Any) -> Template:
    single = tokenizer("a")
    pair = tokenizer("a", "a", return_token_type_ids=True)
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
