"""The error function: erf, erfc, erfinv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.kernels.common import both, horner, power_of_two, singles
from jitgrad.kernels.exponential import E32, E64, Exponential, exp_less_1, less_whole_ln2
from jitgrad.kernels.logarithm import log_inside_f32, log_inside_f64
from jitgrad.kernels.primitives import bits, copysign, fma, select, sqrt


class Error(NamedTuple):
    e: Exponential
    near: tuple  # erf(a)/a - 1 as a polynomial in a^2, a <= near_0; relative error of erf: 2^-29, 2^-56
    far: tuple  # ln(erfc(a)) as a polynomial in a, from near_0 to far_max; relative error of erf: 2^-29, 2^-56
    near_0: Any
    far_max: Any
    erfc: tuple  # (1 + 2 a) e^(a^2) erfc(a) in (a - middle) / (a + middle); relative error 2^-29, 2^-58
    erfc_middle: Any
    erfc_max: Any  # from here on erfc is 0


class Inverse(NamedTuple):
    """erfinv(x) / x: polynomials in w - 2.5 and in sqrt(w) - a middle, w = -ln(1 - x^2); relative error 2^-27, 2^-55."""

    near: tuple  # w < 5
    middle: tuple  # w < 16.7
    far: tuple
    near_at: Any
    middle_at: Any
    far_at: Any
    near_end: Any
    middle_end: Any
    inf: Any
    nan: Any
    one: Any


ER32 = Error(
    E32,
    singles(7.99665e-05, -0.00080497697, 0.005192405, -0.026855731, 0.11283626, -0.3761263, 0.12837917),
    singles(0.00019821122, -0.0030654108, 0.022314912, -0.10411309, -0.6369767, -1.1277969, -0.00016652759),
    *singles(0.93, 4),
    singles(
        -0.0006118171,
        -0.0015642415,
        0.0017069476,
        0.0030157599,
        -0.023511972,
        0.06821507,
        -0.1193364,
        0.12965174,
        -0.047557745,
        -0.13562126,
        1.253008,
    ),
    *singles(3, 10.1),
)
ER64 = Error(
    E64,
    (
        1.436959851361619e-10,
        -1.6478933949914545e-09,
        1.6016574284190393e-08,
        -1.655757642810737e-07,
        1.648109603709459e-06,
        -1.4926883456742403e-05,
        0.00012055386262238815,
        -0.0008548328537286735,
        0.005223977652711319,
        -0.02686617064803234,
        0.11283791670971101,
        -0.376126389031841,
        0.1283791670955126,
    ),
    (
        1.1102106210472184e-12,
        -5.05040137954563e-11,
        1.075420086971535e-09,
        -1.4227892701250589e-08,
        1.3074400125481409e-07,
        -8.816641708774773e-07,
        4.473369923968974e-06,
        -1.7051128338339166e-05,
        4.659675949396569e-05,
        -7.397281906997762e-05,
        -3.816265626132464e-05,
        0.000631373375484881,
        -0.0017575965983285668,
        0.0002701330346800585,
        0.019085332702356444,
        -0.10275091614179818,
        -0.6366271913978485,
        -1.128377613767077,
        -1.505444297190639e-07,
    ),
    1.0,
    6.0,
    (
        1.3898887551500268e-09,
        4.121597306321723e-09,
        -8.857621785289959e-09,
        -1.987818763814504e-08,
        9.54151732603506e-08,
        6.95574746955823e-08,
        -8.086510447412445e-07,
        3.0432207749376624e-07,
        5.699300634095333e-06,
        -1.1230633741210682e-05,
        -2.4395382089939664e-05,
        0.00015062559398191082,
        -0.00019925753785884258,
        -0.000757774360417474,
        0.0050319700851278164,
        -0.01619773388132047,
        0.03716751553038139,
        -0.0663303658288544,
        0.09373283499854057,
        -0.10103906603550744,
        0.06809705425469215,
        0.015379652102604915,
        -0.13962111684056253,
        1.2329951186255526,
    ),
    4.0,
    27.3,
)
I32 = Inverse(
    singles(
        -2.68828e-09,
        -9.83756e-09,
        6.562987e-08,
        4.813986e-07,
        -3.6968665e-06,
        -5.03764e-06,
        0.0002188721,
        -0.0012526072,
        -0.0041778022,
        0.24664022,
        1.5014094,
    ),
    singles(
        0.00013174294,
        -0.0001696131,
        -0.00031672916,
        0.0013063018,
        -0.0025749134,
        0.0038807555,
        -0.005407569,
        0.0071591362,
        1.0036197,
        2.9513285,
    ),
    (),  # w is below 16
    *singles(2.5, 3.1180338859558105, 5.0331501960754395, 5, 16, float("inf"), float("nan"), 1),
)
I64 = Inverse(
    (
        2.4693599205420735e-19,
        2.886850298911507e-18,
        -2.9274206601806806e-17,
        -1.124275609616109e-16,
        1.92994458858125e-15,
        -3.0280396841943674e-15,
        -7.637790185551708e-14,
        5.360622097505668e-13,
        9.127238548230201e-13,
        -3.110289680673006e-11,
        1.1960364300722534e-10,
        9.073005140487769e-10,
        -1.0861162931609319e-08,
        1.3416813411744256e-08,
        4.787252120998356e-07,
        -3.4166196093718046e-06,
        -4.996079595103051e-06,
        0.00021825026435186545,
        -0.0012527079078120352,
        -0.004177317724385392,
        0.24664027674416708,
        1.501409351110792,
    ),
    (
        6.406202340357963e-10,
        1.5990536860560925e-09,
        -3.3523461042692135e-08,
        6.269792417026376e-08,
        1.0547305112425748e-07,
        -5.781746890484118e-07,
        8.33235563300234e-07,
        8.275193443813863e-07,
        -6.3683990753841456e-06,
        1.1967995826984629e-05,
        1.212303035530385e-06,
        -5.89811049806262e-05,
        0.00014020844320714602,
        -9.821534596279604e-05,
        -0.0003234311423080874,
        0.00127657083516875,
        -0.0025729077167326573,
        0.0038831104806270954,
        -0.0054079714255192,
        0.007159780099238795,
        1.0036197221818026,
        2.9513284751769473,
    ),
    (
        2.759641952182273e-11,
        -1.2679183160953521e-11,
        -3.80480779090707e-10,
        1.3263144071197666e-09,
        -2.9363658838621564e-09,
        6.200617170625675e-09,
        -1.2398524356325556e-08,
        2.4155588212873295e-08,
        -5.881263208941016e-08,
        2.1017915730409418e-07,
        -9.348317436882989e-07,
        4.302481737397615e-06,
        -1.880399362630953e-05,
        7.280636413315979e-05,
        -0.00020516612006881213,
        -0.00015961019565125092,
        1.0102905697628841,
        4.8833978997278304,
    ),
    2.5,
    3.1180338859558105,
    5.0331501960754395,
    5.0,
    16.0,
    float("inf"),
    float("nan"),
    1.0,
)
ERRORS = (ER32, ER64)


def erf(x: Any, c: Any) -> Any:
    """A polynomial near 0; elsewhere 1 - e**(a polynomial), that is 1 - erfc(|x|)."""
    e, t = c.e, c.e.t
    a = abs(x)
    near = fma(a, horner(a * a, c.near), a)
    a = select(a > c.far_max, c.far_max, a)
    y = horner(a, c.far)
    s = fma(y, t.log2e, e.one_round)
    r = less_whole_ln2(y, s - e.one_round, t)
    far = fma(power_of_two(x, bits(s), t), -(exp_less_1(r, e) + t.one), t.one)
    return copysign(select(a < c.near_0, near, far), x)


def erfc(x: Any, c: Any) -> Any:
    """e**(-a^2) g(a) / (1 + 2 a) for a = |x|; g is flat, and a polynomial in a number between -1 and 1.

    Below 1/2 it is 1 - erf(x), which loses nothing there.
    M. M. Shepherd & J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x" (1981).
    """
    e, t = c.e, c.e.t
    a = abs(x)
    a = select(a > c.erfc_max, c.erfc_max, a)
    square = a * a
    low = fma(a, a, -square)
    s = fma(-square, t.log2e, e.negative_round)
    r = less_whole_ln2(-square, s - e.negative_round, t) - low
    g = horner((a - c.erfc_middle) / (a + c.erfc_middle), c.erfc) / fma(a, t.two, t.one)
    y = (exp_less_1(r, e) + t.one) * g * power_of_two(x, bits(s), t) * e.negative_scale
    near = (t.one - x) - x * horner(square, c.near)
    return select(a < t.half, near, select(x < t.zero, t.two - y, y))


def erfinv_f32(x: Any) -> Any:
    """The method is M. Giles', "Approximating the erfinv function" (2012); the polynomials are our own."""
    c = I32
    a = abs(x)
    w = -log_inside_f32(fma(-a, a, c.one))
    y = select(w < c.near_end, horner(w - c.near_at, c.near), horner(sqrt(w) - c.middle_at, c.middle))
    return _erfinv_ends(x, a * y, c)


def erfinv_f64(x: Any) -> Any:
    c = I64
    a = abs(x)
    w = -log_inside_f64(fma(-a, a, c.one))
    root = sqrt(w)
    y = select(w < c.middle_end, horner(root - c.middle_at, c.middle), horner(root - c.far_at, c.far))
    return _erfinv_ends(x, a * select(w < c.near_end, horner(w - c.near_at, c.near), y), c)


def _erfinv_ends(x: Any, y: Any, c: Any) -> Any:
    a = abs(x)
    return copysign(select(a < c.one, y, select(a == c.one, c.inf, c.nan)), x)


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "erf": both(erf, ERRORS),
    "erfc": both(erfc, ERRORS),
    "erfinv": {"f32": erfinv_f32, "f64": erfinv_f64},
}
