"""Metrics of tagged sentences: token accuracy, and the chunk F1 that XTREME publishes."""

from collections.abc import Sequence

import numpy as np

from xeval.errors import UsageError
from xeval.metrics.labels import Items, require_equal_length

Sentences = Sequence[Sequence[str]]


def tag_accuracy(gold: Sentences, predicted: Sentences) -> Items:
    """Per sentence (right tags, tags)."""
    _require_same_shape(gold, predicted)
    right = [sum(g == p for g, p in zip(*pair, strict=True)) for pair in zip(gold, predicted, strict=True)]
    return np.asarray(right, np.float64), np.asarray([len(tags) for tags in gold], np.float64)


def chunk_f1_legacy(gold: Sentences, predicted: Sentences) -> Items:
    """Per sentence (2 tp, 2 tp + fp + fn) over chunks; the ratio of the sums is the corpus F1.

    This is seqeval 0.0.12, which XTREME's published ``panx`` and ``udpos`` scores agree with. For POS tags it
    is a chunk score: the first letter of a tag acts as its IOB prefix, neighbouring equal tags are fused to
    one chunk unless they begin with S (SCONJ, SYM) or E. seqeval 1.x gives other numbers for POS, because it
    drops that letter. Sentences cannot share a chunk: seqeval joins them with an O in between.
    """
    _require_same_shape(gold, predicted)
    pairs = [(legacy_chunks(g), legacy_chunks(p)) for g, p in zip(gold, predicted, strict=True)]
    num = [2.0 * len(g & p) for g, p in pairs]
    return np.asarray(num, np.float64), np.asarray([len(g) + len(p) for g, p in pairs], np.float64)


def legacy_chunks(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Chunks (type, first word, last word) of a sentence by the rules of seqeval 0.0.12.

    The type is what follows the last hyphen of a tag, the whole tag where there is none.
    """
    chunks: set[tuple[str, int, int]] = set()
    first, prefix, kind = 0, "O", "O"
    for position, tag in enumerate([*tags, "O"]):
        if not tag:
            raise UsageError(f"The tag of word {position + 1} is empty; every word needs a tag.")
        last_prefix, last_kind = prefix, kind
        prefix, kind = tag[0], tag.rpartition("-")[2]
        changed = kind != last_kind
        if (
            last_prefix in "ES"
            or (last_prefix in "BI" and prefix in "BSO")
            or (last_prefix not in "O." and changed)
        ):
            chunks.add((last_kind, first, position - 1))
        if prefix in "BS" or (last_prefix in "ESO" and prefix in "EI") or (prefix not in "O." and changed):
            first = position
    return chunks


def _require_same_shape(gold: Sentences, predicted: Sentences) -> None:
    require_equal_length(gold, predicted, "sentences")
    for number, (g, p) in enumerate(zip(gold, predicted, strict=True), 1):
        if len(g) != len(p):
            raise UsageError(f"Sentence {number} has {len(g)} gold tags but {len(p)} predicted tags.")
