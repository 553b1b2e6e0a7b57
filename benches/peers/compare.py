#!/usr/bin/env python3
"""Compares lokr with PyTorch, PEFT, LyCORIS, FastKron and NumPy: the same jobs on the same data in one run, in turns.

See README.md in this folder. Linux only, for the peak memory of processes.
"""

import argparse
import gc
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import chart

ROOT = Path(__file__).resolve().parents[2]
THREAD_VARIABLES = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
BATCHES = [1, 32, 512]
ADAPTERS = ["64x64*64x64", "64x64*64r8x64", "16x16*256x256", "8x8*512x512"]
OPERATORS = [
    "64x64*64x64",
    "32x32*32x32",
    "48x24*64x32",
    "128x128*128x128",
    "16x16*256x256",
    "8x8*512x512",
    "4x4*1024x1024",
    "2x1*127x127",
    "64x64*64r8x64",
    "8^4",
    "16^3",
    "8^5",
]
MERGES = ["64x64*64x64", "16x16*256x256", "8x8*512x512", "48x24*64x32"]
# Sizes of the layers; every layer is adapted and AdamW makes the step.
NETWORKS = ["1024-4096-4096-4096-1024", "784-1024-1024-10", "64-256-256-10"]
NETWORK_BATCHES = [16, 128, 512]
# Each side runs for so many seconds, once at least, before a sample of it is counted. Threads that have just worked for
# another side may spin meanwhile, OpenBLAS's for 2^26 ticks of the clock, up to 34 ms where that has 2 GHz; and processors
# that have slept instead, virtual ones above all, are slow for as long.
UNCOUNTED = 0.04


def rows():
    """All (job, shape, batch)."""
    out = [("base", "64x64*64x64", batch) for batch in BATCHES]
    out += [(job, shape, batch) for job in ["forward", "step"] for shape in ADAPTERS for batch in BATCHES]
    out += [("network", sizes, batch) for sizes in NETWORKS for batch in NETWORK_BATCHES]
    out += [("apply", shape, batch) for shape in OPERATORS for batch in BATCHES]
    out += [("merge", shape, 1) for shape in MERGES]
    return out


