"""The peers' side: every job of every peer as a callable, on the data that the Rust side computes too."""

import numpy as np

SCALE = 0.5


class Unsupported(Exception):
    """The peer cannot do this job on this shape; the message says why."""


def pattern(rows, cols, seed):
    """The same values as `pattern` in main.rs."""
    index = np.arange(rows * cols, dtype=np.int64)
    values = ((index * 40_503 + seed * 9_973) % 1_021) / 1_021.0 - 0.5
    return values.reshape(rows, cols).astype(np.float32)


class Shape:
    """`64x64*64x32`, `64x64*64r8x64` (second factor of rank 8) or `8^4`, as in the Rust benchmarks."""

    def __init__(self, text):
        self.text = text
        self.rank = None
        if "^" in text:
            side, length = map(int, text.split("^"))
            self.factors = [(side, side)] * length
        else:
            a, b = text.split("*")
            p, q = b.split("x")
            if "r" in p:
                p, rank = p.split("r")
                self.rank = int(rank)
            self.factors = [tuple(map(int, a.split("x"))), (int(p), int(q))]
        self.height = int(np.prod([rows for rows, _ in self.factors]))
        self.width = int(np.prod([cols for _, cols in self.factors]))

    def stored(self):
        """The stored matrices, filled in the order of the Rust side."""
        shapes = list(self.factors)
        if self.rank is not None:
            (p, q) = shapes.pop()
            shapes += [(p, self.rank), (self.rank, q)]
        return [pattern(rows, cols, seed) for seed, (rows, cols) in enumerate(shapes, start=1)]

    def dense(self):
        """One full matrix per factor."""
        stored = self.stored()
        if self.rank is not None:
            right = stored.pop()
            stored[-1] = stored[-1] @ right
        return stored


class Work:
    """A prepared job: `run()` does it once, `result()` gives what `check` compares."""

    def __init__(self, run, result):
        self.run = run
        self.result = result


def prepare(peer, job, shape, batch):
    """The job of a peer, or `Unsupported`."""
    maker = PEERS[job].get(peer)
    if maker is None:
        raise Unsupported(f"{peer} has no {job}")
    if job == "network":
        return maker([int(size) for size in shape.split("-")], batch)
    return maker(Shape(shape), batch)


# --- layers: torch alone, PEFT, LyCORIS ------------------------------------------------------------------------------


def torch_linear(shape):
    import torch

    linear = torch.nn.Linear(shape.width, shape.height)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(pattern(shape.height, shape.width, 13)))
        linear.bias.copy_(torch.from_numpy(pattern(1, shape.height, 14)[0]))
    return linear.requires_grad_(False)


def set_factors(shape, names):
    """Copies the stored matrices into parameters: `names` gives w1 and then w2 or its halves."""
    import torch

    with torch.no_grad():
        for parameter, values in zip(names, shape.stored(), strict=True):
            parameter.copy_(torch.from_numpy(values))


def check_shapes(shape, rows):
    """Peers choose the shapes from a factor; make sure they chose ours."""
    (m, n), _ = shape.factors
    if tuple(rows) != (m, n):
        raise Unsupported(f"chooses a first factor {tuple(rows)}, not {(m, n)}")


def rank_of(shape):
    """A rank that gives the second factor the wanted form: large enough for a full one."""
    return shape.rank if shape.rank is not None else max(shape.factors[1])


def peft_layer(shape):
    import torch
    from peft import LoKrConfig, get_peft_model

    rank = rank_of(shape)
    config = LoKrConfig(
        r=rank, alpha=SCALE * rank, decompose_factor=shape.factors[0][0], target_modules=["0"], init_weights="lycoris"
    )
    layer = get_peft_model(torch.nn.Sequential(torch_linear(shape)), config).base_model.model[0]
    name = "default"
    check_shapes(shape, layer.lokr_w1[name].shape)
    second = [layer.lokr_w2[name]] if shape.rank is None else [layer.lokr_w2_a[name], layer.lokr_w2_b[name]]
    set_factors(shape, [layer.lokr_w1[name], *second])
    return layer, layer, [p for p in layer.parameters() if p.requires_grad]


def lycoris_layer(shape, bypass):
    from lycoris.modules.lokr import LokrModule

    linear = torch_linear(shape)
    # Full factors have scale 1 there; the multiplier makes it ours.
    rank = rank_of(shape)
    module = LokrModule(
        "layer",
        linear,
        multiplier=SCALE,
        lora_dim=rank,
        alpha=rank,
        factor=shape.factors[0][0],
        full_matrix=shape.rank is None,
        bypass_mode=bypass,
    )
    check_shapes(shape, module.lokr_w1.shape)
    second = [module.lokr_w2] if shape.rank is None else [module.lokr_w2_a, module.lokr_w2_b]
    set_factors(shape, [module.lokr_w1, *second])
    module.apply_to()
    return linear, module, [p for p in module.parameters() if p.requires_grad]


