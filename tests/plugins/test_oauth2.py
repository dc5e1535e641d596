# SPDX-License-Identifier: Apache-2.0
"""oauth2 over real connections and both kinds of database: what the grants give, and to whom."""
import base64
import concurrent.futures
import hashlib
import json
import urllib.parse

import pytest

from harness.client import ask
from harness.config import declarative, route, sent, service
from harness.postgres import Postgres
from harness.waits import wait_for

FORM = [('Content-Type', 'application/x-www-form-urlencoded')]
INVALID = {'error': 'invalid_token', 'error_description': 'The access token is invalid or has expired'}
VERIFIER = 'v' * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()
ALL = {'enable_authorization_code': True, 'enable_implicit_grant': True, 'provision_key': 'pk',
       'enable_client_credentials': True, 'enable_password_grant': True, 'scopes': ['read', 'write']}
PLUGINS = {
    'one': ALL,
    'two': ALL,
    'world': {**ALL, 'global_credentials': True},
    'wide': {**ALL, 'global_credentials': True},
    'kept': {**ALL, 'reuse_refresh_token': True},
    'hidden': {**ALL, 'hide_credentials': True, 'auth_header_name': 'x-token'},
    'free': {**ALL, 'anonymous': 'guest'},
    'short': {**ALL, 'token_expiration': 1},
    'endless': {**ALL, 'token_expiration': 0},
    'strict': {**ALL, 'pkce': 'strict'},
    'moment': {**ALL, 'token_expiration': 0.4, 'refresh_token_ttl': 0.4},
    'ages': {**ALL, 'token_expiration': 1e300},
    'scopeless': {**ALL, 'scopes': []},
}
CLIENTS = {
    'app': {'client_secret': 'a', 'redirect_uris': ['http://app.test/back?x=1', 'http://app.test/']},
    'other': {'client_secret': 'o', 'redirect_uris': ['http://other.test']},
    'hashed': {'client_secret': 'h', 'hash_secret': True, 'redirect_uris': ['http://hashed.test']},
    'public': {'client_type': 'public', 'redirect_uris': ['http://public.test']},
    'bare': {'client_secret': 'b'},
}


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    return answer.status, answer.json() if answer.body else None


def create(gw, path, body):
    status, answer = call(gw, 'POST', path, body)
    assert status == 201, answer
    return answer


@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def gw(request, module_gateway, module_origin):
    pg = None
    if request.param == 'sqlite':
        one = module_gateway(conf={'database': 'sqlite', 'nginx_worker_processes': '2'})
    else:
        pg = Postgres().start()
        one = module_gateway(conf={**pg.new_database(), 'nginx_worker_processes': '2'}, start=False)
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
        one.start()
    try:
        url = module_origin().url
        for name in 'jo', 'guest':
            create(one, '/consumers', {'username': name, 'custom_id': f'{name}-id'})
        for name, fields in CLIENTS.items():
            create(one, '/consumers/jo/oauth2', {'name': name, 'client_id': name, **fields})
        for name, config in PLUGINS.items():
            create(one, '/services', {'name': name, 'url': url})
            create(one, f'/services/{name}/routes', {'name': name, 'paths': [f'/{name}']})
            create(one, f'/services/{name}/plugins', {'name': 'oauth2', 'config': config})
        wait_for(lambda: post(one, '/strict/oauth2/token').status == 400, 'the plugins to be served')
        one.database = pg
        yield one
        one.stop()
    finally:
        if pg:
            pg.end()


def post(gw, path, headers=(), **form):
    return ask(gw.proxy_tls, path, method='POST', tls=True, headers=[*FORM, *headers],
               body=urllib.parse.urlencode(form).encode())


def get(gw, path, token=None, headers=()):
    return gw.get(path, headers=[*([('Authorization', f'Bearer {token}')] if token else []), *headers])


def authorize(gw, where='one', client='app', **more):
    answer = post(gw, f'/{where}/oauth2/authorize', client_id=client, provision_key='pk',
                  authenticated_userid='user-1', **{'response_type': 'code', **more})
    assert answer.get('Cache-Control') == 'no-store' and answer.get('Pragma') == 'no-cache'
    uri = urllib.parse.urlsplit(answer.json()['redirect_uri'])
    return answer.status, {**dict(urllib.parse.parse_qsl(uri.query)),
                           **dict(urllib.parse.parse_qsl(uri.fragment))}


