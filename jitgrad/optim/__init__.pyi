"""What type checkers see of `jitgrad.optim`. Written by `python -m jitgrad.cli.stubs`."""

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from typing import Any

from jitgrad.optim import functional as functional
from jitgrad.optim import lr_scheduler as lr_scheduler
from jitgrad.optim import swa_utils as swa_utils
from jitgrad.optim.lbfgs import LBFGS as LBFGS
from jitgrad.optim.optimizer import Optimizer as Optimizer
from jitgrad.optim.scipy_minimize import minimize as minimize
from jitgrad.optim.compiled import Compiled as _Compiled

class ASGD(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., lambd: _float = ..., alpha: _float = ..., t0: _float = ..., weight_decay: _float = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...

class SGD(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., momentum: _float = ..., dampening: _float = ..., weight_decay: _float = ..., nesterov: _bool = ..., *, maximize: _bool = ..., foreach: Any = ..., differentiable: Any = ..., fused: Any = ...) -> None: ...

class Adadelta(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., rho: _float = ..., eps: _float = ..., weight_decay: _float = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...

class Adafactor(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., beta2_decay: _float = ..., eps: tuple[_float | None, _float] = ..., d: _float = ..., weight_decay: _float = ..., *, maximize: _bool = ..., foreach: Any = ...) -> None: ...

class Adagrad(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., lr_decay: _float = ..., weight_decay: _float = ..., initial_accumulator_value: _float = ..., eps: _float = ..., *, maximize: _bool = ..., foreach: Any = ..., differentiable: Any = ..., fused: Any = ...) -> None: ...

class Adam(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., betas: tuple[_float, _float] = ..., eps: _float = ..., weight_decay: _float = ..., amsgrad: _bool = ..., *, maximize: _bool = ..., decoupled_weight_decay: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ..., fused: Any = ...) -> None: ...

class AdamW(Adam):
    def __init__(self, params: Any, lr: _float = ..., betas: tuple[_float, _float] = ..., eps: _float = ..., weight_decay: _float = ..., amsgrad: _bool = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ..., fused: Any = ...) -> None: ...

class Adamax(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., betas: tuple[_float, _float] = ..., eps: _float = ..., weight_decay: _float = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...

class Muon(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., weight_decay: _float = ..., momentum: _float = ..., nesterov: _bool = ..., ns_coefficients: tuple[_float, _float, _float] = ..., eps: _float = ..., ns_steps: _int = ..., adjust_lr_fn: str | None = ...) -> None: ...

class NAdam(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., betas: tuple[_float, _float] = ..., eps: _float = ..., weight_decay: _float = ..., momentum_decay: _float = ..., decoupled_weight_decay: _bool = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...

class RAdam(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., betas: tuple[_float, _float] = ..., eps: _float = ..., weight_decay: _float = ..., decoupled_weight_decay: _bool = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...

class RMSprop(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., alpha: _float = ..., eps: _float = ..., weight_decay: _float = ..., momentum: _float = ..., centered: _bool = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...

class Rprop(_Compiled):
    def __init__(self, params: Any, lr: _float = ..., etas: tuple[_float, _float] = ..., step_sizes: tuple[_float, _float] = ..., *, maximize: _bool = ..., foreach: Any = ..., capturable: Any = ..., differentiable: Any = ...) -> None: ...
