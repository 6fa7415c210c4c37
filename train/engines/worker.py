"""A worker process, ``python -m train.engines.worker STUDY OUT RUN NAME``: trains nodes until there are no more.

It leaves, its state saved, when its standard input ends: whoever started it wants it to, or has died itself.
Started through Accelerate or torchrun, its processes train every node together.
"""

import argparse
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

from xeval.train.loop import follow, train_study
from xeval.train.study import load_study


class Launched:
    """The processes of this worker."""

    def __init__(self) -> None:
        import torch
        from accelerate import PartialState

        state = PartialState(cpu=not torch.cuda.is_available())
        assert state.num_processes == int(os.environ["WORLD_SIZE"]), "the processes do not see each other"
        self.main = bool(state.is_main_process)

    def from_main(self, value: str | None) -> str | None:
        """The first process's value."""
        from accelerate.utils import broadcast_object_list

        values = [value]
        broadcast_object_list(values)
        return values[0]


def main() -> None:
    """Train the study's nodes."""
    parser = argparse.ArgumentParser(prog="xeval.train.engines.worker")
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--save-seconds", type=float, default=300.0)
    parser.add_argument("--save-dtype", choices=["bfloat16"])
    asked = parser.parse_args()
    study = replace(load_study(asked.study), save_dtype=asked.save_dtype)
    team = Launched() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
    if team is not None and not team.main:
        follow(study, asked.out, team)
        return
    leave = threading.Event()
    threading.Thread(target=_until_input_ends, args=(leave,), daemon=True).start()
    train_study(
        study,
        asked.out,
        save_seconds=asked.save_seconds,
        run=asked.run,
        worker=asked.name,
        stop=leave.is_set,
        team=team,
    )


def _until_input_ends(leave: threading.Event) -> None:
    while os.read(
        sys.stdin.fileno(), 1024
    ):  # not through sys.stdin, whose lock would outlive the interpreter
        pass
    leave.set()


if __name__ == "__main__":
    main()
