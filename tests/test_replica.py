# SPDX-License-Identifier: Apache-2.0
"""A primary and a server that follows it: the proxy's reads go to the latter, all of the Admin API
and what this node wrote a moment ago to the former."""
import uuid

import pytest

from harness.fleet import Fleet, call
from harness.postgres import Postgres
from harness.waits import wait_for


@pytest.fixture(scope='module')
def servers():
    primary = Postgres().start()
    replica = primary.replica()
    yield primary, replica
    replica.end()
    primary.end()


@pytest.fixture
def fleet(servers, gateway, origin):
    """Whose second node reads from the replica."""
    primary, replica = servers
    fleet = Fleet(primary, gateway, origin(), 'd' + uuid.uuid4().hex[:10])
    fleet.node()
    fleet.replica = replica
    wait_for(lambda: replica.sql("SELECT count(*) FROM pg_database WHERE datname = "
                                 f"'{fleet.name}'") == '1', 'the replica to follow')
    follow(fleet)
    yield fleet
    replica.sql('SELECT pg_wal_replay_resume()')


def follow(fleet):
    at = fleet.server.sql('SELECT pg_current_wal_lsn()')
    wait_for(lambda: fleet.replica.sql(f"SELECT pg_last_wal_replay_lsn() >= '{at}'") == 't',
             'the replica to have caught up')


def add_key(fleet, key):
    """As another node does, without a word."""
    fleet.sql("INSERT INTO keyauth_credentials (id, created_at, key, consumer_id, ws_id) SELECT"
              f" '{uuid.uuid4()}', now(), '{key}', id, ws_id FROM consumers")


def status(gw, key):
    return gw.get('/', headers=[('apikey', key)]).status


def test_requests_are_answered_from_the_replica(fleet):
    call(fleet.first, 'POST', '/consumers', {'username': 'jo'})
    follow(fleet)
    gw = fleet.node(pg_ro_host='127.0.0.1', pg_ro_port=str(fleet.replica.port),
                    db_cache_neg_ttl='0.05')
    assert status(gw, 'k1') == 401
    fleet.replica.sql('SELECT pg_wal_replay_pause()')
    wait_for(lambda: fleet.replica.sql('SELECT pg_get_wal_replay_pause_state()') == 'paused',
             'the replica to stand still')
    add_key(fleet, 'k1')
    assert [e['key'] for e in call(gw, 'GET', '/key-auths')['data']] == ['k1']
    assert status(gw, 'k1') == 401
    assert status(fleet.first, 'k1') == 200
    fleet.replica.sql('SELECT pg_wal_replay_resume()')
    wait_for(lambda: status(gw, 'k1') == 200, 'the replica to know the key')


def test_what_this_node_wrote_is_read_from_the_primary(fleet):
    gw = fleet.node(pg_ro_host='127.0.0.1', pg_ro_port=str(fleet.replica.port))
    fleet.replica.sql('SELECT pg_wal_replay_pause()')
    call(gw, 'POST', '/consumers', {'username': 'jo'})
    call(gw, 'POST', '/consumers/jo/key-auth', {'key': 'k1'})
    assert status(gw, 'k1') == 200
    call(gw, 'POST', '/services/s/routes', {'name': 'new', 'paths': ['/new']})
    wait_for(lambda: gw.get('/new', headers=[('apikey', 'k1')]).status == 200, 'the route')


def test_a_replica_that_is_away(fleet):
    """What is known serves on; what is not cannot be asked for; writing goes on."""
    call(fleet.first, 'POST', '/consumers', {'username': 'jo'})
    call(fleet.first, 'POST', '/consumers/jo/key-auth', {'key': 'k1'})
    follow(fleet)
    gw = fleet.node(pg_ro_host='127.0.0.1', pg_ro_port=str(fleet.replica.port))
    assert status(gw, 'k1') == 200
    fleet.replica.stop()
    assert status(gw, 'k1') == 200
    assert status(gw, 'k2') == 500
    call(gw, 'POST', '/consumers', {'username': 'jane'})
    fleet.replica.start()
    wait_for(lambda: fleet.replica.sql('SELECT 1') == '1', 'the replica to be back')
    follow(fleet)
    wait_for(lambda: status(gw, 'k2') == 401, 'the replica to be asked again')
