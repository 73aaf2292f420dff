"""Explorables of the chapter on diversity: MMR and its window, volume and determinant, DPP, rules of a feed.

Those about a feed share 24 candidates, :func:`candidates`: points on a map of five topics, alike where they are near.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import contourpy
import numpy as np
from numpy.typing import NDArray

from rectutor.metrics import definitions, intra_list_diversity
from rectutor.rerank import MaxInPrefix, MaxInWindow, MaxRun, Note, Rule, Slate, dpp, mmr, reference, unit
from rectutor.widgets.explorer import Choice, Continuous, Discrete, Explorer, Steps, Toggle
from rectutor.widgets.scene import Anchor, Panel, Scale, Scene, ink_on, text_width

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MINUS = "\N{MINUS SIGN}"
THETA = "\N{GREEK SMALL LETTER THETA}"
D2 = "d\N{SUPERSCRIPT TWO}"

FEED = 10
"""Positions of the feeds of MMR and DPP."""
TOPICS = {"A": "travel", "B": "food", "C": "fitness", "D": "cats", "E": "markets"}
PAINT = {"A": "#0072b2", "B": "#d55e00", "C": "#009e73", "D": "#cc79a7", "E": "#6b7280"}
"""Colours that stand out on light and dark pages alike."""
CORNERS = {"A": 24, "B": 4, "C": 3, "D": 5, "E": 6}
"""Shape of a topic's points: a polygon of so many corners, with 24 a disc."""
AREA = (-2.6, 2.6)
"""Limits of the map, in x and in y."""


def _signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign; never "minus zero"."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


# -- the candidates ---------------------------------------------------------------------------------------------
class Candidates(NamedTuple):
    """What a ranker hands on, in its order; shapes: n candidates.

    Attributes:
        names: topic and number within it.
        reward: the ranker's score [n], falling.
        points: places on the map [n, 2]; its unit is the distance at which similarity has fallen to 0.61.
        similarity: exp(-distance^2 / 2) [n, n], positive definite.
        vectors: the same points as directions in space [n, 3]: (x, y, 1.5), scaled to length 1.
    """

    names: tuple[str, ...]
    reward: Floats
    points: Floats
    similarity: Floats
    vectors: Floats


@cache
def candidates() -> Candidates:
    """24 notes of five topics. Travel and food are what this reader likes most; markets lie between the two."""
    table = [
        ("A1", 0.97, -1.45, 1.25), ("B1", 0.96, 0.75, 1.35), ("A2", 0.95, -1.09, 1.41), ("B2", 0.93, 1.16, 1.41),
        ("E1", 0.92, -0.35, 1.18), ("A3", 0.90, -1.82, 1.15), ("B3", 0.88, 0.88, 1.76), ("A4", 0.86, -1.37, 1.66),
        ("C1", 0.84, 1.72, -0.84), ("B4", 0.83, 0.83, 0.95), ("E2", 0.82, -0.12, 0.76), ("A5", 0.80, -1.54, 0.84),
        ("C2", 0.79, 2.08, -0.70), ("B5", 0.77, 0.44, 1.66), ("C3", 0.74, 1.79, -0.44), ("D1", 0.72, -1.20, -1.60),
        ("A6", 0.71, -2.32, 0.60), ("D2", 0.68, -0.82, -1.46), ("B6", 0.66, 1.12, 0.88), ("C4", 0.63, 1.39, -0.63),
        ("E3", 0.61, -0.58, 0.78), ("D3", 0.59, -1.14, -1.19), ("C5", 0.55, 1.59, -1.24), ("D4", 0.50, -1.48, -1.89),
    ]  # fmt: skip
    points = np.array([row[2:] for row in table])
    distance2 = ((points[:, None] - points) ** 2).sum(axis=2)
    rays = unit(np.column_stack([points, np.full(len(points), 1.5)]))
    names = tuple(row[0] for row in table)
    return Candidates(names, np.array([row[1] for row in table]), points, np.exp(-distance2 / 2), rays)


def diversity_of(order: Codes) -> float:
    """Intra-list diversity of the chosen, by the map's similarity; of a single item 0."""
    return float(intra_list_diversity([order], similarity=candidates().similarity)) if len(order) > 1 else 0.0


def _window(window: int | str) -> int | None:
    return None if window == "all" else int(window)


def _recent(order: Codes, position: int, window: int | None) -> list[int]:
    """W of a position: the items above it that count."""
    return [int(j) for j in reference.recent([int(j) for j in order[:position]], window)]


def _words(window: int | str) -> str:
    return "All above compared" if window == "all" else f"Window {window}"


# -- pictures of candidates -------------------------------------------------------------------------------------
def _shape(panel: Panel, key: str, topic: str, x: float, y: float, r: float, full: bool, tip: str) -> None:
    """A candidate's point, filled once it is chosen."""
    colour, corners = PAINT[topic], CORNERS[topic]
    turn, more = {3: (90, 1.35), 4: (45, 1.2), 5: (90, 1.1), 6: (0, 1.05), 24: (0, 1.0)}[corners]
    angles = np.deg2rad(turn + 360 * np.arange(corners) / corners)
    xs, ys = (
        at + r * more * turned / (scale(1) - scale(0))
        for at, turned, scale in ((x, np.cos(angles), panel.x), (y, -np.sin(angles), panel.y))
    )
    path: list[tuple[str, *tuple[float, ...]]] = [
        ("L" if n else "M", float(a), float(b)) for n, (a, b) in enumerate(zip(xs, ys, strict=True))
    ]
    panel.path(key, [*path, ("Z",)], colour=colour, fill=colour if full else "none", width=1.5, tip=tip)


