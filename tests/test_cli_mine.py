"""``xeval mine``: two files in, scored pairs out; what is wrong with a file is one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.synthetic_bitext import synthetic_bitext
from transformers import AutoModel, AutoTokenizer

from xeval.cli import mine  # noqa: F401  (registers the command)
from xeval.retrieval import mine as mine_embeddings

Run = Callable[..., tuple[int, str, str]]
GERMAN = [
    "Anna wohnt in Berlin.",
    "",
    "Die Lisa springt.",
    "Anna wohnt in Berlin.",
    "Boris\tarbeitet",
    "Wo ist er?",
]
ENGLISH = ["Anna works in Berlin.", "the quick brown fox", "Lisa jumps", "Who lives here?"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for name, lines in (("de.txt", GERMAN), ("en.txt", ENGLISH)):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "de.txt", tmp_path / "en.txt"


def embedded(directory: Path, texts: list[str]) -> np.ndarray:
    """By transformers alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory).eval()
    with torch.inference_mode():
        return torch.stack(
            [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
        ).numpy()


def rows(text: str) -> list[tuple[float, str, str]]:
    cells = [line.split("\t") for line in text.splitlines()]
    return [(float(score), source, target) for score, source, target in cells]


def test_texts_are_mined(xeval: Run, files: tuple[Path, Path], tiny_encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.tsv"
    code, printed, err = xeval("mine", *files, "--checkpoint", tiny_encoder, "--k", 2, "-o", out)
    assert (code, printed) == (0, ""), err
    german = [line.replace("\t", " ") for line in dict.fromkeys(GERMAN) if line]
    expected = mine_embeddings(embedded(tiny_encoder, german), embedded(tiny_encoder, ENGLISH), k=2)
    found = rows(out.read_text())
    assert [(s, t) for _, s, t in found] == [(german[p.source], ENGLISH[p.target]) for p in expected]
    np.testing.assert_allclose([score for score, _, _ in found], expected.score, atol=1e-5)
    assert f"{len(expected)} pairs [default: layer 2, mean, cosine, margin ratio k=2, matching max" in err
    assert "empty lines left out: 1" in err


def test_embeddings_are_mined_without_a_checkpoint(xeval: Run, tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    x = draw.standard_normal((30, 8)).astype(np.float32)
    y = x[::-1] + draw.standard_normal((30, 8)).astype(np.float16) / 4
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    code, out, err = xeval("mine", tmp_path / "x.npy", tmp_path / "y.npy", "--threshold", 1.4)
    assert code == 0
    expected = mine_embeddings(x, y, threshold=1.4)
    assert [(int(s), int(t)) for _, s, t in rows(out)] == [(p.source, p.target) for p in expected]
    assert 0 < len(expected) < 30
    assert "[default: cosine, margin ratio k=4, matching max, duplicates drop]" in err


def test_an_approximate_index_is_measured_and_takes_the_pairs_of_what_it_found(
    xeval: Run, tmp_path: Path
) -> None:
    data = synthetic_bitext(300, 700, 16, 0.3, 4)
    np.save(tmp_path / "x.npy", data.source)
    np.save(tmp_path / "y.npy", data.target)
    arguments = ("mine", tmp_path / "x.npy", tmp_path / "y.npy", "--json", "--index")
    exact, one_pass, coarse, fine = (
        json.loads(xeval(*arguments, *index)[1])
        for index in (("flat",), ("one-pass",), ("ivf", "--effort", 1), ("ivf", "--effort", 25))
    )
    assert [result["index"] for result in (exact, one_pass)] == ["flat", "one-pass"]
    assert exact["recall"] == one_pass["recall"] == fine["recall"] == 1
    assert exact["pairs"] == one_pass["pairs"] == fine["pairs"]
    assert 0.2 < coarse["recall"] < 1
    assert len({pair["source"] for pair in coarse["pairs"]}) == len(coarse["pairs"])
    assert coarse["pairs"] != exact["pairs"]
    assert "ivf, 1 of 25 lists: recall" in coarse["remarks"][0]
    code, _, err = xeval(*arguments, "annoy")
    assert (code, "--index annoy: no such index" in err) == (2, True)


def test_an_interrupted_run_goes_on_from_its_embeddings(
    xeval: Run, files: tuple[Path, Path], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xeval.encoder.loop import Loop
    from xeval.tasks import mined_files

    arguments = ("mine", *files, "--checkpoint", tiny_encoder, "-o", tmp_path / "pairs.tsv")
    embedded_texts: list[int] = []
    run = Loop.run

    def counted(self: Loop, block: Any, reduce: Any) -> Any:
        embedded_texts.append(len(block))
        return run(self, block, reduce)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "run", counted)
    with monkeypatch.context() as patched:
        patched.setattr(mined_files, "mine_as", stopped)
        assert xeval(*arguments)[0] == 130
    assert sum(embedded_texts) == 8
    assert xeval(*arguments)[0] == 0
    assert sum(embedded_texts) == 8  # not one sentence a second time
    again = (tmp_path / "pairs.tsv").read_text()
    assert {path.name for path in tmp_path.iterdir() if "pairs" in path.name} == {"pairs.tsv"}
    with files[0].open("a", encoding="utf-8") as file:
        file.write("Noch ein Satz.\n")
    assert xeval(*arguments)[0] == 0
    assert sum(embedded_texts) == 8 + 9
    assert (tmp_path / "pairs.tsv").read_text() != again


def test_a_disk_that_is_full_at_the_end_costs_no_search(
    xeval: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xeval.retrieval import candidates
    from xeval.tasks import mined_files

    np.save(tmp_path / "x.npy", np.eye(6, dtype=np.float32))
    arguments = ("mine", tmp_path / "x.npy", tmp_path / "x.npy", "-o", tmp_path / "pairs.tsv")

    def full(path: Path, _: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(mined_files, "write_whole", full)
        code, _, err = xeval(*arguments)
    assert (code, "cannot be written (No space left on device)" in err) == (1, True), err
    assert not (tmp_path / "pairs.tsv").exists()

    def swept(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(candidates, "_index", swept)
    assert xeval(*arguments)[0] == 0
    assert len(rows((tmp_path / "pairs.tsv").read_text())) == 6
    assert not (tmp_path / ".pairs.tsv.work").exists()


def test_a_dry_run_says_what_the_search_will_take(
    xeval: Run, files: tuple[Path, Path], tiny_encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.tsv"
    arguments = ("mine", *files, "--checkpoint", tiny_encoder, "-o", out, "--dry-run")
    code, printed, err = xeval(*arguments)
    assert (code, printed, out.exists()) == (0, "", False)
    assert "4 x 4: flat search" in err
    estimate = json.loads(xeval(*arguments, "--json")[1])
    code, _, err = xeval(*arguments, "--index", "ivf")
    assert (code, "only exact searches can be estimated" in err) == (2, True)
    width = embedded(tiny_encoder, ENGLISH).shape[1]
    assert (estimate["source"], estimate["target"], estimate["operations"]) == (4, 4, 4 * 4 * 4 * width)
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    code, _, err = xeval("mine", files[0], tmp_path / "x.npy", "--checkpoint", tiny_encoder, "--dry-run")
    assert (code, "embed both sides with the same encoder" in err) == (1, True)


def test_two_processes_do_not_write_the_same_file(xeval: Run, tmp_path: Path) -> None:
    from filelock import FileLock

    np.save(tmp_path / "x.npy", np.eye(4, dtype=np.float32))
    work = tmp_path / ".pairs.tsv.work"
    work.mkdir()
    with FileLock(work / "lock"):
        code, _, err = xeval("mine", tmp_path / "x.npy", tmp_path / "x.npy", "-o", tmp_path / "pairs.tsv")
    assert (code, "another process is mining here" in err) == (2, True)


def test_texts_and_embeddings_can_meet(
    xeval: Run, files: tuple[Path, Path], tiny_encoder: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "en.npy", embedded(tiny_encoder, ENGLISH))
    _, with_text, _ = xeval("mine", *files, "--checkpoint", tiny_encoder)
    code, with_rows, _ = xeval("mine", files[0], tmp_path / "en.npy", "--checkpoint", tiny_encoder)
    assert code == 0
    assert [(s, ENGLISH[int(t)]) for _, s, t in rows(with_rows)] == [(s, t) for _, s, t in rows(with_text)]


def work_of(folder: Path) -> Path:
    (work,) = (path for path in (folder / ".pairs.tsv.work").iterdir() if path.is_dir())
    return work


@pytest.fixture
def half_done(
    xeval: Run, files: tuple[Path, Path], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, ...]:
    """A call that was stopped after its search, one sentence a block; gives its arguments."""
    from xeval.tasks import mined_files

    arguments = ("mine", *files, "--checkpoint", tiny_encoder, "-o", tmp_path / "pairs.tsv")
    monkeypatch.setattr("xeval.encoder.pooling.BLOCK_SENTENCES", 1)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mined_files, "write_whole", stopped)
        assert xeval(*arguments)[0] == 130
    return arguments


def test_another_text_of_the_same_size_and_time_is_embedded_anew(
    xeval: Run, files: tuple[Path, Path], half_done: tuple[Any, ...], tmp_path: Path
) -> None:
    import os

    before = files[0].stat()
    text = files[0].read_text(encoding="utf-8")
    files[0].write_text(text.replace("Lisa", "Anna"), encoding="utf-8")
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    code, _, err = xeval(*half_done)
    assert code == 0
    assert "half-done work of other files or settings, which is removed" in err
    found = (tmp_path / "pairs.tsv").read_text()
    assert xeval(*half_done[:-1], tmp_path / "fresh.tsv")[0] == 0
    assert found == (tmp_path / "fresh.tsv").read_text()


def test_damaged_work_is_noticed_said_and_done_again_and_no_other(
    xeval: Run, half_done: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xeval.encoder.loop import Loop

    again: list[int] = []
    run = Loop.run

    def counted(self: Loop, block: Any, *rest: Any) -> Any:
        again.append(len(block))
        return run(self, block, *rest)

    monkeypatch.setattr(Loop, "run", counted)
    out, work = tmp_path / "pairs.tsv", work_of(tmp_path)
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    assert set(before) == {"0.npy", "0.done", "1.npy", "1.done", "search"}
    search = before["search"]
    cases: tuple[tuple[str, bytes | None, str, int], ...] = (
        ("none of them", None, "", 0),
        (
            "0.npy",
            before["0.npy"][:-40],
            "is damaged or was cut; sentences from number 4 on are embedded again",
            1,
        ),
        ("0.done", b"", "what an interrupted run noted of it is damaged; it starts again", 4),
        ("search", b"", "not a readable checkpoint of a search; the search starts again", 0),
        ("search", search[:400] + b"\1\2\3" + search[403:], "the search starts again", 0),
    )
    found = set()
    for name, content, said, embedded_again in cases:
        work.mkdir(parents=True, exist_ok=True)
        for file, kept in before.items():
            (work / file).write_bytes(kept)
        (work / ".search.0a1b2c_d.partial").write_bytes(b"of a process that died")
        (work / name).unlink(missing_ok=True)
        if content is not None:
            (work / name).write_bytes(content)
        again.clear()
        code, _, err = xeval(*half_done)
        assert code == 0, err
        assert said in err
        assert err.count("again") == (1 if said else 0)
        assert sum(again) == embedded_again
        found.add(out.read_text())
        out.unlink()
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("content", "options", "code", "problem"),
    [
        (b"", (), 1, "holds no sentence"),
        (b"\n \r\n", (), 1, "holds no sentence"),
        (b"\xff\n", (), 1, "line 1: not UTF-8"),
        (b"Anna\n\xed\xa0\x80\n", (), 1, "line 2: not UTF-8"),
        ("Anna\n".encode("utf-16"), (), 1, "convert the file to UTF-8"),
        ("Anna\nBoris\n".encode("utf-16-le"), (), 1, "line 1: a NUL byte"),
        (b"Anna\rBoris\r", (), 1, "line 1: a carriage return inside the line"),
        (None, (), 2, "no such file"),
        (b"Anna\n", ("--recipe", "jaint"), 2, "did you mean 'jiant'"),
        (b"Anna\n", ("--margin", "rate"), 2, "did you mean 'ratio'"),
        (b"Anna\n", ("--layer", "3"), 2, "layers 0 (embeddings) to 2"),
        (b"Anna\n", ("-o", "no/such/folder/x.tsv"), 2, "does not exist"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    xeval: Run,
    files: tuple[Path, Path],
    tiny_encoder: Path,
    tmp_path: Path,
    content: bytes | None,
    options: tuple[str, ...],
    code: int,
    problem: str,
) -> None:
    bad = tmp_path / "bad.txt"
    if content is not None:
        bad.write_bytes(content)
    found, out, err = xeval("mine", bad, files[1], "--checkpoint", tiny_encoder, *options)
    assert (found, out) == (code, "")
    assert problem in err
    assert "Traceback" not in err


def test_wrong_embeddings_and_text_without_an_encoder(
    xeval: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    code, _, err = xeval("mine", *files)
    assert (code, "name one with --checkpoint" in err) == (2, True)
    good, narrow, flat, broken = (tmp_path / f"{name}.npy" for name in ("good", "narrow", "flat", "broken"))
    np.save(good, np.ones((3, 4), np.float32))
    np.save(narrow, np.ones((3, 2), np.float32))
    np.save(flat, np.ones(3, np.float32))
    broken.write_bytes(good.read_bytes()[:-8])
    whole = good.read_bytes()
    arrays = {
        "numbers": np.ones((3, 4), np.int32),
        "wide": np.ones((3, 4), np.longdouble),
        "pickle": np.array([[{}]]),
        "none": np.ones((0, 4)),
        "empty": np.ones((3, 0)),
        "fields": np.zeros((3, 4), [("a", "f4")]),
        "nan": np.where(np.eye(3, 4) > 0, np.nan, 1),
        "inf": np.where(np.eye(3, 4) > 0, np.inf, 1)[1:],
        "long": np.full((3, 4), 1e200),
    }
    contents = {
        "text": b"Anna wohnt in Berlin.\n",
        "zip": b"PK\3\4" + whole,
        "void": b"",
        "more": whole + whole,
        "shape": whole.replace(b"(3, 4)", b"(-3,4)"),
        "vast": whole.replace(b"(3, 4), }   ", b"(3, 4444444), }"[:12]),
        "cut": whole[:20],
        "code": whole.replace(b"False, 's", b"[].x(), 's"[:9]),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    for name, content in contents.items():
        (tmp_path / f"{name}.npy").write_bytes(content)
    for bad, problem in (
        (narrow, "4 numbers a row"),
        (flat, "of shape (3,)"),
        (broken, "cannot be read as an array"),
        ("numbers", "holds int32 of shape (3, 4)"),
        ("wide", "holds float128" if np.longdouble(1).itemsize == 16 else "holds"),
        ("pickle", "cannot be read as an array"),
        ("none", "of shape (0, 4)"),
        ("empty", "of shape (3, 0)"),
        ("fields", "of shape (3, 4)"),
        ("nan", "row 0 (counted from 0) of"),
        ("inf", "row 0 (counted from 0) of"),
        ("long", "has length 2.0e+200"),
        ("text", "is not in NumPy's format"),
        ("zip", "is not in NumPy's format"),
        ("void", "is not in NumPy's format"),
        ("more", "goes on for 176 bytes behind its array"),
        ("shape", ""),
        ("vast", ""),
        ("cut", "cannot be read as an array"),
        ("code", "cannot be read as an array"),
    ):
        bad = bad if isinstance(bad, Path) else tmp_path / f"{bad}.npy"
        code, out, err = xeval("mine", good, bad)
        assert (code, out) == (1, ""), bad
        assert problem in err
        assert bad.name in err
        assert "Traceback" not in err


def test_every_layout_of_the_same_numbers_gives_the_same_pairs(xeval: Run, tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    x, y = (draw.standard_normal((20, 6)).astype(np.float16).astype(np.float32) for _ in range(2))
    np.save(tmp_path / "y.npy", y)
    found = set()
    for number, array in enumerate(
        (
            x,
            x.astype(">f4"),
            np.asfortranarray(x),
            x.astype(">f8"),
            x.astype(np.float16),
            np.asfortranarray(x.astype(">f2")),
        )
    ):
        np.save(tmp_path / f"{number}.npy", array)
        code, out, err = xeval("mine", tmp_path / f"{number}.npy", tmp_path / "y.npy")
        assert code == 0, err
        found.add(out)
    assert len(found) == 1


def test_opposite_and_empty_embeddings_give_no_pair_and_are_named(xeval: Run, tmp_path: Path) -> None:
    x = np.array([[1, 0], [-1, 0], [0, 1], [0, 0]], np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.array([[1, 0], [-1, 0], [0, -1]], np.float32))
    arguments = ("mine", tmp_path / "x.npy", tmp_path / "y.npy")
    code, out, err = xeval(*arguments)
    assert (code, out) == (0, "")
    assert "x.npy: 1 of its embeddings have no direction" in err
    assert "(rows 3, counted from 0)" in err
    assert "9 of 9 candidates have no ratio margin" in err
    result = json.loads(xeval(*arguments, "--json")[1])
    assert result["pairs"] == []
    assert len(result["remarks"]) == 2
    _, out, _ = xeval(*arguments, "--margin", "distance")
    assert rows(out) == [(1.0, "0", "0"), (1.0, "1", "1")]


def test_damaged_weights_are_refused_before_the_search(
    xeval: Run, files: tuple[Path, Path], make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for value, words in (
        (float("nan"), "not finite; the checkpoint's weights are damaged"),
        (0.0, "all zeros"),
    ):
        broken = make_checkpoint(tmp_path / f"broken{value}")
        weights = load_file(broken / "model.safetensors")
        for name in weights:
            if "layer.1.output.LayerNorm" in name:
                weights[name] *= value
        save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
        code, out, err = xeval("mine", *files, "--checkpoint", broken)
        assert (code, out) == (1, "")
        assert words in " ".join(err.split())


def test_places_that_cannot_be_read_or_written_are_said(xeval: Run, tmp_path: Path) -> None:
    import os

    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / ".taken.tsv.work").write_text("a file")
    x = tmp_path / "x.npy"
    for arguments, code, words in (
        ((tmp_path / "folder.npy", x), 2, "cannot be mined"),
        ((x, tmp_path / "pipe.txt"), 2, "cannot be mined"),
        ((x, x, "-o", x), 2, "is the input"),
        ((x, x, "-o", tmp_path / "folder.npy"), 2, "name a file"),
        ((x, x, "-o", tmp_path / "taken.tsv"), 1, "half-done work cannot be kept there"),
        ((x, x, "-o", tmp_path / ("a" * 250)), 1, "half-done work cannot be kept there"),
        ((x, x, "--threshold", "nan"), 2, "give a number"),
    ):
        found, out, err = xeval("mine", *arguments)
        assert (found, out) == (code, ""), err
        assert words in " ".join(err.split())
        assert "Traceback" not in err
    assert np.array_equal(np.load(x), np.eye(3))


def test_a_plan_says_the_recipe_and_what_mining_will_take(
    xeval: Run, tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data/bucc2018"
    folder.mkdir(parents=True)
    for split in ("dev", "test"):
        (folder / f"de-en.{split}.de").write_text("de-1\tEins.\nde-2\tZwei.\n")
        (folder / f"de-en.{split}.en").write_text("en-1\tOne.\n")
        (folder / f"de-en.{split}.gold").write_text("de-1\ten-1\n")
    where = (tiny_encoder, "--data", tmp_path / "data", "--tasks", "bucc2018", "--languages", "de")
    store = ("--store", tmp_path / "store")
    code, _, err = xeval("run", "--dry-run", *where, *store, "--recipe", "xtreme", "--layer", 1)
    assert code == 0
    assert (
        "bucc2018: recipe xtreme: layer 1, mean, cosine, margin ratio k=4, matching max, duplicates drop"
        in err
    )
    assert "encoder · bucc2018 · de: 2 x 1 sentences; flat search 2.6e+02 operations, about" in err
    code, _, err = xeval("run", *where, *store, "--recipe", "xtreme", "--layer", 1)
    assert code == 0
    assert "pair_f1 100.0 (chance 0.0) [xtreme: layer 1" in err
