"""Checkpoints on disk: discovery, lineage card, content digest, loading. Safetensors only, no remote code."""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xeval.conditions import BASELINE
from xeval.digests import file_digest, text_digest, value_digest
from xeval.errors import CheckpointError
from xeval.failures import explained, is_failure
from xeval.files import is_regular, real_folders, write_text
from xeval.layouts import (
    MODULES_FILE,
    encoder_class,
    is_module_folder,
    is_sentence_folder,
    module_digests,
    module_files,
    transformer_folder,
    unsupported,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CARD_NAME = "xeval.json"
PARTIAL_SUFFIX = ".partial"
TOKENIZER_FILES = (
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
VOCABULARY_FILES = (
    "tokenizer.json",
    *(
        "sentencepiece.bpe.model",
        "spiece.model",
        "spm.model",
        "sentencepiece.model",
        "vocab.txt",
        "vocab.json",
    ),
)
ADAPTER_CONFIG = "adapter_config.json"
STEP_FOLDER = "checkpoint-"
"""How Trainer names the states of a run inside the folder of the run."""
LAYER_COUNTS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "num_decoder_layers")
SIZES = (
    *LAYER_COUNTS,
    *("num_attention_heads", "num_heads", "n_heads", "n_head", "hidden_size", "d_model", "dim", "n_embd"),
    *("intermediate_size", "vocab_size", "max_position_embeddings", "n_positions"),
)
MOST_POSITIONS = 1 << 26
"""Models make a buffer of this many numbers before their weights are looked at."""
OTHER_WEIGHTS = {
    "pickled weights, which can run code when they are loaded": ("pytorch_model*.bin", "model.pt", "*.ckpt"),
    "weights for TensorFlow": ("tf_model*.h5", "model.ckpt.index"),
    "weights for Flax": ("flax_model*.msgpack",),
    "an ONNX export": ("*.onnx", "onnx/*.onnx"),
}
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "adapter_model.safetensors",
)


class TrainingData(BaseModel):
    """One data set that a phase was trained on."""

    model_config = ConfigDict(extra="forbid")
    name: str
    digest: str
    rows: int


class Lineage(BaseModel):
    """The lineage card ``xeval.json``: how a checkpoint came about.

    ``condition`` is the set of intermediate tasks joined by ``+`` (``none`` is the baseline); ``target`` is
    the name of the English training set of the target phase; ``parent`` is the parent's content digest; ``weights`` is
    the digest of the weight files that the card was written for; ``collapsed`` says why training taught nothing.
    """

    model_config = ConfigDict(extra="forbid")
    schema_version: Literal[1] = 1
    phase: Literal["base", "intermediate", "target"]
    base: str
    parent: str | None = None
    condition: str = BASELINE
    target: str | None = None
    seed: int | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: list[TrainingData] = Field(default_factory=list)
    history: list[dict[str, Any]] = Field(default_factory=list)
    software: dict[str, str] = Field(default_factory=dict)
    device: str | None = None
    wall_seconds: float | None = None
    notes: str | None = None
    weights: str | None = None
    collapsed: str | None = None

    def write(self, directory: Path) -> Path:
        """Write the card beside the weights, replacing an older one in one step."""
        path = directory / CARD_NAME
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path


