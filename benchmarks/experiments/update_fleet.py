"""100,000 boards against one published folder, a day in virtual time, `python benchmarks/experiments/update_fleet.py`.

Polls, rollouts and verdicts are the product's own code; requests and bytes of a poll are measured first, with a real
repository on loopback. The day: at 2 h a bad model goes to 10 % of the boards, which the vendor takes back half an hour
after the tenth report; at 6, 10 and 14 h a good one goes to 10, 50 and 100 %; from 18 to 19 h the server is away; at 20
h a power cut ends, and all boards start at once.
"""

import argparse
import heapq
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from edge_convert.keys import read_private_key, write_key_pair
from edge_convert.publish.publication import publish
from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.rollout import Offer, newest_for
from edge_device.inference.verify import sealed
from edge_device.live.update.schedule import PollSchedule
from edge_device.live.update.shadow import ShadowFrame, ShadowLimits, verdict
from edge_device.live.update.tuf_client import UpdateClient

TINY: Final = Path(__file__).parents[2] / "tests" / "models" / "tiny-uint8.tflite"
HOUR: Final = 3600.0
DAY_H: Final = 24
BAD, GOOD = Offer("all/bad", "b" * 64, 2, 10.0), Offer("all/good", "c" * 64, 3, 10.0)
OLD: Final = Offer("all/old", "a" * 64, 1)
MODEL_BYTES: Final = 2_800_000
"""A MobileNetV2-160 as int8."""


@dataclass(frozen=True)
class Cost:
    """Requests and bytes of the answers' bodies."""

    requests: int
    size: int


@dataclass(frozen=True)
class Costs:
    """What a poll costs where nothing is new, and what is added where something is."""

    idle: Cost
    update: Cost


@contextmanager
def served(folder: Path, sent: list[int]) -> Iterator[str]:
    """The folder on loopback; sizes of the answers are written down."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def send_header(self, keyword: str, value: str) -> None:
            if keyword == "Content-Length":
                sent.append(int(value))
            super().send_header(keyword, value)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def measured() -> Costs:
    """Costs with a real repository of three models; the model itself is counted as `MODEL_BYTES`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, sent = Path(scratch), list[int]()
        write_key_pair(folder / "vendor")
        key = read_private_key(folder / "vendor")
        card = ModelCard(labels=("red", "green", "blue", "dark"), input=InputSpec(32, 32))
        frame = np.full((48, 64, 3), 90, np.uint8)
        for name in ("one", "two", "three"):
            (folder / f"{name}.tflite").write_bytes(sealed(complete(TINY.read_bytes(), card, name), [frame], key))
        for name in ("one", "two"):
            publish(folder / f"{name}.tflite", folder / "site", key)
        (folder / "board").mkdir()
        with served(folder / "site", sent) as url:
            client = UpdateClient(url, folder / "board", key.public_key)
            client.published()
            sent.clear()
            client.published()
            idle = Cost(len(sent), sum(sent))
            last = publish(folder / "three.tflite", folder / "site", key)
            sent.clear()
            client.published()
            client.fetch(last.offer, folder / "got.tflite")
            size = sum(sent) - (folder / "got.tflite").stat().st_size + MODEL_BYTES
            return Costs(idle, Cost(len(sent) - idle.requests, size - idle.size))


