"""What NumPy's functions, and SciPy's ufuncs, do with tensors: `np.sum(x)`, `np.linalg.solve(a, b)`, `scipy.special.erf(x)`.

Arguments mean what they mean to NumPy, which is not always what PyTorch's function of that name means: `np.std` divides
by n, `axis=()` reduces nothing, `np.max` with an axis returns values only, `np.split` counts pieces, `np.dot` does not
broadcast, `np.linalg.solve` takes one vector or matrices. Mistakes are NumPy's errors. All of it is made of the functions and
rows that there are; `tensors.numpy_protocols` is what calls it, and loads it when it is first asked for.
"""

from __future__ import annotations

from jitgrad.functions.for_numpy import (  # noqa: F401  each fills the table
    changing,
    elementwise,
    fourier,
    joining,
    linear_algebra,
    products,
    reductions,
    shapes,
    sorting,
    special,
    statistics,
    ufuncs,
)
from jitgrad.functions.for_numpy.naming import NUMPY as NUMPY
from jitgrad.functions.for_numpy.naming import cast as cast
from jitgrad.functions.for_numpy.naming import tensor_of as tensor_of
from jitgrad.functions.for_numpy.reductions import chosen as chosen
from jitgrad.functions.for_numpy.ufuncs import METHODS as METHODS
