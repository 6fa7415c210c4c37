"""One phase in several processes: each computes a part of every batch, and the gradients are added.

The sum of the gradients is exactly that of the whole batch, so that the weights do not depend on the number of
processes but for rounding and, with dropout, its random numbers. Adding by hand, rather than through
DistributedDataParallel, needs no wrapper around models that share an encoder, of which one runs a step.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from xeval.tasks.base import IGNORED_LABEL
from xeval.train.rows import Inputs

BUCKET = 1 << 25  # gradients that are added in one call, so that the copy stays small beside the model
ValueT = TypeVar("ValueT")


class Processes:
    """The processes that Accelerate started, or this one alone."""

    def __init__(self, accelerator: Any) -> None:
        self.count: int = accelerator.num_processes
        self.rank: int = accelerator.process_index
        self.device: torch.device = accelerator.device
        self._wait = accelerator.wait_for_everyone

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, inputs: Inputs) -> tuple[Inputs, float]:
        """This process's rows of a batch, and the share that their mean loss has in the batch's mean loss."""
        if self.count == 1:
            return inputs, 1.0
        mine = {name: values[self.rank :: self.count] for name, values in inputs.items()}
        return mine, _counted(mine) / _counted(inputs)

    def add_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes; a parameter without any stays without."""
        if self.count == 1:
            return
        has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=self.device)
        torch.distributed.all_reduce(has, torch.distributed.ReduceOp.MAX)
        wanted = [p for p, needed in zip(parameters, has.tolist(), strict=True) if needed]
        for parameter in wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets(wanted):
            gradients = [p.grad for p in bucket if p.grad is not None]
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            torch.distributed.all_reduce(flat)
            for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def total(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over the processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def from_main(self, value: ValueT) -> ValueT:
        """The first process's value."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._wait()


def _counted(inputs: Inputs) -> int:
    """How many targets a model's mean loss is the mean of."""
    name = "labels" if "labels" in inputs else "start_positions"
    return int((inputs[name] != IGNORED_LABEL).sum())


def _buckets(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    bucket, size = list[torch.nn.Parameter](), 0
    for parameter in parameters:
        if bucket and size + parameter.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket
