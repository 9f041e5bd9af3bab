"""Subcommands, one module each: ``Options`` declares a subcommand's options, ``Options.run`` executes it."""
