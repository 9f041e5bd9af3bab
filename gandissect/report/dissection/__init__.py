"""The report of a dissection: page, charts, pictures of units, and data files."""
