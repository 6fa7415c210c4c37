"""JSON files and safetensors headers of a checkpoint, read with suspicion."""

import json
import struct
from pathlib import Path
from typing import Any

from xeval.errors import CheckpointError
from xeval.files import is_regular


def require_regular(path: Path) -> None:
    """Reading a FIFO would wait for ever, and a folder is no file."""
    if not is_regular(path):
        raise CheckpointError(f"{path}: is not a regular file; copy or save it again.")


def read_object(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object in a checkpoint's folder."""
    require_regular(folder / name)
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{folder}: {name} cannot be read ({short_reason(error)}); save the checkpoint again."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{folder}: {name} does not hold an object; save it again.")
    return value


def count_tensors(file: Path) -> int:
    """Number of tensors; a safetensors file is 8 bytes of header length, the header, and the extent that it names."""
    require_regular(file)
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
            if start == b"version " and b"git-lfs" in stream.read(64):
                raise CheckpointError(
                    f"{file}: is a Git LFS pointer, not the weights; fetch them with `git lfs pull`."
                )
            (header_length,) = struct.unpack("<Q", start)
            if header_length > size:
                raise ValueError("the header is cut off")
            stream.seek(8)
            header = json.loads(stream.read(header_length))
        extents = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
        expected = 8 + header_length + max(extents, default=0)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from error
    except (
        struct.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            f"{file}: not a whole safetensors file ({short_reason(error)}); copy or save it again."
        ) from error
    if size != expected:
        raise CheckpointError(
            f"{file}: has {size:,} bytes, its header promises {expected:,}; the copy or save broke off."
        )
    return len(extents)


def short_reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else text[:237] + "..."
