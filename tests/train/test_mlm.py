from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.memory_sets import (
    CHOICES,
    CLAIMS,
    KilledError,
    card_of,
    changed,
    tiny_job,
    untimed_history,
    weights,
)
from support.tiny_models import ALPHABET_TEXT

from xeval.checkpoints import Checkpoint
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, DataError, UsageError
from xeval.sources import FileSource
from xeval.train.lines import MlmData, read_lines
from xeval.train.mlm import masked, mlm_rows, with_mlm_head
from xeval.train.models import freeze, load_encoder
from xeval.train.phases import PhaseJob, Step, train_phase

SOURCE = FileSource(("wiki/{lang}.txt",), read_lines)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text" / "wiki"
    folder.mkdir(parents=True)
    (folder / "de.txt").write_text("\n\n".join(ALPHABET_TEXT) + "\n \n", encoding="utf-8")
    (folder / "ru.txt").write_text(ALPHABET_TEXT[2] * 30, encoding="utf-8")
    return folder.parent


@pytest.fixture
def job(tiny_encoder: Path, text: Path) -> PhaseJob:
    job = changed(tiny_job(tiny_encoder), max_steps=10, mlm_share=0.5)
    return replace(job, phase="intermediate", mlm=MlmData(SOURCE, ("de", "ru")), data_root=text)


