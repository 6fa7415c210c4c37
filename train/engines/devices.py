"""Which GPUs or threads every worker on this machine gets."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from xeval.errors import UsageError


@dataclass(frozen=True)
class Devices:
    """What one worker computes on: GPUs by number, or so many threads of the processor."""

    gpus: tuple[str, ...] = ()
    threads: int = 1

    @property
    def environment(self) -> dict[str, str]:
        """The variables that give a process these devices and no others."""
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        return threads | {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}


def gpus_named(text: str, present: Sequence[str]) -> tuple[str, ...]:
    """GPUs out of ``all``, a number of them, or their numbers joined by commas.

    Args:
        present: the names under which this process sees its GPUs.

    Raises:
        UsageError: there are no such GPUs here.
    """
    if text == "all":
        wanted = list(range(len(present)))
    elif text.isdecimal():
        wanted = list(range(int(text)))
    else:
        parts = [part.strip() for part in text.rstrip(",").split(",")]
        if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
            raise UsageError(f"--gpus {text}: give all, a number, or different numbers joined by commas.")
        wanted = [int(part) for part in parts]
    if not wanted or max(wanted) >= len(present):
        raise UsageError(
            f"--gpus {text}: this machine shows {len(present)} GPUs; on a CPU use --workers N instead."
        )
    return tuple(present[number] for number in wanted)


def present_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",")[:count]) if named else tuple(map(str, range(count)))


def devices_of_workers(gpus: Sequence[str], workers: int, processes: int) -> list[Devices]:
    """The devices of every worker: ``processes`` GPUs each, or an equal part of the processor's threads.

    Args:
        gpus: to share out; empty for the processor.
        workers: how many, where there are no GPUs.
        processes: that train one node together.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not gpus:
        return [Devices(threads=max(1, threads // (workers * processes)))] * workers
    if len(gpus) % processes:
        raise UsageError(f"{len(gpus)} GPUs cannot be shared out to nodes with {processes} each.")
    groups = [tuple(gpus[at : at + processes]) for at in range(0, len(gpus), processes)]
    return [Devices(group, max(1, threads // len(gpus))) for group in groups]
