"""Choosing units and looking at them closely."""
