# SPDX-License-Identifier: Apache-2.0
"""Connections are kept on both sides, requests on one connection are answered in their order."""
import threading

import pytest

from harness.client import Client, request_bytes
from harness.config import declarative, everything_to, route, service
from harness.origin import ok
from harness.waits import wait_for


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def plain(module_gateway, origin1):
    return module_gateway(everything_to(origin1))


def test_a_client_connection_is_kept(plain):
    with plain.client() as c:
        for i in range(50):
            assert c.get(f'/{i}').json()['target'] == f'/{i}'


def test_close_is_honoured(plain):
    with plain.client() as c:
        answer = c.request('GET', '/', headers={'Connection': 'close'})
        assert answer.get('Connection') == 'close'
        assert c.is_closed()


def test_http_1_0_closes_unless_asked_not_to(plain):
    with plain.client() as c:
        c.send(b'GET / HTTP/1.0\r\nHost: x\r\n\r\n')
        assert c.read_response().status == 200
        assert c.is_closed()
    with plain.client() as c:
        c.send(b'GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n')
        answer = c.read_response()
        assert answer.get('Connection', '').lower() == 'keep-alive'
        assert c.get('/again').status == 200


def test_pipelined_requests_are_answered_in_order(plain):
    with plain.client() as c:
        c.send(b''.join(request_bytes('GET', f'/{i}') for i in range(40)))
        for i in range(40):
            assert c.read_response().json()['target'] == f'/{i}'


def test_pipelined_bodies_stay_apart(plain):
    with plain.client() as c:
        c.send(b''.join(request_bytes('POST', f'/{i}', body=b'%d' % i * i) for i in range(20)))
        for i in range(20):
            answer = c.read_response().json()
            assert (answer['target'], answer['body']) == (f'/{i}', str(i) * i)


def test_a_slow_answer_holds_the_next_back(plain, origin1):
    go = threading.Event()
    origin1.on('/first', lambda c, r: (go.wait(10), c.send(ok(b'first'))))
    with plain.client() as c:
        c.send(request_bytes('GET', '/first') + request_bytes('GET', '/second'))
        origin1.wait_requests(1)
        go.set()
        assert c.read_response().body == b'first'
        assert c.read_response().json()['target'] == '/second'


def test_requests_in_pieces(plain):
    with plain.client() as c:
        for byte in request_bytes('POST', '/pieces', body=b'abc'):
            c.send(bytes([byte]))
        assert c.read_response().json()['body'] == 'abc'


def test_an_idle_connection_ends_after_its_time(module_gateway, origin1):
    gateway = module_gateway(everything_to(origin1), conf={'nginx_http_keepalive_timeout': '1s'})
    with gateway.client() as c:
        assert c.get('/').status == 200
        assert c.is_closed(within=6)


def test_a_connection_ends_after_its_number_of_requests(module_gateway, origin1):
    gateway = module_gateway(everything_to(origin1), conf={'nginx_http_keepalive_requests': '3'})
    with gateway.client() as c:
        assert [c.get('/').get('Connection') for _ in range(3)][-1] == 'close'
        assert c.is_closed()


# ---- to the service -----------------------------------------------------------------------


def test_upstream_connections_are_kept(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o))
    for _ in range(20):
        assert gw.get('/').status == 200
    assert o.connections == 1
    assert [r.index for r in o.requests] == list(range(1, 21))


def test_upstream_keepalive_can_be_off(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o), conf={'upstream_keepalive_pool_size': '0'})
    for _ in range(5):
        assert gw.get('/').status == 200
    assert o.connections == 5


def test_upstream_connections_serve_so_many_requests(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o), conf={'upstream_keepalive_max_requests': '2'})
    for _ in range(6):
        assert gw.get('/').status == 200
    assert o.connections == 3


def test_idle_upstream_connections_end_after_their_time(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o), conf={'upstream_keepalive_idle_timeout': '1'})
    assert gw.get('/').status == 200
    wait_for(lambda: o.open_connections == 0, 'the idle connection to be closed', timeout=6)


@pytest.mark.parametrize('method', ['GET', 'POST'])
def test_a_connection_that_the_service_closed_meanwhile_is_not_used(gateway, origin, method):
    o = origin()
    o.on('/once', lambda c, r: (c.send(ok(b'once')), c.close()))
    gw = gateway(everything_to(o))
    for i in range(10):
        assert gw.get('/once').body == b'once'
        wait_for(lambda: o.open_connections == 0, 'the end at the origin')
        answer = gw.client().request(method, '/', body=b'x' if method == 'POST' else None)
        assert answer.status == 200, i
    assert len([r for r in o.requests if r.path == '/']) == 10


def test_an_upstream_s_close_is_honoured(gateway, origin):
    o = origin()
    o.on('/', ok(b'x', headers=[('Connection', 'close')]))
    gw = gateway(everything_to(o))
    for _ in range(3):
        with gw.client() as c:
            answer = c.get('/')
            assert (answer.status, answer.body) == (200, b'x')
            assert c.get('/other').status == 200, 'the client\'s connection is another'
    assert o.connections >= 3


def test_bytes_after_an_answer_never_reach_the_next_client(gateway, origin):
    o = origin()
    o.on('/poison', lambda c, r: c.send(ok(b'good') + ok(b'stolen')))
    gw = gateway(everything_to(o))
    for _ in range(5):
        assert gw.get('/poison').body == b'good'
        assert gw.get('/next').json()['target'] == '/next'


def test_many_clients_at_once(plain):
    failed = []

    def one(n):
        try:
            with Client(plain.proxy) as c:
                for i in range(20):
                    assert c.get(f'/{n}/{i}').json()['target'] == f'/{n}/{i}'
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failed == []


def test_a_client_that_leaves_ends_the_request_upstream(gateway, origin):
    o = origin()
    gone = threading.Event()
    o.on('/wait', lambda c, r: c.wait_closed(10) and gone.set())
    gw = gateway(everything_to(o))
    c = gw.client()
    c.send(request_bytes('GET', '/wait'))
    o.wait_requests(1)
    c.reset()
    assert gone.wait(10)
    assert gw.get('/').status == 200


def test_two_services_on_one_origin_share_connections(gateway, origin):
    o = origin()
    gw = gateway(declarative(service(o, route(paths=['/a'])), service(o, route(paths=['/b']))))
    for path in ('/a', '/b', '/a', '/b'):
        assert gw.get(path).status == 200
    assert o.connections == 1
