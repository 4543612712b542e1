"""A process that is no web process, as a worker: it publishes what it is told to through Redis."""

import json
import sys
import time
from collections import Counter

from portal.realtime import publish, rooms

_seqs: Counter[int] = Counter()


def emit(event: dict[str, object], job: int, *, alone: bool) -> None:
    """As ``bench.load.portal``; each job's ``seq`` grows by one, by which the receivers order."""
    _seqs[job] += 1
    event |= {"job_id": job, "seq": _seqs[job]}
    if alone:
        publish._emit("job_status_change", event, rooms.topic_room(rooms.STATUS_CHANGE))
    else:
        publish._emit("job_progress", event, rooms.topic_room(rooms.PROGRESS))


def main() -> None:
    publish.connect_bus(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        first, alone = order["first"], order["alone"]
        for n in range(first, first + order["events"]):
            emit({**order["event"], "n": n, "t": time.time()}, -1 if alone else n % 50, alone=alone)
            if (n - first + 1) % order["tick"] == 0:
                time.sleep(order["every"])
        print("done", flush=True)


if __name__ == "__main__":
    main()
