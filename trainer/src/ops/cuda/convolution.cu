// The windows of depthwise.rs and im2col.rs. Maps are [C, H, W, N], the batch innermost, so that neighbouring threads
// read neighbouring values. Every sum has one order, so that a run repeats bit for bit.

// As `Geometry` in convolution.rs: maps [c, h, w, n], windows [oh, ow] on each.
struct Geometry {
    int c, h, w, n, oh, ow, kernel, stride, top, left;
};

// The element of this thread, unless there are fewer than `count`.
__device__ bool element(long long count, long long *index) {
    *index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    return *index < count;
}

// Sum over the threads of a block, in thread 0. `lanes` holds a value a thread.
__device__ float block_sum(float value, float *lanes) {
    lanes[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
    }
    return lanes[0];
}

// x [c, h, w, n], weight [c, 1, k, k] -> y [c, oh, ow, n]
extern "C" __global__ void depthwise(Geometry g, const float *x, const float *weight, float *y) {
    long long i;
    if (!element((long long)g.c * g.oh * g.ow * g.n, &i)) return;
    int n = i % g.n, ox = i / g.n % g.ow, oy = i / ((long long)g.n * g.ow) % g.oh;
    int c = i / ((long long)g.n * g.ow * g.oh);
    const float *plane = x + (long long)c * g.h * g.w * g.n + n;
    const float *taps = weight + c * g.kernel * g.kernel;
    float sum = 0;
    for (int ky = 0; ky < g.kernel; ky++) {
        int iy = oy * g.stride + ky - g.top;
        if (iy < 0 || iy >= g.h) continue;
        for (int kx = 0; kx < g.kernel; kx++) {
            int ix = ox * g.stride + kx - g.left;
            if (ix < 0 || ix >= g.w) continue;
            sum += taps[ky * g.kernel + kx] * plane[((long long)iy * g.w + ix) * g.n];
        }
    }
    y[i] = sum;
}

// The output that reads input `input` with tap `tap`, or -1.
__device__ int reader(int input, int tap, int before, int stride, int outputs) {
    int reach = input + before - tap;
    if (reach < 0 || reach % stride != 0 || reach / stride >= outputs) return -1;
    return reach / stride;
}

// grad [c, oh, ow, n], weight [c, 1, k, k] -> grad_x [c, h, w, n]
extern "C" __global__ void depthwise_grad_input(Geometry g, const float *grad, const float *weight, float *grad_x) {
    long long i;
    if (!element((long long)g.c * g.h * g.w * g.n, &i)) return;
    int n = i % g.n, ix = i / g.n % g.w, iy = i / ((long long)g.n * g.w) % g.h;
    int c = i / ((long long)g.n * g.w * g.h);
    const float *plane = grad + (long long)c * g.oh * g.ow * g.n + n;
    const float *taps = weight + c * g.kernel * g.kernel;
    float sum = 0;
    for (int ky = 0; ky < g.kernel; ky++) {
        int oy = reader(iy, ky, g.top, g.stride, g.oh);
        if (oy < 0) continue;
        for (int kx = 0; kx < g.kernel; kx++) {
            int ox = reader(ix, kx, g.left, g.stride, g.ow);
            if (ox < 0) continue;
            sum += taps[ky * g.kernel + kx] * plane[((long long)oy * g.ow + ox) * g.n];
        }
    }
    grad_x[i] = sum;
}

// x [c, h, w, n], grad [c, oh, ow, n] -> grad_weight [c, 1, k, k]; one block a tap of a channel
extern "C" __global__ void depthwise_grad_weight(Geometry g, const float *x, const float *grad, float *grad_weight) {
    extern __shared__ float lanes[];
    int taps = g.kernel * g.kernel;
    int c = blockIdx.x / taps, ky = blockIdx.x % taps / g.kernel, kx = blockIdx.x % g.kernel;
    const float *inputs = x + (long long)c * g.h * g.w * g.n;
    const float *outputs = grad + (long long)c * g.oh * g.ow * g.n;
    float sum = 0;
    for (long long i = threadIdx.x; i < (long long)g.oh * g.ow * g.n; i += blockDim.x) {
        int n = i % g.n, ox = i / g.n % g.ow, oy = i / ((long long)g.n * g.ow);
        int iy = oy * g.stride + ky - g.top, ix = ox * g.stride + kx - g.left;
        if (iy < 0 || iy >= g.h || ix < 0 || ix >= g.w) continue;
        sum += inputs[((long long)iy * g.w + ix) * g.n + n] * outputs[i];
    }
    sum = block_sum(sum, lanes);
    if (threadIdx.x == 0) grad_weight[blockIdx.x] = sum;
}

// x [c, h, w, n] -> columns [c * k * k, oh * ow * n]
extern "C" __global__ void im2col(Geometry g, const float *x, float *columns) {
    long long i;
    int taps = g.kernel * g.kernel;
    if (!element((long long)g.c * taps * g.oh * g.ow * g.n, &i)) return;
    int n = i % g.n, ox = i / g.n % g.ow, oy = i / ((long long)g.n * g.ow) % g.oh;
    int row = i / ((long long)g.n * g.ow * g.oh);
    int c = row / taps, ky = row % taps / g.kernel, kx = row % g.kernel;
    int iy = oy * g.stride + ky - g.top, ix = ox * g.stride + kx - g.left;
    bool inside = iy >= 0 && iy < g.h && ix >= 0 && ix < g.w;
    columns[i] = inside ? x[(((long long)c * g.h + iy) * g.w + ix) * g.n + n] : 0;
}

// columns [c * k * k, oh * ow * n] -> x [c, h, w, n], every value added back to where it was read
extern "C" __global__ void col2im(Geometry g, const float *columns, float *x) {
    long long i;
    if (!element((long long)g.c * g.h * g.w * g.n, &i)) return;
    int n = i % g.n, ix = i / g.n % g.w, iy = i / ((long long)g.n * g.w) % g.h;
    int c = i / ((long long)g.n * g.w * g.h);
    float sum = 0;
    for (int ky = 0; ky < g.kernel; ky++) {
        int oy = reader(iy, ky, g.top, g.stride, g.oh);
        if (oy < 0) continue;
        for (int kx = 0; kx < g.kernel; kx++) {
            int ox = reader(ix, kx, g.left, g.stride, g.ow);
            if (ox < 0) continue;
            long long row = ((long long)c * g.kernel + ky) * g.kernel + kx;
            sum += columns[((row * g.oh + oy) * g.ow + ox) * g.n + n];
        }
    }
    x[i] = sum;
}
