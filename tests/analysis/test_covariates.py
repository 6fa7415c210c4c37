"""The tables of covariates against independent figures, and the regression of Lauscher et al. in form."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr
from support.typology import place, shared_distance, typology

from xeval.analysis.models.languages import (
    COVARIATES,
    covariate,
    covariates,
    transfer_regression,
)
from xeval.errors import DataError, UsageError
from xeval.languages import LANGUAGES

# Similarities English-x that accompany arXiv 2509.22472 (lang2vec's syntax_knn and phonology_knn, three digits).
SYNTAX_KNN = {
    "fr": 0.812, "de": 0.903, "es": 0.822, "it": 0.858, "nl": 0.924, "pt": 0.842, "fi": 0.711, "el": 0.783,
    "hu": 0.694, "bg": 0.858, "et": 0.773, "zh": 0.711, "ar": 0.651, "tr": 0.507, "hi": 0.616, "bn": 0.583,
    "ja": 0.500, "ko": 0.553, "ru": 0.812, "ur": 0.616, "vi": 0.660, "th": 0.639, "id": 0.727,
}  # fmt: skip
PHONOLOGY_KNN = {
    "de": 0.806, "fr": 0.753, "es": 0.858, "el": 0.953, "zh": 0.725, "ar": 0.701, "ja": 0.667, "th": 0.783
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "published"), [("syntactic_knn", SYNTAX_KNN), ("phonological_knn", PHONOLOGY_KNN)]
)
def test_similarities_are_those_that_others_computed(name, published):
    ours = covariate(name)
    for lang, similarity in published.items():
        assert 1 - ours[lang] == pytest.approx(similarity, abs=0.00056), lang


def test_every_language_has_a_row_and_english_is_at_distance_zero():
    for name in COVARIATES:
        values = covariate(name)
        assert set(values) <= set(LANGUAGES)
        if not name.startswith("log_"):
            assert values["en"] == 0
            assert all(0 <= value <= 1 for value in values.values())
    assert set(covariate("geographic")) == set(LANGUAGES)
    assert set(LANGUAGES) - set(covariate("log_size")) == {"ht", "qu", "wo", "yo"}  # not in CC-100
    assert set(LANGUAGES) - set(covariate("syntactic")) == {"jv", "kk"}  # 17 and 12 features only
    assert set(LANGUAGES) - set(covariate("genetic")) == {"eu", "qu"}  # no family features


def test_great_circles():
    """London-Tokyo and London-Sydney are about 9,560 and 16,990 km of 20,015 km; URIEL's places are coarse."""
    distance = covariate("geographic")
    assert distance["ja"] == pytest.approx(9560 / 20015, abs=0.03)
    assert distance["fr"] < distance["el"] < distance["hi"] < distance["ja"] < distance["id"]


def test_place_is_found_from_distances_to_known_points():
    points = np.array([[float(n), float(e)] for n in (-60, -10, 30, 70) for e in (-150, -40, 20, 110)])

    def unit(north, east):
        a, b = np.radians([north, east])
        return np.array([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)])

    here = unit(52.5, 13.4)
    distances = np.array([np.arccos(unit(*point) @ here) for point in points]) / np.pi
    assert place(points, distances) == pytest.approx(here, abs=1e-12)


def test_a_missing_feature_is_missing_and_not_zero():
    a, b = np.array([1.0, 0, 1, 1, -1]), np.array([1.0, -1, 0, 1, 1])
    value, count = shared_distance(a, b)  # known in both: (1,1), (1,0), (1,1); cosine 2 / sqrt(3 * 2)
    assert (value, count) == (pytest.approx(1 - 2 / np.sqrt(6)), 3)
    assert np.isnan(shared_distance(np.array([-1.0, 1]), np.array([1.0, -1]))[0])


@pytest.mark.skipif("XEVAL_LANG2VEC" not in os.environ, reason="XEVAL_LANG2VEC names no lang2vec/data folder")
def test_the_table_is_what_lang2vec_gives():
    import xeval.analysis.models.languages as module

    for row in typology(Path(os.environ["XEVAL_LANG2VEC"])):
        assert module._table("typology.tsv")[row["code"]] == row


