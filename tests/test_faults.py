# SPDX-License-Identifier: Apache-2.0
"""Calls that seldom fail, failing once at each place on a request's road.

The program must be a build with -Dfaults=true (build-asan of the test run is one), which
reads GIBBON_FAULTS.  Whatever fails: the request in hand may be lost, the gateway is not, nothing
leaks, and what comes after is served.
"""
import threading

import pytest

from harness.client import BadResponse, Client, chunked, request_bytes
from harness.config import declarative, route, service
from harness.gateway import PROGRAM
from harness.waits import wait_for

BODY = b'b' * 600_000
BIG = b'x' * (6 << 20)


def has_faults():
    with open(PROGRAM, 'rb') as program:
        return b'GIBBON_FAULTS' in program.read()


pytestmark = pytest.mark.skipif(not has_faults(), reason='the program is no build with -Dfaults=true')


def traffic(gateway):
    """Every kind of request once; what it gets is not looked at."""
    def plain():
        with gateway.client(timeout=5) as c:
            for _ in range(3):
                c.get('/x')

    def post():
        with gateway.client(timeout=5) as c:
            c.request('POST', '/x', body=BODY)

    def streamed():
        with gateway.client(timeout=5) as c:
            c.send(request_bytes('POST', '/stream', [('Transfer-Encoding', 'chunked')])
                   + chunked(BODY, BODY))
            c.read_response()

    def slow():
        with gateway.client(timeout=5) as c:
            c.send(request_bytes('GET', '/big'))
            c.read_head()
            c._exactly(1 << 20)
            c._exactly(len(BIG) - (1 << 20))

    def tls():
        with Client(gateway.proxy_tls, tls=True, timeout=5) as c:
            c.request('POST', '/tls/x', body=BODY, close=True)

    threads = [threading.Thread(target=quietly, args=(f,)) for f in (plain, post, streamed, slow, tls)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def quietly(what):
    try:
        what()
    except (OSError, BadResponse):
        pass


@pytest.fixture(scope='module')
def world(module_origin, certs):
    origin = module_origin()
    origin.on('/big', b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(BIG) + BIG)
    secure = module_origin(tls=certs.make('secure.test').server_context())
    return declarative(
        service(origin, route(paths=['/'], strip_path=False), read_timeout=2000),
        service(origin, route(paths=['/stream'], strip_path=False, request_buffering=False,
                              response_buffering=False), read_timeout=2000),
        service(secure, route(paths=['/tls'], strip_path=False), read_timeout=2000))


FAULTS = ['net.accept@1', 'net.socket@1', 'net.connect@1', 'net.connect@2', 'tls.handshake@1',
          'tls.handshake@3', 'spool.open@1', 'spool.write@1', 'spool.write@3', 'spool.read@1',
          *[f'net.read@{n}' for n in (1, 2, 3, 5, 8, 13, 21, 34, 55)],
          *[f'net.write@{n}' for n in (1, 2, 3, 5, 8, 13, 21, 34)]]


@pytest.mark.parametrize('fault', FAULTS)
def test_one_call_fails_and_the_gateway_does_not(gateway, world, fault):
    g = gateway(world, admin=False, env={'GIBBON_FAULTS': fault})
    for _ in range(5):
        traffic(g)
        if f'fault {fault.split("@")[0]} fires' in g.log():
            break
    assert f'fault {fault.split("@")[0]} fires' in g.log()
    for _ in range(3):
        assert g.get('/x').status == 200
    assert g.get_tls('/tls/x').status == 200
    assert len(g.workers) == 1 and 'signal' not in g.log().lower().replace('signals', '')


@pytest.mark.parametrize('fault,status', [('net.connect@1+', 502), ('net.socket@1+', 502)])
def test_what_always_fails_is_told(gateway, world, fault, status):
    g = gateway(world, admin=False, env={'GIBBON_FAULTS': fault})
    assert g.get('/x').status == status
    assert g.get_tls('/tls/x').status == status


def test_a_disk_that_takes_nothing(gateway, world):
    g = gateway(world, admin=False, env={'GIBBON_FAULTS': 'spool.open@1+'})
    with g.client() as c:
        assert c.request('POST', '/x', body=BODY).status == 500
    answer = g.get('/big')  # goes on at the speed of its reader
    assert answer.status == 200 and answer.body == BIG


@pytest.mark.parametrize('fault', ['net.short_read@1+', 'net.short_write@1+'])
def test_bytes_one_by_one_are_the_same_bytes(gateway, origin, certs, fault):
    plain, secure = origin(), origin(tls=certs.make('s.test').server_context())
    g = gateway(declarative(service(plain, route(paths=['/'], strip_path=False)),
                            service(secure, route(paths=['/tls'], strip_path=False))),
                admin=False, env={'GIBBON_FAULTS': fault}, conf={'log_level': 'error'})
    body = b'0123456789' * 200
    for port, tls, target in ((g.proxy, None, '/x'), (g.proxy_tls, True, '/tls/x')):
        with Client(port, tls=tls) as c:
            for _ in range(2):
                assert c.request('POST', target, body=body).json()['body'].encode() == body
                c.send(request_bytes('PUT', target, [('Transfer-Encoding', 'chunked')])
                       + chunked(body[:100], body[100:]))
                assert c.read_response().json()['body'].encode() == body


def test_accepting_goes_on_after_a_shortage(gateway, world):
    g = gateway(world, admin=False, env={'GIBBON_FAULTS': 'net.accept@2,net.accept@3'})
    for _ in range(4):
        assert g.get('/x').status == 200
    wait_for(lambda: g.log().count('fault net.accept fires') == 2, 'both faults')
