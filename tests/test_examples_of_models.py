"""The examples that fit statistical models and networks: what they compute, beside plain NumPy and SciPy."""

from __future__ import annotations

import numpy as np

import jitgrad as jg
from tests.helpers.examples import small_form

import autoencoder  # isort: skip
import convolutions  # isort: skip
import gaussian_process  # isort: skip
import kalman  # isort: skip
import transformer  # isort: skip

NILE = np.fromstring(
    """1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140 1100 1210 1150 1250 1260 1220
    1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969 831 726 456 824 702 1120 1100 832 764 821 768 845 864 862 698 845
    744 796 1040 759 781 865 845 944 984 897 822 1010 771 676 649 846 812 742 801 1040 860 874 848 890 744 749 838 1050 918 986
    797 923 975 815 1020 906 901 1170 912 746 919 718 714 740""",
    sep=" ",
)
"""Its flow in the years from 1871 on, in 1e8 m³: G. W. Cobb, The problem of the Nile, Biometrika 65 (1978)."""


def squared_exponential(p, a, b):
    return np.exp(2 * p["height"]) * np.exp(-0.5 * ((a[:, None] - b) / np.exp(p["length"])) ** 2)


def test_the_gaussian_process_is_the_normal_distribution_it_means():
    from scipy.stats import multivariate_normal

    x, y, _ = gaussian_process.measurements(20)
    p, new = {"height": 0.3, "length": -0.2, "noise": -1.0}, np.array([0.5, 3.0, 12.0])
    spread = squared_exponential(p, x, x) + np.exp(2 * p["noise"]) * np.eye(20)
    value = jg.jit(gaussian_process.loss)(p, x, y).item()
    np.testing.assert_allclose(value, -multivariate_normal.logpdf(y, cov=spread), rtol=1e-10)
    mean, deviation = gaussian_process.predict(p, x, y, new)
    between = squared_exponential(p, new, x)
    np.testing.assert_allclose(mean.numpy(), between @ np.linalg.solve(spread, y), rtol=1e-8, atol=1e-10)
    left = squared_exponential(p, new, new) - between @ np.linalg.solve(spread, between.T)
    np.testing.assert_allclose(deviation.numpy() ** 2, np.diag(left), rtol=1e-8)


def test_the_gaussian_process_finds_the_truth():
    fitted, errors, inside = small_form("gaussian_process")[0]
    off = [fitted[name] - np.log(truth) for name, truth in gaussian_process.TRUTH.items()]
    assert (abs(np.array(off)) < 2.5 * errors).all()
    assert inside > 0.85


def test_the_kalman_filter_gives_the_density_of_all_measurements_together():
    from scipy.stats import multivariate_normal

    _, measured = kalman.simulated(6)
    p = np.array([-0.5, 0.4])
    means, densities = jg.jit(kalman.drive)(p, measured)
    rough, state, states = np.exp(2 * p[0]) * kalman.PUSH @ kalman.PUSH.T, 100 * np.eye(4), []
    for _ in measured:
        state = kalman.MOVE @ state @ kalman.MOVE.T + rough
        states.append(state)
    later = [np.linalg.matrix_power(kalman.MOVE, n) for n in range(6)]
    half = [
        [kalman.SEEN @ later[j - i] @ states[i] @ kalman.SEEN.T if j >= i else np.zeros((2, 2)) for i in range(6)]
        for j in range(6)
    ]
    lower = np.tril(np.block(half))
    spread = lower + np.tril(lower, -1).T + np.exp(2 * p[1]) * np.eye(12)
    np.testing.assert_allclose(densities.sum().item(), multivariate_normal.logpdf(measured.ravel(), cov=spread), rtol=1e-9)
    between = np.hstack([later[5 - i] @ states[i] @ kalman.SEEN.T for i in range(6)])
    np.testing.assert_allclose(means[-1].numpy(), between @ np.linalg.solve(spread, measured.ravel()), rtol=1e-7)


def test_the_kalman_filter_says_of_the_nile_what_the_literature_does():
    """J. Durbin and S. J. Koopman, Time series analysis by state space methods, 2001, section 2.10: 15099 and 1469.1."""
    one = jg.tensor([[1.0]], dtype=jg.float64)

    def loss(p, flow):
        rough, noise = (jg.exp(p[i]) * one for i in (0, 1))
        return -kalman.filtered(one, rough, one, noise, jg.zeros(1, dtype=jg.float64), 1e7 * one, flow)[1].mean()

    found = jg.optim.minimize(loss, np.log([1000.0, 10000.0]), (NILE[:, None],), "BFGS", tol=1e-7)
    np.testing.assert_allclose(np.exp(found.x), [1469.1, 15099], rtol=2e-3)


def test_the_kalman_filter_finds_the_truth_and_the_way():
    estimates, errors, off = small_form("kalman")[0]
    assert (abs(np.log(estimates / kalman.TRUTH)) < 2.5 * np.log(errors)).all()
    assert off[0] < 0.8 * off[1]


def test_the_bound_of_the_autoencoder_is_below_that_of_pixels_apart():
    bound, apart = small_form("autoencoder")[0]
    assert bound < apart - 1


def test_what_a_place_costs_is_the_divergence_from_the_normal_distribution():
    from scipy.integrate import quad
    from scipy.stats import norm

    w = autoencoder.weights()
    w["place"] = (jg.zeros(autoencoder.HIDDEN, 4), jg.tensor([0.5, 0.0, -0.7, 0.0]))
    w["paint"] = (jg.zeros(autoencoder.HIDDEN, 64), jg.zeros(64))
    value = autoencoder.loss(w, jg.rand(3, 64, generator=jg.Generator().manual_seed(1)), jg.Generator().manual_seed(0)).item()
    own = norm(0.5, np.exp(-0.7))
    divergence = quad(lambda z: own.pdf(z) * (own.logpdf(z) - norm.logpdf(z)), -6, 7)[0]
    np.testing.assert_allclose(value, 64 * np.log(2) + divergence, rtol=1e-5)


def test_the_transformer_learns_and_never_looks_ahead():
    assert small_form("transformer")[0] > 0.3
    w, text = transformer.weights(), transformer.sequences(2, np.random.default_rng(0))
    other = text.copy()
    other[:, -3:] = (other[:, -3:] + 1) % transformer.LETTERS
    before, after = (transformer.scores(w, jg.tensor(part)).numpy() for part in (text, other))
    np.testing.assert_array_equal(before[:, :-2], after[:, :-2])
    assert (abs(before[:, -2:] - after[:, -2:]).max(-1) > 1e-3).all()


def test_digits_are_changed_as_scipy_changes_them():
    from scipy.ndimage import affine_transform

    x = jg.tensor(convolutions.digits()[0][:5]).reshape(-1, 1, 8, 8)
    found = convolutions.changed(x, jg.Generator().manual_seed(3))
    chance = 2 * jg.rand(4, 5, generator=jg.Generator().manual_seed(3)).numpy() - 1
    for picture, got, (turn, scale, across, down) in zip(x[:, 0].numpy(), found[:, 0].numpy(), chance.T):
        turn, scale = convolutions.TURN * turn, 1 + convolutions.SCALE * scale
        matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])  # of (down, across)
        moved = 4 * convolutions.SHIFT * np.array([down, across]) + 3.5 - matrix @ [3.5, 3.5]
        want = affine_transform(picture.astype(float), matrix, moved, order=1, mode="grid-constant")
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_convolutional_network_learns_the_digits():
    shares = small_form("convolutions")[0]
    assert min(shares.values()) > 0.85
