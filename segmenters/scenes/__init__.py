"""The renderer of outdoor scenes with exact labels."""
