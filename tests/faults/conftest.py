"""Fork servers and folders for the campaigns, and the counts that they leave.

``make faults`` runs the campaigns in full. ``--faults-seed`` repeats one, ``--faults-minutes`` bounds all of them
together, ``--faults-counts`` names the file whose table is to hold the counts.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes import World
from trials import Campaign, Counts, Server, compile_shim

BEGIN, END = "<!-- counts -->", "<!-- end of counts -->"
HEAD = "| campaign | tried | survived | failed | how they ended | minutes |\n|---|--:|--:|--:|---|--:|\n"
SHOWN = 5  # failures that are printed in full
COUNTS: list[Counts] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults-seed", type=int, default=0, help="of what is drawn at random")
    group.addoption("--faults-minutes", type=float, default=28.0, help="all campaigns together")
    group.addoption("--faults-workers", type=int, default=2, help="trials at a time")
    group.addoption("--faults-counts", default="", help="file whose table is to hold the counts")


def asked(config: pytest.Config, name: str, default: Any) -> Any:
    """An option of the campaigns; they are not known where pytest was not called on this folder."""
    return config.getoption(f"--faults-{name}", default)


@pytest.fixture(scope="session")
def faults_seed(pytestconfig: pytest.Config) -> int:
    return int(asked(pytestconfig, "seed", 0))


@pytest.fixture(scope="session")
def _server_factory(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[int], list[Server]]]:
    folder = tmp_path_factory.mktemp("faults")
    shim = compile_shim(folder)
    made: list[Server] = []

    def servers(count: int) -> list[Server]:
        while len(made) < count:
            made.append(Server(folder / f"server-{len(made)}", shim))
        return made[:count]

    yield servers
    for server in made:
        server.close()


@pytest.fixture
def servers(request: pytest.FixtureRequest, _server_factory: Callable[[int], list[Server]]) -> list[Server]:
    """One server for the quick part; as many as asked for in a campaign."""
    slow = request.node.get_closest_marker("slow") is not None
    return _server_factory(int(asked(request.config, "workers", 2)) if slow else 1)


@pytest.fixture
def system_faults(servers: list[Server]) -> None:
    """Skips where system calls cannot be made to fail."""
    if servers[0].shim is None:
        pytest.skip("system calls cannot be intercepted here: that takes Linux and a C compiler (cc)")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> World:
    return World(tmp_path_factory.mktemp("world"), make_checkpoint)


@pytest.fixture
def campaign(request: pytest.FixtureRequest, servers: list[Server]) -> Callable[[str, float], Campaign]:
    """``campaign("name", share)`` starts one that may take this share of all the time."""

    def start(name: str, share: float) -> Campaign:
        started = Campaign(name, servers, share * 60 * float(asked(request.config, "minutes", 28.0)))
        if request.node.get_closest_marker("slow") is not None:
            COUNTS.append(started.counts)
        return started

    return start


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not COUNTS:
        return
    table = HEAD + "".join(f"{counts.line()}\n" for counts in COUNTS)
    terminalreporter.write_line("\n" + table)
    for counts in COUNTS:
        for failure in counts.failures[:SHOWN]:
            terminalreporter.write_line(f"--- {counts.name} ---\n{failure}\n")
    if name := asked(config, "counts", ""):
        path = Path(name)
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent,
        ).stdout.strip()
        said = f"Commit {commit or 'unknown'}, seed {asked(config, 'seed', 0)}, {os.cpu_count()} cores.\n\n"
        path.write_text(f"{before}{BEGIN}\n{said}{table}{END}{rest.partition(END)[2]}", encoding="utf-8")
