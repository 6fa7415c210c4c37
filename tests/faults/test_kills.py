"""SIGKILL at any moment: the command, given again, ends as if nothing had happened."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from scenes import SCENES, World
from trials import KILL_AFTER, KILL_BEFORE, KILLED, Campaign, Ended, Fault, Seen, Server, sentence_problem

# The calls after which the disk is another one than before.
CHANGING = tuple("open-write write sync rename mkdir unlink chmod allocate lock link".split())
LONGEST_CHAIN = 6
KILLS = {"run": 300, "train": 330, "mine": 200, "mine embeddings": 100, "study": 70}


@dataclass(frozen=True)
class Chain:
    """Kills of one command, each given again after the last; at the calls ``points``, or where a seed decides."""

    scene: str
    points: tuple[int, ...] = ()
    seed: str = ""


@pytest.mark.usefixtures("system_faults")
def test_a_command_that_was_killed_ends_as_if_it_had_not_been(
    servers: list[Server],
    world: World,
    campaign: Callable[[str, float], Campaign],
    faults_seed: int,
) -> None:
    draw = random.Random(f"quick {faults_seed}")
    names = ("run", "train", "mine")
    world.know(servers, names)
    chains = [Chain(name, seed=f"{faults_seed}/{number}") for name in names for number in range(1)]
    chains += [Chain(name, tuple(draw.sample(range(1, changes(world, name) + 1), 3))) for name in names]
    kills = campaign("kills", 1)
    kills.run(chains, lambda server, chain: killed(world, server, chain))
    assert kills.counts.tried > 6
    assert not kills.counts.failures, "\n".join(kills.counts.failures)


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
@pytest.mark.usefixtures("system_faults")
def test_a_thousand_kills(
    name: str,
    servers: list[Server],
    world: World,
    campaign: Callable[[str, float], Campaign],
    faults_seed: int,
) -> None:
    world.know(servers, [name], thorough=True)
    kills = campaign(f"kill: {name}", 0.12)
    points = list(range(1, changes(world, name) + 1))
    if name == "study":
        points = random.Random(f"{name} {faults_seed}").sample(points, 12)
    kills.run([Chain(name, (point,)) for point in points], lambda s, chain: killed(world, s, chain))
    number = 0
    while kills.counts.tried < KILLS[name] and not kills.late:
        chains = [Chain(name, seed=f"{faults_seed}/{number + n}") for n in range(2 * len(servers))]
        kills.run(chains, lambda s, chain: killed(world, s, chain))
        number += len(chains)
    assert not kills.counts.failures
    assert kills.counts.tried


def changes(world: World, name: str) -> int:
    """Number of calls of an undisturbed command that change the disk."""
    return sum(call.split()[0] in CHANGING for call in world.calls[name])


def killed(world: World, server: Server, chain: Chain) -> Iterator[Seen]:
    """Kill a command as the chain says, give it again undisturbed, and compare the end."""
    scene, draw = SCENES[chain.scene], random.Random(f"{chain.scene} {chain.seed}")
    count, seconds = changes(world, chain.scene), world.seconds[chain.scene]
    world.place(server, scene)
    said: list[str] = []
    cases: dict[str, int] = {}
    for step in range(len(chain.points) or draw.randint(1, LONGEST_CHAIN)):
        if chain.points or draw.random() < 0.5:
            point = chain.points[step] if chain.points else draw.randint(1, count)
            fault = Fault(point, draw.choice((KILL_BEFORE, KILL_AFTER)), classes=CHANGING)
            ended, how = world.run(server, scene, fault), "at a file operation"
            side = "after" if fault.action == KILL_AFTER else "before"
            where = f"{side} call {point}, {ended.calls[-1] if ended.calls else 'none'}"
        else:
            moment = draw.uniform(0, seconds)
            ended, how, where = (
                world.run(server, scene, kill_after=moment),
                "at a moment",
                f"after {moment:.3f} s",
            )
        if ended.code != KILLED:
            break
        said.append(where)
        cases[how] = cases.get(how, 0) + 1
    else:
        ended = world.run(server, scene)
    failure = _problem(world, server, chain, ended)
    if failure:
        failure = f"xeval {' '.join(scene.command)}, {chain}, killed {'; '.join(said)}: {failure}"
    for how, number in cases.items():
        yield Seen(how, failure, number)
        failure = ""
    if failure:
        yield Seen("without a kill", failure)


def _problem(world: World, server: Server, chain: Chain, ended: Ended) -> str:
    if ended.code != 0:
        return f"given again it ends with {ended.text}"
    return sentence_problem(ended) or world.differences(server, SCENES[chain.scene])