def _map(panel: Panel, order: Sequence[int], top: float, named: Sequence[str] = ()) -> None:
    """All candidates, the chosen ones filled and with their positions; ``named`` ones with their names."""
    c = candidates()
    side = panel.width - 8
    panel.x, panel.y = Scale(*AREA, 4, 4 + side), Scale(*AREA, top + side, top)
    panel.rect("map", AREA[0], AREA[0], AREA[1], AREA[1], colour="none", outline="line")
    place = {int(i): n + 1 for n, i in enumerate(order)}
    for i, name in enumerate(c.names):
        said = f", position {place[i]}" if i in place else ", left out"
        tip = f"{name}, {TOPICS[name[0]]}: reward {c.reward[i]:.2f}{said}"
        x, y = c.points[i]
        _shape(
            panel,
            f"point/{name}",
            name[0],
            x,
            y,
            2 + 6 * float(c.reward[i]) + (2 if i in place else 0),
            i in place,
            tip,
        )
    for i, n in sorted(place.items(), key=lambda pair: pair[1]):
        x, y = c.points[i]
        panel.text(f"place/{c.names[i]}", x, y, f"{n}", anchor="middle", bold=True, halo=True)
    for name in named:
        x, y = c.points[c.names.index(name)]
        panel.text(f"name/{name}", x, y, name, dx=0, dy=-12, anchor="middle", halo=True)


