"""What a look into the depths of both ends has left to be proven."""

from __future__ import annotations

from dataclasses import dataclass

from portal.engine.order.command import TransferOrder
from portal.engine.output.samples import below
from portal.engine.safety import hard_links
from portal.engine.safety.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Doubts:
    """Each may be one place: a ``pair`` of a folder of one end, and the other end; the folders of a
    ``shared`` path below both; the folders of a path that is ``new`` at the destination. And a file
    that is ``replaced`` may be one of the source."""

    pairs: tuple[tuple[str, str], ...]
    shared: tuple[str, ...]
    new: tuple[str, ...]
    replaced: str | None

    @classmethod
    def left(cls, order: TransferOrder, verdict: Verdict) -> Doubts:
        samples = verdict.samples
        source, destination = order.source, order.destination
        in_source = samples.alike(at_destination=False)
        in_destination = samples.alike(at_destination=True)
        linked = verdict.one_machine and hard_links.matter(order)
        return cls(
            pairs=(
                *((below(source, tail), destination) for tail in in_source),
                *((below(destination, tail), source) for tail in in_destination),
            ),
            shared=tuple(samples.shared()),
            new=tuple(samples.new()),
            replaced=samples.replaced if linked else None,
        )

    @property
    def folders(self) -> int:
        return len(self.shared) + len(self.new)

    def __bool__(self) -> bool:
        return bool(self.pairs or self.folders or self.replaced is not None)
