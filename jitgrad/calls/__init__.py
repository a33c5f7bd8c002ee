"""The arguments of a call: their kinds, their signatures, and the Python text written for them."""
