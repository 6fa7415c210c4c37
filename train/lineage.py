"""The checkpoints below a folder as the tree that their lineage cards make, with what is unfinished or broken."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xeval.checkpoints import PARTIAL_SUFFIX, Checkpoint, Lineage, survey
from xeval.conditions import BASELINE
from xeval.errors import CheckpointError, XevalError
from xeval.train.reports import REPORTS, read_report

KEPT_FROM_A_CARD = ("phase", "base", "condition", "target", "seed", "collapsed")


@dataclass(frozen=True)
class Branch:
    """A checkpoint, or one under way, at its place in the tree.

    Attributes:
        depth: 0 where the parent is not below the folder.
        steps: trained; of one under way those that its last report names.
        score: on the English dev data, 0 to 1, by the measure that the phase chooses by.
        able: names of the tasks that it can do.
        problem: why it cannot be used, or why it failed.
        note: what its card says of the run.
    """

    name: str
    checkpoint: Checkpoint | None = None
    depth: int = 0
    state: str = "finished"
    lineage: Lineage | None = None
    steps: int | None = None
    planned_steps: int | None = None
    score: float | None = None
    seconds: float | None = None
    able: tuple[str, ...] = ()
    problem: str | None = None
    note: str | None = None

    @property
    def label(self) -> str:
        """What tells it from its siblings."""
        card = self.lineage
        if card is None or card.phase == "base" or card.seed is None:
            return self.name
        what = card.target if card.phase == "target" else card.condition
        if card.phase == "target" and card.condition != BASELINE and not self.depth:
            what = f"{card.condition} > {what}"
        return f"{what} · seed {card.seed}"

    def to_json(self) -> dict[str, Any]:
        """The same for programs, with the head and the digest of what can be used."""
        card = self.lineage
        kept = {} if card is None else {key: getattr(card, key) for key in KEPT_FROM_A_CARD}
        if self.checkpoint is not None:
            kept |= {
                "path": str(self.checkpoint.path),
                "head": self.checkpoint.architecture,
                "labels": list(labels(self.checkpoint)),
                "bytes": self.checkpoint.bytes,
                "digest": self.checkpoint.digest,
                "able": list(self.able),
            }
        return {"checkpoint": self.name, **kept} | {
            key: getattr(self, key)
            for key in ("depth", "state", "steps", "planned_steps", "score", "seconds", "problem", "note")
        }


def lineage_tree(root: Path, able: Callable[[Checkpoint], Sequence[str]] | None = None) -> list[Branch]:
    """Checkpoints below ``root``, children after their parents, and what is begun or has failed at the end.

    Children are found by the digest that their cards name as the parent's, so that weights of every base and
    intermediate checkpoint are read once, if nobody has yet.

    Args:
        able: names of the tasks that a checkpoint can do.

    Raises:
        CheckpointError: ``root`` does not exist, or there is nothing below it.
    """
    unfinished = list(_unfinished(root))
    found: list[Branch] = []
    try:
        below = survey(root)
    except CheckpointError:
        if not unfinished:
            raise
    else:
        for checkpoint in below.checkpoints:
            branch = _branch(checkpoint)
            told = () if able is None or branch.problem else tuple(able(checkpoint))
            found.append(replace(branch, able=told))
        unfinished += [Branch(name, state="left out", note=reason) for name, reason in below.left_out.items()]
        unfinished += [
            Branch(name, state="unreadable", problem=reason) for name, reason in below.unreadable.items()
        ]
    parents = {
        branch.checkpoint.digest: branch.name
        for branch in found
        if branch.checkpoint is not None and branch.lineage is not None and branch.lineage.phase != "target"
    }
    children = defaultdict[str | None, list[Branch]](list)
    for branch in found:
        parent = None if branch.lineage is None else parents.get(branch.lineage.parent or "")
        children[parent].append(branch)
    return [*_walk(None, 0, children), *unfinished]


def labels(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Names of the head's labels; none where the head has none, or its names are unusable."""
    try:
        return checkpoint.label_names if "For" in checkpoint.architecture else ()
    except CheckpointError:
        return ()


def _walk(parent: str | None, depth: int, children: Mapping[str | None, list[Branch]]) -> Iterator[Branch]:
    """The branches below a parent, each before its own; targets come before intermediates."""
    for branch in sorted(
        children.get(parent, []), key=lambda b: b.lineage is not None and b.lineage.phase == "intermediate"
    ):
        yield replace(branch, depth=depth)
        yield from _walk(branch.name, depth + 1, children)


def _branch(checkpoint: Checkpoint) -> Branch:
    try:
        checkpoint.check()
        card = checkpoint.lineage
        if card is not None and card.phase != "target":  # whose weights are read anyway, for the tree
            checkpoint.require_own_card()
    except XevalError as error:
        return Branch(checkpoint.name, problem=str(error), state="broken")
    if card is None:
        return Branch(checkpoint.name, checkpoint)
    return Branch(
        checkpoint.name,
        checkpoint,
        state="collapsed" if card.collapsed or card.recipe.get("diverged") else "finished",
        lineage=card,
        steps=card.recipe.get("steps"),
        planned_steps=card.recipe.get("planned_steps"),
        score=_dev_score(card),
        seconds=card.wall_seconds,
        note="; ".join(filter(None, (card.collapsed, card.notes))) or None,
    )


def _dev_score(card: Lineage) -> float | None:
    """The best score where the phase kept its best state, else the mean of the last ones."""
    if (best := card.recipe.get("best_score")) is not None:
        return float(best)
    sets = {data.name for data in card.data}
    last = card.history[-1] if card.history else {}
    scores = [
        float(value)
        for key, value in last.items()
        if key.rpartition(".")[0] in sets and not key.endswith(".loss")
    ]
    return sum(scores) / len(scores) if scores else None


def _unfinished(root: Path) -> Iterator[Branch]:
    """Nodes of a study that are begun or have failed, by their reports and their partial directories."""
    told = set()
    for folder in (root / REPORTS, root / "checkpoints" / REPORTS):
        for file in sorted(folder.glob("*.json")):
            report = read_report(folder.parent, file.stem)
            if report is None:  # finished in the meantime
                continue
            directory = folder.parent / report.node
            name = directory.relative_to(root).as_posix()
            if (directory / "config.json").exists():
                continue
            told.add(name)
            yield Branch(
                name,
                state="failed" if report.problem else "begun",
                steps=report.step or None,
                planned_steps=report.steps or None,
                problem=report.problem,
            )
    for partial in sorted(root.rglob(f"*{PARTIAL_SUFFIX}")):
        name = partial.relative_to(root).as_posix().removesuffix(PARTIAL_SUFFIX)
        if partial.is_dir() and name not in told:
            yield Branch(name, state="begun")
