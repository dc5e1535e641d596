# SPDX-License-Identifier: Apache-2.0
"""Sessions over real connections: in the cookie, and in both kinds of database."""
import json

import pytest

from harness.config import declarative, route, sent, service
from harness.postgres import Postgres
from harness.waits import wait_for


def plugins(**config):
    return [{'name': 'session', 'config': {'secret': 'a secret', **config}},
            {'name': 'key-auth', 'config': {'anonymous': 'guest'}},
            {'name': 'request-termination', 'consumer': 'guest', 'config': {'status_code': 403}}]


def cookies(answer):
    """The reply's cookies as a browser sends them back."""
    return [('Cookie', '; '.join(c.split(';')[0] for c in answer.all('Set-Cookie')))]


@pytest.fixture(scope='module')
def in_cookies(module_gateway, module_origin):
    origin = module_origin()
    return module_gateway(declarative(
        service(origin, {**route(paths=['/']), 'plugins': plugins(
            response_headers=['id', 'timeout'], request_headers=['subject'])}),
        consumers=[{'username': 'guest'},
                   {'username': 'jo', 'keyauth_credentials': [{'key': 'good'}]}]))


def test_a_cookie_stands_for_the_key(in_cookies):
    assert in_cookies.get('/').status == 403
    first = in_cookies.get('/', headers=[('apikey', 'good')])
    assert first.status == 200 and len(first.all('Set-Cookie')) == 1
    assert first.get('Set-Cookie').endswith('; Path=/; SameSite=Strict; Secure; HttpOnly')
    assert len(first.get('Session-Id')) == 43 and first.get('Session-Timeout') == '900'
    again = in_cookies.get('/', headers=cookies(first))
    assert again.status == 200 and again.all('Set-Cookie') == []
    assert sent(again, 'X-Consumer-Username') == ['jo']
    assert sent(again, 'Session-Subject') == ['jo']
    assert sent(again, 'X-Anonymous-Consumer') == []
    assert in_cookies.get('/', headers=[('Cookie', 'session=x')]).status == 403


def test_what_a_client_says_of_its_session_does_not_go_on(in_cookies):
    answer = in_cookies.get('/', headers=[('apikey', 'good'), ('Session-Subject', 'root')])
    assert answer.status == 200 and sent(answer, 'Session-Subject') == []


def test_logging_out_takes_the_cookie_back(in_cookies):
    first = in_cookies.get('/', headers=[('apikey', 'good')])
    out = in_cookies.client().request('DELETE', '/?session_logout=1', headers=cookies(first))
    assert (out.status, out.body) == (200, b'')
    assert 'Max-Age=0' in out.get('Set-Cookie')
    assert out.get('Set-Cookie').startswith('session=;')


@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def gw(request, module_gateway, module_origin):
    pg = None
    if request.param == 'sqlite':
        one = module_gateway(conf={'database': 'sqlite', 'nginx_worker_processes': '3'})
    else:
        pg = Postgres().start()
        one = module_gateway(conf={**pg.new_database(), 'nginx_worker_processes': '3'}, start=False)
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
        one.start()
    try:
        call(one, 'PUT', '/services/one', {'url': module_origin().url})
        for name in 'one', 'brief':
            call(one, 'PUT', f'/services/one/routes/{name}', {'paths': [f'/{name}']})
        ids = {}
        for name in 'guest', 'jo':
            ids[name] = call(one, 'PUT', f'/consumers/{name}', {})[1]['id']
        call(one, 'POST', '/consumers/jo/key-auth', {'key': 'good'})
        for name, config in ('one', {}), ('brief', {'rolling_timeout': 5, 'stale_ttl': 1e300}):
            for plugin in plugins(storage='kong', **config):
                if 'consumer' in plugin:
                    plugin['consumer'] = {'id': ids['guest']}
                status, answer = call(one, 'POST', f'/routes/{name}/plugins', plugin)
                assert status == 201, answer
        wait_for(lambda: one.get('/brief').status == 403
                 and one.get('/brief', headers=[('apikey', 'good')]).status == 200,
                 'the plugins to be served')
        yield one
        one.stop()
    finally:
        if pg:
            pg.end()


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    return answer.status, answer.json() if answer.body else None


def test_a_session_in_the_database_is_good_at_once_and_ends_there(gw):
    first = gw.get('/one', headers=[('apikey', 'good')])
    assert first.status == 200
    name = first.get('Set-Cookie').split(';')[0]
    assert len(name) == len('session=') + 110
    for _ in range(20):  # other connections, so other loops
        answer = gw.get('/one', headers=cookies(first))
        assert answer.status == 200 and sent(answer, 'X-Consumer-Username') == ['jo']
    ids = [s['session_id'] for s in call(gw, 'GET', '/sessions')[1]['data']]
    assert ids
    for one in ids:
        row = call(gw, 'GET', f'/sessions/{one}')[1]
        assert row['expires'] > row['created_at'] and 0 < row['ttl'] <= 3600
        assert call(gw, 'DELETE', f'/sessions/{one}')[0] == 204
    assert gw.get('/one', headers=cookies(first)).status == 403


def test_logging_out_takes_the_row_away(gw):
    first = gw.get('/one', headers=[('apikey', 'good')])
    count = len(call(gw, 'GET', '/sessions')[1]['data'])
    out = gw.client().request('DELETE', '/one?session_logout=1', headers=cookies(first))
    assert out.status == 200
    assert len(call(gw, 'GET', '/sessions')[1]['data']) == count - 1
    assert gw.get('/one', headers=cookies(first)).status == 403


def test_a_session_is_renewed_and_the_row_before_it_lasts_a_while(gw):
    first = gw.get('/brief', headers=[('apikey', 'good')])
    assert first.status == 200

    def renewed():
        answer = gw.get('/brief', headers=cookies(first))
        assert answer.status == 200
        return answer if answer.all('Set-Cookie') else None
    second = wait_for(renewed, 'the session to be renewed', 15)
    assert cookies(second) != cookies(first)
    ttls = [s['ttl'] for s in call(gw, 'GET', '/sessions')[1]['data']]
    assert max(ttls) > 86400, 'of the one before'
    assert gw.get('/brief', headers=cookies(second)).status == 200
