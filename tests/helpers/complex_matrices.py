"""Functions of complex matrices, which are made of four numbers."""

import numpy as np

import jitgrad as jg


def square(x):
    return x.reshape(2, 2) + jg.tensor([[2, 0.5j], [0, 1]])


def positive(x):
    return square(x) @ square(x).mH + jg.eye(2)


OF_ONE = {
    "vander": lambda x: jg.linalg.vander(x),
    "cov": lambda x: x.reshape(2, 2).cov(),
    "corrcoef": lambda x: jg.cat([x, x**2, x[:2]]).reshape(2, 5).corrcoef(),
    "det": lambda x: jg.linalg.det(square(x)),
    "slogdet": lambda x: jg.stack([*jg.linalg.slogdet(square(x))]),
    "logdet": lambda x: jg.logdet(square(x)),
    "inv": lambda x: jg.linalg.inv(square(x)),
    "cholesky": lambda x: jg.linalg.cholesky(positive(x)),
    "upper cholesky": lambda x: jg.linalg.cholesky(positive(x), upper=True),
    "cholesky_inverse": lambda x: jg.cholesky_inverse(jg.linalg.cholesky(positive(x))),
    "lu": lambda x: jg.stack([*jg.linalg.lu(square(x))[1:]]),
    "eigvalsh": lambda x: jg.linalg.eigvalsh(positive(x)),
    "svdvals": lambda x: jg.linalg.svdvals(square(x)),
    "pinv": lambda x: jg.linalg.pinv(x.reshape(4, 1)),
    "hermitian pinv": lambda x: jg.linalg.pinv(positive(x), hermitian=True),
    "matrix_exp": lambda x: jg.linalg.matrix_exp(square(x)),
    "matrix_power": lambda x: jg.linalg.matrix_power(square(x), -2),
    "matrix norms": lambda x: jg.stack([jg.linalg.matrix_norm(square(x), ord) for ord in ("fro", "nuc", 2, -2, 1, -np.inf)]),
    "cond": lambda x: jg.stack([jg.linalg.cond(square(x), p) for p in (None, 1, "fro")]),
    "householder_product": lambda x: jg.linalg.householder_product(square(x), x[:2]),
}
OF_TWO = {
    "solve": lambda x, y: jg.linalg.solve(square(x), y.reshape(2, 2)) + jg.linalg.solve(square(x), y.reshape(2, 2), left=False),
    "solve_triangular": lambda x, y: jg.linalg.solve_triangular(square(x), y.reshape(2, 2), upper=True),
    "unit triangles": lambda x, y: jg.linalg.solve_triangular(
        square(x), y.reshape(2, 2), upper=False, left=False, unitriangular=True
    ),
    "cholesky_solve": lambda x, y: jg.cholesky_solve(y.reshape(2, 2), jg.linalg.cholesky(positive(x))),
    "lu_solve": lambda x, y: jg.linalg.lu_solve(*jg.linalg.lu_factor(square(x)), y.reshape(2, 2), adjoint=True),
    "lstsq": lambda x, y: jg.linalg.lstsq(x.reshape(4, 1), y.reshape(4, 1), driver="gels").solution,
    "residuals": lambda x, y: jg.linalg.lstsq(x.reshape(4, 1), y.reshape(4, 1), driver="gels").residuals,
}
