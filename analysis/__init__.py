"""From stored scores to a verdict; needs no deep-learning library."""

from xeval.analysis.result import Analysis, analyse

__all__ = ["Analysis", "analyse"]
