"""Nearest neighbours between two collections of sentence embeddings, and translation pairs mined from them."""

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
from xeval.retrieval.neighbours import BothWays, Index, Neighbours, search
from xeval.retrieval.recipes import RECIPES, Recipe, recipe

__all__ = [
    "RECIPES",
    "BothWays",
    "Cost",
    "Distinct",
    "Extracted",
    "Index",
    "Neighbours",
    "Pairs",
    "Recipe",
    "best_rows",
    "cost",
    "distinct",
    "extract",
    "margin_scores",
    "match",
    "mine",
    "recipe",
    "search",
    "to_rows",
]
