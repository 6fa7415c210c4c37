"""A process that has imported everything and forks itself for every trial of a command.

Started by :class:`trials.Server`, with the shim preloaded. Reads one JSON object a line from standard input and answers
with one a line. It never computes anything itself, so that no thread is running when it forks.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.metadata
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

MEMORY = 4 << 30  # bytes that a trial may take


def serve() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for line in requests:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "import" in request:
        for name in request["import"]:
            # What was loaded as a part of something else cannot always be imported by its name.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        _warm_up()
        gc.collect()
        gc.freeze()
        return {"threads": sum(1 for _ in Path("/proc/self/task").iterdir())}
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _trial(request)
    handle = os.pidfd_open(child)
    ended = _wait(handle, request.get("kill_after"))
    late = False
    if not ended and request.get("kill_after") is not None:
        os.kill(child, signal.SIGKILL)
    elif not _wait(handle, request["timeout"]):
        late = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(handle)
    return {"code": code, "late": late, "seconds": time.monotonic() - started}


def _warm_up() -> None:
    """Do once what every trial would do again, where it needs no thread."""
    importlib.metadata.version = functools.cache(importlib.metadata.version)
    with contextlib.suppress(ImportError):
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping

        get_checkpoint_conversion_mapping("bert")


def _wait(handle: int, seconds: float | None) -> bool:
    """Whether the process has ended within so many seconds."""
    if seconds is None:
        return False
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _trial(request: dict[str, Any]) -> None:
    """Run one command in this process, which is a child of the server, and end it."""
    os.setsid()
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    os.chdir(request["folder"])
    # An input may ask for more memory than the machine has; the trial is to fail then, not its neighbours.
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    code = 1
    try:
        if fault := request.get("fault"):
            text = [None if text is None else os.fsencode(text) for text in (fault["folder"], fault["log"])]
            ctypes.CDLL(None).faults_arm(
                text[0],
                fault["classes"],
                ctypes.c_long(fault["at"]),
                fault["action"],
                fault["error"],
                text[1],
            )
        code = _run(request)
    except BaseException:  # noqa: BLE001  (as the interpreter would at its end)
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    if names := request.get("modules"):
        Path(names).write_text(json.dumps(sorted(sys.modules)), encoding="utf-8")
    os._exit(code)


def _run(request: dict[str, Any]) -> int:
    if prepare := request.get("prepare"):
        _named(prepare)()
    if function := request.get("function"):
        json.dump(_named(function)(**request["arguments"]), sys.stdout)
        return 0
    from xeval import cli

    sys.argv = ["xeval", *request["command"]]
    try:
        cli.main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(ended.code)
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return 0


def _named(function: str) -> Any:
    module, name = function.split(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    serve()
