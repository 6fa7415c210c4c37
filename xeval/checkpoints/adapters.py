"""Adapters in peft's format: which base they adapt, whether the two fit each other, and the merged model.

The base is loaded once and kept; an adapter is attached to a copy of the modules that it changes, and merged, so that
the next one finds the base as it was (adapters loaded into one and the same model change it: peft issue 2270).
"""

import copy
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.checkpoints.reading import count_tensors, read_object, short_reason
from xeval.errors import CheckpointError, require_package
from xeval.failures import is_failure
from xeval.files import presence_is_told

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
WHOLE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
BASES_VARIABLE = "XEVAL_BASES"
"""Folders in which bases are looked for, joined as in PATH."""
MERGEABLE = ("LORA", "IA3", "ADALORA", "LOHA", "LOKR", "OFT", "BOFT", "VERA", "HRA")
HEADS = {
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
    "FEATURE_EXTRACTION": "Model",
}
PREFIX = "base_model.model."
CHANGED = re.compile(r"\.(?:lora_|ia3_|hada_|lokr_|oft_|boft_|vera_|hra_|base_layer\b)[^.]*.*$")
LEVELS = 4  # folders above an adapter in which its base is looked for


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder, and the folders in which its base may lie."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """``adapter_config.json``."""
        return read_object(self.path, ADAPTER_CONFIG)

    @property
    def base_name(self) -> str:
        """What the adapter calls its base: a path or a name on the hub."""
        return str(self.config.get("base_model_name_or_path") or "")

    @property
    def weights(self) -> Path:
        """The adapter's own weights."""
        return self.path / ADAPTER_WEIGHTS

    @cached_property
    def base(self) -> Path:
        """The folder of the base.

        Raises:
            CheckpointError: it is nowhere to be found.
        """
        for folder in self._places():
            if (folder / "config.json").is_file() and not folder.samefile(self.path):
                return folder
        raise CheckpointError(
            f"{self.path}: is an adapter, and the model that it adapts ({self.base_name or 'unnamed'}) is not at hand; "
            f"put it beside the adapter, name the folder of bases with --base, make it with "
            f"`xeval checkpoints base {self.base_name or 'NAME'} --out DIR`, or merge it with peft."
        )

    def _places(self) -> Sequence[Path]:
        name = self.base_name
        last = Path(name).name
        named = [Path(name), self.path / name] if name else []
        above = [
            parent / part
            for parent in self.path.resolve().parents[:LEVELS]
            for part in dict.fromkeys((name, last, "base"))
            if part and not Path(part).is_absolute()
        ]
        bases = [Path(folder) for folder in os.environ.get(BASES_VARIABLE, "").split(os.pathsep) if folder]
        kept = [
            place
            for folder in bases
            for place in (*(folder / part for part in (name, name.replace("/", "--"), last) if part), folder)
        ]
        return [*named, *kept, *above, *_cached_on_the_hub(name)]

    def check(self) -> None:
        """Raise :class:`CheckpointError` for what cannot be used, and says what to do."""
        kind = str(self.config.get("peft_type", "")).upper()
        if kind not in MERGEABLE:
            raise CheckpointError(
                f"{self.path}: its peft type ({kind or 'unnamed'}) cannot be merged into a model; known are "
                f"{', '.join(MERGEABLE)}."
            )
        if not self.weights.exists():
            raise CheckpointError(
                f"{self.path}: holds no {ADAPTER_WEIGHTS}; pickled weights can run code and are not read: load the "
                "adapter with peft where it is trusted, then `model.save_pretrained(DIR)` writes it."
            )
        _ = self.base
        count_tensors(self.weights)

    def model_class(self, base_config: dict[str, Any]) -> str:
        """The class of the model that the adapter was trained in; its head's configuration may lie beside it."""
        beside = (self.own_config.get("architectures") or [""])[0]
        mapped = (self.config.get("auto_mapping") or {}).get("base_model_class")
        own = str((base_config.get("architectures") or [""])[0])
        if beside or mapped:
            return str(beside or mapped)
        suffix = HEADS.get(str(self.config.get("task_type")))
        return own if suffix is None else re.sub(r"(Model|For[A-Za-z]+)$", "", own) + suffix

    @cached_property
    def own_config(self) -> dict[str, Any]:
        """What a ``config.json`` beside the adapter says: the names of its labels, for instance."""
        return read_object(self.path, "config.json") if (self.path / "config.json").exists() else {}

    def merged_config(self, base_config: dict[str, Any]) -> dict[str, Any]:
        """The configuration of the merged model."""
        merged = base_config | {
            key: value
            for key, value in self.own_config.items()
            if key in ("id2label", "label2id", "problem_type")
        }
        name = self.model_class(base_config)
        if "id2label" not in self.own_config and name.endswith(
            ("SequenceClassification", "TokenClassification")
        ):
            count = self._head_size()
            if count and len(merged.get("id2label") or {}) != count:
                merged["id2label"] = {str(number): f"LABEL_{number}" for number in range(count)}
                merged["label2id"] = {label: int(number) for number, label in merged["id2label"].items()}
        return merged | {"architectures": [name]}

    def _head_size(self) -> int:
        """Rows of the head's last layer in the adapter; 0 where it holds none."""
        from safetensors import safe_open

        with safe_open(self.weights, "np") as file:
            for key in file.keys():  # noqa: SIM118  (not a mapping)
                if (
                    key.endswith(("classifier.weight", "out_proj.weight", "score.weight"))
                    and ".lora_" not in key
                ):
                    return int(file.get_slice(key).get_shape()[0])
        return 0


