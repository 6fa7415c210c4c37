"""Layouts of model folders beside the plain one, read without running anything in them.

A sentence-transformers folder names in ``modules.json`` what turns a text into one embedding: a Transformer, a Pooling
of its tokens, and layers behind it. Its Transformer lies in the folder itself or, in the older layout, in
``0_Transformer``. Names and keys are those that sentence-transformers 0.3 to 6.2 write. Code in a folder is never run.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from xeval.digests import file_digest
from xeval.errors import CheckpointError
from xeval.files import is_regular

MODULES_FILE = "modules.json"
PROMPTS_FILE = "config_sentence_transformers.json"
# Of the Transformer; the older names stem from the times when each architecture had a class of its own.
TRANSFORMER_FILES = (
    "sentence_bert_config.json",
    *(
        f"sentence_{name}_config.json"
        for name in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
LIBRARY = "sentence_transformers."
BEHIND_POOLING = ("Dense", "LayerNorm", "Normalize", "Dropout")
MODULE_FOLDER = re.compile(
    rf"\d+_({'|'.join(('Transformer', 'Pooling', *BEHIND_POOLING, 'WordEmbeddings'))})"
)
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid", "LeakyReLU", "ELU")
# The library's names of poolings, ours, and the switch of older folders, in the order in which several are joined.
POOLINGS = {
    "cls": ("cls", "pooling_mode_cls_token"),
    "max": ("max", "pooling_mode_max_tokens"),
    "mean": ("mean", "pooling_mode_mean_tokens"),
    "mean_sqrt_len_tokens": ("mean_sqrt_len", "pooling_mode_mean_sqrt_len_tokens"),
    "weightedmean": ("weighted_mean", "pooling_mode_weightedmean_tokens"),
    "lasttoken": ("last", "pooling_mode_lasttoken"),
}
T5_ENCODERS = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
    "switch_transformers": "SwitchTransformersEncoderModel",
}
# Keys of the Transformer's configuration that change no embedding of a text.
_IDLE = {
    "backend",
    "cache_dir",
    "unpad_inputs",
    "query_length",
    "document_length",
    "query_expansion",
    "tokenizer_name_or_path",
}
_IDLE_ARGUMENTS = {
    "trust_remote_code",
    "torch_dtype",
    "dtype",
    "attn_implementation",
    "add_pooling_layer",
    "use_cache",
    "revision",
    "token",
    "local_files_only",
    "padding_side",
    "use_fast",
}


@dataclass(frozen=True)
class Module:
    """An entry of ``modules.json``: the class by its short name (a foreign one by its whole name) and the folder."""

    kind: str
    folder: Path


@dataclass(frozen=True)
class SentenceModules:
    """What a sentence-transformers folder does to a text, behind its Transformer and before it.

    Attributes:
        poolings: names as in :data:`xeval.retrieval.recipes.Pooling`; several are joined.
        include_prompt: whether the prompt's tokens are pooled too.
        behind: what the pooled vector goes through, with each module's configuration.
        inner: width of the Transformer's tokens; 0 where its Pooling does not say.
        width: numbers of an embedding; 0 where no module says.
        max_length: tokens at which a text is cut.
    """

    poolings: tuple[str, ...]
    include_prompt: bool
    behind: tuple[tuple[Module, dict[str, Any]], ...]
    inner: int
    width: int
    max_length: int
    lower_case: bool
    prompt: str

    @property
    def description(self) -> str:
        """For people, and part of a unit's fingerprint."""
        parts = [f"Pooling {'+'.join(self.poolings)}{'' if self.include_prompt else ' without the prompt'}"]
        for module, config in self.behind:
            detail = f" {config['out_features']} {_activation(config)}" if module.kind == "Dense" else ""
            parts.append(module.kind + detail + (" residual" if config.get("use_residual") else ""))
        return ", ".join(parts)


