"""One file for each family of generators, with the parts that they share."""
