"""Assembled sequences equal what the tokenizer itself would build."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from xeval.encoder.tokens import TextEncoder, longest_first, marks_inner_words
from xeval.errors import CheckpointError

TEXTS = [
    "Anna works in Berlin.",
    "安娜在柏林工作。",
    "",
    "a " * 60,
    "  two  spaces\tand tab ",
    "Wo wohnt sie?",
]


@pytest.mark.parametrize("max_length", [8, 12, 40, 512])
def test_pairs_and_singles_equal_the_tokenizers_own(tiny_tokenizer: Any, max_length: int) -> None:
    encoder = TextEncoder(tiny_tokenizer)
    pieces = encoder.pieces(TEXTS)
    for first in TEXTS:
        ours, _ = encoder.single(pieces[first].ids, max_length)
        assert ours.tolist() == tiny_tokenizer(first, truncation=True, max_length=max_length)["input_ids"]
        for second in filter(None, TEXTS):  # the tokenizer takes an empty second text for none
            ours, types = encoder.pair(pieces[first].ids, pieces[second].ids, max_length)
            theirs = tiny_tokenizer(
                first,
                second,
                truncation="longest_first",
                max_length=max_length,
                return_token_type_ids=True,
            )
            assert ours.tolist() == theirs["input_ids"]
            assert types.tolist() == theirs["token_type_ids"]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_longest_first_fills_the_room(first: int, second: int, room: int) -> None:
    kept_first, kept_second = longest_first(first, second, room)
    assert kept_first <= first
    assert kept_second <= second
    assert kept_first + kept_second == min(room, first + second)
    if kept_first < first and kept_second < second:
        assert abs(kept_first - kept_second) <= 1


def test_each_distinct_text_is_tokenised_once(tiny_tokenizer: Any) -> None:
    class Counting:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(tiny_tokenizer, name)

        def __call__(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            self.texts.extend(texts if isinstance(texts, list) else [texts])
            return tiny_tokenizer(texts, *args, **kwargs)

    counting = Counting()
    encoder = TextEncoder(counting)
    counting.texts.clear()
    encoder.pieces(["one", "two", "one", "one"])
    assert counting.texts == ["one", "two"]


def test_words_without_pieces_become_the_unknown_token(tiny_tokenizer: Any) -> None:
    encoder = TextEncoder(tiny_tokenizer)
    (words,) = encoder.word_pieces([["Anna", "\u00ad", "", "Berlin"]])
    assert len(words) == 4
    assert all(len(pieces) for pieces in words)
    assert words[2].tolist() == [tiny_tokenizer.unk_token_id]


def test_a_boundary_piece_alone_becomes_the_unknown_token(tiny_tokenizer: Any) -> None:
    """U+200B: fast tokenizers of XLM-R give a bare boundary piece, SentencePiece and so XTREME give none."""

    class Emptying:
        """Normalises like XLM-R's tokenizer, which drops U+200B and keeps the boundary mark."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tiny_tokenizer, name)

        def __call__(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("is_split_into_words"):
                texts = [["▁" if word == "\u200b" else word for word in words] for words in texts]
            return tiny_tokenizer(texts, *args, **kwargs)

    (words,) = TextEncoder(Emptying()).word_pieces([["Anna", "\u200b", "Berlin"]])
    assert words[1].tolist() == [tiny_tokenizer.unk_token_id]
    (others,) = TextEncoder(tiny_tokenizer).word_pieces([["Anna", "Berlin"]])
    assert [words[0].tolist(), words[2].tolist()] == [pieces.tolist() for pieces in others]


@pytest.mark.parametrize(
    ("vocabulary", "decoder", "boundary"),
    [
        ({"<unk>": 0, "a": 1, "▁": 2, "▁a": 3}, decoders.Metaspace(), {2}),
        ({"<unk>": 0, "a": 1, "Ġ": 2, "Ġa": 3}, decoders.ByteLevel(), {2}),
        ({"<unk>": 0, "a": 1, "Ġ": 2, "##a": 3}, decoders.WordPiece(), set()),  # a letter of Maltese
        ({"<unk>": 0, "a": 1}, decoders.Metaspace(), set()),
    ],
)
def test_boundary_pieces_of_vocabularies(
    vocabulary: dict[str, int], decoder: Any, boundary: set[int]
) -> None:
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.decoder = decoder
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert TextEncoder(fast).boundary_ids == boundary


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["Anna", "arbeitet", "город", "柏林", "!", "x1"]), min_size=1, max_size=8))
def test_word_pieces_follow_the_words(tiny_tokenizer: Any, words: list[str]) -> None:
    encoder = TextEncoder(tiny_tokenizer)
    (pieces,) = encoder.word_pieces([words])
    whole = tiny_tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert np.concatenate(pieces).tolist() == whole


