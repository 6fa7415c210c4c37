"""How many items, seeds and languages a figure or a table stands on, in words."""

from collections.abc import Iterable

from xeval.analysis.estimate.estimands import KEY
from xeval.analysis.frame.arrays import Target
from xeval.analysis.result import Analysis
from xeval.conditions import BASELINE


def sample(analysis: Analysis, targets: Iterable[str] | None = None) -> str:
    """Targets, items, clusters, languages and runs of some targets, or of all."""
    chosen = [analysis.targets[name] for name in targets] if targets else list(analysis.targets.values())
    languages = {lang for target in chosen for lang in target.languages} - {analysis.source}
    items = [count for target in chosen for count in target.items.values()]
    clusters = [count for target in chosen for count in target.clusters.values()]
    return (
        f"{count(len(chosen), 'target')}, {spread(items)} items ({spread(clusters)} clusters) per target and language, "
        f"{count(len(languages), 'transfer language')}, {runs(chosen)}."
    )


def smoke(analysis: Analysis) -> str:
    """That a test run on the first items is shown; empty where everything was evaluated."""
    listed: dict[str, list[str]] = {}
    for name, limit in analysis.limits.items():
        counted = max(analysis.targets[name].items.values()) if name in analysis.targets else limit
        whole = analysis.totals.get(name)
        if whole is None or whole > counted:
            of = f" of {whole:,}" if whole else ""
            listed.setdefault(f"the first {min(limit, counted):,}{of} items", []).append(name)
    if not listed:
        return ""
    several = sum(map(len, listed.values())) < len(analysis.targets) or len(listed) > 1
    what = "; ".join(f"{items} ({', '.join(names)})" if several else items for items, names in listed.items())
    return f"Smoke run (--limit): {what} of each language, not the test set."


def size_of_contrast(analysis: Analysis) -> str:
    """What C stands on; empty where there is no C."""
    key = analysis.contrasts.get(KEY.name)
    if key is None:
        return ""
    used = [analysis.targets[name] for name in key.targets]
    dropped = set(key.dropped)
    condition = [
        len(target.seeds[name])
        for target in used
        for name in key.conditions
        if (name, target.name) not in dropped
    ]
    baseline = [len(target.seeds[BASELINE]) for target in used]
    return (
        f"C: {count(len(used), 'target')}, {count(len(key.languages), 'shared language')}, "
        f"{count(len(key.conditions), 'condition')}, {spread(baseline)} baseline and {spread(condition)} condition "
        f"runs per target, {key.mean.points.clusters:,} item clusters."
    )


def runs(targets: Iterable[Target]) -> str:
    """``4 baseline and 3 condition runs per target``."""
    listed = list(targets)
    baseline = [len(target.seeds[BASELINE]) for target in listed]
    others = [len(seeds) for target in listed for name, seeds in target.seeds.items() if name != BASELINE]
    return f"{spread(baseline)} baseline and {spread(others or [0])} condition runs per target"


def spread(values: list[int]) -> str:
    """``3`` or ``3–5``."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,}–{max(values):,}"


def count(size: int, noun: str) -> str:
    """``1 language``, ``2 languages``."""
    return f"{size:,} {noun}{'' if size == 1 else 's'}"
