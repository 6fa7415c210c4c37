"""How sentences become embeddings and embeddings become neighbours or pairs: published settings as data.

Sources: XTREME = google-research/xtreme 838c13b (scripts/run_tatoeba.sh, scripts/run_bucc2018.sh,
third_party/evaluate_retrieval.py, third_party/utils_retrieve.py); jiant = nyu-mll/jiant daa5a258
(jiant/tasks/lib/{tatoeba,bucc2018}.py, jiant/scripts/benchmarks/xtreme); LASER = facebookresearch/LASER 74bc6ae
(source/{similarity_search,mine_bitexts}.py, tasks/bucc); Artetxe and Schwenk 2019 = P19-1309 (margins).
"""

from dataclasses import dataclass
from typing import Literal

from xeval.errors import UsageError, did_you_mean

Pooling = Literal["mean", "mean_no_special", "cls", "max", "last", "pooler", "mean_sqrt_len", "weighted_mean"]
Centring = Literal["none", "language_mean", "mean_difference"]
Similarity = Literal["cosine", "euclidean"]
Margin = Literal["none", "absolute", "distance", "ratio"]
Direction = Literal["foreign", "english", "both"]
Matching = Literal["max", "intersect", "forward", "backward"]
Duplicates = Literal["drop", "all"]
Purpose = Literal["retrieval", "mining"]


@dataclass(frozen=True)
class Recipe:
    """Settings of retrieval (best row for every query) or mining (pairs out of two collections).

    Attributes:
        layers: published (depth of the encoder, layer) pairs; layer 0 is the embeddings' output. A published
            index i into XTREME's list of hidden states is layer i + 1 when the list holds all layers.
        pooling: ``mean`` counts ``<s>`` and ``</s>`` (XTREME without ``--pool_skip_special_token``, jiant);
            ``mean_no_special`` leaves them out; ``cls`` takes the first token, ``last`` the last one, ``max`` the
            largest of each number, ``pooler`` the model's own pooler; ``mean_sqrt_len`` and ``weighted_mean`` are
            those of sentence-transformers.
        centring: ``language_mean`` subtracts each side's own mean before anything else; ``mean_difference``
            shifts normalised queries by the difference of the two means (``shift_embeddings`` of XTREME and
            jiant, off by default in both).
        similarity: ``cosine``, or ``euclidean`` = 1 / (1 + squared distance) (XTREME's ``--dist``).
        margin: of a pair's similarity over the mean similarity of both neighbourhoods: ``ratio``, ``distance``
            or ``absolute`` (= no margin, but candidates from the k neighbours), equation 2 of P19-1309;
            ``none`` takes the single nearest row.
        k: size of the neighbourhoods; without effect where the margin is ``none``.
        direction: the side that queries in retrieval; mining always looks both ways. ``both`` averages the two.
        matching: LASER's ``--retrieval``: ``max`` merges both directions' best and takes greedily, every row
            once; ``intersect`` keeps mutual best; ``forward`` and ``backward`` keep one direction's.
        duplicates: repeated sentences are mined once; when pairs are scored they are either dropped
            (``drop``: XTREME, LASER) or stand for every pair of their rows (``all``: jiant).
    """

    name: str
    layers: tuple[tuple[int, int], ...]
    pooling: Pooling = "mean"
    centring: Centring = "none"
    similarity: Similarity = "cosine"
    margin: Margin = "none"
    k: int = 1
    direction: Direction = "foreign"
    matching: Matching = "max"
    duplicates: Duplicates = "drop"

    def layer(self, depth: int) -> int:
        """The layer of an encoder of ``depth`` layers: as published, else at the nearest published share."""
        published = dict(self.layers)
        if depth in published:
            return published[depth]
        nearest_depth = min(published, key=lambda known: abs(known - depth))
        return round(depth * published[nearest_depth] / nearest_depth)


_LAST = ((1, 1),)

RECIPES: dict[str, dict[Purpose, Recipe]] = {
    "default": {
        "retrieval": Recipe("default", _LAST),
        "mining": Recipe("default", _LAST, margin="ratio", k=4),
    },
    "jiant": {
        # Hidden state 14 of XLM-R Large for both tasks; the index holds the foreign side, English queries.
        "retrieval": Recipe("jiant", ((24, 14),), direction="english"),
        "mining": Recipe("jiant", ((24, 14),), margin="ratio", k=4, duplicates="all"),
    },
    "xtreme": {
        # run_tatoeba.sh: index 7 of 12, 13 of 24.
        "retrieval": Recipe("xtreme", ((12, 8), (24, 14)), direction="english"),
        # run_bucc2018.sh: index 7 of the LAST 12 hidden states whatever the depth (--num_layers stays 12). Its
        # --pool_type cls was ignored until 287a7b7 (October 2021), so the published figures are mean-pooled.
        "mining": Recipe("xtreme", ((12, 8), (24, 20)), margin="ratio", k=4),
    },
    "laser": {
        # LASER's own encoder pools its last layer by maximum; what carries over is everything after pooling.
        "retrieval": Recipe("laser", _LAST, direction="both"),
        "mining": Recipe("laser", _LAST, margin="ratio", k=4),
    },
}


def recipe(name: str, purpose: Purpose) -> Recipe:
    """The settings called ``name`` for nearest neighbours (Tatoeba) or for mining (BUCC).

    Raises:
        UsageError: no recipe has that name.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise UsageError(f"unknown recipe {name!r}{did_you_mean(name, RECIPES)} (the recipes are {known}).")
    return RECIPES[name][purpose]
