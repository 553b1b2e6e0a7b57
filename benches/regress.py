"""Compares the rows of the benchmark `ratios` at two commits, measured in turns.

    python benches/regress.py BASE [HEAD] [--turns 5] [--filter SUBSTR] [--full] [--f64]

Each commit is built in a work tree of its own (kept in target/regress, so that a second comparison builds only what
changed). Then one runs after the other, and again the other way round, and a row's ratio is the median over the turns
of the time at HEAD divided by that at BASE. Rows that are slower by more than --slower are listed, first the worst, and
make the exit code 1; a row counts only where its fastest times say the same, so that one noisy turn is no regression.
Needs git, cargo and Python 3.9, on a machine that does nothing else.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command, cwd=ROOT):
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def build(commit):
    """The benchmark's program at a commit, copied so that the next build leaves it alone."""
    name = run("git", "rev-parse", "--short=12", commit + "^{commit}").strip()
    place = ROOT / "target" / "regress"
    tree, program = place / f"tree-{name}", place / f"ratios-{name}"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        if not tree.exists():
            run("git", "worktree", "add", "--detach", str(tree), name)
        messages = run("cargo", "bench", "--bench", "ratios", "--no-run", "--message-format", "json",
                       "--target-dir", str(place / "build"), cwd=tree)
        built = [json.loads(line).get("executable") for line in messages.splitlines()]
        shutil.copy2([path for path in built if path][-1], program)
        run("git", "worktree", "remove", "--force", str(tree))
    return name, program


def measure(program, options):
    command = [str(program), "--json", "--no-naive", "--bench"]
    command += [] if options.full else ["--quick"]
    command += ["--f64"] if options.f64 else []
    command += ["--filter", options.filter] if options.filter else []
    rows = json.loads(run(*command))["rows"]
    return {(row["section"], row["name"], row["batch"]): (row["min_seconds"], row["median_seconds"]) for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("head", nargs="?", default="HEAD")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--filter", help="rows whose name contains this, as `ratios --filter`")
    parser.add_argument("--full", action="store_true", help="longer samples")
    parser.add_argument("--f64", action="store_true")
    parser.add_argument("--slower", type=float, default=1.05, help="what counts as slower (1.05)")
    options = parser.parse_args()

    (base_name, base), (head_name, head) = build(options.base), build(options.head)
    turns = []
    for turn in range(options.turns):
        order = [base, head] if turn % 2 == 0 else [head, base]
        times = {program: measure(program, options) for program in order}
        turns.append((times[base], times[head]))
        print(f"turn {turn + 1} of {options.turns}", file=sys.stderr)

    print(f"time at {head_name} / time at {base_name}, {options.turns} turns")
    print(f"{'row':<44} {'batch':>5} {base_name:>12} {head_name:>12} {'median':>7} {'fastest':>7}")
    worse, shared = [], [key for key in turns[0][0] if all(key in b and key in h for b, h in turns)]
    for key in shared:
        paired = statistics.median(h[key][0] / b[key][0] for b, h in turns)
        fastest_base, fastest_head = (min(turn[side][key][0] for turn in turns) for side in (0, 1))
        row = (paired, fastest_head / fastest_base, key, fastest_base, fastest_head)
        print_row(row)
        if min(row[0], row[1]) > options.slower:
            worse.append(row)
    print(f"\n{len(worse)} of {len(shared)} rows slower by more than {100 * (options.slower - 1):.0f} %")
    for row in sorted(worse, key=lambda row: -row[0]):
        print_row(row)
    return 1 if worse else 0


def print_row(row):
    paired, fastest, (_, name, batch), base, head = row
    batch = "" if batch is None else batch
    print(f"{name:<44} {batch:>5} {1e6 * base:>9.2f} µs {1e6 * head:>9.2f} µs {paired:>7.3f} {fastest:>7.3f}")


if __name__ == "__main__":
    sys.exit(main())
