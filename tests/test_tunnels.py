# SPDX-License-Identifier: Apache-2.0
"""WebSocket and its like: after 101 a connection is a tunnel, until both sides have ended."""
import json
import os
import signal
import threading
import time

import pytest

from harness.client import Client, request_bytes
from harness.config import declarative, everything_to, route, service
from harness.origin import ok
from harness.waits import patience, wait_for

ASK = [('Connection', 'Upgrade'), ('Upgrade', 'websocket'), ('Sec-WebSocket-Key', 'abc'),
       ('Sec-WebSocket-Version', '13')]
SWITCHED = (b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
            b'Sec-WebSocket-Accept: xyz\r\n\r\n')


def echoing(connection, _request, early=b''):
    """Switches, then sends back what comes; at its end says bye and ends."""
    connection.send(SWITCHED + early)
    data, connection.buffer = connection.buffer, b''
    while True:
        if data:
            connection.send(data)
        data = connection.sock.recv(65536)
        if not data:
            break
    connection.send(b'bye')
    connection.close()


class Held:
    """Switches, then leaves the connection to the test."""

    def __init__(self):
        self.connections = []
        self.done = threading.Event()

    def __call__(self, connection, _request):
        connection.send(SWITCHED)
        self.connections.append(connection)
        self.done.wait(60)
        connection.close()

    def last(self):
        wait_for(lambda: self.connections, 'the tunnel at the origin')
        return self.connections[-1]


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin().on('/echo', echoing)


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return module_gateway(everything_to(origin1), conf={'nginx_worker_processes': '2'})


@pytest.fixture
def held(origin1):
    script = Held()
    origin1.on('/held', script)
    yield script
    script.done.set()


def opened(gateway, target='/echo', headers=ASK, more=b'', **how):
    c = Client(how.pop('port', gateway.proxy), **how)
    c.send(request_bytes('GET', target, headers) + more)
    answer = c.read_response()
    assert answer.status == 101, answer
    return c, answer


def exactly(c, size):
    return c._exactly(size)


# ---- the switch ---------------------------------------------------------------------------


def test_the_switch_has_the_service_s_headers_and_the_gateway_s(gw, origin1):
    c, answer = opened(gw)
    with c:
        assert answer.get('Connection') == 'Upgrade'
        assert answer.get('Upgrade') == 'websocket'
        assert answer.get('Sec-WebSocket-Accept') == 'xyz'
        assert answer.get('Via').startswith('gibbon/')
        assert answer.get('X-Kong-Proxy-Latency').isdigit()
        assert answer.all('Content-Length') == answer.all('Transfer-Encoding') == []
    seen = origin1.last()
    assert seen.get('Connection') == 'keep-alive, Upgrade'
    assert seen.get('Upgrade') == 'websocket'
    assert seen.get('Sec-WebSocket-Key') == 'abc'


def test_names_and_members_have_no_case(gw):
    c, _ = opened(gw, headers=[('connection', 'keep-alive, UPGRADE'), ('UPGRADE', 'WebSocket')])
    with c:
        c.send(b'x')
        assert exactly(c, 1) == b'x'


def test_bytes_behind_either_head_are_the_tunnel_s(gw, origin1):
    origin1.on('/early', lambda c, r: echoing(c, r, early=b'first'))
    c, _ = opened(gw, '/early', more=b'second')
    with c:
        assert exactly(c, 11) == b'firstsecond'


def test_bytes_that_look_like_http_are_only_bytes(gw, origin1):
    c, _ = opened(gw)
    before = len(origin1.requests)
    with c:
        text = b'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
        c.send(text)
        assert exactly(c, len(text)) == text
    assert len(origin1.requests) == before


def test_a_refusal_is_an_ordinary_answer(gw, origin1):
    origin1.on('/no', ok(b'no', 403, 'Forbidden'))
    with gw.client() as c:
        assert c.get('/no', ASK).status == 403
        assert c.get('/x').status == 200


@pytest.mark.parametrize('headers', [[], [('Upgrade', 'websocket')],
                                     [('Connection', 'Upgrade'), ('Upgrade', 'h2c')]])
