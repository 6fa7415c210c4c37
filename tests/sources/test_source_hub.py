"""Data on the hub: copies below a folder, the hub's cache, no network; and one data set in several layouts."""

from pathlib import Path
from typing import Any

import pytest
from support.published import write_all, write_hub

from xeval.errors import DataError, UsageError
from xeval.sources import (
    HUB,
    FileSource,
    FirstOf,
    HubSource,
    MissingDataError,
    NotDownloadedError,
    data_root,
)
from xeval.sources.classification import read_xnli, read_xnli_parquet
from xeval.sources.xtreme import XTREME_SOURCES

COMMIT = "b8dd5d7af51114dbda02c0e3f6133f332186418e"
XNLI = HubSource("facebook/xnli", COMMIT, ("{lang}/{split}-*.parquet",), read_xnli_parquet)
FILES = FileSource(("XNLI-1.0/xnli.{split}.tsv",), read_xnli)
NLI = FirstOf((FILES, *XTREME_SOURCES["xnli"]))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's own cache, with the test sets in three languages."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    snapshot = folder / "datasets--facebook--xnli" / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    (write_hub(tmp_path / "made") / "facebook/xnli").rename(snapshot)
    return folder


def test_a_folder_called_hub_is_no_hub(tmp_path: Path) -> None:
    assert data_root("hub") == HUB
    assert data_root("./hub") == Path("hub") != HUB
    assert data_root("data", tmp_path) == tmp_path / "data"
    assert data_root("hub", tmp_path) == HUB


def test_files_lie_below_the_repositorys_name(tmp_path: Path) -> None:
    root = write_hub(tmp_path)
    assert XNLI.files(root, "de", "test") == (root / "facebook/xnli/de/test-00000-of-00001.parquet",)
    with pytest.raises(MissingDataError, match=r"No validation data .*tried facebook/xnli/de/validation-\*"):
        XNLI.files(root, "de", "dev")
    with pytest.raises(DataError, match="No folder with the data is named"):
        XNLI.files(None, "de", "test")


def test_the_hubs_cache_answers_without_network(cache: Path, tmp_path: Path) -> None:
    assert cache in XNLI.files(HUB, "de", "test")[0].parents
    folder = write_hub(tmp_path / "folder")
    assert XNLI.load(HUB, "de", "test") == XNLI.load(folder, "de", "test")
    assert XNLI.digest(HUB, "de", "test") == XNLI.digest(folder, "de", "test")
    assert XNLI.digest(HUB, "de", "test") != XNLI.digest(HUB, "en", "test")


def test_offline_says_what_is_missing_and_what_to_do(cache: Path) -> None:
    del cache
    problem = rf"facebook/xnli, revision {COMMIT}: not in the hub's cache, and HF_HUB_OFFLINE .*hf download"
    with pytest.raises(NotDownloadedError, match=problem):
        XNLI.files(HUB, "fr", "test")
    with pytest.raises(NotDownloadedError, match="facebook/xnli"):
        NLI.files(HUB, "fr", "test")


def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(*_: Any, **__: Any) -> None:
        raise LocalEntryNotFoundError("Name or service not known.\nmore")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    problem = (
        rf"^facebook/xnli, revision {COMMIT}: cannot be downloaded .Name or service not known.; go online"
    )
    with pytest.raises(
        DataError, match=problem.replace("downloaded .", r"downloaded from the hub \(")
    ) as caught:
        NLI.files(HUB, "de", "test")
    assert not isinstance(caught.value, MissingDataError)


def test_only_the_split_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, calls = write_hub(tmp_path), []

    def download(repository: str, **options: Any) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        calls.append((repository, options))
        if options["local_files_only"]:
            raise LocalEntryNotFoundError("nothing here")
        return str(made / repository)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert len(XNLI.load(HUB, "de", "test")) == 12
    repository, options = calls[-1]
    assert (repository, options["revision"], options["repo_type"]) == ("facebook/xnli", COMMIT, "dataset")
    assert options["allow_patterns"] == ["de/test-*.parquet"]


def test_all_parts_of_a_split_are_needed(tmp_path: Path) -> None:
    root = write_hub(tmp_path, part="00001-of-00002")
    with pytest.raises(DataError, match=r"test-00001-of-00002\.parquet: 1 of 2 parts are there"):
        XNLI.files(root, "de", "test")
    write_hub(tmp_path, part="00000-of-00002")
    assert len(XNLI.files(root, "de", "test")) == 2


def test_files_cannot_be_read_from_the_hub() -> None:
    with pytest.raises(MissingDataError, match="No test data for German on the hub; load its own files"):
        FILES.files(HUB, "de", "test")


def test_patterns_of_hub_sources_are_checked_too() -> None:
    with pytest.raises(UsageError, match="leaves the data root"):
        HubSource("a/b", "main", ("../{lang}",), read_xnli)
    with pytest.raises(UsageError, match="'b' is no name of a repository"):
        HubSource("b", "main", ("{lang}",), read_xnli)


def test_the_first_layout_that_is_there_counts(tmp_path: Path) -> None:
    hub = write_hub(tmp_path / "one")
    assert NLI.load(hub, "de", "test") == XNLI.load(hub, "de", "test")
    assert NLI.digest(hub, "de", "test") == XNLI.digest(hub, "de", "test")
    write_all(hub)
    assert NLI.load(hub, "de", "test") == FILES.load(hub, "de", "test")
    assert NLI.files(hub, "de", "test") == FILES.files(hub, "de", "test")


def test_no_layout_at_all_names_everything_that_was_tried(tmp_path: Path) -> None:
    tried = (
        r"tried XNLI-1.0/xnli.dev.tsv, facebook/xnli/de/validation-\*.parquet, "
        r"google/xtreme/XNLI/validation-\*.parquet, xnli/dev-de.tsv\.$"
    )
    with pytest.raises(MissingDataError, match=f"No dev data for German below .*; {tried}"):
        NLI.load(tmp_path, "de", "dev")


def test_a_damaged_layout_is_not_passed_over(tmp_path: Path) -> None:
    write_hub(tmp_path)
    broken = tmp_path / "XNLI-1.0/xnli.test.tsv"
    broken.parent.mkdir()
    broken.write_text("language\tgold_label\n")
    with pytest.raises(DataError, match="lacks the column 'sentence1'"):
        NLI.load(tmp_path, "de", "test")
