# SPDX-License-Identifier: Apache-2.0
"""Answers of the gateway's own, in Kong's words, and a strict reading of requests."""
import json

import pytest

from harness.client import Client, chunked
from harness.config import declarative, everything_to, named, route, service
from harness.origin import ok
from harness.ports import free_port

REFUSED = 'An invalid response was received from the upstream server'


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    origin1.on('/slow', lambda c, r: c.wait_closed())
    return module_gateway(declarative(
        service(f'http://127.0.0.1:{free_port()}', route(paths=['/refused']), retries=0),
        service(origin1, route(paths=['/'], strip_path=False), read_timeout=300, retries=0)))


# ---- types of error bodies ------------------------------------------------------------------

HTML = 'text/html; charset=utf-8'
JSON = 'application/json; charset=utf-8'
PLAIN = 'text/plain; charset=utf-8'
XML = 'application/xml; charset=utf-8'


@pytest.mark.parametrize('headers,kind', [
    ({}, PLAIN),
    ({'Accept': 'application/json'}, JSON),
    ({'Accept': 'text/html'}, HTML),
    ({'Accept': 'text/plain'}, PLAIN),
    ({'Accept': 'application/xml'}, XML),
    ({'Accept': '*/*'}, JSON),
    ({'Accept': 'application/*'}, JSON),
    ({'Accept': 'text/*'}, PLAIN),
    ({'Accept': 'text/html; charset=utf-8'}, HTML),
    ({'Accept': 'image/png'}, JSON),
    ({'Content-Type': 'application/json'}, JSON),
    ({'Content-Type': 'text/html'}, HTML),
    ({'Accept': 'text/plain', 'Content-Type': 'text/html'}, PLAIN),
])
def test_the_type_of_an_error_body(gw, headers, kind):
    answer = gw.get('/refused', headers=headers)
    assert answer.status == 502
    assert answer.get('Content-Type') == kind
    if kind == JSON:
        assert answer.body == b'{\n  "message":"%s"\n}' % REFUSED.encode()
    elif kind == PLAIN:
        assert answer.text.strip() == REFUSED
    elif kind == HTML:
        assert '<title>Kong Error</title>' in answer.text
        assert '<h1>Kong Error</h1>' in answer.text
        assert f'<p>{REFUSED}.</p>' in answer.text
    else:
        assert answer.text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
        assert f'<message>{REFUSED}</message>' in answer.text


def test_the_default_type_is_a_property(module_gateway):
    dead = service(f'http://127.0.0.1:{free_port()}', route(paths=['/']), retries=0)
    gateway = module_gateway(declarative(dead), conf={'error_default_type': 'application/json'})
    assert json.loads(gateway.get('/').body) == {'message': REFUSED}


def test_no_answer_in_time(gw):
    answer = gw.get('/slow', headers={'Accept': 'application/json'})
    assert (answer.status, answer.json()) == (504, {'message': 'The upstream server is timing out'})


def test_failed_proxying_tells_the_latencies(gw):
    answer = gw.get('/refused')
    assert answer.get('X-Kong-Upstream-Latency') and answer.get('X-Kong-Proxy-Latency')
    assert 'gibbon/' in answer.get('Via')
    assert answer.all('X-Kong-Response-Latency') == []


def test_a_name_that_does_not_resolve(module_gateway):
    gateway = module_gateway(declarative(
        service('http://does-not-exist.invalid', route(paths=['/']))),
        conf={'dns_resolver': f'127.0.0.1:{free_port()}'})
    answer = gateway.get('/', timeout=60)
    assert answer.status in (500, 503)
    assert answer.json()['message'] in ('name resolution failed', 'An unexpected error occurred')


def test_no_target_to_choose(module_gateway):
    gateway = module_gateway(declarative(service('http://empty.upstream', route(paths=['/'])),
                                         upstreams=[{'name': 'empty.upstream'}]))
    answer = gateway.get('/')
    assert (answer.status, answer.json()) == (
        503, {'message': 'failure to get a peer from the ring-balancer'})


