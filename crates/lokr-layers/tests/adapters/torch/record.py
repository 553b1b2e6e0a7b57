"""Records what PyTorch computes, for the tests of this folder: `python record.py > recorded.txt`.

Each line is a name and numbers, in full precision. Everything is float64 on one thread.
"""

import math

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

STEPS = 25


def line(name, values):
    values = values.detach().flatten().tolist() if torch.is_tensor(values) else values
    print(name, *(repr(float(v)) for v in values))


def numbers(count, seed):
    """Values in (-1, 1) that need no generator: the test makes the same."""
    return [math.sin(1.0 + 0.7 * seed + 1.3 * i + 0.37 * i * i + 0.05 * seed * i) for i in range(count)]


def tensor(shape, seed):
    return torch.tensor(numbers(math.prod(shape), seed)).reshape(shape)


def start():
    """A weight (3, 4) and a bias (4), as of a layer with four outputs."""
    weight, bias = tensor((3, 4), 1), tensor((4,), 2)
    return [torch.nn.Parameter(weight), torch.nn.Parameter(bias)]


def set_gradients(parameters, step):
    for k, parameter in enumerate(parameters):
        parameter.grad = tensor(parameter.shape, 10 + 2 * step + k) * 3.0


def optimizers():
    yield "sgd", lambda p: torch.optim.SGD(p, lr=0.1)
    yield "sgd_decay", lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.3)
    yield "sgd_momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.3)
    yield "sgd_nesterov", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.3)
    yield "adam", lambda p: torch.optim.Adam(p, lr=0.05)
    yield "adam_decay", lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3)
    yield "adamw", lambda p: torch.optim.AdamW(p, lr=0.05)
    yield "adamw_decay", lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3)
    yield "adamw_groups", lambda p: torch.optim.AdamW([
        {"params": [p[0]], "lr": 0.05 * 4.0, "weight_decay": 0.3},
        {"params": [p[1]], "weight_decay": 0.0},
    ], lr=0.05, weight_decay=0.1)


for name, make in optimizers():
    parameters = start()
    optimizer = make(parameters)
    for step in range(STEPS):
        set_gradients(parameters, step)
        optimizer.step()
        if step in (0, 1, STEPS - 1):
            line(f"{name}.{step + 1}", torch.cat([p.detach().flatten() for p in parameters]))


def soap():
    """SOAP as in the paper (Vyas et al. 2024, algorithm 3), with whole eigenvalue decompositions every `refresh` steps
    and a first step that only measures, as in the authors' code. PyTorch has no SOAP of its own."""
    rate, (beta1, beta2), eps, decay, refresh = 0.05, (0.9, 0.8), 1e-8, 0.3, 4
    parameters = start()
    memory = []
    for step in range(STEPS):
        set_gradients(parameters, step)
        with torch.no_grad():
            for k, p in enumerate(parameters):
                g = p.grad
                if step == 0:
                    m = {"mean": torch.zeros_like(g), "square": torch.zeros_like(g)}
                    if g.ndim == 2:
                        m["left"], m["right"] = (1 - beta2) * g @ g.T, (1 - beta2) * g.T @ g
                        m["ql"], m["qr"] = torch.linalg.eigh(m["left"])[1], torch.linalg.eigh(m["right"])[1]
                    memory.append(m)
                    continue
                m = memory[k]
                turn = (lambda x: m["ql"].T @ x @ m["qr"]) if g.ndim == 2 else (lambda x: x)
                back = (lambda x: m["ql"] @ x @ m["qr"].T) if g.ndim == 2 else (lambda x: x)
                m["mean"] = beta1 * m["mean"] + (1 - beta1) * g
                m["square"] = beta2 * m["square"] + (1 - beta2) * turn(g) ** 2
                mean, square = turn(m["mean"]) / (1 - beta1**step), m["square"] / (1 - beta2**step)
                p.mul_(1 - rate * decay).sub_(rate * back(mean / (square.sqrt() + eps)))
                if g.ndim == 2:
                    m["left"] = beta2 * m["left"] + (1 - beta2) * g @ g.T
                    m["right"] = beta2 * m["right"] + (1 - beta2) * g.T @ g
                    if step % refresh == 0:
                        m["ql"], m["qr"] = torch.linalg.eigh(m["left"])[1], torch.linalg.eigh(m["right"])[1]
        if step in (0, 1, STEPS - 1):
            line(f"soap.{step + 1}", torch.cat([p.detach().flatten() for p in parameters]))


soap()


def losses():
    nn = torch.nn
    z, t = tensor((4, 3), 5) * 4.0, tensor((4, 3), 6).abs()
    labels, yes = torch.tensor([2, 0, 1, 2]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    weights = torch.tensor([0.5, 2.0, 3.0])
    yield "cross_entropy", nn.CrossEntropyLoss(), z, labels
    yield "cross_entropy_values", nn.CrossEntropyLoss(), z, t
    yield "cross_entropy_smooth", nn.CrossEntropyLoss(label_smoothing=0.2), z, labels
    yield "cross_entropy_weights", nn.CrossEntropyLoss(weight=weights), z, labels
    yield "cross_entropy_both", nn.CrossEntropyLoss(weight=weights, label_smoothing=0.2), z, labels
    yield "cross_entropy_both_values", nn.CrossEntropyLoss(weight=weights, label_smoothing=0.2), z, t
    yield "binary_logits", nn.BCEWithLogitsLoss(), z, t
    yield "binary_logits_weight", nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), z, t
    yield "binary_labels", nn.BCEWithLogitsLoss(), z[:, :1], yes.unsqueeze(1)
    yield "mean_squared_error", nn.MSELoss(), z, t
    yield "mean_absolute_error", nn.L1Loss(), z, t
    yield "huber", nn.HuberLoss(delta=1.5), z, t


for name, loss, z, target in losses():
    z = z.clone().requires_grad_()
    value = loss(z, target)
    value.backward()
    line(f"loss.{name}", torch.cat([value.detach().reshape(1), z.grad.flatten()]))

# The norm is far above 1, so that PyTorch's 1e-6 beside it changes little.
parameters = start()
set_gradients(parameters, 0)
norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
line("clip_norm", torch.cat([norm.reshape(1)] + [p.grad.flatten() for p in parameters]))
set_gradients(parameters, 0)
torch.nn.utils.clip_grad_value_(parameters, 1.0)
line("clip_value", torch.cat([p.grad.flatten() for p in parameters]))


def rates(make, after=lambda scheduler, step: scheduler.step()):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for step in range(20):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        after(scheduler, step)
    return found


schedulers = torch.optim.lr_scheduler
line("schedule.linear", rates(lambda o: schedulers.LinearLR(o, 1.0, 0.1, total_iters=20)))
line("schedule.cosine", rates(lambda o: schedulers.CosineAnnealingLR(o, T_max=20, eta_min=0.1)))
line("schedule.step", rates(lambda o: schedulers.StepLR(o, step_size=6, gamma=0.5)))
LOSSES = [5.0, 4.0, 4.0, 4.1, 3.99995, 4.2, 3.0, 3.0, 3.1, 3.2, 2.9, 2.95, 2.95, 2.95, 2.95, 2.95, 2.95, 2.0, 2.0, 2.0]
line("schedule.plateau", rates(
    lambda o: schedulers.ReduceLROnPlateau(o, factor=0.5, patience=2, threshold=1e-4),
    lambda scheduler, step: scheduler.step(LOSSES[step]),
))
line("schedule.plateau_losses", LOSSES)
