"""How the ranks of one launch keep step by files alone, on whatever hosts, as long as they see one file system.

    OUT/.shards/3-of-4.rank   of rank 2 of 4: a token of its own, and whether it is here, has failed or has ended

Rank 0 begins (or clears) the directory, then answers every token it finds in its own file; a rank works once its token
is answered, so no file of an earlier launch is taken for one of this. Each rank touches its file while it lives: no
clocks are compared, a file that stays as it is for `PATIENCE` seconds is of a rank that died without a word.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from wsscli.errors import ToldElsewhereError, WssError
from wsscli.maskdir.files import write_atomic
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.shards import Share, shares_in

PATIENCE = 600.0  # seconds without a sign of life
BEAT = 15.0  # seconds between signs
GRACE = 30.0  # seconds that rank 0, having failed, waits for ranks that have not come yet
LOOK = 0.2  # seconds between looks
_AGAIN = "the same command goes on where it stopped, with any number of ranks"
_SEE = f"see what it said last, and that all hosts see this directory; {_AGAIN}"


@dataclass
class _Watch:
    """A file that somebody writes and touches, as it was seen last."""

    path: Path
    seen: tuple[int, int] = (0, 0)
    since: float = field(default_factory=time.monotonic)
    state: Mapping[str, Any] = field(default_factory=dict)

    def look(self) -> Mapping[str, Any]:
        """What it says; empty when it is not there."""
        try:
            with self.path.open("rb") as stream:  # opened: a network file system then asks for its times anew
                status = os.fstat(stream.fileno())
                stamp = (status.st_ino, status.st_mtime_ns)  # what is said anew is another file, even in one instant
                if stamp != self.seen:
                    self.seen, self.since = stamp, time.monotonic()
                    self.state = json.loads(stream.read())
        except (FileNotFoundError, NotADirectoryError):
            self.seen, self.state = (0, 0), {}
        except (OSError, ValueError):  # gone between two calls, as network file systems have it
            pass
        return self.state

    @property
    def silent(self) -> bool:
        """Whether nothing has come for too long."""
        return time.monotonic() - self.since > PATIENCE


class Rank:
    """A rank's own file.

    Args:
        root: the directory that the ranks fill.
        share: which rank of how many: rank 2 of 4 has share 3/4.
    """

    def __init__(self, root: Path, share: Share):
        self.root, self.share, self.token = root, share, uuid4().hex
        self.path = share.file(root, "rank")
        self._said: dict[str, Any] = {}
        self._turn = threading.Lock()

    def say(self, state: str, **more: Any) -> None:
        """Write what there is to say: here, failed, ended; what was said beside it stays."""
        with self._turn:
            self._said |= {"token": self.token, "state": state, **more}
            write_atomic(self.path, json.dumps(self._said).encode())

    def touch(self) -> None:
        """A sign of life."""
        with self._turn, suppress(OSError):
            os.utime(self.path)

    def _complete(self) -> bool:
        manifest = read_manifest(self.root)
        return manifest is not None and manifest.complete

    @contextmanager
    def living(self) -> Iterator[None]:
        """Signs of life within it; an error that leaves it is said to the other ranks."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT):
                self.touch()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        except BaseException as error:
            with suppress(WssError):
                if not self._complete():  # beside which nothing is to be written
                    stopped = isinstance(error, KeyboardInterrupt)
                    self.say("failed", why="stopped" if stopped else str(error) or type(error).__name__)
            raise
        finally:
            done.set()
            thread.join()


class Follower(Rank):
    """A rank other than 0."""

    def __init__(self, root: Path, share: Share):
        super().__init__(root, share)
        self._first = _Watch(Share(share.count, 1).file(root, "rank"))

    def arrive(self, *, overwrite: bool = False) -> bool:
        """Wait until rank 0 has begun the directory.

        Args:
            overwrite: a complete directory is about to be replaced.

        Returns:
            False: it is complete already.

        Raises:
            WssError: rank 0 does not come, or has failed.
        """
        self._first.since = time.monotonic()
        self.say("here")
        while True:
            state = self._first.look()
            self._refuse_end(state)
            if state.get("answered", {}).get(str(self.share.index)) == self.token:
                return True
            if not overwrite and self._complete():
                self.path.unlink(missing_ok=True)
                return False
            # again when it is gone: rank 0 begins by removing what an earlier launch has left
            if not self.path.exists():
                self.say("here")
            time.sleep(LOOK)

    def wait(self) -> None:
        """Wait until rank 0 has completed the directory.

        Raises:
            WssError: rank 0 has failed or died.
        """
        self._first.since = time.monotonic()
        while not self._complete():
            self._refuse_end(self._first.look())
            time.sleep(LOOK)

    def _refuse_end(self, state: Mapping[str, Any]) -> None:
        answered = state.get("answered", {}).get(str(self.share.index)) == self.token
        if answered and state.get("state") == "failed":
            raise ToldElsewhereError(f"{self.root}: rank 0 of {self.share.count} failed ({state.get('why')}); {_AGAIN}")
        if self._first.silent:
            raise WssError(f"{self.root}: no sign of rank 0 of {self.share.count} for {PATIENCE:.0f} seconds; {_SEE}")


class Leader(Rank):
    """Rank 0."""

    def __init__(self, root: Path, share: Share):
        super().__init__(root, share)
        self._others = {
            index: _Watch(Share(share.count, index).file(root, "rank")) for index in range(2, share.count + 1)
        }
        self._done = threading.Event()
        self._answering = threading.Thread(target=self._answer_all, daemon=True)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """From here on other ranks may begin; the directory is begun. Call it within `living`."""
        for _, path in shares_in(self.root, "rank"):
            if path != self.path:
                path.unlink(missing_ok=True)
        self._answering.start()
        try:
            yield
        except WssError:
            self._hear_all()
            raise
        finally:
            self._stop()

    def _hear_all(self) -> None:
        """Wait a little for ranks that are still to come: unanswered, they would wait long for one that has failed."""
        end = time.monotonic() + GRACE
        while time.monotonic() < end and len(self._said["answered"]) < len(self._others):
            time.sleep(LOOK)

    def _stop(self) -> None:
        self._done.set()
        self._answering.join()

    def _answer_all(self) -> None:
        while not self._done.wait(LOOK):
            with suppress(WssError):  # the next look tries again
                self._answer()

    def _answer(self) -> None:
        answered = {str(k): watch.look().get("token") for k, watch in self._others.items()}
        answered = {k: token for k, token in answered.items() if token}
        if answered != self._said.get("answered"):
            self.say("here", answered=answered)

    def wait(self) -> None:
        """Wait until all other ranks have ended.

        Raises:
            WssError: one has failed or died.
        """
        begun = time.monotonic()
        waiting = dict(self._others)
        while waiting:
            for index, watch in list(waiting.items()):
                state = watch.state  # the thread that answers looks
                if state.get("state") == "failed":
                    raise WssError(
                        f"{self.root}: rank {index - 1} of {self.share.count} failed ({state.get('why')}); {_AGAIN}"
                    )
                if state.get("state") == "ended":
                    del waiting[index]
                elif watch.silent and time.monotonic() - begun > PATIENCE:
                    raise WssError(
                        f"{self.root}: no sign of rank {index - 1} of {self.share.count} for {PATIENCE:.0f} seconds; "
                        f"{_SEE}"
                    )
            time.sleep(LOOK)
        self._stop()  # nothing is to be written beside a complete directory
