"""Finding files below a data root, their digest, and what text files can be damaged by."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from xeval.errors import DataError, UsageError
from xeval.examples import Answer, Example, MultipleChoice, Question, TaggedSentence, TextPair, Translation
from xeval.sources import DjangoSource, FileSource, GeneratedSource, JoinedSource, Source
from xeval.sources.text import checked, csv_rows, json_rows, numbered_lines, tsv_rows


def read_lines(paths: Sequence[Path], language: str) -> list[TextPair]:
    lines = [line for path in paths for _, line in numbered_lines(path)]
    return [TextPair(f"{language}-{n}", str(n), line, None, "x") for n, line in enumerate(lines)]


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_first_matching_pattern_counts(tmp_path: Path) -> None:
    source = FileSource(("a/{lang}/{split}.txt", "b/{iso3}-{split}.txt"), read_lines, {"dev": "val"})
    second = write(tmp_path / "b/cmn-val.txt", "two\n")
    assert source.files(tmp_path, "zh", "dev") == (second,)
    first = write(tmp_path / "a/zh/val.txt", "one\n")
    assert source.files(tmp_path, "zh", "dev") == (first,)
    assert source.load(tmp_path, "zh", "dev") == [TextPair("zh-0", "0", "one", None, "x")]
    named = write(tmp_path / "udpos.Haitian Creole/x.txt", "one\n")
    assert FileSource(("udpos.{name}/x.txt",), read_lines).files(tmp_path, "ht", "dev") == (named,)


def test_glob_reads_all_files_in_sorted_order(tmp_path: Path) -> None:
    for name in ("UD_B/de_b-ud-test.txt", "UD_A/de_a-ud-test.txt", "UD_C/en_c-ud-test.txt"):
        write(tmp_path / name, name)
    source = FileSource(("UD_*/{lang}_*-ud-{split}.txt",), read_lines)
    assert [path.parent.name for path in source.files(tmp_path, "de", "test")] == ["UD_A", "UD_B"]


def test_missing_files_name_every_pattern(tmp_path: Path) -> None:
    source = FileSource(("a/{lang}.txt", "b/{iso3}.{split}"), read_lines)
    with pytest.raises(DataError, match=r"No dev data for German below .*; tried a/de\.txt, b/deu\.dev\."):
        source.load(tmp_path, "de", "dev")
    with pytest.raises(
        DataError,
        match=r"No folder with the data is named: give one with --data DIR, below which a/de\.txt is",
    ):
        source.files(None, "de", "dev")


@pytest.mark.parametrize("pattern", ["/etc/{lang}", "../{lang}.txt", "a/../../{lang}"])
def test_patterns_stay_below_the_root(pattern: str) -> None:
    with pytest.raises(UsageError, match="leaves the data root"):
        FileSource((pattern,), read_lines)


def test_patterns_with_unknown_fields_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\{lang\}, \{iso3\}, \{name\} and \{split\}, nothing else"):
        FileSource(("{language}.txt",), read_lines)


@pytest.mark.parametrize("split", ["../dev", "a/b", "*", "", ".."])
def test_split_names_cannot_leave_the_root(tmp_path: Path, split: str) -> None:
    with pytest.raises(UsageError, match="no name of a split"):
        FileSource(("{split}.txt",), read_lines).files(tmp_path, "de", split)


def test_digest_follows_content_name_language_and_split_but_not_the_root(tmp_path: Path) -> None:
    source = FileSource(("*/text.txt", "*/other.txt"), read_lines)
    for root, text in (("one", "a"), ("two", "a"), ("three", "b")):
        write(tmp_path / root / "x/text.txt", text)
    digest = source.digest(tmp_path / "one", "de", "test")
    assert source.digest(tmp_path / "two", "de", "test") == digest
    others = {
        source.digest(tmp_path / "three", "de", "test"),
        source.digest(tmp_path / "one", "en", "test"),
        source.digest(tmp_path / "one", "de", "dev"),
    }
    (tmp_path / "two/x/text.txt").rename(tmp_path / "two/x/other.txt")
    others.add(source.digest(tmp_path / "two", "de", "test"))
    assert len(others | {digest}) == 5


def test_generated_source_is_pinned_by_its_parameters() -> None:
    source = GeneratedSource("claim", 2, 40)
    examples = source.load(None, "de", "test")
    assert (len(examples), {example.hops for example in examples}) == (40, {2})
    assert source.files(None, "de", "test") == ()
    digest = source.digest(None, "de", "test")
    assert digest == GeneratedSource("claim", 2, 40).digest(None, "de", "test")
    others = [GeneratedSource("claim", 1, 40), GeneratedSource("claim", 2, 40, seed=1)]
    assert digest not in [other.digest(None, "de", "test") for other in others]
    assert digest not in [source.digest(None, "en", "test"), source.digest(None, "de", "train")]


def test_joined_sources_take_turns(tmp_path: Path) -> None:
    short, long = GeneratedSource("claim", 1, 20), GeneratedSource("claim", 2, 24)
    joined = JoinedSource((short, long))
    examples = joined.load(None, "de", "train")
    assert [example.hops for example in examples] == [1, 2] * 20 + [2] * 4
    assert examples[0:40:2] == short.load(None, "de", "train")
    assert joined.digest(None, "de", "train") != JoinedSource((long, short)).digest(None, "de", "train")
    with pytest.raises(DataError, match=r"generated data: the id .* occurs 2 times"):
        JoinedSource((short, short)).load(None, "de", "train")
    path = write(tmp_path / "x.txt", "a\n")
    assert JoinedSource((FileSource(("x.txt",), read_lines), short)).files(tmp_path, "de", "train") == (path,)


def test_all_sources_follow_the_protocol() -> None:
    sources: list[Source] = [
        FileSource(("x",), read_lines),
        DjangoSource(),
        GeneratedSource("question", 1, 4),
    ]
    assert len(sources) == 3


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = write(tmp_path / "x", b"\xef\xbb\xbfa\xe2\x80\xa8b\r\n\r\nc\x0c\rd")
    assert list(numbered_lines(path)) == [(1, "a\u2028b"), (2, ""), (3, "c\x0c\rd")]


@pytest.mark.parametrize("reader", [numbered_lines, lambda path: csv_rows(path, ("a",))])
def test_encoding_errors_name_the_line(tmp_path: Path, reader: object) -> None:
    path = write(tmp_path / "x", b"a\n" + b"good\n" * 20_000 + b"M\xfcnchen\n")
    with pytest.raises(DataError, match=r"x, line 20002: not UTF-8 text"):
        list(reader(path))  # type: ignore[operator]


def test_tsv_damage_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", 'a\tb\tc\n1\t"2\t3\n4\t5\n')
    assert list(tsv_rows(path, ("a", "b"))) == [
        (2, {"a": "1", "b": '"2', "c": "3"}),
        (3, {"a": "4", "b": "5"}),
    ]
    with pytest.raises(DataError, match="line 3: 2 columns instead of 3"):
        list(tsv_rows(path, ("c",)))
    with pytest.raises(DataError, match="lacks the column 'd'; it has a, b, c"):
        list(tsv_rows(path, ("d",)))
    with pytest.raises(DataError, match="line 2: 4 columns instead of 3"):
        list(tsv_rows(write(tmp_path / "y.tsv", "a\tb\tc\n1\t2\t3\t4\n"), ("a",)))


def test_csv_damage_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", 'a,b\r\n"1\u2028\nx",2\r\n3\r\n')
    rows = csv_rows(path, ("a",))
    assert next(rows) == (3, {"a": "1\u2028\nx", "b": "2"})
    with pytest.raises(DataError, match="line 4: not 2 columns"):
        next(rows)
    with pytest.raises(DataError, match="line 2: "):
        list(csv_rows(write(tmp_path / "y.csv", 'a,b\n"1"2,3\n'), ("a",)))
    with pytest.raises(DataError, match="lacks the column 'z'"):
        list(csv_rows(path, ("z",)))


def test_json_damage_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: not JSON"):
        list(json_rows(write(tmp_path / "x", '{"a": 1}\n{"a":\n')))
    with pytest.raises(DataError, match="line 1: a JSON object is needed, not list"):
        list(json_rows(write(tmp_path / "y", "[1]\n")))


def test_no_examples_and_repeated_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x: holds no example"):
        checked([], [tmp_path / "x"])
    with pytest.raises(DataError, match="the id 'b' occurs 2 times"):
        checked([Translation(item, item, "s", "t") for item in "abcb"], [tmp_path / "x"])


def pair(number: int, label: str = "x") -> Example:
    return TextPair(str(number), "c", "text", None, label)


def choice(number: int, label: int = 0) -> Example:
    return MultipleChoice(str(number), "c", "text", ("a", "b"), label)


def tagged(number: int, tag: str = "O") -> Example:
    return TaggedSentence(str(number), "c", ("a", "b"), ("O", tag))


def question(number: int, answered: bool = False) -> Example:
    return Question(str(number), "c", "q", "text", (Answer("text", 0),) if answered else ())


@pytest.mark.parametrize(
    ("make", "other"),
    [(pair, "y"), (choice, 1), (tagged, "B-PER"), (question, True)],
    ids=("pair", "choice", "tagged", "question"),
)
def test_one_label_for_twenty_items_is_a_placeholder(make: object, other: object) -> None:
    examples = [make(n) for n in range(20)]  # type: ignore[operator]
    with pytest.raises(DataError, match=r"all 20 items have the label .* placeholder"):
        checked(examples, [Path("x")])
    assert checked(examples[:19], [Path("x")])
    assert checked([*examples, make(20, other)], [Path("x")])  # type: ignore[operator]


def test_items_without_labels_are_not_judged() -> None:
    assert checked([Translation(str(n), str(n), "s", "t") for n in range(30)], [Path("x")])
    assert checked([question(n, True) for n in range(30)], [Path("x")])
