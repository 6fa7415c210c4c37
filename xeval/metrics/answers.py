"""Exact match and token F1 of extracted answers: SQuAD v1.1, MLQA, and one rule that is fair to every script.

A normalisation turns text into tokens between white space. It is applied to all answers of a unit at once, one
a line, so it never adds or removes a line end and never looks across one. Exact match compares token lists;
F1 compares them as bags (harmonic mean of precision and recall of shared tokens); of several gold answers the
best one counts. A question without gold answers is right when the prediction has no tokens, as in SQuAD v2.0.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from xeval.errors import UsageError
from xeval.metrics.labels import Items, require_equal_length

AnswerMetric = Callable[[Sequence[str], Sequence[Sequence[str]], str], Items]


def _words(words: str) -> re.Pattern[str]:
    # A \b in front would be tried at every character; behind the first letter, the search jumps to that letter.
    starts = (rf"{word[0]}(?<!\w{word[0]}){word[1:]}" for word in words.split())
    return re.compile(rf"(?:{'|'.join(starts)})\b")


_ENGLISH_ARTICLES = _words("a an the")
_MLQA_ARTICLES: dict[str, re.Pattern[str] | None] = {
    # The published Arabic pattern is meant for the article at the start of words; it cuts these two letters
    # anywhere.
    "ar": re.compile("ال"),
    "de": _words("ein eine einen einem eines einer der die das den dem des"),
    "en": _ENGLISH_ARTICLES,
    "es": _words("un una unos unas el la los las"),
    "hi": None,
    "vi": _words("của là cái chiếc những"),
    "zh": None,
}
# Han (with extensions and iteration marks), kana, Thai, Lao, Burmese, Khmer.
_NO_SPACES = re.compile(
    r"[\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\u1780-\u17ff]"
)
# Tatweel and the vowel signs of Arabic and Hebrew, which writers may leave out.
_OPTIONAL = re.compile(r"[\u0640\u064b-\u0652\u0670\u05b0-\u05bd\u05bf\u05c1\u05c2\u05c7]")


def squad(text: str, language: str) -> str:
    """SQuAD v1.1: lower case, ASCII punctuation deleted, English articles deleted.

    XTREME applies it to XQuAD and TyDiQA in every language (``language`` is ignored), so that in scripts
    without spaces F1 comes close to exact match.
    """
    # In UTF-8 an ASCII byte is nothing but that ASCII character.
    kept = text.lower().encode("utf-8", "surrogatepass").translate(None, string.punctuation.encode())
    return _ENGLISH_ARTICLES.sub(" ", kept.decode("utf-8", "surrogatepass"))


def mlqa(text: str, language: str) -> str:
    """MLQA v1: lower case, all punctuation deleted, articles of the language deleted, zh split at Han.

    Raises:
        UsageError: the language is not one of MLQA's seven.
    """
    if language not in _MLQA_ARTICLES:
        raise UsageError(
            f"MLQA's metric is defined for {' '.join(_MLQA_ARTICLES)}, not for {language!r}; use f1_mixed."
        )
    codes = _codes(text.lower())
    marks = [ord(character) for character in _distinct(codes) if _is_punctuation(character)]
    codes = codes[~_is_among(marks, codes)]
    if language == "zh":
        # The published range of Han ends before the block does.
        han = (codes >= 0x4E00) & (codes <= 0x9FA5)
        return _with_spaces_before(han | np.roll(han, 1), codes)
    articles = _MLQA_ARTICLES[language]
    return articles.sub(" ", _text(codes)) if articles else _text(codes)


def mixed(text: str, language: str) -> str:
    """Words in scripts with spaces, characters in scripts without: one rule for all languages.

    NFKC and case folding; punctuation, symbols and white space separate; invisible format characters vanish;
    a letter of Han, kana, Thai, Lao, Burmese or Khmer is a token together with its combining marks. Decimal
    digits of all scripts are equal, and so are the Turkish i with and without a dot; tatweel and the optional
    vowel signs of Arabic and Hebrew vanish. What tells words apart stays: hamza, articles, simplified and
    traditional Han. Korean counts by its words between spaces (KorQuAD counts syllables). ``language`` is
    ignored: the characters say what they are.
    """
    # Line by line, because lines that are in normal form already are passed on at once.
    folded = [normalize("NFKC", normalize("NFKC", line).casefold()) for line in text.split("\n")]
    text = "\n".join(folded).replace("i\u0307", "i").replace("ı", "i")
    marks: list[int] = []
    letters: list[int] = []
    for character in _distinct(_codes(text)):
        role = _role(character)
        if role == "mark":
            marks.append(ord(character))
        elif role == "letter":
            letters.append(ord(character))
        elif role != character:
            text = text.replace(character, role)
    if not letters:
        return text
    codes = _codes(text)
    mark, alone = _is_among(marks, codes), _is_among(letters, codes)
    base = np.maximum.accumulate(np.where(mark, 0, np.arange(len(codes))))
    return _with_spaces_before(alone | (np.roll(alone[base], 1) & ~mark), codes)


@lru_cache(maxsize=1 << 16)
def _role(character: str) -> str:
    """What stands for a character in ``mixed``: a "mark", a "letter" that is a token, or a substitute."""
    if character == "\n":
        return character
    category = unicodedata.category(character)
    if category == "Cf" or _OPTIONAL.match(character):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category[0] == "M":
        return "mark"
    if category[0] not in "LN":
        return " "
    return "letter" if category != "No" and _NO_SPACES.match(character) else character


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _text(codes: NDArray[np.uint32]) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def _distinct(codes: NDArray[np.uint32]) -> list[str]:
    """The characters that occur."""
    occurs = np.zeros(codes.max(initial=0) + 1, np.bool_)
    occurs[codes] = True
    return [chr(code) for code in np.flatnonzero(occurs)]


def _is_among(chosen: list[int], codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    table = np.zeros(codes.max(initial=0) + 1, np.bool_)
    table[chosen] = True
    return table[codes]


def _with_spaces_before(where: NDArray[np.bool_], codes: NDArray[np.uint32]) -> str:
    spaced = np.full(len(codes) + where.sum(), ord(" "), np.uint32)
    spaced[np.arange(len(codes)) + where.cumsum()] = codes
    return _text(spaced)


@dataclass(frozen=True)
class Rule:
    """How answers are compared: a normalisation, and the F1 of two answers without tokens."""

    normalise: Callable[[str, str], str]
    empty_equals_empty: bool = False

    def tokens(self, texts: Sequence[str], language: str) -> list[list[str]]:
        """The tokens of every text."""
        lines = "\n".join([text.replace("\n", " ") for text in texts])
        return [line.split() for line in self.normalise(lines, language).split("\n")][: len(texts)]


# The published scripts give 0 to an empty prediction for a gold answer without tokens.
SQUAD, MLQA, MIXED = Rule(squad), Rule(mlqa), Rule(mixed, empty_equals_empty=True)


def squad_tokens(text: str, language: str = "en") -> list[str]:
    """Tokens of one text by ``squad``."""
    return SQUAD.tokens([text], language)[0]


def mlqa_tokens(text: str, language: str) -> list[str]:
    """Tokens of one text by ``mlqa``."""
    return MLQA.tokens([text], language)[0]


def mixed_tokens(text: str, language: str = "en") -> list[str]:
    """Tokens of one text by ``mixed``."""
    return MIXED.tokens([text], language)[0]


def exact_match(rule: Rule) -> AnswerMetric:
    """Per question (1 if the prediction equals a gold answer else 0, 1)."""
    return lambda predictions, answers, language: _items(rule, predictions, answers, language, 0)


def overlap_f1(rule: Rule) -> AnswerMetric:
    """Per question (token F1 with the best gold answer, 1)."""
    return lambda predictions, answers, language: _items(rule, predictions, answers, language, 1)


def _items(
    rule: Rule, predictions: Sequence[str], answers: Sequence[Sequence[str]], language: str, column: int
) -> Items:
    require_equal_length(answers, predictions, "answers")
    scores = _exact_match_and_f1(rule, tuple(predictions), tuple(map(tuple, answers)), language)
    return scores[:, column].copy(), np.ones(len(scores))


@lru_cache(maxsize=2)  # exact match and F1 of the same answers are asked for one after the other
def _exact_match_and_f1(
    rule: Rule, predictions: tuple[str, ...], answers: tuple[tuple[str, ...], ...], language: str
) -> NDArray[np.float64]:
    """Exact match and F1 [questions, 2] with the best gold answer."""
    texts = list(dict.fromkeys(chain(predictions, chain.from_iterable(answers))))
    tokens = dict(zip(texts, rule.tokens(texts, language), strict=True))
    scores = []
    for prediction, golds in zip(predictions, answers, strict=True):
        predicted, match, f1 = tokens[prediction], 0.0, 0.0
        if not golds and not predicted:
            match = f1 = 1.0
        for gold in golds:
            wanted = tokens[gold]
            if predicted == wanted:
                match = 1.0
                f1 = 1.0 if predicted or rule.empty_equals_empty else f1
            elif shared := _shared(predicted, wanted):
                precision, recall = shared / len(predicted), shared / len(wanted)
                f1 = max(f1, 2 * precision * recall / (precision + recall))
        scores.append((match, f1))
    return np.asarray(scores, np.float64).reshape(-1, 2)


def _shared(first: list[str], second: list[str]) -> int:
    """Number of tokens in both, counting repeated ones as often as they are in both."""
    unique = set(first)
    if len(unique) == len(first):
        return len(unique.intersection(second))
    if unique.isdisjoint(second):
        return 0
    return sum((Counter(first) & Counter(second)).values())
