"""Images and tables for the pages."""
