"""Folders of sentence-transformers: their own modules make the embeddings, are named, and are part of the fingerprint.

The reference is a plain computation, one text at a time; where sentence-transformers is installed, it is one too.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModel, AutoTokenizer

from xeval.checkpoints import Checkpoint, discover
from xeval.checkpoints.layouts import unsupported
from xeval.encoder.loop import Loop
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, UsageError
from xeval.tasks.embedding import describe_recipe, width_of
from xeval.tasks.mining import MINING
from xeval.tasks.retrieval import RETRIEVAL

TEXTS = [
    "Anna works in Berlin.",
    "Die Lisa",
    "柏林工作 brown fox jumps over the lazy dog",
    "A",
    "Die LISA wohnt hier",
]
LIBRARY = "sentence_transformers.models."
Modules = list[tuple[str, dict[str, Any]]]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def sentence_folder(
    directory: Path,
    encoder: Path,
    modules: Modules,
    *,
    inside: str = "",
    transformer: dict[str, Any] | None = None,
    prompts: dict[str, Any] | None = None,
    library: str = LIBRARY,
) -> Path:
    """A sentence-transformers folder around a plain checkpoint, with random weights from one seed."""
    shutil.copytree(encoder, directory / inside)
    entries = [{"idx": 0, "name": "0", "path": inside, "type": f"{library}Transformer"}]
    torch.manual_seed(1)
    for number, (kind, config) in enumerate(modules, start=1):
        folder = directory / f"{number}_{kind}"
        entries.append({"idx": number, "name": str(number), "path": folder.name, "type": f"{library}{kind}"})
        write_json(folder / "config.json", config)
        if kind == "Dense":
            linear = nn.Linear(config["in_features"], config["out_features"], bias=config["bias"])
            weights = {f"linear.{name}": value for name, value in linear.state_dict().items()}
            if config.get("use_residual"):
                residual = nn.Linear(config["in_features"], config["out_features"], bias=False)
                weights["residual.weight"] = residual.weight.detach()
            save_file(weights, folder / "model.safetensors")
        if kind == "LayerNorm":
            weights = {
                "norm.weight": torch.rand(config["dimension"]),
                "norm.bias": torch.rand(config["dimension"]),
            }
            save_file(weights, folder / "model.safetensors")
    write_json(directory / "modules.json", entries)
    if inside:
        write_json(directory / "config.json", {"__version__": "0.3.8"})
    if transformer is not None:
        write_json(directory / inside / "sentence_bert_config.json", transformer)
    if prompts is not None:
        write_json(directory / "config_sentence_transformers.json", prompts)
    return directory


def dense(takes: int, gives: int, activation: str = "Tanh", **changes: Any) -> tuple[str, dict[str, Any]]:
    name = f"torch.nn.modules.{'linear' if activation == 'Identity' else 'activation'}.{activation}"
    config = {"in_features": takes, "out_features": gives, "bias": True, "activation_function": name}
    return "Dense", {**config, **changes}


def pooling(*modes: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    return "Pooling", {"embedding_dimension": 32, "pooling_mode": list(modes), **changes}


OLD_POOLING = {
    "word_embedding_dimension": 32,
    "pooling_mode_cls_token": True,
    "pooling_mode_mean_tokens": False,
    "pooling_mode_max_tokens": True,
    "pooling_mode_mean_sqrt_len_tokens": False,
}
QUERY = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}


def embed(checkpoint: Checkpoint, kind: Any = RETRIEVAL, **changes: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Embeddings as units compute them, in one batch, and the settings."""
    settings = kind.resolve(changes, checkpoint)
    encoder = TextEncoder(checkpoint.load_tokenizer())
    model = kind.prepare(checkpoint.load("AutoModel"), checkpoint, settings)
    sequences = kind.sequences(TEXTS, encoder, settings)
    loop = Loop(torch.device("cpu"), encoder.pad_id, 4096)
    reduced = loop.run(sequences, lambda batch: kind.reduce(model, batch, settings))
    assert reduced["embedding"].shape[-1] == width_of(checkpoint, settings)
    return reduced["embedding"], settings.stored()


