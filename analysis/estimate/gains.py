"""Scores and gains of a study, cell by cell, and their means over languages, tasks and conditions."""

from collections.abc import Mapping
from dataclasses import dataclass

from xeval.analysis.estimate import estimands
from xeval.analysis.estimate.arrays import Estimates, Study, Weights
from xeval.conditions import BASELINE, GROUPS, MEAN, single_conditions


@dataclass(frozen=True)
class Score:
    """Mean over runs, in points; ``spread`` is the standard deviation between runs (None for one run)."""

    condition: str
    target: str
    lang: str
    score: float
    spread: float | None
    runs: int


@dataclass(frozen=True)
class Gain(Estimates):
    """A gain over the baseline. ``subject`` is a target or a group; ``lang`` is empty for a mean over languages."""

    condition: str
    subject: str
    lang: str


@dataclass(frozen=True)
class Gains:
    """All gains of a study.

    Attributes:
        cells: g(k,t,l), the language of training included; ``tasks``: G(k,t); ``groups``: G(k,T). The condition
            ``mean`` is the average over the single intermediate tasks.
        source: the language of training.
    """

    cells: tuple[Gain, ...]
    tasks: tuple[Gain, ...]
    groups: tuple[Gain, ...]
    source: str

    def by_language(self) -> dict[tuple[str, str], dict[str, Estimates]]:
        """Gains by condition and target, then language; without the language of training."""
        found: dict[tuple[str, str], dict[str, Estimates]] = {}
        for gain in self.cells:
            if gain.lang != self.source:
                found.setdefault((gain.condition, gain.subject), {})[gain.lang] = gain
        return found

    def mean_of_groups(self) -> Mapping[str, Estimates]:
        """G(T): group -> its gain, averaged over the single intermediate tasks."""
        return {gain.subject: gain for gain in self.groups if gain.condition == MEAN}


def mean_scores(study: Study) -> tuple[Score, ...]:
    """The score of every condition, target and language."""
    return tuple(
        Score(
            condition=condition,
            target=target,
            lang=lang,
            score=100.0 * block.score,
            spread=100.0 * float(block.scores.std(ddof=1)) if len(block.seeds) > 1 else None,
            runs=len(block.seeds),
        )
        for (condition, target, lang), block in sorted(study.blocks.items())
    )


def all_gains(study: Study) -> Gains:
    """The gains of every cell, target and group."""
    cells = [cell for cell in sorted(study.blocks) if cell[0] != BASELINE]
    return Gains(
        tuple(_gain(study, estimands.cell_gain(*cell), *cell) for cell in cells),
        _tasks(study),
        _groups(study),
        study.source,
    )


def _gain(study: Study, weights: Weights, condition: str, subject: str, lang: str = "") -> Gain:
    found = study.estimates(weights)
    return Gain(found.points, found.logit, condition, subject, lang)


def _tasks(study: Study) -> tuple[Gain, ...]:
    gains = []
    for target in study.targets:
        languages = study.transfer_languages(target)
        for condition, members in _with_mean(study.conditions_of([target])) if languages else ():
            weights = estimands.task_gain(members, target, languages)
            gains.append(_gain(study, weights, condition, target))
    return tuple(gains)


def _groups(study: Study) -> tuple[Gain, ...]:
    gains = []
    for group in GROUPS:
        targets = study.in_group(group)
        for condition, members in _with_mean(study.conditions_of(targets)) if targets else ():
            weights = estimands.group_gain(study, members, group)
            gains.append(_gain(study, weights, condition, group))
    return tuple(gains)


def _with_mean(conditions: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Each condition alone, after the mean over the single ones; none where there is no condition."""
    if not conditions:
        return []
    return [(MEAN, single_conditions(conditions)), *((condition, (condition,)) for condition in conditions)]
