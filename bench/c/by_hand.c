/* Values and gradients as one writes them in C for one problem; compiled with -O3 -march=native -ffast-math. */

#include <math.h>

/* The sigmoid neuron with binary cross entropy; its derivatives in w and b. */
float neuron(float w, float b, float x, float y, float *gradient)
{
    const float low = 1e-8f, high = 1.0f - 1e-8f;
    float s = 1.0f / (1.0f + expf(-(w * x + b)));
    float p = fminf(fmaxf(s, low), high);
    float dz = low <= s && s <= high ? (p - y) / (p * (1.0f - p)) * s * (1.0f - s) : 0.0f;
    gradient[0] = dz * x;
    gradient[1] = dz;
    return -(y * logf(p) + (1.0f - y) * logf(1.0f - p));
}

/* mean(tanh(x*y) * exp(-x*x) + log1p(exp(y))), its derivatives in x and y. */
float elementwise(long n, const float *restrict x, const float *restrict y, float *restrict dx, float *restrict dy)
{
    double total = 0.0;
    float share = 1.0f / n;
    for (long i = 0; i < n; i++) {
        float t = tanhf(x[i] * y[i]), e = expf(-x[i] * x[i]), g = expf(y[i]);
        float inner = (1.0f - t * t) * e;
        total += t * e + log1pf(g);
        dx[i] = (inner * y[i] - 2.0f * x[i] * t * e) * share;
        dy[i] = (inner * x[i] + g / (1.0f + g)) * share;
    }
    return total / n;
}

/* European calls after Black and Scholes: the sum of their prices, and delta, the derivative in the strike, theta
   (towards a longer time), rho and vega of each. */
double black_scholes(long n, const double *restrict spot, const double *restrict strike, const double *restrict time,
                     const double *restrict rate, const double *restrict volatility, double *restrict dspot,
                     double *restrict dstrike, double *restrict dtime, double *restrict drate,
                     double *restrict dvolatility)
{
    double total = 0.0;
    for (long i = 0; i < n; i++) {
        double s = spot[i], t = time[i], r = rate[i], v = volatility[i], root = sqrt(t);
        double d1 = (log(s / strike[i]) + (r + 0.5 * v * v) * t) / (v * root), d2 = d1 - v * root;
        double first = 0.5 * (1.0 + erf(d1 * M_SQRT1_2)), second = 0.5 * (1.0 + erf(d2 * M_SQRT1_2));
        double density = 0.5 * M_2_SQRTPI * M_SQRT1_2 * exp(-0.5 * d1 * d1);
        double discount = exp(-r * t), later = strike[i] * discount * second;
        total += s * first - later;
        dspot[i] = first;
        dstrike[i] = -discount * second;
        dtime[i] = 0.5 * s * density * v / root + r * later;
        drate[i] = t * later;
        dvolatility[i] = s * density * root;
    }
    return total;
}