@pytest.fixture(scope="session")
def masked_encoder(make_checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    return make_checkpoint(tmp_path_factory.mktemp("masked") / "lm", head="ForMaskedLM", seed=4)


def test_masking_has_the_published_rates() -> None:
    ids = np.random.default_rng(0).integers(5, 1000, (400, 500))
    ids[:, 0], ids[:, -1] = 0, 2
    present = np.ones(ids.shape, bool)
    present[:, 450:] = False
    out, labels = masked(ids, present, np.asarray([0, 1, 2, 3, 4]), 4, 1000, np.random.default_rng(1))
    chosen = labels != -100
    assert not chosen[:, 0].any()
    assert not chosen[~present].any()
    assert np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(out[~chosen], ids[~chosen])
    candidates = 400 * 449
    assert chosen.sum() / candidates == pytest.approx(0.15, abs=0.003)
    mask, same = out[chosen] == 4, out[chosen] == ids[chosen]
    assert mask.mean() == pytest.approx(0.8, abs=0.01)
    assert same.mean() == pytest.approx(0.1, abs=0.01)
    assert (~mask & ~same).mean() == pytest.approx(0.1, abs=0.01)


def test_at_least_one_token_is_masked() -> None:
    ids = np.asarray([[0, 9, 2]])
    for seed in range(20):
        _, labels = masked(ids, ids >= 0, np.asarray([0, 2]), 4, 10, np.random.default_rng(seed))
        assert labels.tolist() == [[-100, 9, -100]]


def test_lines_become_rows(tiny_encoder: Path, text: Path) -> None:
    data, encoder = MlmData(SOURCE, ("de", "ru")), TextEncoder(Checkpoint(tiny_encoder, "t").load_tokenizer())
    assert len(data.lines(text)) == len(ALPHABET_TEXT) + 1
    rows = mlm_rows(data, text, encoder, 64)
    assert len(rows) == len(ALPHABET_TEXT) + 1
    assert rows.lengths.max() == 64, "one line is one row, cut at the length"
    before = data.digest(text)
    (text / "wiki" / "ru.txt").write_text("лиса", encoding="utf-8")
    assert data.digest(text) != before
    (text / "wiki" / "ru.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(DataError, match="mlm, ru: there are no lines of text"):
        data.lines(text)
    (text / "wiki" / "ru.txt").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"ru.txt: is not UTF-8 at byte 2"):
        data.lines(text)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_drawn_head_shares_encoder_and_table(tiny_encoder: Path, frozen: bool) -> None:
    parent = Checkpoint(tiny_encoder, "tiny")
    encoder = load_encoder(parent)
    if frozen:
        freeze(encoder)
    model, drawn = with_mlm_head(encoder, parent, 3)
    again, _ = with_mlm_head(load_encoder(parent), parent, 3)
    assert drawn
    assert model.model.bert.encoder is encoder.encoder
    decoder = model.model.get_output_embeddings().weight
    assert decoder is encoder.embeddings.word_embeddings.weight
    assert decoder.requires_grad is not frozen
    for (name, one), (_, other) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    dense, table = 32 * 32, decoder.numel()
    assert model.head_flops == (4 if frozen else 6) * table + 6 * dense


def test_the_parents_own_head_is_kept(masked_encoder: Path) -> None:
    parent = Checkpoint(masked_encoder, "lm")
    encoder = load_encoder(parent)
    model, drawn = with_mlm_head(encoder, parent, 3)
    assert not drawn
    stored = load_file(masked_encoder / "model.safetensors")
    head = model.model.cls.predictions
    assert torch.equal(head.transform.dense.weight, stored["cls.predictions.transform.dense.weight"])
    assert head.decoder.weight is encoder.embeddings.word_embeddings.weight
    assert model.model.bert.embeddings is encoder.embeddings


def test_xlmr_shares_its_table_too(tmp_path: Path) -> None:
    import transformers

    config = transformers.XLMRobertaConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    for name in ("Model", "ForMaskedLM"):
        getattr(transformers, f"XLMRoberta{name}")(config).save_pretrained(tmp_path / name)
        parent = Checkpoint(tmp_path / name, name)
        encoder = load_encoder(parent)
        model, drawn = with_mlm_head(encoder, parent, 0)
        assert drawn == (name == "Model")
        assert model.model.lm_head.decoder.weight is encoder.embeddings.word_embeddings.weight
        assert model.model.roberta.encoder is encoder.encoder
        assert len(list(model.parameters())) == len({id(p) for p in model.parameters()})


def test_its_loss_is_that_of_the_whole_model(masked_encoder: Path) -> None:
    parent = Checkpoint(masked_encoder, "lm")
    model, _ = with_mlm_head(load_encoder(parent), parent, 3)
    whole = parent.load("AutoModelForMaskedLM")
    ids = torch.randint(5, 100, (3, 9), generator=torch.Generator().manual_seed(0))
    labels = torch.where(torch.arange(27).reshape(3, 9) % 4 == 1, ids, -100)
    attention = torch.ones_like(ids)
    expected = whole(input_ids=ids, attention_mask=attention, labels=labels).loss
    found = model(input_ids=ids, attention_mask=attention, labels=labels).loss
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_an_untied_head_is_not_drawn(tiny_encoder: Path) -> None:
    parent = Checkpoint(tiny_encoder, "tiny")
    encoder = load_encoder(parent)
    encoder.config.tie_word_embeddings = False
    with pytest.raises(CheckpointError, match="tiny: has no head for masked language modelling"):
        with_mlm_head(encoder, parent, 0)


def test_it_learns_beside_the_task(job: PhaseJob, tmp_path: Path) -> None:
    steps: list[Step] = []
    tuned = changed(job, max_steps=160, learning_rate=3e-3, evaluate_every=40)
    card = card_of(train_phase(tuned, tmp_path / "out", progress=steps.append))
    losses = [entry["loss_by_set"]["mlm"] for entry in card.history]
    assert losses[-1] < 0.7 * losses[0]
    assert [data.name for data in card.data] == ["claims", "mlm"]
    assert card.data[1].rows == len(ALPHABET_TEXT) + 1
    assert card.recipe["mlm_head"] == "drawn"
    assert "started from a drawn head" in (card.notes or "")


def test_the_card_of_a_parent_with_a_head_says_so(
    job: PhaseJob, masked_encoder: Path, tmp_path: Path
) -> None:
    job = replace(job, parent=Checkpoint(masked_encoder, "lm"), freeze_embeddings=True)
    out = train_phase(job, tmp_path / "out")
    assert card_of(out).recipe["mlm_head"] == "parent"
    before, after = (load_file(path / "model.safetensors") for path in (masked_encoder, out))
    assert not any(name.startswith("cls.") for name in after), "only the encoder is carried over"
    table = "embeddings.word_embeddings.weight"
    assert torch.equal(after[table], before[f"bert.{table}"]), "frozen, though the head is tied to it"


def test_a_run_that_dies_ends_with_the_same_weights(job: PhaseJob, tmp_path: Path) -> None:
    job = changed(replace(job, sets=(CLAIMS, CHOICES)), batch_tokens=60, group_by_length=True, max_steps=None)
    undisturbed = train_phase(job, tmp_path / "undisturbed")

    def die(step: Step) -> None:
        if step.step in (3, 8):
            deaths.append(step.step)
            if deaths.count(step.step) == 1:
                raise KilledError

    deaths: list[int] = []
    for _ in range(2):
        with pytest.raises(KilledError):
            train_phase(job, tmp_path / "out", progress=die, save_seconds=0)
    resumed = train_phase(job, tmp_path / "out", progress=die)
    assert weights(resumed) == weights(undisturbed)
    assert untimed_history(resumed) == untimed_history(undisturbed)


def test_the_text_is_part_of_the_digest(job: PhaseJob) -> None:
    other = replace(job, mlm=MlmData(SOURCE, ("de",)))
    assert len({job.digest, other.digest, replace(job, mlm=None).digest}) == 3


def test_wrong_use_is_one_sentence(job: PhaseJob, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sets mlm_share, but there is no text"):
        train_phase(replace(job, mlm=None), tmp_path / "out")
    with pytest.raises(UsageError, match="intermediate phases only"):
        train_phase(replace(job, phase="target"), tmp_path / "out")
    with pytest.raises(UsageError, match="max_length is 1000"):
        train_phase(changed(job, max_length=1000), tmp_path / "out")
