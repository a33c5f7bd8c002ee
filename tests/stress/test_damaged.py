"""Files with machine code that somebody damaged or planted: refused with a clear error, or made again, and never run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import DamagedFileError
from jitgrad.native import artefact
from jitgrad.sweeps.code import cache
from jitgrad.sweeps.code import compile as native
from tests.stress.alone import LONGER, alone

pytestmark = pytest.mark.stress

MUTATIONS = r"""
import hashlib, json, pathlib, random, sys, tempfile
import numpy as np, jitgrad as jg
from jitgrad.errors import DamagedFileError
from jitgrad.native import artefact
from jitgrad.sweeps.code import elf

seed, count, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
weights = jg.tensor(np.linspace(0, 1, 300))
loss = lambda p, x: {"loss": ((p["w"] * x).tanh() * weights).sum(), "more": (p["w"].exp(), p["b"] * 2)}
args = {"w": np.ones(300), "b": np.float32(2)}, np.ones(300)
path = pathlib.Path(tempfile.mkdtemp()) / "f.native"
jg.jit(loss).compile(*args).save(path)
content = path.read_bytes()
manifest, data, code = artefact.unpacked(content, "f")
assert content == artefact.packed(manifest, data, code)

def places(value, at=()):
    yield at
    for key, inner in (value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield from places(inner, (*at, key))

STRANGE = [None, True, -1, 0, 1, 10, 300, 2**31, 2**63, 2**70, 1.5, float("nan"), "", "float64", "int8", "object", "tuple",
           "dict", "a b", "a\0b", [], [10], [[]], [-1], ["x"], {}, {"fixed": 1}, {"shape": [10], "dtype": "float64"}, "\ud800",
           "free"]

def other_json():
    found = json.loads(json.dumps(manifest))
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.choice([p for p in places(found) if p])
        inner = found
        for key in at[:-1]:
            inner = inner[key]
        what = rng.random()
        if what < 0.2:
            del inner[at[-1]]
        elif what < 0.3 and isinstance(inner, list):
            inner.insert(0, inner[at[-1]])
        else:
            inner[at[-1]] = rng.choice(STRANGE)
    return found

def other_bytes(part, most=4):
    part = bytearray(part)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(part))
        what = rng.random()
        if what < 0.6:
            part[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif what < 0.8:
            part[at : at + 8] = rng.choice([b"\xff" * 8, b"\0" * 8, rng.randbytes(8)])
        elif what < 0.9:
            del part[at : at + rng.randint(1, 40)]
        else:
            part[at:at] = rng.randbytes(rng.randint(1, 40))
    return bytes(part)

def renewed(body):
    return artefact._MAGIC + hashlib.sha256(body).digest() + body

refused = taken = 0
for _ in range(count):
    start = len(artefact._MAGIC) + 32
    try:
        if how == "checksum":  # any bytes, or the description, under a checksum that is right
            changed = rng.choice([
                lambda: renewed(other_bytes(content[start:])),
                lambda: renewed(other_bytes(content[start : start + 60]) + content[start + 60 :]),
                lambda: artefact.packed(other_json(), data, code), lambda: artefact.packed(manifest, other_bytes(data), code),
                lambda: artefact.packed(manifest, data, other_bytes(code)), lambda: artefact.packed(manifest, data[:-64], code),
            ])()
        else:  # the seal, too
            lies = other_json()
            changed = artefact.packed(lies, data, artefact.sealed(lies, data, code))
    except (UnicodeEncodeError, KeyError):
        continue
    if changed == content:
        continue
    path.write_bytes(changed)
    try:
        loaded = jg.load_compiled(path)
        taken += 1
        assert how == "seal", "a changed file was loaded"
    except (DamagedFileError, RuntimeError) as error:  # RuntimeError: of another version or CPU
        assert isinstance(error, DamagedFileError) or "was saved for" in str(error) or "declares the function" in str(error) or (
            how == "seal" and "cannot link" in str(error)), repr(error)
        refused += 1
assert refused > count // 3, (refused, taken)

symbol, found = manifest["symbol"], []
for _ in range(count if how == "checksum" else 0):  # what takes object files apart, by itself
    head = 64 if rng.random() < 0.3 else len(code)
    changed = other_bytes(code[:head]) + code[head:]
    if rng.random() < 0.3:
        changed = changed[: rng.randrange(len(changed))]
    found.append(elf.load(changed, (symbol,), {"jitgrad_data": 4096, **dict.fromkeys(manifest["imports"], 4096)}))
print("good")
"""


@pytest.mark.parametrize("how", ["checksum", "seal"])
def test_native_functions_whose_files_lie(how: str) -> None:
    assert alone(MUTATIONS, 1, int(400 * LONGER), how) == "good\n"


def lying(tmp_path: Path) -> tuple[Path, dict, bytes, bytes]:
    path = tmp_path / "f.native"
    jg.value_and_grad(lambda x: (x * x * jg.tensor(np.arange(300.0))).sum()).compile(np.zeros(300)).save(path)
    return path, *artefact.unpacked(path.read_bytes(), "f")


@pytest.mark.parametrize("what", ["dtype", "shape", "labels", "leaves", "structure", "constants", "symbol", "imports", "text"])
def test_a_description_that_does_not_belong_to_the_code(what: str, tmp_path: Path) -> None:
    path, manifest, data, code = lying(tmp_path)
    results = manifest["results"]
    if what == "dtype":
        results["leaves"][1]["dtype"] = "float32"
    elif what == "shape":
        results["leaves"][1]["shape"] = [10]
    elif what in ("labels", "leaves"):
        results[what].pop()
    elif what == "structure":
        results["structure"]["parts"].append(None)
    elif what == "constants":
        data = data[: len(data) // 2]
    else:
        manifest[what] = {"symbol": "memcpy", "imports": ["free"], "text": "define void @x() {"}[what]
    path.write_bytes(artefact.packed(manifest, data, code))
    with pytest.raises(DamagedFileError, match=r"f\.native is damaged: .*: save it again"):
        jg.load_compiled(path)
    if what in ("labels", "leaves", "structure"):  # also where the seal was made anew
        path.write_bytes(artefact.packed(manifest, data, artefact.sealed(manifest, data, code)))
        with pytest.raises(DamagedFileError, match=r"f\.native is damaged: there are as many leaves"):
            jg.load_compiled(path)


# Entries of the disk cache.

TEXT = """
define void @planted(ptr %table) {{
  %out = load ptr, ptr %table
  store i64 {number}, ptr %out
  ret void
}}
"""
posix = pytest.mark.skipif(os.name != "posix", reason="ownership and mode bits are POSIX's")


def run() -> tuple[int, bool]:
    kernel = native.compile_text(TEXT.format(number=1), "planted")
    out = np.zeros(1, np.int64)
    kernel(out)
    return int(out[0]), kernel.cached


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of an entry that is whole by its checksum, but holds other code."""
    native.trampolines()
    folder = tmp_path / "above" / "kernels"
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(folder))
    native.compile_text(TEXT.format(number=1), "planted")
    (entry,) = folder.glob("*.kernel")
    key = entry.stem
    entry.unlink()
    native.compile_text(TEXT.format(number=2), "planted")
    (other,) = folder.glob("*.kernel")
    code = cache.load(other.stem)
    assert code is not None
    other.unlink()
    assert cache.store(key, code)
    assert run() == (2, True)  # it would run
    return entry


