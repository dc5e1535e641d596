# SPDX-License-Identifier: Apache-2.0
"""Plugins that let through, refuse or mark requests, over real connections."""
import json
import re

import pytest

from harness.client import chunked
from harness.config import declarative, route, sent, service
from harness.h2 import DATA, END_STREAM, H2, frame

BASIC = ('Authorization', 'Basic am86cGFzcw==')  # jo:pass


def plugin(name, **config):
    return {'name': name, 'config': config}


def guarded_by(path, *plugins, **fields):
    return {**route(paths=[path], **fields), 'plugins': list(plugins)}


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def all_of_them(module_gateway, origin1):
    gateway = module_gateway(declarative(
        service(
            origin1,
            guarded_by('/basic', plugin('basic-auth', hide_credentials=True)),
            guarded_by('/staff', plugin('basic-auth'), plugin('acl', allow=['staff'])),
            guarded_by('/boss', plugin('basic-auth'), plugin('acl', allow=['boss'])),
            guarded_by('/unknown', plugin('acl', allow=['staff'])),
            guarded_by('/local', plugin('ip-restriction', allow=['127.0.0.0/8'])),
            guarded_by('/away', plugin('ip-restriction', deny=['127.0.0.1'], status=418,
                                       message='not you')),
            guarded_by('/nowhere', plugin('ip-restriction', deny=['127.0.0.1'], status=200)),
            guarded_by('/cors', plugin('cors')),
            guarded_by('/cors-some', plugin(
                'cors', origins=['https://a.test', r'https://.*\.b\.test'], credentials=True,
                exposed_headers=['X-A', 'X-B'], max_age=60, headers=['X-C'], methods=['GET'])),
            guarded_by('/cors-on', plugin('cors', preflight_continue=True)),
            guarded_by('/term', plugin('request-termination')),
            guarded_by('/term-body', plugin('request-termination', status_code=200,
                                            content_type='text/x', body='<b>')),
            guarded_by('/term-204', plugin('request-termination', status_code=204)),
            guarded_by('/term-trigger', plugin('request-termination', trigger='stop')),
            guarded_by('/term-echo', plugin('request-termination', echo=True, status_code=200)),
            guarded_by('/id', plugin('correlation-id', echo_downstream=True)),
            guarded_by('/id-uuid', plugin('correlation-id', generator='uuid', header_name='X-Id')),
            guarded_by('/id-tracker', plugin('correlation-id', generator='tracker',
                                             echo_downstream=True)),
            guarded_by('/id-refused', plugin('correlation-id', echo_downstream=True),
                       plugin('key-auth')),
            guarded_by('/bots', plugin('bot-detection', allow=['goodbot'], deny=['^bad'])),
            guarded_by('/size', plugin('request-size-limiting', allowed_payload_size=10,
                                       size_unit='bytes')),
            guarded_by('/size-stream', plugin('request-size-limiting', allowed_payload_size=10,
                                              size_unit='bytes'), request_buffering=False),
            guarded_by('/size-key', plugin('key-auth', key_in_body=True), plugin(
                'request-size-limiting', allowed_payload_size=10, size_unit='bytes')),
            guarded_by('/size-none', plugin('request-size-limiting', allowed_payload_size=0)),
            guarded_by('/size-must', plugin('request-size-limiting', require_content_length=True)),
        ),
        consumers=[{'username': 'jo', 'keyauth_credentials': [{'key': 'k'}], 'acls': [{'group': 'staff'}], 'basicauth_credentials': [
            {'username': 'jo', 'password': 'pass'}]}]),
        conf={'nginx_worker_processes': '2'}, start=False)
    gateway.write_conf(proxy_listen=f'127.0.0.1:{gateway.proxy} http2')
    return gateway.start()


def said(answer):
    return answer.status, answer.json()['message']


def test_basic_auth(all_of_them):
    answer = all_of_them.get('/basic')
    assert said(answer) == (401, 'Unauthorized')
    assert answer.get('WWW-Authenticate') == 'Basic realm="kong"'
    answer = all_of_them.get('/basic', headers=[('Authorization', 'Basic am86eA==')])
    assert said(answer) == (401, 'Invalid authentication credentials')
    answer = all_of_them.get('/basic', headers=[BASIC])
    assert answer.status == 200
    assert sent(answer, 'Authorization') == []
    assert sent(answer, 'X-Credential-Identifier') == sent(answer, 'X-Consumer-Username') == ['jo']


def test_passwords_are_shown_as_hashes(all_of_them):
    [one] = all_of_them.api('/consumers/jo/basic-auth').json()['data']
    assert re.fullmatch('[0-9a-f]{40}', one['password'])


