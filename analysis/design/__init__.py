"""Before a study: how many seeds and items it needs."""
