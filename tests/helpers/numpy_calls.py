"""Calls of NumPy's functions and SciPy's ufuncs, each by the arguments that it takes.

Of `x` (2, 3) and `y` like it, `v` and `w` (3), `n` with nan, `m` (3, 3) well-conditioned, `s` positive definite, `q` (2, 3, 3),
`p` positive numbers (2, 3), `u` between 0 and 1, `b` a mask, `k` integers.
"""

REDUCTIONS = """
np.sum(x) | np.sum(x, 0) | np.sum(x, axis=(0, 1), keepdims=True) | np.sum(x, axis=()) | np.sum(x, 1, where=b)
np.sum(x, initial=2.0) | np.sum(x, 0, np.float32) | np.sum(x, axis=-1, dtype=np.float64, where=b, initial=1.0)
np.sum(x, 1, None, None, True) | np.sum(k) | np.sum(b, 0) | np.sum(a=x, axis=1) | np.prod(x, axis=1)
np.prod(x, where=b, initial=3.0) | np.prod(x, (0, 1)) | np.prod(x, ()) | np.prod(k, 0) | np.mean(x)
np.mean(x, (0,), keepdims=True) | np.mean(x, where=b) | np.mean(x, 1, None, None, True, where=b) | np.mean(k) | np.max(x)
np.max(x, 0) | np.amax(x, axis=1, keepdims=True) | np.max(x, initial=0.5) | np.max(x, 1, where=b, initial=-1.0)
np.max(x[:0], 0, initial=1.5) | np.max(k, where=b, initial=0) | np.max(b) | np.max(x, axis=()) | np.min(x, 1)
np.amin(x, (0, 1)) | np.min(x, initial=-9.0, where=b) | np.ptp(x) | np.ptp(x, 1, keepdims=True) | np.any(b, 1)
np.any(x > 1, where=b) | np.all(b, axis=0, keepdims=True) | np.all(x, where=b) | np.argmax(x) | np.argmax(x, 1, keepdims=True)
np.argmin(x, axis=0) | np.nanargmax(n, 1) | np.nanargmin(n) | np.std(x) | np.std(x, 1, ddof=1) | np.std(x, 0, where=b)
np.std(x, axis=1, correction=1, keepdims=True) | np.std(k) | np.var(x) | np.var(x, (0, 1), ddof=1, keepdims=True)
np.var(x, 1, where=b) | np.var(x, 1, mean=np.mean(x, 1, keepdims=True)) | np.cumsum(x) | np.cumsum(x, 1)
np.cumsum(x, dtype=np.float64, axis=0) | np.cumprod(x) | np.cumprod(x, axis=0) | np.cumulative_sum(x, axis=1)
np.cumulative_sum(v, include_initial=True) | np.cumulative_prod(x, axis=0, include_initial=True) | np.nansum(n)
np.nansum(n, 1) | np.nanprod(n, 0) | np.nanmean(n) | np.nanmean(n, 1, keepdims=True) | np.nanmax(n, 1) | np.nanmin(n)
np.nanstd(n) | np.nanvar(n, 1, ddof=1) | np.nancumsum(n, 1) | np.nancumprod(n) | np.nanmedian(n, 1) | np.nanquantile(n, 0.3)
np.nanpercentile(n, 40, 1) | np.median(x) | np.median(x, 1, keepdims=True) | np.median(x, (0, 1)) | np.quantile(x, 0.3)
np.quantile(x, [0.25, 0.5], 1) | np.percentile(x, 40, axis=0, keepdims=True) | np.percentile(x, [30, 60])
np.quantile(x, 0.4, method="lower") | np.average(x) | np.average(x, 1, w) | np.average(x, weights=p)
np.average(v, None, w, True) | np.count_nonzero(k) | np.count_nonzero(b, axis=1, keepdims=True) | np.cov(x)
np.cov(x, rowvar=False) | np.cov(v, w) | np.cov(x, bias=True) | np.corrcoef(x) | np.corrcoef(v, w)
np.sum(k, initial=0.0) | np.sum(k + 2**53, 1, initial=0.7) | np.prod(k * 2**26 + 1, 1, initial=1.0)
np.prod(k, initial=2.9, where=b) | np.min(k, 0, initial=0.5, where=b) | np.max(k, initial=7.5) | np.max(b, initial=5)
np.min(b[:0], 0, initial=0) | np.max(k[:0], 0, initial=2.5, keepdims=True) | np.nansum(k, initial=1.5)
np.nanprod(n, initial=1.5) | np.nanmin(n, initial=np.nan) | np.nanmin(np.where(b, np.nan, n), 1, initial=0.1)
np.nanmax(n, 1, initial=0.1, where=b) | np.nanmax(n[:, :0], 1, initial=3)
np.quantile(x[:, :0], [0.5, 0.2], 0) | np.cov(x, aweights=[1, 2, 3]) | np.cov(x, fweights=[1.0, 2, 3], aweights=w)
np.mean(x, dtype=int) | np.mean(-x, 0, dtype=int, where=b) | np.mean(x, 0, dtype=bool) | np.nanmean(k, dtype=int)
np.nanmean(x[0, 0], axis=0) | np.nanstd(x[0, 0], axis=-1) | np.count_nonzero(x[0, 0], axis=0) | np.cumulative_sum(x, axis=(1,))
np.average(x, axis=True) | np.median(x, axis=True)
"""

