"""Systems of equations, inverses and determinants."""