def adapter_at(path: Path) -> Adapter | None:
    """The adapter in a folder; None where there is none, or a whole model beside one."""
    if not (path / ADAPTER_CONFIG).exists() or any((path / name).exists() for name in WHOLE_WEIGHTS):
        return None
    return Adapter(path)


def load_adapted(
    adapter: Adapter, config: dict[str, Any], auto_class: str, dtype: "torch.dtype | None"
) -> "PreTrainedModel":
    """The base with the adapter merged into it; for ``AutoModel`` without its head.

    Raises:
        CheckpointError: adapter and base do not fit, or a head is in neither of them.
    """
    require_package("peft", f"{adapter.path}: an adapter")
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file

    name = config["architectures"][0]
    if not hasattr(transformers, name):
        raise CheckpointError(f"{adapter.path}: transformers has no class {name}, which it was trained in.")
    labels = tuple((config.get("id2label") or {}).items())
    state = load_file(adapter.weights)
    try:
        base, missing = _pristine(adapter.base, _stamp(adapter.base), name, labels, dtype or torch.float32)
        supplied = {
            key.removeprefix(PREFIX).replace(".modules_to_save", ""): value for key, value in state.items()
        }
        if left := sorted(set(missing) - set(supplied)):
            raise CheckpointError(
                f"{adapter.path}: its head ({left[0]}) is neither in the adapter nor in its base, and would be drawn "
                "at random; save the adapter with its head (`modules_to_save`)."
            )
        model = _copy(base, {CHANGED.sub("", name) for name in supplied})
        tuned = {PREFIX + name: value for name, value in supplied.items() if CHANGED.search(name)}
        whole = {name: value for name, value in supplied.items() if PREFIX + name not in tuned}
        strange = list(model.load_state_dict(whole, strict=False).unexpected_keys)
        wrapped = peft.get_peft_model(model, _without_heads(adapter, sorted(whole)))
        result: Any = peft.set_peft_model_state_dict(wrapped, tuned)
        strange += result.unexpected_keys
        strange += [key for key in result.missing_keys if CHANGED.search(key) and "base_layer" not in key]
        if strange:
            raise CheckpointError(
                f"{adapter.path}: adapter and base are not made for each other ({strange[0]}); is it another base's?"
            )
        merged = wrapped.merge_and_unload(safe_merge=True)
    except CheckpointError:
        raise
    except BaseException as error:
        if not is_failure(error) or isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        reason = short_reason(error)
        raise CheckpointError(
            f"{adapter.path}: cannot be merged into {adapter.base} ({reason}); is it another base's?"
        ) from error
    alone = auto_class == "AutoModel" and name != type(merged.base_model).__name__
    return (merged.base_model if alone else merged).eval()


def _without_heads(adapter: Adapter, whole: Sequence[str]) -> Any:
    """The adapter's configuration for its own modules alone; ``whole`` are weights that it brings beside them.

    They are put in place here: not every method of peft can merge a model with a head that it has wrapped.
    """
    import peft

    settings: Any = peft.PeftConfig.from_pretrained(str(adapter.path))
    settings.inference_mode, settings.base_model_name_or_path = True, str(adapter.base)
    settings.task_type = settings.modules_to_save = None
    if whole and hasattr(settings, "exclude_modules"):
        modules = "|".join(re.escape(name.rpartition(".")[0]) for name in whole)
        settings.exclude_modules = rf"(.*\.)?({modules})"
    return settings


@lru_cache(maxsize=1)
def _pristine(
    folder: Path,
    _stamp: tuple[tuple[str, int, int, int], ...],
    name: str,
    labels: tuple[tuple[str, str], ...],
    dtype: "torch.dtype",
) -> "tuple[PreTrainedModel, tuple[str, ...]]":
    """The base in a class, and the names of the weights that its files lack: those of a new head.

    ``_stamp`` changes with the files, so that a base that was trained again is loaded again.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    named = {"id2label": {int(key): label for key, label in labels}} if labels else {}
    with presence_is_told(folder):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **named)
        model, report = getattr(transformers, name).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=dtype,
        )
    pooler = f"{model.base_model_prefix}.pooler."  # the encoder alone may lack it, and no head here reads it
    used = "pooler" if name.endswith(("SequenceClassification", "MultipleChoice")) else ""
    lacking = [
        key
        for key in report["missing_keys"]
        if "position_ids" not in key and (used or not key.startswith(pooler))
    ]
    return model.eval(), tuple(lacking)


def _stamp(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Name, size, time and number of every file of a base."""
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    return tuple((name, status.st_size, status.st_mtime_ns, status.st_ino) for name, status in found)


def _copy(model: "PreTrainedModel", changed: set[str]) -> "PreTrainedModel":
    """A copy that shares every parameter but those of the modules that change."""
    shared = {
        id(value): value
        for name, value in model.named_parameters()
        if not any(name == module or name.startswith(f"{module}.") for module in changed)
        and name not in changed
    }
    return copy.deepcopy(model, shared)


def _cached_on_the_hub(name: str) -> list[Path]:
    """The newest snapshot of a repository in the hub's cache; nothing is downloaded."""
    if name.count("/") > 1 or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        return []
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    found = [path for path in snapshots.glob("*") if (path / "config.json").exists()]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:1]