# ---- requests that must be refused ----------------------------------------------------------

BAD = {
    'no request line': b'\0\1\2\3\r\n\r\n',
    'no target': b'GET HTTP/1.1\r\nHost: x\r\n\r\n',
    'no version': b'GET /\r\nHost: x\r\n\r\n',
    'two spaces': b'GET  / HTTP/1.1\r\nHost: x\r\n\r\n',
    'space in the target': b'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n',
    'control byte in the target': b'GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n',
    'method with a colon': b'G:T / HTTP/1.1\r\nHost: x\r\n\r\n',
    'no host': b'GET / HTTP/1.1\r\n\r\n',
    'two hosts': b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'the same host twice': b'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n',
    'host with a space': b'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
    'host with a slash': b'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
    'space before the colon': b'GET / HTTP/1.1\r\nHost : x\r\n\r\n',
    'no colon': b'GET / HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n',
    'empty name': b'GET / HTTP/1.1\r\nHost: x\r\n: v\r\n\r\n',
    'space in a name': b'GET / HTTP/1.1\r\nHost: x\r\nA b: v\r\n\r\n',
    'folded line': b'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n',
    'NUL in a value': b'GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n',
    'CR in a value': b'GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n',
    'bare line feeds': b'GET / HTTP/1.1\nHost: x\n\n',
    'a bare line feed': b'GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n',
    'length and chunked': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n'
                          b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n'
                   b'Content-Length: 2\r\n\r\nab',
    'a list of lengths': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\nab',
    'negative length': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'signed length': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na',
    'length in hex': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na',
    'empty length': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n',
    'length that overflows': b'POST / HTTP/1.1\r\nHost: x\r\n'
                             b'Content-Length: 18446744073709551617\r\n\r\na',
    'unknown coding': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n',
    'chunked is not last': b'POST / HTTP/1.1\r\nHost: x\r\n'
                           b'Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
    'chunked twice': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
                     b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'chunked with a tab': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n'
                          b'0\r\n\r\n',
    'chunked in HTTP/1.0': b'POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
                           b'0\r\n\r\n',
    'version 2.0': b'GET / HTTP/2.0\r\nHost: x\r\n\r\n',
    'version 0.9': b'GET /\r\n\r\n',
    'lower-case version': b'GET / http/1.1\r\nHost: x\r\n\r\n',
    'CONNECT': b'CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n',
    'asterisk without OPTIONS': b'GET * HTTP/1.1\r\nHost: x\r\n\r\n',
    'chunk size that is no number': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
                                    b'\r\nzz\r\n',
    'chunk size that overflows': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
                                 b'\r\nfffffffffffffffff\r\n',
    'chunk without its end': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
                             b'\r\n1\r\nab\r\n0\r\n\r\n',
    'chunk ended by a line feed': b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
                                  b'\r\n1\na\n0\n\n',
}


@pytest.mark.parametrize('name', BAD)
def test_malformed_requests_are_refused_and_the_connection_ends(gw, origin1, name):
    before = len([r for r in origin1.requests if r.path == '/'])
    with Client(gw.proxy) as c:
        c.send(BAD[name] + b'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n')
        answer = c.read_response()
        assert answer.status in (400, 405, 501, 505), name
        c.buffer = b''
        c.read_to_end()
    assert [r for r in origin1.requests if r.path == '/smuggled'] == []
    if not name.startswith('chunk '):
        assert len([r for r in origin1.requests if r.path == '/']) == before, name


def test_a_refused_request_has_an_error_body(gw):
    with Client(gw.proxy) as c:
        c.send(b'GET / HTTP/1.1\r\n\r\n')
        answer = c.read_response()
    assert answer.status == 400
    assert answer.text.strip() in ('Bad request', '{\n  "message":"Bad request"\n}')


