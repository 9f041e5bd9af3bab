"""The parts of the page Latent: walks, truncation, mixing, directions, inversion."""
