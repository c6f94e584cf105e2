"""Runs the CUDA kernels on the processor and compares them with PyTorch.

For machines without a GPU: the kernels' files are compiled as C++, each thread of a block as a thread of the system
where they wait for each other. What it cannot show is that a GPU's driver takes them; the tests of trainer/src/ops do,
with `--features cuda` on a machine that has one. Not part of `cargo xtask test`, since PyTorch is large:

    python3 -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/check_kernels.py
"""

import ctypes
import pathlib
import re
import subprocess
import tempfile

import numpy
import torch
from torch.nn import functional

KERNELS = pathlib.Path(__file__).resolve().parent.parent / "trainer/src/ops/cuda"
TOLERANCE = 2e-5
SHIM = """
#include <barrier>
#include <math.h>
#include <functional>
#include <thread>
#include <vector>
struct Index { unsigned x; };
struct float2 { float x, y; };
static float2 make_float2(float x, float y) { return {x, y}; }
static thread_local Index threadIdx, blockIdx;
static Index blockDim;
static std::barrier<> *everybody;
static LANE lanes[1024];
#define __global__
#define __device__ static
#define __shared__
#define __syncthreads() everybody->arrive_and_wait()

static void launch(int blocks, int threads, std::function<void()> kernel) {
    blockDim = {unsigned(threads)};
    for (int block = 0; block < blocks; block++) {
        std::barrier<> barrier(threads);
        everybody = &barrier;
        std::vector<std::thread> team;
        for (int thread = 0; thread < threads; thread++)
            team.emplace_back([=] {
                threadIdx = {unsigned(thread)};
                blockIdx = {unsigned(block)};
                kernel();
            });
        for (auto &thread : team) thread.join();
    }
}
"""


def load(name, lane):
    """The kernels of NAME.cu as functions of a library, each behind its numbers of blocks and threads."""
    source = (KERNELS / f"{name}.cu").read_text()
    wrappers = ""
    for kernel, parameters in re.findall(r'extern "C" __global__ void (\w+)\(([^)]*)\)', source):
        names = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", parameters))
        wrappers += f'extern "C" void run_{kernel}(int blocks, int threads, {parameters}) '
        wrappers += f"{{ launch(blocks, threads, [=] {{ ::{kernel}({names}); }}); }}\n"
    folder = pathlib.Path(tempfile.mkdtemp())
    # What a block shares is declared where it is used; here it is a variable of the file.
    source = re.sub(r"extern __shared__ \w+ lanes\[\];", "", source)
    (folder / "kernels.cpp").write_text(f"#define LANE {lane}\n{SHIM}{source}{wrappers}")
    library = folder / "kernels.so"
    command = ["c++", "-std=c++20", "-O2", "-shared", "-fPIC", "-pthread", "-o", library, folder / "kernels.cpp"]
    subprocess.check_call(command)
    return ctypes.CDLL(str(library))


def structure(kinds, values):
    """A structure of C with these values by name."""

    class Parameters(ctypes.Structure):
        _fields_ = [(key, kind) for key, kind in zip(values, kinds)]

    return Parameters(*values.values())


def run(kernel, parameters, inputs, shape, threads, blocks=None):
    """The kernel's output: one thread an element, or `blocks` blocks."""
    count = int(numpy.prod(shape))
    output = numpy.full(shape, numpy.nan, numpy.float32)
    inputs = [numpy.ascontiguousarray(tensor.detach().numpy()) for tensor in inputs]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in [*inputs, output]]
    kernel(blocks or -(-count // threads), threads, parameters, *pointers)
    return torch.from_numpy(output)


def compare(name, ours, theirs):
    difference = ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1)).item()
    print(f"{name}: {difference:.1e}")
    assert difference <= TOLERANCE, name


def nchw(x):
    return x.permute(3, 0, 1, 2)


def chwn(x):
    return x.permute(1, 2, 3, 0)


