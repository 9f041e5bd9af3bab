"""Find the latent vectors of pictures."""