SHAPES = """
np.transpose(x) | np.transpose(q, (2, 0, 1)) | np.permute_dims(q, axes=(1, 0, 2)) | np.matrix_transpose(q)
np.reshape(x, (3, 2)) | np.reshape(x, -1) | np.reshape(x, (3, -1), order="F") | np.reshape(x, shape=(6,)) | np.ravel(x)
np.ravel(x, "F") | np.squeeze(x[None]) | np.squeeze(x[:, None], axis=1) | np.expand_dims(x, 0) | np.expand_dims(x, (0, 2))
np.broadcast_to(v, (2, 3)) | np.broadcast_arrays(x, v) | np.moveaxis(q, 0, -1) | np.rollaxis(q, 2) | np.rollaxis(q, 0, 3)
np.swapaxes(q, 0, 2) | np.flip(x) | np.flip(x, 1) | np.flipud(x) | np.fliplr(x) | np.rot90(x) | np.rot90(q, 3, (1, 2))
np.roll(x, 1) | np.roll(x, (1, 2), (0, 1)) | np.roll(x, 2, axis=1) | np.roll(x, 1, (0, 1)) | np.tile(x, 2)
np.tile(v, (2, 2)) | np.repeat(x, 2) | np.repeat(x, 3, axis=1) | np.repeat(x, [1, 0, 2], 1) | np.repeat(v, [2, 1, 3])
np.atleast_1d(v[0]) | np.atleast_2d(v) | np.atleast_3d(x) | np.atleast_1d(v, x) | np.diagonal(m) | np.diagonal(q, 1, 1, 2)
np.trace(m) | np.trace(q, axis1=1, axis2=2, offset=1) | np.diag(m) | np.diag(v) | np.diag(v, 1) | np.diag(x, k=-1)
np.diagflat(x) | np.tril(m) | np.triu(x, 1) | np.tril(q, -1) | np.triu(v) | np.delete(x, 1, 1) | np.delete(x, [0, 3])
np.insert(x, 1, v, 0) | np.insert(v, [0, 2], w[:2]) | np.insert(x, 1, 5.0, axis=1) | np.resize(x, (2, 4))
np.compress([True, False, True], x, 1) | np.extract(b, x) | np.pad(v, 1) | np.pad(x, ((1, 0), (0, 2)), constant_values=3.0)
np.pad(x, 1, "constant", constant_values=2) | np.pad(x, 1, mode="reflect") | np.pad(v, (2, 1), "wrap")
np.pad(x, 2, "symmetric") | np.pad(x, [(1, 1), (2, 0)], "edge") | np.shape(x) | np.ndim(x) | np.size(x) | np.size(x, 1)
"""

JOINING = """
np.concatenate([x, y]) | np.concatenate((x, y), axis=1) | np.concatenate([x, y], None) | np.concatenate([x, k])
np.concat([v, w]) | np.concatenate([x, y], dtype=np.float64) | np.stack([v, w]) | np.stack([x, y], axis=-1)
np.vstack([v, x]) | np.hstack([x, y]) | np.hstack([v, w]) | np.dstack([x, y]) | np.column_stack([v, w])
np.column_stack([x, x[:, 0]]) | np.append(x, y) | np.append(x, y, 0) | np.append(v, 1.0) | np.block([[x, y], [y, x]])
np.block([v, w, 1.0]) | np.split(x, 3, 1) | np.split(v, [1]) | np.array_split(v, 2) | np.array_split(x, [1, 2], axis=1)
np.hsplit(x, 3) | np.vsplit(x, 2) | np.dsplit(q, [1]) | np.unstack(x) | np.unstack(x, axis=1) | np.meshgrid(v, w)
np.meshgrid(v, w, indexing="ij", sparse=True) | np.trim_zeros(v)
np.concatenate([x, y], dtype=np.float32, casting="same_kind") | np.concatenate([x, y], dtype=int, casting="unsafe")
np.stack([k, k], dtype=np.float64, casting="safe") | np.vstack([x, k], casting="safe")
"""

