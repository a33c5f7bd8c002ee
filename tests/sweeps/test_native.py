"""Machine code from LLVM text: compiling it and calling it."""

import ctypes
import gc
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from jitgrad.sweeps.code import cache, compiler, elf
from jitgrad.sweeps.code import compile as native
from jitgrad.sweeps.code import trampolines as calls


def entries(*names):
    """LLVM text that loads the table's first entries under these names."""
    load = "  %{n}_at = getelementptr i64, ptr %table, i64 {i}\n  %{n} = load {t}, ptr %{n}_at\n"
    return "".join(load.format(i=i, n=n, t=t) for i, (n, t) in enumerate(name.split(":") for name in names))


# o[i] = a[i] * factor + f(b[i]) over whole vectors of four; the table is a, b, o, n
LOOP = """
declare double @{function}(double)
declare <4 x double> @llvm.fma.v4f64(<4 x double>, <4 x double>, <4 x double>)

define internal <4 x double> @each(<4 x double> %v) alwaysinline {{
  %v0 = extractelement <4 x double> %v, i64 0
  %r0 = call double @{function}(double %v0)
  %w0 = insertelement <4 x double> %v, double %r0, i64 0
  ret <4 x double> %w0
}}

define void @loop(ptr %table) {{
entry:
{entries}  br label %next
next:
  %i = phi i64 [0, %entry], [%i4, %next]
  %a_i = getelementptr double, ptr %a, i64 %i
  %x = load <4 x double>, ptr %a_i, align 8
  %b_i = getelementptr double, ptr %b, i64 %i
  %y = load <4 x double>, ptr %b_i, align 8
  %z = call <4 x double> @each(<4 x double> %y)
  %r = call <4 x double> @llvm.fma.v4f64(<4 x double> %x, <4 x double> splat (double {factor}), <4 x double> %z)
  %o_i = getelementptr double, ptr %o, i64 %i
  store <4 x double> %r, ptr %o_i, align 8
  %i4 = add i64 %i, 4
  %more = icmp ult i64 %i4, %n
  br i1 %more, label %next, label %end
end:
  ret void
}}
"""
# copies the table's entries from 2 on, as many as table[1] says, to where table[0] points
COPY = f"""
define void @copy(ptr %table) {{
entry:
{entries("to:ptr", "n:i64")}  br label %test
test:
  %i = phi i64 [0, %entry], [%i1, %body]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %end
body:
  %from_i = add i64 %i, 2
  %from = getelementptr i64, ptr %table, i64 %from_i
  %value = load i64, ptr %from
  %to_i = getelementptr i64, ptr %to, i64 %i
  store i64 %value, ptr %to_i
  %i1 = add i64 %i, 1
  br label %test
end:
  ret void
}}
"""


def loop_text(function="sin", factor="3.000000e+00"):
    return LOOP.format(function=function, factor=factor, entries=entries("a:ptr", "b:ptr", "o:ptr", "n:i64"))


def run_loop(kernel, n=8):
    a, b, o = np.arange(float(n)), np.linspace(0.1, 0.9, n), np.empty(n)
    kernel(a, b, o, n)
    return o


def expected_loop(function=math.sin, n=8):
    a, b = np.arange(float(n)), np.linspace(0.1, 0.9, n)
    return 3 * a + np.where(np.arange(n) % 4 == 0, [function(v) for v in b], b)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "kernels"))


@pytest.fixture(params=["generated", "ctypes"])
def ways(request):
    found = native.trampolines() if request.param == "generated" else calls.through_ctypes()
    if found.generated != (request.param == "generated"):
        pytest.skip("this interpreter has no generated trampolines")
    return found


@pytest.mark.quick
def test_a_loop_is_compiled_and_called():
    for optimise in (True, False):
        kernel = native.compile_text(loop_text(), "loop", optimise=optimise)
        np.testing.assert_allclose(run_loop(kernel), expected_loop(), rtol=1e-15)
        assert kernel.address > 0
        assert kernel.seconds > 0
        assert not kernel.cached
        assert "loop" in repr(kernel)


