"""Metrics: pure functions that give every item its numerator and denominator; metric = sum(num) / sum(den).

``METRICS`` names them. Three inputs exist: ``labels`` (gold, predicted), ``tags`` (gold, predicted: one list
per sentence) and ``answers`` (predictions, tuples of gold answers, language).
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from xeval.metrics.answers import (
    AnswerMetric,
    exact_match,
    mixed_tokens,
    mlqa_tokens,
    overlap_f1,
    squad_tokens,
)
from xeval.metrics.labels import Items, accuracy
from xeval.metrics.tags import chunk_f1_legacy, tag_accuracy

__all__ = ["METRICS", "Items", "Metric", "accuracy", "chunk_f1_legacy", "qa_metrics", "tag_accuracy"]


@dataclass(frozen=True)
class Metric:
    """A metric with a name that stays and a version that changes whenever any score can change.

    All metrics lie between 0 and 1, and higher is better.
    """

    name: str
    input: Literal["labels", "tags", "answers"]
    per_item: Callable[..., Items]
    summary: str
    version: int = 1

    def __call__(self, *arguments: Any) -> Items:
        """Numerators and denominators, float64, one entry per item."""
        return self.per_item(*arguments)

    def signature(self) -> str:
        """What has to be equal for two scores to be comparable, for reports."""
        unicode = f"|unicode:{unicodedata.unidata_version}" if self.input == "answers" else ""
        return f"{self.name}|version:{self.version}|range:0-1{unicode}"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "labels", accuracy, "share of right labels, choices or nearest neighbours"),
        Metric("tag_accuracy", "tags", tag_accuracy, "share of right tags, all tokens"),
        Metric("chunk_f1_legacy", "tags", chunk_f1_legacy, "chunk F1 of seqeval 0.0.12, as in XTREME"),
        Metric("squad_em", "answers", exact_match(squad_tokens), "exact match of SQuAD v1.1"),
        Metric("squad_f1", "answers", overlap_f1(squad_tokens), "token F1 of SQuAD v1.1"),
        Metric("mlqa_em", "answers", exact_match(mlqa_tokens), "exact match of MLQA v1"),
        Metric("mlqa_f1", "answers", overlap_f1(mlqa_tokens), "token F1 of MLQA v1"),
        Metric("em_mixed", "answers", exact_match(mixed_tokens), "exact match, one rule for all scripts"),
        Metric(
            "f1_mixed",
            "answers",
            overlap_f1(mixed_tokens, empty_equals_empty=True),
            "F1 over words, or characters in scripts without spaces; one rule for all languages",
        ),
    )
}

qa_metrics: dict[str, AnswerMetric] = {
    name: metric.per_item for name, metric in METRICS.items() if metric.input == "answers"
}
