"""Nothing is left out in silence: every checkpoint below the root that a named task cannot use is told, and why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.published import write_all

from xeval.checkpoints import Checkpoint, Lineage, survey
from xeval.errors import CheckpointError
from xeval.tasks.catalogue.classification import NLI_LABELS, PARAPHRASE_LABELS

Make = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("data"))


def set_config(path: Path, **changes: object) -> Path:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))
    return path


def test_checkpoints_that_cannot_do_the_named_task_are_named_with_the_reason_in_plan_and_run(
    xeval: Run, tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    models = tmp_path / "models"
    good = make_checkpoint(models / "good", "ForSequenceClassification", NLI_LABELS)
    for name, labels in {
        "unnamed": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
        "swapped": {"entailment": 0, "neutral": 1, "contradiction": 2},
        "gap": {"0": "entailment", "2": "neutral", "3": "contradiction"},
        "list": ["entailment", "neutral", "contradiction"],
    }.items():
        set_config(shutil.copytree(good, models / name), id2label=labels)
    make_checkpoint(models / "tagger", "ForTokenClassification", ("A", "B"))
    Lineage(phase="target", base="tiny", target="mlni", seed=0).write(shutil.copytree(good, models / "typo"))
    Lineage(phase="target", base="tiny", target="pawsx-en", seed=0).write(
        shutil.copytree(good, models / "of-another-task")
    )
    adapter = models / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "x/large"}'
    )
    (adapter / "adapter_model.safetensors").touch()
    where = (models, "--data", data, "--tasks", "xnli", "--languages", "de", "--store", tmp_path / "s")
    for command in (("run", "--dry-run"), ("run",)):
        code, out, _ = xeval(*command, *where, "--json")
        told = {p["subject"]: p for p in json.loads(out)["problems"] if not p["remark"]}
        assert code == 1
        assert {name: problem["fatal"] for name, problem in told.items()} == {
            **dict.fromkeys(("unnamed", "swapped", "gap", "list", "tagger", "typo", "adapter"), True),
            "of-another-task": False,
        }
        assert "set id2label" in told["unnamed"]["reason"]
        assert "numbers and names are swapped" in told["swapped"]["reason"]
        assert "id2label" in told["gap"]["reason"]
        assert "did you mean 'mnli'?" in told["typo"]["reason"]
        assert "merge it with peft" in told["adapter"]["reason"]
        assert "its head is BertForTokenClassification" in told["tagger"]["reason"]
    code, _, err = xeval("run", *where)
    assert all(name in err for name in told)
    code, out, _ = xeval("run", models / "good", *where[1:], "--json")
    assert (code, json.loads(out)["reused"]) == (0, 1)


def test_a_task_beside_that_a_checkpoint_can_do_makes_the_rest_a_note(
    xeval: Run, tmp_path: Path, data: Path, make_checkpoint: Make
) -> None:
    make_checkpoint(tmp_path / "m/encoder")
    make_checkpoint(tmp_path / "m/paws", "ForSequenceClassification", PARAPHRASE_LABELS)
    code, _, err = xeval(
        *("run", tmp_path / "m", "--data", data, "--tasks", "pawsx,tatoeba", "--languages", "de"),
        *("--store", tmp_path / "s"),
    )
    assert code == 0
    assert "left out: encoder: cannot do pawsx" in err
    assert "left out: paws: cannot do tatoeba" in err


def test_steps_of_a_run_stand_for_it_only_where_it_has_no_weights_of_its_own(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    run = make_checkpoint(tmp_path / "run")
    for step in (100, 200):
        shutil.copytree(
            run, tmp_path / "run" / f"checkpoint-{step}", ignore=shutil.ignore_patterns("checkpoint-*")
        )
    found = survey(tmp_path)
    assert [checkpoint.name for checkpoint in found.checkpoints] == ["run"]
    assert set(found.left_out) == {"run/checkpoint-100", "run/checkpoint-200"}
    (run / "model.safetensors").unlink()
    found = survey(tmp_path)
    assert [checkpoint.name for checkpoint in found.checkpoints] == [
        "run/checkpoint-100",
        "run/checkpoint-200",
    ]
    assert "no weights of its own" in found.left_out["run"]
    shutil.rmtree(run / "checkpoint-100")
    shutil.rmtree(run / "checkpoint-200")
    (broken,) = survey(tmp_path).checkpoints
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        broken.check()


def test_each_real_folder_is_one_checkpoint_however_often_it_is_linked(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    make_checkpoint(tmp_path / "m" / "real" / "deep")
    for number in range(41):
        (tmp_path / "m" / f"link-{number}").symlink_to(tmp_path / "m" / "real")
    (tmp_path / "m" / "real" / "up").symlink_to(tmp_path / "m")
    assert len(survey(tmp_path / "m").checkpoints) == 1


def test_every_broken_checkpoint_is_one_sentence_with_its_name(tmp_path: Path, make_checkpoint: Make) -> None:
    import os

    good = make_checkpoint(tmp_path / "good", "ForSequenceClassification", NLI_LABELS)

    def broken(name: str) -> Path:
        return shutil.copytree(good, tmp_path / name)

    def replaced(name: str, file: str, text: str | bytes = "") -> None:
        content = text.encode() if isinstance(text, str) else text
        (broken(name) / file).write_bytes(content)

    expected = {
        "deep": "config.json cannot be read",
        "fifo": "not a regular file",
        "folder": "not a regular file",
        "layers": "promises 1,000,000 layers",
        "text": "num_hidden_layers in config.json is '2'",
        "null": "num_attention_heads in config.json is None",
        "none": "num_attention_heads in config.json is 0",
        "positions": "positions",
        "lfs": "Git LFS pointer",
        "overlap": "cannot be loaded",
        "pickled": "pickled weights",
        "arguments": "no model.safetensors; is the save still under way?",
        "beside": "lies beside a whole model",
        "dtype": "cannot be loaded",
        "tokenizer": "tokenizer cannot be loaded",
        "characters": "CanineTokenizer",
        "remote": "it needs code from its folder or the hub, which is never run",
        "shard": "names a file outside the checkpoint",
    }
    replaced("deep", "config.json", "[" * 100_000 + "]" * 100_000)
    (broken("fifo") / "tokenizer.json").unlink()
    os.mkfifo(tmp_path / "fifo/tokenizer.json")
    (broken("folder") / "model.safetensors").unlink()
    (tmp_path / "folder/model.safetensors").mkdir()
    set_config(broken("layers"), num_hidden_layers=10**6)
    set_config(broken("text"), num_hidden_layers="2")
    set_config(broken("null"), num_attention_heads=None)
    set_config(broken("none"), num_attention_heads=0)
    set_config(broken("positions"), max_position_embeddings=10**12)
    replaced("lfs", "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    header = json.dumps(
        {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in ("a", "b", "c", "d")}
    ).encode()
    replaced("overlap", "model.safetensors", len(header).to_bytes(8, "little") + header + bytes(8))
    for name, file in {"pickled": "pytorch_model.bin", "arguments": "training_args.bin"}.items():
        (broken(name) / "model.safetensors").rename(tmp_path / name / file)
    replaced("beside", "adapter_config.json", "{}")
    set_config(broken("dtype"), dtype="float99")
    replaced("tokenizer", "tokenizer.json", '{"version": "1.0", "model": {"type": "BPE"}}')
    (broken("characters") / "tokenizer.json").unlink()
    (tmp_path / "characters/tokenizer_config.json").write_text('{"tokenizer_class": "CanineTokenizer"}')
    set_config(broken("remote"), model_type="own", auto_map={"AutoModel": "own.Own"})
    (broken("shard") / "model.safetensors").unlink()
    (tmp_path / "shard/model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "../good/model.safetensors"}}'
    )

    def use(checkpoint: Checkpoint) -> None:
        checkpoint.check()
        checkpoint.load_tokenizer()
        checkpoint.load("AutoModelForSequenceClassification")

    for name, message in expected.items():
        checkpoint = Checkpoint(tmp_path / name, name)
        with pytest.raises(CheckpointError, match=message) as raised:
            use(checkpoint)
        assert name in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_sharded_checkpoint_of_the_hubs_cache_is_read_through_its_links(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    from transformers import AutoModel

    plain = make_checkpoint(tmp_path / "plain")
    snapshot = tmp_path / "models--a--b/snapshots/1f2e"
    AutoModel.from_pretrained(plain).save_pretrained(snapshot, max_shard_size="20KB")
    (tmp_path / "models--a--b/blobs").mkdir()
    for file in [*snapshot.iterdir()]:
        target = tmp_path / "models--a--b/blobs" / f"of-{file.name}"
        file.rename(target)
        file.symlink_to(target)
    shutil.copy(plain / "tokenizer.json", snapshot)
    shutil.copy(plain / "tokenizer_config.json", snapshot)
    (checkpoint,) = survey(tmp_path / "models--a--b").checkpoints
    checkpoint.check()
    assert len(checkpoint.weight_files) > 1
    assert checkpoint.load("AutoModel").num_parameters() > 0


def test_only_weights_of_another_head_may_be_left_over_and_only_an_unused_pooler_may_be_missing(
    tmp_path: Path, make_checkpoint: Make
) -> None:
    from safetensors.torch import load_file, save_file

    good = make_checkpoint(tmp_path / "good", "ForSequenceClassification", NLI_LABELS)

    def changed(name: str, rename: Callable[[str], str | None]) -> Checkpoint:
        path = shutil.copytree(good, tmp_path / name)
        weights = load_file(path / "model.safetensors")
        kept = {new: tensor for key, tensor in weights.items() if (new := rename(key)) is not None}
        save_file(kept, path / "model.safetensors", metadata={"format": "pt"})
        return Checkpoint(path, name)

    head = "AutoModelForSequenceClassification"
    poolerless = changed("poolerless", lambda key: None if "pooler" in key else key)
    with pytest.raises(CheckpointError, match="pooler is missing"):
        poolerless.load(head)
    poolerless.load("AutoModel")
    wrapped = changed("wrapped", lambda key: f"module.{key}")
    with pytest.raises(CheckpointError, match=r"begin with `module\.`"):
        wrapped.load(head)
    headless = changed("headless", lambda key: None if key.startswith("classifier") else key)
    with pytest.raises(CheckpointError, match="has no such head"):
        headless.load(head)
    shallow = Checkpoint(
        set_config(shutil.copytree(good, tmp_path / "shallow"), num_hidden_layers=1), "shallow"
    )
    for auto_class in (head, "AutoModel"):
        with pytest.raises(CheckpointError, match="16 weights of the encoder have no place"):
            shallow.load(auto_class)
    Checkpoint(good, "good").load("AutoModel")
