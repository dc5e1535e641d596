# SPDX-License-Identifier: Apache-2.0
"""waits - waiting for a condition, never for a guess.

GIBBON_TEST_SLOW multiplies every patience of the suite: 1 on an idle machine
and a plain build; use 3 or more with sanitizers.
"""
import os
import time

SLOW = float(os.environ.get('GIBBON_TEST_SLOW', '1'))


def patience(seconds):
    """Seconds of this run for what takes at most `seconds` on an idle machine."""
    return seconds * SLOW


def wait_for(condition, what='the condition', timeout=10, every=0.01):
    """Returns the first true answer of condition(); fails, naming `what`, after the timeout.

    An OSError or AssertionError of the condition counts as "not yet"."""
    end = time.monotonic() + patience(timeout)
    last = None
    while True:
        try:
            got = condition()
            if got:
                return got
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f'{what} did not happen within {patience(timeout):g} s'
                                 + (f' (last: {last!r})' if last else ''))
        time.sleep(every)