ELEMENTWISE = """
np.where(b, x, y) | np.where(b, x, 0) | np.where(b) | np.nonzero(b) | np.flatnonzero(b) | np.argwhere(b)
np.select([b, x > 1], [x, y]) | np.select([b], [x], 7.0) | np.choose(k % 2, [x, y]) | np.clip(x, 0.2, 1.0)
np.choose(k - 2, [x, y], mode="wrap") | np.choose(k, [x, y], mode="clip")
np.clip(x, None, 1.0) | np.clip(x, y, y + 1) | np.clip(k, 0, 1) | np.clip(x, min=0.1) | np.round(x, 1) | np.around(x)
np.round(x * 10, -1) | np.fix(x) | np.sinc(x) | np.i0(x) | np.real(x) | np.imag(x) | np.angle(x) | np.real_if_close(x)
np.heaviside(np.astype(x, np.float32), 0.5) | np.select([b], [np.astype(x, np.float32)], 7.0)
np.polyval([1.0, 2.0], np.astype(x, np.float32))
np.choose(k % 2, [np.astype(x, np.float32), 0.5]) | np.linspace(np.astype(x, np.float32), 2.0, 3)
sp.huber(1.0, np.astype(x, np.float32))
np.nan_to_num(n) | np.nan_to_num(n, nan=2.0) | np.unwrap(v * 9) | np.interp(u, v, w) | np.interp(x, np.sort(v), w, -1.0, 5.0)
np.isin(b, True) | np.isin(b, b) | np.absolute(b) | np.floor(b) | np.ceil(b) | np.trunc(b) | np.fix(b) | np.power(b, b)
np.mod(b, b) | np.mod(k, b) | np.floor_divide(b, b) | np.floor_divide(k, b) | np.divmod(b, b)
np.subtract(b, k) | np.argsort(x[0, 0])
np.delete(v, b[0]) | np.delete(k, k[0]) | np.insert(v, k[0], 1.0) | np.modf(np.astype(k, np.uint8)) | np.fabs(b) | np.ldexp(b, b)
np.isclose(x, y) | np.allclose(x, x) | np.isin(k, [1, 2]) | np.isposinf(x) | np.isneginf(x) | np.isreal(x) | np.iscomplex(x)
np.iscomplexobj(x) | np.isrealobj(x) | np.full_like(x, 2.0) | np.zeros_like(x) | np.ones_like(x, int) | np.full_like(x, v[0])
np.copy(x) | np.linspace(v[0], v[1], 4) | np.linspace(v, w, 3, axis=1) | np.linspace(v, w, 3, endpoint=False)
np.logspace(v[0], v[1], 3) | np.geomspace(p[0], p[1], 4) | np.astype(x, np.float64) | np.array_equal(x, x)
np.array_equiv(v, v[None]) | np.piecewise(x, [x < 0.5, x > 1], [lambda z: z * z, lambda z: 2 * z, 1.0])
"""

SORTING = """
np.sort(x) | np.sort(x, 0) | np.sort(x, None) | np.argsort(x) | np.argsort(x, axis=0) | np.partition(v, 1)
np.sort(a=x, axis=-1) | np.lexsort((v, w)) | np.searchsorted(np.sort(v), w) | np.searchsorted(np.sort(v), 0.5, side="right")
np.digitize(v, np.sort(w)) | np.bincount(k.reshape(-1)) | np.bincount(k.reshape(-1), p.reshape(-1), 5) | np.unique(k)
np.unique(v, return_inverse=True) | np.unique(k, return_counts=True) | np.take(x, [0, 2], 1) | np.take(x, 4)
np.take(x, [[0, -1]], mode="wrap") | np.take_along_axis(x, np.argsort(x, 1), 1)
np.apply_along_axis(lambda line: line * line.sum(), 1, x) | np.apply_over_axes(np.sum, q, [0, 2])
np.apply_along_axis(np.sum, 0, x) | np.tril_indices_from(m) | np.diag_indices_from(m)
np.digitize(v, -np.sort(-w)) | np.digitize(v, -np.sort(-w), right=True) | np.digitize(x, [2, 1, 0])
np.digitize(x[0, 0], [2, 1]) | np.digitize(x, [1]) | np.digitize(x, []) | np.bincount(k.reshape(-1), k.reshape(-1))
"""

