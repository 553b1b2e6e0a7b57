"""Loads the adapters of the example three_adapters in PEFT and LyCORIS and compares answers. See README.md beside this file."""

import copy
import logging
import sys
from pathlib import Path

import torch
from lycoris import create_lycoris_from_weights
from peft import PeftModel
from safetensors.torch import load_file

TOLERANCE = 1e-4
TASKS = ["negative", "mirror", "lying"]


class Network(torch.nn.Module):
    """Linear layers under the names of the example, with GELU between them."""

    def __init__(self, values):
        super().__init__()
        shapes = [values[f"{name}.weight"].shape for name in ["body.0", "body.1", "head"]]
        first, second, head = (torch.nn.Linear(inputs, outputs) for outputs, inputs in shapes)
        self.body = torch.nn.ModuleList([first, second])
        self.head = head
        self.load_state_dict(values)

    def forward(self, x):
        for layer in self.body:
            x = torch.nn.functional.gelu(layer(x))
        return self.head(x)


def with_peft(base, folder, task):
    return PeftModel.from_pretrained(base, folder / task).eval()


def with_lycoris(base, folder, task):
    network, _ = create_lycoris_from_weights(1.0, str(folder / f"{task}.safetensors"), base)
    network.apply_to()
    return base


def main():
    logging.disable(logging.WARNING)
    folder = Path(sys.argv[1])
    base = Network(load_file(folder / "base.safetensors")).eval()
    answers = load_file(folder / "answers.safetensors")
    digits = answers["digits"]
    worst = 0.0
    for task in TASKS:
        expected = answers[task]
        size = expected.abs().max()
        for program, load in [("PEFT", with_peft), ("LyCORIS", with_lycoris)]:
            with torch.no_grad():
                found = load(copy.deepcopy(base), folder, task)(digits)
                effect = ((base(digits) - expected).abs().max() / size).item()
            difference = ((found - expected).abs().max() / size).item()
            good = difference <= TOLERANCE < effect
            print(f"{task:10} {program:8} {difference:.1e} (adapter: {effect:.1e}) {'ok' if good else 'DIFFERS'}")
            worst = max(worst, difference if good else float("inf"))
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
