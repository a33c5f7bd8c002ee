"""Kernels on disk: found again, rebuilt when damaged, refused from folders of others; threads, processes, forks."""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from jitgrad.sweeps.code import cache
from jitgrad.sweeps.code import compile as native
from tests.sweeps.test_native import COPY, expected_loop, loop_text, run_loop

posix = pytest.mark.skipif(os.name != "posix", reason="ownership and mode bits are POSIX's")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder of the test's own, not made yet; the trampolines are made before, outside it."""
    monkeypatch.setenv("JITGRAD_CACHE_DIR", "")
    native.trampolines()
    path = tmp_path / "kernels"
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(path))
    monkeypatch.delenv("JITGRAD_CACHE_SIZE", raising=False)
    return path


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from tests.sweeps.test_native import loop_text, run_loop
from jitgrad.sweeps.code import compile as native
assert "numba" not in sys.modules
kernels = [native.compile_text(loop_text(factor=f"{factor}.0"), "loop") for factor in range(3, 3 + int(sys.argv[2]))]
print([kernel.cached for kernel in kernels], run_loop(kernels[0]).tolist())
"""


def program(count=1):
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[2]), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_another_process_finds_the_kernel():
    outputs = []
    for _ in range(2):
        process = program()
        outputs.append(process.communicate()[0].strip())
        assert process.returncode == 0
    first, second = outputs
    assert first.startswith("[False]")
    assert second == first.replace("False", "True")
    np.testing.assert_allclose(np.fromstring(second.split("] [")[1][:-1], sep=","), expected_loop(), rtol=1e-15)


def test_two_processes_compile_at_once(folder):
    processes = [program(8), program(8)]
    outputs = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert outputs[0].split("] [")[1] == outputs[1].split("] [")[1]
    assert cache.info().entries == 9  # and the trampolines
    assert not list(folder.glob("*.part"))


def damaged(data, how):
    if how == "flipped":
        return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    return {"truncated": data[:-50], "empty": b"", "foreign": b"#!/bin/sh\n" * 100, "header": data[:80]}[how]


@pytest.mark.parametrize("how", ["truncated", "empty", "foreign", "header", "flipped", "other key", "link", "folder"])
def test_a_bad_entry_is_rebuilt(folder, how):
    assert not native.compile_text(loop_text(), "loop").cached
    (entry,) = folder.glob("*.kernel")
    data = entry.read_bytes()
    if how == "other key":  # a whole, undamaged kernel, only not this one
        native.compile_text(loop_text(factor="4.0"), "loop")
        data = next(path for path in folder.glob("*.kernel") if path != entry).read_bytes()
        entry.write_bytes(data)
    elif how == "link":
        if os.name != "posix":
            pytest.skip("symbolic links need rights on Windows")
        entry.rename(folder / "elsewhere")
        entry.symlink_to(folder / "elsewhere")
    elif how == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        entry.write_bytes(damaged(data, how))
    kernel = native.compile_text(loop_text(), "loop")
    assert not kernel.cached
    np.testing.assert_allclose(run_loop(kernel), expected_loop(), rtol=1e-15)
    assert native.compile_text(loop_text(), "loop").cached == (how != "folder")


def test_an_object_that_cannot_be_linked_is_rebuilt(folder):
    native.compile_text(COPY, "copy")
    (entry,) = folder.glob("*.kernel")
    assert cache.store(entry.stem, b"a checksum is right, but this is no object file")
    assert not native.compile_text(COPY, "copy").cached
    assert native.compile_text(COPY, "copy").cached


def test_the_key_counts_everything():
    kernels = [
        native.compile_text(COPY, "copy"),
        native.compile_text(COPY, "copy", optimise=False),
        native.compile_text(COPY + ";", "copy"),
        native.compile_text(COPY.replace("%i, 2", "%i, 3"), "copy"),
    ]
    assert not any(kernel.cached for kernel in kernels)
    assert cache.key_of("ab", "c") != cache.key_of("a", "bc")


@posix
@pytest.mark.parametrize("how", ["link", "group", "world", "file", "other user"])
def test_an_untrusted_folder_is_refused_with_one_warning(folder, tmp_path, monkeypatch, how):
    reason = {"link": "symbolic link", "file": "not a folder", "other user": "another user"}.get(how, "other users")
    if how == "link":
        (tmp_path / "target").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "target")
    elif how == "file":
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        folder.chmod({"group": 0o770, "world": 0o707}.get(how, 0o700))
    if how == "other user":
        uid = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: uid)
    with pytest.warns(RuntimeWarning, match=reason):
        assert cache.load("0" * 64) is None
    kernel = native.compile_text(loop_text(), "loop")  # no second warning: it would be an error here
    np.testing.assert_allclose(run_loop(kernel), expected_loop(), rtol=1e-15)
    assert not native.compile_text(loop_text(), "loop").cached
    assert cache.info().folder is None
    assert cache.clear() == 0
    assert not (tmp_path / "target").exists() or not list((tmp_path / "target").iterdir())


@posix
def test_the_folder_is_private_and_respects_the_xdg_variable(monkeypatch, tmp_path, folder):
    assert cache.store("1" * 64, b"code")
    assert folder.stat().st_mode & 0o777 == 0o700
    if sys.platform.startswith("linux"):
        monkeypatch.delenv("JITGRAD_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache.load("1" * 64) is None
        assert cache.store("1" * 64, b"code")
        assert cache.info().folder == tmp_path / "xdg" / "jitgrad"


def test_off(monkeypatch, folder):
    monkeypatch.setenv("JITGRAD_CACHE_DIR", "")
    assert not cache.store("1" * 64, b"code")
    assert cache.load("1" * 64) is None
    assert not native.compile_text(COPY, "copy").cached
    assert not native.compile_text(COPY, "copy").cached
    assert cache.info().folder is None
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_no_error(folder, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert not cache.store("1" * 64, b"code")
    assert cache.load("1" * 64) is None
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(folder))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert not cache.store("1" * 64, b"code")
    assert not list(folder.iterdir())
    assert not native.compile_text(COPY, "copy").cached


def test_the_size_is_bounded_oldest_used_first(folder, monkeypatch):
    monkeypatch.setenv("JITGRAD_CACHE_SIZE", "0.1")
    monkeypatch.setattr(cache, "_TRIM_EVERY", 0)
    monkeypatch.setattr(cache, "_until_trim", 0)
    keys = [f"{i:064x}" for i in range(30)]
    for i, key in enumerate(keys):
        if i:
            assert cache.load(keys[0]) is not None  # always used, so never among the oldest
        assert cache.store(key, bytes(10_000))
        os.utime(folder / f"{key}.kernel", (i, i))
        assert cache.info().bytes <= cache.info().limit == int(0.1 * 2**20)
    assert cache.load(keys[-1])
    assert cache.load(keys[1]) is None
    (folder / "mine.txt").write_text("not a kernel")
    assert cache.clear() > 3
    assert cache.info().entries == 0
    assert (folder / "mine.txt").exists()
    assert not cache.store(keys[0], bytes(200_000))  # larger than all that is allowed
    monkeypatch.setenv("JITGRAD_CACHE_SIZE", "much")
    with pytest.warns(RuntimeWarning, match="not a number"):
        assert cache.info().limit == 256 << 20


def test_a_dropped_kernel_leaves_the_others():
    kernels = [native.compile_text(loop_text(), "loop") for _ in range(6)]
    del kernels[::2]
    gc.collect()
    for kernel in kernels:
        np.testing.assert_allclose(run_loop(kernel), expected_loop(), rtol=1e-15)


def test_four_threads_compile_and_call_at_once():
    results, errors = {}, []

    def work(number):
        try:
            for factor in range(3):
                kernel = native.compile_text(loop_text(factor=f"{factor}.0"), "loop")
                a, o = np.ones(4), np.empty(4)
                native.trampolines().call_nogil(kernel.address, a, np.zeros(4), o, 4)
                results[number, factor] = o.tolist()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert results == {(i, f): [float(f)] * 4 for i in range(4) for f in range(3)}


FORKS = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from tests.sweeps.test_native import loop_text
from jitgrad.sweeps.code import compile as native
done = threading.Event()

def work():
    while not done.is_set():
        native.compile_text(loop_text(), "loop", store=False)

thread = threading.Thread(target=work)
thread.start()
for _ in range(8):
    child = os.fork()
    if child == 0:
        os._exit(0 if native.compile_text(loop_text(), "loop").address else 1)
    assert os.waitpid(child, 0)[1] == 0
done.set()
thread.join()
"""


@posix
def test_forks_while_a_thread_compiles():
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(Path(__file__).parents[2])]
    subprocess.run(command, check=True, timeout=60)
