"""Checkpoints on disk: discovery, lineage card, content digest, loading. Safetensors only, no remote code."""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xeval.digests import file_digest, value_digest
from xeval.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CARD_NAME = "xeval.json"
PARTIAL_SUFFIX = ".partial"
TOKENIZER_FILES = (
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
VOCABULARY_FILES = ("tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "vocab.txt", "vocab.json")


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
    condition: str = "none"
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
        temporary = path.with_suffix(".json.partial")
        temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
        return path


@dataclass(frozen=True)
class Checkpoint:
    """A directory that ``transformers`` can load. ``name`` is its path below the root it was found in."""

    path: Path
    name: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's ``config.json``."""
        try:
            value = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}: config.json cannot be read ({error}); save the checkpoint again."
            ) from error
        if not isinstance(value, dict):
            raise CheckpointError(f"{self.path}: config.json does not hold an object; save it again.")
        return value

    @cached_property
    def lineage(self) -> Lineage | None:
        """The lineage card, or None where there is none."""
        path = self.path / CARD_NAME
        if not path.exists():
            return None
        try:
            return Lineage.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            first = (
                error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error), "loc": ()}
            )
            where = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(
                f"{path}: not a valid lineage card ({where + ': ' if where else ''}{first['msg']}); "
                "mend it or write a new one with `xeval card`."
            ) from error

    @property
    def architecture(self) -> str:
        """First entry of the config's ``architectures``; empty where the config names none."""
        names = self.config.get("architectures") or [""]
        return str(names[0])

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The head's label names in order of their numbers; empty where the config names none."""
        labels = self.config.get("id2label") or {}
        return tuple(str(labels[key]) for key in sorted(labels, key=int))

    @cached_property
    def weight_files(self) -> tuple[Path, ...]:
        """The safetensors files, checked to be whole (each header's extent against the file's size)."""
        single, index = self.path / "model.safetensors", self.path / "model.safetensors.index.json"
        if single.exists():
            files = [single]
        elif index.exists():
            files = self._sharded_files(index)
        else:
            pickled = sorted(p.name for p in self.path.glob("*.bin")) + sorted(
                p.name for p in self.path.glob("*.pt")
            )
            if pickled:
                raise CheckpointError(
                    f"{self.path}: holds only pickled weights ({pickled[0]}), which can run code when loaded; "
                    "convert them with `save_pretrained(..., safe_serialization=True)`."
                )
            raise CheckpointError(f"{self.path}: no model.safetensors; is the save still under way?")
        for file in files:
            _check_whole(file)
        return tuple(files)

    def _sharded_files(self, index: Path) -> list[Path]:
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{index}: not a valid shard index; save the checkpoint again.") from error
        files = [self.path / str(name) for name in names]
        for file in files:
            if file.resolve().parent != self.path.resolve():
                raise CheckpointError(f"{index}: names a file outside the checkpoint ({file.name}).")
            if not file.exists():
                raise CheckpointError(f"{self.path}: shard {file.name} is missing; copy it or save again.")
        return files

    def check(self) -> None:
        """Raise :class:`CheckpointError` when config, weights, tokenizer or card cannot be used."""
        model_type = self.config.get("model_type")
        if not model_type:
            raise CheckpointError(f"{self.path}: config.json names no model_type; save the checkpoint again.")
        _ = self.weight_files, self.lineage
        if not any((self.path / name).exists() for name in VOCABULARY_FILES):
            raise CheckpointError(
                f"{self.path}: the tokenizer is missing; save it with `tokenizer.save_pretrained({self.path.name!r})`."
            )

    @cached_property
    def tokenizer_digest(self) -> str:
        """Digest of the tokenizer's files."""
        present = [name for name in TOKENIZER_FILES if (self.path / name).exists()]
        return value_digest({name: file_digest(self.path / name) for name in present})

    @cached_property
    def digest(self) -> str:
        """Digest of weights, tokenizer and config: two checkpoints with one digest give the same numbers."""
        config = {k: v for k, v in self.config.items() if k not in ("_name_or_path", "transformers_version")}
        return value_digest(
            {
                "weights": {file.name: file_digest(file) for file in self.weight_files},
                "tokenizer": self.tokenizer_digest,
                "config": config,
            }
        )

    def load_tokenizer(self) -> "PreTrainedTokenizerFast":
        """The fast tokenizer, from local files only."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.path, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise CheckpointError(
                f"{self.path}: the tokenizer cannot be loaded ({_one_line(error)})."
            ) from error
        if not tokenizer.is_fast:
            raise CheckpointError(
                f"{self.path}: needs a fast tokenizer (tokenizer.json); convert and save it."
            )
        return tokenizer

    def load(self, auto_class: str, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
        """Load through ``transformers.<auto_class>``; weights that the head needs and lacks are an error.

        Args:
            auto_class: for example ``AutoModel`` or ``AutoModelForSequenceClassification``.
            dtype: parameter type; None keeps float32.
        """
        import torch
        import transformers

        _ = self.weight_files
        transformers.utils.logging.disable_progress_bar()  # a bar per checkpoint drowns the run's own
        try:
            model, report = getattr(transformers, auto_class).from_pretrained(
                self.path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=dtype or torch.float32,
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise CheckpointError(f"{self.path}: cannot be loaded ({_one_line(error)}).") from error
        missing = [key for key in report["missing_keys"] if "pooler" not in key and "position_ids" not in key]
        if missing:
            raise CheckpointError(
                f"{self.path}: {len(missing)} weights are missing for {auto_class} (first: {missing[0]}); "
                "the checkpoint has no such head."
            )
        return model.eval()


def discover(root: Path) -> Iterator[Checkpoint]:
    """Every directory at or below ``root`` with a config.json, sorted by name; unfinished saves are skipped.

    Trainer's ``checkpoint-<step>`` folders inside a finished checkpoint are left out: they are its history.

    Raises:
        CheckpointError: ``root`` does not exist or holds no checkpoint.
    """
    if not root.is_dir():
        raise CheckpointError(f"{root}: no such directory; give a checkpoint or a folder of checkpoints.")
    found = [Checkpoint(path, _name_below(root, path)) for path in _checkpoint_directories(root)]
    if not found:
        raise CheckpointError(
            f"{root}: no checkpoint here (no directory with a config.json); "
            "make one with `xeval base e5-small --out DIR`."
        )
    yield from sorted(found, key=lambda checkpoint: checkpoint.name)


def publish(finished: Path, out: Path) -> None:
    """Give a finished save its final name, in one step, readable by whoever the umask lets read.

    safetensors writes files that only their owner can read, which hides a checkpoint from colleagues.
    """
    umask = os.umask(0)
    os.umask(umask)
    for file in finished.iterdir():
        if file.is_file():
            file.chmod(0o666 & ~umask)
    finished.rename(out)


def _checkpoint_directories(directory: Path) -> Iterator[Path]:
    finished = (directory / "config.json").exists()
    if finished:
        yield directory
    for child in sorted(directory.iterdir()):
        if not child.is_dir() or child.name.startswith(".") or child.name.endswith(PARTIAL_SUFFIX):
            continue
        if finished and child.name.startswith("checkpoint-"):
            continue
        yield from _checkpoint_directories(child)


def _name_below(root: Path, path: Path) -> str:
    return path.resolve().name if path == root else path.relative_to(root).as_posix()


def _check_whole(file: Path) -> None:
    """A safetensors file is 8 bytes of header length, the header, and the extent that the header names."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (header_length,) = struct.unpack("<Q", stream.read(8))
            if header_length > size:
                raise ValueError("the header is cut off")
            header = json.loads(stream.read(header_length))
        extents = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
        expected = 8 + header_length + max(extents, default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file}: not a whole safetensors file ({error}); copy or save it again."
        ) from error
    if size != expected:
        raise CheckpointError(
            f"{file}: has {size:,} bytes, its header promises {expected:,}; the copy or save broke off."
        )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 240 else text[:237] + "..."
