"""What type checkers see of `jitgrad`. The functions made from the op table are found through `__getattr__`."""

from collections.abc import Callable
from typing import Any

from jitgrad import autograd as autograd
from jitgrad import dtypes as dtypes
from jitgrad import errors as errors
from jitgrad import func as func
from jitgrad import functions as functions
from jitgrad import ops as ops
from jitgrad import testing as testing
from jitgrad.autograd.modes import enable_grad as enable_grad
from jitgrad.autograd.modes import is_grad_enabled as is_grad_enabled
from jitgrad.autograd.modes import no_grad as no_grad
from jitgrad.autograd.modes import set_grad_enabled as set_grad_enabled
from jitgrad.base.settings import config as config
from jitgrad.dtypes import DType
from jitgrad.dtypes import get_default_dtype as get_default_dtype
from jitgrad.dtypes import set_default_dtype as set_default_dtype
from jitgrad.func import custom_jvp as custom_jvp
from jitgrad.func import custom_vjp as custom_vjp
from jitgrad.func import grad as grad
from jitgrad.func import hessian as hessian
from jitgrad.func import hessian_sparsity as hessian_sparsity
from jitgrad.func import hvp as hvp
from jitgrad.func import jacfwd as jacfwd
from jitgrad.func import jacobian_sparsity as jacobian_sparsity
from jitgrad.func import jacrev as jacrev
from jitgrad.func import jvp as jvp
from jitgrad.func import linearize as linearize
from jitgrad.func import value_and_grad as value_and_grad
from jitgrad.func import vjp as vjp
from jitgrad.func import vmap as vmap
from jitgrad.func.elementwise import elementwise as elementwise
from jitgrad.func.elementwise import from_njit as from_njit
from jitgrad.jitted.choice import sweep as sweep
from jitgrad.native.loading import load_compiled as load_compiled
from jitgrad.sweeps.program.threads import get_num_threads as get_num_threads
from jitgrad.sweeps.program.threads import set_num_threads as set_num_threads
from jitgrad.tape.tape import Tape as Tape
from jitgrad.tensors.printing import set_printoptions as set_printoptions
from jitgrad.tensors.tensor import Size as Size
from jitgrad.tensors.tensor import Tensor as Tensor

__version__: str
inf: float
nan: float
pi: float
e: float

bool: DType
uint8: DType
int8: DType
int16: DType
int32: DType
int64: DType
float16: DType
float32: DType
float64: DType
bfloat16: DType
half: DType
float: DType
double: DType
short: DType
int: DType
long: DType

tensor: Callable[..., Tensor]
jit: Callable[..., Any]

def __getattr__(name: str) -> Any: ...
