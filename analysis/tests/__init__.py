"""Corrections for many tests, sign-flip tests, Bayes factors."""
