"""Find directions in a latent space, label them, and move along them."""
