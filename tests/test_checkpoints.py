"""Discovery, cards, digests, and one clear sentence for every broken checkpoint."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xeval.checkpoints import Checkpoint, Lineage, discover
from xeval.errors import CheckpointError
from xeval.files import publish

Make = Callable[..., Path]


def at(path: Path) -> Checkpoint:
    return Checkpoint(path, path.name)


def test_discovery_names_checkpoints_by_their_path_and_skips_unfinished_saves(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    make_checkpoint(tmp_path / "b" / "two")
    make_checkpoint(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "a" / "checkpoint-100")
    shutil.copytree(tmp_path / "a", tmp_path / "c.partial")
    shutil.copytree(tmp_path / "a", tmp_path / ".hidden")
    assert [checkpoint.name for checkpoint in discover(tmp_path)] == ["a", "b/two"]
    assert [checkpoint.name for checkpoint in discover(tmp_path / "a")] == ["a"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_root_without_checkpoints_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=name):
        list(discover(tmp_path / name))


def test_the_digest_is_of_the_contents(tmp_path: Path, make_checkpoint: Make) -> None:
    first = make_checkpoint(tmp_path / "first", seed=1)
    same = shutil.copytree(first, tmp_path / "same")
    other = make_checkpoint(tmp_path / "other", seed=2)
    assert at(first).digest == at(same).digest != at(other).digest
    Lineage(phase="base", base="tiny").write(same)
    assert at(first).digest == at(same).digest
    config = json.loads((same / "config.json").read_text())
    (same / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 0.5}))
    assert at(first).digest != at(same).digest


def test_a_swapped_weight_file_of_equal_size_and_time_is_noticed(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    first, second = make_checkpoint(tmp_path / "1", seed=1), make_checkpoint(tmp_path / "2", seed=2)
    weights = first / "model.safetensors"
    os.utime(weights, ns=(10**18, 10**18))
    before = at(first).digest
    assert at(first).digest == before
    status = weights.stat()
    shutil.copyfile(second / "model.safetensors", weights)
    os.utime(weights, ns=(10**18, 10**18))
    assert (weights.stat().st_size, weights.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert at(first).digest != before


def test_the_memo_answers_for_unchanged_files(
    tmp_path: Path, make_checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xeval import digests

    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1.0)
    weights = make_checkpoint(tmp_path / "c") / "model.safetensors"
    digest = digests.file_digest(weights)
    monkeypatch.setattr(digests, "CHUNK_BYTES", 0)  # reading the file would now give the empty digest
    assert digests.file_digest(weights) == digest


def test_a_card_round_trips_and_a_damaged_one_is_one_sentence(tmp_path: Path, make_checkpoint: Make) -> None:
    path = make_checkpoint(tmp_path / "c")
    lineage = Lineage(phase="target", base="tiny", condition="squad", target="mnli", seed=3)
    card = lineage.write(path)
    assert at(path).lineage == lineage
    card.write_text('{"phase": "dessert", "base": "x"}')
    with pytest.raises(CheckpointError, match=r"xeval\.json: not a valid lineage card \(phase"):
        at(path).check()


def test_checkpoints_without_a_card_are_checkpoints(tmp_path: Path, make_checkpoint: Make) -> None:
    checkpoint = at(make_checkpoint(tmp_path / "c", "ForSequenceClassification", ("no", "yes")))
    checkpoint.check()
    assert checkpoint.lineage is None
    assert checkpoint.label_names == ("no", "yes")
    assert checkpoint.load("AutoModelForSequenceClassification").config.num_labels == 2


def break_truncated(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def break_header(path: Path) -> None:
    (path / "model.safetensors").write_bytes(b"\xff" * 64)


def break_pickle(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def break_missing(path: Path) -> None:
    (path / "model.safetensors").unlink()


def break_tokenizer(path: Path) -> None:
    for file in path.glob("*token*"):
        file.unlink()


def break_config(path: Path) -> None:
    (path / "config.json").write_text('{"model_type": "be')


def break_shards(path: Path) -> None:
    (path / "model.safetensors").rename(path / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def break_escape(path: Path) -> None:
    (path / "model.safetensors").unlink()
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (break_truncated, "the copy or save broke off"),
        (break_header, "not a whole safetensors file"),
        (break_pickle, "only pickled weights"),
        (break_missing, "no model.safetensors"),
        (break_tokenizer, "the tokenizer is missing"),
        (break_config, "config.json cannot be read"),
        (break_shards, "model-00002-of-00002.safetensors is missing"),
        (break_escape, "outside the checkpoint"),
    ],
)
def test_broken_checkpoints_are_one_sentence(
    tmp_path: Path, make_checkpoint: Make, damage: Callable[[Path], None], sentence: str
) -> None:
    path = make_checkpoint(tmp_path / "broken")
    damage(path)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        at(path).check()
    assert "\n" not in str(caught.value)


def test_a_head_that_is_not_there_is_an_error_not_a_random_head(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    with pytest.raises(CheckpointError, match="no such head"):
        at(make_checkpoint(tmp_path / "plain")).load("AutoModelForSequenceClassification")


def test_a_published_checkpoint_is_readable_as_the_umask_says(tmp_path: Path) -> None:
    save = tmp_path / "save.partial"
    save.mkdir()
    (save / "model.safetensors").write_text("x")
    (save / "model.safetensors").chmod(0o600)
    before = os.umask(0o027)
    try:
        publish(save, tmp_path / "save")
    finally:
        os.umask(before)
    assert (tmp_path / "save" / "model.safetensors").stat().st_mode & 0o777 == 0o640
    assert not save.exists()


@pytest.mark.parametrize(
    "name", ["", "tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"]
)
def test_a_file_that_cannot_be_looked_at_is_never_taken_for_absent(
    name: str, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries ask whether a file exists, and go on with a vocabulary of their own where a failing disk says no."""
    target, looks = str(tiny_encoder / name), 0

    def load(fail_at: int) -> tuple[list[int], float] | None:
        nonlocal looks
        looks = 0
        usual = os.stat

        def look(path: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal looks
            if str(path) == target:
                looks += 1
                if looks == fail_at:
                    raise OSError(errno.EIO, "Input/output error", str(path))
            return usual(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", look)
        try:
            checkpoint = Checkpoint(tiny_encoder, "tiny")
            ids = checkpoint.load_tokenizer()("Anna works in Berlin").input_ids
            return ids, float(checkpoint.load("AutoModel").embeddings.word_embeddings.weight.detach().sum())
        except (CheckpointError, OSError):
            return None
        finally:
            monkeypatch.undo()

    whole = load(0)
    assert whole is not None
    for number in range(1, looks + 1):
        assert load(number) in (whole, None), number
