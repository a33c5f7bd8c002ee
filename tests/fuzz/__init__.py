"""Random programs, run in every way there is; see `python -m tests.fuzz --help`."""
