"""Finding the latent vector of a picture."""
