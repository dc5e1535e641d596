# SPDX-License-Identifier: Apache-2.0
"""Writes through the Admin API on a database: what is answered, kept and served."""
import json
import re
import uuid

import pytest

from harness.client import ask
from harness.postgres import Postgres
from harness.waits import wait_for

NOBODY = '99999999-9999-4999-8999-999999999999'


@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def database(request):
    """What kong.conf says of a fresh database of that kind."""
    if request.param == 'sqlite':
        yield {'database': 'sqlite'}
        return
    pg = Postgres().start()
    try:
        yield pg.new_database()
    finally:
        pg.end()


@pytest.fixture(scope='module')
def gw(module_gateway, database):
    one = module_gateway(conf=database, start=False)
    if database['database'] == 'postgres':
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
    return one.start()


@pytest.fixture
def name():
    return 'n' + uuid.uuid4().hex[:12]


def call(gw, method, path, body=None, status=None, kind='application/json'):
    headers, data = [], None
    if body is not None:
        data = body if isinstance(body, str) else json.dumps(body)
        headers = [('Content-Type', kind)]
    answer = gw.api(path, method, body=data.encode() if data is not None else None,
                    headers=headers)
    if status is not None:
        assert answer.status == status, answer
    return answer.json() if answer.body else None


def post(gw, path, body, status=201):
    return call(gw, 'POST', path, body, status)


# ---- the life of an entity ------------------------------------------------------------

def test_a_service_and_its_route_are_served(gw, name, module_origin):
    origin = module_origin()
    service = post(gw, '/services', {'name': name, 'url': f'http://127.0.0.1:{origin.port}'})
    assert service['host'] == '127.0.0.1' and service['retries'] == 5
    assert service['created_at'] == service['updated_at']
    route = post(gw, f'/services/{name}/routes', {'name': name, 'paths': [f'/{name}']})
    assert route['service'] == {'id': service['id']}
    wait_for(lambda: gw.get(f'/{name}').status == 200, 'the route to be served', 1)
    call(gw, 'PATCH', f'/services/{name}', {'enabled': False}, 200)
    wait_for(lambda: gw.get(f'/{name}').status == 404, 'the service to be gone', 1)
    call(gw, 'DELETE', f'/routes/{name}', status=204)
    call(gw, 'DELETE', f'/services/{name}', status=204)
    call(gw, 'GET', f'/services/{name}', status=404)


def test_an_id_may_be_given(gw, name):
    given = str(uuid.uuid4())
    made = post(gw, '/consumers', {'id': given.upper(), 'username': name})
    assert made['id'] == given
    assert call(gw, 'GET', f'/consumers/{given}', status=200) == made


def test_patch_keeps_what_it_does_not_say(gw, name):
    made = post(gw, '/upstreams', {'name': name, 'tags': ['t'],
                                   'healthchecks': {'active': {'timeout': 3}}})
    changed = call(gw, 'PATCH', f'/upstreams/{name}',
                   {'healthchecks': {'active': {'concurrency': 2}}}, 200)
    assert changed['healthchecks']['active']['timeout'] == 3
    assert changed['healthchecks']['active']['concurrency'] == 2
    assert call(gw, 'PATCH', f'/upstreams/{name}', {'id': str(uuid.uuid4())}, 200)['id'] == made['id']
    assert changed['tags'] == ['t'] and changed['created_at'] == made['created_at']
    assert call(gw, 'PATCH', f'/upstreams/{name}', {'tags': None}, 200)['tags'] is None


def test_put_replaces_and_creates(gw, name):
    made = call(gw, 'PUT', f'/services/{name}', {'host': 'a.test', 'retries': 1}, 200)
    assert made['name'] == name and made['retries'] == 1
    again = call(gw, 'PUT', f'/services/{name}', {'host': 'b.test'}, 200)
    assert again['id'] == made['id'] and again['host'] == 'b.test' and again['retries'] == 5
    given = str(uuid.uuid4())
    assert call(gw, 'PUT', f'/services/{given}', {'host': 'c.test'}, 200)['id'] == given
    assert call(gw, 'PUT', f'/services/{given}', {'host': 'c.test', 'created_at': 17},
                200)['created_at'] == 17


