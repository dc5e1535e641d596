# SPDX-License-Identifier: Apache-2.0
"""Services that break the rules get their clients an honest 502 or 504: no hang, no crash."""
import socket
import time

import pytest

from harness.client import BadResponse
from harness.config import declarative, route, service
from harness.origin import ok
from harness.ports import free_port
from harness.waits import patience


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return module_gateway(declarative(
        service(origin1, route(paths=['/']), retries=0, read_timeout=500, connect_timeout=500,
                write_timeout=500)))


BAD_BYTES = {
    'garbage': b'this is not HTTP at all\r\n\r\n',
    'binary': bytes(range(256)) * 10,
    'http/0.9': b'<html>hello</html>',
    'ssh': b'SSH-2.0-OpenSSH_9.2\r\n',
    'half a status line': b'HTTP/1.1 20',
    'half a head': b'HTTP/1.1 200 OK\r\nContent-Type: text',
    'bad version': b'HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n',
    'bad status': b'HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n',
    'status of two digits': b'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n',
    'no colon': b'HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n',
    'NUL in a header': b'HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n',
    'length and chunked': b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n'
                          b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'unknown coding': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: zip\r\n\r\nabc',
    'huge head': b'HTTP/1.1 200 OK\r\n' + b'A: ' + b'b' * 300000 + b'\r\n\r\n',
    'endless head': b'HTTP/1.1 200 OK\r\n' + b'A: b\r\n' * 60000 + b'\r\n',
    'unasked switch': b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n',
    'nothing': b'',
}


@pytest.mark.parametrize('name', BAD_BYTES)
def test_what_is_no_answer_becomes_a_502(gw, origin1, name):
    origin1.on('/bad', BAD_BYTES[name], close=True)
    answer = gw.get('/bad', headers={'Accept': 'application/json'})
    assert answer.status == 502, name
    assert answer.json() == {'message': 'An invalid response was received from the upstream server'}


@pytest.mark.parametrize('value', ['-1', 'abc', '1x', '99999999999999999999', ''])
def test_a_bad_length_is_refused_or_ignored(gw, origin1, value):
    origin1.on('/bad', b'HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\nx' % value.encode(),
               close=True)
    answer = gw.get('/bad')
    assert answer.status == 502 or (answer.status, answer.body) == (200, b'x')


@pytest.mark.parametrize('sent', [b'', b'HTTP/1.1 200 OK\r\n', b'HTTP/1.1 200 OK\r\nA: b'])
def test_silence_in_the_head_becomes_a_504(gw, origin1, sent):
    origin1.on('/hang', lambda c, r: (c.send(sent), c.wait_closed(20)))
    answer = gw.get('/hang', headers={'Accept': 'application/json'})
    assert (answer.status, answer.json()) == (504, {'message': 'The upstream server is timing out'})


def test_silence_in_the_body_ends_the_answer(gw, origin1):
    origin1.on('/hang', lambda c, r: (c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'),
                                      c.wait_closed(20)))
    with pytest.raises(BadResponse):
        gw.get('/hang')


def test_a_reset_in_the_head_becomes_a_502(gw, origin1):
    origin1.on('/reset', lambda c, r: c.reset())
    assert gw.get('/reset').status == 502


def test_a_reset_in_the_body_ends_the_answer(gw, origin1):
    origin1.on('/reset', lambda c, r: (
        c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n' + b'a' * 5000), c.reset()))
    with pytest.raises(BadResponse):
        gw.get('/reset')


def test_bad_chunks_end_the_answer(gw, origin1):
    for bad in (b'zz\r\n', b'5\r\nhello!!\r\n', b'ffffffffffffffffff\r\n', b'5\nhello\n0\n\n'):
        origin1.on('/chunks', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
                   b'2\r\nok\r\n' + bad, close=True)
        try:
            answer = gw.get('/chunks')
        except BadResponse:
            continue
        assert answer.status == 502, bad


def test_nobody_listens(module_gateway):
    gateway = module_gateway(declarative(
        service(f'http://127.0.0.1:{free_port()}', route(paths=['/']))))
    answer = gateway.get('/', headers={'Accept': 'application/json'})
    assert answer.status == 502
    assert answer.json() == {'message': 'An invalid response was received from the upstream server'}


def test_a_connection_that_is_never_made(module_gateway):
    """A full accept queue drops further connections: the connect must run into its time."""
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen(0)
    fill = []
    try:
        for _ in range(3):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            fill.append(s)
        gateway = module_gateway(declarative(service(
            f'http://127.0.0.1:{listener.getsockname()[1]}', route(paths=['/']), retries=1,
            connect_timeout=300)))
        answer = gateway.get('/')
        assert answer.status == 504
    finally:
        for s in [listener, *fill]:
            s.close()


@pytest.mark.parametrize('method,tries', [('GET', 4), ('POST', 1)])
def test_a_service_that_closes_without_an_answer_is_tried_again_when_that_is_safe(
        gateway, origin, method, tries):
    o = origin()
    o.on('/', lambda c, r: c.close())
    gw = gateway(declarative(service(o, route(paths=['/']), retries=3)))
    answer = gw.client().request(method, '/', body=b'x' if method == 'POST' else None)
    assert answer.status == 502
    assert len(o.requests) == tries


def test_a_refused_post_is_tried_again(gateway, origin):
    """Nothing was sent, so another target may take it."""
    o = origin()
    gw = gateway(declarative(
        service('http://two.upstream', route(paths=['/'])),
        upstreams=[{'name': 'two.upstream', 'targets': [
            {'target': f'127.0.0.1:{free_port()}'}, {'target': f'127.0.0.1:{o.port}'}]}]))
    for _ in range(6):
        assert gw.client().request('POST', '/', body=b'x').status == 200
    assert len(o.requests) == 6


def test_an_origin_that_never_reads(gateway, origin):
    o = origin(body_first=False)
    o.on('/', lambda c, r: time.sleep(patience(3)))
    gw = gateway(declarative(service(o, route(paths=['/']), retries=0, write_timeout=500,
                                     read_timeout=500)))
    with gw.client() as c:
        try:
            c.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n'
                   + b'x' * 30000000)
        except OSError:
            pass
        assert c.read_response().status == 504


def test_accel_headers_are_not_obeyed(gw, origin1):
    origin1.on('/accel', ok(b'body', headers=[('X-Accel-Redirect', '/etc/passwd'),
                                              ('X-Accel-Buffering', 'no')]))
    answer = gw.get('/accel')
    assert (answer.status, answer.body) == (200, b'body')


def test_the_gateway_serves_on_after_all_this(gw, origin1):
    workers = gw.workers
    for name, data in BAD_BYTES.items():
        origin1.on('/bad', data, close=True)
        gw.get('/bad')
        assert gw.get('/fine').status == 200, name
    assert gw.workers == workers
