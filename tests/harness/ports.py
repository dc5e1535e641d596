# SPDX-License-Identifier: Apache-2.0
"""ports - free TCP ports of 127.0.0.1.

Asked for in a random walk below the range from which the kernel takes ports
for outgoing connections, so that a port stays free until its server binds it.
"""
import random
import socket

_random = random.SystemRandom()
_given = set()


def free_port():
    for _ in range(1000):
        port = _random.randrange(10240, 32000)
        if port in _given:
            continue
        with socket.socket() as s:
            try:
                s.bind(('0.0.0.0', port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError('no free port found')
