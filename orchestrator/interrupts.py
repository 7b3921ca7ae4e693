"""Ctrl-C: the first ends a study cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.errors import Exit


class Interrupts:
    """Whether the study is to end, and how the backend that is at work is told so."""

    def __init__(self) -> None:
        self.requested = False
        self.tell: Callable[[], None] | None = None
        """Has the backend end its loop; `None` raises KeyboardInterrupt where the program is."""

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        self.tell = tell
        try:
            yield
        finally:
            self.tell = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            # records of trials in flight stay `running`; the next run takes them for interrupted
            os._exit(Exit.INTERRUPTED)
        self.requested = True
        if self.tell is None:
            raise KeyboardInterrupt
        self.tell()

    def take_signals(self) -> None:
        """Handle SIGINT and SIGTERM from now on. Libraries that set handlers of their own are overruled by a call."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self)
            signal.signal(signal.SIGTERM, self)


def _ends_at_the_second(read_from: int) -> None:
    """Python calls a handler only between two of its instructions, and Ray's calls can take seconds. That a signal has
    come is told at once, by a byte."""
    n_signals = 0
    while told := os.read(read_from, 64):
        n_signals += sum(number in (signal.SIGINT, signal.SIGTERM) for number in told)
        if n_signals > 1:
            os._exit(Exit.INTERRUPTED)


@contextmanager
def _watched() -> Iterator[None]:
    read_from, write_to = os.pipe()
    os.set_blocking(write_to, False)
    before = signal.set_wakeup_fd(write_to, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_ends_at_the_second, args=(read_from,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write_to)
        watcher.join()
        os.close(read_from)


@contextmanager
def caught() -> Iterator[Interrupts]:
    """Handle Ctrl-C and SIGTERM inside the block."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interrupts.take_signals()
    try:
        with _watched():
            yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
