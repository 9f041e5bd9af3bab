"""Paths through a latent space, images along them, and their perceptual length."""
