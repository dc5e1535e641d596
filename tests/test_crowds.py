# SPDX-License-Identifier: Apache-2.0
"""Thousands of connections that do nothing, or very little, and what they cost the others."""
import os
import resource
import socket
import time

import pytest

from harness.client import Client, request_bytes
from harness.config import declarative, route, service
from harness.origin import ok
from harness.waits import patience, wait_for

BIG = b'x' * (1 << 20)
SLOW = int(os.environ.get('GIBBON_TEST_CROWD', '5000'))
HELD = int(os.environ.get('GIBBON_TEST_HELD', '20000'))
AT_ONCE = 200  # less than any backlog


def raise_limit(descriptors):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= descriptors:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, max(hard, descriptors)))
    except (ValueError, OSError):
        pytest.skip(f'{descriptors} descriptors are needed and the hard limit is {hard}')


@pytest.fixture
def descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield raise_limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Crowd:
    """Plain sockets to one port; source addresses change, so that ports do not run out."""

    def __init__(self, port):
        self.port, self.socks = port, []

    def add(self, count, first=b''):
        for i in range(count):
            s = socket.socket()
            s.bind((f'127.0.0.{2 + len(self.socks) // 4000}', 0))
            s.settimeout(patience(10))
            s.connect(('127.0.0.1', self.port))
            if first:
                s.send(first)
            self.socks.append(s)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.socks:
            s.close()


def active(gateway):
    return gateway.api('/status').json()['server']['connections_active']


def memory_of(pid):
    with open(f'/proc/{pid}/smaps_rollup') as text:
        return next(int(line.split()[1]) for line in text if line.startswith('Pss:')) * 1024


def worst(gateway, count=100):
    """The times of so many plain requests on one connection, sorted."""
    times = []
    with gateway.client() as c:
        for _ in range(count):
            began = time.monotonic()
            assert c.get('/fast').status == 200
            times.append(time.monotonic() - began)
    return sorted(times)


@pytest.fixture
def gw(gateway, origin):
    o = origin(backlog=4096).on('/fast', ok(b'fast')).on('/big', ok(BIG))
    g = gateway(declarative(service(o, route(paths=['/'], strip_path=False))), conf={
        'nginx_events_worker_connections': '65536', 'nginx_main_worker_rlimit_nofile': '65536',
        'log_level': 'warn', 'proxy_access_log': 'off'})
    return g


@pytest.mark.parametrize('kind', ['heads', 'bodies', 'readers'])
def test_the_slow_leave_the_latency_of_others_alone(gw, descriptors, kind):
    count = SLOW if kind == 'heads' else SLOW // 5
    descriptors(2 * SLOW + 1000)
    alone = worst(gw)
    first = {'heads': b'GET /fast HTTP/1.1\r\nHost: x\r\nX-Slow: ',
             'bodies': request_bytes('POST', '/fast', [('Content-Length', '100000')]) + b'x' * 10,
             'readers': request_bytes('GET', '/big')}[kind]
    with Crowd(gw.proxy) as crowd:
        crowd.add(count, first)
        wait_for(lambda: active(gw) >= count, 'the crowd')
        wait_for(lambda: worst(gw, 5)[2] < 0.1, 'a quiet moment', timeout=30)
        if kind != 'readers':
            for s in crowd.socks[::10]:
                s.send(b'x')
        among = worst(gw)
    half, most = len(alone) // 2, len(alone) * 95 // 100
    assert among[half] < patience(max(4 * alone[half], 0.02)), (alone[half], among[half])
    assert among[most] < patience(max(4 * alone[most], 0.1)), (alone[most], among[most])


def test_idle_connections_cost_little(gw, descriptors):
    descriptors(SLOW + 1000)
    with Crowd(gw.proxy) as crowd:
        crowd.add(500)
        wait_for(lambda: active(gw) >= 500, 'the first')
        (pid,) = gw.workers
        before = memory_of(pid)
        crowd.add(SLOW - 500)
        wait_for(lambda: active(gw) >= SLOW, 'the crowd')
        each = (memory_of(pid) - before) / (SLOW - 500)
        print(f'{each:.0f} bytes per idle connection')
        if not os.environ.get('GIBBON', '').count('asan'):
            assert each < 1536
        assert worst(gw, 20)[10] < patience(0.1)


def test_kept_connections_cost_little(gw, descriptors):
    """Those that have been served once and may come again."""
    count = SLOW // 2
    descriptors(SLOW + 1000)
    (pid,) = gw.workers
    with Crowd(gw.proxy) as crowd:
        for i in range(0, count, AT_ONCE):
            crowd.add(AT_ONCE, request_bytes('GET', '/fast'))
            for s in crowd.socks[-AT_ONCE:]:
                assert s.recv(1000).startswith(b'HTTP/1.1 200')
            if i == AT_ONCE:
                before, seen = memory_of(pid), len(crowd.socks)
        wait_for(lambda: gw.api('/status').json()['server']['connections_waiting'] >= count, 'all to wait')
        each = (memory_of(pid) - before) / (len(crowd.socks) - seen)
        print(f'{each:.0f} bytes per kept connection')
        if not os.environ.get('GIBBON', '').count('asan'):
            assert each < 1536
        for s in crowd.socks[::50]:
            s.send(request_bytes('GET', '/fast'))
            assert s.recv(1000).startswith(b'HTTP/1.1 200')


def test_twenty_thousand_are_held(gw, descriptors):
    descriptors(HELD + 1000)
    with Crowd(gw.proxy) as crowd:
        crowd.add(HELD)
        wait_for(lambda: active(gw) >= HELD, 'all of them', timeout=30)
        assert worst(gw, 20)[10] < patience(0.1)
        with Client(gw.proxy) as c:
            assert c.get('/fast').body == b'fast'
