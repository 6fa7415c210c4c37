"""The target tasks and their English training sets: declarations only."""