PRODUCTS = """
np.matmul(x, m) | np.matmul(q, v) | np.dot(x, m) | np.dot(v, w) | np.dot(q, q[0]) | np.dot(x, 2.0) | np.inner(x, y)
np.inner(v, w) | np.vdot(x, y) | np.outer(v, w) | np.outer(x, v) | np.tensordot(x, m, 1)
np.tensordot(q, m, axes=([1, 2], [1, 0])) | np.kron(v, w) | np.tensordot(q, q, ((0,), (0,))) | np.tensordot(x, y)
np.kron(x, m) | np.einsum("ij,j->i", x, v) | np.einsum("ij,kj", x, y) | np.einsum("ii", m) | np.einsum(x, [0, 1], v, [1], [0])
np.einsum("ij,jk->ik", x, m, optimize=True) | np.cross(v, w) | np.cross(x, y) | np.cross(x.T, v, axisa=0)
np.cross(x, y, axisc=0) | np.vecdot(x, y) | np.matvec(q, v) | np.vecmat(v, m) | np.convolve(v, w) | np.convolve(v, w, "same")
np.convolve(v, w[:2], mode="valid") | np.convolve(k[0], k[1]) | np.correlate(v, w) | np.correlate(v, w[:2], "full")
np.correlate(v[:2], w, "same") | np.convolve(v[:2], w, "same") | np.polyval(v, x) | np.vander(v) | np.vander(v, 2, True)
np.polymul(v, w) | np.polyadd(v, w[:2]) | np.polysub(v[1:], w) | np.polyder(v) | np.diff(x) | np.diff(x, axis=0)
np.diff(v, 2) | np.diff(x, prepend=0.0) | np.ediff1d(x) | np.ediff1d(v, to_end=1.0, to_begin=[2.0, 3.0]) | np.trapezoid(x)
np.trapezoid(x, dx=0.5, axis=0) | np.trapezoid(v, w) | np.gradient(v) | np.gradient(x) | np.gradient(x, 2.0, axis=1)
np.gradient(v, w, edge_order=2) | np.gradient(q, 1.0, 2.0, 3.0) | np.linalg.matmul(x, m) | np.linalg.outer(v, w)
np.vecdot(x, y, axis=0) | np.linalg.vecdot(x, y, axis=-2) | np.repeat(v[0], 2, axis=0)
np.linalg.tensordot(x, m, axes=1) | np.linalg.cross(v, w) | np.linalg.vecdot(x, y) | np.linalg.matrix_transpose(x)
np.linalg.diagonal(q) | np.linalg.trace(q) | np.linalg.multi_dot([v, m, s, w]) | np.linalg.multi_dot([x, m, s])
np.linalg.multi_dot([q, q])
"""

