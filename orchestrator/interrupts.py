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
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
