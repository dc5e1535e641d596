# SPDX-License-Identifier: Apache-2.0
"""Calls that seldom fail, failing once at each place on a request's road.

The program must be a build with -Dfaults=true (build-asan of the test run is one), which
reads GIBBON_FAULTS.  Whatever fails: the request in hand may be lost, the gateway is not, nothing
leaks, and what comes after is served.
"""
import socket
import threading

import pytest

from harness.client import BadResponse, Client, chunked, request_bytes, unverified
from harness.config import declarative, route, service
from harness.gateway import PROGRAM
from harness.ports import free_port
from harness.streams import TcpOrigin, UdpOrigin, connect, read_all, stream, udp_client
from harness.waits import patience, wait_for

BODY = b'b' * 600_000
BIG = b'x' * (6 << 20)


def has_faults():
    with open(PROGRAM, 'rb') as program:
        return b'GIBBON_FAULTS' in program.read()


pytestmark = pytest.mark.skipif(not has_faults(), reason='the program is no build with -Dfaults=true')


def traffic(gateway):
    """Every kind of request once; what it gets is not looked at."""
    def plain():
        with gateway.client(timeout=patience(5)) as c:
            for _ in range(3):
                c.get('/x')

    def post():
        with gateway.client(timeout=patience(5)) as c:
            c.request('POST', '/x', body=BODY)

    def streamed():
        with gateway.client(timeout=patience(5)) as c:
            c.send(request_bytes('POST', '/stream', [('Transfer-Encoding', 'chunked')])
                   + chunked(BODY, BODY))
            c.read_response()

    def slow():
        with gateway.client(timeout=patience(5)) as c:
            c.send(request_bytes('GET', '/big'))
            c.read_head()
            c._exactly(1 << 20)
            c._exactly(len(BIG) - (1 << 20))

    def tls():
        with Client(gateway.proxy_tls, tls=True, timeout=patience(5)) as c:
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
        service(origin, route(paths=['/'], strip_path=False), read_timeout=int(patience(2000))),
        service(origin, route(paths=['/stream'], strip_path=False, request_buffering=False,
                              response_buffering=False), read_timeout=int(patience(2000))),
        service(secure, route(paths=['/tls'], strip_path=False), read_timeout=int(patience(2000))))


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


# ---- TCP, TLS and UDP sessions ------------------------------------------------------------------


@pytest.fixture
def sessions(gateway, certs):
    """sessions(faults): a gateway that relays TCP, TLS on both sides, and UDP; and what each of
    them gives, a function of the bytes to send that answers what comes back."""
    made = []

    def make(fault):
        tcp, tls, udp = free_port(), free_port(), free_port()
        plain, datagrams = TcpOrigin(), UdpOrigin()
        secure = TcpOrigin(tls=certs.make('secure.test').server_context())
        made.extend((plain, secure, datagrams))
        quick = {'read_timeout': int(patience(2000)), 'retries': 0}
        g = gateway(declarative(
            stream(plain, protocols=['tcp'], destinations=[{'port': tcp}], service=quick),
            stream(secure, protocol='tls', protocols=['tls'], destinations=[{'port': tls}], service=quick),
            stream(datagrams, protocol='udp', protocols=['udp'], destinations=[{'port': udp}])),
            admin=False, env={'GIBBON_FAULTS': fault},
            conf={'stream_listen': f'127.0.0.1:{tcp}, 127.0.0.1:{tls} ssl, 127.0.0.1:{udp} udp'})

        def by_tcp(data):
            with connect(tcp) as c:
                c.sendall(data)
                c.shutdown(socket.SHUT_WR)
                return read_all(c).removesuffix(b'bye')

        def by_tls(data):
            with unverified().wrap_socket(connect(tls)) as c:
                sender = threading.Thread(target=quietly, args=(lambda: c.sendall(data),))
                sender.start()
                got = b''
                while len(got) < len(data):
                    piece = c.recv(65536)
                    if not piece:
                        break
                    got += piece
                sender.join()
                return got

        def by_udp(data):
            with udp_client(udp, timeout=1) as c:
                c.send(data[:1000])
                return c.recv(2000) + data[1000:]
        return g, (by_tcp, by_tls, by_udp)
    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize('fault', ['net.accept@1', 'net.socket@1', 'net.socket@2', 'net.socket@3', 'net.connect@1',
                                   'net.connect@2', 'tls.handshake@1', 'tls.handshake@2',
                                   *[f'net.read@{n}' for n in (1, 2, 4, 9)],
                                   *[f'net.write@{n}' for n in (1, 2, 4, 9)]])
def test_a_session_fails_and_the_others_do_not(sessions, fault):
    g, ways = sessions(fault)
    for _ in range(3):
        for way in ways:
            quietly(lambda: way(b'x' * 100_000))
        if f'fault {fault.split("@")[0]} fires' in g.log():
            break
    assert f'fault {fault.split("@")[0]} fires' in g.log()
    for way in ways:
        assert way(b'still here') == b'still here'
    assert len(g.workers) == 1 and 'signal' not in g.log().lower().replace('signals', '')


@pytest.mark.parametrize('fault', ['net.short_read@1+', 'net.short_write@1+'])
def test_sessions_one_byte_at_a_time(sessions, fault):
    _, ways = sessions(fault)
    for way in ways:
        assert way(b'0123456789' * 200) == b'0123456789' * 200
