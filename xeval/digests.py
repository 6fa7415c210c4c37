"""Content digests of files, streamed, and memoised by (path, size, modification time).

Two files with the same digest hold the same bytes. The memo lives in the user's cache directory
(``XEVAL_CACHE``, else ``XDG_CACHE_HOME/xeval``, else ``~/.cache/xeval``); losing it costs time, never truth.
A file that was modified within the last two seconds is never memoised, because a second write inside the
clock's resolution would go unnoticed.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 22
SETTLED_SECONDS = 2.0


def cache_root() -> Path:
    """The directory for everything that can be recomputed."""
    if configured := os.environ.get("XEVAL_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xeval"


def text_digest(*parts: str) -> str:
    """Digest of a sequence of strings; the boundaries between the strings count."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        state.update(len(encoded).to_bytes(8, "little"))
        state.update(encoded)
    return state.hexdigest()


def value_digest(value: Mapping[str, Any]) -> str:
    """Digest of a JSON-like value, independent of key order."""
    return text_digest(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def known_digest(path: Path) -> str | None:
    """The remembered digest of a file; None where there is none, or path, size or time have changed since."""
    return _remembered(path, path.stat())[1]


def file_digest(path: Path) -> str:
    """Digest of a file's bytes, read in chunks; a memo answers when path, size and time are unchanged."""
    status = path.stat()
    memo, known = _remembered(path, status)
    if known is not None:
        return known
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            state.update(chunk)
    digest = state.hexdigest()
    if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
        _remember(memo, f"{_stamp(status)} {digest}")
    return digest


def _remembered(path: Path, status: os.stat_result) -> tuple[Path, str | None]:
    """Where a file's digest is remembered, and the digest if the file is as it was then."""
    key = text_digest(str(path.resolve()))
    memo = cache_root() / "digests" / key[:2] / key
    try:
        stamp, digest = memo.read_text().split()
    except (OSError, ValueError):
        return memo, None  # no memo, or a damaged one: the file itself is the truth
    return memo, digest if stamp == _stamp(status) else None


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def _remember(memo: Path, text: str) -> None:
    """Write the memo under a temporary name and rename it; a cache that cannot be written is no error."""
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=memo.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(memo)
    except OSError:
        return
