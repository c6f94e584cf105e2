// The maps of gate.rs.

// As `Maps` in gate.rs: `pixels` is H * W of maps [C, H, W, N], `count` what a kernel writes.
struct Maps {
    long long count, pixels, n;
};

// x [c, pixels, n] -> mean [c, n]
extern "C" __global__ void mean_of_map(Maps m, const float *x, float *mean) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m.count) return;
    const float *values = x + i / m.n * m.pixels * m.n + i % m.n;
    float sum = 0;
    for (long long pixel = 0; pixel < m.pixels; pixel++) sum += values[pixel * m.n];
    mean[i] = sum / m.pixels;
}

// a, b [c, pixels, n] -> dot [c, n]
extern "C" __global__ void dot_of_map(Maps m, const float *a, const float *b, float *dot) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m.count) return;
    long long first = i / m.n * m.pixels * m.n + i % m.n;
    float sum = 0;
    for (long long pixel = 0; pixel < m.pixels; pixel++) {
        long long at = first + pixel * m.n;
        sum += a[at] * b[at];
    }
    dot[i] = sum;
}

// x [c, pixels, n], factor [c, n] -> y [c, pixels, n]
extern "C" __global__ void gate(Maps m, const float *x, const float *factor, float *y) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m.count) return;
    y[i] = x[i] * factor[i / (m.pixels * m.n) * m.n + i % m.n];
}