@dataclass
class Fleet:
    """The boards, the vendor and the server, hour by hour."""

    boards: int
    costs: Costs
    every_s: float
    random: Random
    offers: dict[str, Offer] = field(default_factory=lambda: {"old": OLD})
    requests: Counter[int] = field(default_factory=Counter)
    size: Counter[int] = field(default_factory=Counter)
    peak: Counter[int] = field(default_factory=Counter)
    refused: dict[int, float] = field(default_factory=dict)
    running: dict[int, str] = field(default_factory=dict)
    taken_back_s: float | None = None

    def run(self) -> list[tuple[int, int, int, int, int]]:
        """Rows of hour, requests, bytes, most requests in a second, and boards with the good model at its end."""
        shares = ((6, 10.0), (10, 50.0), (14, 100.0))
        plan = [(2, BAD), *((hour, replace(GOOD, rollout=share)) for hour, share in shares)]
        schedules = [PollSchedule(self.every_s, self.random) for _ in range(self.boards)]
        due = [(one.first(), index) for index, one in enumerate(schedules)]
        heapq.heapify(due)
        cut, rows, hour = False, list[tuple[int, int, int, int, int]](), 0
        while due:
            now_s, board = heapq.heappop(due)
            while plan and now_s >= plan[0][0] * HOUR:
                self._offer(plan.pop(0)[1])
            if self.taken_back_s is not None and now_s >= self.taken_back_s:
                self._offer(replace(BAD, rollout=0.0))
                self.taken_back_s = None
            while now_s >= (hour + 1) * HOUR:
                rows.append(self._row(hour))
                hour += 1
            if hour >= DAY_H:
                return rows
            if now_s >= 20 * HOUR and not cut:
                cut = True
                for one in schedules:
                    one.failures = 0
                due = [(20 * HOUR + one.first(), index) for index, one in enumerate(schedules)]
                heapq.heapify(due)
                continue
            heapq.heappush(due, (now_s + schedules[board].after(self._poll(board, now_s)), board))
        return rows

    def _poll(self, board: int, now_s: float) -> bool:
        hour = int(now_s // HOUR)
        if hour == 18:
            self._ask(now_s, Cost(1, 0))
            return False
        self._ask(now_s, self.costs.idle)
        offer = newest_for(self.offers.values(), f"board-{board}")
        running = self.running.get(board, OLD.digest)
        tried = board in self.refused and offer is not None and offer.digest == BAD.digest
        if offer and offer.digest != running and not tried:
            self._ask(now_s, self.costs.update)
            self._try(board, offer, now_s)
        return True

    def _try(self, board: int, offer: Offer, now_s: float) -> None:
        """A hundred frames beside the old model: the bad one takes three times as long."""
        factor = 3.0 if offer.digest == BAD.digest else 1.0
        frames = [
            ShadowFrame(True, True, True, factor * self.random.gauss(20, 2), self.random.gauss(20, 2), 60.0)
            for _ in range(ShadowLimits.frames)
        ]
        if verdict(frames, ShadowLimits()):
            self.refused[board] = now_s
            if len(self.refused) == 10:
                self.taken_back_s = now_s + HOUR / 2
        else:
            self.running[board] = offer.digest

    def _offer(self, offer: Offer) -> None:
        self.offers[offer.target] = offer

    def _ask(self, now_s: float, cost: Cost) -> None:
        hour = int(now_s // HOUR)
        self.requests[hour] += cost.requests
        self.size[hour] += cost.size
        self.peak[int(now_s)] += cost.requests

    def _row(self, hour: int) -> tuple[int, int, int, int, int]:
        most = max((count for second, count in self.peak.items() if second // 3600 == hour), default=0)
        good = sum(digest == GOOD.digest for digest in self.running.values())
        return hour, self.requests[hour], self.size[hour], most, good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=HOUR, help="Seconds between two polls, on average.")
    given = parser.parse_args()
    costs = measured()
    print(
        f"a poll: {costs.idle.requests} requests, {costs.idle.size:,} bytes; an update: {costs.update.requests} more, "
        f"{costs.update.size:,} bytes more"
    )
    fleet = Fleet(given.boards, costs, given.every, Random(0))
    print(f"{'hour':>4} {'requests':>10} {'MB':>9} {'most in 1 s':>12} {'boards with the good model':>27}")
    for hour, requests, size, most, good in fleet.run():
        print(f"{hour:4} {requests:10,} {size / 1e6:9,.0f} {most:12,} {good:27,}")
    bad = sum(digest == BAD.digest for digest in fleet.running.values())
    last_h = max(fleet.refused.values()) / HOUR
    print(f"the bad model: refused by {len(fleet.refused):,} boards, the last at {last_h:.2f} h; taken over by {bad}")


if __name__ == "__main__":
    main()