def sentence_modules(path: Path) -> tuple[Module, ...]:
    """The modules of a sentence-transformers folder in their order; empty for a folder of another layout.

    Raises:
        CheckpointError: ``modules.json`` is damaged or names a folder outside, or is missing where its folders are.
    """
    file = path / MODULES_FILE
    if not file.exists():
        return ()
    entries = _read(file, TypeAdapter(Annotated[list[_Entry], Field(min_length=1)]))
    return tuple(_module(path, entry) for entry in entries)


def is_sentence_folder(path: Path) -> bool:
    """Whether a folder is one checkpoint because of its ``modules.json`` (a file of that name may be anything)."""
    try:
        return bool(sentence_modules(path))
    except CheckpointError:
        return (path / "config.json").exists()


def is_module_folder(path: Path) -> bool:
    """Whether a folder inside a checkpoint is a part of it, as its ``modules.json`` or else the folder's name says."""
    try:
        if any(module.folder == path for module in sentence_modules(path.parent)):
            return True
    except CheckpointError:
        pass  # said where the checkpoint is read
    return MODULE_FOLDER.fullmatch(path.name) is not None


def transformer_folder(path: Path) -> Path:
    """Where config, weights and tokenizer of a checkpoint lie: ``path`` itself, but in the older layout."""
    modules = sentence_modules(path)
    if not modules or modules[0].folder == path:
        return path
    if modules[0].kind != "Transformer":
        raise CheckpointError(
            f"{path}: begins with {modules[0].kind}; of sentence-transformers folders only those that begin with a "
            "Transformer can be evaluated."
        )
    return modules[0].folder


def module_files(path: Path) -> dict[str, Path]:
    """The files by which a sentence-transformers folder differs from its plain Transformer, by their names in it."""
    modules = sentence_modules(path)
    if not modules:
        return {}
    inside = transformer_folder(path)
    files = [path / MODULES_FILE, path / PROMPTS_FILE, *(inside / name for name in TRANSFORMER_FILES)]
    for module in modules:
        if module.folder not in (path, inside) and module.folder.is_dir():
            files += sorted(module.folder.iterdir())
    return {file.relative_to(path).as_posix(): file for file in files if is_regular(file)}


def module_digests(path: Path) -> dict[str, str]:
    """Digests of :func:`module_files`; empty for a plain folder, whose digest they leave as it is."""
    return {name: file_digest(file) for name, file in module_files(path).items()}


def read_sentence_modules(path: Path) -> SentenceModules | None:
    """What a sentence-transformers folder does to a text; None for a folder of another layout.

    Raises:
        CheckpointError: a module is of an unknown class or asks for something that cannot be followed here.
    """
    modules = sentence_modules(path)
    if not modules:
        loose = next(iter(sorted(path.glob("*_Pooling/config.json"))), None)
        if loose is not None and MODULE_FOLDER.fullmatch(loose.parent.name):
            raise CheckpointError(
                f"{path}: {loose.parent.name} is a sentence-transformers folder's, but {MODULES_FILE} is missing; "
                f"copy it too, or remove {loose.parent.name} to evaluate the plain encoder."
            )
        return None
    kinds = [module.kind for module in modules]
    for number, kind in enumerate(kinds):
        known = (("Transformer",), ("Pooling",))[number] if number < 2 else BEHIND_POOLING
        if kind not in known:
            raise CheckpointError(
                f"{path}: module {number} of {MODULES_FILE} is {kind}; a Transformer, a Pooling and then "
                f"{', '.join(BEHIND_POOLING[:-1])} are what can be followed (--pooling mean: the encoder alone)."
            )
    if len(kinds) == 1:
        raise CheckpointError(f"{path}: {MODULES_FILE} names no Pooling; choose one with --pooling.")
    transformer = _transformer_settings(modules[0].folder)
    prompts = _prompts(path)
    pooling = _read(modules[1].folder / "config.json", TypeAdapter(_Pooling))
    inner = pooling.embedding_dimension or pooling.word_embedding_dimension or 0
    poolings = pooling.names(modules[1].folder / "config.json")
    behind, width = [], inner * len(poolings)
    for module in modules[2:]:
        config, width = _behind(module, width)
        behind.append((module, config))
    return SentenceModules(
        poolings,
        pooling.include_prompt,
        tuple(behind),
        inner,
        width,
        transformer.max_seq_length or _longest(modules[0].folder),
        transformer.do_lower_case,
        prompts,
    )


