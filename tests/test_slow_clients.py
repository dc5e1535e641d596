# SPDX-License-Identifier: Apache-2.0
"""Slow clients hold nobody up, and are let go after their time."""
import threading
import time

import pytest

from harness.client import BadResponse, Client, request_bytes
from harness.config import everything_to
from harness.origin import ok
from harness.waits import patience


@pytest.fixture(scope='module')
def origin1(module_origin):
    o = module_origin()
    o.on('/big', lambda c, r: c.send(ok(b'x' * 20_000_000)))
    return o


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    config = everything_to(origin1)
    config['routes'] = [{'name': 'own', 'hosts': ['own.test']}]  # no service: answered here
    return module_gateway(config, conf={
        'nginx_http_client_header_timeout': '1s', 'nginx_http_client_body_timeout': '1s',
        'nginx_http_send_timeout': '1s'})


def quick(gw, count=20):
    """The slowest of some requests on the same loop, in seconds: of the gateway's own
    answers, for the origin is busy in this very process."""
    worst = 0
    with gw.client() as c:
        for _ in range(count):
            began = time.monotonic()
            assert c.get('/quick', host='own.test').status == 503
            worst = max(worst, time.monotonic() - began)
    return worst


def refused_or_closed(c, status):
    try:
        return c.read_response().status == status
    except BadResponse:
        return True


def test_slow_heads_hold_nobody_up(gw):
    slow = [Client(gw.proxy) for _ in range(200)]
    for c in slow:
        c.send(b'GET / HTTP/1.1\r\nHo')
    assert quick(gw) < patience(2)
    for c in slow:
        c.close()


def test_a_head_has_its_time(gw):
    with Client(gw.proxy) as c:
        c.send(b'GET / HTTP/1.1\r\nHo')
        assert refused_or_closed(c, 408)


def test_a_head_that_trickles_has_the_same_time(gw):
    began = time.monotonic()
    with Client(gw.proxy) as c:
        try:
            for byte in b'GET / HTTP/1.1\r\nHost: x\r\nX-Long: ' + b'a' * 100:
                c.send(bytes([byte]))
                time.sleep(0.05)
                if time.monotonic() - began > patience(4):
                    pytest.fail('still reading after four times its time')
        except OSError:
            return
        assert refused_or_closed(c, 408)


def test_a_tls_handshake_has_its_time(gw):
    with Client(gw.proxy_tls) as c:
        c.send(b'\x16\x03\x01')
        assert c.is_closed(within=65)


def test_a_body_has_its_time(gw):
    with Client(gw.proxy) as c:
        c.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart')
        assert refused_or_closed(c, 408)


def test_a_body_that_keeps_moving_is_read(gw):
    with Client(gw.proxy) as c:
        c.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n')
        for _ in range(20):
            c.send(b'x')
            time.sleep(0.1)
        assert c.read_response().json()['body'] == 'x' * 20


def test_slow_readers_hold_nobody_up_and_are_let_go(gw):
    slow = [Client(gw.proxy) for _ in range(5)]
    for c in slow:
        c.send(request_bytes('GET', '/big'))
    assert quick(gw) < patience(2)
    time.sleep(patience(2.5))
    for c in slow:
        with pytest.raises(BadResponse):
            c.read_response()
        c.close()


def test_a_slow_reader_that_keeps_reading_gets_it_all(gw):
    with gw.client() as c:
        c.send(request_bytes('GET', '/big'))
        head, got = c.read_head(), 0
        while got < 3_000_000:
            got += len(c._exactly(100_000))
            time.sleep(0.05)
        rest = c._exactly(int(head.get('Content-Length')) - got)
        assert got + len(rest) == 20_000_000


def test_idle_connections_hold_nobody_up(gw):
    idle = [Client(gw.proxy) for _ in range(500)]
    assert quick(gw) < patience(2)
    for c in idle:
        c.close()


def test_a_slow_service_holds_only_its_own_client_up(gw, origin1):
    go = threading.Event()
    origin1.on('/slow', lambda c, r: (go.wait(10), c.send(ok(b'late'))))
    with gw.client() as c:
        c.send(request_bytes('GET', '/slow'))
        assert quick(gw) < patience(2)
        go.set()
        assert c.read_response().body == b'late'
