"""Gains of all cells in one model with crossed random effects: the wider generalisations of the key contrast.

The design-based contrast (:mod:`.estimate.estimands`) stays the primary answer, for these benchmarks. Here tasks and
languages may be random draws, so that the interval speaks of such tasks in general; with one multi-hop task it is about
three times as wide. Per (condition k, target t, seed s, language l):
``gain = type + baseline + language covariates + same source + u_task + u_condition + u_language + u_task:condition +
u_task:language + u_run + u_baseline_run + u_baseline_cell + e``.

The baseline enters both axes of a regression of gains on baselines, with opposite signs, so its noise alone makes a
negative slope. The baseline runs are therefore split: one part is the covariate, the other part is subtracted.
Estimates are averaged over splits, and so are their covariance matrices, which overstates the variance of the average.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np

from xeval.analysis.estimate.arrays import Study
from xeval.analysis.estimate.selection import languages_of, select
from xeval.analysis.estimate.variance import Floats, Scale, transform
from xeval.analysis.models.diagnostics import Diagnostics, diagnose
from xeval.analysis.models.fit import Coefficients, MixedFit, RandomTerm, TTest, random_term
from xeval.analysis.models.languages import Covariates, covariates
from xeval.analysis.models.reml import MixedModel, mixed_model
from xeval.conditions import (
    BASELINE,
    CLASSIFICATION,
    GROUPS,
    MULTI_HOP_CLASSIFICATION,
    MULTI_HOP_QA,
    SINGLE_HOP_QA,
)
from xeval.errors import DataError

Tasks = Literal["random", "fixed"]
MOST_SPLITS = 6
LARGE = 400
"""With more gains than this, two splits are enough: a fit takes seconds, and splits differ little."""
MOST_GAINS = 10_000
"""A study of more runs' gains than that is left to the closed form, which takes them all in no time."""
CONTRASTS = {
    "multi-hop QA − classification": (MULTI_HOP_QA, CLASSIFICATION),
    "multi-hop QA − single-hop QA": (MULTI_HOP_QA, SINGLE_HOP_QA),
    "single-hop QA − classification": (SINGLE_HOP_QA, CLASSIFICATION),
    "multi-hop classification − classification": (MULTI_HOP_CLASSIFICATION, CLASSIFICATION),
}
SAME_SOURCE = "same source"
BASELINE_SCORE = "baseline"


@dataclass(frozen=True)
class Rows:
    """One row per gain, as parallel columns.

    ``baseline`` is the split-off baseline level of the row's target and language, ``baseline_seed`` the run that was
    subtracted.
    """

    value: Floats
    condition: list[str]
    target: list[str]
    group: list[str]
    lang: list[str]
    seed: list[int]
    baseline: Floats
    baseline_seed: list[int]


@dataclass(frozen=True)
class Regression:
    """A fitted cell model.

    Attributes:
        contrasts, coefficients: t tests with stated degrees of freedom, in points or log-odds (covariates: per
            standard deviation; baseline: per unit).
        unusable: name of a test -> why it must not be used.
        components: variances, mean over splits, of the terms that have one; ``singular`` are zero in every split,
            and the fit is the one without them.
        fits: one per split of the baseline runs.
        notes: covariates, terms and languages that were left out, in sentences.
    """

    contrasts: Mapping[str, TTest]
    coefficients: Mapping[str, TTest]
    unusable: Mapping[str, str]
    components: Mapping[str, float]
    residual: float
    singular: tuple[str, ...]
    converged: bool
    fits: tuple[MixedFit, ...]
    diagnostics: Diagnostics
    notes: tuple[str, ...]