@posix
@pytest.mark.parametrize("mode", [0o666, 0o622, 0o620, 0o602])
def test_an_entry_that_others_can_write_to_is_made_again(mode: int, planted: Path) -> None:
    planted.chmod(mode)
    assert run() == (1, False)
    assert stat.S_IMODE(planted.stat().st_mode) == 0o600
    assert run() == (1, True)


@posix
@pytest.mark.skipif(os.name == "posix" and os.getuid() != 0, reason="only root can give files away")
def test_an_entry_of_another_user_is_made_again(planted: Path) -> None:
    os.chown(planted, 12345, 12345)
    assert run() == (1, False)
    assert planted.stat().st_uid == os.getuid()


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_what_the_warning_advises_does_not_run_what_was_planted(mode: int, planted: Path) -> None:
    folder = planted.parent
    folder.chmod(mode)
    with pytest.warns(RuntimeWarning, match=r"written to by other users: remove it with all that is in it, and .* is made$"):
        assert run() == (1, False)
    cache._warned.clear()
    planted.unlink()
    folder.rmdir()
    assert run() == (1, False)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o775, True), (0o1777, False), (0o755, False)])
def test_a_folder_that_could_be_exchanged(mode: int, refused: bool, planted: Path) -> None:
    above = planted.parent.parent
    above.chmod(mode)
    planted.unlink()
    if not refused:
        assert [run(), run()] == [(1, False), (1, True)]
        return
    with pytest.warns(RuntimeWarning, match=r"is in .*above, which can be written to by other users: set JITGRAD_CACHE_DIR"):
        assert [run(), run()] == [(1, False), (1, False)]


@posix
def test_folders_are_made_for_the_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "a" / "b" / "c"))
    before = os.umask(0)
    try:
        assert cache.store("1" * 64, b"code")
    finally:
        os.umask(before)
    for folder in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
def test_links_on_the_way_are_followed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "link" / "kernels"))
    assert cache.store("1" * 64, b"code")
    assert cache.info().folder == tmp_path / "real" / "kernels"
