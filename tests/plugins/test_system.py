# SPDX-License-Identifier: Apache-2.0
"""Which plugins run, with which configuration, and what stops a start."""
import pytest

from harness.config import declarative, route, service


def key(name, **config):
    return {'name': 'key-auth', 'config': {'key_names': [name], **config}}


def test_a_plugin_that_is_not_enabled_stops_the_load(gateway):
    config = declarative(plugins=[{'name': 'key-auth'}])
    one = gateway(config, start=False, conf={'plugins': 'off'})
    done = one.cli('check', conf=False)
    done = one.cli('start', timeout=20)
    assert done.returncode != 0
    assert "plugin 'key-auth' not enabled; add it to the 'plugins' configuration property" in \
        done.stdout + done.stderr + one.log()


def test_a_plugin_that_is_not_installed_stops_the_start(gateway):
    one = gateway(declarative(), start=False, conf={'plugins': 'bundled,mine'})
    done = one.cli('start', timeout=20)
    assert done.returncode != 0
    assert 'mine plugin is enabled but not installed' in done.stdout + done.stderr + one.log()


def test_the_most_special_configuration_is_the_one_that_runs(gateway, origin):
    where = origin()
    one = gateway(declarative(
        {**service(where, {**route(paths=['/r']), 'plugins': [key('r')]},
                   route(paths=['/s'])), 'plugins': [key('s')]},
        service(where, route(paths=['/g'])),
        service(where, {**route(paths=['/off']),
                        'plugins': [{**key('off'), 'enabled': False}]}),
        plugins=[key('g')],
        consumers=[{'username': 'jo', 'keyauth_credentials': [{'key': 'good'}]}]))
    for path in 'rsg':
        for name in 'rsg':
            answer = one.get(f'/{path}', headers=[(name, 'good')])
            assert answer.status == (200 if path == name else 401), (path, name)
    assert one.get('/off', headers=[('g', 'good')]).status == 200
    assert one.get('/off', headers=[('off', 'good')]).status == 401


def test_a_route_without_service_is_guarded_first(gateway):
    one = gateway(declarative(routes=[{**route(paths=['/']), 'plugins': [key('k')]}],
                              consumers=[{'username': 'jo',
                                          'keyauth_credentials': [{'key': 'good'}]}]))
    assert one.get('/').status == 401
    answer = one.get('/', headers=[('k', 'good')])
    assert (answer.status, answer.json()) == (503, {'message': 'no Service found with those values'})
    assert one.get('/', host='x').status == 401


@pytest.mark.parametrize('name, sent', [
    ('X\r\nEvil: 1', 'X%0D%0AEvil%3A%201'), ('a b', 'a%20b'), (':path', '%3Apath'), ('é', '%C3%A9'),
    (None, None), ('Content-Length', None), ('Transfer-Encoding', None)])
def test_no_configuration_of_a_name_makes_two_lines_or_another_length(gateway, origin, name, sent):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[
        {'name': 'correlation-id', 'config': {'header_name': name, 'echo_downstream': True}}]))
    answer = one.get('/')
    assert answer.status == 200 and answer.get('Evil') is None
    received = [k for k, _ in answer.json()['headers']]
    if sent is None:
        assert '' not in received and answer.body
    else:
        assert sent in received and answer.get(sent)


def test_no_configuration_of_a_value_makes_two_lines(gateway, origin):
    one = gateway(declarative(
        service(origin(), route(paths=['/'])),
        service(origin(), {**route(paths=['/end']), 'plugins': [
            {'name': 'request-termination', 'config': {'body': 'x', 'content_type': 'text/plain\r\nEvil: 1'}}]}),
        plugins=[{'name': 'response-transformer', 'config': {'add': {'headers': ['X-A:b\r\nEvil: 1']}}}]))
    answer = one.get('/')
    assert answer.get('X-A') == 'b%0D%0AEvil: 1' and answer.get('Evil') is None
    answer = one.get('/end')
    assert answer.get('Content-Type') == 'text/plain%0D%0AEvil: 1' and answer.get('Evil') is None


def test_a_plugin_that_is_not_there_is_not_found_in_kong_s_words(gateway):
    one = gateway(conf={'database': 'sqlite'})
    header = [('Content-Type', 'application/json')]
    for key in 'f4aecadc-05c7-11e6-8d41-1f3b3d5fa15c', 'nobody':
        answer = one.api(f'/plugins/{key}', 'PATCH', headers=header, body=b'{"enabled": false}')
        assert (answer.status, answer.json()) == (404, {'message': 'Not found'})
        answer = one.api(f'/plugins/{key}', 'PATCH', headers=header, body=b'{"name": "key-auth",'
                         b' "route": null, "service": null, "consumer": null}')
        assert (answer.status, answer.json()['code']) == (404, 6)


@pytest.mark.parametrize('enabled', ['true', 'false'])
def test_a_database_with_a_plugin_that_is_not_enabled_stops_the_start(gateway, enabled):
    one = gateway(conf={'database': 'sqlite'})
    done = one.api('/plugins', 'POST', headers=[('Content-Type', 'application/json')],
                   body=b'{"name": "key-auth", "enabled": %s}' % enabled.encode())
    assert done.status == 201
    one.stop()
    one.write_conf(plugins='off')
    done = one.cli('start', timeout=20)
    assert done.returncode != 0
    assert 'key-auth plugin is in use but not enabled' in done.stdout + done.stderr + one.log()