def encoder_class(auto_class: str, config: Mapping[str, Any]) -> str:
    """The class of ``transformers`` to load through: for the encoder of a T5 the one that leaves the decoder out."""
    kind = config.get("model_type")
    return (
        T5_ENCODERS.get(kind, auto_class)
        if auto_class == "AutoModel" and isinstance(kind, str)
        else auto_class
    )


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Why no text can be given to a model of this configuration as it needs it; None where nothing is known."""
    kind = config.get("model_type")
    if kind == "xmod":
        return "X-MOD sends every text through the adapter of its language, which is not passed on; use another model."
    if kind == "xlm" and config.get("use_lang_emb", True) and config.get("n_langs", 1) != 1:
        return (
            "this XLM adds an embedding of each text's language, which is not passed on; use "
            "xlm-mlm-17-1280, xlm-mlm-100-1280 or another model."
        )
    return None


class _Entry(BaseModel):
    type: str
    path: str = ""


class _Transformer(BaseModel):
    model_config = ConfigDict(extra="allow")
    max_seq_length: int | None = Field(default=None, ge=1)
    do_lower_case: bool = False


class _Pooling(BaseModel):
    model_config = ConfigDict(extra="forbid")
    word_embedding_dimension: int | None = Field(default=None, ge=1)
    embedding_dimension: int | None = Field(default=None, ge=1)
    pooling_mode: str | list[str] | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False
    include_prompt: bool = True

    def names(self, file: Path) -> tuple[str, ...]:
        """Our names, in the order in which the library joins them."""
        if self.pooling_mode is not None:
            chosen = [self.pooling_mode] if isinstance(self.pooling_mode, str) else self.pooling_mode
        else:
            chosen = [name for name, (_, switch) in POOLINGS.items() if getattr(self, switch)] or ["mean"]
        for name in chosen:
            if name not in POOLINGS:
                raise CheckpointError(f"{file}: {name!r} is no known pooling ({', '.join(POOLINGS)}).")
        if not chosen:
            raise CheckpointError(f"{file}: names no pooling.")
        return tuple(POOLINGS[name][0] for name in chosen)


class _Layer(BaseModel):
    """What the configurations of all modules behind the pooling have in common."""

    model_config = ConfigDict(extra="forbid")
    module_input_name: Literal["sentence_embedding"] = "sentence_embedding"
    module_output_name: Literal["sentence_embedding"] | None = None


class _Dense(_Layer):
    in_features: int = Field(ge=1)
    out_features: int = Field(ge=1)
    bias: bool = True
    activation_function: str = "torch.nn.modules.activation.Tanh"
    use_residual: bool = False


class _LayerNorm(_Layer):
    dimension: int = Field(ge=1)


class _Dropout(_Layer):
    dropout: float = 0.2


class _Prompts(BaseModel):
    model_type: str | None = None
    prompts: dict[str, str | None] = Field(default_factory=dict)
    default_prompt_name: str | None = None


_T = TypeVar("_T")


def _read(file: Path, shape: TypeAdapter[_T]) -> _T:
    """A JSON file checked against a shape."""
    if not is_regular(file):
        raise CheckpointError(f"{file}: is missing or not a regular file; copy the whole folder again.")
    try:
        return shape.validate_python(json.loads(file.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{file}: cannot be followed ({where + ': ' if where else ''}{first['msg']})."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file}: cannot be read ({' '.join(str(error).split())}); copy it again."
        ) from error


def _module(path: Path, entry: _Entry) -> Module:
    parts = Path(entry.path).parts
    if Path(entry.path).is_absolute() or ".." in parts:
        raise CheckpointError(f"{path / MODULES_FILE}: names a folder outside the checkpoint ({entry.path}).")
    folder = path / entry.path
    if entry.type.startswith(LIBRARY):
        return Module(entry.type.rsplit(".", 1)[-1], folder)
    if "." in entry.type:
        return Module(f"{entry.type} (code of its own, which is never run)", folder)
    # A name without a module names no code; the folder's name then says the class.
    return Module(re.sub(r"^\d+_", "", parts[-1]) if parts else "Transformer", folder)


def _transformer_settings(folder: Path) -> _Transformer:
    file = next((folder / name for name in TRANSFORMER_FILES if (folder / name).exists()), None)
    if file is None:
        return _Transformer()
    settings = _read(file, TypeAdapter(_Transformer))
    for key, value in (settings.model_extra or {}).items():
        if not _is_idle(key, value):
            raise CheckpointError(
                f"{file}: asks for {key} = {json.dumps(value)}, which cannot be followed here; --pooling evaluates the "
                "encoder alone."
            )
    return settings


def _is_idle(key: str, value: Any) -> bool:
    """Whether a key of the Transformer's configuration leaves embeddings as a plain forward pass gives them."""
    if key in _IDLE or value in (None, {}, []):
        return True
    if key in ("transformer_task", "module_output_name"):
        return value in ("feature-extraction", "token_embeddings")
    if key == "modality_config":
        return isinstance(value, dict) and value.get("text") == {
            "method": "forward",
            "method_output_name": "last_hidden_state",
        }
    return key.endswith(("_args", "_kwargs")) and isinstance(value, dict) and set(value) <= _IDLE_ARGUMENTS


