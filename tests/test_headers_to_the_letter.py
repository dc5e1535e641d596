# SPDX-License-Identifier: Apache-2.0
"""Rows of the headers' contract that need a setting, a byte or an order of their own."""
import time

import pytest

from harness.client import Client, request_bytes
from harness.config import declarative, everything_to, route, sent, service
from harness.origin import ok

TOKENS = ['X-Kong-Upstream-Latency', 'X-Kong-Proxy-Latency', 'X-Kong-Response-Latency', 'X-Kong-Upstream-Status',
          'Via', 'Server']


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def plain(module_gateway, origin1):
    return module_gateway(everything_to(origin1))


# ---- as they came ---------------------------------------------------------------------------------


def test_names_values_order_and_duplicates_reach_the_service(plain, origin1):
    mine = [('x-LOWER-upper', 'a'), ('X-Dup', '1'), ('Cookie', 'a=b'), ('x-dup', '2'), ('X_Under', 'u'),
            ('X-Dup', ''), ('Cookie', 'c=d'), ('X-Bytes', 'é\xff"\\\t;'), ("!#$%&'*+.^`|~", 'odd'),
            ('X-Long', 'v' * 7000), ('Via', '1.0 them'), ('Forwarded', 'for=1.2.3.4'), ('Date', 'whenever'),
            ('Accept-Encoding', 'gzip'), ('Authorization', 'Basic x'), ('Cookie2', '')]
    plain.get('/', headers=mine)
    seen = [h for h in origin1.last().headers if h in mine]
    assert seen == mine


def test_names_values_order_and_duplicates_reach_the_client(plain, origin1):
    theirs = [('set-cookie', 'a=1'), ('X-Dup', '1'), ('Set-Cookie', 'b=2; Path=/'), ('x-dup', ''), ('X_Under', 'u'),
              ('Server', 'theirs/1'), ('Date', 'whenever'), ('X-Bytes', '\xe9\xff"\\'), ('ETag', 'W/"x"'),
              ('Content-Type', 'application/x-own; charset=latin1'), ('Warning', '199 - "x"')]
    origin1.on('/answer', ok(b'x', headers=theirs))
    answer = plain.get('/answer')
    assert [h for h in answer.headers if h in theirs] == theirs
    assert answer.all('Server') == ['theirs/1'] and answer.all('Date') == ['whenever']


def test_the_reason_passes_too(plain, origin1):
    origin1.on('/reason', b'HTTP/1.1 299 Quite fine, thanks\r\nContent-Length: 0\r\n\r\n')
    origin1.on('/none', b'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n')
    assert plain.get('/reason').reason == 'Quite fine, thanks'
    assert plain.get('/none').reason == ''


# ---- whom it comes from ------------------------------------------------------------------------------


@pytest.mark.parametrize('header,value,recursive,ip', [
    ('X-Real-IP', '9.9.9.9', 'off', '9.9.9.9'), ('X-Real-IP', '2001:db8::9', 'off', '2001:db8::9'),
    ('X-Real-IP', '9.9.9.9:80', 'off', '9.9.9.9'), ('X-Real-IP', '[2001:db8::9]:80', 'off', '2001:db8::9'),
    ('X-Real-IP', 'nonsense', 'off', '127.0.0.1'), ('X-Real-IP', '', 'off', '127.0.0.1'),
    ('X-Forwarded-For', '1.1.1.1, 2.2.2.2', 'off', '2.2.2.2'),
    ('X-Forwarded-For', '1.1.1.1, 2.2.2.2, 127.0.0.9', 'off', '127.0.0.9'),
    ('X-Forwarded-For', '1.1.1.1, 2.2.2.2, 127.0.0.9', 'on', '2.2.2.2'),
    ('X-Forwarded-For', '127.0.0.7, 127.0.0.9', 'on', '127.0.0.7'),
    ('X-Forwarded-For', '1.1.1.1, bad, 127.0.0.9', 'on', '127.0.0.9'),
    ('X-Own-Header', '4.4.4.4', 'off', '4.4.4.4')])
def test_the_real_address(module_gateway, origin1, header, value, recursive, ip):
    g = gateways(module_gateway, origin1, header, recursive)
    answer = g.get('/', headers=[(header, value)])
    assert sent(answer, 'X-Real-IP') == [ip]
    forwarded = sent(answer, 'X-Forwarded-For')
    if header == 'X-Forwarded-For':
        assert forwarded == [value + ', 127.0.0.1']
    else:
        assert forwarded == [ip]


_made = {}


def gateways(module_gateway, origin, header, recursive):
    """One per pair of settings."""
    if (header, recursive) not in _made:
        _made[header, recursive] = module_gateway(everything_to(origin), conf={
            'trusted_ips': '127.0.0.0/8', 'real_ip_header': header, 'real_ip_recursive': recursive})
    return _made[header, recursive]


def test_every_line_of_x_forwarded_for_is_kept(plain):
    answer = plain.get('/', headers=[('X-Forwarded-For', '1.1.1.1'), ('x-forwarded-for', '2.2.2.2')])
    assert sent(answer, 'X-Forwarded-For') == ['1.1.1.1, 2.2.2.2, 127.0.0.1']


