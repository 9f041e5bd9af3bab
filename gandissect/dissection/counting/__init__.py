"""Counting where units are on and concepts are, in bounded memory, in parts that merge."""