def issue(gw, grant, where='one', client='app', secret=None, **more):
    secret = CLIENTS[client].get('client_secret') if secret is None else secret
    shown = {'client_secret': secret} if secret else {}
    answer = post(gw, f'/{where}/oauth2/token', grant_type=grant, client_id=client, **shown, **more)
    assert answer.get('Cache-Control') == 'no-store' and answer.get('Pragma') == 'no-cache'
    return answer.status, answer.json()


def token_for(gw, where='one', **more):
    status, token = issue(gw, 'client_credentials', where, **more)
    assert status == 200, token
    return token['access_token']


def by_password(gw, where='one', **more):
    return issue(gw, 'password', where, provision_key='pk', authenticated_userid='user-1', **more)


# ---- the grants ------------------------------------------------------------------------------------

def test_a_code_gives_a_token_once(gw):
    status, told = authorize(gw, scope='read write', state='s t')
    assert status == 200 and told.keys() == {'code', 'state', 'x'} and told['state'] == 's t'
    assert issue(gw, 'authorization_code', client='other', code=told['code'])[1] == {
        'error': 'invalid_request', 'error_description': 'Invalid code'}
    assert issue(gw, 'authorization_code', 'two', code=told['code'])[0] == 400
    status, token = issue(gw, 'authorization_code', code=told['code'], state='z')
    assert status == 200, token
    assert token.keys() == {'access_token', 'token_type', 'expires_in', 'refresh_token', 'state'}
    assert (token['token_type'], token['expires_in'], token['state']) == ('bearer', 7200, 'z')
    assert len(token['access_token']) == len(token['refresh_token']) == 32
    answer = get(gw, '/one', token['access_token'])
    assert answer.status == 200, answer
    for name, value in (('X-Consumer-Username', 'jo'), ('X-Consumer-Custom-ID', 'jo-id'),
                        ('X-Credential-Identifier', 'app'), ('X-Authenticated-Scope', 'read write'),
                        ('X-Authenticated-UserId', 'user-1')):
        assert sent(answer, name) == [value], name
    assert sent(answer, 'X-Anonymous-Consumer') == []
    assert issue(gw, 'authorization_code', code=told['code'])[1]['error_description'] == 'Invalid code'


def test_of_many_who_show_a_code_at_once_one_gets_a_token(gw):
    code = authorize(gw)[1]['code']
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: issue(gw, 'authorization_code', code=code), range(8)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 7


def test_the_redirect_uri_is_one_of_the_client_s(gw):
    answer = post(gw, '/one/oauth2/authorize', client_id='app', provision_key='pk', response_type='code',
                  authenticated_userid='u', redirect_uri='http://app.test/')
    assert answer.status == 200
    assert answer.json()['redirect_uri'].startswith('http://app.test/?code=')
    answer = post(gw, '/one/oauth2/authorize', client_id='app', provision_key='pk', response_type='code',
                  authenticated_userid='u', redirect_uri='http://evil.test/')
    assert answer.status == 400
    assert answer.json()['redirect_uri'].startswith('http://app.test/back?error=invalid_request&')


def test_the_implicit_grant_puts_a_token_behind_the_hash(gw):
    answer = post(gw, '/one/oauth2/authorize/', client_id='app', provision_key='pk', state='s',
                  response_type='token', authenticated_userid='user-1')
    assert answer.status == 200
    uri = answer.json()['redirect_uri']
    assert uri.startswith('http://app.test/back?x=1#access_token=')
    told = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(uri).fragment))
    assert told.keys() == {'access_token', 'expires_in', 'state', 'token_type'}
    assert sent(get(gw, '/one', told['access_token']), 'X-Authenticated-UserId') == ['user-1']


def test_a_state_goes_back_as_it_came_unless_it_is_too_long(gw):
    def ask_for_code(state):
        return ask(gw.proxy_tls, '/one/oauth2/authorize', method='POST', tls=True,
                   headers=[('Content-Type', 'application/json')],
                   body=json.dumps({'client_id': 'app', 'provision_key': 'pk', 'response_type': 'code',
                                    'authenticated_userid': 'u', 'state': state}).encode())
    answer = ask_for_code({'a': ['x', {'b': 'y z'}, True]})
    assert answer.status == 200
    assert answer.json()['redirect_uri'].split('&', 1)[1] == (
        'state%2ea%5b1%5d=x&state%2ea%5b2%5d%2eb=y%20z&state%2ea%5b3%5d=true&x=1')
    answer = ask_for_code('%' * 40000)
    assert (answer.status, answer.json()) == (
        400, {'error': 'invalid_request', 'error_description': 'state is too long'})
    assert ask_for_code('x' * 70000).status == 413


