"""Any malformed input is one sentence, and everything beside it is done."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from corpus import FORMATS, Format, malform, write_inputs
from scenes import World
from trials import Campaign, Seen, Server, sentence_problem

EACH = 25  # malformed inputs of every format in the campaign
WARMED_BY = ("run", "mine", "train")


@dataclass(frozen=True)
class Malformed:
    form: Format
    seed: str


def test_a_malformed_input_is_one_sentence_and_stops_nothing_else(
    servers: list[Server], world: World, campaign: Callable[[str, float], Campaign], faults_seed: int
) -> None:
    draw = random.Random(f"quick {faults_seed}")
    quick = [form for form in FORMATS if form.name != "study file, trained"]
    chosen = [Malformed(form, f"quick {faults_seed}") for form in draw.sample(quick, 8)]
    inputs = _inputs(world, campaign("inputs", 1), servers, chosen)
    assert inputs.counts.tried == len(chosen)
    assert not inputs.counts.failures, "\n".join(inputs.counts.failures)


@pytest.mark.slow
def test_hundreds_of_malformed_inputs_of_every_format(
    servers: list[Server], world: World, campaign: Callable[[str, float], Campaign], faults_seed: int
) -> None:
    world.know(servers, WARMED_BY, thorough=True)
    chosen = [Malformed(form, f"{faults_seed}/{number}") for number in range(EACH) for form in FORMATS]
    inputs = _inputs(world, campaign("malformed inputs", 0.2), servers, chosen)
    assert not inputs.counts.failures
    assert inputs.counts.tried


def _inputs(world: World, inputs: Campaign, servers: list[Server], chosen: list[Malformed]) -> Campaign:
    template = world.root / "inputs"
    if not template.exists():
        template.mkdir()
        write_inputs(world.root, template)
    whole: dict[str, set[str]] = {}
    for form in {trial.form.command: trial.form for trial in chosen}.values():
        _place(world, servers[0])
        ended = servers[0].xeval(*form.command.split())
        assert not sentence_problem(ended), f"{form.command}: {ended.text}"
        whole[form.command] = _units(servers[0])
    inputs.run(chosen, lambda server, trial: _malformed(world, server, trial, whole[trial.form.command]))
    return inputs


def _place(world: World, server: Server) -> None:
    shutil.rmtree(server.folder)
    shutil.copytree(world.root / "inputs", server.folder, symlinks=True)


def _units(server: Server) -> set[str]:
    store = server.folder / "store/units"
    return {path.relative_to(store).as_posix() for path in store.rglob("*.parquet")}


def _malformed(world: World, server: Server, trial: Malformed, whole: set[str]) -> Iterator[Seen]:
    _place(world, server)
    changed = malform(random.Random(f"{trial.form.name} {trial.seed}"), trial.form, server.folder)
    ended = server.xeval(*trial.form.command.split())
    units = _units(server)
    how = "read" if ended.code == 0 else "one sentence"
    if "the traceback is in" in ended.err + ended.out:
        how = "one sentence, unforeseen"
    problem = sentence_problem(ended)
    if not problem and (
        left := [good for good in trial.form.good if not any(unit.startswith(good) for unit in units)]
    ):
        problem = f"not done beside it: {', '.join(left)}: {ended.text}"
    if not problem and ended.code == 0 and len(units) < len(whole):
        problem = f"exit code 0, but {len(whole) - len(units)} units less: {ended.text}"
    if problem:
        problem = f"xeval {trial.form.command}, {trial.form.name} {trial.seed}: {changed}: {problem}"
    yield Seen(how, problem[:6000])
