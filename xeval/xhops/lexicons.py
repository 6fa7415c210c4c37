"""The words of each language: parallel lists of names, and one sentence pattern for each link.

One TOML file a language under ``lexicons/``. Names stand in their base form and patterns are worded so that
they never inflect: an answer is always the listed name itself. To add a language, add a file; the tests check
the names (distinct, none inside another or inside a pattern) and that a solver reads every text back.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xeval.errors import DataError
from xeval.xhops.worlds import ENDS, FAMILIES, LIST_SIZES, Link

_ROOT = files("xeval.xhops") / "lexicons"

LANGUAGES: tuple[str, ...] = tuple(
    sorted(entry.name.removesuffix(".toml") for entry in _ROOT.iterdir() if entry.name.endswith(".toml"))
)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Names by list, and patterns by family and link with ``{0}`` (about) and ``{1}`` (said)."""

    language: str
    separator: str
    names: dict[str, tuple[str, ...]]
    statements: dict[str, dict[Link, str]]
    questions: dict[str, dict[Link, str]]

    def chain(self, family: str, places: tuple[int, int, int]) -> tuple[str, str, str]:
        """Names of a chain's head, bridge and tail."""
        kinds = FAMILIES[family]
        head, bridge, tail = places
        return self.names[kinds.head][head], self.names[kinds.bridge][bridge], self.names[kinds.tail][tail]

    def statement(self, family: str, link: Link, about: str, said: str) -> str:
        """A sentence that asserts the link."""
        return self.statements[family][link].format(about, said)

    def question(self, family: str, link: Link, about: str) -> str:
        """The question that the link answers."""
        return self.questions[family][link].format(about)


@cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of one of ``LANGUAGES``.

    Raises:
        DataError: the file lacks a pattern, or a list has the wrong number of names.
    """
    path = _ROOT / f"{language}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        names = {kind: tuple(table["names"][kind]) for kind in LIST_SIZES}
        statements, questions = (
            {family: {link: str(table[family][mood][link]) for link in ENDS} for family in FAMILIES}
            for mood in ("statement", "question")
        )
        separator = str(table["separator"])
    except KeyError as missing:
        raise DataError(f"{path}: the entry {missing} is missing; copy the layout of en.toml.") from None
    for kind, size in LIST_SIZES.items():
        if len(names[kind]) != size:
            raise DataError(f"{path}: the list {kind!r} holds {len(names[kind])} names instead of {size}.")
    return Lexicon(language, separator, names, statements, questions)
