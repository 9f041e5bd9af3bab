"""The parts of the Latent page: walking, mixing, steering, inverting."""
