# SPDX-License-Identifier: Apache-2.0
"""Secrets that the configuration refers to: in the environment, by the vault env and those of /vaults."""
import json
import ssl

import pytest

from harness.client import Client, unverified
from harness.config import declarative, route, sent, service
from harness.waits import wait_for

SECRETS = {'LOG_KEY': 'first-secret', 'OUR_KEY': 'second-secret', 'OUR_KEY_PREVIOUS': 'older-secret',
           'THEIR_KEY': 'third-secret', 'PAIR': json.dumps({'user': 'jo', 'n': 1}), 'SEAL': 'a-seal'}


def logged(origin, sink, **headers):
    return declarative(
        service(origin, {**route(paths=['/']), 'plugins': [
            {'name': 'http-log', 'config': {'http_endpoint': '{vault://env/sink}', 'headers': headers}}]}),
        vaults=[{'prefix': 'ours', 'name': 'env', 'config': {'prefix': 'our_'}}])


def told(gw, sink):
    before = len(sink.requests)
    assert gw.get('/').status == 200
    sink.wait_requests(before + 1)
    return sink.requests[-1]


def env_of(sink):
    return {**SECRETS, 'SINK': f'http://127.0.0.1:{sink.port}/'}


def test_references_are_resolved_and_show_as_they_are(gateway, origin):
    sink = origin()
    one = gateway(logged(origin(), sink, **{
        'X-1': '{vault://env/log-key}', 'X-2': '{vault://ours/key}', 'X-3': '{vault://ours/key#2}',
        'X-4': '{vault://ours/key?prefix=their_}', 'X-5': '{vault://env/pair/user}',
        'X-6': 'no {vault://env/log-key}'}), env=env_of(sink))
    seen = told(one, sink)
    assert [seen.get(f'X-{n}') for n in range(1, 7)] == [
        'first-secret', 'second-secret', 'older-secret', 'third-secret', 'jo', 'no {vault://env/log-key}']
    shown = one.api('/plugins').text
    assert '{vault://ours/key#2}' in shown and '-secret' not in shown
    assert '-secret' not in one.log()


def test_what_cannot_be_resolved_is_empty_and_told(gateway, origin):
    sink = origin()
    one = gateway(logged(origin(), sink, **{
        'X-1': '{vault://env/nothing}', 'X-2': '{vault://theirs/key}', 'X-3': '{vault://env/pair/n}',
        'X-4': '{vault://env/log-key/part}', 'X-5': '{vault://env/log-key}'}), env=env_of(sink))
    seen = told(one, sink)
    assert [seen.get(f'X-{n}') or '' for n in range(1, 6)] == ['', '', '', '', 'first-secret']
    log = one.log()
    for words in ('unable to load value (nothing) from vault (env): not found', 'vault not found (theirs)',
                  "resource 'pair' with a key of 'n': invalid type (number), string expected"):
        assert words in log
    assert '-secret' not in log


def test_an_endpoint_that_cannot_be_resolved_harms_nobody(gateway, origin):
    one = gateway(logged(origin(), None), env=SECRETS)
    for _ in range(3):
        assert one.get('/').status == 200
    wait_for(lambda: 'http-log' in one.log(), 'the entries to be given up')


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    assert answer.status < 300, answer
    return answer.json() if answer.body else None


def test_a_vault_that_changes_changes_the_secret(gateway, origin):
    sink = origin()
    one = gateway(conf={'database': 'sqlite', 'worker_consistency': 'strict'}, env=env_of(sink))
    call(one, 'PUT', '/services/one', {'url': origin().url})
    call(one, 'PUT', '/services/one/routes/one', {'paths': ['/']})
    call(one, 'POST', '/plugins', {'name': 'http-log', 'config': {
        'http_endpoint': '{vault://env/sink}', 'headers': {'X-Key': '{vault://ours/key}'}}})
    wait_for(lambda: one.get('/').status == 200, 'the route to be served')
    assert not told(one, sink).get('X-Key')
    for change, secret in (('PUT', 'our_'), 'second-secret'), (('PATCH', 'their_'), 'third-secret'):
        call(one, change[0], '/vaults/ours', {'name': 'env', 'config': {'prefix': change[1]}})
        wait_for(lambda: told(one, sink).get('X-Key') == secret, 'the new secret to be used')
    call(one, 'DELETE', '/vaults/ours')
    wait_for(lambda: not told(one, sink).get('X-Key'), 'the secret to be gone')


def test_nodes_with_one_secret_read_each_other_s_sessions(gateway, origin):
    def node(reference):
        return gateway(declarative(
            service(origin(), {**route(paths=['/']), 'plugins': [
                {'name': 'session', 'config': {'secret': reference}},
                {'name': 'key-auth', 'config': {'anonymous': 'guest'}}]}),
            consumers=[{'username': 'guest'}, {
                'username': 'jo', 'id': 'aaaaaaaa-0000-4000-8000-000000000001',
                'keyauth_credentials': [{'key': 'good'}]}]), env=SECRETS)
    first, plain, unresolved = node('{vault://env/seal}'), node('a-seal'), node('{vault://env/none}')
    cookie = first.get('/', headers=[('apikey', 'good')]).get('Set-Cookie').split(';')[0]
    for one, who in (first, 'jo'), (plain, 'jo'), (unresolved, 'guest'):
        assert sent(one.get('/', headers=[('Cookie', cookie)]), 'X-Consumer-Username') == [who]


@pytest.mark.parametrize('vault', ['env', 'ours'])
def test_a_certificate_may_be_in_the_environment(gateway, origin, certs, vault):
    pair = certs.make('secret.test')
    prefix = {'env': '', 'ours': 'OUR_'}[vault]
    one = gateway(declarative(
        service(origin(), route(paths=['/'])),
        vaults=[{'prefix': 'ours', 'name': 'env', 'config': {'prefix': 'our_'}}],
        certificates=[{'cert': f'{{vault://{vault}/chain}}', 'key': f'{{vault://{vault}/private}}',
                       'snis': [{'name': 'secret.test'}]}]),
        env={f'{prefix}CHAIN': pair.cert, f'{prefix}PRIVATE': pair.key})
    with Client(one.proxy_tls) as raw:
        raw.sock = unverified().wrap_socket(raw.sock, server_hostname='secret.test')
        assert raw.sock.getpeercert(True) == ssl.PEM_cert_to_DER_cert(pair.cert)
        assert raw.get('/').status == 200
    shown = one.api('/certificates').text
    assert f'{{vault://{vault}/private}}' in shown and 'BEGIN' not in shown and 'BEGIN' not in one.log()
