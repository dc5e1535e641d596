# SPDX-License-Identifier: Apache-2.0
"""kong.yml in all its spellings, and what is said about one that is wrong."""
import json
import subprocess

import pytest

from harness.gateway import PROGRAM, clean_environment
from harness.waits import patience



@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


def parse(tmp_path, text, name='kong.yml'):
    (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps(text))
    done = subprocess.run([PROGRAM, 'config', 'parse', str(tmp_path / name)], capture_output=True,
                          text=True, env=clean_environment(), timeout=patience(20))
    return done.returncode, done.stdout + done.stderr


NESTED = '''
_format_version: "3.0"
_comment: who made this
_ignore: [anything]
_transform: true
services:
- name: s
  url: {url}/s
  tags: [one, two]
  routes:
  - name: r
    paths: [/r]
    strip_path: false
'''
FLAT_BY_NAME = '''
_format_version: "3.0"
services:
- {{name: s, url: "{url}/s"}}
routes:
- name: r
  service: s
  paths:
  - /r
  strip_path: false
'''
FLAT_BY_ID = '''
_format_version: "2.1"
services:
- {{id: 5b2e0fbf-8f0f-4b7a-9a0c-0d0f0e8b7a11, host: 127.0.0.1, port: {port}, path: /s}}
routes:
- name: r
  service: 5b2e0fbf-8f0f-4b7a-9a0c-0d0f0e8b7a11
  paths: [/r]
  strip_path: false
'''
ANCHORS = '''
_format_version: "1.1"
_ignore:
- &base {{strip_path: false}}
services:
- name: s
  url: {url}/s
  routes:
  - <<: *base
    name: r
    paths: [/r]
'''


@pytest.mark.parametrize('text', [NESTED, FLAT_BY_NAME, FLAT_BY_ID, ANCHORS])
def test_spellings_of_one_configuration(gateway, origin1, text):
    gw = gateway(text.format(url=origin1.url, port=origin1.port))
    assert gw.get('/r').json()['target'] == '/s/r'
    assert [r['name'] for r in gw.api('/routes').json()['data']] == ['r']


def test_a_json_file(gateway, origin1):
    gw = gateway(start=False)
    path = gw.config_path.replace('.yml', '.json')
    with open(path, 'w') as out:
        json.dump({'_format_version': '3.0', 'services': [
            {'name': 's', 'url': origin1.url + '/s', 'routes': [{'paths': ['/r']}]}]}, out)
    gw.write_conf(declarative_config=path)
    gw.start()
    assert gw.get('/r').json()['target'] == '/s'


def test_a_configuration_in_a_property(gateway, origin1):
    text = json.dumps({'_format_version': '3.0', 'services': [
        {'name': 's', 'url': origin1.url + '/s', 'routes': [{'paths': ['/r']}]}]})
    gw = gateway(env={'KONG_DECLARATIVE_CONFIG_STRING': text})
    assert gw.get('/r').json()['target'] == '/s'


@pytest.mark.parametrize('version,path,matches', [
    ('1.1', '/re/[0-9]+', True), ('2.1', '/re/[0-9]+', True),
    ('3.0', '~/re/[0-9]+', True), ('2.1', '/re/', True),
])
def test_old_formats_spell_regexes_without_a_tilde(gateway, origin1, version, path, matches):
    gw = gateway({'_format_version': version, 'services': [
        {'name': 's', 'url': origin1.url, 'routes': [{'paths': [path]}]}]})
    assert (gw.get('/re/12').status == 200) == matches


def test_ids_are_the_same_on_each_load(gateway, origin1):
    text = NESTED.format(url=origin1.url)
    ids = [gateway(text).api('/services/s').json()['id'] for _ in range(2)]
    assert ids[0] == ids[1]


def test_ids_given_are_kept(gateway, origin1):
    gw = gateway(FLAT_BY_ID.format(port=origin1.port))
    assert gw.api('/services/5b2e0fbf-8f0f-4b7a-9a0c-0d0f0e8b7a11').status == 200


def test_every_core_entity_is_taken(gateway, origin1, certs):
    ca, pair = certs.authority(), certs.make('x.test')
    id_ = '33333333-3333-4333-8333-333333333333'
    jwk = {'kty': 'EC', 'kid': 'k1', 'crv': 'P-256',
           'x': 'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4',
           'y': '4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM'}
    gw = gateway({
        '_format_version': '3.0',
        'services': [{'name': 's', 'url': origin1.url, 'routes': [{'name': 'r', 'paths': ['/']}]}],
        'consumers': [{'username': 'bob', 'custom_id': '7', 'tags': ['t']}],
        'upstreams': [{'name': 'u', 'targets': [{'target': '127.0.0.1:1'}]}],
        'certificates': [{'id': id_, 'cert': pair.cert, 'key': pair.key,
                          'snis': [{'name': 'x.test'}]}],
        'snis': [{'name': 'y.test', 'certificate': id_}],
        'ca_certificates': [{'cert': ca.cert}],
        'vaults': [{'name': 'env', 'prefix': 'my-vault', 'config': {'prefix': 'X_'}}],
        'key_sets': [{'name': 'ks'}],
        'keys': [{'name': 'k', 'kid': 'k1', 'set': 'ks', 'jwk': json.dumps(jwk)}],
    })
    for path, count in (('services', 1), ('routes', 1), ('consumers', 1), ('upstreams', 1),
                        ('upstreams/u/targets', 1), ('certificates', 1), ('snis', 2),
                        ('ca_certificates', 1), ('vaults', 1), ('key-sets', 1), ('keys', 1)):
        answer = gw.api('/' + path)
        assert (answer.status, len(answer.json()['data'])) == (200, count), path
    assert gw.get('/').status == 200


