# SPDX-License-Identifier: Apache-2.0
"""POST /config replaces everything at once, or nothing; what was posted is kept."""
import hashlib
import json
import urllib.parse

import pytest
import yaml

from harness.client import Client
from harness.config import everything_to, who
from harness.load import Load


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


def document(origin, name, **more):
    return {'_format_version': '3.0', 'services': [
        {'name': name, 'url': f'{origin.url}/{name}', 'routes': [
            {'name': name, 'paths': ['/'], 'strip_path': False}]}], **more}


JSON = {'Content-Type': 'application/json'}


def post(gw, body, headers=JSON, target='/config'):
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    return gw.api(target, 'POST', headers=headers,
                  body=body.encode() if isinstance(body, str) else body)


def test_each_way_to_post(gateway, origin1):
    gw = gateway()
    text = yaml.safe_dump(document(origin1, 'yaml'))
    ways = [
        ('json', JSON, json.dumps(document(origin1, 'json'))),
        ('field', JSON, json.dumps({'config': json.dumps(document(origin1, 'field'))})),
        ('yaml', {'Content-Type': 'text/yaml'}, text),
        ('form', {'Content-Type': 'application/x-www-form-urlencoded'},
         urllib.parse.urlencode({'config': yaml.safe_dump(document(origin1, 'form'))})),
        ('multi', {'Content-Type': 'multipart/form-data; boundary=xx'},
         '--xx\r\nContent-Disposition: form-data; name="config"; filename="kong.yml"\r\n\r\n'
         + yaml.safe_dump(document(origin1, 'multi')) + '\r\n--xx--\r\n'),
    ]
    for name, headers, body in ways:
        answer = post(gw, body, headers)
        assert answer.status == 201, (name, answer)
        assert who(gw.get('/')) == name
        services = answer.json()['services']
        assert [s['name'] for s in services.values()] == [name]


def test_the_answer_has_every_entity_by_id(gateway, origin1):
    gw = gateway()
    said = post(gw, document(origin1, 'all', consumers=[{'username': 'bob'}])).json()
    (service_id, service), = said['services'].items()
    assert service['id'] == service_id and service['retries'] == 5
    (_, r), = said['routes'].items()
    assert r['service'] == {'id': service_id}
    assert [c['username'] for c in said['consumers'].values()] == ['bob']


def test_a_bad_document_changes_nothing(gateway, origin1):
    gw = gateway()
    post(gw, document(origin1, 'good'))
    bad = document(origin1, 'bad')
    bad['services'][0]['nonsense'] = 1
    bad['services'].append({'name': 'second', 'retries': -1, 'host': 'h'})
    with Load(gw.proxy, kept=1, fresh=1, check=lambda a: who(a) == 'good') as load:
        answer = post(gw, bad)
        load.flow(20)
    assert load.failed == []
    assert answer.status == 400
    said = answer.json()
    assert (said['code'], said['name']) == (14, 'invalid declarative configuration')
    assert said['message'].startswith('declarative config is invalid: ')
    assert said['fields']['services'][0]['nonsense'] == 'unknown field'
    assert said['fields']['services'][1]['retries'] == 'value should be between 0 and 32767'


def test_flattened_errors(gateway, origin1):
    bad = document(origin1, 'bad')
    bad['services'][0].update(nonsense=1, tags=['t'])
    answer = post(gateway(), bad, target='/config?flatten_errors=1')
    assert answer.status == 400
    flat, = answer.json()['flattened_errors']
    assert (flat['entity_type'], flat['entity_name'], flat['entity_tags']) == ('service', 'bad',
                                                                             ['t'])
    assert {'type': 'field', 'field': 'nonsense', 'message': 'unknown field'} in flat['errors']


@pytest.mark.parametrize('body,headers,status', [
    ('{nonsense', JSON, 400), ('', JSON, 400), ('{}', JSON, 400),
    ('a: [b', {'Content-Type': 'text/yaml'}, 400), ('x', {'Content-Type': 'image/png'}, 415),
])
def test_what_is_no_document(gateway, body, headers, status):
    assert post(gateway(), body, headers).status == status


def test_check_hash(gateway, origin1):
    gw = gateway()
    text = {'Content-Type': 'text/yaml'}
    first = yaml.safe_dump(document(origin1, 'first'))
    assert post(gw, first, text, '/config?check_hash=1').status == 201
    again = post(gw, first, text, '/config?check_hash=1')
    assert (again.status, again.body) == (304, b'')
    assert post(gw, first, text).status == 201
    assert post(gw, yaml.safe_dump(document(origin1, 'other')), text,
                '/config?check_hash=1').status == 201
    assert who(gw.get('/')) == 'other'


def test_the_hash_in_the_status(gateway, origin1):
    gw = gateway()
    assert gw.api('/status').json()['configuration_hash'] == '0' * 32
    text = yaml.safe_dump(document(origin1, 'hashed'))
    post(gw, text, {'Content-Type': 'text/yaml'})
    assert gw.api('/status').json()['configuration_hash'] == hashlib.md5(text.encode()).hexdigest()


def test_get_gives_back_what_can_be_posted(gateway, origin1):
    gw = gateway()
    post(gw, document(origin1, 'mirror', consumers=[{'username': 'bob', 'tags': ['t']}]))
    text = gw.api('/config').json()['config']
    said = yaml.safe_load(text)
    assert said['services'][0]['name'] == 'mirror'
    ids = {s['id'] for s in gw.api('/services').json()['data']}
    assert post(gw, text, {'Content-Type': 'text/yaml'}).status == 201
    assert {s['id'] for s in gw.api('/services').json()['data']} == ids
    assert who(gw.get('/')) == 'mirror'


def test_what_was_posted_is_kept_over_reload_and_restart(gateway, origin1):
    gw = gateway()
    assert post(gw, document(origin1, 'kept')).status == 201
    gw.reload()
    assert who(gw.get('/')) == 'kept'
    gw.stop()
    gw.start()
    assert who(gw.get('/')) == 'kept'


def test_a_file_wins_at_a_restart(gateway, origin1):
    gw = gateway(document(origin1, 'file'))
    assert post(gw, document(origin1, 'posted')).status == 201
    assert who(gw.get('/')) == 'posted'
    gw.stop()
    gw.start()
    assert who(gw.get('/')) == 'file'


def test_posts_under_load_lose_nothing(gateway, origin1):
    gw = gateway(everything_to(origin1))
    with Load(gw.proxy, check=lambda a: a.status == 200) as load:
        for i in range(20):
            assert post(gw, document(origin1, f'n{i}')).status == 201
            assert who(gw.get('/')) == f'n{i}', 'a posted configuration is used at once'
        load.flow()
    assert load.failed == []


def test_a_large_document(gateway, origin1):
    gw = gateway()
    count = 5000
    body = {'_format_version': '3.0', 'services': [{'name': 's', 'url': origin1.url, 'routes': [
        {'name': f'r{i}', 'paths': [f'/r{i}/']} for i in range(count)]}]}
    assert post(gw, body).status == 201
    assert gw.get(f'/r{count - 1}/x').status == 200


def test_the_body_has_a_ceiling(gateway):
    gw = gateway()
    with Client(gw.admin) as c:
        c.send(b'POST /config HTTP/1.1\r\nHost: x\r\nContent-Type: text/yaml\r\n'
               b'Content-Length: 99999999999\r\n\r\n')
        assert c.read_response().status == 413