@pytest.mark.parametrize('request_head', [
    b'GET /ok HTTP/1.1\r\nhOST:x\r\n\r\n',
    b'GET /ok HTTP/1.1\r\nHost: \t x \t \r\n\r\n',
    b'\r\nGET /ok HTTP/1.1\r\nHost: x\r\n\r\n',
    b'GET /ok HTTP/1.1\r\nHost: [::1]:80\r\n\r\n',
    b'GET /ok HTTP/1.0\r\n\r\n',
    b'GET http://x/ok HTTP/1.1\r\nHost: x\r\n\r\n',
    b'POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n' + chunked(b'a'),
    b'POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
    b'1;ext=1;q="x"\r\na\r\n0\r\nX-Trailer: 1\r\n\r\n',
    b'POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 001\r\n\r\na',
])
def test_unusual_requests_that_are_right_are_served(gw, request_head):
    with Client(gw.proxy) as c:
        c.send(request_head)
        assert c.read_response().status == 200


@pytest.mark.parametrize('head,statuses,text', [
    (b'GET /' + b'a' * 40000 + b' HTTP/1.1\r\nHost: x\r\n\r\n', (414,), 'URI too long'),
    (b'GET / HTTP/1.1\r\nHost: x\r\nA: ' + b'a' * 40000 + b'\r\n\r\n', (400, 431, 494),
     'Request header or cookie too large'),
    (b'GET / HTTP/1.1\r\nHost: x\r\n' + b'A: b\r\n' * 20000 + b'\r\n', (400, 431, 494),
     'Request header or cookie too large'),
])
def test_heads_too_large_are_refused(gw, head, statuses, text):
    with Client(gw.proxy) as c:
        try:
            c.send(head)
        except OSError:
            pass
        answer = c.read_response()
    assert answer.status in statuses
    assert text in answer.text


def test_heads_up_to_the_limit_pass(gw):
    answer = gw.get('/' + 'a' * 6000, headers=[('A', 'b' * 7000), ('C', 'd' * 7000)])
    assert answer.status == 200


def test_the_body_limit_is_a_property(module_gateway, origin1):
    gateway = module_gateway(everything_to(origin1),
                             conf={'nginx_http_client_max_body_size': '1k'})
    with gateway.client() as c:
        assert c.request('POST', '/', body=b'x' * 1024).status == 200
        answer = c.request('POST', '/', body=b'x' * 1025)
    assert answer.status == 413
    assert 'Payload too large' in answer.text
    with gateway.client() as c:
        c.send(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
        try:
            c.send(chunked(*[b'x' * 100] * 20))
        except OSError:
            pass
        assert c.read_response().status == 413


def test_the_service_s_own_errors_are_not_touched(gw, origin1):
    origin1.on('/own', ok(b'own page', 502, 'Bad Gateway', [('Content-Type', 'text/x')]))
    answer = gw.get('/own', headers={'Accept': 'application/json'})
    assert (answer.status, answer.body, answer.get('Content-Type')) == (502, b'own page', 'text/x')


def test_an_error_for_head_has_no_body(gw):
    with gw.client() as c:
        answer = c.request('HEAD', '/refused')
        assert (answer.status, answer.body) == (502, b'')
        assert c.get('/ok').status == 200


def test_a_gateway_serves_on_after_bad_requests(gw):
    assert gw.get('/ok').status == 200


def test_unknown_routes_with_a_body_keep_the_connection_in_step(module_gateway, origin1):
    gateway = module_gateway(declarative(named(origin1, 'known', paths=['/known'])))
    with gateway.client() as c:
        assert c.request('POST', '/unknown', body=b'GET /known HTTP/1.1\r\nHost: x\r\n\r\n'
                         ).status == 404
        try:
            answer = c.get('/known')
        except (AssertionError, OSError):
            return  # closing instead of reading the body is right as well
        assert answer.json()['target'] == '/known/known'
