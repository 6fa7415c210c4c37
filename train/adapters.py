"""Training of adapters: injected into the frozen layers of an encoder, saved in peft's own format.

LoRA: Hu et al. 2021 (arXiv 2106.09685); IA3: Liu et al. 2022 (arXiv 2205.05638).
"""

import os
import re
from pathlib import Path
from typing import Any

import torch

from xeval.checkpoints import Checkpoint
from xeval.checkpoints.adapters import ADAPTER_WEIGHTS, PREFIX, Adapter
from xeval.errors import UsageError, require_package
from xeval.train.recipes import AdapterSettings

TUNED = re.compile(r"\.(lora|ia3)_")
NAME = ".default"  # of the one adapter in a model, in the names of its parameters
INSIDE_LAYERS = r"(.*\.)?\d+\.(.*\.)?({})"
"""Modules of the numbered layers: heads and poolers have modules of the same names."""


def peft_config(settings: AdapterSettings, **more: Any) -> Any:
    """The settings as peft has them."""
    require_package("peft", "Training an adapter")
    import peft

    targets = INSIDE_LAYERS.format("|".join(map(re.escape, settings.targets)))
    if settings.method == "ia3":
        # As in the paper: keys and values are scaled behind their product, the feed-forward layer before its second.
        second = INSIDE_LAYERS.format("|".join(map(re.escape, settings.feedforward)))
        return peft.IA3Config(target_modules=f"{targets}|{second}", feedforward_modules=second, **more)
    return peft.LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets, **more
    )


def load_with_adapter(parent: Checkpoint, settings: AdapterSettings, seed: int) -> Any:
    """The parent's encoder with an adapter in it: the parent's own, trained on, or a new one drawn from ``seed``.

    Raises:
        UsageError: the parent is an adapter with other settings, or no module has the names of the targets.
    """
    before = parent.adapter
    whole = parent if before is None else Checkpoint(before.base, before.base.name)
    encoder = whole.load("AutoModel")
    config = peft_config(settings)
    if before is not None:
        _require_same(parent, before, config)
    torch.manual_seed(seed)
    inject(encoder, settings)
    if before is not None:
        _read(before, encoder)
    return encoder


def inject(encoder: Any, settings: AdapterSettings) -> None:
    """Put a new adapter into an encoder's layers; nothing else of the encoder is trained then.

    Raises:
        UsageError: no module has the names of the targets.
    """
    config = peft_config(settings)
    import peft

    try:
        peft.inject_adapter_in_model(config, encoder)
    except ValueError as error:  # peft's own word for targets that match nothing
        raise UsageError(
            f"the adapter's targets {', '.join(settings.targets)} name no module in the layers of "
            f"{type(encoder).__name__}; name others, such as query or value."
        ) from error


def _require_same(parent: Checkpoint, before: Adapter, config: Any) -> None:
    for key in ("peft_type", "r", "lora_alpha", "target_modules", "feedforward_modules"):
        asked = getattr(config, key, None)
        kept = before.config.get(key)
        if str(getattr(asked, "value", asked)) != str(kept):
            raise UsageError(
                f"{parent.name}: its adapter has {key} {kept}, the recipe asks for {asked}; an adapter is trained on "
                "as it is: give both phases the same settings."
            )


def _read(before: Adapter, encoder: Any) -> None:
    from safetensors.torch import load_file

    stored = load_file(before.weights)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if TUNED.search(name):
                parameter.copy_(stored[PREFIX + name.replace(NAME, "")])


def is_tuned(name: str) -> bool:
    """Whether a parameter of that name is the adapter's own."""
    return TUNED.search(name) is not None


def adapter_weights(model: Any) -> dict[str, torch.Tensor]:
    """The adapter and, of a model with a head, the head, under the names that peft gives them."""
    return {
        PREFIX + name.replace(NAME, ""): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def save_adapter(
    model: Any, config: Any, settings: AdapterSettings, parent: Checkpoint, finished: Path, out: Path
) -> None:
    """Write adapter, head and configuration into ``finished``.

    Args:
        config: the model's own, with its label names.
        out: where the folder will lie, from which the base is named.
    """
    from safetensors.torch import save_file

    base = parent.path if parent.adapter is None else parent.adapter.base
    inner = f"{model.base_model_prefix}." if model.base_model is not model else ""
    heads = {
        name.removeprefix(inner).split(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not is_tuned(name)
    }
    finished.mkdir(parents=True)
    described = peft_config(
        settings,
        base_model_name_or_path=os.path.relpath(base.resolve(), out.resolve()),
        modules_to_save=sorted(heads) or None,
        inference_mode=True,
    )
    described.save_pretrained(str(finished))
    save_file(
        {n: t.cpu().contiguous() for n, t in adapter_weights(model).items()}, finished / ADAPTER_WEIGHTS
    )
    config.architectures = [type(model).__name__]
    config.save_pretrained(finished)
