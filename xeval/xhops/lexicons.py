"""The words of each language: parallel lists of names, and one sentence pattern for each relation.

One TOML file a language under ``lexicons/``. Names stand in their base form and patterns are worded so that
they never inflect: an answer is always the listed name itself. A comment after each pattern translates it back
word by word. To add a language, add a file; the tests check the names (distinct, none inside another or inside a
pattern) and that a solver reads every text back.

A pattern is named by what it is about and what it says: ``office_city`` puts an office in a city at any distance,
``office_oldest`` puts it in the oldest city. Cities, countries and languages bear the names of
the Unicode CLDR (copyright Unicode, Inc., Unicode License v3), stored here so that no update changes a text.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations, pairwise

from xeval.errors import DataError
from xeval.xhops.worlds import FAMILIES, GENERATOR, LIST_SIZE, Family

LEXICONS = 0
POSING = 1
VERSION = f"{GENERATOR}.{LEXICONS}.{POSING}"
"""Pins every character: the first number changes when a world changes, the second when a wording changes, the third
when a row is put to a model in another way."""

_ROOT = files("xeval.xhops") / "lexicons"

LANGUAGES: tuple[str, ...] = tuple(
    sorted(entry.name.removesuffix(".toml") for entry in _ROOT.iterdir() if entry.name.endswith(".toml"))
)

LISTS = {"office": "person", "house": "person", "kennel": "dog"}
"""The list that names a role's entities, where it is not called like the role."""

NAME_LISTS = ("person", "company", "dog", "city", "country", "language")
YEARS = tuple(range(1000, 2000, 1000 // LIST_SIZE))


def _relations(family: Family) -> tuple[set[str], set[str]]:
    """Names of the patterns that a family's statements and questions use."""
    pairs = [f"{about}_{said}" for about, said in combinations(family.roles, 2)]
    if not family.comparison:
        return set(pairs), set(pairs)
    links = {f"{about}_{said}" for about, said in pairwise(family.roles)}
    extremes = {f"{about}_{extreme}" for about in family.roles[:-1] for extreme in ("oldest", "newest")}
    return links | extremes, extremes


STATEMENTS = sorted(set().union(*(_relations(family)[0] for family in FAMILIES.values())))
QUESTIONS = sorted(set().union(*(_relations(family)[1] for family in FAMILIES.values())))


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Names by list, and patterns by relation with ``{0}`` (about) and ``{1}`` (said)."""

    language: str
    separator: str
    names: dict[str, tuple[str, ...]]
    statements: dict[str, str]
    questions: dict[str, str]

    def name(self, role: str, place: int) -> str:
        """The name of an entity in that role."""
        return self.names[LISTS.get(role, role)][place]

    def statement(self, relation: str, about: str, said: str = "") -> str:
        """A sentence that asserts the relation."""
        return self.statements[relation].format(about, said)

    def question(self, relation: str, about: str = "") -> str:
        """The question that the relation answers."""
        return self.questions[relation].format(about)


@cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of one of ``LANGUAGES``.

    Raises:
        DataError: the file lacks an entry, or a list has the wrong number of names.
    """
    path = _ROOT / f"{language}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        names = {kind: tuple(table["names"][kind]) for kind in NAME_LISTS}
        digits = str(table["digits"])
        statements = {relation: str(table["statement"][relation]) for relation in STATEMENTS}
        questions = {relation: str(table["question"][relation]) for relation in QUESTIONS}
        separator = str(table["separator"])
    except KeyError as missing:
        raise DataError(f"{path}: the entry {missing} is missing; copy the layout of en.toml.") from None
    for kind, entries in names.items():
        if len(entries) != LIST_SIZE:
            raise DataError(f"{path}: the list {kind!r} holds {len(entries)} names instead of {LIST_SIZE}.")
    if len(digits) != 10:
        raise DataError(f"{path}: digits holds {len(digits)} characters instead of the ten digits, 0 first.")
    names["year"] = tuple("".join(digits[int(digit)] for digit in str(year)) for year in YEARS)
    return Lexicon(language, separator, names, statements, questions)
