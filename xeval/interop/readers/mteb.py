"""Result files of mteb (1.11 and later): MODEL/REVISION/TASK.json with one score per split and subset.

mteb's Tatoeba and BUCC are not XTREME's: Tatoeba has 112 pairs and an F1 over sentences, BUCC keeps the sentences that
have a partner and scores the nearest neighbour. Their targets keep mteb's names here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xeval.analysis.estimate.aggregates import AggregateScore
from xeval.conditions import RETRIEVAL
from xeval.errors import DataError, UsageError
from xeval.interop.readers.base import Foreign, listed, read_json
from xeval.interop.readers.mapping import ScoreMap, TaskRule, language_code

TOOL = "mteb"
KNOWN: Mapping[str, TaskRule] = {
    "Tatoeba": TaskRule(group=RETRIEVAL, metric="f1"),
    "BUCC": TaskRule(group=RETRIEVAL, metric="f1"),
    "BUCC.v2": TaskRule(group=RETRIEVAL, metric="f1"),
}
MAIN = "main_score"
PROPORTIONS = frozenset({"accuracy", "f1", "precision", "recall", "f1_weighted", "ap"})
MISSING = (
    "mteb's result files hold one score per split and language and none per sentence, so there is no interval over new "
    "items, no test of a sentence's change and no verdict; `xeval run` on the same checkpoints gives scores per item.",
)


def is_result(value: Any) -> bool:
    """Whether a JSON value is a result file of mteb."""
    return isinstance(value, dict) and {"task_name", "scores", "dataset_revision"} <= set(value)


def is_old_result(value: Any) -> bool:
    """Whether a JSON value was written by mteb before 1.11, which had neither languages nor subsets."""
    return isinstance(value, dict) and "mteb_version" in value and "scores" not in value


def read(source: Path, mapping: ScoreMap) -> Foreign:
    """The scores of one result file, or of all below a folder.

    Raises:
        DataError: a file lacks what mteb writes, or two files hold the same.
        UsageError: the map does not say which split or subsets count.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    scores: list[AggregateScore] = []
    ungrouped: set[str] = set()
    old: list[str] = []
    seen: dict[tuple[str, str], Path] = {}
    for file in files:
        document = read_json(file)
        if is_old_result(document):
            old.append(file.name)
        if not is_result(document):
            continue
        task, model = str(document["task_name"]), _model(file)
        folder = file.parent.relative_to(source).as_posix() if file != source else file.parent.name
        run = mapping.run(folder, model)
        rule, lang = mapping.task(task, KNOWN) or (TaskRule(), "")
        key = (f"{run.condition} {run.number}", task)
        if key in seen:
            raise DataError(
                f"{file} and {seen[key]}: both hold {task} for condition {run.condition!r}, seed {run.number}; remove "
                "one, or tell with --map which condition and seed each folder is."
            )
        seen[key] = file
        if not rule.group:
            ungrouped.add(task)
        entries = _entries(file, document["scores"], rule)
        for entry, own_lang in zip(entries, _languages(file, entries, lang), strict=True):
            metric = rule.metric or MAIN
            value = entry.get(metric)
            if not isinstance(value, int | float):
                numbers = [name for name, one in entry.items() if isinstance(one, int | float)]
                raise UsageError(
                    f"{file}: has no score {metric!r}; name one of {', '.join(numbers)} as `metric` of {task!r} in the "
                    "map."
                )
            scores.append(
                AggregateScore(
                    run.condition,
                    rule.target or task,
                    rule.group,
                    metric,
                    own_lang,
                    run.number,
                    100.0 * float(value),
                    metric in PROPORTIONS,
                )
            )
    if not scores:
        raise DataError(
            f"{source}: holds no results of mteb 1.11 or later"
            + (f"; {listed(old)} is older: load and save it with a newer mteb." if old else ".")
        )
    notes = []
    if old:
        notes.append(f"Left out, as written by mteb before 1.11: {listed(old)}.")
    if ungrouped:
        notes.append(f"In no group of targets; the map can tell: {listed(sorted(ungrouped))}.")
    return Foreign(TOOL, None, tuple(scores), MISSING, tuple(notes))


def _model(file: Path) -> str:
    """The model's name: in ``model_meta.json`` beside the file, else that of the folder above the revision's."""
    meta = file.with_name("model_meta.json")
    if meta.exists():
        document = read_json(meta)
        if isinstance(document, dict) and document.get("name"):
            return str(document["name"])
    return file.parent.parent.name.replace("__", "/")


def _entries(file: Path, scores: Mapping[str, Any], rule: TaskRule) -> list[Mapping[str, Any]]:
    splits = [name for name, entries in scores.items() if entries]
    split = rule.split or ("test" if "test" in splits else splits[0] if len(splits) == 1 else "")
    if split not in splits:
        raise UsageError(
            f"{file}: has the splits {', '.join(splits) or 'none'}; name one as `split` of its task in the map."
        )
    entries = [entry for entry in scores[split] if not rule.subsets or entry["hf_subset"] in rule.subsets]
    if lacking := sorted(set(rule.subsets) - {entry["hf_subset"] for entry in entries}):
        raise UsageError(f"{file}: has no subset {lacking[0]!r}; mend `subsets` of its task in the map.")
    return entries


def _languages(file: Path, entries: list[Mapping[str, Any]], lang: str) -> Iterator[str]:
    """A language per subset: of a pair with English the other one."""
    found = []
    for entry in entries:
        codes = sorted({language_code(code) for code in entry["languages"]} - {"en"}) or ["en"]
        found.append(lang or "-".join(codes))
    again = [code for code, count in Counter(found).items() if count > 1]
    if again:
        names = [
            str(entry["hf_subset"]) for entry, code in zip(entries, found, strict=True) if code == again[0]
        ]
        raise UsageError(
            f"{file}: its subsets {listed(names)} are all of language {again[0]!r}; say which ones count by `subsets` "
            "of its task in the map."
        )
    yield from found