def forward_work(layer, shape, batch):
    import torch

    x = torch.from_numpy(pattern(batch, shape.width, 11))
    out = []

    def run():
        with torch.no_grad():
            out[:] = [layer(x)]

    return Work(run, lambda: out[0].numpy())


def step_work(layer, parameters, shape, batch):
    import torch

    x = torch.from_numpy(pattern(batch, shape.width, 11)).requires_grad_(True)
    dy = torch.from_numpy(pattern(batch, shape.height, 12))

    def run():
        x.grad = None
        for parameter in parameters:
            parameter.grad = None
        layer(x).backward(dy)

    return Work(run, lambda: x.grad.numpy())


def base_torch(shape, batch):
    return forward_work(torch_linear(shape), shape, batch)


def forward_peft(shape, batch):
    layer, _, _ = peft_layer(shape)
    layer.eval()
    return forward_work(layer, shape, batch)


def step_peft(shape, batch):
    layer, _, parameters = peft_layer(shape)
    return step_work(layer, parameters, shape, batch)


def forward_lycoris(bypass):
    def make(shape, batch):
        layer, module, _ = lycoris_layer(shape, bypass)
        module.eval()
        return forward_work(layer, shape, batch)

    return make


def step_lycoris(bypass):
    def make(shape, batch):
        layer, _, parameters = lycoris_layer(shape, bypass)
        return step_work(layer, parameters, shape, batch)

    return make


# --- whole networks --------------------------------------------------------------------------------------------------

NETWORK_SCALE = 0.0625


