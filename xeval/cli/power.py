"""The command that says, before training, how many seeds and items a study needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xeval.cli.app import TRAIN, app
from xeval.cli.options import Json
from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.analysis.design.pilot import Pilot
    from xeval.analysis.design.power import Design, Seeds
    from xeval.train.study import Study

MULTIPLES = (0.5, 1.0, 3.0)


@app.command(rich_help_panel=TRAIN)
def power(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).")],
    pilot: Annotated[
        Path | None,
        typer.Option(
            help="Scores of a small study to take the variances from: a store, a CSV or a Parquet file.",
            show_default=False,
        ),
    ] = None,
    contrast: Annotated[
        float, typer.Option(min=0.01, help="Difference of gains to be found, in points.")
    ] = 2.0,
    wanted: Annotated[
        float, typer.Option("--power", min=0.05, max=0.99, help="Probability to find it.")
    ] = 0.8,
    as_json: Json = False,
) -> None:
    """Say how many seeds and items a study needs, before training it.

    The verdict's own test of C, the gain on multi-hop QA minus that on classification, is simulated. Without a pilot
    the variances are assumed; a pilot with two or three seeds of one condition is far better.

    Example: `xeval power study.toml --pilot pilot/store --contrast 2`
    """
    from xeval.analysis.design.power import ASSUMED, Design
    from xeval.console import display
    from xeval.train.study import load_study

    planned = load_study(study)
    seeds, conditions = _planned(planned)
    known = _pilot(pilot) if pilot is not None else None
    sides = known.sides if known else ASSUMED
    if known is None and planned.evaluation.limit:
        sides = tuple(side.limited(planned.evaluation.limit) for side in sides)
    design = Design(sides, conditions, seeds)
    with display.spinner("simulating", quiet=as_json):
        facts = _facts(design, contrast, wanted, planned.analysis.margin_points, known)
    if as_json:
        display.print_json(facts)
        return
    columns = ("seeds", "runs", *(f"items ×{multiple:g}" for multiple in MULTIPLES), "formula, ×1")
    rows = [
        [
            f"{row['baseline']} + {row['condition']}{' (planned)' if row['planned'] else ''}",
            str(row["runs"]),
            *(f"{value:.2f}" for value in row["detectable"]),
            f"{row['formula']:.2f}",
        ]
        for row in facts["settings"]
    ]
    title = f"Smallest C found with power {wanted:g}, points"
    display.print_table(display.table(title, columns, rows, right=1))
    for sentence in facts["sentences"]:
        display.print_text(sentence)


def _planned(study: "Study") -> "tuple[Seeds, int]":
    """The planned seeds, and the number of conditions that C averages."""
    from xeval.analysis.design.power import Seeds
    from xeval.conditions import BASELINE, CLASSIFICATION, MULTI_HOP_QA, single_conditions

    for group in (MULTI_HOP_QA, CLASSIFICATION):
        if not any(target.group == group for target in study.targets):
            raise UsageError(
                f"{study.path.name}: has no {group} target, so there is no contrast to plan for; add one to targets."
            )
    conditions = [name for name in study.conditions if name != BASELINE]
    if not conditions:
        raise UsageError(f"{study.path.name}: has only the baseline; add an intermediate task to conditions.")
    seeds = Seeds(len(study.seeds.baseline), len(study.seeds.intermediate))
    return seeds, len(single_conditions(conditions))


def _pilot(source: Path) -> "Pilot":
    from xeval.analysis.design.pilot import pilot
    from xeval.analysis.estimate.arrays import build
    from xeval.analysis.frame.tidy import check, load

    return pilot(build(check(load(source), incomplete="drop")))


def _facts(
    design: "Design", contrast: float, wanted: float, margin: float, known: "Pilot | None"
) -> dict[str, Any]:
    """Everything that is printed, ready for JSON."""
    from dataclasses import asdict, replace

    from xeval.analysis.design.power import (
        SETTINGS,
        best_split,
        detectable,
        detectable_by_formula,
        needed_items,
        needed_seeds,
    )
    from xeval.analysis.design.power import power as power_of
    from xeval.analysis.tests.evidence import needed_se

    settings = []
    for seeds in dict.fromkeys((design.seeds, *SETTINGS)):
        one = replace(design, seeds=seeds)
        settings.append(
            {
                "baseline": seeds.baseline,
                "condition": seeds.condition,
                "planned": seeds == design.seeds,
                "runs": seeds.runs(design.conditions),
                "detectable": [detectable(one.with_items(multiple), wanted) for multiple in MULTIPLES],
                "formula": detectable_by_formula(one, wanted),
            }
        )
    enough = needed_seeds(design, contrast, wanted)
    split = best_split(design, design.seeds.runs(design.conditions), wanted)
    facts: dict[str, Any] = {
        "conditions": design.conditions,
        "contrast": contrast,
        "power": wanted,
        "assumed": known is None,
        "sides": dict(zip(("multi-hop QA", "classification"), map(asdict, design.sides), strict=True)),
        "pilot_df": list(known.df) if known else None,
        "item_multiples": list(MULTIPLES),
        "settings": settings,
        "planned_power": power_of(design, contrast),
        "type_one_error": power_of(design, 0.0),
        "needed_seeds": asdict(enough) if enough else None,
        "needed_item_multiple": needed_items(design, contrast, wanted),
        "best_split": asdict(split) if split else None,
        "expected_se": float(design.variance**0.5),
        "equivalence_margin": margin,
        "equivalence_needs_se": needed_se(margin, wanted),
    }
    if known:
        facts["detectable_at_upper_run_sd"] = detectable(replace(design, sides=known.upper_sides()), wanted)
    return facts | {"sentences": _sentences(design, facts, enough, split, known)}


def _sentences(
    design: "Design",
    facts: dict[str, Any],
    enough: "Seeds | None",
    split: "Seeds | None",
    known: "Pilot | None",
) -> Sequence[str]:
    from xeval.analysis.design.power import LARGEST_MULTIPLE, MOST_SEEDS

    contrast, wanted = facts["contrast"], facts["power"]
    multi_hop, classification = design.sides
    spread = (
        f"{multi_hop.run_variance**0.5:.2f} (multi-hop QA) and {classification.run_variance**0.5:.2f} points"
    )
    sizes = f"×1 is {multi_hop.clusters:,} multi-hop and {classification.clusters:,} classification item clusters."
    planned = next(row for row in facts["settings"] if row["planned"])
    detectable = planned["detectable"][MULTIPLES.index(1.0)]
    if known:
        basis = (
            f"From the pilot: SD between runs {spread} (classification), from {known.df[0]} and {known.df[1]} degrees "
            f"of freedom; at its 80 % upper limits the plan finds {facts['detectable_at_upper_run_sd']:.2f} points."
        )
    else:
        basis = (
            f"Without a pilot the variances are illustrative assumptions: SD between runs {spread} (classification); "
            "give --pilot for your own."
        )
    sentences = [
        f"Seeds: baseline + each of {design.conditions} condition{'s' if design.conditions > 1 else ''}; runs: in "
        f"all, of each target. {sizes}",
        basis,
        f"As planned, a difference of {detectable:.2f} points is found with power {wanted:g}, and one of "
        f"{contrast:g} points with power {facts['planned_power']:.2f}; a difference that is not there is claimed in "
        f"{100 * facts['type_one_error']:.1f} % of studies.",
    ]
    if facts["planned_power"] >= wanted:
        sentences.append(f"The plan is enough for {contrast:g} points.")
    else:
        by_seeds = (
            f"{enough.baseline} baseline and {enough.condition} condition seeds ({enough.runs(design.conditions)} runs)"
            if enough
            else f"more than {MOST_SEEDS} seeds a side at these items"
        )
        multiple = facts["needed_item_multiple"]
        by_items = (
            f"{multiple:.1f} times the items at the planned seeds"
            if multiple
            else f"at the planned seeds not even {LARGEST_MULTIPLE:g} times the items are enough"
        )
        sentences.append(f"{contrast:g} points need {by_seeds}; or else {by_items}.")
    if split and split != design.seeds:
        sentences.append(
            f"The same number of runs finds most as {split.baseline} baseline and {split.condition} condition seeds."
        )
    if design.conditions > 1:
        sentences.append(
            f"For C, the mean over {design.conditions} conditions, up to half of all runs are best spent on the "
            f"baseline, which every gain shares; for each single C(k) about {design.conditions**0.5:.1f} times a "
            "condition's seeds."
        )
    sentences += [
        f"Equivalence within ±{facts['equivalence_margin']:g} points needs a standard error of "
        f"{facts['equivalence_needs_se']:.2f} points; the plan's is {facts['expected_se']:.2f}.",
        "The last column takes the variances as known and is optimistic below 5 seeds. The verdict also asks for the "
        "same result in log-odds, which costs a little more.",
    ]
    return sentences
