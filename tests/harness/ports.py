# SPDX-License-Identifier: Apache-2.0
"""ports - free TCP ports of 127.0.0.1.

Asked for in a random walk below the range from which the kernel takes ports
for outgoing connections, so that a port stays free until its server binds it.
Test processes run side by side: each claims a port by locking the byte of that
number in a file that all share; the kernel lets go when the process ends.
"""
import fcntl
import os
import random
import socket
import tempfile

_random = random.SystemRandom()
_given = set()
_claims = os.open(os.path.join(tempfile.gettempdir(), f'gibbon-test-ports-{os.getuid()}'),
                  os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _claim(port):
    """Whether the port is this process's from now on."""
    if port in _given:
        return False
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    return True


def free_port():
    for _ in range(1000):
        port = _random.randrange(10240, 32000)
        if not _claim(port):
            continue
        with socket.socket() as s:
            try:
                s.bind(('0.0.0.0', port))
            except OSError:
                continue
        return port
    raise AssertionError('no free port found')
