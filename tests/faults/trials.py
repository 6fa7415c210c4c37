"""Trials of commands: run one in a forked process, perhaps with a fault, and see how it ended."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

HERE = Path(__file__).parent
CLASSES = tuple(
    "open-write open-read list read write sync rename mkdir unlink chmod allocate map close stat lock link".split()
)
COUNT, FAIL, FAIL_FROM_HERE, KILL_BEFORE, KILL_AFTER = range(5)
TIMEOUT = 120.0
KILLED = -9
TRACED = 9  # last lines of a traceback that are shown
# What most commands import; imported once by the server, where every trial would take seconds for it.
WARM = (
    "torch transformers transformers.models.bert.modeling_bert transformers.models.auto.modeling_auto "
    "accelerate pandas pyarrow.parquet faiss torch._dynamo xeval.cli xeval.evaluation.run xeval.store "
    "xeval.console.score_tables xeval.encoder.loop xeval.tasks.mined_files xeval.interop.submission "
    "xeval.interop.writers xeval.study xeval.train.phases xeval.train.plan xeval.train.study "
    "xeval.train.loop xeval.train.engines xeval.train.base xeval.console.training xeval.analysis sentencepiece "
    "transformers.convert_slow_tokenizer tokenizers.trainers transformers.tokenization_utils_tokenizers "
    "xeval.encoder.tokens xeval.encoder.pooling xeval.retrieval "
).split()
TrialT = TypeVar("TrialT")


@dataclass(frozen=True)
class Fault:
    """What happens at the ``at``-th call of these classes below a folder."""

    at: int
    action: int
    error: int = 0
    classes: Sequence[str] = CLASSES


@dataclass(frozen=True)
class Ended:
    """How a command ended: a negative code is the number of the signal; ``late`` when it had to be stopped."""

    code: int
    out: str
    err: str
    seconds: float
    late: bool
    calls: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"exit code {self.code}{', stopped after the time-out' if self.late else ''}\n{self.out}{self.err}"


def compile_shim(folder: Path) -> Path | None:
    """The shim as a library; None where there is no compiler or no Linux."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "shim.c"), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return library if done.returncode == 0 else None


class Server:
    """A fork server with a folder of its own, which every trial finds as the last one left it."""

    def __init__(self, folder: Path, shim: Path | None) -> None:
        self.root, self.shim = folder, shim
        self.folder = folder / "trial"
        self.folder.mkdir(parents=True)
        self._errors = (folder / "server.log").open("w")
        paths = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "MPLBACKEND": "agg",
            "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others start a thread of their own
            "XEVAL_CACHE": str(folder / "cache"),
        }
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fork_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
        )
        self.learn(WARM)

    def _ask(self, request: dict[str, Any]) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the fork server ended: {(self.root / 'server.log').read_text()}")
        return json.loads(answer)

    def _trial(
        self,
        asked: dict[str, Any],
        fault: Fault | None = None,
        kill_after: float | None = None,
        timeout: float = TIMEOUT,
    ) -> Ended:
        out, err, log = (self.root / name for name in ("stdout", "stderr", "calls"))
        log.unlink(missing_ok=True)
        request = {
            "folder": str(self.folder),
            "stdout": str(out),
            "stderr": str(err),
            "kill_after": kill_after,
            "timeout": timeout,
            **asked,
        }
        if fault is not None:
            request["fault"] = {
                "folder": str(self.folder),
                "log": str(log),
                "at": fault.at,
                "action": fault.action,
                "error": fault.error,
                "classes": sum(1 << CLASSES.index(name) for name in fault.classes),
            }
        answer = self._ask(request)
        calls = tuple(log.read_text(errors="replace").splitlines()) if log.exists() else ()
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
        return Ended(answer["code"], *texts, answer["seconds"], answer["late"], calls)

    def xeval(
        self, *command: object, fault: Fault | None = None, kill_after: float | None = None, prepare: str = ""
    ) -> Ended:
        """Run a command in the trial's folder; ``prepare`` is a ``module:function`` that is called before it."""
        return self._trial({"command": list(map(str, command)), "prepare": prepare}, fault, kill_after)

    def call(self, function: str, **arguments: Any) -> Any:
        """What ``module:function`` gives in a process of its own; raises RuntimeError when that process dies."""
        ended = self._trial({"function": function, "arguments": arguments})
        if ended.code != 0:
            raise RuntimeError(f"{function}: {ended.text}")
        return json.loads(ended.out)

    def learn(self, modules: Iterable[str]) -> int:
        """Import modules, so that trials need not; gives the number of threads that the server then has."""
        return int(self._ask({"import": list(modules)})["threads"])

    def modules(self, *command: object, prepare: str = "") -> list[str]:
        """The modules that a command imports."""
        names = self.root / "modules.json"
        self._trial({"command": list(map(str, command)), "prepare": prepare, "modules": str(names)})
        return list(json.loads(names.read_text()))

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._errors.close()


@dataclass
class Counts:
    """What a campaign has seen. ``failures`` holds what is needed to see each again."""

    name: str
    tried: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def survived(self) -> int:
        return self.tried - len(self.failures)

    def line(self) -> str:
        """A row of the table in docs/faults.md."""
        details = ", ".join(f"{number:,} {what}" for what, number in sorted(self.seen.items()))
        return (
            f"| {self.name} | {self.tried:,} | {self.survived:,} | {len(self.failures):,} | {details} | "
            f"{self.seconds / 60:.1f} |"
        )


class Campaign:
    """Runs trials on all servers at once until they are done or the time is up, and counts."""

    def __init__(self, name: str, servers: Sequence[Server], seconds: float) -> None:
        self.counts = Counts(name)
        self._servers: SimpleQueue[Server] = SimpleQueue()
        for server in servers:
            self._servers.put(server)
        self._width = len(servers)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._deadline = self._started + seconds

    def run(self, trials: Sequence[TrialT], do: Callable[[Server, TrialT], "Iterator[Seen]"]) -> None:
        """Do every trial; each may stand for several cases, of which it gives one :class:`Seen` after the other."""

        def work(trial: TrialT) -> None:
            if self.late:
                return
            server = self._servers.get()
            try:
                for seen in do(server, trial):
                    self._count(seen)
            finally:
                self._servers.put(server)

        with ThreadPoolExecutor(self._width) as pool:
            list(pool.map(work, trials))
        self.counts.seconds = time.monotonic() - self._started

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._deadline

    def _count(self, seen: "Seen") -> None:
        with self._lock:
            self.counts.tried += seen.cases
            self.counts.seen[seen.how] += seen.cases
            if seen.failure:
                self.counts.failures.append(seen.failure)


@dataclass(frozen=True)
class Seen:
    """One case: how it ended, in a word or two for the counts, and what was wrong with that."""

    how: str
    failure: str = ""
    cases: int = 1


def sentence_problem(ended: Ended) -> str:
    """What is wrong with how a command ended, whatever it was to do: a traceback, a crash, no sentence; else empty."""
    if ended.late:
        return f"it does not end: {ended.text}"
    if "Traceback (most recent call last)" in ended.out + ended.err:
        before, _, after = ended.text.partition("Traceback (most recent call last)")
        return f"a traceback: {before}...\n" + "\n".join(after.splitlines()[-TRACED:])
    if ended.code not in (0, 1, 2):
        return f"it crashes: {ended.text}"
    said = any(
        line.startswith(("xeval:", "Usage:")) or ": FAILED: " in line for line in ended.err.splitlines()
    )
    return "" if said or ended.code == 0 else f"no sentence: {ended.text}"
