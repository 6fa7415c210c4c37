"""The languages: one record for each language of the supported benchmarks."""

import difflib
from dataclasses import dataclass

from xeval.errors import UsageError


@dataclass(frozen=True, slots=True)
class Language:
    """A language as the benchmarks know it.

    Attributes:
        code: XTREME's two-letter code (ISO 639-1), the name of the language everywhere in this project.
        iso3: ISO 639-3 code of the variety in LASER's Tatoeba files (``cmn`` for zh, ``pes`` for fa).
        name: English name.
        script: ISO 15924 code of the script that the benchmarks' texts are written in.
        family: top-level family of Glottolog.
        branch: customary name of the sub-group; equal to the family where there is no closer relative here.
    """

    code: str
    iso3: str
    name: str
    script: str
    family: str
    branch: str


_TABLE = """
af afr Afrikaans      Latn Indo-European  Germanic
ar ara Arabic         Arab Afro-Asiatic   Semitic
az aze Azerbaijani    Latn Turkic         Turkic
bg bul Bulgarian      Cyrl Indo-European  Slavic
bn ben Bengali        Beng Indo-European  Indo-Aryan
da dan Danish         Latn Indo-European  Germanic
de deu German         Latn Indo-European  Germanic
el ell Greek          Grek Indo-European  Greek
en eng English        Latn Indo-European  Germanic
es spa Spanish        Latn Indo-European  Romance
et est Estonian       Latn Uralic         Finnic
eu eus Basque         Latn Basque         Basque
fa pes Persian        Arab Indo-European  Iranian
fi fin Finnish        Latn Uralic         Finnic
fr fra French         Latn Indo-European  Romance
gu guj Gujarati       Gujr Indo-European  Indo-Aryan
he heb Hebrew         Hebr Afro-Asiatic   Semitic
hi hin Hindi          Deva Indo-European  Indo-Aryan
ht hat Haitian_Creole Latn Indo-European  Romance
hu hun Hungarian      Latn Uralic         Ugric
id ind Indonesian     Latn Austronesian   Malayic
it ita Italian        Latn Indo-European  Romance
ja jpn Japanese       Jpan Japonic        Japonic
jv jav Javanese       Latn Austronesian   Javanese
ka kat Georgian       Geor Kartvelian     Kartvelian
kk kaz Kazakh         Cyrl Turkic         Turkic
ko kor Korean         Kore Koreanic       Koreanic
lt lit Lithuanian     Latn Indo-European  Baltic
ml mal Malayalam      Mlym Dravidian      South_Dravidian
mr mar Marathi        Deva Indo-European  Indo-Aryan
ms zsm Malay          Latn Austronesian   Malayic
my mya Burmese        Mymr Sino-Tibetan   Burmish
nl nld Dutch          Latn Indo-European  Germanic
pa pan Punjabi        Guru Indo-European  Indo-Aryan
pl pol Polish         Latn Indo-European  Slavic
pt por Portuguese     Latn Indo-European  Romance
qu que Quechua        Latn Quechuan       Quechuan
ro ron Romanian       Latn Indo-European  Romance
ru rus Russian        Cyrl Indo-European  Slavic
sr srp Serbian        Latn Indo-European  Slavic
sv swe Swedish        Latn Indo-European  Germanic
sw swh Swahili        Latn Atlantic-Congo Bantu
ta tam Tamil          Taml Dravidian      South_Dravidian
te tel Telugu         Telu Dravidian      South-Central_Dravidian
th tha Thai           Thai Tai-Kadai      Tai
tl tgl Tagalog        Latn Austronesian   Philippine
tr tur Turkish        Latn Turkic         Turkic
uk ukr Ukrainian      Cyrl Indo-European  Slavic
ur urd Urdu           Arab Indo-European  Indo-Aryan
vi vie Vietnamese     Latn Austroasiatic  Vietic
wo wol Wolof          Latn Atlantic-Congo North-Atlantic
yo yor Yoruba         Latn Atlantic-Congo Yoruboid
zh cmn Chinese        Hans Sino-Tibetan   Sinitic
"""

LANGUAGES: dict[str, Language] = {
    row.split()[0]: Language(*(cell.replace("_", " ") for cell in row.split()))
    for row in _TABLE.strip().splitlines()
}

# Not in XTREME: XCOPA's ht and qu, XTREME-R's additions, and those of Universal NER.
_OUTSIDE_XTREME = {"az", "da", "gu", "ht", "lt", "pa", "pl", "qu", "ro", "sr", "sv", "uk", "wo"}
XTREME_LANGUAGES: tuple[str, ...] = tuple(code for code in LANGUAGES if code not in _OUTSIDE_XTREME)


def language(code: str) -> Language:
    """The language of a two-letter code.

    Raises:
        UsageError: no such code; the message names the language that was probably meant.
    """
    if found := LANGUAGES.get(code):
        return found
    names = {
        name.lower(): known for known in LANGUAGES.values() for name in (known.name, known.iso3, known.code)
    }
    close = difflib.get_close_matches(code.strip().lower(), names, n=1, cutoff=0.5)
    if close:
        meant = names[close[0]]
        raise UsageError(f"Unknown language {code!r}: did you mean {meant.code!r} ({meant.name})?")
    raise UsageError(f"Unknown language {code!r}; the languages are {' '.join(LANGUAGES)}.")