def test_a_client_gets_a_token_for_itself(gw):
    status, token = issue(gw, 'client_credentials', client='bare', scope='read')
    assert status == 200 and token.keys() == {'access_token', 'token_type', 'expires_in'}
    answer = get(gw, '/one', token['access_token'])
    assert sent(answer, 'X-Authenticated-Scope') == ['read']
    assert sent(answer, 'X-Authenticated-UserId') == []
    basic = base64.b64encode(b'bare:b').decode()
    answer = post(gw, '/one/oauth2/token', [('Authorization', f'Basic {basic}')],
                  grant_type='client_credentials')
    assert answer.status == 200, answer
    assert issue(gw, 'client_credentials', client='bare', secret='c')[0] == 400
    answer = ask(gw.proxy_tls, '/one/oauth2/token', method='POST', tls=True,
                 headers=[('Content-Type', 'application/json')],
                 body=json.dumps({'grant_type': 'client_credentials', 'client_id': 'bare',
                                  'client_secret': 'b', 'state': {'a': [1, True]}}).encode())
    assert answer.status == 200 and answer.json()['state'] == {'a': [1, True]}


def test_a_client_names_its_user(gw):
    status, token = by_password(gw)
    assert status == 200 and 'refresh_token' in token
    assert sent(get(gw, '/one', token['access_token']), 'X-Authenticated-UserId') == ['user-1']


def test_secrets_may_be_kept_as_hashes(gw):
    kept = call(gw, 'GET', '/oauth2/hashed')[1]['client_secret']
    assert kept.startswith('$pbkdf2-sha512$i=10000,l=32$')
    assert issue(gw, 'client_credentials', client='hashed')[0] == 200
    assert issue(gw, 'client_credentials', client='hashed', secret=kept)[0] == 400
    assert issue(gw, 'client_credentials', client='hashed', secret='H')[0] == 400


# ---- proof of possession ---------------------------------------------------------------------------

@pytest.mark.parametrize('challenge', [CHALLENGE, CHALLENGE.rstrip('='),
                                       CHALLENGE.replace('-', '+').replace('_', '/')])
def test_a_public_client_proves_that_the_code_is_its(gw, challenge):
    code = authorize(gw, client='public', code_challenge=challenge, code_challenge_method='s256')[1]['code']
    for verifier, error in ((None, 'invalid_request'), ('short', 'invalid_request'),
                            ('w' * 43, 'invalid_grant'), ('v' * 129, 'invalid_request')):
        more = {'code_verifier': verifier} if verifier else {}
        status, answer = issue(gw, 'authorization_code', client='public', code=code, **more)
        assert (status, answer['error']) == (400, error)
    status, answer = issue(gw, 'authorization_code', client='public', code=code, code_verifier=VERIFIER)
    assert status == 200, answer
    assert get(gw, '/one', answer['access_token']).status == 200


def test_a_confidential_client_proves_it_where_that_is_wanted_or_offered(gw):
    status, told = authorize(gw, 'strict')
    assert (status, told['error_description']) == (
        400, 'code_challenge is required for confidential clients')
    code = authorize(gw, code_challenge=CHALLENGE)[1]['code']
    assert issue(gw, 'authorization_code', code=code)[0] == 400
    assert issue(gw, 'authorization_code', code=code, code_verifier=VERIFIER)[0] == 200


# ---- renewing ---------------------------------------------------------------------------------------

def test_a_token_is_renewed_and_the_old_one_ends(gw):
    first = by_password(gw, scope='write')[1]
    assert issue(gw, 'refresh_token', client='other', refresh_token=first['refresh_token'])[1] == {
        'error': 'invalid_client', 'error_description': 'Invalid client authentication'}
    assert issue(gw, 'refresh_token', 'two', refresh_token=first['refresh_token'])[0] == 400
    assert get(gw, '/one', first['access_token']).status == 200
    status, second = issue(gw, 'refresh_token', refresh_token=first['refresh_token'])
    assert status == 200 and second['refresh_token'] != first['refresh_token']
    answer = get(gw, '/one', second['access_token'])
    assert sent(answer, 'X-Authenticated-UserId') == ['user-1']
    assert sent(answer, 'X-Authenticated-Scope') == ['write']
    assert get(gw, '/one', first['access_token']).status == 401
    assert issue(gw, 'refresh_token', refresh_token=first['refresh_token'])[1] == {
        'error': 'invalid_request', 'error_description': 'Invalid refresh_token'}


