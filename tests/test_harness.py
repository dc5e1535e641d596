# SPDX-License-Identifier: Apache-2.0
"""The harness itself: the client refuses what is malformed, the origin does what it is told."""
import pytest

from harness.client import BadResponse, Client, ask, chunked
from harness.origin import ok
from harness.waits import wait_for


def test_origin_echoes_and_keeps_the_connection(origin):
    o = origin()
    with Client(o.port) as c:
        first = c.request('POST', '/a?b', {'X-One': '1'}, b'body')
        second = c.get('/c')
    assert first.json()['method'] == 'POST' and first.json()['body'] == 'body'
    assert second.json()['target'] == '/c'
    assert o.connections == 1
    assert [r.index for r in o.requests] == [1, 2]
    assert o.requests[0].raw == (b'POST /a?b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-One: 1\r\n'
                                 b'Content-Length: 4\r\n\r\nbody' % o.port)


def test_chunked_bodies_both_ways(origin):
    o = origin()
    o.on('/', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
         + chunked(b'one', b'two', trailers=[('X-End', 'yes')]))
    with Client(o.port) as c:
        c.send(b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n' + chunked(b'ab', b'c'))
        answer = c.read_response()
    assert (answer.body, answer.trailers) == (b'onetwo', [('X-End', 'yes')])
    assert o.last().body == b'abc'


@pytest.mark.parametrize('bad', [
    b'HTTP/1.0 200 OK\r\n\r\n',
    b'HTTP/1.1 200 OK\n\n',
    b'HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour',
    b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfour\r\n',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nContent-Le',
    b'',
])
def test_client_refuses_malformed_responses(origin, bad):
    o = origin()
    o.on('/', bad, close=True)
    with pytest.raises(BadResponse):
        ask(o.port, '/')


def test_scripted_resets_and_closes(origin):
    o = origin()
    o.on('/reset', lambda c, r: c.reset())
    o.on('/close', ok(b'bye'), close=True)
    with pytest.raises(BadResponse):
        ask(o.port, '/reset')
    with Client(o.port) as c:
        assert c.get('/close').body == b'bye'
        assert c.is_closed()


def test_tls_origin_notes_the_name_asked_for(origin, certs):
    ca = certs.authority()
    leaf = certs.make('api.test', ['api.test'], by=ca)
    o = origin(tls=leaf.server_context())
    with Client(o.port, tls=ca.client_context(), sni='api.test') as c:
        assert c.get('/').status == 200
    assert o.names == ['api.test']


def test_nginx_serves_files(nginx):
    n = nginx(files={'1k': b'x' * 1024})
    assert ask(n.port, '/1k').body == b'x' * 1024


def test_wait_for_names_what_did_not_happen():
    with pytest.raises(AssertionError, match='the moon'):
        wait_for(lambda: False, 'the moon', timeout=0.05)
