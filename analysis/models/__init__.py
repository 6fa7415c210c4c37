"""Regressions of the gains, each named by what it models."""
