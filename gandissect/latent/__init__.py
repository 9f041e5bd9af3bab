"""Moving through a generator's latent space."""
