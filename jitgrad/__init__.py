"""jitgrad: PyTorch-style automatic differentiation for NumPy and Numba users, interpreted or compiled."""

import functools
import importlib

from jitgrad import _checkout  # isort: skip  # first: finds the kernels
from jitgrad import autograd, cuda, dtypes, errors, functions, ops
from jitgrad.autograd.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from jitgrad.base.settings import config
from jitgrad.base.signals import importing as _importing
from jitgrad.base.version import VERSION
from jitgrad.dtypes import get_default_dtype, set_default_dtype
from jitgrad.sweeps.program.threads import get_num_threads, set_num_threads
from jitgrad.tape.tape import Tape
from jitgrad.tensors.numpy_protocols import ARRAY_API
from jitgrad.tensors.printing import set_printoptions
from jitgrad.tensors.size import Size
from jitgrad.tensors.tensor import Tensor

__version__ = VERSION

inf, nan, pi, e = float("inf"), float("nan"), 3.141592653589793, 2.718281828459045

globals().update({name: dtypes.by_name(name) for name in dtypes.names()})

# Functions are made, and what many programs do without is imported, when they are first asked for.
_LATER = {
    "jitgrad.func": (
        *("custom_jvp", "custom_vjp", "grad", "hessian", "hessian_sparsity", "hvp", "jacfwd", "jacobian_sparsity", "jacrev"),
        *("jvp", "linearize", "value_and_grad", "vjp", "vmap"),
    ),
    "jitgrad.autograd.modes": ("inference_mode", "is_inference", "is_inference_mode_enabled"),
    "jitgrad.autograd.anomaly": ("is_anomaly_check_nan_enabled", "is_anomaly_enabled"),
    "jitgrad.jitted.choice": ("sweep",),
    "jitgrad.jitted.jit": ("jit",),
    "jitgrad.control": ("cond", "fori_loop", "scan", "switch", "while_loop"),
    "jitgrad.func.elementwise": ("elementwise", "from_njit"),
    "jitgrad.functions.registered": ("register",),
    "jitgrad.native.loading": ("load_compiled",),
    "jitgrad.saving": ("load", "save"),
}
_MODULES = ("array_api", "fft", "func", "linalg", "nn", "optim", "special", "testing", "utils")
ARRAY_API.make = functools.partial(importlib.import_module, "jitgrad.array_api")
_HOME = {name: module for module, names in _LATER.items() for name in names}

_offered = [name for name, value in globals().items() if name[0] != "_" and not isinstance(value, type(_checkout))]
_offered.remove("ARRAY_API")
_offered += ["autograd", "cuda", "errors", "ops", "bfloat16", *_MODULES, *_HOME]


def __dir__() -> list[str]:
    return [*__getattr__("__all__"), "__version__"]  # type: ignore[misc]


def __getattr__(name: str) -> object:
    if name in functions.FUNCTIONS:
        return globals().setdefault(name, functions.FUNCTIONS[name])
    if name == "__all__":
        return globals().setdefault(name, sorted({*_offered, *functions.FUNCTIONS} - {"VERSION"}))
    if name == "bfloat16":  # the one dtype that may be missing; the error says which package has it
        return dtypes.by_name(name)
    if name in _HOME:
        with _importing(_HOME[name]):  # signal handlers wait meanwhile: they may want it too
            found = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
        return found
    if name in _MODULES:
        with _importing(f"jitgrad.{name}"):
            return importlib.import_module(f"jitgrad.{name}")
    import difflib  # here, since it takes a quarter of the time of importing all the rest

    near = difflib.get_close_matches(name, __dir__(), 3)
    raise AttributeError(f"jitgrad.{name} is not available{': there is ' + ', '.join(near) if near else ''}", name=name)
