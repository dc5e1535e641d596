# SPDX-License-Identifier: Apache-2.0
"""key-auth over real connections: who has a key gets in, as the upstream and Kong's clients see it."""
import json

import pytest

from harness.config import declarative, route, sent, service


@pytest.fixture(scope='module')
def guarded(module_gateway, module_origin):
    origin = module_origin()
    return module_gateway(declarative(
        service(origin, {**route(paths=['/plain']), 'plugins': [{'name': 'key-auth'}]}),
        service(origin, {**route(paths=['/hidden']), 'plugins': [
            {'name': 'key-auth', 'config': {'hide_credentials': True, 'key_in_body': True}}]}),
        service(origin, {**route(paths=['/guest']), 'plugins': [
            {'name': 'key-auth', 'config': {'anonymous': 'guest'}}]}),
        service(origin, {**route(paths=['/lost']), 'plugins': [
            {'name': 'key-auth', 'config': {'anonymous': 'nobody'}}]}),
        service(origin, route(paths=['/open'])),
        consumers=[{'username': 'jo', 'custom_id': 'c1',
                    'keyauth_credentials': [{'key': 'good'}]},
                   {'username': 'guest'}]))


def test_without_a_key_nobody_passes(guarded):
    answer = guarded.get('/plain')
    assert answer.status == 401
    assert answer.body == b'{\n  "message":"No API key found in request"\n}'
    assert answer.get('WWW-Authenticate') == 'Key realm="kong"'
    assert answer.get('Content-Type') == 'application/json; charset=utf-8'
    assert answer.get('Server').startswith('gibbon/')
    assert guarded.get('/open').status == 200


@pytest.mark.parametrize('accept, kind, text', [
    ('text/html', 'text/html; charset=utf-8', '<p>No API key found in request.</p>'),
    ('text/plain', 'text/plain; charset=utf-8', 'No API key found in request\n'),
    ('text/html;q=0.5, application/xml', 'application/xml; charset=utf-8',
     '<message>No API key found in request</message>'),
])
def test_errors_come_in_the_form_that_is_accepted(guarded, accept, kind, text):
    answer = guarded.get('/plain', headers=[('Accept', accept)])
    assert (answer.status, answer.get('Content-Type')) == (401, kind)
    assert text in answer.text


def test_a_known_key_passes_and_the_upstream_is_told(guarded):
    answer = guarded.get('/plain/x?a=1', headers=[('apikey', 'good'), ('X-Consumer-ID', 'mine')])
    assert answer.status == 200
    assert sent(answer, 'X-Consumer-Username') == ['jo']
    assert sent(answer, 'X-Consumer-Custom-ID') == ['c1']
    assert len(sent(answer, 'X-Consumer-ID')[0]) == 36
    assert len(sent(answer, 'X-Credential-Identifier')[0]) == 36
    assert sent(answer, 'apikey') == ['good']
    assert answer.json()['target'] == '/x?a=1'


def test_an_unknown_key_does_not(guarded):
    answer = guarded.get('/plain?apikey=bad')
    assert (answer.status, answer.json()['message']) == (401, 'Invalid authentication credentials')


def test_hidden_keys_do_not_reach_the_upstream(guarded):
    answer = guarded.get('/hidden/x?a=1&apikey=good&b=2')
    assert answer.status == 200 and answer.json()['target'] == '/x?a=1&b=2'
    body = json.dumps({'apikey': 'good', 'text': 'x' * 100000}).encode()
    answer = guarded.client().request('POST', '/hidden/x', body=body,
                                      headers=[('Content-Type', 'application/json')])
    assert answer.status == 200, answer
    assert json.loads(answer.json()['body']) == {'text': 'x' * 100000}


def test_the_anonymous_consumer(guarded):
    answer = guarded.get('/guest')
    assert answer.status == 200
    assert sent(answer, 'X-Anonymous-Consumer') == ['true']
    assert sent(answer, 'X-Consumer-Username') == ['guest']
    answer = guarded.get('/lost')
    assert (answer.status, answer.json()) == (500, {'message': 'An unexpected error occurred'})


def test_credentials_are_entities_of_the_admin_api(guarded):
    keys = guarded.api('/consumers/jo/key-auth').json()['data']
    assert [k['key'] for k in keys] == ['good']
    assert guarded.api('/key-auths/good/consumer').json()['username'] == 'jo'
    assert guarded.api('/consumers/jo/key-auth/good').json()['id'] == keys[0]['id']
    assert guarded.api('/key-auths').json()['data'] == keys


def test_what_a_node_has_is_told(guarded):
    root = guarded.api('/').json()
    assert root['plugins']['available_on_server']['key-auth'] == {'version': '3.2.2',
                                                                  'priority': 1250}
    assert root['plugins']['enabled_in_cluster'] == ['key-auth']
    assert 'key-auth' in guarded.api('/plugins/enabled').json()['enabled_plugins']


def test_connections_are_kept_over_refusals(guarded):
    with guarded.client() as c:
        for key, status in [('bad', 401), ('good', 200), ('bad', 401), ('good', 200)]:
            assert c.get('/plain', headers=[('apikey', key)]).status == status
