"""The words of every language: unambiguous names, complete patterns, and the CLDR's names of places and languages."""

import re
import unicodedata
from itertools import combinations
from pathlib import Path

import pytest
from support.xhops_solver import patterns

import xeval.xhops.lexicons
from xeval.errors import DataError
from xeval.languages import language as known_language
from xeval.xhops import LANGUAGES
from xeval.xhops.lexicons import QUESTIONS, STATEMENTS, lexicon

CITIES = (
    "Europe/Berlin Europe/Paris Europe/London Europe/Madrid Europe/Rome Europe/Vienna Europe/Moscow Africa/Nairobi "
    "Asia/Tokyo America/Toronto Europe/Athens Europe/Warsaw Europe/Lisbon Europe/Prague Europe/Oslo Australia/Sydney "
    "Asia/Shanghai Asia/Seoul Asia/Bangkok America/Lima"
).split()
COUNTRIES = "IE NO PL GR ES SE AR CO TN EG MY AL BO HU HR LV EE DZ ET LT".split()
LANGUAGE_NAMES = "ja ur fa he zu nl da it pt eu ca ka mn ne ta bn ku la eo uk".split()

SCRIPTS = {
    "Arab": "ARABIC",
    "Beng": "BENGALI",
    "Cyrl": "CYRILLIC",
    "Deva": "DEVANAGARI",
    "Grek": "GREEK",
    "Hans": "CJK",
    "Jpan": "HIRAGANA KATAKANA CJK",
    "Kore": "HANGUL",
    "Latn": "LATIN",
    "Taml": "TAMIL",
    "Telu": "TELUGU",
    "Thai": "THAI",
}


def test_many_languages_families_and_scripts() -> None:
    wanted = "ar bn de el en es fa fi hi id ja ko ru sw ta te th tr ur vi zh".split()
    assert set(LANGUAGES) >= set(wanted)
    assert len({known_language(code).family for code in LANGUAGES}) >= 8
    assert len({known_language(code).script for code in LANGUAGES}) >= 8


@pytest.mark.parametrize("code", LANGUAGES)
def test_names_of_places_and_languages_are_those_of_the_cldr(code: str) -> None:
    babel = pytest.importorskip("babel", reason="Babel, whose CLDR names these are, is not installed")
    locale, words = babel.Locale(code), lexicon(code)
    cities = [
        locale.time_zones.get(zone, {}).get("city") or zone.split("/")[1].replace("_", " ") for zone in CITIES
    ]
    published = {
        "city": cities,
        "country": [locale.territories[country] for country in COUNTRIES],
        "language": [locale.languages[name] for name in LANGUAGE_NAMES],
    }
    for kind, names in published.items():
        expected = [unicodedata.normalize("NFC", name) for name in names]
        if kind == "language" and code in ("el", "vi"):  # a capital in the CLDR's lists, none in a sentence
            expected = [name[0].lower() + name[1:] for name in expected]
        assert list(words.names[kind]) == expected
    decimal = babel.Locale(code).default_numbering_system
    digits = {"latn": "0", "beng": "০", "arabext": "۰"}[decimal]
    assert words.names["year"][0] == chr(ord(digits) + 1) + digits * 3


@pytest.mark.parametrize("code", LANGUAGES)
def test_names_are_unambiguous(code: str) -> None:
    words = lexicon(code)
    names = [name for entries in words.names.values() for name in entries]
    texts = [*words.statements.values(), *words.questions.values()]
    folded = [name.casefold() for name in names]
    for one, other in combinations(folded, 2):
        assert one not in other
        assert other not in one
    for pattern in texts:
        assert not [name for name in folded if name in pattern.casefold()]
    for text in (*names, *texts):
        assert unicodedata.is_normalized("NFC", text)
        assert text == text.strip()
        assert "  " not in text


@pytest.mark.parametrize("code", LANGUAGES)
def test_names_and_patterns_are_written_in_the_languages_script(code: str) -> None:
    prefixes = SCRIPTS[known_language(code).script].split()
    words = lexicon(code)
    names = [name for entries in words.names.values() for name in entries]
    for text in (*names, *words.statements.values(), *words.questions.values()):
        letters = [unicodedata.name(letter) for letter in text if letter.isalpha() and letter != "ー"]
        assert all(name.startswith(tuple(prefixes)) for name in letters), text


@pytest.mark.parametrize("code", LANGUAGES)
def test_patterns_have_their_slots_and_one_final_mark(code: str) -> None:
    words = lexicon(code)
    for relation, pattern in words.statements.items():
        slots = {"{0}"} if relation.endswith(("oldest", "newest")) else {"{0}", "{1}"}
        assert set(re.findall(r"\{.*?\}", pattern)) == slots
    for relation, pattern in words.questions.items():
        slots = set() if relation.endswith(("oldest", "newest")) else {"{0}"}
        assert set(re.findall(r"\{.*?\}", pattern)) == slots
    if code == "th":  # Thai writes neither full stop nor question mark
        assert not re.search(r"[.?]$", " ".join(words.questions.values()))
        return
    statements = {pattern[-1] for pattern in words.statements.values()}
    questions = {pattern[-1] for pattern in words.questions.values()}
    assert len(statements) == len(questions) == 1
    assert statements < set(".।。۔")
    assert questions < set("?؟？;。")


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_pattern_has_one_reading(code: str) -> None:
    words = lexicon(code)
    for mood, relations in (("statement", STATEMENTS), ("question", QUESTIONS)):
        for relation in relations:
            about, said = relation.split("_")
            said = "city" if said in ("oldest", "newest") else said
            for place in (0, 7, 19):
                names = words.name(about, place), words.name(said, 19 - place)
                text = (
                    words.statement(relation, *names)
                    if mood == "statement"
                    else words.question(relation, names[0])
                )
                found = [name for name, pattern in patterns(code, mood).items() if pattern.fullmatch(text)]
                assert found == [relation]


@pytest.mark.parametrize("code", sorted(set(LANGUAGES) - {"en"}))
def test_every_pattern_is_translated_back(code: str) -> None:
    """A comment after each pattern says in English, word by word, what the pattern says, about the same names."""
    lines = (xeval.xhops.lexicons._ROOT / f"{code}.toml").read_text(encoding="utf-8").splitlines()
    read_back = 0
    for line in lines[lines.index("[statement]") :]:
        if not (parts := re.fullmatch(r'(\w+) = "(.*)"  # (.*)', line)):
            assert not line or line.startswith("["), line
            continue
        assert sorted(re.findall(r"\{.\}", parts[2])) == sorted(re.findall(r"\{.\}", parts[3]))
        assert parts[3].isascii() or re.search(r"\(à|\(en", parts[3])
        read_back += 1
    assert read_back == len(STATEMENTS) + len(QUESTIONS)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"Anna", ', "", "19 names instead of 20"),
        ("separator", "divider", "'separator' is missing"),
        ("office_city =", "office_town =", "'office_city' is missing"),
        ('"0123456789"', '"012345678"', "9 characters instead of the ten digits"),
    ],
)
def test_damaged_lexicons_are_refused(
    old: str, new: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (xeval.xhops.lexicons._ROOT / "en.toml").read_text(encoding="utf-8")
    (tmp_path / "xx.toml").write_text(source.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(xeval.xhops.lexicons, "_ROOT", tmp_path)
    with pytest.raises(DataError, match=complaint):
        lexicon("xx")
