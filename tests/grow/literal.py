"""Region growing as written down, pixel by pixel in plain Python: what the fast form must equal bit for bit.

Loaded by path from the tests and from benchmarks/bench_grow.py.
"""

import numpy as np


def visiting(seeds, probabilities, classes, *, labels=None, theta_fg=0.85, theta_bg=0.99):
    """The paper's process V_c for each class: visit S_c row by row, label neighbours, until S_c stays as it is."""
    height, width = seeds.shape
    row = {int(c): k for k, c in enumerate(classes)}
    taking_part = sorted(c for c in row if c == 0 or labels is None or c in labels)
    theta = {c: np.float32(theta_bg if c == 0 else theta_fg) for c in taking_part}

    winner = {}  # equation 3, once for each pixel: the class for which P holds there
    for y in range(height):
        for x in range(width):
            h = [probabilities[row[c], y, x] for c in taking_part]
            largest = max(h)
            c = taking_part[h.index(largest)]
            if largest >= theta[c]:
                winner[y, x] = c

    label = seeds.tolist()
    for c in taking_part:
        positions = [(y, x) for y in range(height) for x in range(width) if label[y][x] == c]
        while True:
            new = []
            for y, x in positions:
                for v in range(max(y - 1, 0), min(y + 2, height)):
                    for u in range(max(x - 1, 0), min(x + 2, width)):
                        if label[v][u] == 255 and winner.get((v, u)) == c:
                            label[v][u] = c
                            new.append((v, u))
            if not new:
                break
            positions = sorted(positions + new)
    return np.array(label, np.uint8)


def layer(seeds, probabilities, classes, *, labels=None, theta_fg=0.85, theta_bg=0.99):
    """The authors' training layer: a map of seeds and sure pixels, its components by a two-scan union-find.

    Their layer also lists each component's neighbours while scanning, and never uses the list; that is left out.
    """
    height, width = seeds.shape
    row = {int(c): k for k, c in enumerate(classes)}
    taking_part = sorted(c for c in row if c == 0 or labels is None or c in labels)
    selected = probabilities[[row[c] for c in taking_part]]
    winner, best = selected.argmax(0), selected.max(0)

    region = seeds.astype(np.int64)
    for (y, x), value in np.ndenumerate(best):
        c = taking_part[winner[y, x]]
        if value > np.float32(theta_fg) and (c != 0 or value > np.float32(theta_bg)):
            region[y, x] = c

    out = seeds.copy()
    for c in taking_part:
        component = two_scan((region == c).tolist(), height, width)
        seeded = {component[y][x] for (y, x), value in np.ndenumerate(region) if value == c and seeds[y, x] == c}
        for (y, x), value in np.ndenumerate(region):
            if value == c and seeds[y, x] == 255 and component[y][x] in seeded:
                out[y, x] = c
    return out


def two_scan(inside, height, width):
    """Component number of every pixel: 8-connected, equal values of `inside`."""
    parent, rank = [], []

    def find(k):
        while parent[k] != k:
            k = parent[k]
        return k

    def union(a, b):
        a, b = find(a), find(b)
        if a == b:
            return
        if rank[a] < rank[b]:
            a, b = b, a
        parent[b] = a
        if rank[a] == rank[b]:
            rank[a] += 1

    component = [[0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            near = []
            for v, u in ((y, x - 1), (y - 1, x), (y - 1, x - 1), (y - 1, x + 1)):
                if v >= 0 and 0 <= u < width and inside[v][u] == inside[y][x]:
                    near.append(component[v][u])
            if near:
                component[y][x] = min(near)
                for k in range(len(near) - 1):
                    union(near[k], near[k + 1])
            else:
                component[y][x] = len(parent)
                parent.append(len(parent))
                rank.append(0)
    for y in range(height):
        for x in range(width):
            component[y][x] = find(component[y][x])
    return component
