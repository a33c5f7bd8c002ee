"""The op table: the only place where mathematics lives. See `table` for what a row is."""

from jitgrad.ops import elementwise, indexing, linalg, movement, reductions, table
from jitgrad.ops.table import TABLE, Op, rows

__all__ = ["TABLE", "Op", "elementwise", "indexing", "linalg", "movement", "reductions", "rows", "table"]
