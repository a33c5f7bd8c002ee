"""Patterns: which elements of a matrix can be other than zero.

A pattern is the sorted numbers, counted in row-major order, of those elements. For a Jacobian its rows are the elements
of something computed, its columns what they are computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Pattern:
    """The `codes` of the elements of a matrix of `rows` times `columns`: row * columns + column, in rising order."""

    __slots__ = ("codes", "columns", "rows")

    def __init__(self, rows: int, columns: int, codes: Any = ()) -> None:
        self.rows = rows
        self.columns = columns
        self.codes = np.asarray(codes, np.int64)

    @classmethod
    def unit(cls, n: int) -> Pattern:
        """Ones on the diagonal."""
        return cls(n, n, np.arange(n) * (n + 1))

    @classmethod
    def of(cls, rows: int, columns: int, places: tuple[Any, Any]) -> Pattern:
        """From the rows and columns of elements, in any order and with repetitions."""
        return cls(rows, columns, np.unique(np.asarray(places[0], np.int64) * columns + places[1]))

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows and the columns of the elements."""
        row, column = np.divmod(self.codes, max(self.columns, 1))
        return row, column

    def starts(self) -> np.ndarray:
        """Where the elements of each row begin, and at the end how many there are."""
        return np.searchsorted(self.codes, np.arange(self.rows + 1) * self.columns)

    def taken(self, rows: np.ndarray) -> Pattern:
        """The pattern of which row k is row `rows[k]` of this one."""
        starts = self.starts()
        counts = np.diff(starts)[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        columns = self.codes[np.repeat(starts[rows], counts) + within] % max(self.columns, 1)
        return Pattern(len(rows), self.columns, np.repeat(np.arange(len(rows)), counts) * self.columns + columns)

    def together(self, groups: np.ndarray, size: int) -> Pattern:
        """The pattern of which row k holds whatever the rows hold whose `groups` is k."""
        row, column = self.places()
        return Pattern.of(size, self.columns, (groups[row], column))

    def without(self, rows: np.ndarray) -> Pattern:
        """The same, but nothing in these rows."""
        stays = np.ones(self.rows, bool)
        stays[rows] = False
        return Pattern(self.rows, self.columns, self.codes[stays[self.places()[0]]])

    def everywhere(self, rows: int) -> Pattern:
        """The pattern in which each of so many rows holds whatever any row of this one does."""
        columns = np.unique(self.places()[1])
        return Pattern(rows, self.columns, (np.arange(rows)[:, None] * self.columns + columns).ravel())

    def transposed(self) -> Pattern:
        """Columns for rows."""
        return Pattern.of(self.columns, self.rows, self.places()[::-1])

    def check(self, rows: int, columns: int) -> None:
        """`ValueError` unless the pattern has that shape."""
        if (self.rows, self.columns) != (rows, columns):
            raise ValueError(
                f"sparsity has shape {[self.rows, self.columns]}, and the Jacobian has {[rows, columns]}: an "
                "element of the result each row, an element of the argument each column"
            )

    def widest(self) -> int:
        """How many elements the fullest row has: at least so many colours are needed."""
        return int(np.diff(self.starts()).max(initial=0))

    def colours(self) -> np.ndarray:
        """A colour for each column, such that columns that share a row differ. Greedy, the fullest columns first."""
        starts, columns = self.starts(), self.places()[1]
        turned = self.transposed()
        begins, rows = turned.starts(), turned.places()[1]
        found = np.full(self.columns, -1)
        for j in np.argsort(-np.diff(begins), kind="stable"):
            near = [columns[starts[i] : starts[i + 1]] for i in rows[begins[j] : begins[j + 1]]]
            taken = set(found[np.concatenate(near)].tolist()) if near else set()
            colour = 0
            while colour in taken:
                colour += 1
            found[j] = colour
        return found


def union(parts: Sequence[Pattern | None]) -> Pattern | None:
    """What any of the patterns holds; None counts as nothing."""
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    first = known[0]
    if all(part is first for part in known):
        return first
    return Pattern(first.rows, first.columns, np.unique(np.concatenate([part.codes for part in known])))


def stacked(parts: Sequence[Pattern]) -> Pattern:
    """The rows of the patterns, one pattern below the other."""
    columns, codes, rows = parts[0].columns, [], 0
    for part in parts:
        codes.append(part.codes + rows * columns)
        rows += part.rows
    return Pattern(rows, columns, np.concatenate(codes))
