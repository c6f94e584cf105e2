// The rows of batch_norm.rs: a channel of [C, H, W, N] is one row of `row` values. Every sum has one order, so that a
// run repeats bit for bit.

// As `Row` in batch_norm.rs, `activation` as there.
struct Row {
    int channels, activation, from_batch;
    float epsilon;
    long long row;
};

enum { IDENTITY, RELU, RELU6, SILU };

// Sum over the threads of a block, in all of them. `lanes` holds a value a thread.
__device__ double block_sum(double value, double *lanes) {
    __syncthreads(); // whoever still reads the sum before this one
    lanes[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
    }
    __syncthreads();
    return lanes[0];
}

// x [channels, row] -> moments [2, channels]: means, biased variances; one block a channel
extern "C" __global__ void moments(Row r, const float *x, float *moments) {
    extern __shared__ double lanes[];
    const float *values = x + blockIdx.x * r.row;
    double sum = 0;
    for (long long i = threadIdx.x; i < r.row; i += blockDim.x) sum += values[i];
    float mean = block_sum(sum, lanes) / r.row;
    double squares = 0;
    for (long long i = threadIdx.x; i < r.row; i += blockDim.x) squares += (values[i] - mean) * (values[i] - mean);
    squares = block_sum(squares, lanes);
    if (threadIdx.x == 0) {
        moments[blockIdx.x] = mean;
        moments[r.channels + blockIdx.x] = squares / r.row;
    }
}

__device__ float activate(int activation, float z) {
    switch (activation) {
    case RELU: return fmaxf(z, 0);
    case RELU6: return fminf(fmaxf(z, 0), 6);
    case SILU: return z / (1 + expf(-z));
    default: return z;
    }
}

__device__ float slope(int activation, float z) {
    switch (activation) {
    case RELU: return z > 0;
    case RELU6: return z > 0 && z < 6;
    case SILU: {
        float s = 1 / (1 + expf(-z));
        return s * (1 + z * (1 - s));
    }
    default: return 1;
    }
}

// What a row is multiplied by, and what is added.
__device__ float2 affine(Row r, int c, const float *gamma, const float *beta, const float *moments) {
    float scale = gamma[c] / sqrtf(moments[r.channels + c] + r.epsilon);
    return make_float2(scale, beta[c] - moments[c] * scale);
}

// x [channels, row], gamma, beta [channels], moments [2, channels] -> y [channels, row]
extern "C" __global__ void batch_norm(
    Row r, const float *x, const float *gamma, const float *beta, const float *moments, float *y) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= r.channels * r.row) return;
    float2 a = affine(r, i / r.row, gamma, beta, moments);
    y[i] = activate(r.activation, x[i] * a.x + a.y);
}

// -> tail [2, channels]: gradients of gamma and beta; one block a channel
extern "C" __global__ void batch_norm_grad_affine(
    Row r, const float *x, const float *grad, const float *gamma, const float *beta, const float *moments,
    float *tail) {
    extern __shared__ double lanes[];
    int c = blockIdx.x;
    float2 a = affine(r, c, gamma, beta, moments);
    float mean = moments[c];
    double sum = 0, dot = 0;
    for (long long i = c * r.row + threadIdx.x; i < (c + 1) * r.row; i += blockDim.x) {
        float g = grad[i] * slope(r.activation, x[i] * a.x + a.y);
        sum += g;
        dot += g * (x[i] - mean);
    }
    sum = block_sum(sum, lanes);
    dot = block_sum(dot, lanes);
    if (threadIdx.x == 0) {
        tail[c] = dot / sqrtf(moments[r.channels + c] + r.epsilon);
        tail[r.channels + c] = sum;
    }
}

// `tail` as batch_norm_grad_affine leaves it -> grad_x [channels, row]
extern "C" __global__ void batch_norm_grad_input(
    Row r, const float *x, const float *grad, const float *gamma, const float *beta, const float *moments,
    const float *tail, float *grad_x) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= r.channels * r.row) return;
    int c = i / r.row;
    float2 a = affine(r, c, gamma, beta, moments);
    float g = grad[i] * slope(r.activation, x[i] * a.x + a.y);
    if (r.from_batch) {
        // dx = scale * (g - mean(g) - xhat * mean(g * xhat))
        float xhat = (x[i] - moments[c]) / sqrtf(moments[r.channels + c] + r.epsilon);
        g -= (tail[r.channels + c] + xhat * tail[c]) / r.row;
    }
    grad_x[i] = a.x * g;
}