def torch_network(sizes, trained):
    """ReLU between linear layers, frozen or trained whole."""
    import torch

    layers = []
    for index, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        linear = torch.nn.Linear(inputs, outputs)
        weight = pattern(outputs, inputs, 13 + index) * np.sqrt(np.float32(24.0) / np.float32(inputs))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.zero_()
        layers += [linear.requires_grad_(trained), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def network_work(network, parameters, sizes, batch):
    """Forward, cross-entropy, backward and AdamW."""
    import torch

    x = torch.from_numpy(pattern(batch, sizes[0], 11))
    labels = torch.arange(batch) % sizes[-1]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    out = []

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
        out[:] = [loss.item()]

    return Work(run, lambda: np.float32(out[0]))


def fill_factors(pairs):
    """The starting values of each layer's w1 and w2."""
    import torch

    with torch.no_grad():
        for pair in pairs:
            for seed, parameter in enumerate(pair, start=1):
                parameter.copy_(torch.from_numpy(pattern(*parameter.shape, seed)))


def network_torch(sizes, batch):
    """All weights train. They start with the adapters' change in them, so that the first loss is the others'."""
    import torch

    network = torch_network(sizes, True)
    adapted, _ = lycoris_network(sizes, False)
    with torch.no_grad():
        for linear, (module, _) in zip(network[::2], adapted):
            linear.weight += torch.from_numpy(module.get_weight(linear.weight.shape).numpy() * NETWORK_SCALE)
    return network_work(network, list(network.parameters()), sizes, batch)


def network_peft(sizes, batch):
    from peft import LoKrConfig, get_peft_model

    rank = max(sizes)
    names = [str(2 * index) for index in range(len(sizes) - 1)]
    config = LoKrConfig(r=rank, alpha=NETWORK_SCALE * rank, target_modules=names, init_weights="lycoris")
    network = get_peft_model(torch_network(sizes, False), config).base_model.model
    layers = network[::2]
    fill_factors([(layer.lokr_w1["default"], layer.lokr_w2["default"]) for layer in layers])
    return network_work(network, [p for p in network.parameters() if p.requires_grad], sizes, batch)


def lycoris_network(sizes, bypass):
    from lycoris.modules.lokr import LokrModule

    network = torch_network(sizes, False)
    modules = []
    for index, linear in enumerate(network[::2]):
        module = LokrModule(
            f"layer{index}",
            linear,
            multiplier=NETWORK_SCALE,
            lora_dim=max(sizes),
            alpha=max(sizes),
            factor=-1,
            full_matrix=True,
            bypass_mode=bypass,
        )
        modules.append((module, linear))
    fill_factors([(module.lokr_w1, module.lokr_w2) for module, _ in modules])
    return modules, network


def network_lycoris(bypass):
    def make(sizes, batch):
        modules, network = lycoris_network(sizes, bypass)
        for module, _ in modules:
            module.apply_to()
        parameters = [p for module, _ in modules for p in module.parameters() if p.requires_grad]
        return network_work(network, parameters, sizes, batch)

    return make


# --- merge -----------------------------------------------------------------------------------------------------------


def merge_peft(shape, _batch):
    import torch

    layer, _, _ = peft_layer(shape)
    scale = [1.0]

    def run():
        with torch.no_grad():
            layer.scaling["default"] = SCALE * scale[0]
            layer.merge()
            layer.merged_adapters.clear()  # Merged again, with the other sign, by the next run.
        scale[0] = -scale[0]

    return Work(run, lambda: layer.get_base_layer().weight.detach().numpy())


def merge_lycoris(shape, _batch):
    import torch

    linear, module, _ = lycoris_layer(shape, False)
    module.restore()
    scale = [SCALE]

    def run():
        with torch.no_grad():
            module.merge_to(scale[0])
        scale[0] = -scale[0]

    return Work(run, lambda: linear.weight.detach().numpy())


def merge_numpy(shape, _batch):
    a, b = shape.dense()
    w = pattern(shape.height, shape.width, 13)
    scale = [np.float32(SCALE)]

    def run():
        np.add(w, np.kron(scale[0] * a, b), out=w)
        scale[0] = -scale[0]

    return Work(run, lambda: w)


# --- apply, two factors and chains -----------------------------------------------------------------------------------


# Options of FastKron, which its package does not name.
FASTKRON_AS_IT_COMES = 1
FASTKRON_TUNED = 1 << 2
# Sides of the factors up to which tuning takes seconds.
TUNED_SIDE = 512


def apply_fastkron(shape, batch, options=FASTKRON_AS_IT_COMES):
    from pyfastkron import fastkronbase, fastkrontorch
    import torch

    if not fastkrontorch.fastkrontorch.hasX86():
        raise Unsupported("FastKron has no kernels for this processor")
    x = torch.from_numpy(pattern(batch, shape.width, 11))
    # It multiplies from the right: x·(F₁ ⊗ … ⊗ F_k) with F = Aᵀ.
    factors = [torch.from_numpy(np.ascontiguousarray(factor.T)) for factor in shape.dense()]
    out = []
    fastkron = fastkronbase.fastkronX86

    def run():
        # Tuning tries its kernels on the first call of a shape, before the clock runs, and remembers the best.
        fastkron.libFastKron.setOptions(fastkron.handle, options)
        out[:] = [fastkrontorch.gemkm(x, factors)]

    return Work(run, lambda: out[0].numpy())


def apply_fastkron_tuned(shape, batch):
    if max(map(max, shape.factors)) > TUNED_SIDE:
        raise Unsupported(f"trying its kernels takes minutes with sides of more than {TUNED_SIDE}")
    return apply_fastkron(shape, batch, FASTKRON_TUNED)


def apply_by_axes(x, factors, matmul, transpose):
    """Contracts the last axis with the last factor, then brings the next one to the end: two matrix products and
    two transposes for two factors."""
    batch = x.shape[0]
    for factor in reversed(factors):
        rows, cols = factor.shape
        x = matmul(x.reshape(batch, -1, cols), transpose(factor, 0, 1))
        x = transpose(x, 1, 2).reshape(batch, -1)
    return x


def apply_torch(shape, batch):
    import torch

    x = torch.from_numpy(pattern(batch, shape.width, 11))
    factors = [torch.from_numpy(factor) for factor in shape.dense()]
    out = []

    def run():
        with torch.no_grad():
            out[:] = [apply_by_axes(x, factors, torch.matmul, torch.transpose)]

    return Work(run, lambda: out[0].contiguous().numpy())


def apply_numpy(shape, batch):
    x = pattern(batch, shape.width, 11)
    factors = shape.dense()
    out = []

    def run():
        out[:] = [apply_by_axes(x, factors, np.matmul, np.swapaxes)]

    return Work(run, lambda: out[0])


PEERS = {
    "base": {"torch": base_torch},
    "forward": {
        "peft": forward_peft,
        "lycoris": forward_lycoris(False),
        "lycoris-bypass": forward_lycoris(True),
    },
    "step": {"peft": step_peft, "lycoris": step_lycoris(False), "lycoris-bypass": step_lycoris(True)},
    "network": {
        "torch": network_torch,
        "peft": network_peft,
        "lycoris": network_lycoris(False),
        "lycoris-bypass": network_lycoris(True),
    },
    "apply": {
        "fastkron": apply_fastkron,
        "fastkron-tuned": apply_fastkron_tuned,
        "torch": apply_torch,
        "numpy": apply_numpy,
    },
    "merge": {"peft": merge_peft, "lycoris": merge_lycoris, "numpy": merge_numpy},
}