LINALG = """
np.linalg.det(m) | np.linalg.det(q) | np.linalg.inv(m) | np.linalg.inv(q) | np.linalg.pinv(x)
np.linalg.pinv(m, hermitian=False) | np.linalg.solve(m, v) | np.linalg.solve(m, x.T) | np.linalg.solve(q, v)
np.linalg.solve(q, m) | np.linalg.solve(a=m, b=w) | np.linalg.slogdet(m) | np.linalg.slogdet(q).logabsdet
np.linalg.cholesky(s) | np.linalg.cholesky(s, upper=True) | np.linalg.eigh(s).eigenvalues | abs(np.linalg.eigh(s)[1])
np.linalg.eigvalsh(s) | np.linalg.eigvalsh(s, "U") | np.linalg.svd(x)[1] | np.linalg.svd(x, compute_uv=False)
abs(np.linalg.svd(x, full_matrices=False).Vh) | abs(np.linalg.svd(x, False)[0]) | np.linalg.svdvals(m)
abs(np.linalg.qr(m).R) | abs(np.linalg.qr(m)[0]) | abs(np.linalg.qr(m, "r")) | np.linalg.matrix_power(m, 3)
np.linalg.matrix_power(m, -1) | np.linalg.matrix_rank(m) | np.linalg.norm(x) | np.linalg.norm(x, axis=1)
np.linalg.norm(x, 1) | np.linalg.norm(x, np.inf) | np.linalg.norm(x, 2) | np.linalg.norm(x, "nuc") | np.linalg.norm(x, "fro")
np.linalg.norm(v, 3) | np.linalg.norm(x, 1, axis=0, keepdims=True) | np.linalg.norm(q, "fro", (1, 2))
np.linalg.norm(v, np.inf) | np.linalg.norm(v, 0) | np.linalg.vector_norm(x, axis=1) | np.linalg.matrix_norm(q)
np.linalg.matrix_norm(x, ord=1) | np.linalg.cond(m) | np.linalg.cond(m, 1) | np.linalg.lstsq(x.T, v)[0]
np.linalg.lstsq(x.T, m)[1] | np.linalg.tensorinv(m, 1) | np.linalg.tensorsolve(m, v)
np.linalg.svd(k[:, :2], hermitian=True)[1] | np.linalg.svd(s, True, False, True) | abs(np.linalg.svd(s, hermitian=True)[0])
np.linalg.svd(k[:, 1:], hermitian=True).S | np.linalg.matrix_power(k[:, :2], 70) | np.linalg.matrix_power(k[:, 1:], -2)
np.linalg.matrix_power(b[:, :2], 2) | np.linalg.norm(x, axis=True)
"""

FOURIER = """
np.fft.fft(v) | np.fft.fft(x, axis=0) | np.fft.ifft(x, 4) | np.fft.rfft(x) | np.fft.irfft(x, n=4) | np.fft.fft2(x)
np.fft.ifft2(x) | np.fft.fftn(q) | np.fft.ifftn(x, norm="ortho") | np.fft.rfft2(x) | np.fft.irfft2(x)
np.fft.rfftn(x, axes=(0,)) | np.fft.irfftn(x) | np.fft.fftshift(x) | np.fft.ifftshift(v) | np.fft.hfft(v) | np.fft.ihfft(v)
"""

