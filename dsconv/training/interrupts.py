"""Ctrl-C held back for a moment, so that what belongs together is written together."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def uninterrupted():
    """SIGINT that comes inside is handled after the block; for assignments only, which take no time.

    Python runs signal handlers in the main thread alone: in other threads there is nothing to hold back.
    """
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        yield
        return
    caught = []
    signal.signal(signal.SIGINT, lambda *arguments: caught.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if caught:
            former(*caught[0])