def test_delete_of_what_is_not_there_is_done(gw):
    call(gw, 'DELETE', f'/services/{NOBODY}', status=204)
    call(gw, 'DELETE', '/services/nobody', status=204)


def test_forms(gw, name):
    made = call(gw, 'POST', '/routes', f'name={name}&paths[]=/a&paths[]=/b&headers.x[]=1&'
                'strip_path=false&tags=one', 201, 'application/x-www-form-urlencoded')
    assert made['paths'] == ['/a', '/b'] and made['headers'] == {'x': ['1']}
    assert made['strip_path'] is False and made['tags'] == ['one']


def test_foreign_keys_by_name(gw, name):
    service = post(gw, '/services', {'name': name, 'host': 'h'})
    route = post(gw, '/routes', {'paths': ['/'], 'service': {'name': name}})
    assert route['service'] == {'id': service['id']}
    said = post(gw, '/routes', {'paths': ['/'], 'service': {'name': 'no' + name}}, 400)
    assert said['code'] == 13
    assert said['fields'] == {'service': {'name': 'the foreign key cannot be resolved with '
                                          f"'{{name=\"no{name}\"}}' for an existing "
                                          "'services' entity"}}


def test_the_entity_behind_a_foreign_key(gw, name):
    post(gw, '/routes', {'name': name, 'paths': [f'/{name}']})
    call(gw, 'GET', f'/routes/{name}/service', status=404)
    service = call(gw, 'PUT', f'/routes/{name}/service', {'host': 'h', 'name': name}, 200)
    assert call(gw, 'GET', f'/routes/{name}/service', status=200) == service
    assert call(gw, 'PATCH', f'/routes/{name}/service', {'port': 81}, 200)['port'] == 81
    call(gw, 'DELETE', f'/routes/{name}/service', status=405)
    assert call(gw, 'GET', f'/services/{name}/routes/{name}', status=200)['name'] == name
    call(gw, 'DELETE', f'/services/{name}/routes/{name}', status=204)


# ---- refusals -----------------------------------------------------------------------------

def test_a_name_that_is_taken(gw, name):
    post(gw, '/services', {'name': name, 'host': 'h'})
    assert post(gw, '/services', {'name': name, 'host': 'h'}, 409) == {
        'code': 5, 'name': 'unique constraint violation', 'fields': {'name': name},
        'message': f"UNIQUE violation detected on '{{name=\"{name}\"}}'"}
    other = post(gw, '/services', {'host': 'h'})
    assert call(gw, 'PATCH', f'/services/{other["id"]}', {'name': name}, 409)['code'] == 5


def test_an_id_that_is_taken(gw):
    made = post(gw, '/services', {'host': 'h'})
    said = post(gw, '/services', {'id': made['id'], 'host': 'h'}, 400)
    assert said['code'] == 3
    assert said['message'] == f"primary key violation on key '{{id=\"{made['id']}\"}}'"


def test_a_parent_that_is_not_there(gw):
    said = post(gw, '/routes', {'paths': ['/'], 'service': {'id': NOBODY}}, 400)
    assert said == {
        'code': 4, 'name': 'foreign key violation', 'fields': {'service': {'id': NOBODY}},
        'message': f"the foreign key '{{id=\"{NOBODY}\"}}' does not reference an existing "
                   "'services' entity."}


def test_a_parent_that_is_needed(gw, name):
    post(gw, '/services', {'name': name, 'host': 'h'})
    post(gw, f'/services/{name}/routes', {'paths': ['/']})
    assert call(gw, 'DELETE', f'/services/{name}', status=400) == {
        'code': 4, 'name': 'foreign key violation', 'fields': {'@referenced_by': 'routes'},
        'message': "an existing 'routes' entity references this 'services' entity"}


def test_children_that_go_along(gw, name):
    post(gw, '/upstreams', {'name': name})
    post(gw, f'/upstreams/{name}/targets', {'target': '127.0.0.1:80'})
    said = post(gw, f'/upstreams/{name}/targets', {'target': '127.0.0.1:80'}, 409)
    assert said['code'] == 5 and said['fields']['target'] == '127.0.0.1:80'
    call(gw, 'DELETE', f'/upstreams/{name}', status=204)
    call(gw, 'GET', f'/upstreams/{name}/targets', status=404)


