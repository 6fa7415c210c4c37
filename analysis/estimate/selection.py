"""The one filter: which conditions, targets and languages an estimate or a model is of.

A gain counts on the languages other than that of training. Means and models are over the single intermediate tasks.
A pair of which the condition holds (nearly) the target's own English training data says nothing of transfer from
another task (see :mod:`.frame.same_source`). A target that no condition learns supports no claim.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from xeval.analysis.estimate.arrays import Study
from xeval.analysis.frame.same_source import same_source
from xeval.analysis.frame.tidy import main_rows
from xeval.conditions import BASELINE, single_conditions
from xeval.errors import DataError


@dataclass(frozen=True)
class Pair:
    """A condition on a target that it was evaluated on.

    Attributes:
        languages: of transfer, sorted.
        same_source: why the condition holds (nearly) the target's own English training data; empty where it does not.
    """

    condition: str
    target: str
    group: str
    languages: tuple[str, ...]
    same_source: str


def select(
    study: Study,
    *,
    groups: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    languages: Iterable[str] | None = None,
    keep_same_source: bool = True,
) -> tuple[Pair, ...]:
    """Pairs with a transfer language, target by target, in the order of the groups, if given, and of the conditions.

    Args:
        groups: of targets; all if None.
        conditions: the single intermediate tasks of the study if None.
        languages: only these; all if None.
        keep_same_source: whether pairs of one source stay.
    """
    chosen = single_conditions(study.conditions) if conditions is None else conditions
    allowed = None if languages is None else set(languages)
    names = study.targets if groups is None else [name for group in groups for name in study.in_group(group)]
    found = []
    for name in names:
        target = study.targets[name]
        spoken = tuple(lang for lang in study.transfer_languages(name) if allowed is None or lang in allowed)
        for condition in chosen if spoken else ():
            why = same_source(condition, name)
            if condition in target.seeds and (keep_same_source or not why):
                found.append(Pair(condition, name, target.group, spoken, why))
    return tuple(found)


def languages_of(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """All languages of some pairs, sorted."""
    return tuple(sorted({lang for pair in pairs for lang in pair.languages}))


def common_conditions(study: Study, groups: Iterable[str]) -> tuple[str, ...]:
    """The conditions that all targets of the groups have; none where a group has no target."""
    members = [study.in_group(group) for group in groups]
    return study.conditions_of(name for names in members for name in names) if all(members) else ()


def transfer_rows(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The rows of baseline and single intermediate tasks, main metric, in the languages of transfer.

    Raises:
        DataError: there is no condition among them.
    """
    rows = main_rows(frame)
    rows = rows[rows["lang"] != source]
    conditions = single_conditions(sorted(set(map(str, rows["condition"].unique())) - {BASELINE}))
    if not conditions:
        raise DataError("only the baseline has scores in a transfer language; there is no gain to model.")
    kept: pd.DataFrame = rows[rows["condition"].isin([BASELINE, *conditions])]
    return kept


def learnt(study: Study, target: str) -> bool:
    """Whether a target is above chance in its transfer languages under some condition; true where it is unknown."""
    return above_chance(study, target, study.conditions_of([target]), study.transfer_languages(target))


def above_chance(study: Study, target: str, conditions: Sequence[str], compared: Sequence[str]) -> bool:
    """Whether some condition's mean over the compared languages is shown to exceed chance; true where it is unknown.

    The runs at hand count, not new seeds: the interval is over items, at the level divided by the number of conditions,
    as of several systems that guess some score above chance.
    """
    languages = [lang for lang in compared if lang in study.targets[target].languages]
    chances = [study.targets[target].chance[lang] for lang in languages]
    if not languages or any(chance is None for chance in chances):
        return True
    chance = 100.0 * sum(value for value in chances if value is not None) / len(chances)
    cells = [
        [(condition, target, lang) for lang in languages]
        for condition in (BASELINE, *conditions)
        if all((condition, target, lang) in study.blocks for lang in languages)
    ]
    level = 1.0 - (1.0 - study.method.confidence) / max(1, len(cells))
    means = (study.estimate(dict.fromkeys(listed, 1.0 / len(listed)), "points") for listed in cells)
    return any(mean.items_interval(level)[0] > chance for mean in means)
