"""Whatever goes wrong in one thing is one sentence, and its traceback is in the file that the sentence names."""

import errno
from pathlib import Path

import pytest

from xeval.errors import DataError
from xeval.failures import contained, explained


class PanicException(BaseException):
    """As pyo3 raises it."""


def _raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_our_own_errors_are_their_sentence_and_write_no_log(tmp_path: Path) -> None:
    assert explained(DataError("x.json: is not JSON."), tmp_path, "x") == "x.json: is not JSON."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyError("lost key"), PanicException("lost key"), Exception("lost\nkey")])
def test_an_unexpected_error_names_the_log_that_holds_its_traceback(
    error: BaseException, tmp_path: Path
) -> None:
    text = explained(_raised(error), tmp_path, "runs/a · xnli · de")
    (log,) = (tmp_path / "errors").iterdir()
    assert text.startswith(f"unexpected {type(error).__name__}: ")
    assert "\n" not in text
    assert text.endswith(f"; the traceback is in {log}.")
    assert "test_failures.py" in log.read_text()


def test_names_that_differ_in_a_sign_have_logs_of_their_own(tmp_path: Path) -> None:
    for name in ("a/b", "a b", "a-b", "ä" * 400, "/", ""):
        explained(_raised(ValueError(name)), tmp_path, name)
    assert len(list((tmp_path / "errors").iterdir())) == 6


def test_errors_of_the_system_name_file_and_reason_also_through_a_rust_library(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/state")
    assert explained(full, tmp_path, "x").startswith("/data/state: No space left on device (the disk or the")
    through = Exception("Error while serializing: I/O error: No space left on device (os error 28)")
    assert explained(through, tmp_path, "x").startswith(
        "No space left on device (the disk or the quota is full)"
    )


def test_too_little_memory_and_too_deep_nesting_are_said(tmp_path: Path) -> None:
    assert explained(MemoryError(), tmp_path, "x").startswith(
        "needs more memory than there is; the traceback"
    )
    assert explained(RecursionError("depth"), tmp_path, "x").startswith("is nested too deep to be read; the")


def test_a_log_that_cannot_be_written_takes_nothing_from_the_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    text = explained(_raised(KeyError("k")), file, "x")
    assert text.startswith("unexpected KeyError: 'k' (where: test_failures.py:")


def test_requests_to_end_pass_and_failures_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    with contained(tmp_path, "x", told.append):
        raise DataError("no.")
    with contained(tmp_path, "x", told.append):
        raise PanicException("p")
    assert told[0] == "no."
    assert told[1].startswith("unexpected PanicException: p")
    for request in (KeyboardInterrupt, SystemExit):
        with pytest.raises(request), contained(tmp_path, "x", told.append):
            raise request
    assert len(told) == 2
