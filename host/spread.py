"""Spreads samples over devices: each takes the next ones when it is done with the last, and the lost ones' go to the others."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..sim.errors import DeviceError
from .device import Array, Device

_log = logging.getLogger("celosia")


@dataclass
class Worker:
    """A device of a session.

    name            as the user gave it
    lost            what happened to it; None while it works
    """

    name: str
    device: Device
    lost: DeviceError | None = None


@dataclass(frozen=True)
class Part:
    """The answers to samples `first` to `first + count`, and who gave them."""

    first: int
    count: int
    worker: Worker
    answers: Mapping[str, Array]


def spread(workers: Sequence[Worker], name: str, samples: Array) -> Iterator[Part]:
    """Runs every sample of the input `name` on one of the devices that still work, several at a time; gives the answers as they
    come, in any order.

    Raises DeviceError when the last device is lost, with what happened to it.
    """
    working = [worker for worker in workers if worker.lost is None]
    if not working:
        raise DeviceError(f"no device is left, the last one was lost: {workers[-1].lost}; open a new session")
    if len(working) > 1:
        yield from _Spread(working, name, samples).run()
        return
    (worker,) = working
    for first in range(0, len(samples), worker.device.batch):
        part = samples[first : first + worker.device.batch]
        yield Part(first, len(part), worker, worker.device.infer({name: part}))


class _Spread:
    """A thread for each device, and this one, which collects."""

    def __init__(self, workers: Sequence[Worker], name: str, samples: Array):
        self._workers = workers
        self._name = name
        self._samples = samples
        self._todo = deque([(0, len(samples))])  # ranges that nobody works at
        self._unanswered = len(samples)
        self._changed = threading.Condition()
        self._stopped = False
        self._found: queue.SimpleQueue[Part | tuple[Worker, BaseException]] = queue.SimpleQueue()

    def run(self) -> Iterator[Part]:
        threads = [threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in self._workers]
        for thread in threads:
            thread.start()
        try:
            left = len(self._samples)
            while left:
                found = self._found.get()
                if isinstance(found, Part):
                    left -= found.count
                    yield found
                else:
                    self._lose(*found)
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    def _lose(self, worker: Worker, error: BaseException) -> None:
        if not isinstance(error, DeviceError):
            raise error
        worker.lost = error
        if all(other.lost for other in self._workers):
            raise error
        _log.warning("device %s is lost, its samples go to the others: %s", worker.name, error)

    def _work(self, worker: Worker) -> None:
        while (task := self._take(worker.device.batch)) is not None:
            first, end = task
            try:
                part = self._samples[first:end]
                answers = worker.device.infer({self._name: part})
            except BaseException as error:  # whatever it is, the collecting thread raises it
                with self._changed:
                    self._todo.appendleft(task)
                    self._changed.notify_all()
                self._found.put((worker, error))
                return
            with self._changed:
                self._unanswered -= len(part)
                self._changed.notify_all()
            self._found.put(Part(first, len(part), worker, answers))

    def _take(self, batch: int) -> tuple[int, int] | None:
        """The next samples, at most a share of what is left; None when there are no more and none can come back."""
        with self._changed:
            self._changed.wait_for(lambda: self._todo or self._stopped or not self._unanswered)
            if self._stopped or not self._todo:
                return None
            batch = min(batch, -(-self._unanswered // len(self._workers)))
            first, end = self._todo.popleft()
            if end - first > batch:
                self._todo.appendleft((first + batch, end))
            return first, min(end, first + batch)
