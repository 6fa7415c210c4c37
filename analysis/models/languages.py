"""What is known of each language beside its scores: distance to English and size of its pre-training text.

Typological distances are computed from URIEL (Littell et al. 2017) as distributed with lang2vec: 1 - cosine of the
feature vectors over the features that are known for both languages. A missing feature is missing, not 0. Sizes are
those of the CC-100 corpus that XLM-R was trained on (Conneau et al. 2020, Table 6). The tables lie in
``analysis/data`` with their sources in the first lines.

The regression of Lauscher et al. (2020, arXiv 2005.00633) in form: per task, the correlation of a transfer score or
loss with each covariate, then a linear regression and its leave-one-language-out error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from xeval.analysis.estimate.variance import Floats
from xeval.errors import DataError, UsageError

FEWEST_FEATURES = 20
"""A distance over fewer shared features than this counts as unknown."""
VECTORS = ("syntactic", "phonological", "inventory", "genetic", "geographic")
COVARIATES = (*VECTORS, "syntactic_knn", "phonological_knn", "inventory_knn", "log_size", "log_tokens")


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
        for name, deviation in zip(self.names, spread, strict=True):
            if not deviation > 0.0:
                raise DataError(
                    f"the covariate {name!r} does not vary over the languages {', '.join(self.languages)}; "
                    "leave it out."
                )
        z = (self.values - self.values.mean(axis=0)) / spread
        return {
            lang: dict(zip(self.names, row.tolist(), strict=True))
            for lang, row in zip(self.languages, z, strict=True)
        }


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
class TransferRegression:
    """Scores of one task on covariates.

    Attributes:
        correlations: covariate -> Pearson correlation with the scores, over all languages where it is known.
        coefficients, standard_errors: of the intercept and the standardised covariates, in score units.
        error: mean absolute error of predicting each language from the others.
        error_of_mean: the same when only the mean of the others is used: what the covariates must beat.
    """

    languages: tuple[str, ...]
    correlations: Mapping[str, float]
    coefficients: Mapping[str, float]
    standard_errors: Mapping[str, float]
    r_squared: float
    error: float
    error_of_mean: float
    notes: tuple[str, ...]


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
    correlations = {}
    for name in names:
        alone = covariate(name)
        known = [lang for lang in present if lang in alone]
        pairs = [[alone[lang] for lang in known], [scores[lang] for lang in known]]
        correlations[name] = float(np.asarray(np.corrcoef(pairs))[0, 1])
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
        languages=table.languages,
        correlations=correlations,
        coefficients=dict(zip(labels, map(float, fit.params), strict=True)),
        standard_errors=dict(zip(labels, map(float, fit.bse), strict=True)),
        r_squared=float(fit.rsquared),
        error=float(np.abs((y - X @ fit.params) / (1.0 - leverage)).mean()),
        error_of_mean=float(np.abs((y - y.mean()) * y.size / (y.size - 1.0)).mean()),
        notes=tuple(notes),
    )


def _text(name: str) -> str:
    return files("xeval.analysis").joinpath("data", name).read_text(encoding="utf-8")


@cache
def _table(name: str) -> dict[str, dict[str, str]]:
    lines = [line for line in _text(name).splitlines() if not line.startswith("#")]
    header = lines[0].split("\t")
    return {line.split("\t")[0]: dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]}
