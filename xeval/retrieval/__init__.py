"""Nearest neighbours between two collections of sentence embeddings, and translation pairs mined from them.

``search`` and ``mine`` are exact and deterministic; ``nearest`` is FAISS's exact search, the reference;
``approximate`` is for collections too large for either and says what it missed.
"""

from typing import TYPE_CHECKING, Any

from xeval.retrieval.cost import Cost, cost
from xeval.retrieval.mining import (
    Distinct,
    Extracted,
    Pairs,
    best_rows,
    distinct,
    extract,
    margin_scores,
    match,
    mine,
    to_rows,
)
from xeval.retrieval.neighbours import Approximate, Neighbours, approximate, nearest
from xeval.retrieval.planted import Planted, planted
from xeval.retrieval.recipes import RECIPES, Recipe, recipe

if TYPE_CHECKING:
    from xeval.retrieval.engine import BothWays, search

__all__ = [
    "RECIPES",
    "Approximate",
    "BothWays",
    "Cost",
    "Distinct",
    "Extracted",
    "Neighbours",
    "Pairs",
    "Planted",
    "Recipe",
    "approximate",
    "best_rows",
    "cost",
    "distinct",
    "extract",
    "margin_scores",
    "match",
    "mine",
    "nearest",
    "planted",
    "recipe",
    "search",
    "to_rows",
]


def __getattr__(name: str) -> Any:
    """The engine needs torch, so it is imported when it is first asked for."""
    if name in ("BothWays", "search"):
        from xeval.retrieval import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
