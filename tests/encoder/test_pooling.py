"""Embeddings of one layer, of all layers in one pass, and of many sentences in a file that can be gone on with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from xeval.encoder.loop import FINITE, Batch, Loop, finite_rows
from xeval.encoder.pooling import cut_at_layer, embed_to_file, embeddings, sentence_sequences
from xeval.encoder.tokens import TextEncoder

TEXTS = ["Anna works in Berlin.", "Die Lisa", "", "柏林工作 brown fox jumps over the lazy dog", "Die Lisa"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> TextEncoder:
    return TextEncoder(AutoTokenizer.from_pretrained(tiny_encoder))


def run(directory: Path, encoder: TextEncoder, layer: int | None) -> np.ndarray:
    model = AutoModel.from_pretrained(directory).eval()
    if layer is not None:
        model = cut_at_layer(model, layer)
    sequences = sentence_sequences(TEXTS, encoder, 64, "mean")
    loop = Loop(torch.device("cpu"), encoder.pad_id, 64)

    def reduce(batch: Batch) -> dict[str, torch.Tensor]:
        pooled = embeddings(model, batch, every_layer=layer is None)
        return {"e": pooled, FINITE: finite_rows(pooled)}

    return loop.run(sequences, reduce)["e"]


def test_all_layers_in_one_pass_are_those_of_encoders_that_stop_there(
    tiny_encoder: Path, encoder: TextEncoder
) -> None:
    every = run(tiny_encoder, encoder, None)
    assert every.shape == (5, 3, 32)
    for layer in (0, 1, 2):
        np.testing.assert_allclose(every[:, layer], run(tiny_encoder, encoder, layer), atol=1e-6)
    assert np.abs(every[:, 1] - every[:, 2]).max() > 0.01


def test_an_encoder_cut_at_a_layer_computes_nothing_above_it(
    tiny_encoder: Path, encoder: TextEncoder
) -> None:
    sequences = sentence_sequences(TEXTS[:1], encoder, 64, "mean")
    ids = torch.tensor(sequences.ids[0][None].astype(np.int64))
    batch = Batch(ids, torch.ones_like(ids), None, torch.tensor(sequences.marks))
    called: list[int] = []
    for layer in (0, 1, 2):
        model = cut_at_layer(AutoModel.from_pretrained(tiny_encoder).eval(), layer)
        called.clear()
        for number, block in enumerate(model.encoder.layer):
            block.register_forward_hook(lambda *_, n=number: called.append(n))
        embeddings(model, batch)
        assert called == list(range(layer))


def test_sentences_are_embedded_block_by_block_and_gone_on_with(
    tiny_encoder: Path, encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xeval.encoder.pooling.BLOCK_SENTENCES", 2)
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    seen: list[str] = []
    progress: list[int] = []

    def sequences(texts: list[str], until: int = 99) -> object:
        if len(seen) + len(texts) > until:
            raise KeyboardInterrupt
        seen.extend(texts)
        return sentence_sequences(texts, encoder, 64, "mean")

    def embed(path: Path, until: int = 99) -> np.ndarray:
        loop = Loop(torch.device("cpu"), encoder.pad_id, 64, progress=progress.append)
        return embed_to_file(TEXTS, path, 32, lambda texts: sequences(texts, until), loop, model)  # type: ignore[arg-type, return-value]

    whole = np.array(embed(tmp_path / "whole.npy"))
    np.testing.assert_allclose(whole, run(tiny_encoder, encoder, 2), atol=1e-6)
    assert seen == TEXTS
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        embed(tmp_path / "part.npy", until=2)
    progress.clear()
    again = embed(tmp_path / "part.npy")
    assert seen == TEXTS  # two before the interruption, three after
    assert sum(progress) == len(TEXTS)
    np.testing.assert_array_equal(again, whole)
