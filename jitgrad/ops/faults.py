"""What can be wrong with values that only machine code sees: it notes a number, two facts, and goes on."""

from __future__ import annotations

from typing import NamedTuple

from jitgrad.errors import LinAlgError, OutOfRangeError


class Fault(NamedTuple):
    """An error by its number, which is what native functions return, too."""

    number: int
    error: type[Exception]
    text: str  # with the two facts in braces
    what: str  # the same without them, after "it was given, or computed, "

    def raised(self, *facts: int) -> Exception:
        """The exception."""
        return self.error(self.text.format(*facts))


OUT_OF_BOUNDS = Fault(
    2, OutOfRangeError, "index {} is out of bounds for a dimension of size {}", "an index that is out of bounds"
)
NOT_POSITIVE = Fault(
    3,
    LinAlgError,
    "cholesky: matrix {} is not positive definite: its leading minor of order {} is not positive. cholesky_ex says so in its "
    "second result instead",
    "a matrix that is not positive definite",
)
NO_SOLUTION = Fault(
    4,
    LinAlgError,
    "the matrix is singular, so that the system has no single solution: linalg.lstsq finds one",
    "a singular matrix, of which a system has no single solution",
)
NO_INVERSE = Fault(
    5,
    LinAlgError,
    "the matrix is singular, and has no inverse: linalg.pinv gives the pseudo-inverse",
    "a singular matrix, which has no inverse",
)
ZERO_PIVOT = Fault(
    6, LinAlgError, "lu: pivot {1} of a matrix is 0, so that the matrix is singular", "a singular matrix to factor"
)
NO_ROW = Fault(
    7,
    LinAlgError,
    "pivot {1} of matrix {0} is none of its rows, which are counted from 1: pivots are those that linalg.lu_factor gives",
    "a pivot that is none of the rows of its matrix",
)
FAULTS = {fault.number: fault for fault in (OUT_OF_BOUNDS, NOT_POSITIVE, NO_SOLUTION, NO_INVERSE, ZERO_PIVOT, NO_ROW)}
