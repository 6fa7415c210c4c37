"""What a reader must know about the data of an analysis: plain sentences."""

from collections.abc import Mapping, Sequence

import pandas as pd

from xeval.analysis.estimate import estimands
from xeval.analysis.estimate.arrays import Study
from xeval.analysis.estimate.estimands import Contrast
from xeval.analysis.frame.same_source import same_source
from xeval.analysis.frame.tidy import distinct
from xeval.conditions import (
    DIAGNOSTIC,
    MULTI_HOP_CLASSIFICATION,
    SINGLE_HOP_QA,
    has_several,
    single_conditions,
)


def dropped_runs(frame: pd.DataFrame, checked: pd.DataFrame) -> list[str]:
    """A sentence on the runs that are not complete and were left out on request."""
    run = ["target", "condition", "seed"]
    kept = set(distinct(checked, run).astype(str).itertuples(index=False, name=None))
    stored = frame.loc[frame["group"] != DIAGNOSTIC, run].drop_duplicates()
    stored = stored.assign(seed=pd.to_numeric(stored["seed"]).astype("int64"))
    lost = sorted(set(stored.astype(str).itertuples(index=False, name=None)) - kept)
    listed = "; ".join(f"{target}, {condition} seed {seed}" for target, condition, seed in lost)
    return (
        [f"Runs that are not complete, or have no complete baseline, are left out: {listed}."] if lost else []
    )


def _copies(copied: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence that names the targets and conditions whose runs agree on every item cluster, if there are any."""
    if not copied:
        return []
    found = "; ".join(f"{name} ({', '.join(conditions)})" for name, conditions in copied.items())
    return [
        f"Several runs score the same on every item: {found}. Unless training gave the same model again, "
        "they are copies of one run, and intervals that count them as several are too short."
    ]


def data_notes(
    study: Study, contrasts: Mapping[str, Contrast], copies: Mapping[str, Sequence[str]]
) -> list[str]:
    notes: list[str] = []
    if not any(study.source in target.languages for target in study.targets.values()):
        languages = sorted({lang for target in study.targets.values() for lang in target.languages})
        notes.append(
            f"No target has scores in the language of training, {study.source}, so that every language counts as one "
            f"of transfer: {', '.join(languages)}."
        )
    notes += _copies(copies)
    for target in study.targets.values():
        single = [
            name for name, seeds in target.seeds.items() if len(seeds) == 1 and name not in target.fixed
        ]
        if single:
            notes.append(
                f"{target.name}: one run of {', '.join(single)}; its intervals cover new items only, not new "
                "seeds."
            )
        if not study.transfer_languages(target.name):
            notes.append(f"{target.name}: evaluated in {study.source} only; it has no transfer gain.")
        if lacking := [name for name in study.conditions if name not in target.seeds]:
            notes.append(f"{target.name}: lacks the conditions {', '.join(lacking)}.")
    if study.conditions == single_conditions(study.conditions) and all(
        has_several(name) for name in study.conditions
    ):
        notes.append("Every condition has several intermediate tasks; the means are over these conditions.")
    notes += [
        f"{condition}: several seeds start from one intermediate checkpoint; their intervals are conditional "
        "on it."
        for condition in study.shared_parents
    ]
    key, bridge = contrasts.get(estimands.KEY.name), contrasts.get(estimands.SAME_FORMAT.name)
    if key and key.unmatched:
        pairs = "; ".join(" and ".join(pair) for pair in key.unmatched)
        notes.append(f"No shared language, so left out of C: {pairs}.")
    if key and key.dropped:
        pairs = "; ".join(
            f"{condition} on {name} ({same_source(condition, name)})" for condition, name in key.dropped
        )
        notes.append(f"Left out of C, as the gain is no transfer from another task: {pairs}.")
        members = [name for group in key.form.signs for name in study.in_group(group)]
        singles = single_conditions(study.conditions_of(members))
        if lost := [name for name in singles if name not in key.conditions]:
            notes.append(
                f"No target of one group is left for {', '.join(lost)}; C is over {', '.join(key.conditions)}."
            )
    rest = contrasts.get(estimands.REST.name)
    if key and bridge and rest:
        total = bridge.points.value + rest.points.value
        if abs(total - key.points.value) > 1e-9:
            notes.append(
                "C_QA and C − C_QA use, for each condition and combination of targets, what they share with "
                f"single-hop QA too, so they add up to {total:+.2f} points instead of C = "
                f"{key.points.value:+.2f}."
            )
    if study.in_group(MULTI_HOP_CLASSIFICATION) and study.in_group(SINGLE_HOP_QA):
        notes.append("Hop count and answer format are crossed in these targets; see the format x hops table.")
    return notes
