"""Checkpoints in, stored units out."""
