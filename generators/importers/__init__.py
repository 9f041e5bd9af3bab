"""Checkpoints that others have made, read without running any code in them."""