UFUNCS = """
np.abs(x) | np.add(x, y) | np.arccos(u) | np.arccosh(p + 1) | np.arcsin(u) | np.arcsinh(x) | np.arctan(x) | np.arctan2(x, y)
np.arctanh(u) | np.cbrt(p) | np.conj(x) | np.copysign(x, y) | np.cos(x) | np.cosh(x) | np.deg2rad(x) | np.degrees(x)
np.divide(x, y) | np.divmod(x, y) | np.exp(x) | np.exp2(x) | np.expm1(x) | np.fabs(x) | np.float_power(p, y)
np.floor_divide(x, y) | np.fmax(x, y) | np.fmin(x, y) | np.fmod(x, y) | np.frexp(x) | np.heaviside(x - 1, y) | np.hypot(x, y)
np.ldexp(x, k) | np.log(p) | np.log10(p) | np.log1p(p) | np.log2(p) | np.logaddexp(x, y) | np.logaddexp2(x, y)
np.maximum(x, y) | np.minimum(x, y) | np.mod(x, y) | np.modf(x) | np.multiply(x, y) | np.negative(x) | np.positive(x)
np.power(p, y) | np.rad2deg(x) | np.radians(x) | np.reciprocal(x) | np.remainder(x, y) | np.rint(x) | np.sign(x)
np.signbit(x) | np.sin(x) | np.sinh(x) | np.sqrt(p) | np.square(x) | np.subtract(x, y) | np.tan(x) | np.tanh(x)
np.true_divide(x, y) | np.trunc(x) | np.isnan(n) | np.add(x, [1.0, 2.0, 3.0]) | np.multiply([[2.0], [3.0]], x)
np.exp(k, dtype=np.float64) | np.add(x, y, dtype=np.float64) | np.hypot(x, 2) | np.log(x, where=x > 1, out=np.zeros_like(x))
np.sqrt(x, out=np.empty_like(x)) | np.add(x, y, where=b, out=np.ones_like(x)) | np.left_shift(k, 2) | np.add.reduce(x)
np.add.reduce(x, axis=None) | np.add.reduce(x, 1, keepdims=True, initial=2.0) | np.multiply.reduce(x, 1)
np.maximum.reduce(x) | np.minimum.reduce(x, axis=1, where=b, initial=3.0) | np.logical_and.reduce(b)
np.logical_or.reduce(b, 1) | np.logaddexp.reduce(x) | np.hypot.reduce(x, 1)
np.hypot.reduce(-x, axis=()) | np.gcd.reduce(-k, axis=()) | np.hypot.reduce(-x[:1])
np.subtract.reduce(x)
np.divide.reduce(x, axis=1) | np.add.accumulate(x) | np.multiply.accumulate(x, 1) | np.maximum.accumulate(v)
np.subtract.accumulate(v) | np.add.reduceat(v, [0, 2]) | np.multiply.reduceat(x, [0, 2, 1], axis=1) | np.add.outer(v, w)
np.multiply.outer(x, v) | np.power.outer(p[0], v) | np.maximum.outer(v, w) | np.logaddexp.accumulate(v)
np.bitwise_or.reduce(k) | np.add.reduce(x, axis=(0, 1)) | np.logaddexp.reduce(x, axis=None)
np.add.reduce(k, initial=0.5, where=b) | np.heaviside(n, 0.5) | np.heaviside(n, y) | np.bitwise_or.reduce(k, initial=4.0)
np.divide.reduce(k + 1, initial=4.0) | np.divide.reduce(k, axis=()) | np.hypot.reduce(k, axis=()) | np.logaddexp.reduce(k)
np.logaddexp.reduce(x, axis=0, where=b, initial=1) | np.subtract.reduce(x, axis=(), initial=2.0)
np.subtract.reduce(x, where=b, initial=2.0) | np.divide.reduce(x, 1, where=b, initial=2.0, keepdims=True)
np.fmax.reduce(n, 1, where=b, initial=0.5) | np.fmax.reduce(n, None)
np.power.reduce(p, 0, where=[True, False, True], initial=2.0) | np.hypot.reduce(x, None, where=b) | np.hypot.reduce(x[:0])
np.logical_xor.reduce(k[:1]) | np.add.accumulate(x, axis=(0,)) | np.logaddexp.accumulate(k) | np.divide.accumulate(k + 1, 1)
"""

SPECIAL = """
sp.erf(x) | sp.erfc(x) | sp.erfcx(x) | sp.erfinv(u) | sp.erfcinv(u) | sp.expit(x) | sp.logit(u) | sp.log_expit(x)
sp.gammaln(p) | sp.gamma(p) | sp.rgamma(p) | sp.psi(p) | sp.digamma(p) | sp.beta(p, p[0]) | sp.betaln(p, u)
sp.gammasgn(x - 2) | sp.gammainc(2.0, p) | sp.gammaincc(1.5, p) | sp.betainc(1.5, 2.0, u) | sp.i0(x) | sp.i0e(x) | sp.i1(x)
sp.i1e(x) | sp.j0(x) | sp.j1(x) | sp.y0(p) | sp.y1(p) | sp.k0(p) | sp.k1(p) | sp.k0e(p) | sp.k1e(p) | sp.jv(2.5, p)
sp.jn(2, x) | sp.yn(1, p) | sp.yv(0.5, p) | sp.iv(1.5, p) | sp.ive(2, p) | sp.kv(1.5, p) | sp.kve(0.5, p) | sp.kn(2, p)
sp.zeta(2.5, p) | sp.xlogy(x, p) | sp.xlog1py(x, p) | sp.entr(p) | sp.ndtr(x) | sp.ndtri(u) | sp.log_ndtr(x) | sp.exp2(x)
sp.exp10(x) | sp.expm1(x) | sp.log1p(p) | sp.cbrt(p) | sp.rel_entr(p, u) | sp.sindg(x)
sp.sindg(60 * np.round(3 * x)) | sp.cosdg(60 * np.round(3 * x) + 1e10) | sp.tandg(45 * np.round(4 * x)) | sp.tandg(77 * x)
sp.sindg(90 * k) | sp.cosdg(90 * k) | sp.tandg(90 * k) | sp.cosdg(x) | sp.tandg(x)
sp.huber(1.0, x) | sp.pseudo_huber(1.5, x) | sp.boxcox(p, 0.5) | sp.boxcox(p, 0.0) | sp.eval_chebyt(3, u)
sp.eval_legendre(2, x)
sp.eval_legendre(0.5, u) | sp.eval_legendre(-2, u) | sp.eval_legendre(k - 2.5, u) | sp.eval_chebyt(k - 2, u)
sp.eval_chebyt(1.5, u) | sp.eval_chebyu(k - 3, u) | sp.eval_sh_chebyt(k - 2, u) | sp.eval_sh_chebyu(0.5, u)
sp.eval_laguerre(1.5, u) | sp.eval_hermite(k - 1, x) | sp.eval_hermitenorm(k - 1, x) | sp.huber(-1.0, x) | sp.huber(x - 1, y)
sp.pseudo_huber(0.0, y) | sp.pseudo_huber(x - 1, y) | sp.gammaln(x - np.inf) | sp.rel_entr(n, p) | sp.kn(n * np.nan, p)
"""

