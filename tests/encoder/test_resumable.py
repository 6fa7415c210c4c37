"""What an interrupted run left of a file of embeddings is gone on with where it is whole, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest

from xeval.encoder.resumable import EmbeddingFile
from xeval.errors import XevalError

TEXTS = ("eins", "zwei", "drei", "vier")
ROWS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def begun(path: Path) -> tuple[bytes, bytes]:
    """A file of two blocks, two rows and one, and its state."""
    file = EmbeddingFile(path, TEXTS, 3)
    file.append(ROWS[:2])
    file.append(ROWS[2:3])
    return path.read_bytes(), path.with_suffix(".done").read_bytes()


def test_what_is_whole_is_gone_on_with_and_what_is_damaged_is_said_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    rows, state = begun(path)
    damaged = "what an interrupted run noted of it is damaged; it starts again"
    cases: tuple[tuple[bytes | None, bytes | None, int, str], ...] = (
        (rows, state, 3, ""),
        (rows + b"block without a note", state, 3, ""),
        (rows[:-1], state, 2, "is damaged or was cut; sentences from number 3 on are embedded again"),
        (rows[:-1] + b"!", state, 2, "is damaged or was cut; sentences from number 3 on are embedded again"),
        (rows[:-24], state, 0, "is damaged or was cut; it starts again"),
        (rows[:-24] + bytes(36), state, 0, "is damaged or was cut; it starts again"),
        (rows[:9], state, 0, "is no file of these embeddings; it starts again"),
        (b"", state, 0, "is no file of these embeddings; it starts again"),
        (None, state, 0, "cannot be read (No such file or directory); it starts again"),
        (rows, None, 0, ""),
        (
            rows,
            state.replace(b'texts": "', b'texts": "0'),
            0,
            "was begun for other sentences; it starts again",
        ),
        *((rows, text, 0, damaged) for text in (b"", b"3", b"[]", b"{}", b"\0", b"\xff", b"[" * 100_000)),
        *(
            (rows, state.replace(b"[2,", text, 1), 0, damaged)
            for text in (b"[Infinity,", b"[-2,", b"[null,", b"[9,")
        ),
    )
    for number, (content, noted, done, said) in enumerate(cases):
        path = tmp_path / f"{number}.npy"
        for file, written in ((path, content), (path.with_suffix(".done"), noted)):
            if written is not None:
                file.write_bytes(written)
        told: list[str] = []
        found = EmbeddingFile(path, TEXTS, 3, told.append)
        assert (found.done, told) == (done, [f"{path}: {said}."] if said else []), (content, noted)
        found.append(ROWS[found.done :])
        np.testing.assert_array_equal(found.rows(), ROWS)
        assert path.stat().st_size == len(rows) + 12
        assert EmbeddingFile(path, TEXTS, 3, told.append).done == 4


def test_the_rows_of_other_texts_or_of_another_width_are_never_taken(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    begun(path)
    told: list[str] = []
    assert EmbeddingFile(path, (*TEXTS[:3], "fünf"), 3, told.append).done == 0
    assert EmbeddingFile(path, TEXTS, 2, told.append).done == 0
    assert EmbeddingFile(path, TEXTS[:3], 3, told.append).done == 0
    assert [text.split(": ")[1] for text in told] == ["was begun for other sentences; it starts again."] * 3
    with pytest.raises(XevalError, match="embeddings have 2 numbers, and 3 were expected"):
        EmbeddingFile(path, TEXTS, 3).append(ROWS[:, :2])


def test_a_full_disk_is_one_sentence_and_keeps_the_blocks_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.npy"
    begun(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(
            XevalError, match=r"rows.npy: cannot be written \(No space left on device\); what was"
        ):
            EmbeddingFile(path, TEXTS, 3).append(ROWS[3:])
    assert EmbeddingFile(path, TEXTS, 3).done == 3