# ---- hop by hop ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('connection', ['X-One, X-Two', 'close,X-One , X-Two', 'keep-alive, x-one,x-two,,'])
def test_what_connection_names_ends_here(plain, connection):
    answer = plain.get('/', headers=[('Connection', connection), ('X-One', '1'), ('X-Two', '2'), ('X-Three', '3')])
    names = {n.lower() for n, _ in answer.json()['headers']}
    assert not names & {'x-one', 'x-two'} and 'x-three' in names


def test_what_two_connection_lines_name_ends_here(plain):
    answer = plain.get('/', headers=[('Connection', 'X-One'), ('Connection', 'X-Two'), ('X-One', '1'), ('X-Two', '2')])
    assert not {n.lower() for n, _ in answer.json()['headers']} & {'x-one', 'x-two'}


@pytest.mark.parametrize('name', ['Host', 'Content-Length', 'X-Forwarded-For', 'X-Real-IP', 'X-Forwarded-Proto'])
def test_nobody_can_name_away_what_the_gateway_says(plain, name):
    answer = plain.get('/', method='POST', body=b'abc', headers=[('Connection', name)])
    assert len(sent(answer, name)) == 1
    assert answer.json()['body'] == 'abc'


@pytest.mark.parametrize('name', ['Content-Length', 'Content-Type', 'Set-Cookie'])
def test_what_the_service_s_connection_names_ends_here(plain, origin1, name):
    origin1.on('/named', ok(b'body', headers=[('Connection', f'keep-alive, {name}'), ('Content-Type', 'a/b'),
                                              ('Set-Cookie', 'x')]))
    with plain.client() as c:
        answer = c.get('/named')
        assert answer.body == b'body'
        assert answer.get('Connection') == 'keep-alive'
        if name != 'Content-Length':
            assert answer.all(name) == []
        assert c.get('/').status == 200


# ---- what the gateway says of itself ------------------------------------------------------------------------


@pytest.mark.parametrize('setting,proxied,own', [
    ('off', [], []),
    ('server_tokens', ['Via'], ['Server']),
    ('latency_tokens', ['X-Kong-Upstream-Latency', 'X-Kong-Proxy-Latency'], ['X-Kong-Response-Latency']),
    ('X-Kong-Proxy-Latency', ['X-Kong-Proxy-Latency'], []),
    ('via, x-kong-upstream-status', ['Via', 'X-Kong-Upstream-Status'], []),
    ('server_tokens, latency_tokens, X-Kong-Upstream-Status',
     ['X-Kong-Upstream-Latency', 'X-Kong-Proxy-Latency', 'X-Kong-Upstream-Status', 'Via'],
     ['X-Kong-Response-Latency', 'Server'])])
def test_the_headers_property(gateway, origin1, setting, proxied, own):
    g = gateway(declarative(service(origin1, route(paths=['/here'], strip_path=False))), conf={'headers': setting})
    for path, wanted in (('/here', proxied), ('/nowhere', own)):
        answer = g.get(path)
        assert {t for t in TOKENS if answer.all(t)} == set(wanted), path


def test_latencies_are_numbers_that_fit(plain, origin1):
    origin1.on('/late', lambda c, r: (time.sleep(0.12), c.send(ok(b''))))
    answer = plain.get('/late')
    assert 100 <= int(answer.get('X-Kong-Upstream-Latency')) < 5000
    assert 0 <= int(answer.get('X-Kong-Proxy-Latency')) < 1000


def test_kong_debug_wants_1_and_the_setting(gateway, origin1):
    g = gateway(declarative(service(origin1, route(paths=['/'], name='the-route'), name='the-service')),
                conf={'allow_debug_header': 'on'})
    answer = g.get('/', headers=[('Kong-Debug', '1')])
    assert answer.get('Kong-Route-Name') == 'the-route' and answer.get('Kong-Service-Name') == 'the-service'
    assert len(answer.get('Kong-Route-Id')) == len(answer.get('Kong-Service-Id')) == 36
    for value in ('0', 'true', ''):
        assert g.get('/', headers=[('Kong-Debug', value)]).all('Kong-Route-Id') == []


# ---- old clients ---------------------------------------------------------------------------------------------


def test_an_http_1_0_client_gets_what_it_can_read(plain, origin1):
    origin1.on('/chunks', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n')
    with plain.client() as c:
        c.send(b'GET /chunks HTTP/1.0\r\n\r\n')
        answer = c.read_response()
        assert (answer.framing, answer.body) == ('close', b'abc')
        assert answer.get('Connection') == 'close'
    with Client(plain.proxy) as c:
        for _ in range(2):
            c.send(b'GET / HTTP/1.0\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n')
            assert c.read_response().get('Connection') == 'keep-alive'
    assert origin1.last().version == 'HTTP/1.1'
    with plain.client() as c:
        c.send(request_bytes('HEAD', '/chunks'))
        assert c.read_response('HEAD').status == 200
