"""Work that goes on while pages are looked at, and what is kept of it."""