def test_patch_of_what_is_not_there(gw):
    said = call(gw, 'PATCH', f'/services/{NOBODY}', {'host': 'h'}, 404)
    assert said['code'] == 6


@pytest.mark.parametrize('body, fields', [
    ({}, {'host': 'required field missing'}),
    ({'host': 'h', 'port': 'x'}, {'port': 'expected an integer'}),
    ({'host': 'h', 'ca_certificates': [NOBODY]},
     {'ca_certificates': 'must be set only when protocol'}),
])
def test_documents_are_checked(gw, body, fields):
    said = post(gw, '/services', body, 400)
    assert said['code'] == 2 and set(fields) <= set(said['fields'])


def test_authorities_that_are_not_there(gw):
    said = post(gw, '/services', {'url': 'https://h', 'ca_certificates': [NOBODY]}, 400)
    assert said['code'] == 2 and set(said['fields']) == {'ca_certificates'}


# ---- certificates -----------------------------------------------------------------------------

def test_names_of_a_certificate(gw, name, certs):
    ca = certs.authority(name)
    pair = certs.make('a.' + name, ['a.' + name], by=ca)
    one, two = 'a.' + name, 'b.' + name
    made = post(gw, '/certificates', {'cert': pair.cert, 'key': pair.key, 'snis': [two, one]})
    assert made['snis'] == [one, two]
    assert call(gw, 'GET', f'/certificates/{one}', status=200) == made
    said = post(gw, '/certificates', {'cert': pair.cert, 'key': pair.key, 'snis': [one]}, 400)
    assert said['message'] == (f'schema violation (snis: {one} already associated with existing '
                               f"certificate '{made['id']}')")
    said = post(gw, '/certificates', {'cert': pair.cert, 'key': pair.key, 'snis': [name, name]},
                400)
    assert said['message'] == f'schema violation (snis: {name} is duplicated)'
    assert call(gw, 'PATCH', f'/certificates/{one}', {'tags': ['x']}, 200)['snis'] == [one, two]
    assert call(gw, 'PATCH', f'/certificates/{one}', {'snis': [one]}, 200)['snis'] == [one]
    call(gw, 'GET', f'/snis/{two}', status=404)
    put = call(gw, 'PUT', f'/certificates/{two}', {'cert': pair.cert, 'key': pair.key,
                                                   'snis': ['c.' + name]}, 200)
    assert put['snis'] == [two, 'c.' + name] and put['id'] != made['id']
    call(gw, 'DELETE', f'/certificates/{one}', status=204)
    call(gw, 'GET', f'/snis/{one}', status=404)
    assert call(gw, 'GET', f'/certificates/{one}', status=404) == {'message': 'SNI not found'}
    wait_for(lambda: pair_of(gw, two) == pair.cert, 'the certificate to be shown', 2)


def pair_of(gw, sni):
    import ssl
    import socket
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(('127.0.0.1', gw.proxy_tls)) as sock:
        with context.wrap_socket(sock, server_hostname=sni) as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))


def test_an_authority_is_kept_once(gw, name, certs):
    pem = certs.authority(name).cert
    made = post(gw, '/ca_certificates', {'cert': pem})
    assert re.fullmatch('[0-9a-f]{64}', made['cert_digest'])
    assert post(gw, '/ca_certificates', {'cert': pem}, 409)['fields'] == {
        'cert_digest': made['cert_digest']}
    service = post(gw, '/services', {'url': 'https://h', 'ca_certificates': [made['id']]})
    assert service['ca_certificates'] == [made['id']]


# ---- credentials ---------------------------------------------------------------------------------

