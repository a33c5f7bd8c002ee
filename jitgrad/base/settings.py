"""`jitgrad.config`: the limits of what is kept, and of what happens behind eager code, to look at and to set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """One limit: what it is to begin with, the least it may be, and what it means."""

    default: Any
    least: int
    meaning: str


SETTINGS = {
    "structure_cache": Setting(True, 0, "remember which reverse sweeps recur, and run those compiled"),
    "background_compile": Setting(True, 0, "compile in a thread beside the program; if not, nothing new is compiled"),
    "large_kernels": Setting(True, 0, "run operations compiled: elementwise on large arrays, reductions of shapes that recur"),
    "large": Setting(1024, 1, "elements from which on an array is large"),
    "structures": Setting(256, 0, "how many kinds of reverse sweeps, and shapes of a reduction, are remembered and compiled"),
    "structure_rows": Setting(512, 1, "rows of a reverse sweep beyond which it is not compiled"),
    "tapes": Setting(128, 1, "tapes, each for one kind of arguments, that a function under jit keeps: those used last"),
    "hot_after": Setting(1.0, 0, "compile when something has cost this many times what compiling takes"),
}


class Config:
    """Settings as attributes. Print it to see them; assign to change one, or change some for a block with `config(...)`.

    A setting takes what its default is, a bool, an int or a number: `TypeError` for other types, `ValueError` below the
    least allowed, `AttributeError` for a name that is none. Settings hold for all threads.

    What is compiled in the background may differ from NumPy's results in the last bits, from when it is ready on. With
    `background_compile=False` from the start of a program, or `structure_cache=False` and `large_kernels=False`, all
    runs of it give the same bits.

    >>> import jitgrad
    >>> with jitgrad.config(structure_cache=False):
    ...     jitgrad.config.structure_cache
    False
    >>> jitgrad.config.structure_cache
    True
    """

    __slots__ = ("_watchers", "values")

    def __init__(self) -> None:
        object.__setattr__(self, "values", {name: setting.default for name, setting in SETTINGS.items()})
        object.__setattr__(self, "_watchers", [])

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}: there are {', '.join(SETTINGS)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.values[name] = _checked(name, value)
        for changed in self._watchers:
            changed()

    def __call__(self, **changes: Any) -> _Changed:
        """A context in which these settings hold."""
        for name, value in changes.items():
            _checked(name, value)
        return _Changed(self, changes)

    def __dir__(self) -> list[str]:
        return sorted(SETTINGS)

    def __repr__(self) -> str:
        wide = max(map(len, SETTINGS))
        return "\n".join(f"{name:<{wide}}  {self.values[name]!s:<6} {s.meaning}" for name, s in SETTINGS.items())

    def __reduce__(self) -> str:
        return "config"

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed()` after every change; as decorator."""
        self._watchers.append(changed)
        return changed


class _Changed:
    def __init__(self, config: Config, changes: dict[str, Any]) -> None:
        self._config = config
        self._changes = changes
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> Config:
        self._before.append({name: getattr(self._config, name) for name in self._changes})
        try:
            for name, value in self._changes.items():
                setattr(self._config, name, value)
        except BaseException:  # an interrupt, after which the block is not entered
            self.__exit__()
            raise
        return self._config

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.pop().items():
            setattr(self._config, name, value)


def _checked(name: str, value: Any) -> Any:
    setting = SETTINGS.get(name)
    if setting is None:
        raise AttributeError(f"there is no setting {name!r}: there are {', '.join(SETTINGS)}")
    kind = type(setting.default)
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise TypeError(f"{name} takes {'a number' if kind is float else f'{kind.__name__}'}, not {type(value).__name__}")
    if not value >= setting.least:
        raise ValueError(f"{name} must be at least {setting.least}, not {value}")
    return kind(value)


config = Config()