def trained(pre_tokenizer: Any, normalizer: Any = None) -> PreTrainedTokenizerFast:
    """A tiny vocabulary of its own for a way of cutting text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<unk>"],
        show_progress=False,
        initial_alphabet=[*pre_tokenizers.ByteLevel.alphabet(), "▁"],
    )
    tokenizer.train_from_iterator(["Die Katze sitzt auf der Matte."] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


QWEN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@pytest.mark.parametrize(
    ("tokenizer", "spaced"),
    [
        pytest.param(trained(pre_tokenizers.ByteLevel(add_prefix_space=False)), True, id="ModernBERT"),
        pytest.param(trained(pre_tokenizers.ByteLevel(add_prefix_space=True)), False, id="prefix space"),
        pytest.param(
            trained(
                pre_tokenizers.Sequence(
                    [
                        pre_tokenizers.Split(Regex(QWEN), "isolated"),
                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                    ]
                )
            ),
            True,
            id="Qwen",
        ),
        pytest.param(trained(pre_tokenizers.Metaspace()), False, id="XLM-R"),
        pytest.param(
            trained(pre_tokenizers.Split("▁", "merged_with_next"), normalizers.Replace(" ", "▁")),
            True,
            id="Gemma",
        ),
        pytest.param(trained(pre_tokenizers.BertPreTokenizer()), False, id="BERT"),
    ],
)
def test_words_have_the_pieces_that_they_have_in_running_text(
    tokenizer: PreTrainedTokenizerFast, spaced: bool, tmp_path: Path
) -> None:
    words = ["Die", "Katze", "sitzt", "2", "Matten", "."]
    (pieces,) = TextEncoder(tokenizer).word_pieces([words])
    assert np.concatenate(pieces).tolist() == tokenizer(" ".join(words))["input_ids"]
    assert [tokenizer.decode(piece).strip(" ▁") for piece in pieces] == words
    tokenizer.save_pretrained(tmp_path)
    assert marks_inner_words(tmp_path) == spaced


def test_a_tokenizer_that_cannot_read_words_as_running_text_is_refused_for_tagging_alone() -> None:
    joined = Tokenizer(models.BPE({"<unk>": 0, "a": 1, " ": 2, "a ": 3}, [("a", " ")], unk_token="<unk>"))
    encoder = TextEncoder(PreTrainedTokenizerFast(tokenizer_object=joined, unk_token="<unk>"))
    assert encoder.pieces(["a a"])["a a"].ids.tolist() == [3, 1]
    with pytest.raises(CheckpointError, match="does not cut running text at words"):
        encoder.word_pieces([["a", "a"]])


@pytest.mark.parametrize(
    "failure", [Exception("no entry found for key"), type("PanicException", (BaseException,), {})()]
)
def test_a_tokenizer_that_fails_or_panics_is_one_sentence(
    tiny_tokenizer: Any, failure: BaseException
) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(tiny_tokenizer, name)

        def __call__(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            if texts == ["x"]:
                raise failure
            return tiny_tokenizer(texts, *args, **kwargs)

    encoder = TextEncoder(Failing())
    with pytest.raises(
        CheckpointError, match=rf"the tokenizer fails \({type(failure).__name__}: .*load its files"
    ):
        encoder.pieces(["x"])
