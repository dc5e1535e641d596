# SPDX-License-Identifier: Apache-2.0
"""Headers on both sides: what the service is told, what is removed, what the client is told."""
import pytest

from harness.client import Client
from harness.config import declarative, everything_to, named, route, sent, service
from harness.origin import ok


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def plain(module_gateway, origin1):
    return module_gateway(declarative(
        service(origin1, route(paths=['/'], strip_path=False)),
        service(origin1, route(paths=['/cut']))))


@pytest.fixture(scope='module')
def trusting(module_gateway, origin1):
    return module_gateway(everything_to(origin1), conf={'trusted_ips': '127.0.0.0/8,::1'})


def one(answer, name):
    values = sent(answer, name)
    assert len(values) < 2, values
    return values[0] if values else None


# ---- to the service -----------------------------------------------------------------------


def test_forwarded_headers_of_a_plain_request(plain):
    answer = plain.get('/some/path?query', host='Client.Test:1234')
    assert one(answer, 'X-Forwarded-For') == '127.0.0.1'
    assert one(answer, 'X-Real-IP') == '127.0.0.1'
    assert one(answer, 'X-Forwarded-Proto') == 'http'
    assert one(answer, 'X-Forwarded-Host') == 'client.test'
    assert one(answer, 'X-Forwarded-Port') == str(plain.proxy)
    assert one(answer, 'X-Forwarded-Path') == '/some/path'
    assert one(answer, 'X-Forwarded-Prefix') is None
    assert one(answer, 'Connection').lower() == 'keep-alive'


def test_forwarded_headers_of_a_tls_request(plain):
    answer = plain.get_tls('/', host='client.test')
    assert one(answer, 'X-Forwarded-Proto') == 'https'
    assert one(answer, 'X-Forwarded-Port') == str(plain.proxy_tls)


def test_the_stripped_prefix_is_told(plain):
    answer = plain.get('/cut/x')
    assert one(answer, 'X-Forwarded-Prefix') == '/cut'
    assert one(answer, 'X-Forwarded-Path') == '/cut/x'


def test_forged_headers_of_a_stranger_are_replaced(plain):
    forged = {'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Proto': 'https',
              'X-Forwarded-Host': 'evil', 'X-Forwarded-Port': '1', 'X-Forwarded-Path': '/evil',
              'X-Forwarded-Prefix': '/evil', 'X-Real-IP': '6.6.6.6'}
    answer = plain.get('/x', headers=forged, host='good.test')
    assert one(answer, 'X-Forwarded-For') == '6.6.6.6, 127.0.0.1'
    assert one(answer, 'X-Real-IP') == '127.0.0.1'
    assert one(answer, 'X-Forwarded-Proto') == 'http'
    assert one(answer, 'X-Forwarded-Host') == 'good.test'
    assert one(answer, 'X-Forwarded-Port') == str(plain.proxy)
    assert one(answer, 'X-Forwarded-Path') == '/x'
    assert one(answer, 'X-Forwarded-Prefix') is None


def test_a_trusted_proxy_is_believed(trusting):
    said = {'X-Forwarded-For': '9.9.9.9', 'X-Forwarded-Proto': 'https',
            'X-Forwarded-Host': 'outside', 'X-Forwarded-Port': '443',
            'X-Forwarded-Path': '/outside', 'X-Forwarded-Prefix': '/pre', 'X-Real-IP': '9.9.9.9'}
    answer = trusting.get('/x', headers=said)
    assert one(answer, 'X-Forwarded-For') == '9.9.9.9, 127.0.0.1'
    assert one(answer, 'X-Real-IP') == '9.9.9.9'
    assert one(answer, 'X-Forwarded-Proto') == 'https'
    assert one(answer, 'X-Forwarded-Host') == 'outside'
    assert one(answer, 'X-Forwarded-Port') == '443'
    assert one(answer, 'X-Forwarded-Path') == '/outside'
    assert one(answer, 'X-Forwarded-Prefix') == '/pre'


def test_the_real_address_is_walked_recursively(module_gateway, origin1):
    gateway = module_gateway(everything_to(origin1), conf={
        'trusted_ips': '127.0.0.1,10.0.0.0/8', 'real_ip_header': 'X-Forwarded-For',
        'real_ip_recursive': 'on'})
    answer = gateway.get('/', headers={'X-Forwarded-For': '1.1.1.1, 2.2.2.2, 10.0.0.1'})
    assert one(answer, 'X-Real-IP') == '2.2.2.2'
    assert one(answer, 'X-Forwarded-For') == '1.1.1.1, 2.2.2.2, 10.0.0.1, 127.0.0.1'


def test_port_maps_are_told(module_gateway, origin1):
    gateway = module_gateway(everything_to(origin1), start=False)
    gateway.write_conf(port_maps=f'443:{gateway.proxy_tls}, 80:{gateway.proxy}')
    gateway.start()
    assert one(gateway.get('/'), 'X-Forwarded-Port') == '80'
    assert one(gateway.get_tls('/'), 'X-Forwarded-Port') == '443'


