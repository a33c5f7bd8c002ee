"""Values written to, and read from, places that are given as indices."""
