"""What is known of each language beside its scores: distance to English and size of its pre-training text.

Typological distances are computed from URIEL (Littell et al. 2017) as distributed with lang2vec: 1 - cosine of the
feature vectors over the features that are known for both languages. A missing feature is missing, not 0. Sizes are
those of the CC-100 corpus that XLM-R was trained on (Conneau et al. 2020, Table 6). The tables lie in
``analysis/data`` with their sources in the first lines.

The regression of Lauscher et al. (2020, arXiv 2005.00633) in form: per task, the correlation of a transfer score or
loss with each covariate, then a linear regression and its leave-one-language-out error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from xeval.analysis.estimate.variance import Floats
from xeval.analysis.frame.arrays import Study
from xeval.errors import DataError, UsageError
from xeval.languages import LANGUAGES

FEWEST_FEATURES = 20
"""A distance over fewer shared features than this counts as unknown."""
URIEL_CODES = {"ms": "msa", "zh": "zho"}
"""URIEL's code where another than our ISO 639-3 code carries most of the language's features."""
PREFIXES = {"syntactic": "S_", "phonological": "P_", "inventory": "INV_"}
VECTORS = ("syntactic", "phonological", "inventory", "genetic", "geographic")
COVARIATES = (*VECTORS, "syntactic_knn", "phonological_knn", "inventory_knn", "log_size", "log_tokens")
ANTIPODES = np.pi


def covariate(name: str) -> dict[str, float]:
    """Language code -> value, for the languages where it is known; English is at distance 0 of itself.

    ``syntactic``, ``phonological``, ``inventory`` and ``genetic`` are 1 - cosine (0 to 1), ``geographic`` is the
    great-circle distance as a share of half the Earth's circumference; ``..._knn`` use the features that URIEL
    predicts from related and neighbouring languages where they are missing. ``log_size`` is the natural logarithm
    of the text's GiB in CC-100; ``log_tokens`` of its million tokens, which the source counts by white space, hence
    far too low in Chinese, Japanese, Thai, Burmese.

    Raises:
        UsageError: no such covariate.
    """
    if name not in COVARIATES:
        raise UsageError(f"Unknown covariate {name!r}; use one of {', '.join(COVARIATES)}.")
    values = {}
    for code, row in _table("size.tsv" if name.startswith("log_") else "typology.tsv").items():
        column = {"log_size": "gib", "log_tokens": "million_tokens"}.get(name, name)
        count = row.get(f"{name}_features")
        if not row[column] or (count is not None and int(count) < FEWEST_FEATURES):
            continue
        value = float(row[column])
        values[code] = float(np.log(value)) if name.startswith("log_") else value
    return values


def sources() -> dict[str, str]:
    """Table -> where its numbers come from, and their licence."""
    return {
        name: " ".join(line.lstrip("# ") for line in _text(name).splitlines() if line.startswith("#"))
        for name in ("typology.tsv", "size.tsv")
    }


@dataclass(frozen=True)
class Covariates:
    """Values of several covariates for the languages where all of them are known.

    Attributes:
        values: (languages, names) in original units.
        left_out: language -> the first covariate that is unknown for it.
    """

    names: tuple[str, ...]
    languages: tuple[str, ...]
    values: Floats
    left_out: Mapping[str, str]

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for every covariate that languages were left out for."""
        by_name: dict[str, list[str]] = {}
        for lang, name in self.left_out.items():
            by_name.setdefault(name, []).append(lang)
        return tuple(
            f"Left out of the regression, as their {name.replace('_', ' ')} covariate is unknown: {', '.join(langs)}."
            for name, langs in by_name.items()
        )

    def standardised(self) -> dict[str, dict[str, float]]:
        """Language -> name -> z score over these languages.

        Raises:
            DataError: a covariate is the same for all languages.
        """
        spread = self.values.std(axis=0, ddof=1) if len(self.languages) > 1 else np.zeros(len(self.names))
        for name, one in zip(self.names, spread, strict=True):
            if not one > 0.0:
                raise DataError(
                    f"the covariate {name!r} does not vary over the languages {', '.join(self.languages)}; "
                    "leave it out."
                )
        z = (self.values - self.values.mean(axis=0)) / spread
        return {
            lang: dict(zip(self.names, row.tolist(), strict=True))
            for lang, row in zip(self.languages, z, strict=True)
        }

    @property
    def correlation(self) -> Floats:
        """(names, names) Pearson correlations."""
        return np.atleast_2d(np.corrcoef(self.values, rowvar=False))


