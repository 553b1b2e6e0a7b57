"""Draws how long the peers take for an adapted layer, as an SVG, from what compare.py measured."""

import math
import statistics
from html import escape

SHAPE = "64x64*64x64"
JOBS = [("forward", "Forward"), ("step", "Training step")]
PEERS = [
    ("peft", "PEFT", "#3b6fb0"),
    ("lycoris", "LyCORIS", "#d9822b"),
    ("lycoris-bypass", "LyCORIS, bypass mode", "#f0bf86"),
]
PACKAGES = [("torch", "PyTorch"), ("peft", "PEFT"), ("lycoris-lora", "LyCORIS")]
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]

# Its own background, so that it reads alike on light and dark pages.
PAPER, INK, FAINT, LINE, GRID = "#ffffff", "#1f2430", "#5b6472", "#1f2430", "#e3e6eb"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', 'Liberation Sans', sans-serif"

WIDTH, MARGIN, GAP = 880, 28, 44
LABELS = 76  # where the batches stand
BAR, BETWEEN, GROUP = 17, 3, 20
TOP = 138  # where the bars begin


def ratios(results):
    """`{(job, batch, peer): (first quartile, median, third quartile)}` of peer / lokr, for the shape drawn."""
    found = {}
    for row in results["times"]:
        if row["shape"] == SHAPE and row["job"] in dict(JOBS):
            pairs = [theirs / ours for ours, theirs in zip(row["lokr_seconds"], row["peer_seconds"])]
            low, middle, high = statistics.quantiles(pairs, n=4, method="inclusive")
            found[row["job"], row["batch"], row["peer"]] = (low, middle, high)
    if not found:
        raise SystemExit(f"nothing to draw: no rows of {SHAPE} were measured")
    return found


def text(x, y, words, size=13, anchor="start", fill=INK, weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def rule(x1, y1, x2, y2, stroke, width=1.0):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width}"/>'
    )


def times_as_long(value):
    return f"{value:.0f}×" if value >= 9.95 else f"{value:.1f}×" if value >= 2 else f"{value:.2f}×"


def shape_in_words():
    """`64 × 64 ⊗ 64 × 64` and the size of the layer."""
    (m, n), (p, q) = (map(int, factor.split("x")) for factor in SHAPE.split("*"))
    return f"{n * q} → {m * p}, factors {m} × {n} and {p} × {q}"


def panel(left, width, job, title, found, batches, ticks):
    """The bars of one job."""
    start, end = left + LABELS, left + width - 34  # room for the number behind the longest bar
    low, high = math.log(ticks[0]), math.log(ticks[-1])

    def place(value):
        return start + (math.log(value) - low) / (high - low) * (end - start)

    group = len(PEERS) * (BAR + BETWEEN) - BETWEEN
    bottom = TOP + len(batches) * group + (len(batches) - 1) * GROUP + 10
    out = [text(start, TOP - 20, title, size=15, weight="600")]
    for tick in ticks:
        out.append(rule(place(tick), TOP - 8, place(tick), bottom, GRID))
        out.append(text(place(tick), bottom + 17, f"{tick:g}", size=12, anchor="middle", fill=FAINT))
    for index, batch in enumerate(batches):
        y = TOP + index * (group + GROUP)
        out.append(text(start - 10, y + group / 2 + 4.5, f"batch {batch}", anchor="end", fill=INK))
        for peer, _, colour in PEERS:
            if (job, batch, peer) in found:
                first, middle, third = found[job, batch, peer]
                left_end, right_end = sorted([place(1), place(middle)])
                out.append(
                    f'<rect x="{left_end:.1f}" y="{y:.1f}" width="{max(right_end - left_end, 1):.1f}" height="{BAR}" '
                    f'rx="1.5" fill="{colour}"/>'
                )
                centre = y + BAR / 2
                out.append(rule(place(first), centre, place(third), centre, INK, 1.2))
                after = max(place(third), right_end) + 6
                out.append(text(after, y + BAR - 4.5, times_as_long(middle), size=12.5))
            else:
                out.append(text(place(1) + 6, y + BAR - 4.5, "not measured", size=12, fill=FAINT))
            y += BAR + BETWEEN
    out.append(rule(place(1), TOP - 8, place(1), bottom, LINE, 1.6))
    return out, bottom


def draw(results, command):
    """The whole picture as text."""
    found = ratios(results)
    batches = sorted({batch for _, batch, _ in found})
    values = [1.0, *(value for three in found.values() for value in three)]
    first = max(index for index, tick in enumerate(TICKS) if tick <= min(values))
    last = min(index for index, tick in enumerate(TICKS) if tick >= max(values))
    ticks = TICKS[first : last + 1]

    out = [
        text(MARGIN, 36, "Time of an adapted layer; lokr is 1", size=19, weight="600"),
        text(MARGIN, 58, f"LoKr on a layer {shape_in_words()}, f32, frozen base. Shorter is better.", fill=FAINT),
    ]
    x = MARGIN
    for _, name, colour in PEERS:
        out.append(f'<rect x="{x:.1f}" y="76" width="12" height="12" rx="1.5" fill="{colour}"/>')
        out.append(text(x + 18, 86.5, name))
        x += 18 + 7.6 * len(name) + 24
    width = (WIDTH - 2 * MARGIN - GAP) / 2
    bottom = 0.0
    for index, (job, title) in enumerate(JOBS):
        drawn, bottom = panel(MARGIN + index * (width + GAP), width, job, title, found, batches, ticks)
        out += drawn
    y = bottom + 38
    out.append(text(WIDTH / 2, y, "times as long as lokr, on a logarithmic axis", size=12, anchor="middle", fill=FAINT))
    samples = len(next(row for row in results["times"])["lokr_seconds"])
    versions = ", ".join(f"{name} {results['versions'][package]}" for package, name in PACKAGES)
    backend = results["machine"].split(",")[0]
    threads = f"{results['threads']} threads for every side"
    machine = f"{results['processor']}, {results['system']}, {threads}; lokr: {backend}"
    y += 12
    for line in [
        f"Median of {samples} pairs taken in turns; the thin lines span their middle half.",
        f"{machine}.",
        f"{versions}; {results['date']}.",
        command,
    ]:
        y += 17
        out.append(text(MARGIN, y, line, size=11.5, fill=FAINT))
    height = y + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="{FONT}">',
            f"<title>{escape(spoken(found, batches))}</title>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8" '
            f'fill="{PAPER}" stroke="{GRID}"/>',
            *out,
            "</svg>",
            "",
        ]
    )


def spoken(found, batches):
    """The same in a sentence, for who cannot see it."""
    parts = []
    for job, title in JOBS:
        for peer, name, _ in PEERS:
            numbers = [times_as_long(found[job, batch, peer][1]) for batch in batches if (job, batch, peer) in found]
            if numbers:
                parts.append(f"{title.lower()}, {name}: {', '.join(numbers)}")
    return f"How many times as long as lokr, at batches of {', '.join(map(str, batches))}: {'; '.join(parts)}"
