"""Answer metrics. Golden values come from running third_party/evaluate_squad.py and evaluate_mlqa.py of
google-research/xtreme at 838c13b (max over gold answers of ``exact_match_score`` and ``f1_score``); MLQA's own
mlqa_evaluation_v1.py (facebookresearch/MLQA at 24bf470) gives the same.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeval.errors import UsageError
from xeval.metrics import METRICS, qa_metrics
from xeval.metrics.answers import mixed_tokens, mlqa_tokens, squad_tokens

# (prediction, gold, exact match, F1)
SQUAD = [
    ("The  U.S. Army!", "us army", 1.0, 1.0),
    ("a an the", "the", 1.0, 0.0),  # equal, but no token is shared
    ("", "", 1.0, 0.0),
    ("ex-president", "ex president", 0.0, 0.0),
    ("10,000 €", "10000", 0.0, 0.6666666666666666),
    ("北京市", "北京", 0.0, 0.0),
    ("«Москва»", "Москва", 0.0, 0.0),
    ("Thể thao", "thể  THAO", 1.0, 1.0),
    ("an apple a day", "apple day day", 0.0, 0.8),
    ("theory", "the ory", 0.0, 0.0),
    ("İstanbul", "istanbul", 0.0, 0.0),
]
MLQA = [
    ("en", "The «Army» of an era", "army of era", 1.0, 1.0),
    ("es", "la casa de los perros", "casa de perros", 1.0, 1.0),
    ("de", "den alten Mann", "der alte Mann", 0.0, 0.5),
    ("de", "Die „Zeit“", "zeit", 1.0, 1.0),
    ("ar", "السلام عليكم", "سلام عليكم", 1.0, 1.0),
    ("ar", "عالمنا الكبير", "عمنا كبير", 0.0, 0.4),  # the article is cut inside a word too
    ("ar", "قال", "ق", 1.0, 1.0),
    ("hi", "दिल्ली।", "दिल्ली", 1.0, 1.0),
    ("vi", "cái bàn là", "bàn là", 1.0, 1.0),
    ("zh", "北京2008年奥运会", "2008 年 奥运", 0.0, 0.7272727272727273),
    ("zh", "NBA篮球，队", "NBA 队", 0.0, 0.6666666666666666),
    ("zh", "㐀龥龦", "㐀 龥 龦", 1.0, 1.0),
    ("zh", "龦龦", "龦", 0.0, 0.0),  # the published range of Han ends one character earlier
    ("zh", "龥龥", "龥", 0.0, 0.6666666666666666),
    ("en", "...", "!", 1.0, 0.0),
]
# (prediction, gold answers, exact match, F1)
SQUAD_MANY = [
    ("กรุงเทพมหานคร", ("กรุงเทพมหานคร",), 1.0, 1.0),
    ("กรุงเทพฯ", ("กรุงเทพมหานคร", "กรุงเทพ"), 0.0, 0.0),
    ("the Yangtze\nRiver", ("Yangtze River", "長江"), 1.0, 1.0),
    ("在1998年，", ("1998年", "在1998年"), 0.0, 0.0),
    ("東京タワー。", ("東京タワー",), 0.0, 0.0),
    ("अठारह सौ सत्तावन", ("अठारह सौ सत्तावन।", "सत्तावन"), 0.0, 0.6666666666666666),
    ("서울특별시", ("서울", "서울특별시의"), 0.0, 0.0),
    ("မြန်မာ နိုင်ငံ", ("မြန်မာ",), 0.0, 0.6666666666666666),
    ("محمّد عليّ", ("محمد علي",), 0.0, 0.0),
    ("ΟΔΟΣ ΑΘΗΝΑΣ", ("οδος αθηνας",), 1.0, 1.0),  # sigma has another form at the end of a word
    ("the–a an–", ("–",), 0.0, 0.6666666666666666),
    ("A. A. Milne", ("a a milne", "milne"), 1.0, 1.0),
    ("to be or not to be", ("be to be",), 0.0, 0.6666666666666666),
    ("", ("", "x"), 1.0, 0.0),
    (" \t ", ("the",), 1.0, 0.0),
    ("x\u2028y", ("x y",), 1.0, 1.0),
    ("10.5%", ("105",), 1.0, 1.0),
    ("a\u0301n old", ("old",), 0.0, 0.6666666666666666),
    ("Iσ", ("iς",), 0.0, 0.0),
    ("½ cup", ("½ cup a day", "1/2 cup"), 0.0, 0.8),
]
MLQA_MANY = [
    ("ar", "القاهرة", ("قاهرة", "القاهرة الكبرى"), 1.0, 1.0),
    ("ar", "في الـقاهرة", ("في القاهرة",), 0.0, 0.5),
    ("ar", "محمّد علي", ("محمد علي",), 0.0, 0.5),
    ("ar", "١٩٩٨، بالعراق", ("1998 بالعراق", "١٩٩٨ العراق"), 0.0, 0.8),
    ("ar", "ال", ("",), 1.0, 0.0),
    ("ar", "خلال", ("خل ل", "خ ل"), 0.0, 0.6666666666666666),
    ("zh", "二〇〇八年", ("二〇〇八", "2008年"), 0.0, 0.8571428571428571),
    ("zh", "《红楼梦》", ("红楼梦", "红楼"), 1.0, 1.0),
    ("zh", "约 3.14 公里", ("3.14公里",), 0.0, 0.8571428571428571),
    ("zh", "ABC公司\n北京", ("abc 公司 北京",), 1.0, 1.0),
    ("zh", "𠀀京", ("𠀀 京",), 1.0, 1.0),
    ("zh", "", ("。",), 1.0, 0.0),
    ("zh", "紅樓夢", ("红楼梦",), 0.0, 0.0),
    ("de", "dem Eine-Welt-Laden", ("einer Eine-Welt Laden", "Welt"), 0.0, 0.0),
    ("de", "Straße", ("STRASSE",), 0.0, 0.0),
    ("de", "der die das", ("ein",), 1.0, 0.0),
    ("en", "the–a an–", ("–",), 0.0, 0.0),
    ("en", "o’clock", ("oclock", "o'clock"), 1.0, 1.0),
    ("es", "¿Los Ángeles?", ("Ángeles", "los angeles"), 1.0, 1.0),
    ("es", "El Niño y la Niña", ("Niño y Niña",), 1.0, 1.0),
    ("hi", "१९४७ में", ("1947 में", "में १९४७"), 0.0, 1.0),
    ("hi", "राम।श्याम", ("राम श्याम",), 0.0, 0.0),
    ("vi", "của những người", ("người",), 1.0, 1.0),
    ("vi", "chiếc thuyền là cái", ("thuyền", "cái thuyền"), 1.0, 1.0),
]


def score(name: str, prediction: str, answers: tuple[str, ...], language: str) -> float:
    num, den = qa_metrics[name]([prediction], [answers], language)
    assert den.tolist() == [1.0]
    return float(num[0])


@pytest.mark.parametrize(("prediction", "gold", "match", "f1"), SQUAD)
@pytest.mark.parametrize("language", ["en", "th"])
def test_squad_golden(prediction: str, gold: str, match: float, f1: float, language: str) -> None:
    assert score("squad_em", prediction, (gold,), language) == match
    assert score("squad_f1", prediction, (gold,), language) == pytest.approx(f1, abs=1e-15)


@pytest.mark.parametrize(("language", "prediction", "gold", "match", "f1"), MLQA)
def test_mlqa_golden(language: str, prediction: str, gold: str, match: float, f1: float) -> None:
    assert score("mlqa_em", prediction, (gold,), language) == match
    assert score("mlqa_f1", prediction, (gold,), language) == pytest.approx(f1, abs=1e-15)


@pytest.mark.parametrize(("prediction", "answers", "match", "f1"), SQUAD_MANY)
def test_squad_golden_of_many_scripts(
    prediction: str, answers: tuple[str, ...], match: float, f1: float
) -> None:
    assert (score("squad_em", prediction, answers, "th"), score("squad_f1", prediction, answers, "th")) == (
        match,
        f1,
    )


@pytest.mark.parametrize(("language", "prediction", "answers", "match", "f1"), MLQA_MANY)
def test_mlqa_golden_of_many_answers(
    language: str, prediction: str, answers: tuple[str, ...], match: float, f1: float
) -> None:
    assert score("mlqa_em", prediction, answers, language) == match
    assert score("mlqa_f1", prediction, answers, language) == f1


def test_mlqa_refuses_other_languages() -> None:
    with pytest.raises(UsageError, match="ar de en es hi vi zh, not for 'fr'; use f1_mixed"):
        score("mlqa_f1", "a", ("a",), "fr")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The U.S. state-of-the-art", ["the", "u", "s", "state", "of", "the", "art"]),
        ("Ｔｏｋｙｏ東京タワー333m", ["tokyo", "東", "京", "タ", "ワ", "ー", "333m"]),
        ("กรุงเทพ", ["ก", "รุ", "ง", "เ", "ท", "พ"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("می‌خواهم", ["میخواهم"]),
        ("Straße, 5 €", ["strasse", "5"]),
        ("한국의 수도", ["한국의", "수도"]),  # words, as in other languages that write spaces
        ("서울", ["서울"]),  # conjoining letters are one syllable block
        ("«», ؟", []),
        ("ประเทศไทย ๑๒", "ป ร ะ เ ท ศ ไ ท ย 12".split()),
        ("น้ำ", ["น้ํ", "า"]),
        ("二〇〇八年", ["二", "〇", "〇", "八", "年"]),
        ("ﾊﾟﾘ々", ["パ", "リ", "々"]),
        ("မြန်မာ ၁၂။", ["မြ", "န်", "မာ", "12"]),
        ("ພາສາລາວ", "ພ າ ສ າ ລ າ ວ".split()),
        ("१९४७ में", ["1947", "में"]),
        ("١٩٩٨ ۱۹۹۸ ১৯৯৮", ["1998"] * 3),
        ("مُحَمَّدٌ عَلِيّ", ["محمد", "علي"]),
        ("محمـــد", ["محمد"]),
        ("أحمد احمد", ["أحمد", "احمد"]),  # hamza tells words apart
        ("القاهرة", ["القاهرة"]),
        ("ﻣﺼﺮ", ["مصر"]),
        ("שָׁלוֹם", ["שלום"]),
        ("İSTANBUL Işık istanbul ışık", ["istanbul", "isik".replace("s", "ş")] * 2),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδόσ"]),
        ("a\nb\u2028c\x00d", ["a", "b", "c", "d"]),
        ("\u0301a", ["\u0301a"]),
        ("漢\u0301a\u0301", ["漢\u0301", "á"]),
        ("\ud800a", ["a"]),
    ],
)
def test_mixed_tokens(text: str, tokens: list[str]) -> None:
    assert mixed_tokens(text) == tokens


def test_mixed_f1_gives_credit_where_the_english_metric_cannot() -> None:
    assert score("squad_f1", "北京市", ("北京",), "zh") == 0.0
    assert score("f1_mixed", "北京市", ("北京",), "zh") == pytest.approx(0.8)


@given(st.text(max_size=30))
def test_mixed_tokens_do_not_depend_on_normalisation_or_case_folding(text: str) -> None:
    assert mixed_tokens(unicodedata.normalize("NFC", text)) == mixed_tokens(
        unicodedata.normalize("NFD", text)
    )
    assert all(mixed_tokens(text))


# The published rules, one character and one text after the other.
ARTICLES = {
    "ar": "\\sال^|ال",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "hi": "(?!)",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "zh": "(?!)",
}


def plain_squad(text: str, language: str) -> list[str]:
    del language
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(ARTICLES["en"], " ", kept).split()


def plain_mlqa(text: str, language: str) -> list[str]:
    kept = "".join(
        c for c in text.lower() if c not in string.punctuation and not unicodedata.category(c).startswith("P")
    )
    kept = re.sub(ARTICLES[language], " ", kept)
    return (re.sub(r"([\u4e00-\u9fa5])", r" \1 ", kept) if language == "zh" else kept).split()


def plain_mixed(text: str, language: str) -> list[str]:
    del language
    scripts = "CJK UNIFIED|CJK COMPATIBILITY IDEOGRAPH|IDEOGRAPHIC|HANGZHOU|HIRAGANA|KATAKANA|THAI|LAO|MYANMAR|KHMER"
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    tokens: list[str] = []
    state = "between"
    for character in folded.replace("i\u0307", "i").replace("ı", "i"):
        category, name = unicodedata.category(character), unicodedata.name(character, "")
        if category == "Cf" or name in OPTIONAL_SIGNS:
            continue
        if category[0] not in "LNM":
            state = "between"
        elif category[0] == "M" and state != "between":
            tokens[-1] += character
        elif category != "Nd" and category[0] in "LN" and category != "No" and re.match(scripts, name):
            tokens.append(character)
            state = "character"
        else:
            character = str(unicodedata.decimal(character)) if category == "Nd" else character
            if state == "word":
                tokens[-1] += character
            else:
                tokens.append(character)
            state = "word"
    return tokens


OPTIONAL_SIGNS = {
    "ARABIC TATWEEL",
    *(f"ARABIC {sign}" for sign in "FATHATAN DAMMATAN KASRATAN FATHA DAMMA KASRA SHADDA SUKUN".split()),
    "ARABIC LETTER SUPERSCRIPT ALEF",
    *(f"HEBREW POINT {sign}" for sign in "SHEVA TSERE SEGOL PATAH QAMATS HIRIQ HOLAM QUBUTS METEG".split()),
    *(f"HEBREW POINT {sign}" for sign in "RAFE|DAGESH OR MAPIQ|SHIN DOT|SIN DOT|QAMATS QATAN".split("|")),
    *(f"HEBREW POINT {sign}" for sign in "HATAF SEGOL|HATAF PATAH|HATAF QAMATS".split("|")),
    "HEBREW POINT HOLAM HASER FOR VAV",
}
PLAIN: dict[str, Callable[[str, str], list[str]]] = {
    "squad": plain_squad,
    "mlqa": plain_mlqa,
    "mixed": plain_mixed,
}


def plain_score(predicted: list[str], gold: list[str], empty: float) -> tuple[float, float]:
    shared = sum((Counter(predicted) & Counter(gold)).values())
    if shared == 0:
        return float(predicted == gold), empty if predicted == gold else 0.0
    precision, recall = 1.0 * shared / len(predicted), 1.0 * shared / len(gold)
    return float(predicted == gold), (2 * precision * recall) / (precision + recall)


PIECES = (
    "a an the The A . , - \" ' – « » ـ Σ ς σ İ ı I i ß ½ ² é ال ا ل لا ّ َ ٓ ٔ 北 京 龥 龦 。 ， 〇 々 ก ้ ำ เ ၁ မ ြ ် १ । "
    "か ﾊ ﾟ ゛ 한 ein der la của là els שׁ ָ 😀 €"
).split(" ") + list(
    " \n\r\t\x00\x1c\u0085\u00a0\u2028\u0301\u0307\u200c\u200d\u3000\u00a8\ud800\U00020000\U0010ffff"
)
TEXT = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=7).map("".join)


@pytest.mark.parametrize("rule", sorted(PLAIN))
@given(
    items=st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=3)), max_size=4),
    language=st.sampled_from(sorted(ARTICLES)),
)
@settings(deadline=None)
def test_a_batch_scores_as_the_published_rules_text_by_text(
    rule: str, items: list[tuple[str, list[str]]], language: str
) -> None:
    predictions = [prediction for prediction, _ in items]
    answers = [
        (*golds, prediction.upper()) if len(golds) == 2 else tuple(golds) for prediction, golds in items
    ]
    expected = []
    for prediction, golds in zip(predictions, answers, strict=True):
        predicted = PLAIN[rule](prediction, language)
        each = [plain_score(predicted, PLAIN[rule](gold, language), float(rule == "mixed")) for gold in golds]
        columns = zip(*each, strict=True) if each else [[float(not predicted)]] * 2
        expected.append([max(column) for column in columns])
    names = ("em_mixed", "f1_mixed") if rule == "mixed" else (f"{rule}_em", f"{rule}_f1")
    scores = [qa_metrics[name](predictions, answers, language)[0] for name in names]
    assert np.stack(scores, 1).tolist() == expected


@given(st.lists(TEXT, max_size=3))
def test_one_text_is_tokenised_as_in_a_batch(texts: list[str]) -> None:
    assert [squad_tokens(text) for text in texts] == [plain_squad(text, "en") for text in texts]
    assert [mlqa_tokens(text, "zh") for text in texts] == [plain_mlqa(text, "zh") for text in texts]
    assert [mixed_tokens(text) for text in texts] == [plain_mixed(text, "en") for text in texts]


def test_a_result_belongs_to_its_caller() -> None:
    num, den = qa_metrics["squad_em"](["a b"], [("a b",)], "en")
    num[0] = den[0] = 7.0
    assert score("squad_em", "a b", ("a b",), "en") == 1.0


def test_no_questions_give_no_scores() -> None:
    assert [values.tolist() for values in qa_metrics["f1_mixed"]([], [], "en")] == [[], []]


@pytest.mark.parametrize("name", sorted(qa_metrics))
def test_properties_of_every_answer_metric(name: str) -> None:
    assert score(name, "blue house", ("red car", "blue house"), "en") == 1.0  # the best answer counts
    assert score(name, "red", ("blue",), "en") == 0.0
    assert score(name, "", (), "en") == 1.0  # no answer, none given
    assert score(name, "red", (), "en") == 0.0
    with pytest.raises(UsageError, match="1 predicted answers against 2 gold"):
        qa_metrics[name](["a"], [("a",), ("b",)], "en")


def test_mixed_counts_empty_against_empty_as_right() -> None:
    assert score("f1_mixed", "!", ("?",), "en") == score("em_mixed", "!", ("?",), "en") == 1.0


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("hi", "१९४७", "1947"),
        ("ar", "مُحَمَّد", "محمـد"),
        ("tr", "İZMİR", "izmir"),
        ("tr", "IĞDIR", "ığdır"),
        ("zh", "ＮＢＡ 篮球。", "NBA篮球"),
        ("ja", "ﾄｳｷｮｳ", "トウキョウ"),
        ("th", "พ.ศ. ๒๕๔๐", "พ ศ 2540"),
    ],
)
def test_mixed_calls_two_spellings_equal(language: str, one: str, other: str) -> None:
    assert score("em_mixed", one, (other,), language) == score("f1_mixed", one, (other,), language) == 1.0


@pytest.mark.parametrize(
    ("language", "prediction", "gold", "f1"),
    [
        ("th", "กรุงเทพ", "กรุงเทพมหานคร", 2 * 6 / (6 + 12)),  # 6 of 12 letters with their marks
        ("ja", "東京タワー", "タワー", 2 * 3 / (5 + 3)),
        ("my", "မြန်မာနိုင်ငံ", "မြန်မာ", 2 * 3 / (6 + 3)),
        ("ko", "서울특별시", "서울", 0.0),
        ("ar", "القاهرة", "قاهرة", 0.0),  # no language's article is cut
    ],
)
def test_mixed_credit_by_script(language: str, prediction: str, gold: str, f1: float) -> None:
    assert score("f1_mixed", prediction, (gold,), language) == pytest.approx(f1, abs=1e-15)


def test_registry_names_and_signatures() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())
    assert METRICS["accuracy"].signature() == "accuracy|version:1|range:0-1"
    unicode = f"unicode:{unicodedata.unidata_version}"
    assert (
        METRICS["squad_f1"].signature()
        == f"squad_f1|version:1|range:0-1|norm:squad-v1.1|answers:best|{unicode}"
    )
    assert (
        METRICS["f1_mixed"].signature() == f"f1_mixed|version:2|range:0-1|norm:mixed|answers:best|{unicode}"
    )
    assert METRICS["chunk_f1_legacy"].signature() == (
        "chunk_f1_legacy|version:1|range:0-1|chunks:seqeval-0.0.12|average:micro"
    )


def test_two_metrics_with_one_function_differ_in_their_signature() -> None:
    assert METRICS["pair_f1"].per_item is METRICS["pair_f1_oracle"].per_item
    assert "threshold:dev" in METRICS["pair_f1"].signature()
    assert "threshold:oracle" in METRICS["pair_f1_oracle"].signature()
    signatures = [metric.signature() for metric in METRICS.values()]
    assert len(set(signatures)) == len(signatures)
