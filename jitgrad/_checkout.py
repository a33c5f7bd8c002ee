"""A checkout keeps the kernels beside the package, where a wheel has them inside: make them `jitgrad.kernels` all the same."""

import importlib.util
import os
import sys

_NAME = "jitgrad.kernels"
_HERE = os.path.dirname(os.path.abspath(__file__))
_BESIDE = os.path.join(os.path.dirname(_HERE), "kernels")

if not os.path.isdir(os.path.join(_HERE, "kernels")) and os.path.isdir(_BESIDE):
    _spec = importlib.util.spec_from_file_location(_NAME, os.path.join(_BESIDE, "__init__.py"))
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[_NAME] = sys.modules["jitgrad"].kernels = importlib.util.module_from_spec(_spec)  # type: ignore[attr-defined]
    _spec.loader.exec_module(sys.modules[_NAME])
