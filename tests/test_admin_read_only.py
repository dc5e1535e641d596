# SPDX-License-Identifier: Apache-2.0
"""The Admin API without a database: everything can be read, writing is refused in Kong's words."""
import json
import re

import pytest

from harness.client import Client, ask
from harness.ports import free_port

ID = '44444444-4444-4444-8444-444444444444'
CONFIG = {
    '_format_version': '3.0',
    'services': [
        {'id': ID, 'name': 'one', 'url': 'http://127.0.0.1:1/base', 'tags': ['a', 'b'],
         'routes': [{'name': f'r{i}', 'paths': [f'/r{i}'], 'tags': ['odd' if i % 2 else 'even']}
                    for i in range(7)]},
        {'name': 'two', 'url': 'https://example.test', 'tags': ['b']},
    ],
    'consumers': [{'username': 'bob', 'custom_id': '42'}],
    'upstreams': [{'name': 'many', 'targets': [{'target': '127.0.0.1'},
                                               {'target': '127.0.0.2:9'}]}],
}


@pytest.fixture(scope='module')
def gw(module_gateway):
    return module_gateway(CONFIG)


def data(gw, path):
    answer = gw.api(path)
    assert answer.status == 200, answer
    return answer.json()['data']


def test_headers_of_every_answer(gw):
    for path in ('/', '/services', '/nonsense'):
        answer = gw.api(path)
        assert answer.get('Access-Control-Allow-Origin') == '*'
        assert re.fullmatch(r'gibbon/[\d.]+', answer.get('Server'))
        assert re.fullmatch(r'\d+', answer.get('X-Kong-Admin-Latency'))
        assert answer.get('Content-Type') == 'application/json; charset=utf-8'
        assert answer.framing == 'length'


def test_the_root_tells_what_this_is(gw):
    said = gw.api('/').json()
    assert said['version'] == '3.2.2'
    assert said['tagline'] == 'Welcome to kong'
    assert re.fullmatch(r'[0-9a-f-]{36}', said['node_id'])
    assert said['configuration']['database'] == 'off'
    assert said['pids']['master'] == gw.master
    assert {'hostname', 'plugins', 'timers', 'lua_version'} <= set(said)


def test_lists(gw):
    assert {s['name'] for s in data(gw, '/services')} == {'one', 'two'}
    assert len(data(gw, '/routes')) == 7
    assert gw.api('/consumers').json()['next'] is None
    assert data(gw, '/plugins') == []


def test_an_entity_by_id_and_by_name(gw):
    by_id, by_name = gw.api(f'/services/{ID}').json(), gw.api('/services/one').json()
    assert by_id == by_name
    assert by_id['path'] == '/base' and by_id['port'] == 1 and by_id['retries'] == 5
    assert by_id['client_certificate'] is None and by_id['tags'] == ['a', 'b']
    assert gw.api('/consumers/bob').json()['custom_id'] == '42'
    assert gw.api('/services/one/').status == 200


def test_nested_lists_and_entities(gw):
    assert len(data(gw, '/services/one/routes')) == 7
    assert data(gw, '/services/two/routes') == []
    assert gw.api('/services/one/routes/r3').json()['name'] == 'r3'
    assert gw.api('/services/two/routes/r3').status == 404
    assert gw.api('/routes/r3/service').json()['name'] == 'one'
    assert {t['target'] for t in data(gw, '/upstreams/many/targets')} == \
        {'127.0.0.1:8000', '127.0.0.2:9'}


@pytest.mark.parametrize('path', ['/nonsense', '/services/none', '/services/none/routes',
                                  f'/routes/{ID}', '/targets', '/services/one/nonsense'])
def test_what_is_not_there(gw, path):
    answer = gw.api(path)
    assert (answer.status, answer.json()) == (404, {'message': 'Not found'})


def test_consumers_by_custom_id(gw):
    assert [c['username'] for c in data(gw, '/consumers?custom_id=42')] == ['bob']
    assert data(gw, '/consumers?custom_id=43') == []


def test_pages(gw):
    seen, target = [], '/routes?size=3'
    pages = 0
    while target:
        answer = gw.api(target).json()
        seen += [r['name'] for r in answer['data']]
        assert ('offset' in answer) == (answer['next'] is not None)
        target, pages = answer['next'], pages + 1
    assert (sorted(seen), pages) == ([f'r{i}' for i in range(7)], 3)


@pytest.mark.parametrize('query,code,message', [
    ('size=x', 9, 'size must be a number'),
    ('size=0', 9, 'size must be an integer between 1 and 1000'),
    ('size=1001', 9, 'size must be an integer between 1 and 1000'),
    ('offset=%25%25', 7, 'is not a valid offset'),
])
def test_bad_pages(gw, query, code, message):
    answer = gw.api(f'/routes?{query}')
    assert (answer.status, answer.json()['code']) == (400, code)
    assert message in answer.json()['message']


