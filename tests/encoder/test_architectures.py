"""Embeddings of every layer equal those of plain transformers, whatever the architecture and the saved head."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from xeval.checkpoints import Checkpoint
from xeval.encoder.loop import Loop
from xeval.encoder.pooling import cut_at_layer
from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError
from xeval.tasks.retrieval import RETRIEVAL

TEXTS = ["Anna works in Berlin.", "Die Lisa", "柏林工作 brown fox jumps over the lazy dog"]
LAYERS = 3
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS, "num_decoder_layers": 2, "num_heads": 4}
HEADS = {"num_key_value_heads": 4}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "BertForPreTraining": SIZES,
    "XLMRobertaForMaskedLM": SIZES,
    "XLMRobertaXLForMaskedLM": SIZES,
    "DistilBertForMaskedLM": {"dim": 32, "n_layers": LAYERS, "n_heads": 4, "hidden_dim": 64},
    "ElectraForPreTraining": {**SIZES, "embedding_size": 16},
    "DebertaV2Model": {
        **SIZES,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "position_buckets": 8,
        "conv_kernel_size": 3,
        "conv_act": "gelu",
    },
    "RemBertForMaskedLM": {**SIZES, "input_embedding_size": 16},
    "MPNetForMaskedLM": SIZES,
    "AlbertForPreTraining": {**SIZES, "embedding_size": 16},
    "ModernBertForMaskedLM": {**SIZES, "local_attention": 4, "global_attn_every_n_layers": 2},
    "EuroBertForMaskedLM": {**SIZES, **HEADS},
    "NomicBertModel": SIZES,
    "XLMWithLMHeadModel": {"emb_dim": 32, "n_layers": LAYERS, "n_heads": 4, "use_lang_emb": False},
    "MT5EncoderModel": T5,
    "MT5ForConditionalGeneration": T5,
    "UMT5Model": T5,
    "MBartForConditionalGeneration": {
        "d_model": 32,
        "encoder_layers": LAYERS,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    },
    "LlamaForCausalLM": {**SIZES, **HEADS},
    "Qwen3ForCausalLM": {**SIZES, **HEADS, "head_dim": 8},
    "GPT2LMHeadModel": {"n_embd": 32, "n_layer": LAYERS, "n_head": 4},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any
) -> Path:
    """A checkpoint of random weights, large enough that the layers differ."""
    directory = tmp_path_factory.mktemp("saved") / str(request.param)
    model_class = getattr(transformers, request.param)
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    config = model_class.config_class(
        vocab_size=len(tiny_tokenizer), **special, **ARCHITECTURES[request.param]
    )
    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.1 * torch.randn_like(weights)
    model.save_pretrained(directory)
    tiny_tokenizer.save_pretrained(directory)
    return directory


def plain(directory: Path) -> np.ndarray:
    """Mean of every hidden state, one text at a time: [texts, layers + 1, width]."""
    model = getattr(transformers, directory.name).from_pretrained(directory).eval()
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rows = []
    for text in TEXTS:
        inputs = {k: v for k, v in tokenizer(text, return_tensors="pt").items() if k != "token_type_ids"}
        with torch.inference_mode():
            states = encoder(**inputs, output_hidden_states=True).hidden_states
        rows.append(torch.stack([state[0].mean(0) for state in states]))
    return torch.stack(rows).numpy()


def embed(checkpoint: Checkpoint, **changes: Any) -> np.ndarray:
    settings = RETRIEVAL.resolve(changes, checkpoint)
    encoder = TextEncoder(checkpoint.load_tokenizer())
    model = RETRIEVAL.prepare(checkpoint.load("AutoModel"), checkpoint, settings)
    sequences = RETRIEVAL.sequences(TEXTS, encoder, settings)
    loop = Loop(torch.device("cpu"), encoder.pad_id, 4096)
    return loop.run(sequences, lambda batch: RETRIEVAL.reduce(model, batch, settings))["embedding"]


def test_each_layer_is_the_hidden_state_that_plain_transformers_gives(saved: Path) -> None:
    checkpoint = Checkpoint(saved, saved.name)
    checkpoint.check()
    assert RETRIEVAL.head_problem(checkpoint, ()) is None
    expected = plain(saved)
    assert expected.shape[1] == LAYERS + 1
    np.testing.assert_allclose(embed(checkpoint, layers="all"), expected, atol=2e-5)
    for layer in range(LAYERS + 1):
        np.testing.assert_allclose(embed(checkpoint, layer=layer), expected[:, layer], atol=2e-5)
    assert np.abs(expected[:, 1] - expected[:, 2]).max() > 1e-3


def test_a_model_that_normalises_at_its_end_computes_one_layer_more_than_is_asked_for() -> None:
    sizes = {**ARCHITECTURES["ModernBertForMaskedLM"], "num_hidden_layers": 4}
    config = transformers.ModernBertConfig(vocab_size=60, pad_token_id=1, **sizes)
    model = cut_at_layer(transformers.ModernBertModel(config).eval(), 1)
    assert len(model.layers) == 2


def test_a_model_whose_hidden_states_are_not_one_a_layer_is_refused_below_its_last() -> None:
    config = transformers.CanineConfig(
        **SIZES, num_hash_buckets=64, num_hash_functions=4, downsampling_rate=2, local_transformer_stride=4
    )
    with pytest.raises(
        UsageError, match=r"gives \d hidden states for 3 layers, .* leave --layer and --layers out"
    ):
        cut_at_layer(transformers.CanineModel(config).eval(), 1)


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"]
)
def test_the_head_of_a_task_is_refused_with_what_to_do(
    head: str, tmp_path: Path, make_checkpoint: Any
) -> None:
    directory = make_checkpoint(tmp_path / "model", head=f"For{head}")
    problem = RETRIEVAL.head_problem(Checkpoint(directory, "model"), ())
    assert f"its head is BertFor{head}" in problem
    assert "`xeval checkpoints card DIR --phase base --base NAME`" in problem
