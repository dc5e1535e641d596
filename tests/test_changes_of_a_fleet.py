# SPDX-License-Identifier: Apache-2.0
"""What one node changes, and what a Kong beside us changes, is what the others serve: of a kind
they read only what changed, whichever words they are told it with."""
import json
import uuid

import pytest

from harness.client import ask
from harness.fleet import Fleet, call
from harness.postgres import Postgres
from harness.waits import wait_for


@pytest.fixture(scope='module')
def server():
    pg = Postgres().start()
    yield pg
    pg.end()


@pytest.fixture
def fleet(server, gateway, origin):
    return Fleet(server, gateway, origin(), 'd' + uuid.uuid4().hex[:10])


def serves(gw, path, status=200):
    """The route /r that the fleet begins with asks for a key: 401 is what others do not say."""
    wait_for(lambda: gw.get(path).status == status, f'{path} to be {status}')


def make(gw, name, url, **route):
    service = call(gw, 'POST', '/services', {'name': name, 'url': url})
    return service, call(gw, 'POST', f'/services/{name}/routes',
                         {'name': name, 'paths': [f'/{name}'], **route})


def test_every_change_of_one_node_is_seen_by_the_other(fleet):
    one, two = fleet.node(), fleet.node()
    service, route = make(one, 'a', fleet.origin.url)
    serves(two, '/a')
    make(one, 'b', fleet.origin.url)
    serves(two, '/b')
    call(one, 'PATCH', '/routes/a', {'paths': ['/moved']})
    serves(two, '/moved')
    serves(two, '/a', 401)
    call(one, 'PATCH', '/services/a', {'enabled': False})
    serves(two, '/moved', 401)
    call(two, 'PATCH', '/services/a', {'enabled': True})
    for gw in (one, two):
        serves(gw, '/moved')
        serves(gw, '/b')
    call(two, 'DELETE', '/routes/a')
    serves(one, '/moved', 401)
    call(two, 'PUT', f"/routes/{route['id']}", {'name': 'a', 'paths': ['/back'],
                                                'service': {'id': service['id']}})
    serves(one, '/back')
    for gw in (one, two):
        serves(gw, '/b')


def test_what_goes_with_a_parent_goes_on_every_node(fleet):
    one, two = fleet.node(), fleet.node()
    make(one, 'a', 'http://pool')
    call(one, 'POST', '/upstreams', {'name': 'pool'})
    call(one, 'POST', '/upstreams/pool/targets', {'target': fleet.origin.url.split('//')[1]})
    for gw in (one, two):
        serves(gw, '/a')
    call(one, 'POST', '/routes/a/plugins', {'name': 'request-termination',
                                           'config': {'status_code': 418}})
    for gw in (one, two):
        serves(gw, '/a', 418)
    call(two, 'DELETE', '/routes/a')
    call(two, 'DELETE', '/upstreams/pool')
    call(two, 'POST', '/services/a/routes', {'name': 'a', 'paths': ['/a']})
    for gw in (one, two):  # no plugin, no target: nobody answers to the name
        serves(gw, '/a', 503)
    for gw in (one, two):
        for kind in ('plugins', 'upstreams'):
            assert [e['name'] for e in call(gw, 'GET', f'/{kind}')['data']] \
                == {'plugins': ['key-auth'], 'upstreams': []}[kind]


@pytest.mark.parametrize('words', [
    ['routes:{id}:::::{ws}', 'router:version'],  # as Kong says it
    ['router:version'],
    ['routes:{id}:::::{ws}'],
    ['routes:'],
    ['*'],
])
def test_a_change_that_a_kong_beside_us_tells_of(fleet, words):
    gw = fleet.node()
    route = make(gw, 'a', fleet.origin.url)[1]
    serves(gw, '/a')
    fleet.sql(f"UPDATE routes SET paths = '{{/b}}' WHERE id = '{route['id']}'")
    for word in words:
        fleet.tell(word.format(id=route['id'], ws=fleet.workspace))
    serves(gw, '/b')
    serves(gw, '/a', 401)


def test_many_changes_at_once(fleet):
    """More than are read one by one."""
    one, two = fleet.node(), fleet.node()
    make(one, 'a', fleet.origin.url)
    serves(two, '/a')
    document = {'_format_version': '3.0', 'services': [
        {'name': f's{i}', 'url': fleet.origin.url,
         'routes': [{'name': f's{i}', 'paths': [f'/s{i}/']}]} for i in range(150)]}
    path = fleet.first.prefix + '/many.json'
    with open(path, 'w') as out:
        json.dump(document, out)
    done = one.cli('config', 'db_import', path)
    assert done.returncode == 0, done.stderr
    for gw in (one, two):
        for i in (0, 75, 149):
            serves(gw, f'/s{i}/')
        serves(gw, '/a')
    fleet.sql("UPDATE routes SET paths = ARRAY['/t' || substr(name, 2) || '/'] WHERE name ~ '^s'")
    for id in fleet.sql("SELECT id FROM routes WHERE name ~ '^s'").split():
        fleet.tell(f'routes:{id}:::::{fleet.workspace}')
    for i in (0, 75, 149):
        serves(one, f'/t{i}/')
    assert ask(one.proxy, '/s75/').status == 401
