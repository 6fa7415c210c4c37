"""What people see of a study's training: its plan as a tree, and the steps while they are done."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from xeval.console.display import Steps, duration, table
from xeval.train.grid import Node
from xeval.train.plan import GPU, Estimate, PlannedNode

if TYPE_CHECKING:
    from xeval.train.phases import Step

WIDE = 92  # columns that the whole table takes
SHOWN_AT_ONCE = 2


def label(node: Node) -> str:
    """A node's place in the tree, indented."""
    if node.parent is None:
        return node.name
    if node.phase == "intermediate":
        return f"  {node.condition} · seed {node.seed}"
    indent = "    " if node.parent.phase == "intermediate" else "  "
    return f"{indent}{node.sets[0].name} · seed {node.seed}"


def show_plan(
    screen: Console, title: str, planned: Sequence[PlannedNode], guess: Estimate, workers: int
) -> None:
    """Print the tree with what every node takes, the totals, and what the figures rest on."""
    wide = screen.width >= WIDE
    columns = ("node", "state", "steps", "time") if not wide else (
        "node", "state", "examples", "steps", "tokens", "time", "disk"
    )  # fmt: skip
    rows = []
    for p in planned:
        seconds = None if guess.seconds is None else guess.seconds.get(p.node.digest)
        cells = {
            "node": label(p.node),
            "state": f"step {p.done:,}" if p.state == "begun" and p.done else p.state,
            "examples": " + ".join(f"{count:,}" for count in p.examples),
            "steps": f"{p.steps:,}" if p.steps else "",
            "tokens": f"{p.tokens:,}" if p.tokens else "",
            "time": "" if seconds is None else duration(seconds),
            "disk": "" if guess.bytes is None else readable_bytes(guess.bytes[p.node.digest]),
        }
        rows.append([cells[column] for column in columns])
    screen.print(table(title, columns, rows, right=2))
    for line in _totals(planned, guess, workers):
        screen.print(line, markup=False, highlight=False)
    for line in guess.rests_on:
        screen.print(Text(line, style="dim"))
    for p in planned:
        if p.problem is not None:
            screen.print(f"{p.node.name}: cannot be trained: {p.problem}", markup=False, highlight=False)


def _totals(planned: Sequence[PlannedNode], guess: Estimate, workers: int) -> list[str]:
    counts = [
        f"{count} {'cannot be trained' if state == 'cannot' else state}"
        for state in ("finished", "begun", "to do", "cannot")
        if (count := _count(planned, state))
    ]
    left = sum(p.tokens_left for p in planned)
    lines = [f"{len(planned)} nodes ({', '.join(counts)}), about {left:,} tokens to train on"]
    if not left:
        return lines
    if guess.seconds is not None and guess.wall_seconds is not None:
        together = f", {duration(guess.wall_seconds)} with {workers} workers" if workers > 1 else ""
        lines.append(f"time: about {duration(sum(guess.seconds.values()))} on this device{together}")
    if guess.gpu_hours is not None:
        lines.append(f"GPU: about {guess.gpu_hours:.2g} hours of an {GPU}")
    if guess.bytes is not None and guess.peak_bytes is not None:
        there = sum(guess.bytes[p.node.digest] for p in planned if p.state == "finished")
        short = "; THIS IS TOO LITTLE" if guess.peak_bytes - there > guess.free_bytes else ""
        lines.append(
            f"disk: {readable_bytes(sum(guess.bytes.values()))} in the end, {readable_bytes(guess.peak_bytes)} "
            f"at the peak; {readable_bytes(guess.free_bytes)} are free{short}"
        )
    return lines


def _count(planned: Sequence[PlannedNode], state: str) -> int:
    return sum(p.state == state for p in planned)


def plan_json(title: str, planned: Sequence[PlannedNode], guess: Estimate) -> dict[str, Any]:
    """The same for programs."""
    nodes = []
    for p in planned:
        node = p.node
        nodes.append(
            {
                "name": node.name,
                "phase": node.phase,
                "condition": node.condition,
                "sets": [s.name for s in node.sets],
                "seed": node.seed,
                "parent": None if node.parent is None else node.parent.name,
                "hyper": None if node.hyper is None else node.hyper.digest_values(),
                **{k: v for k, v in asdict(p).items() if k != "node"},
                "tokens_left": p.tokens_left,
                "seconds": None if guess.seconds is None else guess.seconds.get(node.digest, 0.0),
                "bytes": None if guess.bytes is None else guess.bytes[node.digest],
            }
        )
    return {"study": title, "nodes": nodes, "total": guess.to_json()}


def readable_bytes(count: float) -> str:
    """3.2 GB, 410 MB; decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class TrainingSteps:
    """Training as steps, one token each; several nodes may be under way at once."""

    def __init__(self, steps: Steps, planned: Sequence[PlannedNode]) -> None:
        self._steps = steps
        self._work = {p.node.digest: p.tokens_left for p in planned}
        self._tokens = {p.node.digest: p.tokens for p in planned}
        self._counted: dict[str, float] = {}
        self._under_way: dict[str, str] = {}

    def begin(self, grid: Sequence[Node], finished: int) -> None:
        """Say what is there already."""
        if finished:
            self._steps.say(f"{finished} of {len(grid)} checkpoints are there already")

    def start(self, node: Node) -> None:
        """Show the node."""
        self._show(node, node.name)

    def step(self, node: Node, step: "Step") -> None:
        """Advance by the step's tokens."""
        left = self._tokens.get(node.digest, 0) * (1 - step.step / step.steps)
        self._advance(node, max(0.0, self._work.get(node.digest, 0) - left))
        self._show(node, f"{node.name}  step {step.step} of {step.steps}  loss {step.loss:.3f}")

    def end(self, node: Node, problem: str | None) -> None:
        """Say what became of the node."""
        self._under_way.pop(node.digest, None)
        self._advance(node, self._work.get(node.digest, 0))
        if problem is None:
            self._steps.finished(f"{node.name}: trained")
        else:
            self._steps.failed(f"{node.name}: FAILED: {problem}")

    def say(self, text: str) -> None:
        """A lasting line."""
        self._steps.say(text)

    def _advance(self, node: Node, done: float) -> None:
        before = self._counted.get(node.digest, 0.0)
        if done > before:
            self._steps.advance(done - before)
            self._counted[node.digest] = done

    def _show(self, node: Node, text: str) -> None:
        self._under_way[node.digest] = text
        first = list(self._under_way.values())[:SHOWN_AT_ONCE]
        more = len(self._under_way) - len(first)
        self._steps.now(" | ".join(first) + (f" | {more} more" if more else ""))