@dataclass(frozen=True)
class Checkpoint:
    """A directory that ``transformers`` can load. ``name`` is its path below the root it was found in."""

    path: Path
    name: str

    @cached_property
    def files(self) -> Path:
        """Where config, weights and tokenizer lie: ``path`` itself, or a folder in it (see :mod:`xeval.layouts`)."""
        return transformer_folder(self.path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's ``config.json``."""
        return _read_object(self.files, "config.json")

    @cached_property
    def lineage(self) -> Lineage | None:
        """The lineage card, or None where there is none."""
        path = self.path / CARD_NAME
        if not path.exists():
            return None
        try:
            _require_regular(path)
            return Lineage.model_validate_json(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            first = (
                error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error), "loc": ()}
            )
            where = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(
                f"{path}: not a valid lineage card ({where + ': ' if where else ''}{first['msg']}); "
                "mend it or write a new one with `xeval checkpoints card`."
            ) from error

    @property
    def architecture(self) -> str:
        """First entry of the config's ``architectures``; empty where the config names none."""
        names = self.config.get("architectures") or [""]
        if not isinstance(names, list):
            raise CheckpointError(f"{self.path}: architectures in config.json is no list; save it again.")
        return str(names[0])

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The head's label names in order of their numbers; empty where the config names none.

        Raises:
            CheckpointError: ``id2label`` does not give each number from 0 on a name.
        """
        labels = self.config.get("id2label") or {}
        expected = {str(number) for number in range(len(labels))}
        if not isinstance(labels, dict) or set(labels) != expected:
            found = (
                ", ".join(f"{key}: {labels[key]}" for key in list(labels)[:3])
                if isinstance(labels, dict)
                else labels
            )
            swapped = isinstance(labels, dict) and {str(value) for value in labels.values()} == expected
            raise CheckpointError(
                f"{self.path}: id2label in config.json is to give every number from 0 on a name, it holds {found}"
                f"{'; numbers and names are swapped, turn them round' if swapped else '; put it right'}."
            )
        return tuple(str(labels[str(number)]) for number in range(len(labels)))

    @property
    def is_adapter(self) -> bool:
        """Whether the directory holds an adapter of peft instead of a whole model."""
        return (self.files / ADAPTER_CONFIG).exists() and not (self.files / "config.json").exists()

    @cached_property
    def weight_files(self) -> tuple[Path, ...]:
        """The safetensors files, checked to be whole (each header's extent against the file's size)."""
        return tuple(self._tensor_counts)

    @cached_property
    def _tensor_counts(self) -> dict[Path, int]:
        """The safetensors files and how many tensors each holds."""
        single, index = self.files / "model.safetensors", self.files / "model.safetensors.index.json"
        if single.exists():
            files = [single]
        elif index.exists():
            files = self._sharded_files(index)
        else:
            raise CheckpointError(f"{self.path}: {self._instead_of_weights()}")
        return {file: _count_tensors(file) for file in files}

    @property
    def bytes(self) -> int:
        """Size of the weights on disk."""
        return sum(file.stat().st_size for file in self.weight_files)

    def _instead_of_weights(self) -> str:
        """What there is where no weights are, and what to do."""
        for what, patterns in OTHER_WEIGHTS.items():
            found = sorted(path.name for pattern in patterns for path in self.files.glob(pattern))
            if found:
                return (
                    f"holds only {what} ({found[0]}); load the model with transformers where it is trusted, then "
                    "`model.save_pretrained(DIR)` writes model.safetensors."
                )
        return "no model.safetensors; is the save still under way?"

    def _sharded_files(self, index: Path) -> list[Path]:
        names = _read_object(self.files, index.name).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise CheckpointError(f"{index}: not a valid shard index; save the checkpoint again.")
        files = []
        for name in sorted({str(name) for name in names.values()}):
            # The hub's cache links shards to its folder of blobs: the name may not lead out, the target may.
            if Path(name).name != name or name in (".", ".."):
                raise CheckpointError(f"{index}: names a file outside the checkpoint ({name}).")
            if not (self.files / name).exists():
                raise CheckpointError(f"{self.path}: shard {name} is missing; copy it or save again.")
            files.append(self.files / name)
        return files

    def check(self, *, card: bool = True) -> None:
        """Raise :class:`CheckpointError` when config, weights, tokenizer or, if asked, the card cannot be used."""
        if self.is_adapter:
            base = _read_object(self.files, ADAPTER_CONFIG).get("base_model_name_or_path") or "its base"
            raise CheckpointError(
                f"{self.path}: is an adapter without the model it adapts ({base}); merge it with peft "
                "(`model.merge_and_unload().save_pretrained(DIR)`) and evaluate the merged folder."
            )
        if (self.files / ADAPTER_CONFIG).exists():
            raise CheckpointError(
                f"{self.path}: an adapter ({ADAPTER_CONFIG}) lies beside a whole model; whether it is merged already "
                "cannot be told; move the adapter's files away, or merge it into its base and save the result."
            )
        if not (self.files / "config.json").exists():
            raise CheckpointError(
                f"{self.path}: holds weights but no config.json; save the checkpoint again."
            )
        model_type = self.config.get("model_type")
        if not model_type or not isinstance(model_type, str):
            raise CheckpointError(f"{self.path}: config.json names no model_type; save the checkpoint again.")
        if problem := unsupported(self.config):
            raise CheckpointError(f"{self.path}: {problem}")
        _ = self.architecture, self.lineage if card else None
        self._check_sizes()
        for name in (*TOKENIZER_FILES, "generation_config.json"):
            if (self.files / name).exists():
                _require_regular(self.files / name)
        if not any((self.files / name).exists() for name in VOCABULARY_FILES):
            raise CheckpointError(f"{self.path}: {self._instead_of_vocabulary()}")

    def _instead_of_vocabulary(self) -> str:
        if (self.files / "tokenizer_config.json").exists():
            name = _read_object(self.files, "tokenizer_config.json").get(
                "tokenizer_class", "of an unnamed class"
            )
            return (
                f"its tokenizer ({name}) has no vocabulary file; save its files with "
                "`tokenizer.save_pretrained(...)`; a tokenizer of characters or bytes has none and cannot be used."
            )
        return f"the tokenizer is missing; save it with `tokenizer.save_pretrained({self.path.name!r})`."

    def _check_sizes(self) -> None:
        """What the config asks for is checked before a model of that size is built."""
        tensors = sum(self._tensor_counts.values())
        for name in SIZES:
            if name not in self.config or isinstance(self.config[name], list):
                continue
            value = self.config[name]
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise CheckpointError(
                    f"{self.path}: {name} in config.json is {value!r}, not a whole number above 0; put it right."
                )
            if name in LAYER_COUNTS and value > tensors:
                raise CheckpointError(
                    f"{self.path}: config.json promises {value:,} layers ({name}), the weights hold {tensors} "
                    "tensors; copy config.json and the weights of one model."
                )
            if value > MOST_POSITIONS and name in ("max_position_embeddings", "n_positions"):
                raise CheckpointError(
                    f"{self.path}: config.json asks for {value:,} positions ({name}); put it right."
                )

    def stamps(self) -> tuple[tuple[str, int, int, int, int], ...]:
        """Name, size, times and number of every file here: when they are equal, no file was written in between."""
        stamps = []
        for path in sorted({*self.path.iterdir(), *self.files.iterdir(), *module_files(self.path).values()}):
            status = path.stat()
            stamps.append((path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        return tuple(stamps)

    def require_unchanged(self, digest: str) -> None:
        """Raise :class:`CheckpointError` when what is on disk now has another digest."""
        if Checkpoint(self.path, self.name).digest != digest:
            raise CheckpointError(
                f"{self.path}: weights, tokenizer or config changed during the run; give the command again."
            )

    @cached_property
    def padding_agrees(self) -> bool:
        """Whether config and tokenizer name one and the same padding token.

        Decoders look for the last token of a sequence by it. Configs with segments are of encoders, which do not.
        """
        if "type_vocab_size" in self.config:
            return True
        token = self._tokenizer_part("tokenizer_config.json").get("pad_token")
        name = token.get("content") if isinstance(token, dict) else token
        added = self._tokenizer_part("tokenizer.json").get("added_tokens") or []
        numbers = [entry["id"] for entry in added if name is not None and entry.get("content") == name]
        return numbers == [self.config.get("pad_token_id")]

    def _tokenizer_part(self, name: str) -> dict[str, Any]:
        return _read_object(self.files, name) if (self.files / name).exists() else {}

    @cached_property
    def tokenizer_digest(self) -> str:
        """Digest of the tokenizer's files."""
        present = [name for name in TOKENIZER_FILES if (self.files / name).exists()]
        return value_digest({name: file_digest(self.files / name) for name in present})

    @cached_property
    def weights_digest(self) -> str:
        """Digest of the weight files alone, as a lineage card keeps it."""
        return value_digest({file.name: file_digest(file) for file in self.weight_files})

    def require_own_card(self) -> None:
        """Raise :class:`CheckpointError` when the lineage card says that it was written for other weights."""
        if self.lineage is not None and self.lineage.weights not in (None, self.weights_digest):
            raise CheckpointError(
                f"{self.path}: the weights are not those that its lineage card was written for; train it again, "
                "or write a new card with `xeval checkpoints card`."
            )

    @cached_property
    def digest(self) -> str:
        """Digest of weights, tokenizer and config: two checkpoints with one digest give the same numbers."""
        config = {k: v for k, v in self.config.items() if k not in ("_name_or_path", "transformers_version")}
        return value_digest(
            {
                "weights": {file.name: file_digest(file) for file in self.weight_files},
                "tokenizer": self.tokenizer_digest,
                "config": config,
                **({"modules": modules} if (modules := module_digests(self.path)) else {}),
            }
        )

    @cached_property
    def identity(self) -> str:
        """Digest of the name and the lineage card, which say what a score is of and change none."""
        # Fields that came later do not count, or every unit stored before would be copied under a new identity.
        later = {"weights", "collapsed"}
        card = "" if self.lineage is None else self.lineage.model_dump_json(exclude=later)
        return text_digest(self.name, card)[:8]

    def load_tokenizer(self) -> "PreTrainedTokenizerFast":
        """The fast tokenizer, from local files only."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.files, local_files_only=True, trust_remote_code=False
            )
        except BaseException as error:  # the library written in Rust raises plain exceptions, and panics
            if not is_failure(error):
                raise
            raise CheckpointError(
                f"{self.path}: the tokenizer cannot be loaded ({_reason(error)})."
            ) from error
        if not tokenizer.is_fast:
            raise CheckpointError(
                f"{self.path}: its tokenizer ({type(tokenizer).__name__}) has no fast version, which is needed to know "
                "where in the text a token stands; save one (tokenizer.json) with it, if there is one."
            )
        return tokenizer

    def load(self, auto_class: str, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
        """Load through ``transformers.<auto_class>``; the weights on disk have to be those of the model, all of them.

        Weights of another head may lie beside an encoder that is loaded alone, and such an encoder may lack the
        pooler, which no embedding uses. Everything else that is missing would be drawn at random, and everything
        else that is left over says that config and weights are not of one model.

        Args:
            auto_class: for example ``AutoModel`` or ``AutoModelForSequenceClassification``.
            dtype: parameter type; None keeps float32.
        """
        import torch
        import transformers

        _ = self.weight_files
        model_class = encoder_class(auto_class, self.config)
        transformers.utils.logging.disable_progress_bar()  # a bar per checkpoint drowns the run's own
        try:
            model, report = getattr(transformers, model_class).from_pretrained(
                self.files,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=dtype or torch.float32,
            )
        except BaseException as error:
            if not is_failure(error) or isinstance(error, MemoryError | torch.OutOfMemoryError):
                raise
            reason = _reason(error)
            if "trust_remote_code" in reason or "does not recognize this architecture" in reason:
                kind = f"transformers {transformers.__version__} has no architecture {self.config['model_type']!r}"
                needs = "it needs code from its folder or the hub, which is never run"
                reason = f"{kind}; {needs if self.config.get('auto_map') else 'a newer version may have it'}"
            raise CheckpointError(f"{self.path}: cannot be loaded ({reason}).") from error
        if problem := _loading_problem(model, auto_class, report["missing_keys"], report["unexpected_keys"]):
            raise CheckpointError(f"{self.path}: {problem}")
        if model_class == "AutoModel" and model.config.is_encoder_decoder:
            model = model.get_encoder()
        return model.eval()


@dataclass(frozen=True)
class Discovery:
    """What is below a folder.

    Attributes:
        checkpoints: sorted by name; the broken and unusable ones among them.
        left_out: checkpoints that are not looked at, by name, with the reason.
        unreadable: folders that could not be listed, by name, with the reason.
    """

    checkpoints: tuple[Checkpoint, ...]
    left_out: dict[str, str]
    unreadable: dict[str, str]


def survey(root: Path) -> Discovery:
    """Every real directory at or below ``root`` that holds a model or a part of one, however linked; hidden folders and
    unfinished saves are skipped.

    Trainer's ``checkpoint-<step>`` folders are left out inside a checkpoint that has weights of its own, as they are
    its history; inside one that has none they stand for it.

    Raises:
        CheckpointError: ``root`` does not exist or holds no checkpoint.
    """
    if not root.is_dir():
        raise CheckpointError(f"{root}: no such directory; give a checkpoint or a folder of checkpoints.")
    found: dict[Path, set[str]] = {}
    left_out: dict[str, str] = {}
    unreadable: dict[str, str] = {}

    def enter(folder: Path) -> bool:
        if folder.name.startswith(".") or folder.name.endswith(PARTIAL_SUFFIX):
            return False
        if folder.parent in found and is_module_folder(folder):
            return False
        if folder.name.startswith(STEP_FOLDER) and _has_weights(found.get(folder.parent, set())):
            left_out[_name_below(root, folder)] = (
                f"a state of the run in {folder.parent.name}, which is evaluated; give its path to evaluate it too"
            )
            return False
        return True

    def tell(folder: Path, error: OSError) -> None:
        unreadable[_name_below(root, folder)] = explained(error, folder, folder.name)

    for folder, names in real_folders(root, enter, tell):
        if MODULES_FILE in names and is_sentence_folder(folder):
            found[folder] = {*names, WEIGHT_NAMES[0]}  # which may lie in the folder of its Transformer
        elif {"config.json", ADAPTER_CONFIG, *WEIGHT_NAMES}.intersection(names):
            found[folder] = set(names)
    stand_ins = Counter(
        f.parent for f, names in found.items() if f.name.startswith(STEP_FOLDER) and _has_weights(names)
    )
    for folder, count in stand_ins.items():
        if folder in found:
            del found[folder]
            left_out[_name_below(root, folder)] = (
                f"has no weights of its own; its {count} {STEP_FOLDER}* folder{'s are' if count > 1 else ' is'} taken"
            )
    checkpoints = sorted((Checkpoint(path, _name_below(root, path)) for path in found), key=lambda c: c.name)
    if not checkpoints and not unreadable:
        raise CheckpointError(
            f"{root}: no checkpoint here (no directory with a config.json); "
            "make one with `xeval checkpoints base e5-small --out DIR`."
        )
    return Discovery(tuple(checkpoints), left_out, unreadable)


def discover(root: Path) -> Iterator[Checkpoint]:
    """The checkpoints of :func:`survey`."""
    yield from survey(root).checkpoints


def _has_weights(names: Iterable[str]) -> bool:
    return bool({*WEIGHT_NAMES}.intersection(names))


def _name_below(root: Path, path: Path) -> str:
    return path.resolve().name if path == root else path.relative_to(root).as_posix()


def _require_regular(path: Path) -> None:
    """Reading a FIFO would wait for ever, and a folder is no file."""
    if not is_regular(path):
        raise CheckpointError(f"{path}: is not a regular file; copy or save it again.")


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object in a checkpoint's folder."""
    _require_regular(folder / name)
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{folder}: {name} cannot be read ({_reason(error)}); save the checkpoint again."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{folder}: {name} does not hold an object; save it again.")
    return value


