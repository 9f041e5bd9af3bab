"""The subcommands of the command line, a module each; ``Options`` are its options, ``run`` does it."""
