"""Results of EuroEval (ScandEval before): a line per model and data set in ``euroeval_benchmark_results.jsonl``.

A line has one score per iteration. In an iteration the data sets are resampled with replacement and, but for
generative models, the model is fine-tuned anew; so iterations are runs of a fine-tuned model, all tested on resamples
of one test set.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xeval.analysis.estimate.aggregates import AggregateScore
from xeval.conditions import CLASSIFICATION, SINGLE_HOP_QA, STRUCTURED
from xeval.errors import DataError, UsageError
from xeval.interop.readers.base import Foreign, listed, read_json_lines
from xeval.interop.readers.mapping import ScoreMap, TaskRule, language_code

TOOL = "EuroEval"
GROUPS: Mapping[str, str] = {
    "sentiment-classification": CLASSIFICATION,
    "linguistic-acceptability": CLASSIFICATION,
    "named-entity-recognition": STRUCTURED,
    "reading-comprehension": SINGLE_HOP_QA,
}
"""EuroEval's tasks whose group is beyond doubt."""
PROPORTIONS = frozenset({"accuracy", "em", "f1", "macro_f1", "micro_f1", "micro_f1_no_misc"})
"""Metrics from 0 to 100 of which the rest is error; MCC, for one, is a correlation."""
MISSING = (
    "EuroEval stores one score per iteration and none per item, so there is no interval over new test items, no test "
    "of an item's change and no verdict.",
    "Its iterations resample one test set: an interval over them says how new fine-tunings on such resamples scatter, "
    "and is too short for new items.",
)
TOLERANCE = 1e-6


def is_record(value: Any) -> bool:
    """Whether a JSON value is a line of EuroEval's results."""
    return isinstance(value, dict) and {"dataset", "task", "model", "results"} <= set(value)


def read(source: Path, mapping: ScoreMap) -> Foreign:
    """The scores of one results file, or of all below a folder.

    Raises:
        DataError: a line lacks what EuroEval writes, or two lines hold the same.
        UsageError: the map does not say what is needed.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.jsonl"))
    scores: list[AggregateScore] = []
    ungrouped: set[str] = set()
    generative: set[str] = set()
    validation: set[str] = set()
    seen: dict[tuple[str, str], str] = {}
    for file in files:
        for line, record in read_json_lines(file):
            if not is_record(record):
                continue
            where = f"{file}, line {line}"
            model, dataset = str(record["model"]), str(record["dataset"])
            if (model, dataset) in seen:
                raise DataError(
                    f"{where}: {model} on {dataset} stands in {seen[model, dataset]} too (another split or number of "
                    "shots, perhaps); keep one of them."
                )
            seen[model, dataset] = where
            rule, lang = mapping.task(dataset, {}) or (TaskRule(), "")
            group = rule.group or GROUPS.get(str(record["task"]), "")
            if not group:
                ungrouped.add(dataset)
            if record.get("generative", True):
                generative.add(model)
            if record.get("validation_split"):
                validation.add(model)
            scores += _scores(where, record, rule, lang or _language(where, record), group, mapping)
    if not scores:
        raise DataError(f"{source}: holds no results of EuroEval.")
    notes = []
    if ungrouped:
        notes.append(
            f"In no group of targets, as EuroEval's task leaves it open; the map can tell: {listed(sorted(ungrouped))}."
        )
    if generative:
        notes.append(
            "Prompted, not fine-tuned (or not said), so that iterations are no runs and only their mean is used: "
            f"{listed(sorted(generative))}."
        )
    if validation:
        notes.append(
            f"Evaluated on the validation split, not on the test split: {listed(sorted(validation))}."
        )
    return Foreign(TOOL, None, tuple(scores), MISSING, tuple(notes))


def _scores(
    where: str, record: Mapping[str, Any], rule: TaskRule, lang: str, group: str, mapping: ScoreMap
) -> Iterator[AggregateScore]:
    raw, total = record["results"].get("raw"), record["results"].get("total", {})
    iterations = raw.get("test") if isinstance(raw, dict) else raw
    metrics = [name.removeprefix("test_") for name in total if not name.endswith("_se")]
    metric = rule.metric or (metrics[0] if metrics else "")
    if not iterations or metric not in metrics:
        raise DataError(
            f"{where}: has no scores of {metric or 'any metric'}"
            + (f"; it has {', '.join(metrics)}: name one in the map." if metrics else "; evaluate it again.")
        )
    try:
        values = [float(one.get(metric, one.get(f"test_{metric}"))) for one in iterations]
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: an iteration lacks {metric!r}; evaluate this model and data set again."
        ) from error
    scale = _scale(where, values, float(total[f"test_{metric}"]))
    run = mapping.run(str(record["model"]))
    fine_tuned = not record.get("generative", True)
    # A model that the map makes one of several seeds is a run itself.
    runs = (
        list(enumerate(values))
        if run.seed is None and fine_tuned
        else [(run.number, sum(values) / len(values))]
    )
    for seed, value in runs:
        yield AggregateScore(
            run.condition,
            rule.target or str(record["dataset"]),
            group,
            metric,
            lang,
            seed,
            scale * value,
            metric in PROPORTIONS,
        )


def _scale(where: str, values: list[float], total: float) -> float:
    """Points per unit of the raw scores: some metrics are logged as shares, others in points, the total in points."""
    mean = sum(values) / len(values)
    for scale in (100.0, 1.0):
        if abs(scale * mean - total) <= TOLERANCE * max(1.0, abs(total)):
            return scale
    raise DataError(
        f"{where}: the total {total:g} is not the mean of the iterations ({mean:g}); fetch the file again."
    )


def _language(where: str, record: Mapping[str, Any]) -> str:
    """The language of a data set; those of a set in several, joined (``nb-nn``)."""
    languages = record.get("languages", record.get("dataset_languages")) or []
    if not languages:
        raise UsageError(
            f"{where}: names no language of {record['dataset']}; put `lang` into the rule of "
            f'"{record["dataset"]}" in the map.'
        )
    return "-".join(sorted({language_code(str(one)) for one in languages}))
