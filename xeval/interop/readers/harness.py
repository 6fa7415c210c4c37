"""Results of EleutherAI's lm-evaluation-harness: ``results_DATE.json``, with ``samples_TASK_DATE.jsonl`` beside it.

Samples are written with ``--log_samples``: one line per document and filter, with the metrics of that document
(format of versions 0.4.x). A metric that is a number per document, whose mean is the result, is an item score. Corpus
metrics, such as a macro-F1, store something else per document and are left out.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from xeval.analysis.estimate.aggregates import AggregateScore
from xeval.conditions import CLASSIFICATION, GROUPS, SINGLE_HOP_QA
from xeval.errors import DataError, UsageError
from xeval.interop.readers.base import Foreign, listed, read_json, read_json_lines
from xeval.interop.readers.mapping import Run, ScoreMap, TaskRule

if TYPE_CHECKING:
    import pandas as pd

TOOL = "lm-evaluation-harness"
KNOWN: Mapping[str, TaskRule] = {
    "xnli_{lang}": TaskRule(
        target="xnli", group=CLASSIFICATION, metric="acc", cluster="premise", chance=1 / 3
    ),
    "paws_{lang}": TaskRule(target="pawsx", group=CLASSIFICATION, metric="acc", chance=1 / 2),
    "xcopa_{lang}": TaskRule(target="xcopa", group=CLASSIFICATION, metric="acc", chance=1 / 2),
    "xquad_{lang}": TaskRule(target="xquad", group=SINGLE_HOP_QA, metric="f1", cluster="context"),
    "mlqa_{lang}_{lang}": TaskRule(target="mlqa", group=SINGLE_HOP_QA, metric="f1", cluster="context"),
    "tydiqa_goldp_{lang}": TaskRule(target="tydiqa", group=SINGLE_HOP_QA, metric="f1", cluster="context"),
}
"""Tasks of the harness that are targets here too. Prompted models answer them: other scores than fine-tuned ones'."""
DATED = re.compile(r".*_(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)\.json")
TOLERANCE = 1e-6
MISSING = (
    "These results of the lm-evaluation-harness hold no score per item: run it again with --log_samples for intervals "
    "over new items and for a verdict.",
)


@dataclass(frozen=True)
class Part:
    """Results of one task in one results file."""

    file: Path
    task: str
    run: Run
    model: str
    rule: TaskRule
    lang: str
    results: Mapping[str, Any]
    samples: Path | None


