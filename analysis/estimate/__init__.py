"""Arrays in, numbers out: estimands, their two-way variance, the bootstrap."""
