"""All workloads, in the order of the report."""

from __future__ import annotations

from bench import (
    black_scholes,
    chain,
    curvature,
    digits,
    elementwise,
    garch,
    layers,
    linear_algebra,
    loops,
    mlp,
    models,
    native,
    neuron,
    new_functions,
    overhead,
    sampler,
    samples,
    science,
)
from bench.contestants import Workload


def everything(quick: bool = False) -> list[Workload]:
    """The workloads of a full run; the quick ones leave out what takes long."""
    sizes = (100, 10_000, 1_000_000) if quick else elementwise.SIZES
    return [
        *[overhead.overhead(operation, size) for size in (None, 100) for operation in overhead.OPERATIONS],
        neuron.eager_neuron(),
        neuron.neuron(),
        *[elementwise.elementwise(n) for n in sizes],
        *[elementwise.eager_elementwise(n) for n in (elementwise.EAGER_SIZES[:1] if quick else elementwise.EAGER_SIZES)],
        layers.cross_entropy(),
        layers.layer_norm(),
        *[mlp.network(*shape) for shape in (mlp.SHAPES[:2] if quick else mlp.SHAPES)],
        mlp.logistic(),
        digits.digits(),
        black_scholes.black_scholes(10_000 if quick else black_scholes.SIZE),
        science.rosenbrock(),
        science.n_bodies(),
        loops.oscillator(100 if quick else 1000),
        samples.samples(),
        samples.each_sample(),
        curvature.rosenbrock_hessian(),
        curvature.smooth_maximum_hessian(),
        native.descent(1000 if quick else 100_000),
        *[sampler.hamiltonian(data, 2 if quick else 50) for data in ("wines", "tumours")],
        garch.garch(200 if quick else garch.DAYS),
        linear_algebra.systems(),
        linear_algebra.gaussian_process(50 if quick else 200),
        linear_algebra.contraction(),
        models.gaussian_process(),
        models.kalman(20 if quick else 200),
        models.autoencoder(),
        models.transformer(),
        models.convolutions(),
        chain.chain(1000 if quick else chain.ROWS),
        chain.recorded_chain(1000 if quick else chain.ROWS),
        new_functions.new_functions(),
    ]


def tiny() -> list[Workload]:
    """Every kind of workload, as small as it gets: for the tests."""
    return [
        *[overhead.overhead(operation, size) for size in (None, 3) for operation in overhead.OPERATIONS],
        neuron.eager_neuron(),
        neuron.neuron(),
        elementwise.elementwise(7),
        elementwise.eager_elementwise(7),
        layers.cross_entropy(4, 3),
        layers.layer_norm(3, 5),
        mlp.network(5, 3, 4, 2),
        mlp.network(5, 3, 4, 1),
        mlp.logistic(6, 3),
        digits.digits(2, 3, 4),
        black_scholes.black_scholes(6),
        science.rosenbrock(6),
        science.n_bodies(3),
        loops.oscillator(5),
        samples.samples(5, 4, 3, 2),
        samples.each_sample(5, 4, 3, 2),
        curvature.rosenbrock_hessian(4),
        curvature.smooth_maximum_hessian(4),
        native.descent(10),
        *[sampler.hamiltonian(data, 1) for data in ("wines", "tumours")],
        garch.garch(5),
        linear_algebra.systems(9, 3),
        linear_algebra.gaussian_process(6),
        linear_algebra.contraction(4, 2, 3),
        models.gaussian_process(6),
        models.kalman(3),
        models.autoencoder(4, 5),
        models.transformer(2, 3, 4),
        models.convolutions(3),
        chain.chain(20),
        chain.recorded_chain(20),
        new_functions.new_functions(),
    ]
