# SPDX-License-Identifier: Apache-2.0
"""A kong.yml is enough: what clients send reaches the service, what it answers comes back."""
import re
import subprocess

import pytest

from harness.config import declarative, everything_to, route, sent, service
from harness.origin import ok


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def plain(module_gateway, origin1):
    return module_gateway(declarative(
        service(origin1, route(paths=['/'], strip_path=False)),
        service(origin1.url + '/base', route(paths=['/cut']), route(paths=['/keep'],
                                                                    strip_path=False)),
        service(origin1, route(hosts=['kept.test'], preserve_host=True)),
        service(origin1, route(hosts=['off.test'], paths=['/off']), enabled=False),
        routes=[route(paths=['/nowhere'])]))


@pytest.mark.parametrize('method', ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PURGE',
                                    'X-OWN'])
def test_every_method_passes(plain, method):
    body = b'{"a":1}' if method in ('POST', 'PUT', 'PATCH') else None
    answer = plain.client().request(method, '/any', body=body)
    assert answer.status == 200
    assert (answer.json()['method'], answer.json()['body']) == (method, (body or b'').decode())


@pytest.mark.parametrize('target', ['/a?x=1&y=2', '/a?', '/a?a=%2f%zz&b=+&&=', '/a?q=/../x//y',
                                    '/a??', '/a;p=1?x#'.rstrip('#')])
def test_the_query_passes_byte_by_byte(plain, target):
    assert plain.get(target).json()['target'] == target


def test_proxied_answers_tell_the_latencies_and_the_way(plain, origin1):
    date = 'Mon, 01 Jan 2024 00:00:00 GMT'
    origin1.on('/tells', ok(b'x', headers=[('Server', 'own'), ('Date', date)]))
    answer = plain.get('/tells')
    assert re.fullmatch(r'\d+', answer.get('X-Kong-Upstream-Latency'))
    assert re.fullmatch(r'\d+', answer.get('X-Kong-Proxy-Latency'))
    assert re.fullmatch(r'gibbon/[\d.]+', answer.get('Via'))
    assert answer.get('Server') == 'own'
    assert answer.get('Date') == date
    assert answer.all('X-Kong-Response-Latency') == []


def test_own_answers_tell_who_made_them(module_gateway, origin1):
    gateway = module_gateway(declarative(service(origin1, route(paths=['/only']))))
    answer = gateway.get('/else')
    assert answer.status == 404
    assert answer.json() == {'message': 'no Route matched with those values'}
    assert answer.get('Content-Type') == 'application/json; charset=utf-8'
    assert re.fullmatch(r'gibbon/[\d.]+', answer.get('Server'))
    assert re.fullmatch(r'\d+', answer.get('X-Kong-Response-Latency'))
    assert answer.all('Via') == answer.all('X-Kong-Proxy-Latency') == []


def test_a_gateway_without_configuration_knows_no_route(module_gateway):
    answer = module_gateway().get('/')
    assert answer.status == 404
    assert answer.json() == {'message': 'no Route matched with those values'}


def test_the_host_sent_is_the_service_s(plain, origin1):
    assert sent(plain.get('/x', host='client.test'), 'Host') == [f'127.0.0.1:{origin1.port}']


def test_preserve_host_sends_the_client_s(plain):
    assert sent(plain.get('/x', host='kept.test'), 'Host') == ['kept.test']
    assert sent(plain.get('/x', host='kept.test:1234'), 'Host') == ['kept.test:1234']


def test_strip_path_and_the_service_s_path(plain):
    assert plain.get('/cut/x?y').json()['target'] == '/base/x?y'
    assert plain.get('/cut').json()['target'] == '/base'
    assert plain.get('/keep/x').json()['target'] == '/base/keep/x'


def test_a_disabled_service_has_no_routes(plain):
    assert plain.get('/off', host='off.test').json()['target'] == '/off'  # the catch-all's


def test_a_route_without_service(plain):
    answer = plain.get('/nowhere')
    assert answer.status == 503
    assert answer.json() == {'message': 'no Service found with those values'}


@pytest.mark.parametrize('status,reason', [(200, 'OK'), (201, 'Created'), (202, 'Accepted'),
                                           (299, 'Own Words'), (302, 'Found'), (404, 'Not Found'),
                                           (418, 'Teapot'), (500, 'Broken'), (503, 'Busy'),
                                           (599, 'Last')])
def test_the_service_s_status_and_body_pass(plain, origin1, status, reason):
    origin1.on(f'/status/{status}', ok(b'own body', status, reason))
    answer = plain.get(f'/status/{status}')
    assert (answer.status, answer.body) == (status, b'own body')
    assert answer.all('X-Kong-Response-Latency') == []


def test_response_headers_pass_in_number_and_order(plain, origin1):
    origin1.on('/cookies', ok(b'', headers=[('Set-Cookie', 'a=1'), ('X-Own', 'caf\xe9'),
                                            ('Set-Cookie', 'b=2'), ('x_under', '1'),
                                            ('X-Empty', '')]))
    answer = plain.get('/cookies')
    assert answer.all('Set-Cookie') == ['a=1', 'b=2']
    assert answer.get('X-Own') == 'caf\xe9'
    assert (answer.get('x_under'), answer.get('X-Empty')) == ('1', '')


def test_large_answers_of_a_real_server(module_gateway, nginx):
    data = bytes(range(256)) * 20000
    n = nginx(files={'big': data, 'small': b'1'})
    gateway = module_gateway(everything_to(n))
    assert gateway.get('/big').body == data
    assert gateway.get_tls('/big').body == data
    answer = gateway.get('/big', headers={'Range': 'bytes=256-511'})
    assert (answer.status, answer.body) == (206, data[256:512])


def curl(*args):
    done = subprocess.run(['curl', '-sS', '--max-time', '20', *args], capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_over_http_and_https(plain):
    assert b'"target": "/curl?a=b"' in curl(f'http://127.0.0.1:{plain.proxy}/curl?a=b')
    assert b'"target": "/curl"' in curl('-k', f'https://127.0.0.1:{plain.proxy_tls}/curl')
    assert b'"body": "a=b"' in curl('-k', '-d', 'a=b', f'https://127.0.0.1:{plain.proxy_tls}/')
    upload = curl('-H', 'Transfer-Encoding: chunked', '-H', 'Expect: 100-continue', '-d',
                  'x' * 3000, f'http://127.0.0.1:{plain.proxy}/')
    assert b'x' * 3000 in upload
