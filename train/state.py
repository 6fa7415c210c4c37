"""What a phase under way keeps on disk: its position, weights, optimiser state and random numbers.

Every file carries a checksum, so that a run never goes on from numbers that it has not written.
"""

import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from xeval.errors import XevalError
from xeval.files import sync_folder

STATE_NAME = "state.safetensors"
CHECKSUM = "checksum"
WRITING = ".writing"


class DamagedStateError(XevalError):
    """A file of a phase under way does not hold what was written to it."""


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
    """The position in a state file; None where there is no file.

    Raises:
        DamagedStateError: the file holds no position.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["position"])
        return Position(**values | {"interval": Interval(**values.get("interval", {}))})
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedStateError(f"{path.name} is damaged ({_reason(error)})") from error


def read_state(
    path: Path,
    parameters: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> None:
    """Put back what :func:`write_state` wrote, random numbers included.

    Raises:
        DamagedStateError: the file is not as it was written; parameters may have been changed.
    """
    tensors = read_tensors(path)
    random = {name: tensors.pop(f"random/{name}", None) for name in ("cpu", "cuda")}
    try:
        with torch.no_grad():
            for key, tensor in tensors.items():
                entry, name = key.split("/", 1)
                parameter = parameters[name]
                if entry == "value":
                    parameter.copy_(tensor)
                else:
                    optimiser.state[parameter][entry] = tensor.to(device).clone()
        torch.set_rng_state(random["cpu"])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DamagedStateError(f"{path.name} is damaged ({_reason(error)})") from error
    if random["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"], device)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file with a checksum, written under a temporary name, flushed to the disk, and renamed."""
    from safetensors.torch import save_file

    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_suffix(WRITING)
    try:
        save_file(kept, temporary, metadata={**metadata, CHECKSUM: _checksum(kept, metadata)})
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of :func:`write_tensors`; files of before, without a checksum, are taken as they are.

    Raises:
        DamagedStateError: the file is missing, or not as it was written.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise DamagedStateError(f"{path.name} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, ValueError) as error:
        raise DamagedStateError(f"{path.name} is damaged ({_reason(error)})") from error
    checksum = metadata.pop(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(tensors, metadata):
        raise DamagedStateError(f"{path.name} is damaged (its checksum does not match)")
    return tensors


def read_values(path: Path, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Put back parameters that :func:`write_tensors` wrote under their names.

    Raises:
        DamagedStateError: the file is missing or damaged.
    """
    stored = read_tensors(path)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(stored[name])


def _checksum(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """CRC-32 over names and bytes: it finds damage by disks and memory, and takes a second for 2 GB."""
    value = zlib.crc32(json.dumps(sorted(metadata.items())).encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy(), value)
    return f"{value:08x}"


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
