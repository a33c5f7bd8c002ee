"""Complex numbers and their parts."""
