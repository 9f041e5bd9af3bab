"""Background computations and their caches."""
