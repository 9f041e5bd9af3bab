"""The edge: the command line and the pages that people open."""