def _longest(folder: Path) -> int:
    """Tokens at which the library cuts a text where the folder names no length; 0 where nothing bounds it."""
    bounds = []
    for name, key in (
        ("tokenizer_config.json", "model_max_length"),
        ("config.json", "max_position_embeddings"),
    ):
        if (folder / name).exists():
            value = _read(folder / name, TypeAdapter(dict[str, Any])).get(key)
            if (
                isinstance(value, int | float) and 0 < value < 1 << 31
            ):  # a tokenizer without a bound says 1e30
                bounds.append(int(value))
    return min(bounds, default=0)


def _prompts(path: Path) -> str:
    """The prompt that stands before every text."""
    file = path / PROMPTS_FILE
    if not file.exists():
        return ""
    settings = _read(file, TypeAdapter(_Prompts))
    if settings.model_type not in (None, "SentenceTransformer"):
        raise CheckpointError(f"{path}: is a {settings.model_type}, which gives no embedding of a sentence.")
    if settings.default_prompt_name is None:
        return ""
    if settings.default_prompt_name not in settings.prompts:
        raise CheckpointError(
            f"{file}: the default prompt {settings.default_prompt_name!r} is not among its prompts."
        )
    return settings.prompts[settings.default_prompt_name] or ""


def _behind(module: Module, width: int) -> tuple[dict[str, Any], int]:
    """Configuration of a module that takes ``width`` numbers (0: unknown), and how many it gives."""
    file = module.folder / "config.json"
    if module.kind in ("Normalize", "Dropout"):
        shape = _Dropout if module.kind == "Dropout" else _Layer
        return (_read(file, TypeAdapter(shape)).model_dump() if file.exists() else {}), width
    if module.kind == "LayerNorm":
        config = _read(file, TypeAdapter(_LayerNorm)).model_dump()
        taken = given = config["dimension"]
    else:
        config = _read(file, TypeAdapter(_Dense)).model_dump()
        taken, given = config["in_features"], config["out_features"]
        if _activation(config) not in ACTIVATIONS or not config["activation_function"].startswith(
            "torch.nn."
        ):
            raise CheckpointError(
                f"{file}: the activation {config['activation_function']} is not among {', '.join(ACTIVATIONS)}."
            )
    if width not in (0, taken):
        raise CheckpointError(f"{file}: takes {taken} numbers, the module before it gives {width}.")
    return config, given


def _activation(config: Mapping[str, Any]) -> str:
    return str(config["activation_function"]).rsplit(".", 1)[-1]
