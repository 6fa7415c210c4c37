"""The ``xeval`` command: one thin function per sub-command. Exit codes: 0 done, 1 something failed, 2 wrong use."""

from xeval.cli import checkpoints, compare, data, evaluate, export, look, make, mine, power, score  # noqa: F401  (importing a module registers its commands)
from xeval.cli.app import app, main

__all__ = ["app", "main"]
