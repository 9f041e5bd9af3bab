"""Choice and inspection of units."""