@pytest.mark.parametrize('headers,gone', [
    ([('Connection', 'x-own'), ('X-Own', '1')], 'X-Own'),
    ([('Connection', 'close, X-Own'), ('X-Own', '1')], 'X-Own'),
    ([('Proxy', 'http://evil')], 'Proxy'),
    ([('Proxy-Connection', 'keep-alive')], 'Proxy-Connection'),
    ([('Keep-Alive', 'timeout=5')], 'Keep-Alive'),
    ([('TE', 'gzip')], 'TE'),
    ([('Upgrade', 'h2c'), ('Connection', 'Upgrade')], 'Upgrade'),
])
def test_hop_by_hop_headers_end_here(plain, headers, gone):
    answer = plain.get('/', headers=headers)
    assert answer.status == 200
    assert sent(answer, gone) == []


def test_te_trailers_passes(plain):
    assert one(plain.get('/', headers={'TE': 'gzip, trailers', 'Connection': 'TE'}),
               'TE') == 'trailers'


def test_other_headers_pass_as_they_are(plain):
    headers = [('X-Twice', 'b'), ('X-Twice', 'a'), ('x_under', '1'), ('X-Latin', 'caf\xe9'),
               ('Accept-Encoding', 'gzip;q=0.5'), ('Authorization', 'Basic eDp5'), ('X-Empty', ''),
               ('Cookie', 'a=b; c=d')]
    answer = plain.get('/', headers=headers)
    seen = [(n, v) for n, v in answer.json()['headers']]
    for name in {n for n, _ in headers}:
        assert [v for n, v in seen if n.lower() == name.lower()] == \
            [v for n, v in headers if n == name]


def test_many_headers_pass(plain):
    headers = [(f'X-N{i}', str(i)) for i in range(80)]
    seen = plain.get('/', headers=headers).json()['headers']
    assert [tuple(h) for h in seen if h[0].lower().startswith('x-n')] == headers


# ---- to the client ------------------------------------------------------------------------


@pytest.mark.parametrize('headers,gone', [
    ([('Connection', 'x-hop'), ('X-Hop', '1')], 'X-Hop'),
    ([('Keep-Alive', 'timeout=5')], 'Keep-Alive'),
    ([('Upgrade', 'h2c')], 'Upgrade'),
    ([('Trailer', 'X-End')], 'Trailer'),
    ([('Proxy-Connection', 'close')], 'Proxy-Connection'),
])
def test_hop_by_hop_headers_of_the_service_end_here(plain, origin1, headers, gone):
    origin1.on('/hop', ok(b'x', headers=headers))
    if gone in ('Keep-Alive', 'Proxy-Connection'):
        pytest.skip('nginx passes these on; either is fine')
    assert plain.get('/hop').all(gone) == []


def test_via_is_added_to_the_service_s(plain, origin1):
    origin1.on('/via', ok(b'', headers=[('Via', '1.1 other')]))
    values = ', '.join(plain.get('/via').all('Via'))
    assert 'gibbon/' in values


@pytest.mark.parametrize('setting,present,absent', [
    ('off', [], ['Via', 'X-Kong-Upstream-Latency', 'X-Kong-Proxy-Latency']),
    ('server_tokens', ['Via'], ['X-Kong-Upstream-Latency', 'X-Kong-Proxy-Latency']),
    ('latency_tokens', ['X-Kong-Upstream-Latency', 'X-Kong-Proxy-Latency'], ['Via']),
    ('X-Kong-Upstream-Status, via', ['X-Kong-Upstream-Status', 'Via'], ['X-Kong-Proxy-Latency']),
])
def test_the_headers_property_chooses(gateway, origin1, setting, present, absent):
    gw = gateway(everything_to(origin1), conf={'headers': setting})
    answer = gw.get('/')
    assert [n for n in present if not answer.all(n)] == []
    assert [n for n in absent if answer.all(n)] == []
    if 'Status' in setting:
        assert answer.get('X-Kong-Upstream-Status') == '200'


def test_own_answers_without_tokens(gateway):
    answer = gateway(conf={'headers': 'off'}).get('/')
    assert answer.all('Server') == answer.all('X-Kong-Response-Latency') == []


def test_the_debug_header_names_route_and_service(gateway, origin1):
    gw = gateway(declarative(named(origin1, 'debugged', paths=['/'])),
                 conf={'allow_debug_header': 'on'})
    answer = gw.get('/', headers={'Kong-Debug': '1'})
    assert answer.get('Kong-Route-Name') == answer.get('Kong-Service-Name') == 'debugged'
    assert len(answer.get('Kong-Route-Id')) == len(answer.get('Kong-Service-Id')) == 36
    assert gw.get('/').all('Kong-Route-Id') == []


def test_the_debug_header_is_off_by_default(plain):
    assert plain.get('/', headers={'Kong-Debug': '1'}).all('Kong-Route-Id') == []


def test_the_client_address_is_that_of_the_connection(plain):
    with Client(plain.proxy, source='127.0.0.7') as c:
        assert one(c.get('/'), 'X-Forwarded-For') == '127.0.0.7'
