"""Fair clocks on a noisy machine: contenders take turns, and each keeps its fastest sample."""

import gc
from itertools import repeat
from time import perf_counter, sleep

SAMPLE_SECONDS = 200e-6
MIN_ROUNDS = 5
# Thread pools of the contender before keep spinning for a while and would steal this one's cores.
SETTLE_SECONDS = 0.02
SAMPLES_PER_TURN = {False: 1, True: 8}
# A last-level cache that resists streams keeps what was there through one pass: after one call alone,
# rows of 6 MB take 1.2 to 2 times as long.
WARM_CALLS = 2


def sample(call, count):
    """Seconds per call over `count` calls."""
    start = perf_counter()
    for _ in repeat(None, count):
        call()
    return (perf_counter() - start) / count


def calls_per_sample(call):
    """Calls that fill a sample, from warm calls."""
    call()
    once = min(sample(call, 1) for _ in range(3))
    return max(1, round(SAMPLE_SECONDS / max(once, 1e-7)))


def interleaved(contenders, seconds, threads):
    """Name to (fastest seconds per call, samples), all contenders taking turns for `seconds`."""
    if not contenders:
        return {}
    counts = {c.name: calls_per_sample(c.call) for c in contenders}
    samples = {c.name: [] for c in contenders}
    parallel = threads > 1
    enabled = gc.isenabled()
    gc.disable()
    try:
        end = perf_counter() + seconds
        rounds = 0
        while rounds < MIN_ROUNDS or perf_counter() < end:
            for contender in contenders:
                _turn(contender, counts, samples, parallel)
            rounds += 1
    finally:
        if enabled:
            gc.enable()
    return {name: (min(values), len(values)) for name, values in samples.items()}


def _turn(contender, counts, samples, parallel):
    if parallel:
        sleep(SETTLE_SECONDS)
    # Refill the caches, which the contender before left with its own data.
    for _ in range(WARM_CALLS):
        contender.call()
    for _ in range(SAMPLES_PER_TURN[parallel]):
        samples[contender.name].append(sample(contender.call, counts[contender.name]))
