"""Random numbers of given distributions."""
