"""Mining that is killed at any file operation goes on, and its output is that of a run which nothing disturbed."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from xeval.console.display import Steps
from xeval.encoder.resumable import EmbeddingFile
from xeval.tasks import mined_files
from xeval.tasks.mining import MINING

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod")
KILLS = 7  # of some fifty operations; each costs a process and a second run


class ThreeSentencesABlock:
    """Stands for the encoder: embeddings that the texts decide, written as embeddings are."""

    def __init__(self, *_: Any) -> None:
        self.settings = MINING.from_recipe({})

    def __call__(self, texts: Sequence[str], path: Path) -> NDArray[np.float32]:
        file = EmbeddingFile(path, texts, 6)
        while file.done < len(texts):
            block = texts[file.done : file.done + 3]
            seeds = [sum(text.split("-")[-1].encode()) for text in block]
            rows = [np.random.default_rng(seed).standard_normal(6) + 1 for seed in seeds]
            file.append(np.asarray(rows, np.float32))
        return file.rows()


def mine(folder: Path, encoder: Path, out: str) -> None:
    with Steps("mine", 1.0, quiet=True) as steps:
        work = folder / f".{out}.work"
        sides = folder / "de.txt", folder / "en.txt"
        with mined_files.mine_files(*sides, encoder, {}, "cpu", "float32", 0, steps, work) as mined:
            mined_files.write_pairs(folder / out, [line for _, line in mined.lines()])


def killed(call: Callable[[], None], below: Path, operation: int) -> int:
    """Run a call in a child that kills itself at its n-th file operation below a folder; gives how many it got to.

    A child that came to its end gives how many there were.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        count = 0

        def counted(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event in OPERATIONS and str(below) in str(arguments[0]):
                count += 1
                if count == operation:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(counted)
        signal.alarm(60)
        try:
            call()
            os.write(writes, str(count).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        _, status = os.waitpid(child, 0)
        text = pipe.read()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return operation
    return int(text)


def test_a_run_killed_at_a_file_operation_goes_on_to_the_same_pairs(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mined_files, "_Embedder", ThreeSentencesABlock)
    for code in ("de", "en"):
        (tmp_path / f"{code}.txt").write_text("".join(f"{code}-{n}\n" for n in range(5)))
    mine(tmp_path, tiny_encoder, "whole.tsv")
    wanted = (tmp_path / "whole.tsv").read_bytes()
    assert wanted.count(b"\n") == 5
    count = killed(lambda: mine(tmp_path, tiny_encoder, "counted.tsv"), tmp_path, 0)
    assert count > KILLS
    out = tmp_path / "pairs.tsv"
    for operation in range(2, count + 1, count // KILLS):
        assert killed(lambda: mine(tmp_path, tiny_encoder, out.name), tmp_path, operation) == operation
        assert not out.exists() or out.read_bytes() == wanted
        mine(tmp_path, tiny_encoder, out.name)
        assert out.read_bytes() == wanted
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *("counted.tsv", "de.txt", "en.txt", "pairs.tsv", "whole.tsv"),
        ]
        out.unlink()
