"""Results of other tools read, and results written for them."""
