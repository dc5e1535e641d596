# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol, versions 1 and 2, on listeners that have the flag."""
import socket
import struct

import pytest

from harness.client import Client, request_bytes, unverified
from harness.config import everything_to, sent
from harness.waits import wait_for

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
TLV = b'\x03\0\x04abcd' + b'\x04\0\x10' + b'\0' * 16


def v2(command=1, family=0x11, addresses=None, more=b''):
    if addresses is None:
        addresses = socket.inet_aton('9.8.7.6') + socket.inet_aton('5.4.3.2') + struct.pack('>HH', 1234, 443)
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack('>H', len(addresses + more)) + addresses + more


def six(address):
    return socket.inet_pton(socket.AF_INET6, address)


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


def started(made, origin, **conf):
    g = made(everything_to(origin), start=False, admin=False)
    g.write_conf(proxy_listen=f'127.0.0.1:{g.proxy} proxy_protocol, '
                              f'127.0.0.1:{g.proxy_tls} ssl proxy_protocol', **conf)
    return g.start()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return started(module_gateway, origin1, trusted_ips='127.0.0.0/8', real_ip_header='proxy_protocol')


GOOD = {
    'v1 TCP4': (b'PROXY TCP4 9.8.7.6 5.4.3.2 1234 443\r\n', '9.8.7.6', '443'),
    'v1 TCP6': (b'PROXY TCP6 2001:db8::1 ::1 1234 8443\r\n', '2001:db8::1', '8443'),
    'v1 UNKNOWN': (b'PROXY UNKNOWN\r\n', '127.0.0.1', None),
    'v1 UNKNOWN with more': (b'PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n', '127.0.0.1', None),
    'v2 TCP4': (v2(), '9.8.7.6', '443'),
    'v2 TCP4 with TLVs': (v2(more=TLV), '9.8.7.6', '443'),
    'v2 TCP6': (v2(family=0x21, addresses=six('2001:db8::1') + six('::1') + struct.pack('>HH', 1, 8443)),
                '2001:db8::1', '8443'),
    'v2 LOCAL': (v2(command=0), '127.0.0.1', None),
    'v2 LOCAL, empty': (v2(command=0, family=0, addresses=b''), '127.0.0.1', None),
}


@pytest.mark.parametrize('pieces', [1, 7])
@pytest.mark.parametrize('name', GOOD)
def test_the_header_says_who_it_is(gw, name, pieces):
    header, ip, port = GOOD[name]
    data = header + request_bytes(close=True)
    step = len(data) // pieces + 1
    with Client(gw.proxy) as c:
        for at in range(0, len(data), step):
            c.send(data[at:at + step])
        answer = c.read_response()
    assert answer.status == 200
    assert sent(answer, 'X-Real-IP') == [ip]
    assert sent(answer, 'X-Forwarded-For') == [ip]
    assert sent(answer, 'X-Forwarded-Port') == [port or str(gw.proxy)]
    wait_for(lambda: f'\n{ip} - - ' in '\n' + gw.log('access.log'), 'its line')


def test_it_stands_in_front_of_the_handshake(gw):
    with Client(gw.proxy_tls) as c:
        c.send(GOOD['v1 TCP4'][0])
        c.sock = unverified().wrap_socket(c.sock)
        answer = c.get('/')
    assert sent(answer, 'X-Real-IP') == ['9.8.7.6']
    assert sent(answer, 'X-Forwarded-Proto') == ['https']


def test_it_holds_for_every_request_of_the_connection(gw):
    with Client(gw.proxy) as c:
        c.send(GOOD['v2 TCP4'][0])
        for _ in range(3):
            assert sent(c.get('/'), 'X-Real-IP') == ['9.8.7.6']


@pytest.mark.parametrize('bad', [
    b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'PROXY TCP4 9.8.7.6 5.4.3.2 1234\r\n', b'PROXY TCP4 9.8.7 5.4.3.2 1 2\r\n',
    b'PROXY TCP4 ::1 ::1 1 2\r\n', b'PROXY TCP4 9.8.7.6 5.4.3.2 1 65536\r\n', b'PROXY TCP4 9.8.7.6 5.4.3.2 1 -2\r\n',
    b'PROXY TCP4 9.8.7.6 5.4.3.2 1 2\n', b'PROXY ' + b'x' * 120 + b'\r\n', b'proxy TCP4 9.8.7.6 5.4.3.2 1 2\r\n',
    SIGNATURE + b'\x11\x11\0\x0c' + b'\0' * 12, SIGNATURE + b'\x2f\x11\0\x0c' + b'\0' * 12,
    SIGNATURE + b'\x21\x11\0\x04' + b'\0' * 4, SIGNATURE[:-1] + b'x' + b'\x21\x11\0\x0c' + b'\0' * 12,
], ids=lambda b: repr(b[:40]))
def test_whoever_does_not_speak_it_is_not_served(gw, origin1, bad):
    before = len(origin1.requests)
    with Client(gw.proxy) as c:
        c.send(bad + request_bytes(close=True))
        assert c.read_to_end() == b''
    assert len(origin1.requests) == before


@pytest.mark.parametrize('half', [b'PROXY TCP4 9.8', SIGNATURE + b'\x21'])
def test_half_of_it_and_an_end_is_not_waited_for(gw, half):
    with Client(gw.proxy, timeout=20) as c:  # a client has 60 s for the whole of it
        c.send(half)
        c.sock.shutdown(socket.SHUT_WR)
        assert c.read_to_end() == b''


def test_a_stranger_is_not_believed(module_gateway, origin1):
    g = started(module_gateway, origin1, trusted_ips='10.0.0.0/8', real_ip_header='proxy_protocol')
    with Client(g.proxy) as c:
        c.send(GOOD['v1 TCP4'][0])
        assert sent(c.get('/'), 'X-Real-IP') == ['127.0.0.1']


def test_without_real_ip_header_it_is_read_and_left(module_gateway, origin1):
    g = started(module_gateway, origin1, trusted_ips='127.0.0.1')
    with Client(g.proxy) as c:
        c.send(GOOD['v1 TCP4'][0])
        assert sent(c.get('/'), 'X-Real-IP') == ['127.0.0.1']


def test_a_listener_without_the_flag_does_not_take_it(gateway, origin1):
    g = gateway(everything_to(origin1))
    with g.client() as c:
        c.send(GOOD['v1 TCP4'][0] + request_bytes())
        assert c.read_response().status == 400
