"""How much faster the metrics are than the scripts they reproduce, and that they give the same numbers.

    python tests/bench/scoring.py --xtreme PATH_OF_XTREME_CHECKOUT [--items 5000] [--rounds 7]

Random questions and tagged sentences are scored by both in turn; the medians of the rounds are compared. The
scripts are XTREME's third_party/evaluate_squad.py and evaluate_mlqa.py, and the installed seqeval 0.0.12.
"""

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

from xeval.metrics import METRICS, Items
from xeval.metrics.answers import _exact_match_and_f1
from xeval.sources.tagging import UPOS

IOB = ("O", "O", "O", "O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")
# Letters, marks that the rules touch, articles, and what stands between words.
WRITING = {
    "en": ("etaoinshrdlucmwfypvbgkqjxz", "'-.,;\"“”é", ("the", "a", "an", "The"), " "),
    "ar": ("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", '،؛؟."«»', ("ال",), " "),
    "zh": ("".join(map(chr, range(0x4E00, 0x5200))), "，。、“”《》(1)A", ("年",), ""),
}


def questions(language: str, count: int, seed: int = 0) -> tuple[list[str], list[tuple[str, ...]]]:
    """Predictions and gold answers of one to six words; half of the predictions are a part of the answer."""
    letters, marks, articles, space = WRITING[language]
    draw = random.Random(seed)

    def word() -> str:
        if draw.random() < 0.15:
            return draw.choice(articles)
        length = draw.randint(1, 9) if space else draw.randint(1, 3)
        return "".join(draw.choices(letters, k=length)) + (draw.choice(marks) if draw.random() < 0.1 else "")

    predictions, answers = [], []
    for _ in range(count):
        words = [word() for _ in range(draw.randint(1, 6))]
        first = draw.randrange(len(words)) if draw.random() < 0.5 else 0
        answers.append((space.join(words),))
        predictions.append(space.join(words[first:] if draw.random() < 0.7 else [word(), *words[first:]]))
    return predictions, answers


def sentences(tags: tuple[str, ...], count: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of sentences of 3 to 40 words, nine tenths of them right."""
    draw = random.Random(seed)
    gold = [draw.choices(tags, k=draw.randint(3, 40)) for _ in range(count)]
    return gold, [[tag if draw.random() < 0.9 else draw.choice(tags) for tag in words] for words in gold]


def compare(name: str, ours: Callable[[], Any], reference: Callable[[], Any], rounds: int) -> None:
    """Print the ratio of the median processor times; the values must be the very same floats."""
    seconds: dict[Callable[[], Any], list[float]] = {ours: [], reference: []}
    for _ in range(rounds):
        for function, taken in seconds.items():
            _exact_match_and_f1.cache_clear()
            started = time.process_time()
            function()
            taken.append(time.process_time() - started)
    assert ours() == reference(), f"{name}: {ours()} is not {reference()}"
    mine, theirs = (statistics.median(taken) for taken in seconds.values())
    print(
        f"{name:12} {1e3 * mine:8.1f} ms, reference {1e3 * theirs:8.1f} ms: {theirs / mine:5.1f} times as fast"
    )


def mean(items: Items) -> float:
    """In percent, summed one after the other as the scripts do."""
    return 100.0 * sum(items[0].tolist()) / len(items[0])


def ratio(metric: str, pair: tuple[list[list[str]], list[list[str]]]) -> float:
    num, den = METRICS[metric](*pair)
    return float(num.sum() / den.sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--xtreme", type=Path, required=True, help="a checkout of google-research/xtreme")
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    sys.path.insert(0, str(options.xtreme))
    scripts = {name: import_module(f"third_party.evaluate_{name}") for name in ("squad", "mlqa")}
    for script, language in (("squad", "en"), ("mlqa", "en"), ("mlqa", "ar"), ("mlqa", "zh")):
        predictions, answers = questions(language, options.items)
        asked = [
            {"id": str(n), "answers": [{"text": text} for text in texts]} for n, texts in enumerate(answers)
        ]
        data = [{"paragraphs": [{"qas": asked}]}]
        given = {str(number): text for number, text in enumerate(predictions)}
        arguments = (predictions, answers, language)
        extra = (language,) if script == "mlqa" else ()
        compare(
            f"{script} {language}",
            lambda s=script, a=arguments: {
                "exact_match": mean(METRICS[f"{s}_em"](*a)),
                "f1": mean(METRICS[f"{s}_f1"](*a)),
            },
            lambda s=script, a=(data, given, *extra): scripts[s].evaluate(*a),
            options.rounds,
        )
    for name, tags in (("UPOS", tuple(UPOS)), ("IOB", IOB)):
        pair = sentences(tags, options.items)
        compare(
            f"chunks {name}",
            lambda p=pair: {
                "precision": ratio("chunk_precision_legacy", p),
                "recall": ratio("chunk_recall_legacy", p),
            },
            lambda p=pair: {"precision": precision_score(*p), "recall": recall_score(*p)},
            options.rounds,
        )
        assert math.isclose(ratio("chunk_f1_legacy", pair), f1_score(*pair), rel_tol=1e-12)
        compare(
            f"right {name}",
            lambda p=pair: ratio("tag_accuracy", p),
            lambda p=pair: accuracy_score(*p),
            options.rounds,
        )


if __name__ == "__main__":
    main()
