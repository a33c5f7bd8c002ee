"""What complex numbers come to on a device, where there are no kernels of them yet."""

import pytest

import jitgrad as jg

CALLS = {
    "arithmetic": lambda x, z: z * 2,
    "of real ones": lambda x, z: jg.fft.rfft(x),
    "made of real ones": lambda x, z: jg.complex(x, x),
    "a real one times i": lambda x, z: x * 1j,
    "a function": lambda x, z: jg.exp(z),
    "a sum": lambda x, z: z.sum(),
    "a view": lambda x, z: z.real,
}


@pytest.mark.parametrize("name", CALLS)
def test_operations_say_that_they_run_on_the_cpu(name):
    x, z = jg.tensor([1.0, 2.0]), jg.tensor([1 + 2j, 3.0])
    there = x.to("cuda"), z.to("cuda")
    assert there[1].cpu().tolist() == z.tolist()
    with pytest.raises(NotImplementedError, match="CPU"):
        CALLS[name](*there)
    with pytest.raises(NotImplementedError):
        jg.jit(CALLS[name])(*there)