_WARNED = """
np.nanstd(x, axis=0, ddof=5) | np.nanvar(n, axis=0, correction=2, keepdims=True) | np.std(x, axis=0, ddof=5)
np.nanstd(k, 0, ddof=5) | np.median(x[:0]) | np.median(x[:, :0], 1) | np.nanmedian(x[:, :0], 1, keepdims=True)
np.nanpercentile(x[:, :0], [10, 20], 1) | np.cross(x[:, :2], v) | np.cross(v, w[:2])
np.cross(v[:2], w[:2]) | np.cross(x[:, :2], y[:, :2]) | np.cross(k, k[0, :2])
"""

_REFUSED = """
np.sum(k, initial=np.nan) | np.max(k, initial=np.inf) | np.sum(x, initial=1j) | np.min(k, 1, initial=np.nan, where=b)
np.nanmin(k, initial=np.nan) | np.sum(x, axis=True) | np.mean(x, axis=(0, True)) | np.max(x, axis=True) | np.all(x, axis=True)
np.std(x, axis=True) | np.argmax(x, axis=True) | np.cumsum(x, axis=True) | np.cumsum(x, axis=(0,)) | np.nanargmin(x, axis=True)
np.nanargmin(x, axis=(0, 0)) | np.nanargmin(x, axis=(0, 1)) | np.hypot.reduce(x, axis=True) | np.add.accumulate(x, axis=True)
np.add.accumulate(x, axis=()) | np.cumulative_sum(x, axis=()) | np.cumulative_sum(x, axis=(0, 1))
np.subtract.reduce(x, where=b) | np.subtract.reduce(x, axis=(0, 1), initial=2.0) | np.arctan2.reduce(x, axis=None)
np.copysign.reduce(x, axis=None) | np.heaviside.reduce(x, axis=None) | np.lcm.reduce(k, axis=None) | np.fmax.reduce(x[:0])
np.hypot.reduce(x, initial=None, where=b) | np.quantile(x[:0], 0.5) | np.nanmean(x, dtype=int) | np.nanmax(n, where=b)
np.cov(x, fweights=[1.5, 2, 3]) | np.count_nonzero(x[0, 0], axis=1) | np.mean(x[0, 0], axis=0) | np.linalg.cross(v, w[:2])
np.digitize(x, [0, 2, 1]) | np.digitize(x * 1j, [0, 1]) | np.concatenate([x * 1j], dtype=np.float32) | np.stack([x], dtype=int)
np.vstack([x, y], dtype=np.float32, casting="no") | np.bincount([0, 1], weights=v[:2] * 1j) | np.linalg.lstsq(q, v)
np.linalg.lstsq(m, q) | np.linalg.lstsq(v, v) | np.linalg.multi_dot([q, q, q]) | np.linalg.multi_dot([m])
np.choose(k, [x, y]) | np.choose(k - 1, [x, y, x]) | np.choose(x, [x, y]) | np.choose(k, [x], mode="last")
np.linalg.matrix_power(m, 1.5) | sp.eval_hermite(2.0, x) | sp.eval_hermitenorm(p, x)
"""

KINDS = {
    name.lower(): text
    for name, text in globals().items()
    if name.isupper() and isinstance(text, str) and not name.startswith("_")
}
CALLS = {kind: [call.strip() for line in text.strip().splitlines() for call in line.split(" | ")] for kind, text in KINDS.items()}
WARNED, REFUSED = ([call for line in text.strip().splitlines() for call in line.split(" | ")] for text in (_WARNED, _REFUSED))
"""What NumPy warns of, and what NumPy and SciPy refuse, with an error that is theirs."""
