"""Models and tokenizers from local files: no code of a checkpoint is run, no weight is drawn at random."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.checkpoints.layouts import encoder_class
from xeval.checkpoints.reading import short_reason
from xeval.errors import CheckpointError
from xeval.failures import is_failure
from xeval.files import presence_is_told

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def load_tokenizer(files: Path, path: Path) -> "PreTrainedTokenizerFast":
    """The fast tokenizer of the files in a folder, and nowhere else; ``path`` is what messages name."""
    from transformers import AutoTokenizer

    try:
        with presence_is_told(files):
            tokenizer = AutoTokenizer.from_pretrained(files, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # the library written in Rust raises plain exceptions, and panics
        if not is_failure(error):
            raise
        raise CheckpointError(f"{path}: the tokenizer cannot be loaded ({short_reason(error)}).") from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{path}: its tokenizer ({type(tokenizer).__name__}) has no fast version, which is needed to know "
            "where in the text a token stands; save one (tokenizer.json) with it, if there is one."
        )
    return tokenizer


def load_model(
    files: Path, path: Path, auto_class: str, config: dict[str, Any], dtype: "torch.dtype | None" = None
) -> "PreTrainedModel":
    """Load through ``transformers.<auto_class>``; the weights on disk have to be those of the model, all of them.

    Weights of another head may lie beside an encoder that is loaded alone, and such an encoder may lack the
    pooler, which no embedding uses. Everything else that is missing would be drawn at random, and everything
    else that is left over says that config and weights are not of one model.

    Args:
        files: folder of config and weights; ``path`` is what messages name.
        config: of the model, as read before.
        auto_class: for example ``AutoModel`` or ``AutoModelForSequenceClassification``.
        dtype: parameter type; None keeps float32.
    """
    import torch
    import transformers

    model_class = encoder_class(auto_class, config)
    transformers.utils.logging.disable_progress_bar()  # a bar per checkpoint drowns the run's own
    try:
        with presence_is_told(files):
            model, report = getattr(transformers, model_class).from_pretrained(
                files,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=dtype or torch.float32,
            )
    except BaseException as error:
        if not is_failure(error) or isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        reason = short_reason(error)
        if "trust_remote_code" in reason or "does not recognize this architecture" in reason:
            kind = f"transformers {transformers.__version__} has no architecture {config['model_type']!r}"
            needs = "it needs code from its folder or the hub, which is never run"
            reason = f"{kind}; {needs if config.get('auto_map') else 'a newer version may have it'}"
        raise CheckpointError(f"{path}: cannot be loaded ({reason}).") from error
    if problem := _loading_problem(model, auto_class, report["missing_keys"], report["unexpected_keys"]):
        raise CheckpointError(f"{path}: {problem}")
    if model_class == "AutoModel" and model.config.is_encoder_decoder:
        model = model.get_encoder()
    return model.eval()


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
