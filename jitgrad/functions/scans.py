"""Functions along a dimension whose elements depend on all before: cumulative sums, products, extremes."""
