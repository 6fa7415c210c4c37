"""Errors a user can act on: one sentence that says what is wrong, where, and what to do."""

import difflib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO


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


class Remark(UserWarning):
    """What is to be read with the results; a command shows it as a sentence on standard error."""


@contextmanager
def remarks_to(take: Callable[[str], object]) -> Iterator[None]:
    """Give the remarks that are made in the block to ``take``, each once; other warnings go their way."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, Remark):
                take(str(message))
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.simplefilter("default", Remark)
        warnings.showwarning = show
        yield


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'nearest'?`` as the end of a sentence's first half, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def require_package(module: str, purpose: str) -> None:
    """Raises :class:`UsageError` where an optional package is not installed, and says how to get it."""
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{purpose} needs {module}, which is not installed; run `pip install {module}`.")
