# SPDX-License-Identifier: Apache-2.0
"""The groups of a consumer go by their names below it: /consumers/:consumer/acls/:group."""
import json
import uuid

import pytest

from harness.config import declarative
from harness.postgres import Postgres

NOT_FOUND = (404, {'message': 'Not found'})


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    return answer.status, answer.json() if answer.body else None


@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def gw(request, module_gateway):
    pg = None
    if request.param == 'sqlite':
        one = module_gateway(conf={'database': 'sqlite'})
    else:
        pg = Postgres().start()
        one = module_gateway(conf=pg.new_database(), start=False)
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
        one.start()
    try:
        for name in 'anna', 'jack':
            assert call(one, 'PUT', f'/consumers/{name}', {})[0] == 200
        yield one
        one.stop()
    finally:
        if pg:
            pg.end()


def test_each_consumer_has_its_own_group_of_a_name(gw):
    made = {name: call(gw, 'POST', f'/consumers/{name}/acls', {'group': 'foo'})[1] for name in ('anna', 'jack')}
    assert made['anna']['id'] != made['jack']['id']
    for name, group in made.items():
        assert call(gw, 'GET', f'/consumers/{name}/acls/foo') == (200, group)
        assert call(gw, 'GET', f"/consumers/{name}/acls/{group['id']}") == (200, group)
    assert call(gw, 'GET', f"/consumers/anna/acls/{made['jack']['id']}") == NOT_FOUND
    assert call(gw, 'GET', '/consumers/anna/acls/bar') == NOT_FOUND
    assert call(gw, 'GET', '/consumers/nobody/acls/foo') == NOT_FOUND
    assert call(gw, 'GET', '/acls/foo')[0] == 400, 'a name alone says nothing'


def test_put_makes_the_group_and_finds_it_again(gw):
    status, made = call(gw, 'PUT', '/consumers/anna/acls/p%20ro', {})
    assert status == 200 and made['group'] == 'p ro' and made['tags'] is None
    status, again = call(gw, 'PUT', '/consumers/anna/acls/p%20ro', {'tags': ['t']})
    assert status == 200 and again['id'] == made['id'] and again['tags'] == ['t']
    assert call(gw, 'PUT', '/consumers/jack/acls/p%20ro', {})[1]['id'] != made['id']
    status, renamed = call(gw, 'PUT', '/consumers/anna/acls/p%20ro', {'group': 'con'})
    assert status == 200 and (renamed['id'], renamed['group']) == (made['id'], 'con')
    status, answer = call(gw, 'PUT', f'/consumers/anna/acls/{uuid.uuid4()}', {'group': 123})
    assert status == 400 and answer['fields'] == {'group': 'expected a string'}


def test_patch_and_delete_take_the_name(gw):
    made = call(gw, 'PUT', '/consumers/anna/acls/old', {})[1]
    status, changed = call(gw, 'PATCH', '/consumers/anna/acls/old', {'group': 'new'})
    assert status == 200 and (changed['id'], changed['group']) == (made['id'], 'new')
    assert call(gw, 'PATCH', '/consumers/anna/acls/old', {'group': 'x'}) == NOT_FOUND
    assert call(gw, 'PATCH', '/consumers/anna/acls/new', {'group': 1})[0] == 400
    assert call(gw, 'DELETE', '/consumers/jack/acls/new') == NOT_FOUND
    assert call(gw, 'DELETE', '/consumers/anna/acls/new') == (204, None)
    assert call(gw, 'DELETE', '/consumers/anna/acls/new') == NOT_FOUND


def test_without_a_database_they_are_shown(gateway):
    one = gateway(declarative(consumers=[{'username': 'jo', 'acls': [{'group': 'staff'}]}]))
    assert call(one, 'GET', '/consumers/jo/acls/staff')[1]['group'] == 'staff'
    assert call(one, 'GET', '/consumers/jo/acls/other') == NOT_FOUND
    status, answer = call(one, 'PUT', '/consumers/jo/acls/other', {})
    assert status == 405 and answer['message'] == (
        "cannot create or update 'acls' entities when not using a database")
    assert call(one, 'DELETE', '/consumers/jo/acls/staff')[0] == 405
