"""Paths through a latent space, the images along them, and perceptual path length."""