def cell_model(
    study: Study,
    scale: Scale,
    *,
    tasks: Tasks = "random",
    covariate_names: Sequence[str] = ("syntactic", "log_size"),
    same_source: Iterable[tuple[str, str]] = (),
    baseline: bool = True,
) -> Regression:
    """The model of the gains of all runs.

    Args:
        tasks: ``random`` for other tasks of these types, ``fixed`` for these benchmarks.
        covariate_names: of languages, z-scored; languages without one are left out and named.
        same_source: (condition, target) pairs whose training data come from one source.
        baseline: whether the split-seed baseline is a covariate; without it, nothing is split.

    Raises:
        DataError: too few tasks, languages or rows, or nothing varies.
    """
    table = covariates(covariate_names, languages_of(select(study)))
    kept = table.languages
    notes = list(table.notes)
    chosen = list(dict.fromkeys(pair.target for pair in select(study, languages=kept)))
    if not chosen:
        raise DataError("no target has a transfer language with known covariates; name other covariates.")
    splits = _split_count(study, chosen) if baseline else 1
    if baseline and not _can_split(study, chosen):
        baseline, splits = False, 1
        notes.append("Every baseline has a single run, so it cannot be split: no baseline covariate.")
    elif baseline and tasks == "fixed" and (few := _two_baseline_runs(study, chosen)):
        # One run would be left to subtract, and its noise could not be told from the fixed task.
        baseline, splits = False, 1
        notes.append(
            f"Two baseline runs of {', '.join(few)} are both needed to tell their noise from the task: no baseline "
            "covariate."
        )
    rows = gain_rows(study, scale, kept, 0 if baseline else None)
    if rows.value.size > MOST_GAINS:
        raise DataError(
            f"{rows.value.size:,} gains of runs are more than the {MOST_GAINS:,} up to which the model is fitted; the "
            "closed form stands alone."
        )
    if rows.value.size > LARGE:
        splits = min(splits, 2)
    parts = [rows, *(gain_rows(study, scale, kept, number) for number in range(1, splits))]
    built = [_assemble(part, tasks, table, set(same_source), baseline) for part in parts]
    alike = [split for split in built if _structure(split[1]) == _structure(built[0][1])]
    if len(alike) < len(built):
        notes.append(
            f"{len(built) - len(alike)} of {len(built)} splits of the baseline runs allow other terms than the first "
            "and are left out."
        )
    return _summarise(alike, tasks, table, notes, study)


def gain_rows(
    study: Study, scale: Scale, languages: Iterable[str] | None = None, split: int | None = 0
) -> Rows:
    """Gains over single baseline runs.

    Each run of a condition is compared with one run of the second part of the baseline's split number ``split`` (of
    all its runs if None); the parts' runs are used in turn, so that all of them enter.

    Raises:
        DataError: no target has a transfer language with known covariates.
    """
    made: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    place: Counter[str] = Counter()
    for pair in select(study, languages=languages):
        for lang in pair.languages:
            treated = study.blocks[pair.condition, pair.target, lang]
            base = study.blocks[BASELINE, pair.target, lang]
            levels = _levels(base.scores, base.denominator, scale)
            first, second = split_of(len(base.seeds), split)
            for number, score in enumerate(_levels(treated.scores, treated.denominator, scale)):
                run = second[(number + place[pair.target] * len(treated.seeds)) % len(second)]
                row = (
                    score - levels[run], pair.condition, pair.target, pair.group, lang,
                    treated.seeds[number], levels[list(first)].mean(), base.seeds[run],
                )  # fmt: skip
                for name, value in zip(_COLUMNS, row, strict=True):
                    made[name].append(value)
        place[pair.target] += 1
    if not made["value"]:
        raise DataError("no target has a transfer language with known covariates; name other covariates.")
    numbers = {name: np.array(made[name], dtype=np.float64) for name in ("value", "baseline")}
    return Rows(**{name: numbers.get(name, made[name]) for name in _COLUMNS})  # type: ignore[arg-type]


_COLUMNS = ("value", "condition", "target", "group", "lang", "seed", "baseline", "baseline_seed")


def _levels(scores: Floats, denominator: float, scale: Scale) -> Floats:
    return np.array([transform(float(score), denominator, scale)[0] for score in scores])


