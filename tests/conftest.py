"""Fixtures for all tests."""

from __future__ import annotations

import itertools

import numba
import pytest

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures
from jitgrad.functions.registered import REGISTERED, forget
from jitgrad.jitted.rerecording import Recheck
from jitgrad.sweeps.numba.names import namespace


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """All tests are shared between processes, one for each core; a few are quicker in one. `-n` says otherwise."""
    option = config.option
    if hasattr(config, "workerinput"):  # this is one of them
        return
    everything = config.args_source is config.ArgsSource.TESTPATHS and not (
        option.markexpr or option.keyword or getattr(option, "lf", False)
    )
    if everything and config.pluginmanager.hasplugin("xdist") and option.numprocesses is None and option.dist == "no":
        option.numprocesses, option.dist = "auto", "worksteal"  # neighbours stay together, and share what a module makes once


@pytest.fixture(autouse=True)
def nothing_in_the_background():
    """What a test has had compiled in the background is ready before the next one begins, some of which count things."""
    yield
    background.wait()


@pytest.fixture(autouse=True)
def nothing_stays_registered():
    """The rows that a test registers are gone when the next one begins, some of which go through all."""
    yield
    for name in [*REGISTERED]:
        forget(name)


@pytest.fixture(autouse=True)
def as_python(monkeypatch):
    """The numba sweep runs its functions as Python, as with NUMBA_DISABLE_JIT: compiling them takes seconds each."""
    monkeypatch.setitem(namespace(), "njit", lambda **options: lambda function: function)


@pytest.fixture
def compiled_by_numba(as_python, monkeypatch):
    """It compiles them after all."""
    monkeypatch.setitem(namespace(), "njit", numba.njit)


@pytest.fixture
def hot_at_once(monkeypatch):
    """Every sweep is looked at, and compiled the first time."""
    monkeypatch.setattr(structures, "chance", lambda: 0.0)
    with jg.config(hot_after=0, structures=100_000):
        structures.forget()
        yield
        background.wait()
        structures.forget()


@pytest.fixture
def believed(monkeypatch):
    """Functions under `jit` are recorded once, and not again at their second call."""
    begin = Recheck.__init__

    def believing(self, *args):
        begin(self, *args)
        self.calls = itertools.repeat(None)

    monkeypatch.setattr(Recheck, "__init__", believing)
