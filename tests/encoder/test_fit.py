"""What a model reads alone it reads in any batch, and what it cannot read is one sentence."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from xeval.encoder.batches import Sequences
from xeval.encoder.fit import fit
from xeval.encoder.loop import FINITE, Batch, Loop, finite_rows
from xeval.errors import CheckpointError, UsageError

CPU = torch.device("cpu")
VOCABULARY, EOS = 60, 2
SIZES: dict[str, dict[str, Any]] = {
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "Bart": {
        "d_model": 32,
        **{f"{side}_layers": 1 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 32 for side in ("encoder", "decoder")},
        "max_position_embeddings": 64,
        "init_std": 0.5,
    },
    "T5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 1,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    },
    "GPTJ": {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def tiny(name: str, head: str = "Model", pad: int | None = 1, **more: Any) -> Any:
    """A tiny random model of a class of transformers."""
    shared = {"vocab_size": VOCABULARY, "pad_token_id": pad, "bos_token_id": 0, "eos_token_id": EOS}
    sizes = SIZES.get(name, {**COMMON, **(GROUPED if name in ("Llama", "Qwen2", "Mistral", "Gemma") else {})})
    config = getattr(transformers, f"{name}Config")(
        **shared, **{"initializer_range": 0.5, "num_labels": 7, **sizes, **more}
    )
    torch.manual_seed(3)
    return getattr(transformers, f"{name}{head}")(config).eval()


def random_sequences(lengths: Any, first: int = 0, end: bool = False) -> Sequences:
    """Sequences over the vocabulary from ``first`` on; with ``end`` the end token is added to each."""
    generator = np.random.default_rng(7)
    ids = [generator.integers(first, VOCABULARY, length).astype(np.int32) for length in lengths]
    return Sequences([np.append(row, np.int32(EOS)) for row in ids] if end else ids)


def first_output(model: Any) -> Any:
    def reduce(batch: Batch) -> dict[str, torch.Tensor]:
        output = model(**batch.inputs())
        values = output.logits if "logits" in output else output.last_hidden_state[:, 0]
        return {"x": values, FINITE: finite_rows(values)}

    return reduce


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Mistral", "Gemma", "GPT2"])
@pytest.mark.parametrize(
    ("pad", "offered"),
    [
        pytest.param(3, 5, id="the config's padding is not the tokenizer's"),
        pytest.param(None, 0, id="no padding token, and every number occurs"),
        pytest.param(-1, 0, id="a padding token that is not in the vocabulary"),
        pytest.param(EOS, EOS, id="the end token is the padding token"),
    ],
)
def test_a_decoders_logits_are_those_of_the_sequence_alone_for_any_budget(
    name: str, pad: int | None, offered: int
) -> None:
    model = tiny(name, "ForSequenceClassification", pad)
    sequences = random_sequences([2, 17, 9, 9, 30, 3, 12, 5], first=6 if pad == EOS else 0, end=pad == EOS)
    with torch.inference_mode():
        alone = np.concatenate([model(torch.tensor(ids[None].astype(int))).logits for ids in sequences.ids])
    for budget in (1, 64, 8192):
        loop = Loop(CPU, offered, budget)
        fitted = fit(loop, model, sequences, first_output(model), "x")
        np.testing.assert_allclose(loop.run(fitted.sequences, fitted.reduce)["x"], alone, atol=1e-4)
        assert loop.sharing == "any"
        assert model.config.pad_token_id == pad


@pytest.mark.parametrize(
    ("name", "pad"),
    [
        pytest.param("XLNet", 5, id="the last column is the summary"),
        pytest.param("Bart", EOS, id="the end token is the padding token"),
        pytest.param("T5", EOS, id="the end token is the padding token"),
    ],
)
def test_models_whose_output_changes_with_padding_get_batches_without(name: str, pad: int) -> None:
    model = tiny(name, "ForSequenceClassification", pad)
    sequences = random_sequences([4, 9, 9, 30, 3], first=6, end=True)
    with torch.inference_mode():
        alone = np.concatenate([model(torch.tensor(ids[None].astype(int))).logits for ids in sequences.ids])
    loop = Loop(CPU, 0, 8192)
    fitted = fit(loop, model, sequences, first_output(model), "x")
    assert loop.sharing == "equal lengths"
    np.testing.assert_allclose(loop.run(fitted.sequences, fitted.reduce)["x"], alone, atol=1e-4)


def test_sequences_are_run_alone_where_every_number_ends_one_and_none_is_padding() -> None:
    model = tiny("Llama", "ForSequenceClassification", None)
    ids = [np.asarray([5, 6, last] if last % 2 else [last], np.int32) for last in range(VOCABULARY)]
    with torch.inference_mode():
        alone = np.concatenate([model(torch.tensor(row[None].astype(int))).logits for row in ids])
    loop = Loop(CPU, 0, 8192)
    fitted = fit(loop, model, Sequences(ids), first_output(model), "x")
    np.testing.assert_allclose(loop.run(fitted.sequences, fitted.reduce)["x"], alone, atol=1e-4)


def test_a_sequence_that_the_configs_padding_shortens_is_remarked() -> None:
    model = tiny("Llama", "ForSequenceClassification", 40)
    ids = [np.asarray(row, np.int32) for row in ([7, 8, 40], [7, 9])]
    fitted = fit(Loop(CPU, 1), model, Sequences(ids), first_output(model), "x")
    (remark,) = fitted.remarks
    assert "1 of 2 sequences end with token 40" in remark
    assert not fit(
        Loop(CPU, 1), tiny("Bert", pad=40), Sequences(ids), first_output(tiny("Bert")), "x"
    ).remarks


@pytest.mark.parametrize(
    ("name", "more", "limit"),
    [
        ("Bert", {}, 64),
        ("Roberta", {}, 62),
        ("XLMRoberta", {"pad_token_id": 3}, 60),
        ("Camembert", {}, 62),
        ("MPNet", {}, 62),
        ("Luke", {"entity_vocab_size": 4}, 62),
        ("Esm", {"position_embedding_type": "absolute"}, 62),
        ("Longformer", {"attention_window": 4}, 62),
        ("Bart", {}, 64),
        ("GPT2", {}, 64),
        ("GPTJ", {}, 64),
        ("Nystromformer", {}, 64),
    ],
)
def test_the_sentence_names_the_tokens_that_the_positions_leave(
    name: str, more: dict[str, Any], limit: int
) -> None:
    model = tiny(
        name, **{"pad": more.get("pad_token_id", 1), **{k: v for k, v in more.items() if k != "pad_token_id"}}
    )
    assert not fit(Loop(CPU, 1), model, random_sequences([limit, 2], 5), first_output(model), "x").remarks
    with pytest.raises(
        UsageError, match=rf"x: .* at most {limit} tokens, a sequence has .* --max-length to {limit}\."
    ):
        fit(Loop(CPU, 1), model, random_sequences([limit + 1, 2], 5), first_output(model), "x")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("DebertaV2", {"position_biased_input": False, "relative_attention": True, "pos_att_type": ["p2c"]}),
        ("ModernBert", {}),
        ("Esm", {"position_embedding_type": "rotary"}),
        ("Llama", {}),
    ],
)
def test_relative_positions_go_on_beyond_those_of_the_config_with_a_remark(
    name: str, more: dict[str, Any]
) -> None:
    model = tiny(name, **more)
    (remark,) = fit(Loop(CPU, 1), model, random_sequences([80, 2]), first_output(model), "x").remarks
    assert "up to 80 tokens, the config names 64 positions" in remark


def test_a_tokenizer_of_another_model_is_one_sentence() -> None:
    model = tiny("Bert")
    foreign = Sequences([np.asarray([5, VOCABULARY], np.int32)])
    with pytest.raises(CheckpointError, match=r"token number 60, the model's embedding has 60 rows"):
        fit(Loop(CPU, 1), model, foreign, first_output(model), "x")
    ids, types = [np.asarray([5, 6], np.int32)], [np.asarray([0, 2], np.int32)]
    with pytest.raises(CheckpointError, match=r"segment number 2, the model has 2 segments"):
        fit(Loop(CPU, 1), model, Sequences(ids, types), first_output(model), "x")
    with pytest.raises(UsageError, match="empty text"):
        fit(Loop(CPU, 1), model, Sequences([np.zeros(0, np.int32)]), first_output(model), "x")


@pytest.mark.parametrize(("name", "more"), [("Roberta", {"type_vocab_size": 1}), ("ModernBert", {})])
def test_segments_that_a_model_does_not_take_are_left_out(name: str, more: dict[str, Any]) -> None:
    model = tiny(name, **more)
    sequences = random_sequences([3, 5], 5)
    announced = Sequences(sequences.ids, [np.arange(len(ids), dtype=np.int32) % 2 for ids in sequences.ids])
    fitted = fit(Loop(CPU, 1), model, announced, first_output(model), "x")
    with_none, without = (
        Loop(CPU, 1).run(given, first_output(model))["x"] for given in (fitted.sequences, sequences)
    )
    np.testing.assert_array_equal(with_none, without)
