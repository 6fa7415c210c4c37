"""A folder that cannot be read is said, and no other file is taken in its place."""

from pathlib import Path

import pytest

from xeval.errors import DataError
from xeval.sources.base import MissingDataError
from xeval.sources.files import FileSource


def test_a_locked_folder_is_neither_missing_data_nor_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "de.tsv").touch()
    source = FileSource(("first/{lang}.tsv", "second/{lang}.tsv"), lambda *_: ())
    stat = Path.stat

    def locked_out(self: Path, **options: bool) -> object:
        if "first" in self.parts:  # root may read everything, so that no permission would do
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", locked_out)
    with pytest.raises(DataError, match=r"first/de.tsv: cannot be read \(Permission denied\)") as caught:
        source.files(tmp_path, "de", "test")
    assert not isinstance(caught.value, MissingDataError)
