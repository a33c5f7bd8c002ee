"""Fourier transforms, by the names of `torch.fft`."""
