"""A curve with a limited number of points: when it is full, two neighbours become one point of
twice the length."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_POINTS = 300


@dataclass(slots=True)
class Series:
    """``points[i]`` is the average of the values between ``i * step`` and ``(i + 1) * step``
    seconds, null if there was none; ``peak`` is the greatest of all values."""

    step: int = 1
    points: list[int | None] = field(default_factory=list)
    peak: int = 0
    _sum: float = 0.0
    _number: int = 0

    def add(self, seconds: float, value: int) -> None:
        """Adds a value at this time, which must not go back by more than a step."""
        while int(seconds / self.step) >= MAX_POINTS:
            self._halve()
        index = int(seconds / self.step)
        if index >= len(self.points):
            self.points += [None] * (index + 1 - len(self.points))
            self._sum, self._number = 0.0, 0
        self._sum += value
        self._number += 1
        self.points[-1] = round(self._sum / self._number)
        self.peak = max(self.peak, value)

    def _halve(self) -> None:
        self.points = [_mean(self.points[i : i + 2]) for i in range(0, len(self.points), 2)]
        self.step *= 2
        # The point that is still being collected keeps the weight of its values so far.
        self._sum = float(self._number * (self.points[-1] or 0)) if self.points else 0.0


def _mean(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known)) if known else None
