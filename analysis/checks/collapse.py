"""Runs that learnt nothing: one answer for all items, or a main metric at chance.

A gain over such a run, or of one, says how training failed and not what transfers. A run is a checkpoint of one
(condition, seed) on one target. It counts as collapsed where one of these holds:

- its files say so: training taught nothing (column ``collapsed``), or all its predictions are the same in the language
  of training, or in all its languages where that one is not evaluated (column ``constant``);
- its main metric is not above chance in the language of training, or, where that one is not evaluated, in the mean over
  its languages: the lower end of the one-sided 95 % t interval over item clusters does not exceed chance. A run that
  guesses passes in at most one of twenty cases. Where chance is not known, nothing is said;
- it scores the same on every item, and less than everything, or the same on each cluster of parallel items in all
  languages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xeval.analysis.estimate.arrays import Cell, Estimates, Study, Target
from xeval.analysis.estimate.variance import Block, Floats, Term, estimate, make_block
from xeval.conditions import BASELINE

Run = tuple[str, str, int]
"""Target, condition, seed."""
LEVEL = 0.95
FEWEST_CELLS = 10
"""So many clusters must win and so many lose something before equal scores are no accident."""
RULE = (
    "Collapsed: training or the predictions say so (one answer for all items), the main metric is not above chance in "
    "the language of training (in the mean over all languages where that one is not evaluated; one-sided 95 % t "
    "interval over item clusters), or all items, or all languages item by item, score the same."
)


@dataclass(frozen=True)
class CollapsedRun:
    """A run that learnt nothing, and how that shows."""

    target: str
    condition: str
    seed: int
    reason: str


def collapsed_runs(study: Study, told: Mapping[Run, str]) -> tuple[CollapsedRun, ...]:
    """Every collapsed run of a study, in order.

    Args:
        told: what the files say of runs, as reasons.
    """
    found = []
    for name, target in study.targets.items():
        for condition, seeds in target.seeds.items():
            for place, seed in enumerate(seeds):
                blocks = {
                    lang: of_runs(study.blocks[condition, name, lang], [place]) for lang in target.languages
                }
                reason = told.get((name, condition, seed)) or _at_chance(study, name, blocks) or _same(blocks)
                if reason:
                    found.append(CollapsedRun(name, condition, seed, reason))
    return tuple(found)


def of_runs(block: Block, places: Sequence[int]) -> Block:
    """The block of some of its runs."""
    return make_block(
        block.num[list(places)],
        block.den[list(places)],
        block.clusters,
        [block.seeds[place] for place in places],
        block.population,
        block.deterministic,
    )


def _at_chance(study: Study, target: str, blocks: Mapping[str, Block]) -> str:
    languages = [study.source] if study.source in blocks else list(blocks)
    chances = [study.targets[target].chance[lang] for lang in languages]
    known = [chance for chance in chances if chance is not None]
    if len(known) < len(chances):
        return ""
    chance = 100.0 * sum(known) / len(known)
    weight = 1.0 / len(languages)
    mean = estimate([Term(weight, blocks[lang]) for lang in languages], "points", study.strata, study.method)
    if mean.items_interval(2.0 * LEVEL - 1.0)[0] > chance:
        return ""
    where = f"in {languages[0]}" if len(languages) == 1 else f"in the mean over {len(languages)} languages"
    return f"not above chance {where} ({mean.value:.1f}, chance {chance:.1f})"


def _same(blocks: Mapping[str, Block]) -> str:
    shares = {lang: cluster_scores(block)[0] for lang, block in blocks.items()}
    everything = np.concatenate(list(shares.values()))
    if np.ptp(everything) == 0.0 and everything[0] < 1.0:
        return f"the same score on every item ({100.0 * everything[0]:.1f})"
    first = next(iter(blocks))
    parallel = len(blocks) > 1 and all(
        np.array_equal(block.clusters, blocks[first].clusters) for block in blocks.values()
    )
    if (
        parallel
        and tells(shares[first])
        and all(np.array_equal(share, shares[first]) for share in shares.values())
    ):
        return f"the same score on every item in all {len(blocks)} languages"
    return ""


def cluster_scores(block: Block) -> Floats:
    """(S, N) share of what can be had that each run has on each cluster; 1 where there is nothing to have."""
    shares: Floats = np.divide(block.num, block.den, out=np.ones_like(block.num), where=block.den > 0.0)
    return shares


def tells(shares: Floats) -> bool:
    """Whether two runs, or two languages, that score like this on every cluster are one by more than accident."""
    fewest = min(int((shares > 0.0).sum()), int((shares < 1.0).sum()))
    return fewest >= FEWEST_CELLS and bool(np.ptp(shares) > 0.0)


def copied(study: Study, collapsed: tuple[CollapsedRun, ...]) -> dict[str, tuple[str, ...]]:
    """Target -> conditions, of which several runs score the same on every item cluster, collapsed ones apart."""
    gone = {(run.target, run.condition, run.seed) for run in collapsed}
    found: dict[str, tuple[str, ...]] = {}
    for name, target in study.targets.items():
        owners: dict[bytes, list[str]] = {}
        for condition, seeds in target.seeds.items():
            blocks = [study.blocks[condition, name, lang] for lang in target.languages]
            for place, seed in enumerate(seeds):
                shares = np.concatenate([cluster_scores(block)[place] for block in blocks])
                if (name, condition, seed) not in gone and tells(shares):
                    owners.setdefault(shares.tobytes(), []).append(condition)
        several = {condition for listed in owners.values() if len(listed) > 1 for condition in listed}
        if several:
            found[name] = tuple(condition for condition in target.seeds if condition in several)
    return found


def without(study: Study, collapsed: tuple[CollapsedRun, ...]) -> Study:
    """The study without its collapsed runs; targets without a baseline run go, and of paired runs the whole seed."""
    gone = {(run.target, run.condition, run.seed) for run in collapsed}
    seeds = {run.seed for run in collapsed} if study.method.paired else set()
    targets: dict[str, Target] = {}
    blocks: dict[Cell, Block] = {}
    for name, target in study.targets.items():
        kept = {
            condition: [
                place
                for place, seed in enumerate(listed)
                if (name, condition, seed) not in gone and seed not in seeds
            ]
            for condition, listed in target.seeds.items()
        }
        if not kept[BASELINE]:
            continue
        targets[name] = replace(
            target,
            seeds={
                condition: tuple(target.seeds[condition][place] for place in places)
                for condition, places in kept.items()
                if places
            },
        )
        for condition, places in kept.items():
            for lang in target.languages if places else ():
                block = study.blocks[condition, name, lang]
                whole = len(places) == len(block.seeds)
                blocks[condition, name, lang] = block if whole else of_runs(block, places)
    conditions = {condition for condition, _, _ in blocks}
    return replace(
        study,
        targets=targets,
        blocks=blocks,
        conditions=tuple(condition for condition in study.conditions if condition in conditions),
    )


@dataclass(frozen=True)
class Compared:
    """An estimand with all runs and without the collapsed ones; None where it cannot be computed without them."""

    name: str
    all_runs: Estimates
    without: Estimates | None


@dataclass(frozen=True)
class Collapse:
    """What collapsed, and what changes without it.

    Attributes:
        compared: C and the gains of targets and groups that have collapsed runs.
        sentence: whether the outcome of the verdict changes without these runs.
        headline: of the verdict without them; empty where it stays.
    """

    runs: tuple[CollapsedRun, ...]
    compared: tuple[Compared, ...]
    sentence: str
    headline: str
    rule: str = RULE
