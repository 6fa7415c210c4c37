"""What a phase under way keeps on disk: its position, weights, optimiser state and random numbers."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

STATE_NAME = "state.safetensors"


@dataclass
class Interval:
    """What happened since the last evaluation.

    Attributes:
        seconds: of training, evaluations left out.
        tokens, places: tokens that count, and with padding.
        flops: of the model on ``tokens``.
    """

    seconds: float = 0.0
    tokens: int = 0
    places: int = 0
    flops: float = 0.0


@dataclass
class Position:
    """Where a run is; with the tensors of the state file it is all that a continued run needs.

    ``recent`` holds set number and loss of the last steps, as many as lie between two evaluations.
    """

    job: str
    attempt: int = 0
    step: int = 0
    tokens: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_score: float = -math.inf
    evaluations_since_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interval: Interval = field(default_factory=Interval)
    recent: list[tuple[int, float]] = field(default_factory=list)


def write_state(
    path: Path,
    position: Position,
    parameters: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> None:
    """Replace the state file in one step."""
    tensors = {f"value/{name}": p.detach() for name, p in parameters.items()}
    for name, parameter in parameters.items():
        for key, tensor in optimiser.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = tensor
    tensors["random/cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(device)
    write_tensors(path, tensors, {"position": json.dumps(asdict(position))})


def read_position(path: Path) -> Position | None:
    """The position in a state file; None where there is no file."""
    from safetensors import safe_open

    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        values = json.loads(file.metadata()["position"])
    return Position(**values | {"interval": Interval(**values.get("interval", {}))})


def read_state(
    path: Path,
    parameters: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> None:
    """Put back what :func:`write_state` wrote, random numbers included."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    random = {name: tensors.pop(f"random/{name}", None) for name in ("cpu", "cuda")}
    with torch.no_grad():
        for key, tensor in tensors.items():
            entry, name = key.split("/", 1)
            parameter = parameters[name]
            if entry == "value":
                parameter.copy_(tensor)
            else:
                optimiser.state[parameter][entry] = tensor.to(device).clone()
    assert random["cpu"] is not None
    torch.set_rng_state(random["cpu"])
    if random["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"], device)


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, written under a temporary name and renamed."""
    from safetensors.torch import save_file

    temporary = path.with_suffix(".writing")
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=metadata or None
    )
    temporary.replace(path)


def read_values(path: Path, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Put back parameters that :func:`write_tensors` wrote under their names."""
    from safetensors.torch import load_file

    stored = load_file(path)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(stored[name])
