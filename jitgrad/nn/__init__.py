"""`jitgrad.nn.functional` and `jitgrad.nn.utils`; modules with parameters are left to the user, who has functions and arrays."""

from jitgrad.nn import functional, utils

__all__ = ["functional", "utils"]
