"""Loads adapters written by lokr in PEFT and LyCORIS and compares outputs. See README.md beside this file."""

import sys
import warnings
from pathlib import Path

import torch
from lycoris import create_lycoris_from_weights
from peft import PeftModel
from safetensors.torch import load_file

TOLERANCE = 1e-4


def model(state, path):
    """A model with one linear layer at a dotted path."""
    weight, bias = state["weight"], state.get("bias")
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    *parents, last = path.split(".")
    inner = torch.nn.Module()
    inner.add_module(last, layer)
    for name in reversed(parents):
        outer = torch.nn.Module()
        outer.add_module(name, inner)
        inner = outer
    inner.forward = lambda x: inner.get_submodule(path)(x)
    return inner


def with_peft(base, folder):
    return PeftModel.from_pretrained(base, folder).eval()


def with_lycoris(base, file):
    network, _ = create_lycoris_from_weights(1.0, str(file), base)
    network.apply_to()
    return base.eval()


def main():
    compared, failed, refused = 0, 0, 0
    for case in sorted(Path(sys.argv[1]).iterdir()):
        state = load_file(case / "case.safetensors")
        path = (case / "path.txt").read_text()
        scale = state["y"].abs().max().item()
        for program, load, adapter in (("PEFT", with_peft, "peft"), ("LyCORIS", with_lycoris, "lycoris.safetensors")):
            if not (case / adapter).exists():
                print(f"{case.name:45} {program:8} not written")
                continue
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("error" if program == "PEFT" else "ignore", UserWarning)
                try:
                    y = load(model(state, path), case / adapter)(state["x"])
                except (RuntimeError, AttributeError) as error:
                    refused += 1
                    print(f"{case.name:45} {program:8} cannot load it: {str(error).splitlines()[0]}")
                    continue
                plain = model(state, path)(state["x"])
            difference = (y - state["y"]).abs().max().item() / scale
            effect = (plain - state["y"]).abs().max().item() / scale
            good = difference <= TOLERANCE < effect
            compared += 1
            failed += not good
            print(f"{case.name:45} {program:8} {difference:.1e} (adapter: {effect:.1e}) {'ok' if good else 'DIFFERS'}")
    print(f"{compared} compared, {failed} differ, {refused} not loaded")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
