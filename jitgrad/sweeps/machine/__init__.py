"""The machine: a long tape as instructions, with a compiled function for each."""
