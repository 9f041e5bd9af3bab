"""Directions of a latent space: how they are found, labeled and moved along."""
