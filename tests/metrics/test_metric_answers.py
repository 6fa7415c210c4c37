"""Answer metrics. Golden values come from SQuAD's evaluate-v1.1.py and MLQA's mlqa_evaluation_v1.py."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeval.errors import UsageError
from xeval.metrics import METRICS, qa_metrics
from xeval.metrics.answers import mixed_tokens

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
        ("한국의 수도", ["한국의", "수도"]),
        ("«», ؟", []),
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


def test_registry_names_and_signatures() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())
    assert METRICS["accuracy"].signature() == "accuracy|version:1|range:0-1"
    assert METRICS["squad_f1"].signature().endswith(f"unicode:{unicodedata.unidata_version}")
