"""How far an answer depends on what could have been chosen otherwise."""