def test_several_functions_of_one_text_and_given_symbols():
    seen = []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int64)(seen.append)
    text = "declare void @tell(i64)\n" + "".join(
        f"define void @{name}(ptr %t) {{\n  call void @tell(i64 {value})\n  ret void\n}}\n"
        for name, value in (("one", 1), ("two", 2))
    )
    symbols = {"tell": ctypes.cast(callback, ctypes.c_void_p).value}
    for cached in (False, True):  # addresses are no part of what is kept on disk
        kernel = native.compile_text(text, "one", also=["two"], symbols=symbols)
        kernel()
        native.trampolines().call_nogil(kernel.also["two"])
        assert kernel.cached == cached
    assert seen == [1, 2, 1, 2]


@pytest.mark.parametrize("name", ["call", "call_nogil"])
def test_call_passes_every_integer_and_array(ways, name):
    call, copy = getattr(ways, name), native.compile_text(COPY, "copy")
    array, readonly = np.arange(6.0), np.frombuffer(b"12345678")
    values = [0, -1, 1, True, 2**63 - 1, -(2**63), 2**31, array, array[::-2], readonly]
    out = np.zeros(len(values), np.int64)
    assert call(copy.address, out, len(values), *values) is None
    assert out.tolist() == [v.ctypes.data if isinstance(v, np.ndarray) else int(v) for v in values]
    for length in (0, 1, 126, 127, 300):  # 128 entries fit on the stack
        out = np.zeros(length, np.int64)
        call(copy.address, out, length, *range(length))
        assert out.tolist() == list(range(length))


@pytest.mark.parametrize("name", ["call", "call_nogil"])
@pytest.mark.parametrize("padding", [0, 200])
def test_call_refuses_what_is_no_integer(ways, name, padding):
    call, address, fill = getattr(ways, name), native.compile_text(COPY, "copy").address, [0] * padding
    for wrong in (1.5, "1", None, np.int64(1), [1]):
        with pytest.raises(TypeError):
            call(address, *fill, wrong)
    for wrong in (2**63, -(2**63) - 1, 2**200):
        with pytest.raises(OverflowError):
            call(address, *fill, wrong)
    for wrong in ((), (None,), (0,), (-1,), ("f",)):
        with pytest.raises(TypeError):
            call(*wrong)
    with pytest.raises(OverflowError):
        call(2**64, 1)
    with pytest.raises(TypeError):
        call(address, key=1)


def test_calls_leak_no_references(ways):
    copy, out = native.compile_text(COPY, "copy"), np.zeros(4, np.int64)
    gc.collect()  # what earlier tests left would give up references while we count
    before = sys.getrefcount(out), sys.getrefcount(None)
    for _ in range(1000):
        ways.call(copy.address, out, 1, out)
        ways.address_of(out)
    after = sys.getrefcount(out), sys.getrefcount(None)
    assert all(abs(a - b) < 100 for a, b in zip(before, after))


def test_address_of(ways):
    readonly, base = np.arange(5), np.arange(24.0).reshape(4, 6)
    readonly.flags.writeable = False
    subclass = base.view(np.recarray)
    for array in (base, base[1:, 2:], base[::-1, ::2], base.T, readonly, np.array(3.5), np.empty(0), np.empty((0, 3))):
        assert ways.address_of(array) == array.ctypes.data
    assert ways.address_of(subclass) == base.ctypes.data
    assert ways.address_of(np.zeros(3, "S5"))
    assert ways.address_of(np.zeros(3, "M8[s]"))
    assert ways.address_of(base > 1)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    array = np.ones(3, bfloat16)
    assert ways.address_of(array[1:]) == array.ctypes.data + 2
    for wrong in (1, None, [1.0], b"bytes", np.float64(1)):
        with pytest.raises(TypeError):
            ways.address_of(wrong)


LIBM = "erf erfc lgamma tan asin acos atan sinh cosh cbrt log2 log10 exp2 asinh atanh tgamma expm1 log1p"


@pytest.mark.parametrize("name", LIBM.split())
def test_libm_functions_resolve(name):
    function = getattr(math, {"tgamma": "gamma"}.get(name, name))
    kernel = native.compile_text(loop_text(name), "loop", store=False)
    np.testing.assert_allclose(run_loop(kernel), expected_loop(function), rtol=1e-14)


def test_declarations_are_found_as_written():
    text = """
    declare noundef double @pow(double, double) #0
declare i32 @"odd name"(ptr)
; we declare here @nothing(
declare float @llvm.exp.f32(float)
@outside = external global i8
@"quoted" = external constant double
@own = internal constant double 1.0
"""
    assert native.imports_of(text) == ["pow", "odd name", "outside", "quoted"]
    for name in ["pow", "atan2", "fmod", "hypot", "acosh", "erff", "powf", "tanf", "PyErr_Occurred"]:
        assert native._symbol_address(name) > 0


