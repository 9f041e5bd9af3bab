"""How each family of other projects lays out its weights, and the generator that they make here."""
