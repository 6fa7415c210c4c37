"""Study files whose nodes train in a moment, for tests of how a study is planned and trained."""

from pathlib import Path

from xeval.checkpoints import Checkpoint
from xeval.train.grid import Node, is_finished, nodes
from xeval.train.loop import Silent
from xeval.train.study import Study, load_study

FILE = """
[study]
name = "tiny"
base = "{base}"
conditions = ["none", "xhops-lookup"]
targets = ["xhops-claim-1", "xhops-question-1"]
languages = ["en", "de"]
freeze_embeddings = true
seeds = {{ baseline = 1, intermediate = [7] }}

[recipe]
name = "small"
[recipe.intermediate]
max_steps = {steps}
train_size = 32
dev_size = 4
max_length = 64
[recipe.target]
max_steps = {steps}
train_size = 16
dev_size = 4
max_length = 64
"""


def tiny_study(folder: Path, encoder: Path, steps: int = 2) -> Study:
    """A base, a baseline and a condition of one seed, and two targets: 6 nodes."""
    path = folder / "study.toml"
    path.write_text(FILE.format(base=encoder, steps=steps))
    return load_study(path)


def weights(study: Study, out: Path) -> dict[str, str]:
    """The content digest of every node, by its name."""
    grid = nodes(study)
    assert all(is_finished(node, out) for node in grid)
    return {node.name: Checkpoint(out / node.name, node.name).digest for node in grid}


class Told(Silent):
    """Keeps what was told."""

    def __init__(self) -> None:
        self.ended: dict[str, str | None] = {}
        self.said: list[str] = []

    def end(self, node: Node, problem: str | None) -> None:
        self.ended[node.name] = problem

    def say(self, text: str) -> None:
        self.said.append(text)
