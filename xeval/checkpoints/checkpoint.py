"""A checkpoint on disk: what is in its folder, whether it can be used, its content digest. Safetensors only."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.checkpoints.adapters import ADAPTER_CONFIG, Adapter, adapter_at, load_adapted
from xeval.checkpoints.layouts import module_digests, module_files, transformer_folder, unsupported
from xeval.checkpoints.lineage import Lineage, read_card
from xeval.checkpoints.loading import load_model, load_tokenizer
from xeval.checkpoints.reading import count_tensors, read_object, require_regular
from xeval.digests import file_digest, text_digest, value_digest
from xeval.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

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
LAYER_COUNTS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "num_decoder_layers")
SIZES = (
    *LAYER_COUNTS,
    *("num_attention_heads", "num_heads", "n_heads", "n_head", "hidden_size", "d_model", "dim", "n_embd"),
    *("intermediate_size", "vocab_size", "max_position_embeddings", "n_positions"),
)
MOST_POSITIONS = 1 << 26
"""Models make a buffer of this many numbers before their weights are looked at."""
NO_NUMBERS = ("base_model_name_or_path", "inference_mode", "peft_version", "revision", "auto_mapping")
"""What an adapter's config says that changes no score; the base counts by its content."""
OTHER_WEIGHTS = {
    "pickled weights, which can run code when they are loaded": ("pytorch_model*.bin", "model.pt", "*.ckpt"),
    "weights for TensorFlow": ("tf_model*.h5", "model.ckpt.index"),
    "weights for Flax": ("flax_model*.msgpack",),
    "an ONNX export": ("*.onnx", "onnx/*.onnx"),
}


@dataclass(frozen=True)
class Checkpoint:
    """A directory that ``transformers`` can load. ``name`` is its path below the root it was found in."""

    path: Path
    name: str

    @cached_property
    def adapter(self) -> Adapter | None:
        """The adapter that the directory holds instead of a whole model; None where it holds none."""
        return adapter_at(self.path)

    @cached_property
    def files(self) -> Path:
        """Where config and weights lie: ``path`` itself, a folder in it (see :mod:`.layouts`), an adapter's base."""
        return transformer_folder(self.path if self.adapter is None else self.adapter.base)

    @cached_property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer lies: an adapter may have one of its own."""
        own = self.adapter is not None and any((self.path / name).exists() for name in VOCABULARY_FILES)
        return self.path if own else self.files

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's ``config.json``; of an adapter, that of the merged model."""
        found = read_object(self.files, "config.json")
        return found if self.adapter is None else self.adapter.merged_config(found)

    @cached_property
    def lineage(self) -> Lineage | None:
        """The lineage card, or None where there is none."""
        return read_card(self.path)

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
        return {file: count_tensors(file) for file in files}

    @property
    def bytes(self) -> int:
        """Size of the weights on disk."""
        files = self.weight_files if self.adapter is None else (self.adapter.weights,)
        return sum(file.stat().st_size for file in files)

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
        names = read_object(self.files, index.name).get("weight_map")
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
        if self.adapter is not None:
            self.adapter.check()
            self._require_own_base(self.adapter)
        elif (self.files / ADAPTER_CONFIG).exists():
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
            if (self.tokenizer_folder / name).exists():
                require_regular(self.tokenizer_folder / name)
        if not any((self.tokenizer_folder / name).exists() for name in VOCABULARY_FILES):
            raise CheckpointError(f"{self.path}: {self._instead_of_vocabulary()}")

    def _require_own_base(self, adapter: Adapter) -> None:
        """The base has to be the one that the card, where training wrote one, was written for."""
        base = Checkpoint(adapter.base, adapter.base.name)
        base.check(card=False)
        trained_on = None if self.lineage is None else self.lineage.recipe.get("base_digest")
        if trained_on not in (None, base.digest):
            raise CheckpointError(
                f"{self.path}: was trained on another base than {adapter.base}, as its card says; name the right one "
                "with --base."
            )

    def _instead_of_vocabulary(self) -> str:
        if (self.files / "tokenizer_config.json").exists():
            name = read_object(self.files, "tokenizer_config.json").get(
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
        folder = self.tokenizer_folder
        return read_object(folder, name) if (folder / name).exists() else {}

    @cached_property
    def tokenizer_digest(self) -> str:
        """Digest of the tokenizer's files."""
        folder = self.tokenizer_folder
        present = [name for name in TOKENIZER_FILES if (folder / name).exists()]
        return value_digest({name: file_digest(folder / name) for name in present})

    @cached_property
    def weights_digest(self) -> str:
        """Digest of the weight files alone, as a lineage card keeps it."""
        files = self.weight_files if self.adapter is None else (self.adapter.weights,)
        return value_digest({file.name: file_digest(file) for file in files})

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
                **self._adapter_part(),
            }
        )

    def _adapter_part(self) -> dict[str, Any]:
        if self.adapter is None:
            return {}
        config = {key: value for key, value in self.adapter.config.items() if key not in NO_NUMBERS}
        return {"adapter": {"weights": file_digest(self.adapter.weights), "config": config}}

    @cached_property
    def identity(self) -> str:
        """Digest of the name and the lineage card, which say what a score is of and change none."""
        # Fields that came later do not count, or every unit stored before would be copied under a new identity.
        later = {"weights", "collapsed"}
        card = "" if self.lineage is None else self.lineage.model_dump_json(exclude=later)
        return text_digest(self.name, card)[:8]

    def load_tokenizer(self) -> "PreTrainedTokenizerFast":
        """The fast tokenizer, from local files only."""
        return load_tokenizer(self.tokenizer_folder, self.path)

    def load(self, auto_class: str, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
        """The model, see :func:`xeval.checkpoints.loading.load_model`."""
        _ = self.weight_files
        if self.adapter is not None:
            return load_adapted(self.adapter, self.config, auto_class, dtype)
        return load_model(self.files, self.path, auto_class, self.config, dtype)
