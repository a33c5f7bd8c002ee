"""A function becomes a tape: what it reads from outside, and what it must not do."""
