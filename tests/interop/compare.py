"""Loads adapters written by lokr in PEFT and LyCORIS and compares outputs. See README.md beside this file."""

import json
import logging
import sys
import warnings
from collections import Counter
from pathlib import Path

import torch
from lycoris import create_lycoris_from_weights
from lycoris.kohya import create_network_from_weights
from peft import PeftModel
from safetensors.torch import load_file

TOLERANCE = 1e-4
KINDS = {"conv1d": torch.nn.Conv1d, "conv2d": torch.nn.Conv2d, "conv3d": torch.nn.Conv3d}


def layer_of(described):
    """A layer as case.json describes it."""
    if described["kind"] == "linear":
        return torch.nn.Linear(described["in"], described["out"], bias=described["bias"])
    names = {"kernel": "kernel_size", "stride": "stride", "padding": "padding", "dilation": "dilation"}
    sizes = {name: tuple(described[key]) for key, name in names.items()}
    kind = KINDS[described["kind"]]
    return kind(described["in"], described["out"], groups=described["groups"], bias=described["bias"], **sizes)


def model(case, base):
    """A model with the case's layers at their dotted paths and the base's weights. Only its layers are run."""
    root = torch.nn.Module()
    for described in case["model"]:
        parent = root
        *parents, last = described["name"].split(".")
        for name in parents:
            if not hasattr(parent, name):
                parent.add_module(name, torch.nn.Module())
            parent = getattr(parent, name)
        parent.add_module(last, layer_of(described))
    state = root.state_dict()
    root.load_state_dict({key: base[key].float() for key in state})
    root.forward = lambda x: x
    return root.eval()


def input_of(layer):
    generator = torch.Generator().manual_seed(1)
    if isinstance(layer, torch.nn.Linear):
        return torch.randn(5, layer.in_features, generator=generator)
    return torch.randn(2, layer.in_channels, *(9 for _ in layer.kernel_size), generator=generator)


def with_peft(base, case, name):
    with warnings.catch_warnings():
        # Missing or unexpected tensors are warnings there.
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "LoRA adapter added to ConvNd layer with groups")
        return PeftModel.from_pretrained(base, case / name).eval().base_model.model


def with_lycoris(base, case, name):
    network, _ = create_lycoris_from_weights(1.0, str(case / f"{name}.safetensors"), base)
    network.apply_to()
    return base


def with_kohya(base, case, name):
    encoders = [base.text_encoder] if hasattr(base, "text_encoder") else None
    unet = getattr(base, "unet", base)
    file = str(case / f"{name}.safetensors")
    network, _ = create_network_from_weights(1.0, file, None, encoders, unet, for_inference=True)
    network.apply_to(encoders, unet, apply_text_encoder=encoders is not None, apply_unet=True)
    return base


PROGRAMS = {
    "peft": ("PEFT", with_peft),
    "lora": ("PEFT", with_peft),
    "lycoris": ("LyCORIS", with_lycoris),
    "kohya": ("LyCORIS", with_kohya),
}


def compare(case, name, load):
    """The largest difference from lokr's output, and what the adapter does, both relative to the largest output."""
    described, base = json.loads((case / "case.json").read_text()), load_file(case / "base.safetensors")
    expected = load_file(case / f"{name}.weights.safetensors")
    adapted, plain = load(model(described, base), case, name), model(described, base)
    difference, effect = 0.0, 0.0
    for key, weight in expected.items():
        path = key.removesuffix(".weight")
        layer = plain.get_submodule(path)
        x = input_of(layer)
        before, found = layer(x), adapted.get_submodule(path)(x)
        layer.weight.copy_(weight)
        right = layer(x)
        size = right.abs().max().item()
        difference = max(difference, (found - right).abs().max().item() / size)
        effect = max(effect, (before - right).abs().max().item() / size)
    return difference, effect, len(expected)


def main():
    logging.disable(logging.WARNING)
    counts, largest = Counter(), 0.0
    for case in sorted(Path(sys.argv[1]).iterdir()):
        for weights in sorted(case.glob("*.weights.safetensors")):
            name = weights.name.removesuffix(".weights.safetensors")
            program, load = PROGRAMS[name.split("-")[0]]
            line = f"{case.name:44} {name:17} {program:8}"
            try:
                with torch.no_grad():
                    difference, effect, layers = compare(case, name, load)
            except (RuntimeError, AttributeError, UserWarning, ValueError) as error:
                counts[f"not loaded by {program}"] += 1
                print(f"{line} cannot load it: {str(error).splitlines()[0]}")
                continue
            good = difference <= TOLERANCE < effect
            counts["compared"] += 1
            counts["layers"] += layers
            counts["differ"] += not good
            largest = max(largest, difference)
            print(f"{line} {layers:2} layers {difference:.1e} (adapter: {effect:.1e}) {'ok' if good else 'DIFFERS'}")
    counts["differ"] += 0
    print(", ".join(f"{key}: {count}" for key, count in counts.items()) + f"; largest difference {largest:.1e}")
    sys.exit(counts["differ"] > 0)


if __name__ == "__main__":
    main()
