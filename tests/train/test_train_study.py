import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xeval.checkpoints import Checkpoint, discover
from xeval.errors import UsageError
from xeval.train import grid, loop, phases
from xeval.train.grid import Node, nodes, study_texts
from xeval.train.intermediates import condition_sets, training_set
from xeval.train.loop import train_study
from xeval.train.plan import plan_study
from xeval.train.study import Study, load_study

FILE = """
[study]
name = "grid"
base = "{base}"
conditions = ["none", "xhops-lookup", "xhops-claim+xhops-lookup"]
targets = ["xhops-claim-1", "xhops-claim-2", "xhops-question-1", "django"]
languages = ["en", "de"]
freeze_embeddings = true
seeds = {{ baseline = 2, intermediate = [7] }}

[recipe]
name = "small"
[recipe.intermediate]
max_steps = 3
train_size = 16
dev_size = 4
max_length = 64
[recipe.target]
max_steps = 2
train_size = 16
dev_size = 4
max_length = 64
[recipe.sets.xhops-question]
max_length = 96
"""


@pytest.fixture
def file(tiny_encoder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(FILE.format(base=tiny_encoder))
    return path


def edited(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


# --- the file ----------------------------------------------------------------------------------------------


def test_a_study_file_is_read(file: Path, tiny_encoder: Path) -> None:
    read = load_study(file)
    assert read.seeds.baseline == (0, 1)
    assert read.seeds.intermediate == (7,)
    assert read.base == str(tiny_encoder)
    assert [s.name for s in read.target_sets()] == ["xhops-claim", "xhops-question"]
    claim, question = read.target_sets()
    assert read.hyper("target", (claim,)).max_length == 64
    assert read.hyper("target", (question,)).max_length == 96
    assert read.hyper("intermediate", (claim, question)).max_steps == 3
    assert read.task_languages(read.targets[-1]) == ("de",)
    assert read.analysis.margin_points == 1.0
    assert (read.title, read.notes) == ("grid", ())
    told = load_study(edited(file, "[study]", '[study]\ntitle = "A grid"\nnotes = ["tiny"]'))
    assert (told.title, told.notes) == ("A grid", ("tiny",))
    assert nodes(told) == nodes(read)


MISTAKES = [
    ("conditions =", "condtions =", "unknown key 'condtions' in [study]; did you mean 'conditions'?"),
    ("baseline =", "base_line =", "unknown key 'base_line' in [study.seeds]; did you mean 'baseline'?"),
    ("[recipe.target]", "[recipe.targets]", "unknown key 'targets' in [recipe]; did you mean 'target'?"),
    ("max_steps = 3", "max_step = 3", "unknown key 'max_step' in [recipe.intermediate]; did you mean 'max_steps'?"),
    ("max_length = 96", "max_len = 9", "'max_len' in [recipe.sets.xhops-question]; did you mean 'max_length'?"),
    ("sets.xhops-question", "sets.xhops-questoin", "no phase trains on it; did you mean 'xhops-question'?"),
    ('"xhops-claim-1"', '"xhop-claim-1"', "unknown task 'xhop-claim-1'; did you mean 'xhops-claim-1'?"),
    ('"xhops-lookup",', '"xhops-lokup",', "unknown training set 'xhops-lokup'; did you mean 'xhops-lookup'?"),
    ("claim+xhops-lookup", "claim+xhops-claim", "condition 'xhops-claim+xhops-claim' names a set twice."),
    ('"none", ', "", "conditions lacks 'none', the baseline that every gain is measured against."),
    ('"xhops-claim-2"', '"xhops-claim-1"', "targets names 'xhops-claim-1' twice."),
    ('"de"]', '"xx"]', "no target has the language 'xx'."),
    ('["en", "de"]', '["en"]', "target django is in none of the languages"),
    ('name = "small"', 'name = "smal"', "unknown recipe 'smal'; did you mean 'small'?"),
    ("baseline = 2", "baseline = 0", "baseline in [study.seeds]: give a number of 1 to 1,000, or a list"),
    ("baseline = 2", "baseline = 2000000000", "give a number of 1 to 1,000, or a list of different seeds"),
    ("[7]", "[7, 7]", "a list of different seeds, not [7, 7]."),
    ("[7]", "[-7]", "intermediate in [study.seeds]: Input should be greater than or equal to 0, not -7."),
    ("[7]", "[true]", "intermediate in [study.seeds]: Input should be a valid integer, not True."),
    ("max_steps = 3", "max_steps = 0", "[recipe.intermediate]: max_steps: Input should be greater than or equal to 1"),
    ("max_steps = 3", "max_steps = true", "max_steps: Input should be a valid integer, not True."),
    ("max_steps = 3", "max_steps = 1e9", "max_steps: Input should be a valid integer, not 1000000000.0."),
    ("max_steps = 3", "max_steps = 1000000000", "max_steps: Input should be less than or equal to 10000000"),
    ("max_steps = 3", "learning_rate = nan", "learning_rate: Input should be a finite number, not nan."),
    ("max_steps = 3", "learning_rate = -1", "learning_rate: Input should be greater than 0, not -1."),
    ("max_steps = 3", "batch_size = 0", "batch_size: Input should be greater than or equal to 1, not 0."),
    ("max_steps = 3", "mixture_temperature = 1e-300", "mixture_temperature: Input should be greater than or equal to"),
    ("max_length = 96", "max_length = 1", "[recipe.sets.xhops-question]: max_length: Input should be greater than"),
    ("[study]", "[study]\nlayers = 1000000", "layers in [study]: Input should be less than or equal to 1000"),
    ("[study]", "[study]\nlayers = true", "layers in [study]: Input should be a valid integer, not True."),
    ("[study]", "[study]\ntrim_vocabulary = 1", "trim_vocabulary in [study]: Input should be a valid boolean"),
    ("[study]", "[study]\nrevision = 2020-02-02", "revision in [study]: Input should be a valid string"),
    ("[study]", "[study]\ndata = ''", "data in [study]: String should have at least 1 character"),
    ("[study]", "[study]\na" + ".a" * 3000 + " = 1", "is nested too deep for a study file."),
    ("[study]", "a = " + "[" * 9999, "is nested too deep for a study file."),
    ("[study]", "a = " + "9" * 5000, "cannot be read as a study file"),
    ("[study]", "#" * 1_000_001, "has 1,000,"),
    ('["none", ', '["none", ' + "'a'," * 1000, "conditions in [study]: Tuple should have at most 1000 items"),
    ("[recipe]", "[engines.ray]\nnum_gpu = 1\n[recipe]", "unknown key 'num_gpu' in [engines.ray]"),
    ("[recipe]", "[sets.'../x']\ntranslation_of = 'mnli'\n[recipe]", "[sets.../x]: the name is taken, or holds other"),
    ("[recipe]", "[analysis]\nmargin_points = inf\n[recipe]", "margin_points in [analysis]: Input should be a finite"),
    ('name = "grid"', "", "the key 'name' in [study] is missing."),
    ("[study]", "[study", "cannot be read as a study file"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[(m[1] or m[0])[:40] for m in MISTAKES])
def test_a_mistake_is_named_with_what_is_near(file: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_study(edited(file, old, new))
    assert message in str(caught.value)
    assert "study.toml: " in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_study_asks_for_no_more_checkpoints_than_can_be_trained(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xeval.train.study.MOST_NODES", 9)
    with pytest.raises(UsageError, match="conditions, seeds and targets make 10 checkpoints; at most 9 are"):
        load_study(file)


def test_a_base_that_can_only_be_a_path_is_not_asked_of_the_hub(file: Path, tiny_encoder: Path) -> None:
    (file.parent / "runs").mkdir()
    edited(file, f'base = "{tiny_encoder}"', 'base = "./rnus"')
    with pytest.raises(
        UsageError, match=r"base in \[study\]: ./rnus: no such directory; did you mean '.*/runs'\?"
    ):
        load_study(file)


# --- the grid ----------------------------------------------------------------------------------------------


def names(study_file: Path) -> dict[str, Node]:
    return {node.name: node for node in nodes(load_study(study_file))}


def test_the_grid_shares_its_prefixes(file: Path) -> None:
    grid = nodes(load_study(file))
    # Two targets train on xhops-claim and one on nothing: 2 target nodes a seed.
    assert len(grid) == 1 + 2 * 2 + 2 * (1 + 2)
    assert len({node.name for node in grid}) == len({node.digest for node in grid}) == len(grid)
    stems = [node.name.rpartition("-")[0] for node in grid]
    assert stems[1:3] == ["none/xhops-claim/seed-0", "none/xhops-question/seed-0"]
    assert "xhops-claim+xhops-lookup/intermediate/seed-7" in stems
    for position, node in enumerate(grid):
        assert node.parent is None or node.parent in grid[:position]
    parents = {n.parent.phase for n in grid if n.phase == "target" and n.condition != "none" and n.parent}
    assert parents == {"intermediate"}


GOLDEN = """
[study]
name = "golden"
base = "somewhere"
conditions = ["none", "xhops-lookup"]
targets = ["xhops-claim-1", "xhops-question-1"]
freeze_embeddings = true
seeds = { baseline = 1, intermediate = [7] }
[recipe]
target = { train_size = 16 }
"""


def test_digests_are_those_of_finished_studies(tmp_path: Path) -> None:
    """Values of commit 8ab4a76: a change of them has every finished node trained again."""
    path = tmp_path / "golden.toml"
    path.write_text(GOLDEN)
    read = load_study(path)
    claim, question = read.target_sets()
    lookup = condition_sets("xhops-lookup")
    base = Node("base/x", "base", "00")
    data = {"xhops-claim": "11", "xhops-question": "22", "xhops-lookup": "33"}
    first = grid._child(read, base, "intermediate", "xhops-lookup", lookup, 7, data)
    found = [
        first,
        grid._child(read, first, "target", "xhops-lookup", (claim,), 7, data),
        grid._child(read, base, "target", "none", (question,), 0, data),
    ]
    assert [node.digest for node in found] == [
        "9613a071b33798df5318f421c5fb41c8",
        "7dbb50358f7ff0aeb5345098adb3b290",
        "e174e7f5378fbbd310648958e2eedc6d",
    ]
    rounded = replace(read, save_dtype="bfloat16")
    assert grid._child(rounded, base, "intermediate", "xhops-lookup", lookup, 7, data).digest != first.digest


def test_a_change_touches_what_depends_on_it(file: Path) -> None:
    before = names(file)
    fewer = names(edited(file, "baseline = 2", "baseline = 1"))
    assert fewer.keys() < before.keys()
    target = names(edited(file, "max_steps = 2", "max_steps = 4"))
    assert {n.phase for name, n in target.items() if name in before} == {"base", "intermediate"}
    first = names(edited(file, "max_steps = 3", "max_steps = 5"))
    kept = {n.condition for name, n in first.items() if name in target}
    assert kept == {"none"}
    frozen = names(edited(file, "freeze_embeddings = true", "freeze_embeddings = false"))
    assert {n.phase for name, n in frozen.items() if name in first} == {"base"}
    assert not names(edited(file, "[study]", "[study]\nlayers = 1")).keys() & frozen.keys()


def test_retrieval_settings_of_the_evaluation(file: Path) -> None:
    with file.open("a") as study:
        study.write('[evaluation]\nrecipe = "laser"\nlayer = 1\nmargin = "distance"\nk = 3\n')
    read = load_study(file)
    assert read.evaluation.settings() == {"recipe": "laser", "layer": 1, "margin": "distance", "k": 3}
    settings = read.targets[-1].kind.from_recipe(read.evaluation.settings())
    assert (settings.margin, settings.k, settings.layer) == ("distance", 3, 1)
    with pytest.raises(UsageError, match="margin distanc: no such choice; did you mean 'distance'"):
        load_study(edited(file, 'margin = "distance"', 'margin = "distanc"'))


def test_the_texts_of_a_study_are_those_of_training_dev_and_evaluation(file: Path) -> None:
    read = load_study(file)
    texts = set(study_texts(read))
    for target in read.targets:
        for language in read.task_languages(target):
            example: Any = target.source.load(None, language, target.split)[-1]
            assert (
                getattr(example, "context", None)
                or getattr(example, "first", None)
                or example.target in texts
            )
    lookup = training_set("xhops-lookup").source
    for split in ("train", "dev"):
        example = lookup.load(None, "en", split)[0]
        assert {example.question, example.context} <= texts


# --- training ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(file: Path) -> Study:
    edited(file, ', "xhops-claim+xhops-lookup"]', "]")
    return load_study(edited(file, "baseline = 2", "baseline = 1"))


def test_a_study_is_trained_once(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = plan_study(small, out)
    assert {planned.state for planned in plan} == {"to do"}
    assert [planned.steps for planned in plan] == [0, 2, 2, 3, 2, 2]
    assert all(planned.tokens > 100 for planned in plan[1:])
    outcome = train_study(small, out)
    grid = nodes(small)
    assert outcome.trained == tuple(grid)
    assert not outcome.failures
    assert not outcome.stopped
    assert {planned.state for planned in plan_study(small, out)} == {"finished"}
    cards = {c.name: c.lineage for c in discover(out)}
    assert cards.keys() == {node.name for node in grid}
    for node in grid[1:]:
        card, parent = cards[node.name], node.parent
        assert card is not None
        assert parent is not None
        assert (card.phase, card.condition, card.seed) == (node.phase, node.condition, node.seed)
        assert card.parent == Checkpoint(out / parent.name, parent.name).digest
        assert card.recipe["name"] == "small"
    times = {node.name: (out / node.name / "xeval.json").stat().st_mtime_ns for node in grid}
    again = train_study(small, out)
    assert again.trained == ()
    assert again.reused == tuple(grid)
    assert times == {node.name: (out / node.name / "xeval.json").stat().st_mtime_ns for node in grid}


def test_weights_may_be_saved_in_half_the_size(small: Study, tmp_path: Path) -> None:
    halved = replace(small, save_dtype="bfloat16", conditions=("none",), targets=small.targets[:1])
    whole = replace(halved, save_dtype=None)
    sizes = []
    for read in (halved, whole):
        train_study(read, tmp_path)
        _, target = nodes(read)
        sizes.append((tmp_path / target.name / "model.safetensors").stat().st_size)
        card = Checkpoint(tmp_path / target.name, target.name).lineage
        assert card is not None
        assert card.recipe.get("save_dtype") == read.save_dtype
        assert not list((tmp_path / target.name).glob("*state*"))
    assert 1.8 < sizes[1] / sizes[0] < 2.1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_trimmed_base_reads_the_evaluation_texts_as_before(small: Study, tmp_path: Path) -> None:
    trimmed = replace(small, trim_vocabulary=True, conditions=("none",), targets=small.targets[:1])
    outcome = train_study(trimmed, tmp_path / "out")
    assert [node.phase for node in outcome.trained] == ["base", "target"]
    base = Checkpoint(tmp_path / "out" / outcome.trained[0].name, "base")
    whole = Checkpoint(Path(small.base), "whole")
    assert base.config["vocab_size"] < whole.config["vocab_size"]
    texts = [example.first for example in small.targets[0].source.load(None, "de", "test")]  # type: ignore[union-attr]
    trimmed_pieces, whole_pieces = (
        [tokenizer.tokenize(text) for text in texts]
        for tokenizer in (base.load_tokenizer(), whole.load_tokenizer())
    )
    assert trimmed_pieces == whole_pieces


class Told(loop.Silent):
    """Calls ``on_step`` after every step of a phase, and ``on_end`` when a node is done."""

    def __init__(self, on_step: Any = None, on_end: Any = None) -> None:
        self.on_step, self.on_end = on_step, on_end

    def step(self, node: Node, step: phases.Step) -> None:
        if self.on_step:
            self.on_step(node, step)

    def end(self, node: Node, problem: str | None) -> None:
        del problem
        if self.on_end:
            self.on_end(node)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_state_and_ends_the_run(
    small: Study, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)

    def interrupt(node: Node, step: phases.Step) -> None:
        if node.phase == "intermediate" and step.step == 2:
            os.kill(os.getpid(), number)

    outcome = train_study(small, tmp_path, progress=Told(interrupt))
    assert outcome.stopped
    assert not outcome.failures
    assert [node.condition for node in outcome.trained] == ["none"] * 3
    states = [planned.state for planned in plan_study(small, tmp_path)]
    assert states == ["finished"] * 3 + ["begun"] + ["to do"] * 2
    assert signal.getsignal(number) is before
    steps: list[int] = []
    rest = train_study(small, tmp_path, progress=Told(lambda _, step: steps.append(step.step)))
    assert steps[0] == 3
    assert len(rest.trained) == 3
    assert not rest.stopped


PROGRAM = """
import sys
from pathlib import Path
from xeval.train.loop import Silent, train_study
from xeval.train.study import load_study

class Told(Silent):
    def start(self, node):
        print("start", node.name, flush=True)

    def end(self, node, problem):
        print("end", node.name, flush=True)

train_study(load_study(Path(sys.argv[1])), Path(sys.argv[2]), progress=Told(), save_seconds=0)
"""


def test_two_processes_share_the_work_and_one_is_killed(file: Path, tmp_path: Path) -> None:
    read, out, program = load_study(file), tmp_path / "out", tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(program), str(file), str(out)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("start base/")
    ours: list[str] = []

    def kill_after_two(node: Node) -> None:
        ours.append(node.name)
        if len(ours) == 2:
            process.kill()

    outcome = train_study(read, out, progress=Told(on_end=kill_after_two))
    rest, _ = process.communicate()
    theirs = {line.split()[1] for line in rest.splitlines() if line.startswith("end")}
    assert process.returncode == -signal.SIGKILL
    assert not outcome.failures
    assert len(set(ours)) == len(ours) == len(outcome.trained)
    assert theirs
    assert not theirs & set(ours)
    assert {n.name for n in (*outcome.trained, *outcome.reused)} == {n.name for n in nodes(read)}
    assert not list(out.rglob("*.partial"))