def test_a_switch_that_nobody_asked_for_is_a_502(gw, origin1, headers):
    origin1.on('/unasked', SWITCHED + b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', close=True)
    assert gw.get('/unasked', headers=headers).status == 502


def test_a_switch_to_something_else_is_a_502(gw, origin1):
    origin1.on('/else', SWITCHED.replace(b'websocket', b'h2c'), close=True)
    with gw.client() as c:
        assert c.get('/else', ASK).status == 502


def test_a_switch_within_the_body_is_a_502(gateway, origin):
    o = origin(body_first=False).on('/', SWITCHED)
    g = gateway(declarative(service(o, route(paths=['/'], request_buffering=False))))
    with g.client() as c:
        c.send(request_bytes('POST', '/', ASK + [('Content-Length', '100000')]))
        assert c.read_response().status == 502


@pytest.mark.parametrize('size', [10, 20000, 300000])
def test_a_body_in_front_of_the_switch_is_no_part_of_the_tunnel(gw, origin1, size):
    c = gw.client()
    with c:
        c.send(request_bytes('POST', '/echo', ASK, body=b'b' * size) + b'tunnel')
        assert c.read_response().status == 101
        assert exactly(c, 6) == b'tunnel'
        assert len(origin1.last().body) == size


# ---- bytes both ways -----------------------------------------------------------------------


def test_much_both_ways_at_once(gw):
    c, _ = opened(gw)
    data = os.urandom(1 << 20) * 8
    with c:
        sender = threading.Thread(target=c.send, args=(data,))
        sender.start()
        assert exactly(c, len(data)) == data
        sender.join()


def test_over_tls(gw):
    """In turns: Python's TLS sockets do not read and write at once."""
    c, _ = opened(gw, port=gw.proxy_tls, tls=True)
    data = os.urandom(300000)
    with c:
        for size in (1, 16384, 16385, 100000, 300000, 5):
            c.send(data[:size])
            assert exactly(c, size) == data[:size]


def test_to_an_https_service(gateway, origin, certs):
    o = origin(tls=certs.make('tls.test').server_context()).on('/echo', echoing)
    g = gateway(everything_to(o))
    c, _ = opened(g)
    data = os.urandom(300000)
    with c:
        sender = threading.Thread(target=c.send, args=(data,))
        sender.start()
        assert exactly(c, len(data)) == data
        sender.join()


def test_a_reader_that_stops_holds_the_sender(gw, held):
    c, _ = opened(gw, '/held')
    with c:
        out = held.last().sock
        out.settimeout(patience(1))
        total = 0
        with pytest.raises(OSError):
            while total < 1 << 28:
                total += out.send(b'x' * 65536)
        assert total < 64 << 20
        assert exactly(c, total) == b'x' * total


def test_after_a_silence_it_goes_on(gw):
    c, _ = opened(gw)
    with c:
        for i in range(5):
            time.sleep(0.05)
            c.send(b'%d' % i)
            assert exactly(c, 1) == b'%d' % i


def test_a_silent_tunnel_is_counted_as_writing(gw):
    c, _ = opened(gw)
    with c:
        c.send(b'x')
        exactly(c, 1)
        wait_for(lambda: gw.api('/status').json()['server']['connections_writing'] >= 2,
                 'the tunnel in the counters')  # the other one asks


# ---- ends ----------------------------------------------------------------------------------


def test_the_client_s_end_is_passed_on_and_the_answer_still_comes(gw):
    c, _ = opened(gw)
    with c:
        c.send(b'last words')
        c.half_close()
        assert c.read_to_end() == b'last wordsbye'


def test_the_service_s_end_is_passed_on_and_the_client_may_still_speak(gw, held):
    c, _ = opened(gw, '/held')
    with c:
        there = held.last()
        there.sock.shutdown(1)
        assert c.read_to_end() == b''
        c.send(b'still here')
        got = b''
        while len(got) < 10:
            got += there.sock.recv(100)
        assert got == b'still here'
        c.half_close()
        assert there.sock.recv(100) == b''


@pytest.mark.parametrize('way', ['close', 'reset'])
def test_a_client_that_leaves_ends_the_service_s_side(gw, held, way):
    c, _ = opened(gw, '/held')
    there = held.last()
    getattr(c, way)()
    if way == 'close':  # which is half of an end: the other half meets a closed socket
        assert there.sock.recv(10) == b''
        there.send(b'x' * 100)
    assert there.wait_closed()


@pytest.mark.parametrize('way', ['close', 'reset'])
def test_a_service_that_leaves_ends_the_client_s_side(gw, held, way):
    c, _ = opened(gw, '/held')
    with c:
        getattr(held.last(), way)()
        assert c.is_closed()


def test_silence_ends_it_after_the_read_timeout(gateway, origin):
    o = origin().on('/echo', echoing)
    g = gateway(everything_to(o, read_timeout=300))
    c, _ = opened(g)
    with c:
        for _ in range(4):  # what moves is not silent
            time.sleep(0.15)
            c.send(b'x')
            assert exactly(c, 1) == b'x'
        assert c.is_closed(within=5)


def test_it_is_logged_at_its_end(gateway, origin):
    o = origin().on('/echo', echoing)
    g = gateway(everything_to(o), conf={
        'nginx_http_log_format': "t '$request|$status|$body_bytes_sent|$uri|$http_host'",
        'proxy_access_log': 'logs/access.log t'})
    c, _ = opened(g, '/echo?q')
    with c:
        c.send(b'12345')
        exactly(c, 5)
        assert '/echo' not in g.log('access.log')
        c.half_close()
        c.read_to_end()
    line = wait_for(lambda: [x for x in g.log('access.log').split('\n') if '/echo' in x],
                    'the line')[0]
    assert line == 'GET /echo?q HTTP/1.1|101|8|/echo|x', line


def logging_to(origin, path, **more):
    return declarative(service(origin, route(paths=['/'], plugins=[
        {'name': 'file-log', 'config': {'path': str(path)}},
        {'name': 'request-size-limiting'}]), **more))


def entries_of(path):
    return wait_for(lambda: path.exists() and [json.loads(x) for x in path.read_text().split('\n') if x],
                    'the entry')


@pytest.mark.parametrize('way', ['ends', 'is silent', 'is stopped'])
def test_plugins_log_it_at_its_end(gateway, origin, tmp_path, way):
    o, log = origin().on('/echo', echoing), tmp_path / 'log'
    g = gateway(logging_to(o, log, read_timeout=300 if way == 'is silent' else 60000))
    long = 'h' * 5000
    c, _ = opened(g, '/echo?q', headers=[*ASK, ('X-Long', long)])
    with c:
        c.send(b'12345')
        exactly(c, 5)
        assert not log.exists()
        if way == 'ends':
            c.half_close()
        elif way == 'is stopped':
            g.stop(signal.SIGTERM)
        c.read_to_end()
    entry, = entries_of(log)
    assert entry['response']['status'] == 101
    assert entry['response']['headers']['sec-websocket-accept'] == 'xyz'
    assert entry['response']['size'] > len(SWITCHED) + 5
    assert entry['request']['headers']['x-long'] == long
    assert entry['request']['size'] > 5005
    assert entry['request']['uri'] == entry['upstream_uri'] == '/echo?q'
    assert entry['route']['paths'] == ['/'] and entry['service']['port'] == o.port
    if way == 'is silent':
        assert entry['latencies']['request'] >= 300


def test_a_change_of_configuration_does_not_disturb_its_log(gateway, origin, tmp_path):
    o, log = origin().on('/echo', echoing), tmp_path / 'log'
    g = gateway(logging_to(o, log))
    c, _ = opened(g)
    with c:
        changed = json.dumps(declarative(service(o, route(paths=['/other'])))).encode()
        assert g.api('/config', 'POST', headers=[('Content-Type', 'application/json')],
                     body=changed).status == 201
        assert g.get('/echo').status == 404
        c.send(b'x')
        assert exactly(c, 1) == b'x'
        c.half_close()
        c.read_to_end()
    entry, = entries_of(log)
    assert entry['route']['paths'] == ['/']


# ---- reload, stop ----------------------------------------------------------------------------


def test_a_reload_leaves_it_alone_until_it_ends(gateway, origin):
    o = origin().on('/echo', echoing)
    g = gateway(everything_to(o))
    c, _ = opened(g)
    with c:
        old = g.workers
        g.reload()
        wait_for(lambda: set(g.workers) - set(old), 'the new worker')
        c.send(b'x')
        assert exactly(c, 1) == b'x'
        assert set(old) <= set(g.workers)
        c.half_close()
        assert c.read_to_end() == b'bye'
    wait_for(lambda: not set(old) & set(g.workers), 'the old worker to go')


def test_a_reload_ends_it_after_worker_shutdown_timeout(gateway, origin):
    o = origin().on('/echo', echoing)
    g = gateway(everything_to(o), conf={'nginx_main_worker_shutdown_timeout': '500ms'})
    c, _ = opened(g)
    busy, _ = opened(g)
    with c, busy:
        old = g.workers
        g.reload()
        assert c.is_closed(within=10)
        assert busy.is_closed(within=10)
        wait_for(lambda: not set(old) & set(g.workers), 'the old worker to go')


def test_many_open_and_end_in_any_order(gw, origin1):
    clients = [opened(gw)[0] for _ in range(100)]
    for i, c in enumerate(clients):
        c.send(b'%03d' % i)
    for i, c in reversed(list(enumerate(clients))):
        assert exactly(c, 3) == b'%03d' % i
    for c in clients[::2]:
        c.close()
    for c in clients[1::2]:
        c.reset()
    wait_for(lambda: origin1.open_connections <= 4, 'the tunnels to end')


def test_an_origin_that_is_gone_is_a_502(gateway, origin):
    o = origin()
    g = gateway(everything_to(o, retries=0))
    o.on('/', lambda c, r: c.reset())
    with g.client() as c:
        assert c.get('/', ASK).status == 502
