"""The report of a repair: page, PDF, tables and pictures."""