def covariates(names: Sequence[str], languages: Sequence[str]) -> Covariates:
    """Values for ``languages``; those that lack one, of which nothing may be known, are left out, and named.

    Raises:
        UsageError: an unknown covariate.
    """
    known = {name: covariate(name) for name in names}
    left_out = {
        lang: next(name for name in names if lang not in known[name])
        for lang in languages
        if any(lang not in known[name] for name in names)
    }
    kept = tuple(lang for lang in languages if lang not in left_out)
    values = np.array([[known[name][lang] for name in names] for lang in kept], dtype=np.float64)
    return Covariates(tuple(names), kept, values.reshape(len(kept), len(names)), left_out)


@dataclass(frozen=True)
class Correlation:
    """A score against one covariate over ``languages`` languages."""

    covariate: str
    languages: int
    pearson: float
    pearson_p: float
    spearman: float
    spearman_p: float


@dataclass(frozen=True)
class TransferRegression:
    """Scores of one task on covariates.

    Attributes:
        correlations: each covariate alone, over all languages where it is known.
        coefficients, standard_errors: of the intercept and the standardised covariates, in score units.
        error: mean absolute error of predicting each language from the others.
        error_of_mean: the same when only the mean of the others is used: what the covariates must beat.
        left_out: languages without a covariate.
    """

    covariates: tuple[str, ...]
    languages: tuple[str, ...]
    correlations: tuple[Correlation, ...]
    coefficients: Mapping[str, float]
    standard_errors: Mapping[str, float]
    p_values: Mapping[str, float]
    r_squared: float
    error: float
    error_of_mean: float
    left_out: Mapping[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def transfer_regression(
    scores: Mapping[str, float], names: Sequence[str] = ("syntactic", "log_size")
) -> TransferRegression:
    """Transfer scores (or losses, or gains) of one task by language, on covariates.

    Args:
        scores: language -> value, without the language of training; NaN counts as absent.
        names: covariates that enter the regression together.

    Raises:
        DataError: too few languages with known covariates, or the scores do not vary.
    """
    from scipy.stats import pearsonr, spearmanr
    from statsmodels.regression.linear_model import OLS

    absent = sorted(lang for lang, value in scores.items() if not np.isfinite(value))
    present = [lang for lang in sorted(scores) if lang not in absent]
    table = covariates(names, present)
    if len(table.languages) < len(names) + 3:
        raise DataError(
            f"{len(table.languages)} languages have a score and all of {', '.join(names)}; a regression on "
            f"{len(names)} covariates needs at least {len(names) + 3}."
        )
    y = np.array([scores[lang] for lang in table.languages])
    if np.ptp(y) <= 1e-12 * max(1.0, float(np.abs(y).max())):
        raise DataError("the score is the same in every language, so nothing can explain its variation.")
    correlations = []
    for name in names:
        alone = covariate(name)
        own = [lang for lang in present if lang in alone]
        x, value = [alone[lang] for lang in own], [scores[lang] for lang in own]
        linear, ranks = pearsonr(x, value), spearmanr(x, value)
        correlations.append(
            Correlation(
                name, len(own), float(linear.statistic), float(linear.pvalue), float(ranks.statistic),
                float(ranks.pvalue),
            )
        )  # fmt: skip
    z = table.standardised()
    X = np.column_stack([np.ones(y.size), [[z[lang][name] for name in names] for lang in table.languages]])
    fit = OLS(y, X).fit()
    labels = ("intercept", *names)
    # The left-out residual of a linear fit is e_i / (1 - h_i): no refitting is needed.
    leverage = np.einsum("ij,ji->i", X, np.linalg.pinv(X))
    notes = list(table.notes)
    if absent:
        notes.append(f"Without a score, so left out: {', '.join(absent)}.")
    return TransferRegression(
        covariates=tuple(names),
        languages=table.languages,
        correlations=tuple(correlations),
        coefficients=dict(zip(labels, map(float, fit.params), strict=True)),
        standard_errors=dict(zip(labels, map(float, fit.bse), strict=True)),
        p_values=dict(zip(labels, map(float, fit.pvalues), strict=True)),
        r_squared=float(fit.rsquared),
        error=float(np.abs((y - X @ fit.params) / (1.0 - leverage)).mean()),
        error_of_mean=float(np.abs((y - y.mean()) * y.size / (y.size - 1.0)).mean()),
        left_out=table.left_out,
        notes=tuple(notes),
    )


def transfer_scores(study: Study, condition: str, target: str, *, loss: bool = False) -> dict[str, float]:
    """Language -> mean score over runs in points, or with ``loss`` the score in the language of training minus it.

    Raises:
        UsageError: the study lacks the target or the condition, or the target its language of training.
    """
    found = {
        lang: 100.0 * block.score
        for (name, task, lang), block in study.blocks.items()
        if (name, task) == (condition, target)
    }
    if not found or (loss and study.source not in found):
        what = f"language {study.source!r}" if found else f"condition {condition!r} of target {target!r}"
        raise UsageError(f"The study has no scores of {what}; evaluate it first.")
    return {
        lang: found[study.source] - score if loss else score
        for lang, score in sorted(found.items())
        if lang != study.source
    }


def shared_distance(a: Floats, b: Floats) -> tuple[float, int]:
    """1 - cosine over the features known in both (a negative value or NaN is unknown), and how many those are.

    The distance is NaN where nothing is shared.
    """
    both = (a >= 0) & (b >= 0)
    x, y = a[both].astype(np.float64), b[both].astype(np.float64)
    size = float(np.sqrt((x @ x) * (y @ y)))
    return (1.0 - float(x @ y) / size if size > 0 else float("nan")), int(both.sum())


def place(points: Floats, distances: Floats) -> Floats:
    """(3,) unit vector of a place whose distances to known points are given as shares of half the circumference.

    ``points`` is (n, 2), degrees north and east. The cosine of a distance is linear in the unit vector.
    """
    north, east = np.radians(points).T
    known = np.column_stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
    solved = np.linalg.lstsq(known, np.cos(ANTIPODES * distances), rcond=None)[0]
    return np.asarray(solved / np.linalg.norm(solved))


def typology(folder: Path) -> list[dict[str, str]]:
    """The rows of ``typology.tsv`` from lang2vec's ``.npz`` files (wheel lang2vec 1.1.2, ``lang2vec/data``)."""
    stored = {
        name: np.load(folder / f"{name}.npz", allow_pickle=False)
        for name in ("feature_averages", "feature_predictions", "family_features", "geocoord_features")
    }
    features = stored["feature_averages"]["feats"]
    index = {name: {str(code): row for row, code in enumerate(one["langs"])} for name, one in stored.items()}
    data = {name: one["data"][:, :, 0] for name, one in stored.items()}
    grid = np.array([[float(part) for part in str(name).split("_")[1:]] for name in
                     stored["geocoord_features"]["feats"]])  # fmt: skip

    def vector(name: str, code: str) -> Floats:
        return np.asarray(data[name][index[name][code]], dtype=np.float64)

    rows = []
    for code, language in sorted(LANGUAGES.items()):
        uriel = URIEL_CODES.get(code, language.iso3)
        row = {"code": code, "uriel": uriel}
        for name, prefix in PREFIXES.items():
            chosen = np.char.startswith(features, prefix)
            english, own = (vector("feature_averages", one)[chosen] for one in ("eng", uriel))
            distance, count = shared_distance(english, own)
            row |= {name: _shown(distance), f"{name}_features": str(count)}
            english, own = (vector("feature_predictions", one)[chosen] for one in ("eng", uriel))
            row[f"{name}_knn"] = _shown(shared_distance(english, own)[0])
        english, own = (vector("family_features", one) for one in ("eng", uriel))
        row["genetic"] = _shown(shared_distance(english, own)[0])
        places = [place(grid, vector("geocoord_features", one)) for one in ("eng", uriel)]
        row["geographic"] = _shown(float(np.arccos(np.clip(places[0] @ places[1], -1, 1))) / ANTIPODES)
        rows.append(row)
    return rows


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{abs(value):.4f}"


def _text(name: str) -> str:
    return files("xeval.analysis").joinpath("data", name).read_text(encoding="utf-8")


@cache
def _table(name: str) -> dict[str, dict[str, str]]:
    lines = [line for line in _text(name).splitlines() if not line.startswith("#")]
    header = lines[0].split("\t")
    return {line.split("\t")[0]: dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]}
