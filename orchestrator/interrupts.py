"""Ctrl-C: the first ends a study cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.errors import Exit

TOLD = "interrupted: what runs is stopped and recorded; a second Ctrl-C ends at once"


class Interrupts:
    """Whether the study is to end, and how the backend that is at work is told so."""

    def __init__(self) -> None:
        self.requested = False
        self.say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
        """Tells the person who has typed Ctrl-C. Called from a thread of its own."""
        self.tell: Callable[[], None] | None = None
        """Has the backend end its loop; `None` raises KeyboardInterrupt where the program is."""

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        self.tell = tell
        try:
            yield
        finally:
            self.tell = None

    @contextmanager
    def saying(self, say: Callable[[str], None]) -> Iterator[None]:
        before, self.say = self.say, say
        try:
            yield
        finally:
            self.say = before

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


def _follow(read_from: int, interrupts: Interrupts) -> None:
    """Tell of the first signal, end at the second. Python calls a handler only between two of its instructions, and
    Ray's calls can take seconds. That a signal has come is told at once, by a byte."""
    n_signals = 0
    while told := os.read(read_from, 64):
        is_first = n_signals == 0
        n_signals += sum(number in (signal.SIGINT, signal.SIGTERM) for number in told)
        if n_signals > 1:
            os._exit(Exit.INTERRUPTED)
        if is_first and n_signals:
            # beside this thread: where nobody reads what is said, the second signal must still be heard
            threading.Thread(target=interrupts.say, args=(TOLD,), daemon=True).start()


@contextmanager
def _watched(interrupts: Interrupts) -> Iterator[None]:
    read_from, write_to = os.pipe()
    os.set_blocking(write_to, False)
    before = signal.set_wakeup_fd(write_to, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_follow, args=(read_from, interrupts), daemon=True)
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
        with _watched(interrupts):
            yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
