"""Data sets on the Hugging Face hub, as Parquet files of a pinned revision.

``datasets`` reads them (:mod:`xeval.sources.parquet`) and downloads through ``huggingface_hub`` into the hub's cache.
So does this module, without ``load_dataset``: a unit is identified by the digest of these very files, which must be
had without a network too, where ``load_dataset`` has its own Arrow copies only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xeval.errors import DataError, UsageError
from xeval.examples import Example
from xeval.sources.base import HUB, MissingDataError, NotDownloadedError
from xeval.sources.files import FileSource, Reader, files_digest

_PART = re.compile(r"-(\d{5})-of-(\d{5})")


@dataclass(frozen=True)
class HubSource:
    """Parquet files of a data set's repository.

    Below a folder they lie at ``ROOT/<repository>/<pattern>``, as
    ``hf download NAME --repo-type dataset --local-dir ROOT/NAME`` puts them. With the data root ``HUB`` the
    files of one split are downloaded to the hub's own cache, once.

    Attributes:
        repository: owner and name.
        revision: commit that is downloaded. ``main`` means whatever it is at the first download; as always the
            content of the files, not the revision, makes up the digest.
        patterns, reader, split_names: as in :class:`FileSource`, relative to the repository.
    """

    repository: str
    revision: str
    patterns: tuple[str, ...]
    reader: Reader
    split_names: Mapping[str, str] = field(default_factory=lambda: {"dev": "validation"})

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository) or ".." in self.repository:
            raise UsageError(f"{self.repository!r} is no name of a repository; it needs owner/name.")
        FileSource(self.patterns, self.reader, self.split_names)  # refuses patterns that leave the repository

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The Parquet files of a split, sorted.

        Raises:
            MissingDataError: the repository has no such files, or they do not lie below the root.
            NotDownloadedError: the hub is switched off and the files are not in its cache.
            DataError: no data root, a failed download, or parts of the split are missing.
        """
        inside = FileSource(self.patterns, self.reader, self.split_names)
        if root is None:
            return inside.files(None, language, split)
        tried = inside.paths(language, split)
        folder = self._download(tried) if root == HUB else root / self.repository
        try:
            found = inside.files(folder, language, split)
        except MissingDataError as error:
            names = [f"{self.repository}/{pattern}" for pattern in tried]
            raise MissingDataError(error.language, error.split, root, names) from None
        _require_all_parts(found)
        return found

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the files' names and contents, and of what is taken from them."""
        return files_digest(self.files(root, language, split), language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of a split."""
        return list(self.reader(self.files(root, language, split), language))

    def _download(self, patterns: Sequence[str]) -> Path:
        """The folder of the cached revision, which then holds all files that match."""
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        def snapshot(local: bool) -> Path:
            return Path(
                huggingface_hub.snapshot_download(
                    self.repository,
                    repo_type="dataset",
                    revision=self.revision,
                    allow_patterns=list(patterns),
                    local_files_only=local,
                )
            )

        try:
            cached = snapshot(local=True)
            if any(found for pattern in patterns for found in cached.glob(pattern)):
                return cached
        except LocalEntryNotFoundError:
            pass  # not downloaded yet, or not wholly
        advice = (
            f"or put them below a folder DATA with `hf download {self.repository} --repo-type dataset --revision "
            f"{self.revision} --local-dir DATA/{self.repository}` and name DATA as data root."
        )
        which = f"{self.repository}, revision {self.revision}"
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise NotDownloadedError(
                f"{which}: not in the hub's cache, and HF_HUB_OFFLINE forbids to download it; unset that once, "
                + advice
            )
        try:
            return snapshot(local=False)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise DataError(
                f"{which}: cannot be downloaded from the hub ({reason}); go online once, " + advice
            ) from error


def _require_all_parts(paths: Sequence[Path]) -> None:
    """Files called ``-00000-of-00003`` come in threes."""
    parts = [match for path in paths if (match := _PART.search(path.name))]
    if parts and len(parts) != int(parts[0][2]):
        raise DataError(f"{paths[0]}: {len(parts)} of {int(parts[0][2])} parts are there; load the rest.")
