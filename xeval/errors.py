"""Errors a user can act on: one sentence that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class XevalError(Exception):
    """Base of all errors that are shown as one sentence, without a traceback."""


class UsageError(XevalError):
    """The command, an option or a study file asks for something that does not exist (exit code 2)."""


class DataError(XevalError):
    """A data file is missing, damaged, misaligned, or holds placeholders instead of labels."""


class CheckpointError(XevalError):
    """A checkpoint directory cannot be used."""


class StoreError(XevalError):
    """The store of results cannot be read or written."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'nearest'?`` as the end of a sentence's first half, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
