"""The simulator computes what a kernel says, and finds what it does wrong."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.simulator import Race, run

FLAT = "i = i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))"
SUM = f"""def kernel(x, out, n):
    shared = cuda.shared.array(8, float64)
    {FLAT}
    t = i32(cuda.threadIdx.x)
    total = float64(0)
    while i < n:
        total = float64(total + float64(x[i]))
        i = i32(i + i32(cuda.gridDim.x) * i32(cuda.blockDim.x))
    shared[t] = total
    cuda.syncthreads()
    width = i32(4)
    while width > 0:
        if t < width:
            shared[t] += shared[t + width]
        cuda.syncthreads()
        width = i32(width // 2)
    if t == 0:
        out[i32(cuda.blockIdx.x)] = shared[0]
"""


def text(*lines, parameters="x"):
    return f"def kernel({parameters}):\n" + "".join(f"    {line}\n" for line in lines)


def one(lines, array, block=4, grid=1, check=True):
    """Run the text of a kernel with one array."""
    run(Kernel(text(*lines), (f"*{array.dtype.name}",), block), grid, [array], check)
    return array


def zeros(n):
    return np.zeros(n, np.float32)


@pytest.mark.parametrize("grid", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000])
@pytest.mark.parametrize("check", [True, False])
def test_a_sum(n, grid, check):
    x, out = np.random.default_rng(n).normal(size=n).astype(np.float32), np.full(grid, np.nan)
    run(Kernel(SUM, ("*float32", "*float64", "int32"), 8), grid, [x, out, n], check)
    np.testing.assert_allclose(out.sum(), x.astype(np.float64).sum(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_barrier_is_found(number):
    parts = SUM.split("cuda.syncthreads()")
    lacking = "cuda.syncthreads()".join([*parts[:number], parts[number] + "pass" + parts[number + 1], *parts[number + 2 :]])
    kernel = Kernel(lacking, ("*float32", "*float64", "int32"), 8)
    with pytest.raises(Race, match=r"of `shared`: thread \d of block 0 .* and thread \d of block 0 .*no barrier between"):
        run(kernel, 2, [zeros(100), np.zeros(2), 100])
    run(kernel, 2, [zeros(100), np.zeros(2), 100], check=False)


def test_two_blocks_write_one_element():
    with pytest.raises(Race, match=r"element 3 of `x`: thread 3 of block 0 wrote it, and thread 3 of block 1 writes .* no order"):
        one(["if cuda.threadIdx.x == 3:", "    x[3] = float32(1)"], zeros(8), grid=2)


def test_who_raced_with_whom_is_told_rightly():
    """Another thread of the same block touched the element as well, but a barrier lies between."""
    lines = [
        "t = i32(cuda.threadIdx.x)",
        "if t == 1:",
        "    y = x[0]",
        "cuda.syncthreads()",
        "if t == 2:",
        "    x[0] = float32(1)",
    ]
    assert one(lines, zeros(1))[0] == 1
    with pytest.raises(Race, match="thread 2 of block 0 wrote it, and thread 1 of block 1 reads it"):
        one(lines, zeros(1), grid=2)


def test_a_block_reads_what_another_wrote():
    with pytest.raises(Race, match="thread 0 of block 0 wrote it, and thread 0 of block 1 reads it, but blocks have no order"):
        one(["if cuda.blockIdx.x == 0:", "    x[0] = float32(1)", "y = x[0]"], zeros(1), block=1, grid=2)


def test_threads_of_a_block_race_in_global_memory_without_a_barrier():
    lines = ["t = i32(cuda.threadIdx.x)", "x[t] = float32(t)", "{}", "y = x[3 - t]"]
    with pytest.raises(Race, match="no barrier between"):
        one([line.format("pass") for line in lines], zeros(4))
    one([line.format("cuda.syncthreads()") for line in lines], zeros(4))


def test_a_race_between_two_names_of_one_memory():
    kernel = Kernel(text("t = i32(cuda.threadIdx.x)", "y[t] = x[t]", parameters="x, y"), ("*float32", "*float32"), 4)
    memory = zeros(8)
    run(kernel, 1, [memory, memory])
    run(kernel, 1, [memory[:4], memory[4:]])
    with pytest.raises(Race, match="`x` and `y`"):
        run(kernel, 1, [memory[:4], memory[1:5]])
    halves = Kernel(kernel.text, ("*float64", "*float32"), 4)
    with pytest.raises(Race, match="`x` and `y`"):
        run(halves, 1, [memory.view(np.float64), memory])


def test_what_is_only_read_or_is_a_thread_s_own_is_no_race():
    one(["y = x[0]"], zeros(1), grid=3)
    one([FLAT, "x[i] = float32(1)", "x[i] = x[i] + float32(1)", "x[i] += x[i]"], zeros(12), grid=3)


def test_lines_that_say_that_any_order_will_do():
    assert one(["x[0] = float32(1)  # in any order"], zeros(1), grid=2)[0] == 1
    with pytest.raises(IndexError, match="index 1 of an array of 1"):
        one(["x[1] = float32(1)  # in any order"], zeros(1))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x[4] = float32(1)", r"writes element 4 of `x`, which has 4: .*thread 0 of block 0, line 4: x\[4\] = float32\(1\)"),
        ("y = x[-1]", "reads element -1 of `x`, which has 4"),
        ("y = x[i32(cuda.threadIdx.x) + 2]", "reads element 4 of `x`, which has 4: .*thread 2 of block 0"),
        ("s[2] = float32(1)", "writes element 2 of `s`"),
        ("s[-1] += float32(1)", "reads element -1 of `s`"),
        ("l[-1] = int32(1)", "writes element -1 of `l`"),
        ("l[3] += 1", "reads element 3 of `l`"),
    ],
)
@pytest.mark.parametrize("barrier", ["pass", "cuda.syncthreads()"])
def test_out_of_bounds(line, said, barrier):
    lines = ["s = cuda.shared.array(2, float32)", "l = cuda.local.array(3, int32)", line, barrier]
    with pytest.raises(IndexError, match=said):
        one(lines, zeros(4))


def test_barriers_that_not_all_get_to():
    with pytest.raises(RuntimeError, match=r"threads \[2, 3\] have ended, threads \[0, 1\] wait at line 3"):
        one(["if cuda.threadIdx.x < 2:", "    cuda.syncthreads()"], zeros(1))
    split = ["if cuda.threadIdx.x < 2:", "    cuda.syncthreads()", "else:", "    cuda.syncthreads()"]
    with pytest.raises(RuntimeError, match=r"threads \[0, 1\] wait at line 3, threads \[2, 3\] wait at line 5"):
        one(split, zeros(1), check=False)


def test_fresh_shared_and_local_memory_holds_nonsense():
    lines = ["s = cuda.shared.array(2, float32)", "l = cuda.local.array(2, int32)", "t = i32(cuda.threadIdx.x)"]
    found = one([*lines, "x[2 * t] = s[t]", "x[2 * t + 1] = float32(l[t])", "s[t] = float32(0)", "l[t] = 0"], zeros(4), block=2)
    np.testing.assert_array_equal(found, [np.nan, -1, np.nan, -1])
    again = ["s = cuda.shared.array(2, float32)", "t = i32(cuda.threadIdx.x)", f"{FLAT}", "x[i] = s[t]", "s[t] = float32(0)"]
    assert np.isnan(one(again, zeros(6), block=2, grid=3)).all()


def test_indices_have_to_fit():
    with pytest.raises(OverflowError, match="line 3: i = i32"):
        one(["i = i32(2147483647)", "i = i32(i + 1)"], zeros(1))
    with pytest.raises(OverflowError, match="int32"):
        run(Kernel(text("pass"), ("int32",), 1), 1, [2**31])


def test_arguments_have_to_fit():
    kernel = Kernel(text("pass", parameters="x, n"), ("*uint16", "uint16"), 1)
    run(kernel, 1, [np.zeros(3, ml_dtypes.bfloat16), np.uint16(3)])
    with pytest.raises(TypeError, match="takes 2 arguments, and was given 1"):
        run(kernel, 1, [np.zeros(3, np.uint16)])
    with pytest.raises(TypeError, match="and was given one of float32"):
        run(kernel, 1, [zeros(3), 1])
    with pytest.raises(TypeError, match="in order"):
        run(kernel, 1, [np.zeros(6, np.uint16)[::2], 1])
    with pytest.raises(TypeError, match=r"takes uint16, and was given .* a bfloat16"):
        run(kernel, 1, [np.zeros(3, np.uint16), ml_dtypes.bfloat16(1.5)])
    with pytest.raises(TypeError, match="1 parameters, and 0 types"):
        run(Kernel(text("pass"), (), 1), 1, [])


T = "t = i32(cuda.threadIdx.x)"


def test_a_warp_passes_values_on():
    x = one([T, "x[t] = cuda.shfl_down_sync(0xf, float32(t), 1)"], zeros(8), block=8)
    assert x.tolist() == [1, 2, 3, 3, 5, 6, 7, 7]  # beyond the end each has its own
    x = one([T, "v = cuda.shfl_sync(0xf, float32(10 * t), 2)", "x[t] = v"], zeros(8), block=8)
    assert x.tolist() == [20] * 4 + [60] * 4


def test_a_warp_waits_for_itself_alone():
    neighbour = "x[8 + t] = x[t - t % 4 + (t + 1) % 4]"
    x = one([T, "x[t] = float32(t)", "cuda.syncwarp(0xf)", neighbour], zeros(16), block=8)
    assert x[8:].tolist() == [1, 2, 3, 0, 5, 6, 7, 4]
    with pytest.raises(Race, match="thread 1 of block 0 writes it, but there is no barrier"):
        one([T, "x[t] = float32(t)", neighbour], zeros(16), block=8)
    other = "x[8 + t] = x[(t + 4) % 8]"
    with pytest.raises(Race, match="thread 4 of block 0"):
        one([T, "x[t] = float32(t)", "cuda.syncwarp(0xf)", other], zeros(16), block=8)
    x = one([T, "x[t] = float32(t)", "cuda.syncwarp(0xf)", "cuda.syncthreads()", other], zeros(16), block=8)
    assert x[8:].tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


def test_warps_may_take_ways_of_their_own_but_not_their_threads():
    x = one([T, "if t < 4:", "    x[t] = cuda.shfl_sync(0xf, float32(t), 3)"], zeros(8), block=8)
    assert x.tolist() == [3, 3, 3, 3, 0, 0, 0, 0]
    with pytest.raises(RuntimeError, match=r"threads of the warp.*threads \[6, 7\] have ended, threads \[4, 5\] wait at line 4"):
        one([T, "if t < 6:", "    x[t] = cuda.shfl_sync(0xf, float32(t), 3)"], zeros(8), block=8)
    with pytest.raises(RuntimeError, match="a warp of 2 threads, where line 2 wants 4"):
        one(["cuda.syncwarp(0xf)"], zeros(8), block=6)
