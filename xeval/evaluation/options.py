"""What a run of evaluations may change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xeval.errors import UsageError

GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class RunOptions:
    """What a run may change.

    Attributes:
        data: root of the published data sets; None leaves the built-in ones.
        settings: changes to the tasks' settings (max_length, layer, ...); kinds take what they know.
        limit: only the first items of every unit; such results are kept apart from full ones.
        device: ``cpu``, ``cuda``, ``cuda:1``; empty takes a GPU where there is one.
        dtype: ``float32`` or ``bfloat16``; empty takes bfloat16 on a GPU and float32 on a CPU.
        token_budget: padded tokens per batch; 0 takes the device's default. It changes no score.
    """

    data: Path | None = None
    settings: Mapping[str, int | str] = field(default_factory=dict)
    limit: int | None = None
    device: str = ""
    dtype: str = ""
    token_budget: int = 0

    def resolve(self) -> tuple[str, str]:
        """Names of the device and the dtype of the run.

        PyTorch is asked only where a GPU can be: a plan on a machine without one needs no slow import.
        """
        if self.dtype not in ("", "float32", "bfloat16"):
            raise UsageError(f"--dtype {self.dtype}: use float32 or bfloat16.")
        if not re.fullmatch(r"|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"--device {self.device}: no such device; use cpu, cuda or cuda:N.")
        if self.device == "cpu" or not any(Path(path).exists() for path in GPU_DRIVERS):
            if self.device.startswith("cuda"):
                raise UsageError(f"--device {self.device}: this machine has no usable GPU.")
            return "cpu", self.dtype or "float32"
        import torch

        from xeval.encoder.loop import best_device, default_dtype

        device = torch.device(self.device) if self.device else best_device()
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"--device {self.device}: this machine has no such GPU.")
        return str(device), self.dtype or str(default_dtype(device)).removeprefix("torch.")
