"""Reading the containers that checkpoints come in, with nothing executed."""