def test_acl(all_of_them):
    answer = all_of_them.get('/staff', headers=[BASIC])
    assert answer.status == 200 and sent(answer, 'X-Consumer-Groups') == ['staff']
    assert said(all_of_them.get('/boss', headers=[BASIC])) == (
        403, 'You cannot consume this service')
    assert said(all_of_them.get('/unknown')) == (401, 'Unauthorized')
    assert [a['group'] for a in all_of_them.api('/consumers/jo/acls').json()['data']] == ['staff']


def test_ip_restriction(all_of_them):
    assert all_of_them.get('/local').status == 200
    assert said(all_of_them.get('/away')) == (418, 'not you')
    # a status that is none of an error's lets nobody in
    assert said(all_of_them.get('/nowhere')) == (500, 'An unexpected error occurred')
    assert 'ip-restriction: 200 is no status of an error' in all_of_them.log()


def preflight(gateway, path, origin, *more):
    return gateway.client().request('OPTIONS', path, [
        ('Origin', origin), ('Access-Control-Request-Method', 'GET'), *more])


def test_cors_answers_preflights(all_of_them):
    answer = preflight(all_of_them, '/cors', 'https://x.test',
                       ('Access-Control-Request-Headers', 'X-Mine'))
    assert (answer.status, answer.body) == (200, b'')
    assert answer.get('Access-Control-Allow-Origin') == '*'
    assert answer.get('Access-Control-Allow-Headers') == 'X-Mine'
    assert answer.get('Access-Control-Allow-Methods') == \
        'GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT'
    assert answer.all('Vary') == answer.all('Content-Type') == []
    answer = preflight(all_of_them, '/cors-some', 'https://a.test:443')
    assert answer.get('Access-Control-Allow-Origin') == 'https://a.test'
    assert answer.get('Access-Control-Allow-Credentials') == 'true'
    assert answer.get('Access-Control-Allow-Headers') == 'X-C'
    assert answer.get('Access-Control-Allow-Methods') == 'GET'
    assert answer.get('Access-Control-Max-Age') == '60'
    assert answer.get('Vary') == 'Origin'
    assert preflight(all_of_them, '/cors-on', 'https://a.test').json()['method'] == 'OPTIONS'


@pytest.mark.parametrize('origin, allowed', [
    ('https://a.test', 'https://a.test'), ('https://x.b.test', 'https://x.b.test'),
    ('https://x.b.test.evil', None), ('http://a.test', None), (None, None)])
def test_cors_marks_replies(all_of_them, origin, allowed):
    answer = all_of_them.get('/cors-some', headers=[('Origin', origin)] if origin else [])
    assert answer.status == 200
    assert answer.get('Access-Control-Allow-Origin') == allowed
    assert answer.get('Access-Control-Expose-Headers') == 'X-A,X-B'
    assert 'Origin' in answer.all('Vary')


def test_request_termination(all_of_them):
    answer = all_of_them.get('/term')
    assert answer.status == 503 and answer.body == b'{"message":"Service unavailable"}'
    assert answer.get('Content-Type') == 'application/json; charset=utf-8'
    answer = all_of_them.get('/term-body')
    assert (answer.status, answer.body, answer.get('Content-Type')) == (200, b'<b>', 'text/x')
    answer = all_of_them.get('/term-204')
    assert (answer.status, answer.body, answer.all('Content-Length')) == (204, b'', [])
    assert all_of_them.get('/term-trigger').status == 200
    assert all_of_them.get('/term-trigger?stop').status == 503
    assert all_of_them.get('/term-trigger', headers=[('Stop', '1')]).status == 503
    echo = all_of_them.client().request('POST', '/a/../term-echo/%78?a=1', body=b'hello').json()
    assert echo['request']['raw_body'] == 'hello'
    assert (echo['request']['path'], echo['request']['query']) == ('/term-echo/x', {'a': '1'})
    assert echo['matched_route']['paths'] == ['/term-echo']


def test_correlation_id(all_of_them):
    first, second = (all_of_them.get('/id') for _ in range(2))
    a, b = first.get('Kong-Request-ID'), second.get('Kong-Request-ID')
    assert sent(first, 'Kong-Request-ID') == [a]
    assert a.split('#')[0] == b.split('#')[0] and int(a.split('#')[1]) < int(b.split('#')[1])
    assert all_of_them.get('/id', headers=[('kong-request-id', 'mine')]).get(
        'Kong-Request-ID') == 'mine'
    answer = all_of_them.get('/id-uuid')
    assert len(sent(answer, 'X-Id')[0]) == 36 and answer.all('X-Id') == []
    assert re.fullmatch(r'127\.0\.0\.1-\d+-\d+-\d+-1-\d+\.\d{3}',
                        all_of_them.get('/id-tracker').get('Kong-Request-ID'))
    answer = all_of_them.get('/id-refused')
    assert answer.status == 401 and answer.get('Kong-Request-ID')