def test_a_key_lives_as_long_as_its_ttl(gw, name, module_origin):
    origin = module_origin()
    post(gw, '/services', {'name': name, 'url': f'http://127.0.0.1:{origin.port}'})
    post(gw, f'/services/{name}/routes', {'paths': ['/' + name]})
    post(gw, f'/services/{name}/plugins', {'name': 'key-auth'})
    post(gw, '/consumers', {'username': name})
    made = post(gw, f'/consumers/{name}/key-auth', {'key': 'k' + name, 'ttl': 6})
    assert made['ttl'] in (5, 6)
    lasting = post(gw, f'/consumers/{name}/key-auth', {})
    assert len(lasting['key']) == 32 and lasting['ttl'] is None
    for ttl in (-1, 1.5, 100000001, 'x', True):
        words = 'must be an integer between 0 and 100000000'
        assert call(gw, 'POST', f'/consumers/{name}/key-auth', {'ttl': ttl}, status=400) == {
            'code': 11, 'name': 'invalid options', 'message': f'invalid option (ttl: {words})',
            'options': {'ttl': words}}

    def asked(key):
        return ask(gw.proxy, '/' + name, headers=[('apikey', key)]).status

    wait_for(lambda: asked('k' + name) == 200, 'the key to be known', 2)
    wait_for(lambda: asked('k' + name) == 401, 'the key to be over', 9)
    assert asked(lasting['key']) == 200
    call(gw, 'GET', f'/key-auths/{made["id"]}', status=404)
    assert len(call(gw, 'GET', f'/consumers/{name}/key-auth')['data']) == 1
    call(gw, 'DELETE', f'/consumers/{name}', status=204)
    call(gw, 'GET', f'/key-auths/{lasting["id"]}', status=404)


# ---- lists ---------------------------------------------------------------------------------------

def test_pages_and_tags(gw, name):
    for i in range(12):
        post(gw, '/consumers', {'username': f'{name}{i}',
                                'tags': [name, 'odd' + name if i % 2 else 'even' + name]})
    seen, path = [], f'/consumers?tags={name}&size=5'
    while path:
        page = call(gw, 'GET', path, status=200)
        seen += [c['id'] for c in page['data']]
        assert ('offset' in page) == (page['next'] is not None)
        path = page['next']
    assert len(seen) == 12 and seen == sorted(seen)
    both = call(gw, 'GET', f'/consumers?tags={name},odd{name}', status=200)['data']
    assert len(both) == 6
    either = call(gw, 'GET', f'/consumers?tags=odd{name}/even{name}', status=200)['data']
    assert len(either) == 12
    tags = call(gw, 'GET', f'/tags/odd{name}', status=200)['data']
    assert {t['entity_name'] for t in tags} == {'consumers'} and len(tags) == 6


def test_bad_offset(gw):
    said = call(gw, 'GET', '/consumers?offset=!', status=400)
    assert said['code'] == 7
    assert said['message'] == "'!' is not a valid offset: bad base64 encoding"


SAME = [
    ('POST', '/services', {'id': NOBODY, 'name': 'all', 'url': 'https://h.test:81/p',
                           'created_at': 7, 'updated_at': 7, 'tags': ['b', 'a', 'NULL', '"q"'],
                           'tls_verify': True}),
    ('POST', '/routes', {'id': NOBODY, 'name': 'r', 'created_at': 7, 'service': {'id': NOBODY},
                         'headers': {'x-long': ['1'], 'b': ['2', '3']}, 'paths': ['/a', '~/b\\d'],
                         'protocols': ['https', 'http'], 'snis': ['a.test']}),
    ('POST', '/routes', {'name': 'r', 'paths': ['/']}),
    ('POST', '/routes', {'id': NOBODY.replace('9', '8'), 'created_at': 7, 'protocols': ['tcp'],
                         'sources': [{'ip': '10.0.0.0/8', 'port': 1}, {'ip': '::1'}]}),
    ('DELETE', '/services/all', None),
    ('POST', '/upstreams', {'id': NOBODY, 'name': 'u', 'created_at': 7,
                            'healthchecks': {'threshold': 12.5, 'active': {
                                'timeout': 0.25, 'headers': {'z': ['1'], 'aa': ['2']}}}}),
    ('POST', '/upstreams/u/targets', {'id': NOBODY, 'created_at': 7.125, 'target': 'h.test'}),
    ('POST', '/upstreams/u/targets', {'target': 'h.test:8000'}),
    ('POST', '/consumers', {'id': NOBODY, 'username': 'J\u00fcrgen {a,b}', 'created_at': 7}),
    ('POST', '/plugins', {'id': NOBODY, 'name': 'key-auth', 'created_at': 7,
                          'config': {'key_names': ['k', 'l']}, 'consumer': None}),
    ('POST', '/plugins', {'name': 'key-auth'}),
    ('POST', '/consumers', {'username': 'x', 'id': 'no'}),
    ('PATCH', '/routes/r', {'service': {'id': NOBODY.replace('9', '7')}}),
    ('PATCH', f'/upstreams/{NOBODY}', {'slots': 5}),
    *(('GET', '/' + kind, None) for kind in ('services', 'routes', 'upstreams', 'consumers',
                                             'plugins', 'tags', 'upstreams/u/targets')),
]


