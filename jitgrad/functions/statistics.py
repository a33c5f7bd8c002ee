"""Statistics: sums and means without nan, medians and quantiles, variances, histograms."""
