"""Runs the models of LOKR_ONNX_CASES in onnxruntime and compares with the answers beside them. See README.md.

usage: python onnxruntime_check.py DIRECTORY
"""

import pathlib
import sys

import numpy
import onnx
import onnxruntime

# Models whose operators onnxruntime does not have for f64: Erf and Conv.
WITHOUT_KERNEL = ("f64-plain-gelu", "f64-adapter-gelu", "f64-terms", "f64-conv")
TOLERANCE = {numpy.float32: 2e-5, numpy.float64: 1e-12}


def rows(path, dtype, columns):
    return numpy.fromfile(path, dtype=numpy.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(-1, columns)


def difference(path):
    """The largest difference of a model's answers, as a share of the largest answer."""
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (into,), (out,) = session.get_inputs(), session.get_outputs()
    dtype = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64}[into.type]
    assert (into.name, out.name, into.shape[0], out.shape[0]) == ("input", "output", "batch", "batch"), path
    x, y = (rows(path.with_suffix(end), dtype, value.shape[1]) for end, value in ((".x", into), (".y", out)))
    worst = 0.0
    for part in (slice(None), slice(-1, None), slice(0, 0)):
        found = session.run(None, {"input": x[part]})[0]
        assert found.shape == y[part].shape and found.dtype == dtype, path
        worst = max(worst, numpy.abs(found - y[part]).max(initial=0.0) / numpy.abs(y).max())
    return worst, TOLERANCE[dtype]


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    assert len(paths) > 200, f"{len(paths)} models"
    failed, worst = [], {}
    for path in paths:
        without = path.stem.startswith(WITHOUT_KERNEL)
        try:
            found, allowed = difference(path)
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as error:
            if not without:
                failed.append(f"{path.stem}: {error}")
            continue
        if without:
            failed.append(f"{path.stem} runs now")
        elif not found <= allowed:
            failed.append(f"{path.stem}: {found:.1e} above {allowed:.1e}")
        kind = path.stem[:3]
        worst[kind] = max(worst.get(kind, 0.0), found)
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}: {len(paths)} models, worst {worst}")
    for line in failed:
        print("failed:", line)
    sys.exit(bool(failed))


main()
