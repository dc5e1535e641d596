# SPDX-License-Identifier: Apache-2.0
"""Trailers: a client that asked gets the service's; what could be taken for framing gets nobody."""
import pytest

from harness.client import BadResponse, chunked, request_bytes
from harness.config import everything_to
from harness.waits import wait_for

CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n'
TE = [('TE', 'trailers'), ('Connection', 'TE')]
TRAILERS = [('X-Sum', 'abc'), ('x-Sum', ''), ('Grpc-Status', '0')]


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return module_gateway(everything_to(origin1))


def test_they_reach_a_client_that_asked(gw, origin1):
    origin1.on('/t', CHUNKED + chunked(b'body', trailers=TRAILERS))
    with gw.client() as c:
        for _ in range(3):
            answer = c.get('/t', TE)
            assert answer.trailers == TRAILERS
            assert answer.body == b'body'
            assert answer.get('Trailer') == 'X-Sum'
    assert origin1.last().get('TE') == 'trailers'


def test_they_reach_it_however_they_come(gw, origin1):
    origin1.on('/bytes', lambda c, r: [c.send(bytes([b])) for b in
                                       CHUNKED + chunked(b'x', trailers=TRAILERS)])
    with gw.client() as c:
        answer = c.get('/bytes', TE)
        assert (answer.body, answer.trailers) == (b'x', TRAILERS)


def test_others_do_not_get_them(gw, origin1):
    origin1.on('/t', CHUNKED + chunked(b'body', trailers=TRAILERS))
    with gw.client() as c:
        for _ in range(2):
            answer = c.get('/t')
            assert answer.trailers == [] and answer.body == b'body'
            assert answer.all('Trailer') == []


def test_a_slow_reader_gets_them_too(gw, origin1):
    data = b'x' * (8 << 20)
    origin1.on('/big', CHUNKED + chunked(data, trailers=TRAILERS))
    with gw.client() as c:
        c.send(request_bytes('GET', '/big', TE))
        seen = len(origin1.requests)
        wait_for(lambda: origin1.requests[seen - 1:], 'the request')
        answer = c.read_response()
        assert answer.body == data and answer.trailers == TRAILERS


@pytest.mark.parametrize('name', ['Content-Length', 'transfer-encoding', 'HOST', 'Bad Name', ''])
def test_bad_ones_end_the_answer(gw, origin1, name):
    origin1.on('/bad', CHUNKED + chunked(b'body', trailers=[(name, '5')]))
    with gw.client() as c, pytest.raises(BadResponse):
        c.get('/bad', TE)


@pytest.mark.parametrize('trailers,status', [
    ([('X-Sum', '1')], 200), ([('Content-Length', '1')], 400), ([('Transfer-Encoding', 'x')], 400),
    ([('Host', 'evil')], 400), ([('X Sum', '1')], 400)])
def test_those_of_a_request_are_checked_and_end_here(gw, origin1, trailers, status):
    before = len(origin1.requests)
    with gw.client() as c:
        c.send(request_bytes('POST', '/x', [('Transfer-Encoding', 'chunked')])
               + chunked(b'body', trailers=trailers))
        assert c.read_response().status == status
    if status == 400:
        assert len(origin1.requests) == before
    else:
        assert origin1.last().body == b'body' and origin1.last().trailers == []


def test_te_is_passed_on_for_trailers_alone(gw, origin1):
    for te, seen in (('gzip, trailers', 'trailers'), ('deflate', None), ('Trailers', 'trailers')):
        assert gw.get('/x', headers=[('TE', te)]).status == 200
        assert origin1.last().get('TE') == seen
