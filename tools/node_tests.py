"""Writes ONNX's own tests of single operators, which its package makes on the spot.

    target/venv/bin/python -B tools/node_tests.py --output target/node-tests

Each is a folder: model.onnx, and in test_data_set_N the inputs and wanted outputs as protobuf messages
input_N.pb and output_N.pb. Tests with sequences, maps or optional values are left out: they are no tensors.
"""

import argparse
import shutil
import warnings
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.backend.test import loader


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder, which is emptied first")
    output = parser.parse_args().output
    shutil.rmtree(output, ignore_errors=True)
    # Some tests overflow on purpose while they are made.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = loader.load_node_model_tests()
    tests = [case for case in cases if is_of_tensors(case.model.graph)]
    for case in tests:
        write(case, output / case.name)
    print(f"{len(tests)} tests of onnx {onnx.__version__} in {output}, {len(cases) - len(tests)} left out")


def is_of_tensors(graph):
    return all(value.type.HasField("tensor_type") for value in (*graph.input, *graph.output))


def write(case, folder):
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir(parents=True)
        write_tensors(data, "input", case.model.graph.input, inputs)
        write_tensors(data, "output", case.model.graph.output, outputs)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())


def write_tensors(folder, kind, values, arrays):
    for number, (value, array) in enumerate(zip(values, arrays, strict=True)):
        tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(array, value.name)
        (folder / f"{kind}_{number}.pb").write_bytes(tensor.SerializeToString())


if __name__ == "__main__":
    main()
