"""Read the file formats of checkpoints without executing anything."""
