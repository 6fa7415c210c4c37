"""Exact match and token F1 of extracted answers: SQuAD v1.1, MLQA, and one rule that is fair to every script.

Each is a function from (text, language) to tokens. Exact match compares token lists; F1 compares them as bags
(harmonic mean of precision and recall of shared tokens); of several gold answers the best one counts. A
question without gold answers is right when the prediction has no tokens, as in SQuAD v2.0.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from xeval.errors import UsageError
from xeval.metrics.labels import Items, require_equal_length

Tokens = Callable[[str, str], list[str]]
AnswerMetric = Callable[[Sequence[str], Sequence[Sequence[str]], str], Items]


def _words(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words.replace(' ', '|')})\b")


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
_MLQA_HAN = re.compile(r"([\u4e00-\u9fa5])")
_DROP_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Han (with extensions, radicals and iteration marks), kana, Thai, Lao, Burmese, Khmer.
_NO_SPACES = re.compile(
    r"[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\u1780-\u17ff]"
)


def squad_tokens(text: str, language: str = "en") -> list[str]:
    """SQuAD v1.1: lower case, ASCII punctuation deleted, English articles deleted, split at white space.

    XTREME applies it to XQuAD and TyDiQA in every language (``language`` is ignored), so that in scripts
    without spaces F1 comes close to exact match.
    """
    del language
    return _ENGLISH_ARTICLES.sub(" ", text.lower().translate(_DROP_ASCII_PUNCTUATION)).split()


def mlqa_tokens(text: str, language: str) -> list[str]:
    """MLQA v1: lower case, all punctuation deleted, articles of the language deleted, zh split at Han.

    Raises:
        UsageError: the language is not one of MLQA's seven.
    """
    if language not in _MLQA_ARTICLES:
        raise UsageError(
            f"MLQA's metric is defined for {' '.join(_MLQA_ARTICLES)}, not for {language!r}; use f1_mixed."
        )
    text = "".join(character for character in text.lower() if not _is_punctuation(character))
    if articles := _MLQA_ARTICLES[language]:
        text = articles.sub(" ", text)
    return (_MLQA_HAN.sub(r" \1 ", text) if language == "zh" else text).split()


def mixed_tokens(text: str, language: str = "en") -> list[str]:
    """Words in scripts with spaces, characters in scripts without: one rule for all languages.

    NFKC and case folding; punctuation, symbols and white space separate; invisible format characters vanish;
    a letter of Han, kana, Thai, Lao, Burmese or Khmer is a token together with its combining marks. No
    language's articles are deleted. ``language`` is ignored: the characters say what they are.
    """
    del language
    tokens: list[str] = []
    in_word = after_token = False
    for character in unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()):
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        if category[0] == "M" and after_token:
            tokens[-1] += character
        elif category[0] in "LNM":
            alone = category[0] == "L" and _NO_SPACES.match(character) is not None
            if in_word and not alone:
                tokens[-1] += character
            else:
                tokens.append(character)
            in_word, after_token = not alone, True
        else:
            in_word = after_token = False
    return tokens


def exact_match(tokens: Tokens) -> AnswerMetric:
    """Per question (1 if the prediction equals a gold answer else 0, 1)."""
    return _best_of_answers(tokens, lambda predicted, gold: float(predicted == gold))


def overlap_f1(tokens: Tokens, *, empty_equals_empty: bool = False) -> AnswerMetric:
    """Per question (token F1 with the best gold answer, 1).

    The published scripts give 0 to an empty prediction for a gold answer without tokens;
    ``empty_equals_empty`` gives 1.
    """

    def f1(predicted: list[str], gold: list[str]) -> float:
        shared = sum((Counter(predicted) & Counter(gold)).values())
        if shared == 0:
            return float(empty_equals_empty and not predicted and not gold)
        precision, recall = shared / len(predicted), shared / len(gold)
        return 2 * precision * recall / (precision + recall)

    return _best_of_answers(tokens, f1)


def _best_of_answers(tokens: Tokens, compare: Callable[[list[str], list[str]], float]) -> AnswerMetric:
    def per_item(predictions: Sequence[str], answers: Sequence[Sequence[str]], language: str) -> Items:
        require_equal_length(answers, predictions, "answers")
        scores = []
        for prediction, golds in zip(predictions, answers, strict=True):
            predicted = tokens(prediction, language)
            best = max((compare(predicted, tokens(gold, language)) for gold in golds), default=not predicted)
            scores.append(float(best))
        return np.asarray(scores, np.float64), np.ones(len(scores))

    return per_item


@lru_cache(maxsize=1 << 16)
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"