def test_wrong_texts_are_clear_errors():
    with pytest.raises(native.CompileError, match="no_such_function"):
        native.compile_text(loop_text("no_such_function"), "loop")
    with pytest.raises(native.CompileError, match="does not accept"):
        native.compile_text("define void @f(ptr %t) {\n  %x = nonsense\n}", "f")
    with pytest.raises(native.CompileError, match="defines no external function"):
        native.compile_text(COPY, "other")
    assert cache.info().entries == 0


def test_wide_vectors_use_the_wide_registers():
    if not compiler.host().triple.startswith("x86_64"):
        pytest.skip("AVX-512 is x86")
    text = (
        COPY
        + """
define void @wide(ptr %t) {
  %x = load <16 x float>, ptr %t, align 4
  %y = fadd <16 x float> %x, %x
  store <16 x float> %y, ptr %t, align 4
  ret void
}
"""
    )
    for cpu in ("skylake-avx512", "sapphirerapids", "znver4"):
        assert "zmm" in compiler.assembly(text, "wide", cpu=cpu)
    assert "wide" in compiler.assembly(text, "wide")


HOLDER = """
@total = internal global i64 0
@table = internal constant [2 x i64] [i64 3, i64 4]
declare double @cos(double)
define void @count(ptr %t) {
  %out = load ptr, ptr %t
  %i = load i64, ptr @total
  %next = add i64 %i, 1
  store i64 %next, ptr @total
  %low = and i64 %i, 1
  %place = getelementptr [2 x i64], ptr @table, i64 0, i64 %low
  %value = load i64, ptr %place
  %f = sitofp i64 %value to double
  %y = call double @cos(double %f)
  store double %y, ptr %out
  call void @llvm.memset.p0.i64(ptr %out, i8 0, i64 0, i1 false)
  ret void
}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


@pytest.mark.parametrize("linker", ["own", "LLVM"])
def test_object_code_with_data_and_imports_is_loaded(linker, monkeypatch):
    """Data that is written to, constants, and functions of libm; by both ways into memory where there are two."""
    if linker == "LLVM":
        monkeypatch.setattr(elf, "load", lambda *_: None)
    kernel = native.compile_text(HOLDER, "count", store=False)
    assert isinstance(kernel._library, elf.Loaded) == (linker == "own" and elf.SUPPORTED)
    out = np.empty(2)
    for value in (3, 4, 3):
        kernel(out, 0)
        assert out[0] == pytest.approx(math.cos(value), rel=1e-15)


@pytest.mark.skipif(not elf.SUPPORTED, reason="there is no way into memory but LLVM's on this machine")
def test_object_code_that_is_not_as_expected_is_left_to_llvm():
    code = compiler.object_code(HOLDER, ("count",))
    address = native._symbol_address("cos")
    assert elf.load(code, ("count",), {"cos": address})["count"]
    assert elf.load(code, ("count", "missing"), {"cos": address}) is None
    assert elf.load(code.replace(b"cos", b"c0s"), ("count",), {}) is None, "a symbol that nobody has"
    for cut in (0, 10, 63, 64, len(code) // 2, len(code) - 1):
        assert elf.load(code[:cut], ("count",), {"cos": address}) is None
    for place, byte in ((4, 1), (5, 2), (16, 2), (18, 3)):  # 32 bits, big endian, an executable, another CPU
        assert elf.load(code[:place] + bytes([byte]) + code[place + 1 :], ("count",), {"cos": address}) is None
    with pytest.raises(native.CompileError):
        native.link_object(code[: len(code) // 2], "count", ["cos"], {})


def test_a_filled_cache_needs_no_llvm(tmp_path):
    text = """import sys, jitgrad as jg
print(jg.jit(jg.grad(lambda x: (x * x).sin().sum()))(jg.ones(5)).tolist())
print('llvmlite.binding' in sys.modules)"""
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path)}
    run = lambda: subprocess.check_output([sys.executable, "-c", text], env=environment, text=True).split("\n")
    (first, compiled, _), (second, compiled_again, _) = run(), run()
    assert first == second
    assert (compiled, compiled_again) == ("True", str(not elf.SUPPORTED))