def plain(
    directory: Path, transformer: Path, modules: Modules, prompt: str, length: int, lower: bool
) -> np.ndarray:
    """The same by the definitions, one text at a time, with transformers alone."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(transformer),
        AutoModel.from_pretrained(transformer).eval(),
    )
    rows = []
    for text in TEXTS:
        text = prompt + text
        text = text.lower() if lower else text
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=length)
        with torch.inference_mode():
            tokens = model(**inputs).last_hidden_state[0]
        config = modules[0][1]
        positions = torch.arange(1, len(tokens) + 1.0)[:, None]
        if not config.get("include_prompt", True):
            start = len(tokenizer(prompt)["input_ids"]) - 1
            tokens, positions = tokens[start:], positions[start:]
        modes = config.get("pooling_mode") or ["cls", "max"]  # OLD_POOLING's
        pooled = {
            "cls": tokens[0],
            "max": tokens.amax(0),
            "mean": tokens.mean(0),
            "mean_sqrt_len_tokens": tokens.sum(0) / len(tokens) ** 0.5,
            "weightedmean": (tokens * positions).sum(0) / positions.sum(),
            "lasttoken": tokens[-1],
        }
        vector = torch.cat([pooled[mode] for mode in modes])
        for number, (kind, config) in enumerate(modules[1:], start=2):
            file = directory / f"{number}_{kind}" / "model.safetensors"
            weights = {} if not file.exists() else dict(_tensors(file))
            if kind == "Normalize":
                vector = vector / vector.norm()
            elif kind == "LayerNorm":
                centred = vector - vector.mean()
                vector = (
                    centred / (centred.square().mean() + 1e-5).sqrt() * weights["norm.weight"]
                    + weights["norm.bias"]
                )
            elif kind == "Dense":
                activation = getattr(nn, config["activation_function"].rsplit(".")[-1])()
                out = activation(weights["linear.weight"] @ vector + weights.get("linear.bias", 0))
                vector = out + weights["residual.weight"] @ vector if config.get("use_residual") else out
        rows.append(vector.numpy())
    return np.stack(rows)


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    loaded: dict[str, torch.Tensor] = load_file(file)
    return loaded


CASES: dict[str, tuple[Modules, dict[str, Any], str]] = {
    "cls": ([pooling("cls")], {}, "Pooling cls (512 tokens)"),
    "two poolings in the old spelling, in the old layout": (
        [("Pooling", OLD_POOLING)],
        {"inside": "0_Transformer", "transformer": {"max_seq_length": 128, "do_lower_case": False}},
        "Pooling cls+max (128 tokens)",
    ),
    "texts that are cut": (
        [pooling("mean_sqrt_len_tokens"), ("Normalize", {})],
        {"transformer": {"max_seq_length": 6}},
        "Pooling mean_sqrt_len, Normalize (6 tokens)",
    ),
    "LaBSE": (
        [pooling("cls"), dense(32, 32), ("Normalize", {})],
        {"inside": "0_Transformer"},
        "Pooling cls, Dense 32 Tanh, Normalize (512 tokens)",
    ),
    "all at once": (
        [
            pooling("weightedmean", "lasttoken"),
            dense(64, 24, "GELU", bias=False, use_residual=True),
            ("Dropout", {"dropout": 0.5}),
            ("LayerNorm", {"dimension": 24}),
        ],
        {"library": "sentence_transformers.base.modules."},
        "Pooling weighted_mean+last, Dense 24 GELU residual, Dropout, LayerNorm (512 tokens)",
    ),
    "a prompt, in lower case": (
        [pooling("mean", "weightedmean")],
        {"prompts": QUERY, "transformer": {"max_seq_length": 40, "do_lower_case": True}},
        "Pooling mean+weighted_mean (40 tokens, lower case, prompt 'query: ')",
    ),
    "a prompt that is not pooled": (
        [pooling("cls", "max", "mean", "weightedmean", include_prompt=False)],
        {"prompts": QUERY},
        "Pooling cls+max+mean+weighted_mean without the prompt (512 tokens, prompt 'query: ')",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_sentence_transformers_folder_is_embedded_by_its_own_modules(
    case: str, tmp_path: Path, tiny_encoder: Path
) -> None:
    modules, extras, description = CASES[case]
    directory = sentence_folder(tmp_path / "model", tiny_encoder, modules, **extras)
    (checkpoint,) = discover(tmp_path)  # the folders of the modules are no checkpoints
    assert checkpoint.name == "model"
    checkpoint.check()
    found, settings = embed(checkpoint)
    assert describe_recipe(settings) == f"default: the folder's own {description}, cosine, foreign queries"
    prompt = "query: " if "prompts" in extras else ""
    transformer = extras.get("transformer", {})
    expected = plain(
        directory,
        directory / extras.get("inside", ""),
        modules,
        prompt,
        transformer.get("max_seq_length", 512),
        transformer.get("do_lower_case", False),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found, embed(checkpoint, MINING)[0])
    sweep, _ = embed(checkpoint, layers="all")
    np.testing.assert_allclose(sweep[:, -1], expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_library_itself_gives_the_same_embeddings(case: str, tmp_path: Path, tiny_encoder: Path) -> None:
    library = pytest.importorskip(
        "sentence_transformers", reason="not installed; the plain computation is tested"
    )
    modules, extras, _ = CASES[case]
    directory = sentence_folder(tmp_path / "model", tiny_encoder, modules, **{**extras, "library": LIBRARY})
    expected = library.SentenceTransformer(str(directory), device="cpu").encode(TEXTS, batch_size=1)
    np.testing.assert_allclose(embed(Checkpoint(directory, "model"))[0], expected, atol=1e-5)


def test_a_pooling_a_layer_or_a_recipe_that_is_asked_for_leaves_the_modules_out_and_says_so(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    directory = sentence_folder(
        tmp_path / "model", tiny_encoder, [pooling("cls"), dense(32, 8)], prompts=QUERY
    )
    checkpoint, alone = Checkpoint(directory, "model"), Checkpoint(tiny_encoder, "plain")
    for changes, begins in (
        ({"pooling": "mean"}, "default: layer 2, mean"),
        ({"layer": 1}, "default: layer 1, mean"),
        ({"recipe": "xtreme"}, "xtreme: layer 1, mean"),
    ):
        found, settings = embed(checkpoint, **changes)
        np.testing.assert_array_equal(found, embed(alone, **changes)[0])
        assert describe_recipe(settings).startswith(f"{begins} (not the folder's own Pooling, Dense), cosine")
    kept, settings = embed(checkpoint, recipe="default", max_length=9, prompt="passage: ")
    assert "own Pooling cls, Dense 8 Tanh (9 tokens, prompt 'passage: ')" in describe_recipe(settings)
    assert kept.shape == (5, 8)


def test_every_file_of_the_modules_is_part_of_the_digest_and_a_plain_folder_keeps_its_own(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    modules = [pooling("cls"), dense(32, 8), ("Normalize", {})]
    directory = sentence_folder(
        tmp_path / "model", tiny_encoder, modules, transformer={"max_seq_length": 20}, prompts=QUERY
    )

    def digest() -> str:
        return Checkpoint(directory, "model").digest

    seen = {digest()}
    for name in (
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    ):
        with (directory / name).open("ab") as file:
            file.write(b" ")
        seen.add(digest())
    assert len(seen) == 7
    (directory / "modules.json").unlink()
    assert digest() == Checkpoint(tiny_encoder, "plain").digest
    assert set(RETRIEVAL.resolve({}, Checkpoint(tiny_encoder, "plain")).stored()) == set(
        RETRIEVAL.defaults.stored()
    )


def test_a_folder_of_the_older_layout_is_one_checkpoint_beside_the_states_of_its_run(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    for name in ("run", "run/checkpoint-5"):
        sentence_folder(tmp_path / "root" / name, tiny_encoder, [pooling("cls")], inside="0_Transformer")
    shutil.copytree(tiny_encoder, tmp_path / "root/run/other")
    assert [checkpoint.name for checkpoint in discover(tmp_path / "root")] == ["run", "run/other"]
    (tmp_path / "root/modules.json").write_text("{}")  # of something else
    assert len(list(discover(tmp_path / "root"))) == 2


def entry(number: int, kind: str, library: str = LIBRARY, path: str = "") -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": library + kind}


def broken_modules(entries: Any) -> Callable[[Path], None]:
    return lambda directory: write_json(directory / "modules.json", entries)


def changed(file: str, **changes: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / file
        write_json(path, {**(json.loads(path.read_text()) if path.exists() else {}), **changes})

    return change


def _pickled(directory: Path) -> None:
    (directory / "2_Dense/model.safetensors").rename(directory / "2_Dense/pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            broken_modules([entry(0, "Transformer"), entry(1, "CNN", path="1_CNN")]),
            "module 1 .* is CNN; a Transf",
        ),
        (broken_modules([entry(0, "Transformer", "custom_st.")]), r"custom_st.Transformer \(code of its own"),
        (broken_modules([entry(0, "WordEmbeddings", path="0_Words")]), "begins with WordEmbeddings"),
        (broken_modules([entry(0, "Transformer")]), "names no Pooling; choose one with --pooling"),
        (
            broken_modules([entry(0, "Transformer", path="../x")]),
            r"names a folder outside the checkpoint \(../x\)",
        ),
        (broken_modules([{"path": 3}]), r"modules.json: cannot be followed \(0.type"),
        (lambda d: (d / "modules.json").write_text("[{"), "modules.json: cannot be read"),
        (lambda d: (d / "modules.json").unlink(), "1_Pooling is a .* but modules.json is missing"),
        (lambda d: shutil.rmtree(d / "1_Pooling"), "1_Pooling/config.json: is missing"),
        (changed("1_Pooling/config.json", pooling_mode="median"), "'median' is no known pooling"),
        (changed("1_Pooling/config.json", pooling_mode_new=True), r"pooling_mode_new: Extra inputs"),
        (
            changed("1_Pooling/config.json", embedding_dimension=64),
            "takes 32 numbers, the module before it gives 64",
        ),
        (
            changed("2_Dense/config.json", activation_function="os.system"),
            "activation os.system is not among",
        ),
        (
            changed("2_Dense/config.json", module_input_name="token_embeddings"),
            "module_input_name: Input should be",
        ),
        (changed("2_Dense/config.json", bias=False), "not the weights of this Dense"),
        (_pickled, "2_Dense: no model.safetensors; pickled weights are not read"),
        (
            changed("sentence_bert_config.json", transformer_task="fill-mask"),
            'asks for transformer_task = "fill-mask"',
        ),
        (changed("sentence_bert_config.json", max_seq_length="many"), "max_seq_length: Input should be"),
        (
            changed("config_sentence_transformers.json", default_prompt_name="q"),
            "default prompt 'q' is not among",
        ),
        (changed("config_sentence_transformers.json", model_type="CrossEncoder"), "is a CrossEncoder"),
    ],
)
def test_a_folder_whose_modules_cannot_be_followed_is_refused_in_one_sentence(
    change: Callable[[Path], None], problem: str, tmp_path: Path, tiny_encoder: Path
) -> None:
    directory = sentence_folder(
        tmp_path / "model", tiny_encoder, [pooling("mean"), dense(32, 8)], prompts=QUERY
    )
    change(directory)
    (checkpoint,) = discover(tmp_path)
    with pytest.raises(CheckpointError, match=problem) as caught:
        embed(checkpoint)
    assert "\n" not in str(caught.value)


def test_poolings_beside_the_mean_equal_a_plain_computation(tiny_encoder: Path) -> None:
    checkpoint = Checkpoint(tiny_encoder, "plain")
    tokenizer, model = (
        AutoTokenizer.from_pretrained(tiny_encoder),
        AutoModel.from_pretrained(tiny_encoder).eval(),
    )
    with torch.inference_mode():
        outputs = [model(**tokenizer("query: " + text, return_tensors="pt")) for text in TEXTS]
    for name, expected in (
        ("max", [output.last_hidden_state[0].amax(0) for output in outputs]),
        ("last", [output.last_hidden_state[0, -1] for output in outputs]),
        ("pooler", [output.pooler_output[0] for output in outputs]),
    ):
        found, settings = embed(checkpoint, pooling=name, prompt="query: ")
        np.testing.assert_allclose(found, torch.stack(expected).numpy(), atol=1e-5)
        assert describe_recipe(settings).startswith(f"default: layer 2, {name}, prompt 'query: ', cosine")


def test_a_pooler_that_is_not_among_the_weights_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    weights = _tensors(tmp_path / "model/model.safetensors")
    kept = {name: value for name, value in weights.items() if "pooler" not in name}
    save_file(kept, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    checkpoint = Checkpoint(tmp_path / "model", "model")
    with pytest.raises(UsageError, match="model has no pooler among its weights"):
        embed(checkpoint, pooling="pooler")
    with pytest.raises(UsageError, match="reads the last layer; leave --layer out"):
        embed(Checkpoint(tiny_encoder, "x"), pooling="pooler", layer=1)
    with pytest.raises(UsageError, match="reads the last layer; leave --layers out"):
        embed(checkpoint, pooling="pooler", layers="all")
    np.testing.assert_allclose(embed(checkpoint)[0], embed(Checkpoint(tiny_encoder, "x"))[0], atol=1e-6)


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"model_type": "xmod", "default_language": "en_XX"}, True),
        ({"model_type": "xlm", "n_langs": 15}, True),
        ({"model_type": "xlm", "n_langs": 17, "use_lang_emb": False}, False),
        ({"model_type": "bert"}, False),
    ],
)
def test_models_that_need_the_language_of_every_text_are_refused(
    config: dict[str, Any], refused: bool
) -> None:
    reason = unsupported(config)
    assert (reason is not None) == refused
    assert reason is None or "not passed on" in reason
