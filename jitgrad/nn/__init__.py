"""`jitgrad.nn.functional`; modules with parameters are left to the user, who has functions and arrays."""

from jitgrad.nn import functional

__all__ = ["functional"]
