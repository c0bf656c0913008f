"""Samples in a fixed order, made ahead of time in threads.

Threads, not DataLoader's processes: decoding, resizing and colour work release the GIL, nothing is pickled or
copied between processes, and it works where /dev/shm is small (containers) or forking is not possible.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, depth: int) -> Generator[Result]:
    """`map(work, items)` with up to `depth` results prepared by `workers` threads; order as given.

    The first exception of `work` is raised where its result would have come.
    """
    source = iter(items)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="wss-feed")
    try:
        for item in islice(source, depth):
            waiting.append(pool.submit(work, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(source, 1):
                waiting.append(pool.submit(work, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Order:
    """The endless stream of samples of a training: each epoch is one shuffle of all of them.

    The batch of iteration i is the stream's positions i * batch_size and following, so a batch may join the end
    of one epoch with the start of the next, no sample is left out, and any position can be found again.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self._shuffled: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def batch(self, iteration: int, rank: int = 0, world: int = 1) -> list[tuple[int, int]]:
        """(epoch, index) of the samples of an iteration, both from 0: of `world` equal shares the one of this rank."""
        share = self.batch_size // world
        start = iteration * self.batch_size + rank * share
        return [self._at(start + i) for i in range(share)]

    def epochs_done(self, iterations: int) -> int:
        """How many whole epochs the first so many iterations hold."""
        return iterations * self.batch_size // self.samples

    def _at(self, position: int) -> tuple[int, int]:
        epoch, place = divmod(position, self.samples)
        if self._shuffled[0] != epoch:
            self._shuffled = (epoch, np.random.default_rng([self.seed, epoch]).permutation(self.samples))
        return epoch, int(self._shuffled[1][place])