def is_results(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is a results file of the harness."""
    return isinstance(value, dict) and {"results", "configs", "versions"} <= set(value)


def read(source: Path, mapping: ScoreMap) -> Foreign:
    """The scores of one results file, or of all below a folder.

    Raises:
        DataError: the files contradict each other, or lack what the map names.
        UsageError: the map does not say what is needed.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    notes: list[str] = []
    parts = list(_parts(source, files, mapping, notes))
    if not parts:
        why = "; ".join(note.rstrip(".") for note in notes) or "there are no results"
        raise UsageError(
            f"{source}: no task is known here ({why}); tell with --map what they are, by lines such as "
            '`"TASK_{lang}" = { target = "NAME", group = "classification" }` below [tasks].'
        )
    _check_once(parts)
    logged = [part for part in parts if part.samples]
    if not logged:
        return Foreign(TOOL, None, tuple(_aggregates(parts)), MISSING, tuple(notes))
    if bare := sorted({f"{part.task} of {part.model}" for part in parts if not part.samples}):
        notes.append(f"Left out, as no samples were logged: {listed(bare)}.")
    return Foreign(TOOL, _frame(logged, notes), (), (), tuple(notes))


def _parts(source: Path, files: Iterable[Path], mapping: ScoreMap, notes: list[str]) -> Iterator[Part]:
    unknown: set[str] = set()
    limited: set[str] = set()
    for file in files:
        dated = DATED.fullmatch(file.name)
        document = read_json(file) if dated or file == source else None
        if not is_results(document):
            continue
        model = str(document.get("model_name") or file.parent.name)
        folder = file.parent.relative_to(source).as_posix() if file != source else file.parent.name
        grouped = set(document.get("groups", ())) | {
            name for name, parts in document.get("group_subtasks", {}).items() if parts
        }
        for task, results in document["results"].items():
            if task in grouped:
                continue
            if (found := mapping.task(task, KNOWN)) is None:
                unknown.add(task)
                continue
            rule, lang = found
            if not lang:
                raise UsageError(
                    f"task {task!r}: its language is not known; put {{lang}} into its name in the map, or `lang` into "
                    "its rule."
                )
            if document.get("config", {}).get("limit") is not None:
                limited.add(model)
            samples = file.with_name(f"samples_{task}_{dated[1]}.jsonl") if dated else None
            yield Part(
                file,
                task,
                mapping.run(folder, model),
                model,
                rule,
                lang,
                results,
                samples if samples and samples.exists() else None,
            )
    if unknown:
        notes.append(f"Left out, as neither known nor in the map: {listed(sorted(unknown))}.")
    if limited:
        notes.append(f"Run with --limit, so on the first items only: {listed(sorted(limited))}.")


def _check_once(parts: Iterable[Part]) -> None:
    seen: dict[tuple[str, int | None, str, str], Part] = {}
    for part in parts:
        key = (part.run.condition, part.run.seed, part.rule.target or part.task, part.lang)
        if key in seen:
            raise DataError(
                f"{part.file} and {seen[key].file}: both hold {part.task!r} for condition {part.run.condition!r}, "
                f"seed {part.run.number}; remove one, or tell with --map which seed each folder is."
            )
        seen[key] = part


def _aggregates(parts: Iterable[Part]) -> Iterator[AggregateScore]:
    for part in parts:
        values = {
            name: value
            for name, value in part.results.items()
            if "," in name and "_stderr," not in name and isinstance(value, int | float)
        }
        named = {name.removesuffix(",none"): value for name, value in values.items()}
        metric = _main(part, list(named))
        value = float(named[metric])
        yield AggregateScore(
            part.run.condition, part.rule.target or part.task, part.rule.group, metric, part.lang,
            part.run.number, value if part.rule.percent else 100.0 * value,
        )  # fmt: skip


def _main(part: Part, metrics: list[str]) -> str:
    """The metric that stands for the target."""
    if part.rule.metric:
        if part.rule.metric in metrics:
            return part.rule.metric
        raise UsageError(
            f"task {part.task!r}: has no metric {part.rule.metric!r} that is a number per item; it has "
            f"{', '.join(metrics) or 'none'}; name one of them as `metric` of the task in the map."
        )
    if len(metrics) == 1:
        return metrics[0]
    raise UsageError(
        f"task {part.task!r}: which of its metrics stands for it ({', '.join(metrics) or 'none is a number'})? Name it "
        "as `metric` of the task in the map."
    )


def _frame(parts: list[Part], notes: list[str]) -> "pd.DataFrame":
    import pandas as pd

    frames = []
    documents: dict[tuple[str, str], dict[int, str]] = {}
    left_out: defaultdict[str, set[str]] = defaultdict(set)
    for part in parts:
        target = part.rule.target or part.task
        if not part.rule.group:
            raise UsageError(
                f"task {part.task!r}: its group is not known; name it as `group` of the task in the map, one of "
                f"{', '.join(GROUPS)}."
            )
        known = documents.setdefault((target, part.lang), {})
        filters, hashes, fields = _samples(part)
        for number, digest in hashes.items():
            if known.setdefault(number, digest) != digest:
                raise DataError(
                    f"{part.samples}: document {number} of {part.task!r} is another one than in the other runs; "
                    "evaluate all models on the same version of the data."
                )
        scores = _per_item(part, filters, left_out[part.task])
        main = _main(part, list(scores))
        clusters = _clusters(hashes, fields)
        for metric, values in scores.items():
            scale = 100.0 if part.rule.percent else 1.0
            if metric == main and any(not 0.0 <= value <= scale for value in values.values()):
                raise DataError(
                    f"{part.samples}: {metric!r} leaves 0 to {scale:g}; choose another metric in the map, or set "
                    "`percent = true` where it goes from 0 to 100."
                )
            ids = list(values)
            frames.append(
                pd.DataFrame(
                    {
                        "condition": part.run.condition, "target": target, "group": part.rule.group,
                        "seed": part.run.number, "lang": part.lang, "item_id": [str(number) for number in ids],
                        "cluster_id": [f"{target}/{clusters[number]}" for number in ids], "hops": part.rule.hops,
                        "metric": metric, "num": [values[number] / scale for number in ids], "den": 1.0,
                        "main": metric == main, "chance": math.nan if part.rule.chance is None else part.rule.chance,
                        "checkpoint": f"{part.model} ({part.run.condition} {part.run.number})", "name": part.model,
                    }
                )
            )  # fmt: skip
    notes += [
        f"{task}: {', '.join(sorted(metrics))} is no mean of numbers per item, so left out."
        for task, metrics in left_out.items()
        if metrics
    ]
    return pd.concat(frames, ignore_index=True)


_Values = dict[int, Any]


def _samples(part: Part) -> tuple[dict[str, dict[str, _Values]], dict[int, str], _Values]:
    """Filter -> metric -> document number -> value; document number -> digest; document number -> cluster field."""
    assert part.samples is not None
    filters: dict[str, dict[str, _Values]] = {}
    hashes: dict[int, str] = {}
    fields: _Values = {}
    for line, sample in read_json_lines(part.samples):
        where = f"{part.samples}, line {line}"
        try:
            number, digest = int(sample["doc_id"]), str(sample["doc_hash"])
            metrics = {name: sample[name] for name in sample["metrics"]}
            name = str(sample["filter"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{where}: lacks {error}; log the samples with lm-evaluation-harness 0.4.3 or later."
            ) from error
        hashes[number] = digest
        if part.rule.cluster:
            document = sample.get("doc", {})
            if part.rule.cluster not in document:
                raise UsageError(
                    f"{where}: its document has no field {part.rule.cluster!r} to cluster by; it has "
                    f"{', '.join(document)}; change `cluster` of task {part.task!r} in the map."
                )
            fields[number] = document[part.rule.cluster]
        own = filters.setdefault(name, {})
        for metric, value in metrics.items():
            values = own.setdefault(metric, {})
            if number in values:
                raise DataError(
                    f"{where}: document {number} occurs twice for filter {name!r}; remove the rows of one run."
                )
            values[number] = value
    if not filters:
        raise DataError(f"{part.samples}: holds no samples; run the evaluation again.")
    return filters, hashes, fields


def _per_item(
    part: Part, filters: Mapping[str, Mapping[str, _Values]], left_out: set[str]
) -> dict[str, dict[int, float]]:
    """The metrics that are a number per item with the reported result as their mean."""
    found: dict[str, dict[int, float]] = {}
    for name, metrics in filters.items():
        for metric, values in metrics.items():
            shown = metric if len(filters) == 1 else f"{metric},{name}"
            numbers = {
                number: float(value)
                for number, value in values.items()
                if isinstance(value, int | float) and math.isfinite(value)
            }
            reported = part.results.get(f"{metric},{name}")
            if len(numbers) < len(values) or not _is_mean(reported, numbers.values()):
                left_out.add(shown)
            else:
                found[shown] = numbers
    return found


def _is_mean(reported: Any, values: Collection[float]) -> bool:
    if not isinstance(reported, int | float):
        return False
    return abs(sum(values) / len(values) - reported) <= TOLERANCE * max(1.0, abs(reported))


def _clusters(hashes: Mapping[int, str], fields: _Values) -> dict[int, int]:
    """Document number -> the first document with the same value of the cluster field, or itself."""
    first: dict[str, int] = {}
    return {
        number: first.setdefault(repr(fields[number]), number) if fields else number
        for number in sorted(hashes)
    }