def _count_tensors(file: Path) -> int:
    """Number of tensors; a safetensors file is 8 bytes of header length, the header, and the extent that it names."""
    _require_regular(file)
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
            if start == b"version " and b"git-lfs" in stream.read(64):
                raise CheckpointError(
                    f"{file}: is a Git LFS pointer, not the weights; fetch them with `git lfs pull`."
                )
            (header_length,) = struct.unpack("<Q", start)
            if header_length > size:
                raise ValueError("the header is cut off")
            stream.seek(8)
            header = json.loads(stream.read(header_length))
        extents = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
        expected = 8 + header_length + max(extents, default=0)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from error
    except (
        struct.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            f"{file}: not a whole safetensors file ({_reason(error)}); copy or save it again."
        ) from error
    if size != expected:
        raise CheckpointError(
            f"{file}: has {size:,} bytes, its header promises {expected:,}; the copy or save broke off."
        )
    return len(extents)


def _loading_problem(
    model: Any, auto_class: str, missing: Iterable[str], unexpected: Iterable[str]
) -> str | None:
    """Why the weights on disk are not those of the model, as a sentence; None where they are."""
    alone = auto_class == "AutoModel"
    missing = sorted(
        key for key in missing if "position_ids" not in key and not (alone and key.startswith("pooler."))
    )
    unexpected = sorted(unexpected)
    own = {name for name, _ in model.named_children()} | {
        name for name, _ in model.base_model.named_children()
    }
    prefix = f"{model.base_model_prefix}."
    # Buffers that older versions of transformers saved, and a pooler that the head does not use, are no one's weights.
    idle = ("position_ids", "inv_freq", "masked_bias", "pooler.dense.weight", "pooler.dense.bias")
    foreign = [
        key for key in unexpected if not key.endswith(idle) and key.removeprefix(prefix).split(".")[0] in own
    ]
    if missing:
        first = unexpected[0].split(".")[0] if unexpected else ""
        if (
            first
            and all(key.split(".")[0] == first for key in unexpected)
            and f"{first}." != prefix
            and any(key.removeprefix(f"{first}.") in missing for key in unexpected)
        ):
            return (
                f"all names of its weights begin with `{first}.`, as when a wrapped model is saved; save the model "
                f"inside the wrapper (`model.{first}.save_pretrained(...)`)."
            )
        if all(".pooler." in key or key.startswith("pooler.") for key in missing):
            return (
                f"the pooler is missing ({missing[0]}), through which its head reads; it would be drawn at random "
                "at every load; save the whole model."
            )
        head = (
            "the checkpoint has no such head"
            if not any(
                key.removeprefix(prefix).split(".")[0]
                in {name for name, _ in model.base_model.named_children()}
                for key in missing
            )
            else "config.json and the weights are not of one model"
        )
        return f"{len(missing)} weights are missing for {auto_class} (first: {missing[0]}); {head}."
    if foreign:
        return (
            f"{len(foreign)} weights of the encoder have no place in the model that config.json describes (first: "
            f"{foreign[0]}); copy config.json and the weights of one model."
        )
    return None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else text[:237] + "..."