def test_both_databases_answer_alike(gateway):
    pg, said = Postgres().start(), []
    try:
        for conf in ({'database': 'sqlite'}, pg.new_database()):
            one = gateway(conf=conf, start=False)
            if conf['database'] == 'postgres':
                assert one.cli('migrations', 'bootstrap').returncode == 0
            one.start()
            answers = []
            for method, path, body in SAME:
                answer = one.api(path, method, headers=[('Content-Type', 'application/json')]
                                 if body else (), body=json.dumps(body).encode() if body else None)
                text = re.sub(r'"updated_at":\d+', '"updated_at":0', answer.text)
                answers.append((method, path, answer.status, text))
            said.append(answers)
            one.stop()
    finally:
        pg.end()
    for a, b in zip(*said):
        assert a == b


# ---- the node -----------------------------------------------------------------------------------------

def test_config_is_for_nodes_without_a_database(gw):
    said = call(gw, 'GET', '/config', status=400)
    assert said['message'] == ('this endpoint is only available when Kong is configured to not '
                               'use a database')


def test_the_root_says_which_database(gw, database):
    assert call(gw, 'GET', '/')['configuration']['database'] == database['database']
    status = call(gw, 'GET', '/status')
    assert status['database'] == {'reachable': True}
    assert 'configuration_hash' not in status


def test_what_was_written_is_there_after_a_reload_and_a_restart(gateway, origin):
    one, o = gateway(conf={'database': 'sqlite'}), origin()
    post(one, '/services', {'name': 's', 'url': f'http://127.0.0.1:{o.port}'})
    post(one, '/services/s/routes', {'paths': ['/']})
    one.reload()
    assert one.get('/').status == 200
    one.stop()
    one.start()
    assert one.get('/').status == 200
    assert [s['name'] for s in call(one, 'GET', '/services')['data']] == ['s']


def test_a_strict_node_has_served_what_it_answered(gateway, origin):
    one, o = gateway(conf={'database': 'sqlite', 'worker_consistency': 'strict'}), origin()
    post(one, '/services', {'name': 's', 'url': f'http://127.0.0.1:{o.port}'})
    for i in range(20):
        post(one, '/services/s/routes', {'paths': [f'/{i}/']})
        assert ask(one.proxy, f'/{i}/').status == 200


def test_the_proxy_serves_on_while_the_database_is_away(gateway, origin):
    pg, o = Postgres().start(), origin()
    try:
        one = gateway(conf={**pg.new_database(), 'pg_timeout': '2000'}, start=False)
        assert one.cli('migrations', 'bootstrap').returncode == 0
        one.start()
        post(one, '/services', {'name': 's', 'url': f'http://127.0.0.1:{o.port}'})
        post(one, '/services/s/routes', {'paths': ['/']})
        wait_for(lambda: one.get('/').status == 200, 'the route to be served', 2)
        pg.stop()
        assert one.get('/').status == 200
        assert call(one, 'GET', '/status')['database'] == {'reachable': False}
        assert call(one, 'GET', '/services', status=500) == {
            'message': 'An unexpected error occurred'}
        call(one, 'POST', '/services', {'name': 't', 'host': 'h'}, 500)
        assert one.get('/').status == 200
        pg.start()
        wait_for(lambda: one.api('/services').status == 200, 'the Admin API', 5)
        post(one, '/services', {'name': 't', 'host': 'h'})
        post(one, '/services/s/routes', {'paths': ['/new'], 'name': 'new'})
        wait_for(lambda: 'new' in str(call(one, 'GET', '/routes')), 'the write', 2)
        assert call(one, 'GET', '/status')['database'] == {'reachable': True}
    finally:
        pg.end()
