# SPDX-License-Identifier: Apache-2.0
"""Bodies arrive whole and only once, however they are framed."""
import hashlib
import threading
import time

import pytest

from harness.client import BadResponse, Client, chunked, request_bytes
from harness.config import declarative, everything_to, route, service
from harness.origin import ok
from harness.waits import patience

BIG = bytes(range(256)) * 12000  # 3 MB


@pytest.fixture(scope='module')
def origin1(module_origin):
    o = module_origin()
    o.on('/digest', lambda c, r: c.send(ok(hashlib.sha256(r.body).hexdigest())))
    return o


@pytest.fixture(scope='module')
def plain(module_gateway, origin1):
    return module_gateway(declarative(
        service(origin1, route(paths=['/'], strip_path=False)),
        service(origin1, route(paths=['/stream'], request_buffering=False,
                               response_buffering=False))))


def digest(data):
    return hashlib.sha256(data).hexdigest()


# ---- requests -------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [0, 1, 100, 8191, 8192, 8193, 65536, 1 << 20])
def test_a_body_with_a_length(plain, origin1, size):
    body = (BIG * 2)[:size]
    with plain.client() as c:
        assert c.request('POST', '/digest', body=body).text == digest(body)
        assert c.get('/after').status == 200
    assert origin1.requests[-2].get('Content-Length') == str(size)


@pytest.mark.parametrize('pieces', [[], [b'a'], [b'a'] * 300, [BIG[:70000], b'x', BIG[:9000]]])
def test_a_chunked_body(plain, pieces):
    with plain.client() as c:
        c.send(b'POST /digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
               + chunked(*pieces))
        assert c.read_response().text == digest(b''.join(pieces))
        assert c.get('/after').status == 200


def test_a_large_body_both_ways(plain, origin1):
    origin1.on('/mirror', lambda c, r: c.send(ok(r.body)))
    with plain.client() as c:
        assert c.request('POST', '/mirror', body=BIG).body == BIG
    with Client(plain.proxy_tls, tls=True) as c:
        assert c.request('POST', '/mirror', body=BIG).body == BIG


@pytest.mark.parametrize('method', ['GET', 'DELETE', 'OPTIONS'])
def test_bodies_of_methods_that_seldom_have_one(plain, method):
    with plain.client() as c:
        assert c.request(method, '/digest', body=b'unusual').text == digest(b'unusual')


def test_expect_continue_is_answered(plain):
    with plain.client() as c:
        c.send(b'POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n'
               b'Expect: 100-continue\r\n\r\n')
        interim = c.read_head()
        assert interim.status == 100
        c.send(b'abc')
        assert c.read_response('POST').text == digest(b'abc')


def test_expect_with_the_body_at_once(plain):
    with plain.client() as c:
        c.send(b'POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n'
               b'Expect: 100-continue\r\n\r\nabc')
        assert c.read_response().text == digest(b'abc')


def test_an_unbuffered_body_flows_before_it_is_whole(plain, origin1):
    first = threading.Event()

    def read_slowly(c, r):
        c.send(ok(r.body))
    origin1.on('/flow', read_slowly)
    origin1.body_first = False
    try:
        def flow(c, r):
            got = c._until(b'first')
            first.set()
            c._until(b'last')
            c.send(ok(got))
        origin1.on('/flow', flow)
        with plain.client() as c:
            c.send(b'POST /stream/flow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfirst')
            assert first.wait(patience(5)), 'the first part did not arrive before the last was sent'
            c.send(b'last')
            assert c.read_response().body == b'first'
    finally:
        origin1.body_first = True


def test_an_answer_before_the_body_was_read(plain, origin1):
    origin1.body_first = False
    try:
        origin1.on('/early', lambda c, r: (c.send(ok(b'no', 413, 'Too Large',
                                                     [('Connection', 'close')])),
                                           c.wait_closed(5)))
        with plain.client() as c:
            try:
                c.send(request_bytes('POST', '/stream/early', body=BIG))
            except OSError:
                pass
            answer = c.read_response()
            assert (answer.status, answer.body) == (413, b'no')
    finally:
        origin1.body_first = True


