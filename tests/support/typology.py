"""How ``analysis/data/typology.tsv`` is made of lang2vec's files."""

from pathlib import Path

import numpy as np

from xeval.analysis.estimate.variance import Floats
from xeval.languages import LANGUAGES

URIEL_CODES = {"ms": "msa", "zh": "zho"}
"""URIEL's code where another than our ISO 639-3 code carries most of the language's features."""
PREFIXES = {"syntactic": "S_", "phonological": "P_", "inventory": "INV_"}
ANTIPODES = np.pi


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