def test_languages_without_a_covariate_are_named():
    table = covariates(("syntactic", "log_size"), ("de", "kk", "qu", "zh", "sw"))
    assert table.languages == ("de", "zh", "sw")
    assert table.left_out == {"kk": "syntactic", "qu": "log_size"}
    assert any("syntactic" in note and "kk" in note for note in table.notes)
    z = np.array([[row[name] for name in table.names] for row in table.standardised().values()])
    assert z.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert z.std(axis=0, ddof=1) == pytest.approx([1, 1])


def test_wrong_names():
    with pytest.raises(UsageError, match="Unknown covariate 'syntax'"):
        covariate("syntax")
    with pytest.raises(DataError, match="does not vary"):
        covariates(("syntactic",), ("de",)).standardised()


LANGS = tuple(sorted(set(LANGUAGES) - {"en"}))


def scores_of(rng, noise):
    syntactic, size = covariate("syntactic"), covariate("log_size")
    return {
        lang: 70 - 30 * syntactic.get(lang, 0.3) + 2 * size.get(lang, 1.0) + rng.normal(0, noise)
        for lang in LANGS
    }


def test_regression_finds_the_planted_slopes_and_the_error_is_that_of_refitting():
    found = transfer_regression(scores_of(np.random.default_rng(1), 1.0))
    table = covariates(("syntactic", "log_size"), LANGS)
    spread = table.values.std(axis=0, ddof=1)
    for name, slope, one in zip(table.names, (-30, 2), spread, strict=True):
        assert found.coefficients[name] == pytest.approx(slope * one, abs=4 * found.standard_errors[name])
    assert set(LANGS) - set(found.languages) == {"jv", "kk", "qu", "ht", "wo", "yo"}
    assert found.error < found.error_of_mean
    scores = scores_of(np.random.default_rng(1), 1.0)
    y = np.array([scores[lang] for lang in found.languages])
    X = np.column_stack([np.ones(y.size), table.values])
    errors = []
    for place_ in range(y.size):
        kept = np.arange(y.size) != place_
        beta = np.linalg.lstsq(X[kept], y[kept], rcond=None)[0]
        errors.append(abs(y[place_] - X[place_] @ beta))
    assert found.error == pytest.approx(np.mean(errors))
    assert found.error_of_mean == pytest.approx(
        np.mean([abs(y[i] - np.delete(y, i).mean()) for i in range(y.size)])
    )


def test_correlation_uses_every_language_that_has_the_covariate():
    scores = scores_of(np.random.default_rng(2), 5.0)
    found = transfer_regression(scores)
    known = covariate("syntactic")
    shared = [lang for lang in LANGS if lang in known]
    assert len(shared) == len(LANGS) - 2 > len(found.languages)
    expected = pearsonr([known[lang] for lang in shared], [scores[lang] for lang in shared]).statistic
    assert found.correlations["syntactic"] == pytest.approx(expected)
    alone = transfer_regression(scores, ("syntactic",))
    assert alone.r_squared == pytest.approx(expected**2)


def test_scores_that_cannot_be_explained():
    with pytest.raises(DataError, match="same in every language"):
        transfer_regression(dict.fromkeys(("de", "fr", "zh", "sw", "hi", "tr"), 50.0))
    with pytest.raises(DataError, match="at least 5"):
        transfer_regression({"de": 1.0, "fr": 2.0, "zh": 3.0, "kk": 4.0, "sw": float("nan")})
    found = transfer_regression(scores_of(np.random.default_rng(3), 1.0) | {"de": float("nan")})
    assert "de" not in found.languages
    assert any("Without a score" in note and "de" in note for note in found.notes)


def test_a_language_that_is_not_known_at_all_is_left_out_and_named():
    table = covariates(("syntactic", "log_size"), ["de", "qx", "fr"])
    assert table.languages == ("de", "fr")
    assert table.left_out == {"qx": "syntactic"}
    assert table.notes == ("Left out of the regression, as their syntactic covariate is unknown: qx.",)
