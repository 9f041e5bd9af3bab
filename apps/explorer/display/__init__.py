"""Images and tables as the pages show them."""