def convolutions():
    library = load("convolution", "float")
    cases = [((3, 7, 8, 2), 3, 1, (1, 1, 1, 1)), ((2, 8, 8, 5), 3, 2, (0, 1, 0, 1)), ((4, 9, 6, 3), 5, 2, (2, 2, 1, 2))]
    for (c, h, w, n), k, stride, (top, bottom, left, right) in cases:
        x = torch.randn(c, h, w, n, requires_grad=True)
        weight = torch.randn(c, 1, k, k, requires_grad=True)
        padded = functional.pad(nchw(x), (left, right, top, bottom))
        y = chwn(functional.conv2d(padded, weight, stride=stride, groups=c))
        grad = torch.randn(y.shape)
        y.backward(grad)
        values = {"c": c, "h": h, "w": w, "n": n, "oh": y.shape[1], "ow": y.shape[2]}
        values |= {"kernel": k, "stride": stride, "top": top, "left": left}
        geometry = structure([ctypes.c_int] * 10, values)
        compare("depthwise", run(library.run_depthwise, geometry, [x, weight], y.shape, 64), y)
        grad_x = run(library.run_depthwise_grad_input, geometry, [grad, weight], x.shape, 64)
        compare("depthwise_grad_input", grad_x, x.grad)
        grad_weight = run(library.run_depthwise_grad_weight, geometry, [x, grad], weight.shape, 16, c * k * k)
        compare("depthwise_grad_weight", grad_weight, weight.grad)

        x.grad = None
        padded = functional.pad(nchw(x), (left, right, top, bottom))
        columns = functional.unfold(padded, k, stride=stride).permute(1, 2, 0).reshape(c * k * k, -1)
        compare("im2col", run(library.run_im2col, geometry, [x], columns.shape, 64), columns)
        grad = torch.randn(columns.shape)
        columns.backward(grad)
        compare("col2im", run(library.run_col2im, geometry, [grad], x.shape, 64), x.grad)


def batch_norms():
    library = load("batch_norm", "double")
    activations = [lambda z: z, torch.relu, functional.relu6, functional.silu]
    for activation, act in enumerate(activations):
        for from_batch in (0, 1):
            c, row = 3, 90
            x = (3 * torch.randn(c, row) + 2).requires_grad_()
            gamma, beta = torch.randn(c, requires_grad=True), torch.randn(c, requires_grad=True)
            values = {"channels": c, "activation": activation, "from_batch": from_batch, "epsilon": 1e-3, "row": row}
            kinds = [ctypes.c_int] * 3 + [ctypes.c_float, ctypes.c_longlong]
            parameters = structure(kinds, values)
            moments = torch.stack([x.mean(1), x.var(1, correction=0)])
            if from_batch:
                compare("moments", run(library.run_moments, parameters, [x], (2, c), 32, c), moments)
            else:
                moments = moments.detach() + 0.5
            mean, variance = moments[0, :, None], moments[1, :, None]
            y = act((x - mean) / (variance + 1e-3).sqrt() * gamma[:, None] + beta[:, None])
            grad = torch.randn(y.shape)
            y.backward(grad)
            compare("batch_norm", run(library.run_batch_norm, parameters, [x, gamma, beta, moments], x.shape, 64), y)
            inputs = [x, grad, gamma, beta, moments]
            tail = run(library.run_batch_norm_grad_affine, parameters, inputs, (2, c), 32, c)
            compare("batch_norm_grad_affine", tail, torch.stack([gamma.grad, beta.grad]))
            grad_x = run(library.run_batch_norm_grad_input, parameters, [*inputs, tail], x.shape, 64)
            compare("batch_norm_grad_input", grad_x, x.grad)


def gates():
    library = load("gate", "float")
    c, pixels, n = 3, 12, 5
    a, b, factor = torch.randn(c, pixels, n), torch.randn(c, pixels, n), torch.randn(c, 1, n)
    of = lambda count: structure([ctypes.c_longlong] * 3, {"count": count, "pixels": pixels, "n": n})
    compare("mean_of_map", run(library.run_mean_of_map, of(c * n), [a], (c, n), 16), a.mean(1))
    compare("dot_of_map", run(library.run_dot_of_map, of(c * n), [a, b], (c, n), 16), (a * b).sum(1))
    compare("gate", run(library.run_gate, of(c * pixels * n), [a, factor], (c, pixels, n), 16), a * factor)


torch.manual_seed(1)
convolutions()
batch_norms()
gates()