def _topics(panel: Panel, top: float) -> None:
    """The topics' shapes and names, in two rows; in pixels, before the scales are set."""
    for n, (letter, topic) in enumerate(TOPICS.items()):
        x, y = 8.0 + 92 * (n % 3), top + 20 * (n // 3)
        _shape(panel, f"topic/{letter}", letter, x, y, 5, True, "")
        panel.text(f"topic/{letter}-name", x, y, f"{letter} {topic}", dx=11)


def _tile(panel: Panel, name: str, x: float, y: float, tip: str = "", width: float = 32) -> None:
    """A candidate as a tile in its topic's colour, around a point in pixels."""
    fill = PAINT[name[0]]
    panel.rect(f"tile/{name}", x - width / 2, y - 9, x + width / 2, y + 9, colour=fill, rounded=4, tip=tip)
    panel.text(f"tile/{name}-name", x, y, name, anchor="middle", colour=ink_on(fill), bold=True)


class Beside(NamedTuple):
    """What a position's chosen item, and the least and greatest of those left, have on the right-hand scale."""

    chosen: float
    least: float
    greatest: float


def _feed(panel: Panel, order: Codes, beside: Sequence[Beside | str], scale: Scale, heads: tuple[str, str]) -> None:
    """The feed as rows: tile, reward, and a scale with the chosen item among those left; below, who is left out.

    Args:
        panel: 294 x 366 pixels.
        order: rows of the candidates.
        beside: of each position, or words in its place.
        scale: of the right-hand column.
        heads: what the scale shows, and what it says of the chosen (in tips).
    """
    c = candidates()
    across = Scale(scale.low, scale.high, 168, 284, scale.log)
    panel.text("head/reward", 58, 38, "reward", colour="muted")
    panel.text("head/scale", 290, 38, heads[0], anchor="end", colour="muted")
    bottom = 54 + 22 * FEED - 8
    for value, label in Scale(scale.low, scale.high, 168, 284, scale.log, at=scale.at).ticks():
        panel.line(f"grid/{value:g}", [across(value)] * 2, [48, bottom], colour="line", width=1)
        panel.text(f"grid/{value:g}-name", across(value), bottom + 12, label, anchor="middle", colour="muted")
    for n, i in enumerate(order):
        y, name, reward = 58 + 22 * n, c.names[i], float(c.reward[i])
        panel.text(f"position/{n + 1}", 16, y, f"{n + 1}", anchor="end", colour="muted")
        _tile(panel, name, 38, y, f"position {n + 1}: {name}, {TOPICS[name[0]]}, reward {reward:.2f}")
        panel.rect(f"reward/{name}", 60, y - 6, 60 + 62 * reward, y + 6, colour="sky", opacity=0.7, rounded=2)
        panel.text(f"reward/{name}-value", 126, y, f"{reward:.2f}")
        here = beside[n]
        if isinstance(here, str):
            panel.text(f"words/{n + 1}", 164, y, here, colour="muted", halo=True)
            continue
        low, high, at = (across(float(np.clip(v, scale.low, scale.high))) for v in (here.least, here.greatest, here[0]))
        tip = f"{heads[1]} {here.chosen:.3g}; of those left {here.least:.3g} to {here.greatest:.3g}"
        panel.rect(f"left/{n + 1}", low - 2, y - 4, high + 2, y + 4, colour="orange", opacity=0.55, rounded=4, tip=tip)
        panel.circle(f"here/{n + 1}", at, y, r=4.5, colour="ink", tip=tip)
    panel.text("out", 0, bottom + 38, "left out:", colour="muted")
    rest = [i for i in range(len(c.names)) if i not in set(order.tolist())]
    for m, i in enumerate(rest):
        first = m < 6
        x, y = (78 + 38 * m, bottom + 38) if first else (16 + 37.5 * (m - 6), bottom + 60)
        _tile(panel, c.names[i], x, y, f"{c.names[i]}, {TOPICS[c.names[i][0]]}, reward {c.reward[i]:.2f}: left out")


# -- MMR ---------------------------------------------------------------------------------------------------------
WINDOWS = [1, 2, 3, 5, "all"]


@lru_cache(maxsize=4096)
def mmr_feed(theta: float, window: int | str, k: int = FEED) -> Slate:
    """MMR over the candidates by the map's similarity."""
    c = candidates()
    return mmr(c.reward, similarity=c.similarity, k=k, theta=theta, window=_window(window))


def penalties(order: Codes, window: int | None) -> tuple[Floats, Floats, Floats]:
    """Of each position the greatest similarity to W: of the chosen, and the least and greatest of all left; [k] each.

    The first position is compared with nothing: 0.
    """
    similarity = candidates().similarity
    left = np.ones(len(similarity), dtype=bool)
    found = np.zeros((3, len(order)))
    for n, i in enumerate(order):
        if n:
            closest = similarity[:, _recent(order, n, window)].max(axis=1)
            found[:, n] = closest[i], closest[left].min(), closest[left].max()
        left[i] = False
    return found[0], found[1], found[2]


class MMRFeed(Explorer):
    """A feed of ten by MMR, re-ordered as theta and the window move.

    On the left the candidates on their map, the chosen ones filled and numbered; on the right the feed with the reward
    of each item and its penalty, the greatest similarity to the items that count, among those of all items left.
    """

    title = "MMR fills a feed"
    question = (
        f"Set {THETA} to 0.3 and compare with all items above. From which position on do the penalties of all that is "
        "left lie within 0.1 of one another, and which window makes the whole feed most diverse?"
    )
    theta = Continuous(f"{THETA} (1: reward alone)", 0, 1, stops=11, start=0.5, fine=101, format=".2f")
    window = Discrete("items compared", WINDOWS, start=3)

    def compute(self, theta: float, window: int | str) -> Scene:
        """Map and feed."""
        order = mmr_feed(theta, window).order
        chosen, least, greatest = penalties(order, _window(window))
        total, diverse = float(candidates().reward[order].sum()), diversity_of(order)
        spread = float(greatest[-1] - least[-1])
        scene = Scene(
            f"{_words(window)}, {THETA} = {theta:.2f}: total reward {total:.2f}, intra-list diversity {diverse:.3f}. "
            f"At position {FEED} the penalties of all that is left span {least[-1]:.2f} to {greatest[-1]:.2f}.",
            numbers={
                "order": order,
                "reward": total,
                "diversity": diverse,
                "penalty": chosen,
                "least": least,
                "greatest": greatest,
                "spread": spread,
            },
        )
        left = scene.panel(height=366, title=f"Diversity {diverse:.3f}, reward {total:.2f}")
        _topics(left, 36)
        _map(left, order.tolist(), 72)
        right = scene.panel(height=366, title="The feed")
        beside: list[Beside | str] = [Beside(*map(float, row)) for row in zip(chosen, least, greatest, strict=True)]
        beside[0] = "nothing above"
        _feed(right, order, beside, Scale(0, 1, at=(0, 0.5, 1)), ("penalty, of all left", "penalty"))
        return scene


# -- three vectors -----------------------------------------------------------------------------------------------
def three_vectors(angle: float, height: float, length: float) -> Floats:
    """v1 and v2 of length 1 on the floor, v3 leaning towards them from between [3, 3].

    Args:
        angle: between v1 and v2, in degrees.
        height: of v3 above the floor, in degrees; 90 is upright.
        length: of v3.
    """
    half, up = np.deg2rad(angle) / 2, np.deg2rad(height)
    return np.array(
        [
            [np.sin(half), np.cos(half), 0],
            [-np.sin(half), np.cos(half), 0],
            [0, length * np.cos(up), length * np.sin(up)],
        ]
    )


def _seen(points: Floats) -> Floats:
    """An oblique projection: the second axis runs away from the reader, to the upper right."""
    return np.asarray(points @ np.array([[1.0, 0.12], [0.42, 0.36], [0.0, 1.0]]))


class DPPKernel(Explorer):
    """Three vectors in space, the parallelepiped that they span, and the matrix of their inner products.

    On the left the vectors and the body in an oblique projection, its floor darker; on the right the kernel as a heat
    map, its eigenvalues, their product (the determinant, the squared volume) and their sum (the trace).
    """

    title = "Volume and determinant of three vectors"
    question = (
        "Set v1 and v2 at 90\N{DEGREE SIGN}. Upright and of length 1, v3 spans a volume of 1. Tilt it to "
        "30\N{DEGREE SIGN}: how long must it be for the same volume, and how long at 0\N{DEGREE SIGN}?"
    )
    angle = Continuous(
        "angle of v1 and v2, \N{DEGREE SIGN}",
        0,
        120,
        stops=[0, 15, 30, 45, 60, 90, 120],
        start=90,
        fine=121,
        format=".0f",
    )
    height = Continuous("v3 above the floor, \N{DEGREE SIGN}", 0, 90, stops=7, start=60, fine=91, format=".0f")
    length = Continuous("length of v3", 0.5, 2, stops=4, start=1, fine=61, format=".2f")

    def compute(self, angle: float, height: float, length: float) -> Scene:
        """Body, kernel and eigenvalues."""
        vectors = three_vectors(angle, height, length)
        kernel = reference.gram(vectors)
        eigen = np.asarray(np.linalg.eigvalsh(kernel)[::-1], dtype=np.float64)
        size, determinant = reference.volume(vectors), float(np.linalg.det(kernel))
        scene = Scene(
            f"The volume is {size:.3f}, its square {_signed(determinant, 3)} the determinant. Eigenvalues "
            f"{', '.join(_signed(float(e), 3) for e in eigen)}; their sum is the trace, {float(np.trace(kernel)):.3f}.",
            numbers={
                "volume": size,
                "determinant": determinant,
                "eigenvalues": eigen,
                "trace": float(np.trace(kernel)),
                "kernel": kernel,
            },
        )
        self._body(scene.panel(height=300, title=f"Volume {size:.3f}"), vectors)
        self._matrix(scene.panel(height=300, title=f"Determinant {_signed(determinant, 3)}"), kernel, eigen)
        return scene

    @staticmethod
    def _body(panel: Panel, vectors: Floats) -> None:
        zoom = 96.0
        panel.x, panel.y = Scale(0, 1, 90, 90 + zoom), Scale(0, 1, 276, 276 - zoom)
        v1, v2, v3 = vectors
        zero = np.zeros(3)
        faces = {
            "floor": (zero, v1, v1 + v2, v2),
            "back-1": (v1, v1 + v2, v1 + v2 + v3, v1 + v3),
            "back-2": (v2, v1 + v2, v1 + v2 + v3, v2 + v3),
            "front-1": (zero, v1, v1 + v3, v3),
            "front-2": (zero, v2, v2 + v3, v3),
            "roof": (v3, v1 + v3, v1 + v2 + v3, v2 + v3),
        }
        for name, corners in faces.items():
            flat = _seen(np.array(corners))
            floor = name == "floor"
            panel.polygon(name, *flat.T, colour="orange" if floor else "sky", opacity=0.5 if floor else 0.16)
        edges = [(a, a + v3) for a in (v1, v2, v1 + v2)]
        edges += [(v1, v1 + v2), (v2, v1 + v2)]
        edges += [(v3 + a, v3 + b) for a, b in ((zero, v1), (zero, v2), (v1, v1 + v2), (v2, v1 + v2))]
        for n, (a, b) in enumerate(edges):
            panel.line(f"edge-{n}", *_seen(np.array([a, b])).T, colour="muted", width=1)
        ends = _seen(vectors)
        for n, colour in ((0, "blue"), (1, "green"), (2, "vermillion")):
            x, y = float(ends[n, 0]), float(ends[n, 1])
            tip = f"v{n + 1} = ({', '.join(_signed(float(a)) for a in vectors[n])})"
            panel.arrow(f"v{n + 1}", 0, 0, x, y, colour=colour, width=3, tip=tip)
        for n, (colour, dx, dy, anchor) in enumerate(_BESIDE_TIPS):
            x, y = float(ends[n, 0]), float(ends[n, 1])
            right, up = zoom * (x - ends[1, 0]), zoom * (y - ends[1, 1])
            if n == 2 and -48 < right < -8 and abs(up + 2) < 14:
                dy = float(up - 20)  # above the name of v2, not on it
            panel.text(
                f"v{n + 1}-name", x, y, f"v{n + 1}", anchor=anchor, dx=dx, dy=dy, colour=colour, bold=True, halo=True
            )

    @staticmethod
    def _matrix(panel: Panel, kernel: Floats, eigen: Floats) -> None:
        panel.text("kernel", 0, 38, "inner products", colour="muted")
        for i, j in np.ndindex(3, 3):
            value = float(kernel[i, j])
            share = float(np.clip(value / 4, -1, 1))
            fill = _tint(share)
            x, y = 34 + 62 * j, 64 + 30 * i
            tip = f"v{i + 1} with v{j + 1}: {_signed(value, 3)}"
            panel.rect(f"cell/{i}{j}", x, y, x + 60, y + 28, colour=fill, tip=tip)
            panel.text(f"cell/{i}{j}-value", x + 30, y + 14, _signed(value), anchor="middle", colour=ink_on(fill))
        for n, colour in enumerate(("blue", "green", "vermillion")):
            panel.text(f"row-{n}", 28, 78 + 30 * n, f"v{n + 1}", anchor="end", colour=colour, bold=True)
            panel.text(f"column-{n}", 64 + 62 * n, 54, f"v{n + 1}", anchor="middle", colour=colour, bold=True)
        panel.text("eigen", 0, 182, "eigenvalues", colour="muted")
        across = Scale(0, 6, 34, 250)
        panel.line("eigen-zero", [34, 34], [190, 262], colour="muted", width=1)
        for n, value in enumerate(map(float, eigen)):
            y = 202 + 24 * n
            end = across(max(value, 0.0))
            tip = f"eigenvalue {n + 1}: {_signed(value, 4)}"
            panel.rect(f"eigen-{n}", 34, y - 8, end, y + 8, colour="purple", rounded=2, tip=tip)
            panel.text(f"eigen-{n}-value", end, y, _signed(value, 3), dx=6)
        product, total = _signed(float(np.prod(eigen)), 3), _signed(float(eigen.sum()), 3)
        panel.text("product", 0, 286, f"product {product}, sum {total}", bold=True)


_BESIDE_TIPS: tuple[tuple[str, float, float, Anchor], ...] = (
    ("blue", 6, 17, "start"),
    ("green", -6, -6, "end"),
    ("vermillion", 6, -8, "start"),
)
"""Where the names of the vectors stand, in pixels from their tips."""


def _tint(share: float) -> str:
    """White for 0, towards blue for 1 and towards orange for -1, as hex."""
    end = np.array([0x4D, 0xA3, 0xDC]) if share > 0 else np.array([0xF0, 0xB6, 0x3C])
    mixed = 255 + (end - 255) * abs(share) ** 0.6
    return "#" + "".join(f"{round(v):02x}" for v in mixed)


# -- DPP ---------------------------------------------------------------------------------------------------------
KERNELS = {"by distance": "by distance (rank 24)", "three numbers": "three numbers each (rank 3)"}
THETAS = [round(0.05 * n, 2) for n in range(21)]


@cache
def kernel_of(kernel: str) -> Floats:
    """Inner products [n, n]: the map's similarity, which has full rank, or those of directions in space."""
    c = candidates()
    return c.similarity if kernel == "by distance" else reference.gram(c.vectors)


@lru_cache(maxsize=4096)
def dpp_feed(theta: float, window: int | str, kernel: str = "by distance", k: int = FEED) -> Slate:
    """Greedy DPP over the candidates."""
    return dpp(candidates().reward, kernel=kernel_of(kernel), k=k, theta=theta, window=_window(window))


def squared_distances(order: Codes, window: int | None, kernel: str) -> tuple[Floats, Floats, Floats]:
    """Of each position the squared distance from the span of W: of the chosen, least and greatest of all left."""
    a = kernel_of(kernel)
    left = np.ones(len(a), dtype=bool)
    found = np.zeros((3, len(order)))
    for n, i in enumerate(order):
        w = reference.independent(a, _recent(order, n, window))
        inside = np.linalg.solve(a[np.ix_(w, w)], a[w]) * a[w]  # of each vector the parts of its square in the span
        d2 = a.diagonal() - inside.sum(axis=0)
        d2 = np.where(d2 <= reference.DEPENDENT * a.diagonal(), 0.0, d2)
        found[:, n] = d2[i], d2[left].min(), d2[left].max()
        left[i] = False
    return found[0], found[1], found[2]


def log_volume(order: Codes, kernel: str) -> float | None:
    """log det of the chosen items' kernel; None where the determinant is zero."""
    a = kernel_of(kernel)
    chosen = [int(i) for i in order]
    if len(reference.independent(a, chosen)) < len(chosen):
        return None
    return float(np.linalg.slogdet(a[np.ix_(chosen, chosen)])[1])


@cache
def along_theta(window: int | str, kernel: str) -> tuple[list[float], list[float | None]]:
    """Total reward and log det of the feed at each of :data:`THETAS`."""
    orders = [dpp_feed(theta, window, kernel).order for theta in THETAS]
    return [float(candidates().reward[o].sum()) for o in orders], [log_volume(o, kernel) for o in orders]


class DPPFeed(Explorer):
    """A feed of ten by greedy DPP, re-ordered as theta and the window move, for kernels of full rank and of rank 3.

    First the map with the chosen items, then the feed with what each adds: its squared distance from the span of the
    items that count, among those of all items left; last the total reward and log det of the ten along theta.
    """

    title = "DPP fills a feed"
    question = (
        f"Give each item three numbers only and move {THETA} between 0 and 0.9. From which position on does nothing "
        "add volume, and which is the longest window that brings it back at every position?"
    )
    theta = Continuous(f"{THETA} (1: reward alone)", 0, 1, stops=11, start=0.5, fine=101, format=".2f")
    window = Discrete("items compared", WINDOWS, start="all")
    kernel = Choice("kernel", list(KERNELS), start="by distance")

    def compute(self, theta: float, window: int | str, kernel: str) -> Scene:
        """Map, feed and curves."""
        slate = dpp_feed(theta, window, kernel)
        order = slate.order
        d2, least, greatest = squared_distances(order, _window(window), kernel)
        by_reward = {note.position for note in slate.notes}
        total, diverse, log_det = (
            float(candidates().reward[order].sum()),
            diversity_of(order),
            log_volume(order, kernel),
        )
        said = (
            "no position goes by reward for want of volume"
            if not by_reward
            else f"{len(by_reward)} of {FEED} positions go by reward, as nothing left adds volume"
        )
        scene = Scene(
            f"{_words(window)}, {THETA} = {theta:.2f}: total reward {total:.2f}, log det "
            f"{MINUS + 'infinity' if log_det is None else _signed(log_det)}; {said}.",
            numbers={
                "order": order,
                "reward": total,
                "log det": log_det,
                "diversity": diverse,
                "squared distance": d2,
                "least": least,
                "greatest": greatest,
                "by reward": np.array(sorted(by_reward), dtype=np.int64),
            },
        )
        left = scene.panel(height=366, title=f"Diversity {diverse:.3f}, reward {total:.2f}")
        _topics(left, 36)
        _map(left, order.tolist(), 72)
        right = scene.panel(height=366, title="The feed")
        beside: list[Beside | str] = [
            "taken by reward" if n in by_reward else Beside(*map(float, row))
            for n, row in enumerate(zip(d2, least, greatest, strict=True))
        ]
        _feed(right, order, beside, Scale(1e-3, 1, log=True, at=(0.001, 0.01, 0.1, 1)), (f"{D2}, of all left", D2))
        self._curves(scene.panel(height=270, title="Along \N{GREEK SMALL LETTER THETA}"), theta, window, kernel, scene)
        return scene

    @staticmethod
    def _curves(panel: Panel, theta: float, window: int | str, kernel: str, scene: Scene) -> None:
        rewards, log_dets = along_theta(window, kernel)
        total, log_det = scene.numbers["reward"], scene.numbers["log det"]
        with panel.group("reward"):
            panel.axes(Scale(0, 1, at=()), Scale(7.2, 9.3, at=(7.5, 8, 8.5, 9)), margin=(40, 44, 14, 136))
            panel.text("name", 0, 9.3, "total reward", dx=-40, dy=-6, colour="blue")
            panel.line("curve", THETAS, rewards, colour="blue")
            panel.circle("now", theta, total, colour="blue", tip=f"total reward {total:.2f} at {theta:.2f}")
        with panel.group("volume"):
            panel.axes((0, 1), Scale(-22, -4, at=(-20, -15, -10, -5)), margin=(40, 162, 14, 42), xlabel=THETA)
            panel.text("name", 0, -4, "log det of the ten", dx=-40, dy=-6, colour="vermillion")
            if log_det is None:
                panel.text("none", 0.5, -13, f"log det is {MINUS}infinity:", anchor="middle", dy=-4, halo=True)
                panel.text("why", 0.5, -13, "ten vectors, rank 3", anchor="middle", dy=14, halo=True)
            else:
                panel.line("curve", THETAS, [v for v in log_dets if v is not None], colour="vermillion")
                panel.circle("now", theta, log_det, colour="vermillion", tip=f"log det {_signed(log_det)}")


# -- MMR against DPP ---------------------------------------------------------------------------------------------
NEAR = 0.6
"""Similarity above which the shaded area of MMR lies; that of DPP lies where d^2 is below 1 - NEAR^2."""


@cache
def _grid() -> tuple[Floats, Floats]:
    """Places of the map on a grid: the coordinates of an axis [g], and all points [g * g, 2]."""
    axis = np.linspace(*AREA, 45)
    return axis, np.array([(x, y) for y in axis for x in axis])


@lru_cache(maxsize=512)
def shaded(method: str, chosen: tuple[int, ...]) -> list[Floats]:
    """Outlines of the area that a method shuns after these items.

    For MMR the greatest similarity is above :data:`NEAR`; for DPP the squared distance from the span is below
    1 - NEAR^2. After a single item the two are the same disc.
    """
    c = candidates()
    axis, places = _grid()
    near = np.exp(-((places[:, None] - c.points[list(chosen)]) ** 2).sum(axis=2) / 2)  # [g * g, chosen]
    if method == "MMR":
        over = near.max(axis=1) - NEAR
    else:
        inside = near * np.linalg.solve(c.similarity[np.ix_(chosen, chosen)], near.T).T
        over = inside.sum(axis=1) - NEAR**2
    field = over.reshape(len(axis), -1)
    field[[0, -1]] = np.minimum(field[[0, -1]], -1e-6)  # close the outlines at the edge of the map
    field[:, [0, -1]] = np.minimum(field[:, [0, -1]], -1e-6)
    lines = contourpy.contour_generator(axis, axis, field, line_type="Separate").lines(0.0)
    return [np.asarray(line, dtype=np.float64) for line in lines]


def shunned(method: str, chosen: Sequence[int]) -> list[str]:
    """Names of the candidates left that lie in the shaded area of a method."""
    c = candidates()
    a, w = c.similarity, list(chosen)
    left = [i for i in range(len(a)) if i not in w]
    if method == "MMR":
        return [c.names[i] for i in left if a[i, w].max() > NEAR]
    return [c.names[i] for i in left if reference.determinant_ratio(a, i, w) < 1 - NEAR**2]


class MMRAgainstDPP(Explorer):
    """MMR and DPP fill their feeds on the same candidates, position by position, at the same theta.

    Each panel has the map with the items chosen so far and, shaded, what the method shuns next; below it the feed.
    After one item the two areas are the same; after two they are not.
    """

    title = "MMR against DPP, position by position"
    question = (
        f"Set {THETA} to 0.9 and step from position 2 to 3. Which candidate does MMR take that DPP passes by, and why "
        "does only DPP's area cover it?"
    )
    theta = Continuous(f"{THETA} (1: reward alone)", 0, 1, stops=11, start=0.9, fine=101, format=".2f")
    positions = Steps("positions filled", [1, 2, 3, 4, 5, 6, 7, 8], start=1, seconds=0.9)

    def compute(self, theta: float, positions: int) -> Scene:
        """Two maps, each with its feed."""
        c = candidates()
        orders = {
            "MMR": mmr_feed(theta, "all").order[:positions],
            "DPP": dpp_feed(theta, "all").order[:positions],
        }
        numbers: dict[str, Any] = {}
        for name, order in orders.items():
            roots = np.linalg.cholesky(c.similarity[np.ix_(order, order)])  # vectors with these inner products
            numbers |= {
                f"{name} order": order,
                f"{name} reward": float(c.reward[order].sum()),
                f"{name} diversity": diversity_of(order),
                f"{name} volume": reference.volume(roots),
                f"{name} shuns": shunned(name, order.tolist()),
            }
        said = "; ".join(
            f"{name}: reward {numbers[f'{name} reward']:.2f}, diversity {numbers[f'{name} diversity']:.3f}, "
            f"volume {numbers[f'{name} volume']:.3f}, {len(numbers[f'{name} shuns'])} shunned"
            for name in orders
        )
        shared = len(set(orders["MMR"].tolist()) & set(orders["DPP"].tolist()))
        numbers["shared"] = shared
        scene = Scene(f"{said}. Of {positions}, {shared} shared.", numbers=numbers)
        for name, order in orders.items():
            other = orders["DPP" if name == "MMR" else "MMR"].tolist()
            panel = scene.panel(height=384, title=name)
            panel.text("area", 46, 14, _AREAS[name], dy=0, colour="muted")
            chosen = order.tolist()
            self._picture(panel, name, chosen, other)
            with panel.group("numbers"):
                text = (
                    f"reward {numbers[f'{name} reward']:.2f}, diversity {numbers[f'{name} diversity']:.3f}, "
                    f"volume {numbers[f'{name} volume']:.3f}"
                )
                panel.text("line", 4, 378, text, dy=0)
        return scene

    @staticmethod
    def _picture(panel: Panel, name: str, chosen: list[int], other: list[int]) -> None:
        c = candidates()
        pixels = panel.x, panel.y
        side = panel.width - 8
        panel.x, panel.y = Scale(*AREA, 4, 4 + side), Scale(*AREA, 26 + side, 26)
        steps: list[tuple[str, *tuple[float, ...]]] = []
        for line in shaded(name, tuple(chosen)):
            steps += [("L" if n else "M", float(x), float(y)) for n, (x, y) in enumerate(line)]
            steps.append(("Z",))
        panel.path("shunned", steps, colour="none", fill="orange", opacity=0.28)
        _map(panel, chosen, 26, named=[n for n in ("E1",) if c.names.index(n) not in chosen])
        panel.x, panel.y = pixels
        for n, i in enumerate(chosen):
            x = 20 + 36 * n
            if i not in other:
                panel.rect(f"only/{c.names[i]}", x - 18, 329, x + 18, 351, colour="none", outline="ink", rounded=5)
            here = "" if i in other else f"; {'DPP' if name == 'MMR' else 'MMR'} has not chosen it"
            _tile(panel, c.names[i], x, 340, f"position {n + 1}: {c.names[i]}, reward {c.reward[i]:.2f}{here}")


_AREAS = {"MMR": f"shaded: similarity above {NEAR:g}", "DPP": f"shaded: {D2} below {1 - NEAR**2:g}"}


# -- rules -------------------------------------------------------------------------------------------------------
LONG = 12
"""Positions of the feed with rules."""
RUNS = ["off", 5, 4, 3, 2, 1]
USUAL_RUN = 5
"""The run that is lit as too long while the rule is off."""


@cache
def notes_for_rules() -> dict[str, NDArray[Any]]:
    """18 notes in the order of the ranker: reward, type, promoted, shop card. Promotion has lifted some."""
    table = [
        (0.96, "image", False, True), (0.93, "image", True, False), (0.91, "image", False, True),
        (0.89, "image", True, False), (0.86, "image", False, False), (0.84, "image", False, False),
        (0.80, "video", False, False), (0.78, "image", True, False), (0.75, "image", False, True),
        (0.72, "image", False, False), (0.69, "image", False, False), (0.66, "video", True, False),
        (0.62, "image", False, False), (0.58, "video", False, True), (0.54, "image", False, False),
        (0.49, "video", False, False), (0.43, "image", True, False), (0.38, "image", False, True),
    ]  # fmt: skip
    names = ("reward", "type", "promoted", "shop")
    return {name: np.array([row[n] for row in table]) for n, name in enumerate(names)}


def rules_of(run: int | str, promoted: bool, shop: bool) -> dict[str, tuple[Rule, ...]]:
    """The rules that are on, by lane, the most important first."""
    found: dict[str, tuple[Rule, ...]] = {}
    if run != "off":
        found["type"] = (MaxRun("type", int(run)),)
    if shop:
        found["shop"] = MaxInPrefix("shop", 0, prefix=1, value=True), MaxInPrefix("shop", 1, prefix=4, value=True)
    if promoted:
        found["promoted"] = (MaxInWindow("promoted", 1, window=9, value=True),)
    return found


@lru_cache(maxsize=4096)
def ruled_feed(run: int | str, promoted: bool, shop: bool, infeasible: str) -> Slate:
    """The feed by reward alone under the rules that are on."""
    notes = notes_for_rules()
    rules = [rule for group in rules_of(run, promoted, shop).values() for rule in group]
    similarity = np.eye(len(notes["reward"]))
    columns = {name: notes[name] for name in ("type", "promoted", "shop")}
    return mmr(
        notes["reward"],
        similarity=similarity,
        k=LONG,
        theta=1,
        rules=rules,
        attributes=columns,
        infeasible=infeasible,
    )


def worth(slate: Slate) -> float:
    """Rewards of the filled positions, each discounted by its position as in DCG: the top is seen most."""
    return float(definitions.dcg(notes_for_rules()["reward"][slate.order].tolist()))


def violations(order: Sequence[int], run: int | str) -> dict[str, list[int]]:
    """By lane, the positions that the rules of a feed forbid, whether they are on or off."""
    notes = notes_for_rules()
    found = {}
    for lane, group in rules_of(USUAL_RUN if run == "off" else run, True, True).items():
        kinds = notes[lane][list(order)].tolist()
        found[lane] = [n for n in range(len(kinds)) if not all(rule.allows(kinds[:n], kinds[n]) for rule in group)]
    return found


LANES = {"type": (60, 48), "promoted": (114, 68), "shop": (188, 40)}
"""Left edge and width of a lane, in pixels."""
CELLS = {"image": "#56b4e9", "video": "#e69f00", "promoted": "#cc79a7", "shop": "#009e73"}


class FeedRules(Explorer):
    """A feed of twelve by reward under three rules, which are switched on and off.

    On the left the feed, with a lane for each rule; what breaks a rule is outlined. On the right what each rule costs
    in reward, alone and together, and the library's words on a position that no item may fill. Positions and notes are
    numbered from 0, as in the library. While the run is not limited, more than five of a type in a row are outlined.
    """

    title = "Three rules of a feed"
    question = (
        "Switch all rules on. At which run length does the feed first get stuck, although each rule alone would let it "
        "fill, and which two are in each other's way?"
    )
    run = Discrete("most of one type in a row", RUNS, start="off")
    promoted = Toggle("one promoted in any nine")
    shop = Toggle("no shop card on top, one in four")
    infeasible = Choice("where nothing fits", ["stop", "relax"], start="stop")

    def compute(self, run: int | str, promoted: bool, shop: bool, infeasible: str) -> Scene:
        """Feed, costs and note."""
        slate = ruled_feed(run, promoted, shop, infeasible)
        order = [int(i) for i in slate.order]
        broken = violations(order, run)
        free = worth(ruled_feed("off", False, False, infeasible))
        costs: dict[str, float | None] = {
            "type": None if run == "off" else free - worth(ruled_feed(run, False, False, infeasible)),
            "promoted": None if not promoted else free - worth(ruled_feed("off", True, False, infeasible)),
            "shop": None if not shop else free - worth(ruled_feed("off", False, True, infeasible)),
            "together": free - worth(slate),
        }
        count = sum(len(where) for where in broken.values())
        scene = Scene(
            f"{len(order)} of {LONG} positions are filled. The rewards, discounted by position, come to "
            f"{worth(slate):.3f}; the rules cost {costs['together']:.3f}. "
            f"{count} {'place breaks' if count == 1 else 'places break'} a rule.",
            numbers={
                "order": np.array(order, dtype=np.int64),
                "worth": worth(slate),
                "costs": costs,
                "violations": {lane: np.array(where, dtype=np.int64) for lane, where in broken.items()},
                "count": count,
                "noted": np.array([note.position for note in slate.notes], dtype=np.int64),
            },
        )
        self._rows(scene.panel(height=346, title="The feed"), order, broken, slate.notes)
        self._costs(scene.panel(height=346, title="What the rules cost"), costs, slate.notes)
        return scene

    @staticmethod
    def _rows(panel: Panel, order: list[int], broken: dict[str, list[int]], found: tuple[Note, ...]) -> None:
        notes = notes_for_rules()
        for lane, (x, _) in LANES.items():
            panel.text(f"head/{lane}", x, 38, lane, colour="muted")
        panel.text("head/note", 24, 38, "note", colour="muted")
        panel.text("head/reward", 290, 38, "reward", anchor="end", colour="muted")
        relaxed = {note.position for note in found if note.action == "relaxed"}
        for n in range(LONG):
            y = 58 + 24 * n
            panel.text(f"position/{n}", 16, y, f"{n}", anchor="end", colour="muted")
            if n >= len(order):
                panel.text(f"empty/{n}", 24, y, "stuck" if n == len(order) else "empty", colour="vermillion")
                continue
            i = order[n]
            reward, key = float(notes["reward"][i]), f"note-{i}"
            kinds = {
                "type": str(notes["type"][i]),
                "promoted": "promoted" if notes["promoted"][i] else "",
                "shop": "shop" if notes["shop"][i] else "",
            }
            words = ", ".join(kind for kind in kinds.values() if kind)
            tip = f"position {n}: note {i}, {words}, reward {reward:.2f}"
            tip += "; a rule was relaxed for it" if n in relaxed else ""
            panel.rect(f"{key}/tile", 24, y - 9, 50, y + 9, colour="#dfe4ea", rounded=4, tip=tip)
            panel.text(f"{key}/name", 37, y, f"{i}", anchor="middle", colour=ink_on("#dfe4ea"), bold=True)
            for lane, (x, width) in LANES.items():
                if kinds[lane]:
                    fill = CELLS[kinds[lane]]
                    wrong = n in broken[lane]
                    panel.rect(
                        f"{key}/{lane}", x, y - 8, x + width, y + 8, colour=fill, rounded=3,
                        tip=f"position {n} breaks the rule on {lane}" if wrong else "",
                    )  # fmt: skip
                    label = f"{kinds[lane]}"
                    panel.text(f"{key}/{lane}-name", x + width / 2, y, label, anchor="middle", colour=ink_on(fill))
                    if wrong:
                        panel.rect(
                            f"{key}/{lane}-wrong", x - 2.5, y - 10.5, x + width + 2.5, y + 10.5,
                            colour="none", outline="vermillion", rounded=5,
                        )  # fmt: skip
            panel.rect(f"{key}/reward", 236, y - 6, 236 + 26 * reward, y + 6, colour="sky", opacity=0.7, rounded=2)
            panel.text(f"{key}/value", 290, y, f"{reward:.2f}", anchor="end")

    @staticmethod
    def _costs(panel: Panel, costs: dict[str, float | None], found: tuple[Note, ...]) -> None:
        across = Scale(0, 1.5, 106, 250)
        panel.text("head", 106, 38, "discounted reward given up", colour="muted")
        for n, (lane, cost) in enumerate(costs.items()):
            y = 60 + 25 * n + (8 if lane == "together" else 0)
            panel.text(f"{lane}/name", 0, y, lane if lane == "together" else f"{lane} alone", bold=lane == "together")
            if cost is None:
                panel.text(f"{lane}/off", 106, y, "off", dx=4, colour="muted")
                continue
            end = across(max(cost, 0.0))
            tip = f"{lane}: {cost:.4f} of discounted reward given up"
            panel.rect(f"{lane}/bar", 106, y - 8, end, y + 8, colour="purple", rounded=2, tip=tip)
            panel.text(f"{lane}/value", end, y, f"{cost:.3f}", dx=6)
        panel.line("zero", [106, 106], [48, 154], colour="muted", width=1)
        panel.text("says", 0, 190, "What the library says", size=14, bold=True)
        lines = _wrapped(str(found[0]), 286) if found else ["All positions are filled, and no rule is in the way."]
        if len(found) > 1:
            lines.append(f"({len(found) - 1} more of its kind)")
        for n, line in enumerate(_wrapped(lines[0], 286) if not found else lines):
            panel.text(f"note-{n}", 0, 212 + 16 * n, line)


def _wrapped(text: str, width: float) -> list[str]:
    """Lines that are no wider than so many pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", 12) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