@pytest.mark.parametrize('agent, status', [
    (None, 200), ('Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0', 200), ('curl/8.0', 200),
    ('Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 403),
    ('facebookexternalhit/1.1', 403), ('Twitterbot/1.0', 403), ('Python-urllib/3.9', 403),
    ('goodbot/1.0', 200), ('badly', 403)])
def test_bot_detection(all_of_them, agent, status):
    assert all_of_them.get('/bots', headers=[('User-Agent', agent)] if agent else []) \
        .status == status


def test_one_user_agent_is_enough(all_of_them):
    answer = all_of_them.get('/bots', headers=[('User-Agent', 'a'), ('User-Agent', 'b')])
    assert said(answer) == (400, 'Only one User-Agent header allowed')


@pytest.mark.parametrize('path', ['/size', '/size-stream'])
def test_request_size_limiting(all_of_them, path):
    def post(body, *headers):
        return all_of_them.client().request('POST', path, list(headers), body)

    assert post(b'0123456789').status == 200
    assert said(post(b'0123456789a')) == (413, 'Request size limit exceeded')
    coded = ('Transfer-Encoding', 'chunked')
    assert post(chunked(b'01234', b'56789'), coded).status == 200
    assert said(post(chunked(b'01234', b'56789', b'a'), coded)) == (
        413, 'Request size limit exceeded')


def test_a_body_that_another_plugin_read_is_measured_too(all_of_them):
    headers = [('Transfer-Encoding', 'chunked'),
               ('Content-Type', 'application/x-www-form-urlencoded')]

    def post(body):
        return all_of_them.client().request('POST', '/size-key', headers, chunked(body))

    assert post(b'apikey=k').status == 200
    assert said(post(b'apikey=k&a=1')) == (413, 'Request size limit exceeded')


def over_http2(gateway, path, body, *headers):
    """Status and message; a body of HTTP/2 ends where its stream does."""
    with H2(gateway.proxy) as c:
        c.request(1, 'POST', path, headers, end=False)
        for i, piece in enumerate(body):
            c.send(frame(DATA, END_STREAM if i == len(body) - 1 else 0, 1, piece))
        status, _, body, _ = c.answer(1)
        return status, json.loads(body).get('message')


@pytest.mark.parametrize('path', ['/size', '/size-stream'])
def test_request_size_limiting_of_http2(all_of_them, path):
    too_large = (413, 'Request size limit exceeded')
    assert over_http2(all_of_them, path, [b'01234', b'56789']) == (200, None)
    assert over_http2(all_of_them, path, [b'01234', b'56789', b'a']) == too_large
    assert over_http2(all_of_them, path, [b'0123456789a'], ('content-length', '11')) == too_large
    assert over_http2(all_of_them, '/size-must', [b'a']) == (
        411, 'A valid Content-Length header is required')
    assert over_http2(all_of_them, '/size-must', [b'a'], ('content-length', '1')) == (200, None)


def test_request_size_limiting_lets_nothing_pass_when_nothing_is_allowed(all_of_them):
    coded = ('Transfer-Encoding', 'chunked')
    client = all_of_them.client
    assert client().request('POST', '/size-none', [coded], chunked()).status == 200
    assert said(client().request('POST', '/size-none', [coded], chunked(b'a'))) == (
        413, 'Request size limit exceeded')


def test_expectations_are_refused_with_417(all_of_them):
    with all_of_them.client() as c:
        c.send(b'POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n'
               b'Expect: 100-continue\r\n\r\n')
        assert said(c.read_response()) == (417, 'Request size limit exceeded')
    assert said(all_of_them.get('/size-must')) == (
        411, 'A valid Content-Length header is required')


def test_what_cannot_be_is_refused(all_of_them):
    def check(name, **config):
        answer = all_of_them.api('/schemas/plugins/validate', method='POST',
                                 headers=[('Content-Type', 'application/json')],
                                 body=json.dumps(plugin(name, **config)).encode())
        return answer.json().get('fields', answer.status)

    assert check('request-termination', message='a', body='b') == {
        'config': 'message cannot be used with content_type or body'}
    assert check('cors', origins=['[']) == {'config': {'origins': ["'[' is not a valid regex"]}}
    assert check('cors', origins=['*']) == 200
