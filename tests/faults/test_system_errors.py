"""An error of the system at any call: one sentence and nothing lost, or no difference at all."""

import errno
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from scenes import SCENES, World
from trials import FAIL, FAIL_FROM_HERE, Campaign, Fault, Seen, Server, sentence_problem

# What each class of calls can fail with.
ERRORS = {
    "open-write": ("ENOSPC", "EACCES", "EMFILE", "EIO"),
    "open-read": ("EACCES", "EMFILE", "EIO"),
    "list": ("EACCES", "EMFILE", "EIO"),
    "read": ("EIO",),
    "write": ("ENOSPC", "EIO"),
    "sync": ("EIO", "ENOSPC"),
    "rename": ("EACCES", "EIO", "ENOSPC"),
    "mkdir": ("ENOSPC", "EACCES", "EIO"),
    "unlink": ("EACCES", "EIO"),
    "chmod": ("EACCES", "EIO"),
    "allocate": ("ENOSPC", "EIO"),
    "map": ("EACCES",),
    "close": ("EIO",),
    "stat": ("EACCES", "EIO"),
    "lock": ("EIO",),
    "link": ("EACCES", "ENOSPC"),
}
FILLING = tuple("open-write write sync rename mkdir allocate link".split())  # what a full disk refuses
MOST = {"study": 150, "report": 150}  # trials of what takes long
# A checkpoint that could not be read is trained anew and the old one kept; work that could not be removed stays.
KEPT = ("/.damaged-", ".work/")
SHOWN = 1500  # characters of what a command said
QUICK = ("run", "mine", "base", "card", "xhops write jsonl")


@dataclass(frozen=True)
class Trial:
    scene: str
    call: int
    error: str
    lasting: bool

    @property
    def fault(self) -> Fault:
        number = getattr(errno, self.error)
        return (
            Fault(self.call, FAIL_FROM_HERE, number, FILLING)
            if self.lasting
            else Fault(self.call, FAIL, number)
        )


@pytest.mark.usefixtures("system_faults")
def test_an_error_of_the_system_is_one_sentence_and_loses_nothing(
    servers: list[Server],
    world: World,
    campaign: Callable[[str, float], Campaign],
    faults_seed: int,
) -> None:
    draw = random.Random(f"quick {faults_seed}")
    world.know(servers, QUICK)
    chosen = [trial for name in QUICK for trial in draw.sample(trials(world, name, draw), 2)]
    errors = campaign("errors", 1)
    errors.run(chosen, lambda server, trial: failed(world, server, trial))
    assert errors.counts.tried == 2 * len(QUICK)
    assert not errors.counts.failures, "\n".join(errors.counts.failures)


@pytest.mark.slow
@pytest.mark.usefixtures("system_faults")
def test_an_error_at_every_call_of_every_command_that_writes(
    servers: list[Server],
    world: World,
    campaign: Callable[[str, float], Campaign],
    faults_seed: int,
) -> None:
    world.know(servers, list(SCENES), thorough=True)
    draw, failures = random.Random(faults_seed), list[str]()
    for names, share in ((("run",), 0.08), (("train",), 0.1), (("study", "report"), 0.1)):
        failures += _campaign(world, campaign(f"error: {', '.join(names)}", share), names, draw)
    others = tuple(name for name in SCENES if name not in ("run", "train", "study", "report", "run many"))
    rest = campaign("error: mine, base, card, exports, depth, xhops write", 0.1)
    assert not failures + _campaign(world, rest, others, draw)


def _campaign(world: World, errors: Campaign, names: tuple[str, ...], draw: random.Random) -> list[str]:
    chosen = [trial for name in names for trial in trials(world, name, draw)[: MOST.get(name)]]
    draw.shuffle(chosen)
    errors.run(chosen, lambda server, trial: failed(world, server, trial))
    assert errors.counts.tried
    return errors.counts.failures


def trials(world: World, name: str, draw: random.Random) -> list[Trial]:
    """Every call with everything that it can fail with, and a disk that is full from some call on; in random order,
    what only looks at a file last."""
    classes = [call.split()[0] for call in world.calls[name]]
    single = [
        Trial(name, number, error, lasting=False)
        for number, kind in enumerate(classes, 1)
        for error in ERRORS[kind]
    ]
    filling = sum(kind in FILLING for kind in classes)
    lasting = [Trial(name, number, "ENOSPC", lasting=True) for number in range(1, filling + 1)]
    made = single + lasting
    draw.shuffle(made)
    return sorted(made, key=lambda trial: not trial.lasting and classes[trial.call - 1] == "stat")


def failed(world: World, server: Server, trial: Trial) -> Iterator[Seen]:
    """Give a command with the fault; where it ends with an error, give it again without."""
    scene = SCENES[trial.scene]
    world.place(server, scene)
    ended = world.run(server, scene, trial.fault)
    where = (
        ended.calls[trial.call - 1] if len(ended.calls) >= trial.call else "a call that it did not come to"
    )
    problem = sentence_problem(ended)
    how = "tolerated" if ended.code == 0 else "one sentence"
    if "the traceback is in" in ended.err:
        how = "one sentence, unforeseen"
    if not problem and ended.code == 0:
        problem = world.differences(server, scene, kept=KEPT)
    elif not problem:
        again = world.run(server, scene)
        if again.code != 0:
            problem = f"given again without the error it ends with {again.text}"
        else:
            problem = sentence_problem(again) or world.differences(server, scene, kept=KEPT)
    if problem:
        what = f"xeval {' '.join(scene.command)}, {trial} at {where}"
        problem = f"{what}: {problem}\nwith the error: {ended.text[-SHOWN:]}"
    yield Seen(how, problem)
