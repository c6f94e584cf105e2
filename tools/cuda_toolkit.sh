#!/bin/sh
# Makes a CUDA toolkit of PyPI's packages in FOLDER (target/cuda-toolkit), so that `--features cuda` builds on a machine
# with neither GPU nor driver; docs/cuda.md says how to go on.
#
#     tools/cuda_toolkit.sh [FOLDER]
set -eu
mkdir -p "${1:-target/cuda-toolkit}"
cd "${1:-target/cuda-toolkit}"

python3 -m venv venv
venv/bin/pip install --quiet nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88 nvidia-cublas==13.0.2.14 \
    nvidia-curand==10.4.5.25
packages=$(echo "$PWD"/venv/lib/python3*/site-packages/nvidia/cu13)
for part in bin include nvvm; do
    ln -sfn "$packages/$part" "$part"
done

# The linker asks for names without a version, the program for those with one.
mkdir -p lib64/stubs
for library in "$packages"/lib/*.a "$packages"/lib/*.so.*; do
    name=${library##*/}
    ln -sf "$library" "lib64/$name"
    case $name in *.so.*) ln -sf "$library" "lib64/${name%%.so.*}.so" ;; esac
done

# libcuda comes with the driver. To link against, one that knows every name and answers "stub library" to each call.
grep -oE '\bcu[A-Z][A-Za-z0-9_]*' include/cuda.h | sort -u | sed 's/.*/int &(void) { return 34; }/' > lib64/stubs/libcuda.c
cc -shared -fPIC -fno-builtin -Wl,-soname,libcuda.so.1 -o lib64/stubs/libcuda.so lib64/stubs/libcuda.c

echo "export CUDA_HOME=$PWD CUDA_COMPUTE_CAP=90 PATH=$PWD/bin:\$PATH LD_LIBRARY_PATH=$PWD/lib64"