def test_what_renews_a_token_may_stay_the_same(gw):
    first = by_password(gw, 'kept')[1]
    row = call(gw, 'GET', f"/oauth2_tokens/{first['access_token']}")[1]
    for _ in range(2):
        status, second = issue(gw, 'refresh_token', 'kept', refresh_token=first['refresh_token'])
        assert status == 200 and second['refresh_token'] == first['refresh_token']
        assert get(gw, '/kept', second['access_token']).status == 200
        assert get(gw, '/kept', first['access_token']).status == 401
    again = call(gw, 'GET', f"/oauth2_tokens/{second['access_token']}")[1]
    assert again['id'] == row['id'] and again['created_at'] >= row['created_at']
    assert 0 < again['ttl'] <= 1209600


# ---- showing a token --------------------------------------------------------------------------------

def test_without_a_good_token_nobody_comes_in(gw):
    answer = get(gw, '/one')
    assert answer.status == 401 and answer.get('WWW-Authenticate') == 'Bearer realm="service"'
    assert answer.json() == {'error': 'invalid_request', 'error_description': 'The access token is missing'}
    answer = get(gw, '/one', 'x' * 32)
    assert answer.status == 401 and answer.json() == INVALID
    assert answer.get('WWW-Authenticate') == (
        'Bearer realm="service" error="invalid_token" '
        'error_description="The access token is invalid or has expired"')


def test_a_token_is_good_for_its_service_or_for_all(gw):
    one, world = token_for(gw), token_for(gw, 'world')
    assert get(gw, '/two', one).json() == INVALID
    assert get(gw, '/wide', one).json() == INVALID
    assert get(gw, '/wide', world).status == 200
    answer = get(gw, '/one', world)
    assert answer.status == 401 and answer.get('WWW-Authenticate') is None
    assert answer.json()['error_description'] == (
        "The access token is global, but the current plugin is configured without 'global_credentials'")


def test_tokens_end(gw):
    status, token = by_password(gw, 'short')
    assert status == 200 and token['expires_in'] == 1
    assert get(gw, '/short', token['access_token']).status == 200
    wait_for(lambda: get(gw, '/short', token['access_token']).status == 401, 'the token to end')
    assert issue(gw, 'refresh_token', 'short', refresh_token=token['refresh_token'])[0] == 200
    status, token = by_password(gw, 'endless')
    assert status == 200 and token.keys() == {'access_token', 'token_type'}
    assert get(gw, '/endless', token['access_token']).status == 200


def test_parts_of_a_second_are_a_whole_one_and_the_most_is_what_the_column_holds(gw):
    status, token = by_password(gw, 'moment')
    assert status == 200 and token['expires_in'] == 1
    wait_for(lambda: get(gw, '/moment', token['access_token']).status == 401, 'the token to end')
    wait_for(lambda: call(gw, 'GET', f"/oauth2_tokens/{token['access_token']}")[0] == 404, 'its row to end')
    assert issue(gw, 'refresh_token', 'moment', refresh_token=token['refresh_token'])[0] == 400
    status, token = by_password(gw, 'ages')
    assert status == 200 and token['expires_in'] == 2**31 - 1
    assert get(gw, '/ages', token['access_token']).status == 200


def test_of_an_empty_list_of_scopes_none_is_good(gw):
    assert issue(gw, 'client_credentials', 'scopeless', scope='read') == (
        400, {'error': 'invalid_scope', 'error_description': '"read" is an invalid scope'})
    assert issue(gw, 'client_credentials', 'scopeless')[0] == 200


def test_a_token_may_be_shown_in_three_places_and_hidden(gw):
    token = token_for(gw, 'hidden')
    one = token_for(gw)
    answer = gw.get('/hidden', headers=[('X-Token', f'token {token}')])
    assert answer.status == 200 and sent(answer, 'X-Token') == []
    answer = gw.get(f'/hidden?a=1&access_token={token}')
    assert answer.status == 200 and answer.json()['target'].endswith('?a=1')
    for type, body, left in (
            ('application/x-www-form-urlencoded', f'a=1&access_token={token}', 'a=1'),
            ('application/json', json.dumps({'access_token': token}), '{}')):
        answer = gw.client().request('POST', '/hidden', headers=[('Content-Type', type)], body=body.encode())
        assert answer.status == 200 and answer.json()['body'] == left
    answer = gw.get(f'/one?access_token={one}')
    assert answer.status == 200 and one in answer.json()['target']
    answer = gw.get('/one', headers=[('Authorization', f'bearer {one}')])
    assert answer.status == 200 and sent(answer, 'Authorization') == [f'bearer {one}']


