"""The version, which machine code on disk is kept by; `pyproject.toml` reads it from here."""

VERSION = "0.1.0"
