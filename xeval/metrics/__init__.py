"""Metrics: pure functions that give every item its numerator and denominator; metric = sum(num) / sum(den).

``METRICS`` names them. Four inputs exist: ``labels`` (gold, predicted), ``tags`` (gold, predicted: one list
per sentence), ``answers`` (predictions, tuples of gold answers, language) and ``pairs`` (gold pairs, predicted
pairs, source sentences). ``averages`` makes XTREME's averages of corpus scores.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from xeval.metrics.answers import MIXED, MLQA, SQUAD, AnswerMetric, exact_match, overlap_f1
from xeval.metrics.averages import Averages, averages
from xeval.metrics.labels import Items, accuracy, corpus_score
from xeval.metrics.pairs import best_threshold, f1_at_threshold, pair_f1, pair_precision, pair_recall
from xeval.metrics.tags import (
    chunk_f1_legacy,
    chunk_precision_legacy,
    chunk_recall_legacy,
    tag_accuracy,
)

__all__ = [
    "METRICS",
    "Averages",
    "Items",
    "Metric",
    "accuracy",
    "averages",
    "best_threshold",
    "chunk_f1_legacy",
    "chunk_precision_legacy",
    "chunk_recall_legacy",
    "corpus_score",
    "f1_at_threshold",
    "pair_f1",
    "pair_precision",
    "pair_recall",
    "qa_metrics",
    "tag_accuracy",
]


@dataclass(frozen=True)
class Metric:
    """A metric with a name that stays and a version that changes whenever any score can change.

    All metrics lie between 0 and 1, and higher is better.

    Attributes:
        options: what else a reader has to know to compare two scores, as ``name:value``.
    """

    name: str
    input: Literal["labels", "tags", "answers", "pairs"]
    per_item: Callable[..., Items]
    summary: str
    version: int = 1
    options: tuple[str, ...] = ()

    def __call__(self, *arguments: Any) -> Items:
        """Numerators and denominators, float64, one entry per item."""
        return self.per_item(*arguments)

    def signature(self) -> str:
        """What has to be equal for two scores to be comparable, for reports."""
        parts = [self.name, f"version:{self.version}", "range:0-1", *self.options]
        if self.input == "answers":  # what is a letter, a mark or punctuation, and its lower case
            parts.append(f"unicode:{unicodedata.unidata_version}")
        return "|".join(parts)


_LEGACY = ("chunks:seqeval-0.0.12", "average:micro")
_SQUAD = ("norm:squad-v1.1", "answers:best")
_MLQA = ("norm:mlqa-v1", "answers:best")
_MIXED = ("norm:mixed", "answers:best")
_DEV, _ORACLE = ("threshold:dev", "average:micro"), ("threshold:oracle", "average:micro")

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "labels", accuracy, "share of right labels, choices or nearest neighbours"),
        Metric(
            "tag_accuracy", "tags", tag_accuracy, "share of right tags, all tokens", 1, ("average:micro",)
        ),
        Metric(
            "chunk_f1_legacy", "tags", chunk_f1_legacy, "chunk F1 of seqeval 0.0.12, as in XTREME", 1, _LEGACY
        ),
        Metric(
            "chunk_precision_legacy",
            "tags",
            chunk_precision_legacy,
            "chunk precision of seqeval 0.0.12",
            1,
            _LEGACY,
        ),
        Metric(
            "chunk_recall_legacy", "tags", chunk_recall_legacy, "chunk recall of seqeval 0.0.12", 1, _LEGACY
        ),
        Metric("squad_em", "answers", exact_match(SQUAD), "exact match of SQuAD v1.1", 1, _SQUAD),
        Metric("squad_f1", "answers", overlap_f1(SQUAD), "token F1 of SQuAD v1.1", 1, _SQUAD),
        Metric("mlqa_em", "answers", exact_match(MLQA), "exact match of MLQA v1", 1, _MLQA),
        Metric("mlqa_f1", "answers", overlap_f1(MLQA), "token F1 of MLQA v1", 1, _MLQA),
        # Version 2: digits of all scripts, Turkish i, optional signs of Arabic and Hebrew, the ideographic zero.
        Metric("em_mixed", "answers", exact_match(MIXED), "exact match, one rule for all scripts", 2, _MIXED),
        Metric(
            "f1_mixed",
            "answers",
            overlap_f1(MIXED),
            "F1 over words, or characters in scripts without spaces; one rule for all languages",
            2,
            _MIXED,
        ),
        Metric("pair_f1", "pairs", pair_f1, "F1 of mined pairs, threshold chosen on dev", 1, _DEV),
        Metric("pair_precision", "pairs", pair_precision, "precision, threshold chosen on dev", 1, _DEV),
        Metric("pair_recall", "pairs", pair_recall, "recall, threshold chosen on dev", 1, _DEV),
        Metric(
            "pair_f1_oracle",
            "pairs",
            pair_f1,
            "F1 of mined pairs, threshold chosen on the scored gold itself (optimistic)",
            1,
            _ORACLE,
        ),
    )
}

qa_metrics: dict[str, AnswerMetric] = {
    name: metric.per_item for name, metric in METRICS.items() if metric.input == "answers"
}
