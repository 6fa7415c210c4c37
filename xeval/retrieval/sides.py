"""One collection of embeddings as the search sees it: normalised or shifted block by block, never as a whole."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.retrieval.rows import CENTRED_AWAY, CHUNK_ROWS, Role, Transform, require_searchable

ALIGNMENT = 8  # matrix units take rows of bfloat16 in steps of 16 bytes
# A component of a converted row is off by a few roundings of float32 (2^-24 each) of the terms it is made from.
CONVERSION = 2.0**-22


@dataclass(frozen=True)
class Rounding:
    """Of every row, as float64 upper bounds: what conversion to the product's dtype did to it.

    Attributes:
        length: length of the row's body, the part that is rounded as a vector.
        error: length of the difference between the converted body and the true one.
        residual: error of the columns that carry a sum of their own.
        total: length of the whole converted row.
    """

    length: NDArray[np.float64]
    error: NDArray[np.float64]
    residual: NDArray[np.float64]
    total: NDArray[np.float64]


class Side:
    """Rows v of a collection such that one inner product per pair orders what is searched.

    With r = e - before for an embedding e, ``unit`` has v = r / |r| - after (a row of zeros stays zero) and the
    product v.w; ``distance`` has v = r and the product -|v - w|^2 / 2, by the columns -|v|^2 / 2 and 1.

    In bfloat16, v.w is computed as (v - m).(w - m) + v.m + w.m - m.m - offset, the single numbers in two columns
    each: embeddings of one encoder share a direction, and what is rounded to 8 bits is then only what differs.
    """

    def __init__(
        self,
        role: Role,
        vectors: NDArray[np.floating[Any]],
        transform: Transform,
        device: torch.device,
        before: NDArray[np.float64] | None = None,
        after: NDArray[np.float64] | None = None,
    ) -> None:
        self.role = role
        self.vectors = vectors
        self.transform = transform
        self.device = device
        self.before = before
        self.after = after
        self.scale = np.ones(len(vectors))
        self.centre = np.zeros(vectors.shape[1])
        self.offset = 0.0
        total = np.empty(len(vectors))
        for rows in self.chunks():
            raw = self._raw(rows)
            lengths = raw.square().sum(1).sqrt().cpu().numpy()
            if before is not None and transform == "unit":
                away = lengths <= CENTRED_AWAY * float(np.linalg.norm(before))
                lengths[away] = 0
                raw[torch.from_numpy(away).to(device)] = 0
            require_searchable(role, rows.start, partial(_on_the_cpu, raw), lengths, transform)
            if transform == "unit":
                self.scale[rows] = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            if transform == "unit" and after is None:
                total[rows] = np.where(lengths > 0, 1 + CONVERSION, 0.0)
            else:
                total[rows] = _lengths(self.converted(rows, torch.float32))
        self.roundings = {torch.float32: self._single_rounding(total)}

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """Components of an embedding."""
        return int(self.vectors.shape[1])

    def chunks(self) -> list[slice]:
        """The rows in pieces of ``CHUNK_ROWS``."""
        starts = range(0, len(self), CHUNK_ROWS)
        return [slice(first, min(first + CHUNK_ROWS, len(self))) for first in starts]

    def exact(self, rows: slice | NDArray[np.int64]) -> torch.Tensor:
        """v in float64 [rows, width]."""
        values = self._raw(rows)
        if self.transform == "unit":
            values *= torch.from_numpy(self.scale[rows]).to(self.device)[:, None]
        if self.after is not None:
            values -= torch.from_numpy(self.after).to(self.device)
        return values

    def products(self, rows: NDArray[np.int64], other: "Side", columns: NDArray[np.int64]) -> torch.Tensor:
        """v.w in float64 of each pair of a row of this side and a row of the other."""
        if self.transform == other.transform == "unit" and self.after is None and other.after is None:
            scale = torch.from_numpy(self.scale[rows] * other.scale[columns]).to(self.device)
            second = other._read(columns) if other.before is None else other._raw(columns)
            return self._raw(rows).mul_(second).sum(1).mul_(scale)
        return self.exact(rows).mul_(other.exact(columns)).sum(1)

    def converted(self, rows: slice | NDArray[np.int64], dtype: torch.dtype) -> torch.Tensor:
        """The rows as the matrix product takes them, in ``dtype``: v and the columns that sums need."""
        values = self._read(rows).float()
        if self.before is not None:
            values -= torch.from_numpy(self.before).to(self.device).float()
        if self.transform == "unit":
            values *= torch.from_numpy(self.scale[rows]).to(self.device).float()[:, None]
        if self.after is not None:
            values -= torch.from_numpy(self.after).to(self.device).float()
        if self.transform == "distance":
            own = values.double().square().sum(1, keepdim=True).div(-2).float()
            return self._with_columns(values, [own])
        if dtype == torch.bfloat16:
            centre = torch.from_numpy(self.centre).to(self.device)
            own = values.double() @ centre[:, None]
            if self.role == "target":
                own -= centre @ centre + self.offset
            high = own.to(dtype)
            low = (own - high).to(dtype)
            return self._with_columns((values - centre.float()).to(dtype), [high, low])
        return values

    def centre_for_bfloat16(self, centre: NDArray[np.float64], offset: float) -> None:
        """Set what the products in bfloat16 leave out, and measure their rounding."""
        self.centre, self.offset = centre, offset
        # Filled in place: small arrays that outlive the chunks' large ones would keep the heap from shrinking.
        measured = Rounding(*(np.empty(len(self)) for _ in range(4)))
        allowance = CONVERSION * (self.roundings[torch.float32].total.max() + np.linalg.norm(centre))
        for rows in self.chunks():
            true = self.exact(rows)
            middle = torch.from_numpy(centre).to(self.device)
            converted = self.converted(rows, torch.bfloat16).double()
            body, mine = converted[:, : self.width], slice(self.width, self.width + 2)
            if self.role == "target":
                mine = slice(self.width + 2, self.width + 4)
            own = true @ middle - (middle @ middle + offset if self.role == "target" else 0.0)
            true -= middle
            measured.length[rows] = _lengths(true)
            measured.error[rows] = _lengths(body - true) + allowance
            measured.residual[rows] = (converted[:, mine].sum(1) - own).abs().cpu().numpy() + allowance
            measured.total[rows] = _lengths(converted)
        self.roundings[torch.bfloat16] = measured

    def _read(self, rows: slice | NDArray[np.int64]) -> torch.Tensor:
        """A copy: a slice of a file that is mapped for reading only may not become a tensor, nor another byte order."""
        values = self.vectors[rows]
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        return torch.from_numpy(values.copy() if isinstance(rows, slice) else values).to(self.device)

    def _raw(self, rows: slice | NDArray[np.int64]) -> torch.Tensor:
        values = self._read(rows).double()
        if self.before is not None:
            values -= torch.from_numpy(self.before).to(self.device)
        return values

    def _with_columns(self, values: torch.Tensor, own: list[torch.Tensor]) -> torch.Tensor:
        """Append this side's numbers, ones where the other side has its own, and zeros that align the rows."""
        ones = [torch.ones_like(own[0])] * len(own)
        zeros = values.new_zeros(len(values), -(values.shape[1] + 2 * len(own)) % ALIGNMENT)
        columns = [*own, *ones] if self.role == "source" else [*ones, *own]
        return torch.cat([values, *columns, zeros], dim=1)

    def _single_rounding(self, total: NDArray[np.float64]) -> Rounding:
        parts = total.copy()
        if self.before is not None:
            parts += np.linalg.norm(self.before) * self.scale
        if self.after is not None:
            parts += np.linalg.norm(self.after)
        return Rounding(total, CONVERSION * parts, np.zeros(len(self)), total)


def _on_the_cpu(rows: torch.Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = rows.cpu().numpy()
    return values


def _lengths(rows: torch.Tensor) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = rows.double().square().sum(1).sqrt().cpu().numpy()
    return lengths