def split_of(runs: int, split: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The two parts of baseline runs of split number ``split``; both are all runs where nothing is split."""
    everything = tuple(range(runs))
    if split is None or runs == 1:
        return everything, everything
    halves = comb(runs, runs // 2)
    step = max(1, halves // MOST_SPLITS)
    first = _combination(runs, runs // 2, split * step % halves)
    return first, tuple(run for run in everything if run not in first)


def _combination(size: int, chosen: int, place: int) -> tuple[int, ...]:
    """The combination at a place of ``itertools.combinations(range(size), chosen)``, of which there may be many."""
    found: list[int] = []
    for number in range(size):
        with_it = comb(size - number - 1, chosen - len(found) - 1)
        if place < with_it:
            found.append(number)
            if len(found) == chosen:
                break
        else:
            place -= with_it
    return tuple(found)


def _split_count(study: Study, targets: Sequence[str]) -> int:
    most = max(len(study.targets[name].seeds[BASELINE]) for name in targets)
    return min(MOST_SPLITS, comb(most, most // 2)) if most > 1 else 1


def _can_split(study: Study, targets: Sequence[str]) -> bool:
    return any(len(study.targets[name].seeds[BASELINE]) > 1 for name in targets)


def _two_baseline_runs(study: Study, targets: Sequence[str]) -> list[str]:
    return [name for name in targets if len(study.targets[name].seeds[BASELINE]) == 2]


def _single_runs(study: Study, targets: Iterable[str]) -> str:
    """Why the noise of a single run cannot be told from the fixed tasks; empty where it can.

    The runs of one of several conditions vary with the condition, which is a random term; the only run of the baseline,
    or of the only condition, is in every gain of the task.
    """
    for name in targets:
        target = study.targets[name]
        if len(target.seeds[BASELINE]) == 1 and BASELINE not in target.fixed:
            return "a task's baseline has a single run, whose noise is in all its gains"
        conditions = [pair.condition for pair in select(study) if pair.target == name]
        if len(conditions) == 1 and len(target.seeds[conditions[0]]) == 1:
            return "a task has one condition with a single run, whose noise is in all its gains"
    return ""


def _assemble(
    rows: Rows, tasks: Tasks, table: Covariates, same_source: set[tuple[str, str]], baseline: bool
) -> tuple[Rows, MixedModel, dict[str, dict[str, float]], list[str]]:  # fmt: skip
    """The model of one split, the weights of its contrasts, and notes."""
    notes: list[str] = []
    groups = [name for name in GROUPS if name in set(rows.group)]
    reference = groups[0]
    names, columns = [], []
    if tasks == "fixed":
        for target in sorted(set(rows.target)):
            names.append(target)
            columns.append(_is(rows.target, target))
    else:
        names, columns = ["intercept"], [np.ones(rows.value.size)]
        for group in groups[1:]:
            names.append(group)
            columns.append(_is(rows.group, group))
    candidates: list[tuple[str, Floats]] = []
    if baseline:
        candidates.append(
            (BASELINE_SCORE, _centred(rows.baseline, rows.target if tasks == "fixed" else None))
        )
    z = table.standardised() if table.names else {}
    for name in table.names:
        candidates.append((name, np.array([z[lang][name] for lang in rows.lang])))
    if same_source:
        pairs = zip(rows.condition, rows.target, strict=True)
        candidates.append((SAME_SOURCE, np.array([float(pair in same_source) for pair in pairs])))
    for name, column in candidates:
        if np.linalg.matrix_rank(np.column_stack([*columns, column])) == len(columns) + 1:
            names.append(name)
            columns.append(column)
        else:
            notes.append(f"The covariate {name} cannot be told apart from the others here and is left out.")
    fixed = np.column_stack(columns)
    terms = estimable(_terms(rows, tasks), fixed, notes)
    weights = _contrast_weights(rows, groups, reference, tasks)
    return rows, mixed_model(rows.value, fixed, names, terms), weights, notes


def _structure(model: MixedModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fixed columns and of the random terms."""
    return model.names, tuple(term.name for term in model.terms)


def _centred(values: Floats, within: Sequence[str] | None) -> Floats:
    """Minus the mean of all, or of its own label: contrasts of fixed tasks are then not moved by the covariate."""
    labels = np.array(within if within is not None else [""] * values.size)
    means = {str(label): values[labels == label].mean() for label in set(labels.tolist())}
    return np.asarray(values - np.array([means[label] for label in labels.tolist()]))


def _is(labels: Sequence[str], wanted: str) -> Floats:
    return np.array([float(label == wanted) for label in labels])


def _terms(rows: Rows, tasks: Tasks) -> list[RandomTerm]:
    pairs: dict[str, Sequence[Any]] = {
        "task": list(rows.target),
        "condition": list(rows.condition),
        "language": list(rows.lang),
        "task:condition": list(zip(rows.target, rows.condition, strict=True)),
        "task:language": list(zip(rows.target, rows.lang, strict=True)),
        "run": list(zip(rows.target, rows.condition, rows.seed, strict=True)),
        "baseline run": list(zip(rows.target, rows.baseline_seed, strict=True)),
        "baseline cell": list(zip(rows.target, rows.lang, rows.baseline_seed, strict=True)),
    }
    return [
        random_term(name, labels) for name, labels in pairs.items() if name != "task" or tasks == "random"
    ]


def estimable(terms: Sequence[RandomTerm], fixed: Floats, notes: list[str]) -> list[RandomTerm]:
    """The terms whose variance the design can tell apart; a sentence is added for each of the others."""
    basis = np.linalg.qr(fixed)[0]
    kept: list[RandomTerm] = []
    for term in terms:
        Z = np.zeros((term.codes.size, term.levels))
        Z[np.arange(term.codes.size), term.codes] = 1.0
        left = float(((Z - basis @ (basis.T @ Z)) ** 2).sum())
        alike = next((kept_term.name for kept_term in kept if _alike(kept_term, term)), None)
        if alike is not None:
            notes.append(f"The random term {term.name} groups the rows as {alike} does and is left out.")
        elif left < 1e-8 * float((Z**2).sum()) or term.levels < 2:
            notes.append(
                f"The random term {term.name} cannot be told from the fixed effects and is left out."
            )
        elif term.levels == term.codes.size:
            notes.append(f"The random term {term.name} has one level per row: it is the residual.")
        else:
            kept.append(term)
    if not kept:
        raise DataError(
            "the design is too small: no random term can be estimated; use the design-based contrast."
        )
    return kept


def _alike(first: RandomTerm, second: RandomTerm) -> bool:
    """Whether two terms are the same grouping of the rows."""
    pairs = set(zip(first.codes.tolist(), second.codes.tolist(), strict=True))
    return len(pairs) == first.levels == second.levels


def _contrast_weights(
    rows: Rows, groups: Sequence[str], reference: str, tasks: Tasks
) -> dict[str, dict[str, float]]:
    members = {
        group: sorted({t for t, its_group in zip(rows.target, rows.group, strict=True) if its_group == group})
        for group in groups
    }
    weights: dict[str, dict[str, float]] = {}
    for name, (above, below) in CONTRASTS.items():
        if above not in members or below not in members:
            continue
        signed: dict[str, float] = {}
        for group, sign in ((above, 1.0), (below, -1.0)):
            if tasks == "fixed":
                signed |= {target: sign / len(members[group]) for target in members[group]}
            elif group != reference:
                signed[group] = sign
        weights[name] = signed
    return weights


def degrees(rows: Rows, tasks: Tasks, table: Covariates) -> dict[str, float]:
    """Degrees of freedom of each kind of test: by the units that vary, never by the rows.

    ``type``: tasks - types; with fixed tasks, the smaller of tasks x (conditions - 1) and tasks x (baseline runs - 1)
    over those that exist. ``language``: languages - covariates.
    """
    targets, languages = len(set(rows.target)), len(set(rows.lang))
    conditions = len(set(rows.condition))
    types = float(targets - len(set(rows.group)))
    if tasks == "fixed":
        runs = len(set(zip(rows.target, rows.baseline_seed, strict=True))) - targets
        trained = len(set(zip(rows.target, rows.condition, rows.seed, strict=True))) - targets * conditions
        strata = [float(count) for count in (targets * (conditions - 1) or trained, runs) if count > 0]
        types = min(strata, default=0.0)
    cells = len(set(zip(rows.target, rows.lang, strict=True)))
    return {
        "type": types,
        "language": float(languages - len(table.names)),
        "baseline": max(1.0, float(cells - targets - languages + 1)),
        "pair": max(1.0, float((conditions - 1) * (targets - 1))),
    }


def _summarise(
    built: Sequence[tuple[Rows, MixedModel, dict[str, dict[str, float]], list[str]]],
    tasks: Tasks, table: Covariates, notes: list[str], study: Study,
) -> Regression:  # fmt: skip
    rows, first, weights, own_notes = built[0]
    fits = tuple(model.fit() for _, model, _, _ in built)
    averaged = Coefficients(
        first.names,
        np.mean([fit.beta for fit in fits], axis=0),
        np.mean([fit.covariance for fit in fits], axis=0),
    )
    singular = tuple(name for name in fits[0].singular if all(name in fit.singular for fit in fits))
    converged = all(fit.converged for fit in fits)
    df = degrees(rows, tasks, table)
    contrasts = {
        name: averaged.test(name, direction, max(df["type"], 1.0)) for name, direction in weights.items()
    }
    kinds = {BASELINE_SCORE: "baseline", SAME_SOURCE: "pair"} | dict.fromkeys(table.names, "language")
    coefficients = {
        name: averaged.test(name, {name: 1.0}, max(df[kind], 1.0))
        for name, kind in kinds.items()
        if name in first.names
    }
    unusable: dict[str, str] = {}
    for name in (*contrasts, *coefficients):
        kind = "type" if name in contrasts else kinds[name]
        carrier = {"type": "task" if tasks == "random" else "", "language": "language"}.get(kind, "")
        used = (
            [column for column, weight in weights.get(name, {}).items() if weight] if tasks == "fixed" else []
        )
        if not converged:
            unusable[name] = "the fit did not converge"
        elif why := _single_runs(study, used):
            unusable[name] = why
        elif df[kind] <= 0:
            unusable[name] = f"no degrees of freedom: {_shortage(kind, tasks)}"
        elif carrier and (carrier in singular or carrier not in fits[0].components):
            unusable[name] = (
                f"no variance between {carrier}s was found, so nothing is known of other {carrier}s"
            )
    # At a variance of zero (1e-10 of the residual's) all other numbers are those of the model without the term.
    components = {
        name: float(np.mean([fit.components[name] for fit in fits]))
        for name in fits[0].components
        if name not in singular
    }
    return Regression(
        contrasts=contrasts, coefficients=coefficients, unusable=unusable, components=components,
        residual=float(np.mean([fit.residual for fit in fits])), singular=singular, converged=converged,
        fits=fits,
        diagnostics=diagnose(first, fits, study, rows.group, rows.baseline),
        notes=(*dict.fromkeys([*notes, *own_notes]), *problems(singular, converged, fits)),
    )  # fmt: skip


def problems(singular: Sequence[str], converged: bool, fits: Sequence[MixedFit]) -> list[str]:
    """What is wrong with the fits of all splits, in sentences."""
    found = (
        [] if converged else [next(problem for fit in fits for problem in fit.problems if not fit.converged)]
    )
    if singular:
        found.append(
            f"No variance was found for {', '.join(singular)}: that fit is singular; the one without is shown."
        )
    return found


def _shortage(kind: str, tasks: Tasks) -> str:
    if kind == "language":
        return "there are no more languages than covariates"
    return "there is one task per type" if tasks == "random" else "there is one condition with one run"
