"""The table of the fan-out figures, and what was wanted of them."""

from __future__ import annotations

from statistics import median

Figures = dict[str, list[float]]
#: Rooms that one event at a time goes to, one after the other.
ROOMS = 20

ROWS = {
    "one by one": ("deliveries a second of server time, one event at a time", 0),
    "one by one, to the last": ("the same by the clock, until the last client had all", 0),
    "one by one, rooms": (f"the same to {ROOMS} rooms, one after the other", 0),
    "in a tick": ("deliveries a second of server time, 50 jobs in one tick", 0),
    "in a tick, to the last": ("the same by the clock, until the last client had all", 0),
    "latency, median": ("ms until the last client has one event, median", 2),
    "latency, 99th": ("ms until the last client has one event, 99th percentile", 2),
    "spread, cpu": ("server seconds a million deliveries, 50 jobs, an event a second each", 3),
    "spread, 99th": ("ms from event to client there, 99th percentile", 0),
    "memory": ("KiB an idle client", 1),
}
WANTED = (
    ("one by one", "Node Socket.IO", ">=", 2.0),
    ("in a tick", "Node Socket.IO", ">=", 4.0),
    ("in a tick", "bare loop", ">=", 0.7),
    ("one by one", "uWebSockets", ">=", 0.5),
    ("in a tick", "uWebSockets", ">=", 1.0),
    ("latency, 99th", "Node Socket.IO", "<=", 1.0),
    ("spread, cpu", "Node Socket.IO", "<=", 0.3),
    ("memory", "Node Socket.IO", "<=", 1.4),
    ("spread, 99th", None, "<=", 300),
)
WANTED_OF_ROOMS = 0.8


def compared(servers: dict[str, Figures]) -> str:
    lines = [
        "| | " + " | ".join(servers) + " | portal ÷ Node |",
        "| --- |" + " ---: |" * (len(servers) + 1),
    ]
    for key, (words, digits) in ROWS.items():
        cells = [cell(figures.get(key, []), digits) for figures in servers.values()]
        portal, node = servers["portal"].get(key), servers["Node Socket.IO"].get(key)
        ratio = f"**{median(portal) / median(node):.2f}**" if portal and node else ""
        lines.append(f"| {words} | " + " | ".join(cells) + f" | {ratio} |")
    return "\n".join(lines)


def cell(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    shown, least, most = (
        f"{value:,.{digits}f}" for value in (median(values), min(values), max(values))
    )
    return f"{shown} ({least} to {most})"


def verdicts(servers: dict[str, Figures]) -> str:
    lines = []
    for key, beside, sign, limit in WANTED:
        if not servers["portal"].get(key) or (beside and not servers[beside].get(key)):
            lines.append(f"- {ROWS[key][0]}: not measured")
            continue
        value = median(servers["portal"][key])
        name = ROWS[key][0]
        if beside is not None:
            value /= median(servers[beside][key])
            name += f", portal ÷ {beside}"
        held = value >= limit if sign == ">=" else value <= limit
        bound = "at least" if sign == ">=" else "at most"
        lines.append(f"- {name}: **{value:,.2f}**, {bound} {limit:g} wanted: "
                     f"{'held' if held else 'MISSED'}")  # fmt: skip
    portal = servers["portal"]
    if portal.get("one by one, rooms"):
        ratio = median(portal["one by one, rooms"]) / median(portal["one by one"])
        held = "held" if ratio >= WANTED_OF_ROOMS else "MISSED"
        lines.append(f"- {ROOMS} rooms ÷ one room: **{ratio:.2f}**, at least {WANTED_OF_ROOMS} "
                     f"wanted: {held}")  # fmt: skip
    return "\n".join(lines)