SERVICE = {'name': 's', 'url': 'http://127.0.0.1:1'}


def with_route(**fields):
    return {'_format_version': '3.0', 'services': [{**SERVICE, 'routes': [fields]}]}


@pytest.mark.parametrize('config,parts', [
    ({}, ['_format_version']),
    ({'_format_version': '9.9'}, ['_format_version']),
    ({'_format_version': '3.0', 'nonsense': 1}, ['nonsense', 'unknown field']),
    ({'_format_version': '3.0', 'services': [{**SERVICE, 'nonsense': 1}]},
     ['nonsense', 'unknown field']),
    ({'_format_version': '3.0', 'services': [{'name': 's'}]}, ['host', 'required field missing']),
    ({'_format_version': '3.0', 'services': [{**SERVICE, 'retries': 'many'}]},
     ['retries', 'expected an integer']),
    ({'_format_version': '3.0', 'services': [{**SERVICE, 'retries': 40000}]},
     ['retries', 'value should be between 0 and 32767']),
    ({'_format_version': '3.0', 'services': [{'host': 'h', 'protocol': 'ftp'}]},
     ['protocol', 'expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp']),
    ({'_format_version': '3.0', 'services': [{'name': 's', 'url': 'nonsense'}]},
     ['host', 'required field missing', 'path', 'should start with: /']),
    (with_route(name='r'), ["must set one of 'methods', 'hosts', 'headers', 'paths'"]),
    (with_route(paths=['nope']), ['paths', 'should start with: / (fixed path) or ~/ (regex path)']),
    (with_route(paths=['~/(']), ['paths', 'invalid regex']),
    (with_route(paths=['/a//b']), ['paths']),
    (with_route(hosts=['a.*.b']), ['hosts', 'invalid wildcard']),
    (with_route(paths=['/'], methods=['get']), ['methods', 'invalid value: get']),
    (with_route(paths=['/'], protocols=['http', 'tcp']), ['protocols']),
    (with_route(paths=['/'], https_redirect_status_code=300), ['https_redirect_status_code']),
    (with_route(paths=['/'], snis=['x'], protocols=['http']), ['snis']),
    ({'_format_version': '3.0', 'routes': [{'paths': ['/'], 'service': 'nowhere'}]}, ['nowhere']),
    ({'_format_version': '3.0', 'consumers': [{'tags': ['x']}]},
     ["at least one of these fields must be non-empty: 'custom_id', 'username'"]),
    ({'_format_version': '3.0', 'upstreams': [{'name': '1.2.3.4'}]}, ['no ip addresses allowed']),
    ({'_format_version': '3.0', 'certificates': [{'cert': 'x', 'key': 'y'}]},
     ['invalid certificate']),
    ({'_format_version': '3.0', 'services': 'text'}, ['services', 'expected an array']),
    ({'_format_version': '3.0', 'services': [SERVICE, SERVICE]}, ['s']),
    ('_format_version: "3.0"\nservices:\n\t- name: x\n', ['line']),
    ('just text', []),
])
def test_what_is_wrong_is_said_with_its_place(tmp_path, config, parts):
    status, said = parse(tmp_path, config)
    assert status == 1
    for part in ['Failed parsing', *parts]:
        assert part in said


def test_all_mistakes_are_told_at_once(tmp_path):
    status, said = parse(tmp_path, {'_format_version': '3.0', 'services': [
        {'name': 'a b', 'port': 'x', 'host': 'h'}, {'name': 'ok', 'host': 'h', 'retries': -1}]})
    assert status == 1
    assert all(part in said for part in ('name', 'port', 'retries'))


def test_an_alias_bomb_is_refused(tmp_path):
    lines = ['_format_version: "3.0"', 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    lines += [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 12)]
    status, said = parse(tmp_path, '\n'.join(lines))
    assert status == 1 and 'Failed parsing' in said


def test_a_deep_document_is_refused(tmp_path):
    status, said = parse(tmp_path, '_format_version: "3.0"\nx: ' + '[' * 5000 + ']' * 5000)
    assert status == 1 and 'Failed parsing' in said


def test_a_pem_key_of_another_certificate(tmp_path, certs):
    one, other = certs.make('one'), certs.make('other')
    status, said = parse(tmp_path, {'_format_version': '3.0', 'certificates': [
        {'cert': one.cert, 'key': other.key}]})
    assert status == 1 and 'certificate does not match key' in said
    assert other.key.splitlines()[1] not in said