def test_those_without_a_token_may_be_anonymous(gw):
    for token in None, 'wrong':
        answer = get(gw, '/free', token, [('X-Authenticated-UserId', 'root'), ('X-Authenticated-Scope', 'all')])
        assert answer.status == 200
        assert sent(answer, 'X-Consumer-Username') == ['guest']
        assert sent(answer, 'X-Anonymous-Consumer') == ['true']
        assert sent(answer, 'X-Authenticated-UserId') == sent(answer, 'X-Authenticated-Scope') == []
    answer = get(gw, '/free', token_for(gw, 'free'))
    assert sent(answer, 'X-Consumer-Username') == ['jo'] and sent(answer, 'X-Anonymous-Consumer') == []


def test_tokens_are_cached_under_a_digest_that_nodes_tell_each_other(gw):
    if not gw.database:
        pytest.skip('SQLite has one node')
    token = token_for(gw)
    assert get(gw, '/one', token).status == 200
    workspace = gw.database.sql('SELECT id FROM workspaces', 'kong').strip()
    key = f'oauth2_tokens:{token}:::::{workspace}'
    key = 'oauth2_tokens:' + hashlib.sha1(key.encode()).hexdigest()
    assert call(gw, 'GET', f'/cache/{key}')[1]['access_token'] == token
    assert call(gw, 'DELETE', f'/oauth2_tokens/{token}')[0] == 204
    assert get(gw, '/one', token).json() == INVALID
    told = gw.database.sql('SELECT data FROM cluster_events', 'kong')
    assert key in told and token not in told


# ---- the Admin API ----------------------------------------------------------------------------------

def test_tokens_and_clients_are_in_the_admin_api(gw):
    client = create(gw, '/consumers/jo/oauth2', {'name': 'made'})
    assert len(client['client_id']) == len(client['client_secret']) == 32
    assert client['client_type'] == 'confidential' and client['redirect_uris'] is None
    assert call(gw, 'GET', f"/consumers/jo/oauth2/{client['client_id']}")[1] == client
    assert call(gw, 'GET', f"/oauth2/{client['id']}/consumer")[1]['username'] == 'jo'
    status, answer = call(gw, 'PATCH', f"/oauth2/{client['id']}", {'client_secret': 'x'})
    assert status == 400 and answer['fields'] == {
        '@entity': ["all or none of these fields must be set: 'hash_secret', 'client_secret'"]}

    service = call(gw, 'GET', '/services/one')[1]['id']
    token = create(gw, f"/oauth2/{client['client_id']}/oauth2_tokens",
                   {'expires_in': 0, 'service': {'id': service}, 'scope': 'by-hand'})
    assert token['token_type'] == 'bearer' and token['refresh_token'] is None
    assert sent(get(gw, '/one', token['access_token']), 'X-Authenticated-Scope') == ['by-hand']
    assert call(gw, 'GET', f"/oauth2_tokens/{token['access_token']}/credential")[1]['id'] == client['id']
    assert call(gw, 'GET', f"/oauth2_tokens/{token['id']}/service")[1]['id'] == service
    assert token['id'] in [t['id'] for t in call(gw, 'GET', '/services/one/oauth2_tokens')[1]['data']]
    status, answer = call(gw, 'PATCH', f"/oauth2_tokens/{token['id']}", {'scope': 'new'})
    assert status == 200
    wait_for(lambda: sent(get(gw, '/one', token['access_token']), 'X-Authenticated-Scope') == ['new'],
             'the change to be served')
    assert call(gw, 'DELETE', f"/oauth2/{client['id']}")[0] == 204
    assert call(gw, 'GET', f"/oauth2_tokens/{token['id']}")[0] == 404
    wait_for(lambda: get(gw, '/one', token['access_token']).status == 401, 'the token to end with its client')
    assert call(gw, 'GET', '/oauth2_authorization_codes')[0] == 404


# ---- without a database -----------------------------------------------------------------------------

def test_without_a_database_there_are_no_tokens(gateway, origin):
    one = gateway(declarative(
        service(origin(), {**route(paths=['/']), 'plugins': [{'name': 'oauth2', 'config': ALL}]}),
        consumers=[{'username': 'jo', 'oauth2_credentials': [
            {'name': 'bare', 'client_id': 'bare', 'client_secret': 'b'}]}]))
    answer = post(one, '/oauth2/token', grant_type='client_credentials', client_id='bare', client_secret='b')
    assert (answer.status, answer.json()) == (500, {'message': 'An unexpected error occurred'})
    assert 'oauth2_tokens: cannot create it without a database' in one.log()
    assert get(one, '/', 'x').json() == INVALID
