"""An encoder made ready to embed sentences: cut at a layer, with the poolings and the layers behind them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xeval.checkpoints.layouts import SentenceModules
from xeval.encoder.pooling import SentenceHead, cut_at_layer, require_layers
from xeval.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from xeval.checkpoints import Checkpoint


def prepare_encoder(
    model: Any,
    checkpoint: "Checkpoint",
    poolings: Sequence[str],
    layer: int | None,
    modules: SentenceModules | None,
) -> Any:
    """Attach what makes sentence embeddings to a model that was loaded through ``AutoModel``.

    Args:
        poolings: their vectors are joined.
        layer: that is pooled; None pools every layer.
        modules: of a sentence-transformers folder whose own are used; None pools the encoder alone.

    Raises:
        UsageError: the model has no such layer or no pooler.
        CheckpointError: a module's weights are damaged or not those of its configuration.
    """
    if layer is None:
        require_layers(model)
    else:
        if list(poolings) == ["pooler"]:
            _require_pooler(model, checkpoint, layer == int(model.config.num_hidden_layers))
        model = cut_at_layer(model, layer)
    width = int(model.config.hidden_size)
    if modules is not None and modules.inner not in (0, width):
        raise CheckpointError(
            f"{checkpoint.path}: its Pooling is for {modules.inner} numbers a token, the Transformer gives {width}."
        )
    layers = [] if modules is None else [_layer(m.kind, m.folder, config) for m, config in modules.behind]
    model.sentence_head = SentenceHead(poolings, layers).eval()
    return model


class Dense(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A linear map, an activation, and where asked for the input added (sentence-transformers' ``Dense``)."""

    def __init__(self, takes: int, gives: int, bias: bool, activation: str, residual: bool) -> None:
        super().__init__()
        self.out_features = gives
        self.linear = torch.nn.Linear(takes, gives, bias=bias)
        self.activation = getattr(torch.nn, activation)()
        self.adds = residual
        if residual and takes != gives:
            self.residual = torch.nn.Linear(takes, gives, bias=False)

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.activation(self.linear(vector))
        if not self.adds:
            return output
        return output + (self.residual(vector) if hasattr(self, "residual") else vector)


class Normalize(torch.nn.Module):  # type: ignore[misc]
    """To length 1."""

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(vector, dim=-1)


class LayerNorm(torch.nn.Module):  # type: ignore[misc]
    """Layer normalisation under the names of sentence-transformers' weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(vector)
        return normed


def _layer(kind: str, folder: Path, config: Mapping[str, Any]) -> torch.nn.Module:
    """A module behind the pooling with its weights, in float32."""
    if kind == "Normalize":
        return Normalize()
    if kind == "Dropout":
        return torch.nn.Identity()  # without effect but in training
    if kind == "LayerNorm":
        module: torch.nn.Module = LayerNorm(config["dimension"])
    else:
        activation = config["activation_function"].rsplit(".", 1)[-1]
        module = Dense(
            config["in_features"], config["out_features"], config["bias"], activation, config["use_residual"]
        )
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    if not file.exists():
        raise CheckpointError(
            f"{folder}: no model.safetensors; pickled weights are not read, so load the folder with "
            "sentence-transformers where it is trusted and save it again."
        )
    try:
        module.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except Exception as error:  # the library written in Rust raises plain exceptions
        raise CheckpointError(
            f"{file}: not the weights of this {kind} ({' '.join(str(error).split())[:200]})."
        ) from error
    return module


def _require_pooler(model: Any, checkpoint: "Checkpoint", top: bool) -> None:
    """The pooler has to be among the weights: transformers draws one at random where it is not."""
    from safetensors import safe_open

    if not top:
        raise UsageError("--pooling pooler reads the last layer; leave --layer out.")
    names: set[str] = set()
    for file in checkpoint.weight_files:
        with safe_open(file, framework="np") as tensors:
            names.update(tensors.keys())
    pooler = getattr(model, "pooler", None)
    weights = [] if pooler is None else [f"pooler.{name}" for name in pooler.state_dict()]
    prefix = f"{model.base_model_prefix}."
    if not weights or not all(name in names or prefix + name in names for name in weights):
        raise UsageError(
            f"--pooling pooler: {checkpoint.name} has no pooler among its weights; choose another pooling."
        )
