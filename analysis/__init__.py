"""From stored scores to a verdict; needs no deep-learning library."""

from analysis.analysis import Analysis, analyse

__all__ = ["Analysis", "analyse"]