def test_a_body_cut_short_never_looks_whole(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o))
    with gw.client() as c:
        c.send(b'POST /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this')
        c.half_close()
        try:
            assert c.read_response().status == 400
        except BadResponse:
            pass  # closing without an answer is right as well
    assert [r for r in o.requests if r.body == b'only this'] == []
    assert gw.get('/after').status == 200


# ---- answers --------------------------------------------------------------------------------


def test_head_has_the_headers_of_get_and_no_body(plain, origin1):
    origin1.on('/head', lambda c, r: c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n'))
    with plain.client() as c:
        answer = c.request('HEAD', '/head')
        assert (answer.status, answer.get('Content-Length'), answer.body) == (200, '1234', b'')
        assert c.get('/after').status == 200


@pytest.mark.parametrize('status', [204, 304])
def test_answers_that_have_no_body(plain, origin1, status):
    origin1.on(f'/{status}', b'HTTP/1.1 %d X\r\nETag: "e"\r\n\r\n' % status)
    with plain.client() as c:
        answer = c.get(f'/{status}')
        assert (answer.status, answer.body, answer.get('ETag')) == (status, b'', '"e"')
        assert c.get('/after').status == 200


@pytest.mark.parametrize('pieces', [[], [b'a'], [b'ab'] * 500, [BIG[:100000]] * 3])
def test_chunked_answers(plain, origin1, pieces):
    origin1.on('/chunked', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
               + chunked(*pieces))
    with plain.client() as c:
        answer = c.get('/chunked')
        assert answer.body == b''.join(pieces)
        assert answer.framing == 'chunked'
        assert c.get('/after').status == 200


def test_a_chunked_answer_for_an_old_client(plain, origin1):
    origin1.on('/chunked', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
               + chunked(b'one', b'two'))
    with plain.client() as c:
        c.send(b'GET /chunked HTTP/1.0\r\nHost: x\r\n\r\n')
        answer = c.read_response()
        assert (answer.body, answer.framing) == (b'onetwo', 'close')


def test_an_answer_that_ends_with_the_connection(plain, origin1):
    origin1.on('/toend', lambda c, r: (c.send(b'HTTP/1.1 200 OK\r\n\r\n' + BIG[:200000]),
                                       c.close()))
    with plain.client() as c:
        answer = c.get('/toend')
        assert answer.body == BIG[:200000]
        assert answer.framing == 'chunked'
        assert c.get('/after').status == 200


def test_an_answer_of_an_http_1_0_service(plain, origin1):
    origin1.on('/old', lambda c, r: (c.send(b'HTTP/1.0 200 OK\r\n\r\nold'), c.close()))
    with plain.client() as c:
        answer = c.get('/old')
        assert (answer.status, answer.body) == (200, b'old')
        assert c.get('/after').status == 200


def test_interim_answers_of_the_service(plain, origin1):
    origin1.on('/interim', b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n'
               b'Link: </x>\r\n\r\n' + ok(b'final'))
    assert plain.get('/interim').body == b'final'


def test_an_unbuffered_answer_flows_before_it_is_whole(plain, origin1):
    go = threading.Event()
    origin1.on('/drip', lambda c, r: (
        c.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n'),
        go.wait(10), c.send(b'4\r\nlast\r\n0\r\n\r\n')))
    with plain.client() as c:
        c.send(request_bytes('GET', '/stream/drip'))
        c.read_head()
        assert c._line() == b'5'
        assert c._exactly(7) == b'first\r\n'
        go.set()
        assert c._line() == b'4'


@pytest.mark.parametrize('script', [
    b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort',
])
def test_an_answer_cut_short_never_looks_whole(plain, origin1, script):
    origin1.on('/cut', script, close=True)
    with pytest.raises(BadResponse):
        plain.get('/cut')
    assert plain.get('/after').status == 200


def test_a_fast_service_and_a_slow_client(plain, origin1):
    origin1.on('/fast', lambda c, r: c.send(ok(BIG * 4)))
    with plain.client() as c:
        c.send(request_bytes('GET', '/fast'))
        answer = c.read_head()
        time.sleep(0.3)
        assert c._exactly(int(answer.get('Content-Length'))) == BIG * 4