def test_tags(gw):
    assert {s['name'] for s in data(gw, '/services?tags=b')} == {'one', 'two'}
    assert {s['name'] for s in data(gw, '/services?tags=a,b')} == {'one'}
    assert len(data(gw, '/routes?tags=even/odd')) == 7
    assert len(data(gw, '/routes?tags=even')) == 4
    bad = gw.api('/routes?tags=a,b/c')
    assert (bad.status, bad.json()['code']) == (400, 11)
    assert {(t['entity_name'], t['tag']) for t in data(gw, '/tags')} >= \
        {('services', 'a'), ('routes', 'odd')}
    assert {t['tag'] for t in data(gw, '/tags/odd')} == {'odd'}


@pytest.mark.parametrize('method,path,message', [
    ('POST', '/services', "cannot create 'services' entities when not using a database"),
    ('PATCH', '/services/one', "cannot update 'services' entities when not using a database"),
    ('PUT', '/services/one',
     "cannot create or update 'services' entities when not using a database"),
    ('DELETE', '/services/one', "cannot remove 'services' entities when not using a database"),
    ('POST', '/consumers', "cannot create 'consumers' entities when not using a database"),
])
def test_writing_is_refused(gw, method, path, message):
    body = b'{"name":"x","url":"http://x"}' if 'services' in path else b'{"username":"x"}'
    answer = gw.api(path, method, headers={'Content-Type': 'application/json'},
                    body=None if method == 'DELETE' else body)
    assert answer.status == 405
    assert answer.json()['code'] == 12
    assert message.split(' entities')[0] in answer.json()['message']
    assert gw.api('/services/one').json()['name'] == 'one'


def test_methods_that_an_endpoint_lacks(gw):
    for method, path in (('DELETE', '/services'), ('PATCH', '/'), ('POST', '/status')):
        answer = gw.api(path, method)
        assert (answer.status, answer.json()) == (405, {'message': 'Method not allowed'}), path


def test_options_and_head(gw):
    answer = gw.api('/services', 'OPTIONS')
    assert (answer.status, answer.body) == (204, b'')
    assert answer.get('Allow') == 'GET, HEAD, OPTIONS, POST'
    assert answer.get('Access-Control-Allow-Methods') == 'GET, HEAD, OPTIONS, POST'
    assert answer.get('Access-Control-Allow-Headers') == 'Content-Type'
    assert gw.api('/services/one', 'HEAD').status == 200
    assert gw.api('/services/none', 'HEAD').status == 404


@pytest.mark.parametrize('headers,body,status', [
    ({'Content-Type': 'image/png'}, b'x', 415), ({}, b'x', 415),
    ({'Content-Type': 'application/json'}, b'{"a"', 400),
])
def test_bodies_that_cannot_be_read(gw, headers, body, status):
    answer = gw.api('/services', 'POST', headers=headers, body=body)
    assert answer.status == status
    if status == 400:
        assert answer.json() == {'message': 'Cannot parse JSON body'}
    else:
        assert answer.body == b''


def test_status(gw):
    said = gw.api('/status').json()
    assert said['database'] == {'reachable': True}
    assert re.fullmatch('[0-9a-f]{32}', said['configuration_hash'])
    assert said['server']['total_requests'] > 0
    assert {'connections_active', 'connections_accepted', 'connections_handled',
            'connections_reading', 'connections_writing', 'connections_waiting'} <= \
        set(said['server'])


def test_endpoints_are_listed(gw):
    listed = data(gw, '/endpoints')
    assert {'/', '/services', '/services/{services}', '/services/{services}/routes/{routes}',
            '/config', '/status', '/upstreams/{upstreams}/targets'} <= set(listed)


def test_schemas(gw):
    fields = {k: v for f in gw.api('/schemas/services').json()['fields'] for k, v in f.items()}
    assert fields['retries']['between'] == [0, 32767]
    answer = gw.api('/schemas/nonsense')
    assert (answer.status, answer.json()) == (404, {'message': "No entity named 'nonsense'"})


@pytest.mark.parametrize('body,status', [
    ({'name': 'x', 'host': 'h'}, 200), ({'name': 'a b', 'host': 'h'}, 400), ({'host': 1}, 400)])
def test_validate(gw, body, status):
    answer = gw.api('/schemas/services/validate', 'POST', body=json.dumps(body).encode(),
                    headers={'Content-Type': 'application/json'})
    assert answer.status == status
    if status == 200:
        assert answer.json() == {'message': 'schema validation successful'}
    else:
        assert answer.json()['code'] == 2


def test_other_endpoints(gw):
    assert gw.api('/robots.txt').body == b'User-agent: *\nDisallow: /'
    assert gw.api('/debug/node/log-level').json() == {'message': 'log level: info'}
    assert gw.api('/clustering/data-planes').status == 400
    assert 'enabled_plugins' in gw.api('/plugins/enabled').json()


def test_upstream_health(gw):
    answer = gw.api('/upstreams/many/health').json()
    assert {t['health'] for t in answer['data']} == {'HEALTHCHECKS_OFF'}
    assert 'node_id' in answer


def test_one_connection_serves_many_requests(gw):
    with Client(gw.admin) as c:
        for _ in range(20):
            assert c.get('/services').status == 200


def test_the_status_listener(module_gateway):
    port = free_port()
    module_gateway(CONFIG, conf={'status_listen': f'127.0.0.1:{port}'})
    assert ask(port, '/status').status == 200
    assert ask(port, '/services').status == 404
    assert ask(port, '/upstreams/many/targets').status == 200
