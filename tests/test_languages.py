import pytest

from xeval.errors import UsageError
from xeval.languages import LANGUAGES, XTREME_LANGUAGES, language


def test_the_forty_languages_of_xtreme_and_xcopas_two_are_known() -> None:
    first = "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko"
    second = "th sw yo my zh kk tr et fi hu"
    assert set(XTREME_LANGUAGES) == set(f"{first} {second}".split())
    assert len(XTREME_LANGUAGES) == 40
    assert {"ht", "qu"} <= set(LANGUAGES)


def test_codes_are_unique_and_well_formed() -> None:
    assert len({known.iso3 for known in LANGUAGES.values()}) == len(LANGUAGES)
    assert len({known.name for known in LANGUAGES.values()}) == len(LANGUAGES)
    for code, known in LANGUAGES.items():
        assert (known.code, len(code), len(known.iso3), len(known.script)) == (code, 2, 3, 4)
        assert known.script.istitle()
        assert "_" not in known.name + known.family + known.branch


def test_varieties_of_the_tatoeba_files() -> None:
    assert [language(code).iso3 for code in ("zh", "fa", "el", "sw", "et")] == [
        "cmn",
        "pes",
        "ell",
        "swh",
        "est",
    ]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("German", "'de' (German)"),
        ("deu", "'de' (German)"),
        ("zh-CN", "'zh'"),
        ("Chines", "'zh'"),
        ("DE", "'de'"),
    ],
)
def test_unknown_code_names_the_nearest_language(asked: str, meant: str) -> None:
    with pytest.raises(UsageError, match=r"did you mean") as caught:
        language(asked)
    assert meant in str(caught.value)


def test_unknown_code_without_a_near_one_lists_all() -> None:
    with pytest.raises(UsageError, match=r"the languages are af ar .* zh\."):
        language("??")