class Ours:
    """The Rust process of main.rs."""

    def __init__(self, executable):
        self.process = subprocess.Popen(
            [executable, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"{command!r}: {answer or 'the process ended'}")
        return answer

    def prepare(self, job, shape, batch):
        self.ask(f"prepare {job} {shape} {batch}")

    def time(self, repetitions):
        """Seconds."""
        return int(self.ask(f"run {repetitions}")) * 1e-9

    def check(self):
        return [float(value) for value in self.ask("check").split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    """A peer's work in this process."""

    def __init__(self, work):
        self.work = work

    def time(self, repetitions):
        start = time.perf_counter_ns()
        for _ in range(repetitions):
            self.work.run()
        return (time.perf_counter_ns() - start) * 1e-9

    def check(self):
        import numpy as np

        values = np.asarray(self.work.result(), dtype=np.float64).reshape(-1)
        return [float(np.abs(values).sum()), values[0], values[values.size // 2], values[-1]]


def build(features):
    """Builds the Rust side and returns its path."""
    command = ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format=json"]
    if features:
        command += ["--features", features]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "peers":
            return message["executable"]
    raise RuntimeError("cargo named no executable")


def calibrate(side, seconds):
    """Warms up; returns how many repetitions come before a sample, and how many fill it."""
    side.time(1)
    repetitions = 1
    while True:
        elapsed = side.time(repetitions)
        if elapsed >= seconds:
            return math.ceil(UNCOUNTED * repetitions / elapsed), repetitions
        repetitions = math.ceil(repetitions * min(10.0, max(1.2, seconds / max(elapsed, 1e-9))))


def sample(side, uncounted, repetitions):
    """Seconds per run."""
    side.time(uncounted)
    return side.time(repetitions) / repetitions


def agree(ours, theirs):
    """Whether both sides computed the same thing, to the rounding of long sums in f32."""
    scale = max(abs(value) for value in ours[1:]) + 1e-6
    close = [abs(a - b) <= 2e-3 * scale for a, b in zip(ours[1:], theirs[1:])]
    return all(close) and math.isclose(ours[0], theirs[0], rel_tol=1e-4)


def measure(ours, job, shape, batch, options):
    """One row: times of us and of every peer, sampled in turns."""
    import theirs

    sides, notes = {}, {}
    ours.prepare(job, shape, batch)
    ours.time(1)
    reference = ours.check()
    for peer in theirs.PEERS[job]:
        try:
            side = Theirs(theirs.prepare(peer, job, shape, batch))
            side.time(1)
            if not agree(reference, side.check()):
                raise theirs.Unsupported(f"another result: {side.check()} where we have {reference}")
            sides[peer] = side
        except Exception as error:  # Whatever a peer trips over is its answer for this row.
            notes[peer] = f"{type(error).__name__}: {error}"
    turns = [("lokr", ours), *sides.items()]
    samples = {peer: calibrate(side, options.sample_time) for peer, side in turns}
    times = {peer: [] for peer in samples}
    for _ in range(options.samples):
        for peer, side in turns:
            times[peer].append(sample(side, *samples[peer]))
        turns.reverse()  # There and back, so that none profits from its place.
    del sides, turns
    gc.collect()
    return times, notes


def resident(pid, field):
    """`VmRSS` (now) or `VmHWM` (peak) of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} of process {pid}")


def peak_growth(pid, run):
    """Bytes by which the resident memory of a process grows at most during `run`."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # Resets the peak.
    before = resident(pid, "VmRSS")
    run()
    return max(0, resident(pid, "VmHWM") - before)


def memory_of_ours(executable, job, shape, batch):
    ours = Ours(executable)
    ours.prepare("base", shape, batch)  # Threads and code are there before the count begins.
    ours.time(1)
    ours.prepare(job, shape, batch)
    grown = peak_growth(ours.process.pid, lambda: ours.time(1))
    ours.close()
    return grown


def memory_of_peer(peer, job, shape, batch):
    """In a fresh process: this script, as a worker."""
    command = [sys.executable, __file__, "--memory-worker", peer, job, shape, str(batch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else None


def memory_worker(peer, job, shape, batch):
    import theirs

    batch = int(batch)
    warm = theirs.prepare("torch", "base", shape, batch)
    warm.run()
    del warm
    work = theirs.prepare(peer, job, shape, batch)
    gc.collect()
    print(peak_growth(os.getpid(), work.run))


def seconds(value):
    for limit, factor, unit in [(1e-3, 1e6, "us"), (1.0, 1e3, "ms")]:
        if value < limit:
            return f"{value * factor:.2f} {unit}"
    return f"{value:.3f} s"


def set_threads(count):
    """Before the first import of a library that starts threads."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(count)


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ["torch", "peft", "lycoris-lora", "pyfastkron", "numpy"]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def processor():
    """The processor's name, as Linux tells it, with the numbers that tell its generation."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    facts = {name.strip(): " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"


def command_line():
    """What was typed, from the project's root."""
    return shlex.join(["python", str(Path(__file__).resolve().relative_to(ROOT)), *sys.argv[1:]])


def as_text(results):
    """JSON with a row per line and four digits per time, which is more than the clock and the machine give."""
    def rounded(value):
        if isinstance(value, float):
            return float(f"{value:.4g}")
        if isinstance(value, list):
            return [rounded(item) for item in value]
        if isinstance(value, dict):
            return {name: rounded(item) for name, item in value.items()}
        return value

    parts = []
    for name, value in rounded(results).items():
        if isinstance(value, list) and value:
            rows = ",\n".join("  " + json.dumps(row) for row in value)
            parts.append(f" {json.dumps(name)}: [\n{rows}\n ]")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def draw(results, path):
    """The chart of the layers; its last line is the command that measured."""
    Path(path).write_text(chart.draw(results, results["command"]))


def compare_times(ours, options, out):
    print(f"\n{'row':<32} {'batch':>5}  {'peer':<15} {'lokr':>10} {'peer':>10} {'peer/lokr':>9}   min lokr / peer")
    by_peer = {}
    for job, shape, batch in rows():
        if options.filter and options.filter not in f"{job} {shape} b{batch}":
            continue
        times, notes = measure(ours, job, shape, batch, options)
        mine = times.pop("lokr")
        for peer, samples in times.items():
            ratio = statistics.median(b / a for a, b in zip(mine, samples))
            by_peer.setdefault((job, peer), []).append(ratio)
            print(
                f"{job + ' ' + shape:<32} {batch:>5}  {peer:<15} {seconds(statistics.median(mine)):>10} "
                f"{seconds(statistics.median(samples)):>10} {ratio:>9.2f}   {seconds(min(mine))} / {seconds(min(samples))}",
                flush=True,
            )
            row = {"job": job, "shape": shape, "batch": batch, "peer": peer, "ratio": ratio}
            out["times"].append(row | {"lokr_seconds": mine, "peer_seconds": samples})
        for peer, note in notes.items():
            print(f"{job + ' ' + shape:<32} {batch:>5}  {peer:<15} {note[:120]}", flush=True)
            out["unsupported"].append({"job": job, "shape": shape, "batch": batch, "peer": peer, "note": note})
    print("\ngeometric means of peer/lokr")
    for (job, peer), ratios in by_peer.items():
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"{job:<10} {peer:<15} {mean:>7.2f}   worst {min(ratios):.2f}, {len(ratios)} rows")
    summary(out)


def summary(out):
    """Per row the peer that is fastest, and the rows where one is faster than we are."""
    best = {}
    for row in out["times"]:
        key = row["job"], row["shape"], row["batch"]
        if key not in best or row["ratio"] < best[key]["ratio"]:
            best[key] = row
    behind = [row for row in best.values() if row["ratio"] < 1]
    print(f"\nahead of every peer in {len(best) - len(behind)} of {len(best)} rows; behind in {len(behind)}")
    for row in sorted(behind, key=lambda row: row["ratio"]):
        name = f"{row['job']} {row['shape']} b{row['batch']}"
        print(f"  {name:<40} {row['peer']:<15} {row['ratio']:.2f}")


def compare_memory(executable, options, out):
    import theirs

    print("\npeak memory of the first run beyond weights and inputs, MiB; outputs are part of it")
    for job, batches in [("forward", [1, 512]), ("step", [1, 512]), ("merge", [1])]:
        for batch in batches:
            shape = "64x64*64x64"
            if options.filter and options.filter not in f"{job} {shape} b{batch}":
                continue
            peaks = {"lokr": memory_of_ours(executable, job, shape, batch)}
            peaks |= {peer: memory_of_peer(peer, job, shape, batch) for peer in theirs.PEERS[job]}
            text = ", ".join(
                f"{name} {'failed' if peak is None else f'{peak / 2**20:.1f}'}" for name, peak in peaks.items()
            )
            print(f"{job + ' ' + shape:<32} {batch:>5}  {text}", flush=True)
            out["memory"].append({"job": job, "shape": shape, "batch": batch, "peak_bytes": peaks})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short samples: to see that it works")
    parser.add_argument("--filter", metavar="SUBSTR", help='only rows whose name contains this, as in "step 64x64*64x64 b512"')
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for every side (default: all processors)")
    parser.add_argument("--features", help="cargo features of our side, such as openblas-system")
    parser.add_argument("--json", metavar="FILE", help="also write everything to this file")
    parser.add_argument("--chart", metavar="FILE", help=f"also draw forward and step of {chart.SHAPE}, as SVG")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: draw what --json wrote before")
    parser.add_argument("--memory-worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_worker:
        memory_worker(*options.memory_worker)
        return
    if options.source:
        if not options.chart:
            parser.error("--from needs --chart")
        draw(json.loads(Path(options.source).read_text()), options.chart)
        return
    options.samples, options.sample_time = (3, 0.002) if options.quick else (15, 0.02)
    set_threads(options.threads)
    executable = build(options.features)
    ours = Ours(executable)
    out = {
        "command": command_line(),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "system": platform.system(),
        "machine": ours.ask("machine"),
        "threads": options.threads,
        "versions": versions(),
    }
    print(f"lokr: {out['machine']}; every side with {options.threads} threads")
    print(", ".join(f"{package} {version}" for package, version in out["versions"].items()))
    out |= {"times": [], "unsupported": [], "memory": []}
    compare_times(ours, options, out)
    ours.close()
    compare_memory(executable, options, out)
    if options.json:
        Path(options.json).write_text(as_text(out))
    if options.chart:
        draw(out, options.chart)


if __name__ == "__main__":
    main()
