# SPDX-License-Identifier: Apache-2.0
"""kong migrations: the tables of Kong 3.2.2, its words and its exit codes."""
import json
import os
import subprocess

import pytest

from harness.gateway import PROGRAM, ROOT, clean_environment
from harness.postgres import Postgres
from harness.waits import wait_for

with open(os.path.join(ROOT, 'tests/contract/kong-3.2.2/postgres-catalogue.json')) as text:
    CONTRACT = json.load(text)

COLUMNS = """SELECT json_object_agg(t, c) FROM (SELECT c.relname t,
  json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum) c
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname) x"""
CONSTRAINTS = """SELECT json_object_agg(t, c) FROM (SELECT conrelid::regclass::text t,
  json_object_agg(conname, pg_get_constraintdef(oid)) c FROM pg_constraint
  WHERE connamespace = 'public'::regnamespace GROUP BY 1) x"""
INDEXES = """SELECT json_object_agg(t, c) FROM (SELECT tablename t,
  json_object_agg(indexname, indexdef) c FROM pg_indexes WHERE schemaname = 'public'
  GROUP BY 1) x"""
TRIGGERS = """SELECT json_object_agg(t, c) FROM (SELECT tgrelid::regclass::text t,
  json_object_agg(tgname, pg_get_triggerdef(oid)) c FROM pg_trigger WHERE NOT tgisinternal
  GROUP BY 1) x"""


@pytest.fixture(scope='module')
def server():
    pg = Postgres().start()
    yield pg
    pg.end()


@pytest.fixture
def fresh(server, gateway, request):
    """A gateway, not started, over an empty database of its own, and a way to ask it."""
    name = 'd' + str(abs(hash(request.node.name)))[:10]
    conf = server.new_database(name)
    gw = gateway(conf=conf, start=False)
    gw.sql = lambda text: server.sql(text, name)
    return gw


def migrate(gw, *args, status=0):
    done = gw.cli('migrations', *args)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def catalogue(gw):
    columns, constraints, indexes, triggers = (
        json.loads(gw.sql(q) or 'null') or {} for q in (COLUMNS, CONSTRAINTS, INDEXES, TRIGGERS))
    return {t: {'columns': columns[t], 'constraints': constraints.get(t, {}),
                'indexes': indexes.get(t, {}), 'triggers': triggers.get(t, {})}
            for t in columns}


def test_bootstrap_makes_the_tables_of_kong(fresh):
    said = migrate(fresh, 'bootstrap')
    assert said.startswith('Bootstrapping database...\nmigrating core on database ')
    assert 'core migrated up to: 018_310_to_320 (executed)' in said
    assert said.endswith('50 migrations processed\n50 executed\nDatabase is up-to-date\n')
    made = catalogue(fresh)
    assert set(made) == set(CONTRACT['tables'])
    for table, want in CONTRACT['tables'].items():
        for part in want:
            assert made[table][part] == want[part], (table, part)
    meta = json.loads(fresh.sql(
        'SELECT json_agg(json_build_array(subsystem, last_executed, executed, pending)'
        ' ORDER BY subsystem COLLATE "C") FROM schema_meta'))
    assert meta == sorted(CONTRACT['schema_meta'])
    assert fresh.sql('SELECT name FROM workspaces') == 'default'
    assert fresh.sql('SELECT key FROM parameters') == 'cluster_id'
    assert fresh.sql('SELECT count(*) FROM locks') == '0'


def test_words_and_exit_codes(fresh):
    assert migrate(fresh, 'list', status=3).startswith('Database needs bootstrapping or is older')
    assert json.loads(migrate(fresh, 'status'))['needs_bootstrap'] is True
    assert migrate(fresh, 'reset', '--yes', status=1) == \
        'Database not bootstrapped, nothing to reset\n'
    assert 'Cannot run migrations: Database needs' in fresh.cli('migrations', 'up').stderr
    assert 'Database needs bootstrapping' in fresh.cli('start').stderr
    migrate(fresh, 'bootstrap')
    assert migrate(fresh, 'bootstrap') == 'Database already bootstrapped\n'
    assert migrate(fresh, 'up') == 'Database is already up-to-date\n'
    assert migrate(fresh, 'finish') == 'No pending migrations to finish\n'
    assert '                 core: 000_base, 003_100_to_110' in migrate(fresh, 'list')
    status = json.loads(migrate(fresh, 'status'))
    assert [s['subsystem'] for s in status['executed_migrations']][:2] == ['core', 'acl']
    assert status['needs_bootstrap'] is False and 'new_migrations' not in status
    assert migrate(fresh, 'bootstrap', '-q') == ''
    assert migrate(fresh, 'up', '--force').endswith('50 migrations processed\n50 executed\n')
    assert migrate(fresh, 'reset', '--yes').endswith('Database successfully reset\n')
    assert fresh.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == '0'


def test_what_is_pending_and_what_is_new(fresh):
    migrate(fresh, 'bootstrap')
    fresh.sql("UPDATE schema_meta SET executed = array_remove(executed, '004_212_to_213'),"
              " pending = ARRAY['004_212_to_213'], last_executed = '003_200_to_210'"
              " WHERE subsystem = 'acl'")
    said = migrate(fresh, 'list', status=4)
    assert said.startswith('Executed migrations:\n')
    assert said.endswith("\n\nPending migrations:\nacl: 004_212_to_213\n"
                         "\nRun 'kong migrations finish' when ready\n")
    assert 'run \'kong migrations finish\'' in fresh.cli('migrations', 'up').stderr
    assert 'acl migrated up to: 004_212_to_213 (executed)' in migrate(fresh, 'finish')
    fresh.sql("DELETE FROM schema_meta WHERE subsystem = 'session'")
    fresh.sql('DROP TABLE sessions')
    said = migrate(fresh, 'list', status=5)
    assert '\n\nNew migrations available:\nsession: 000_base_session' in said
    assert said.endswith("\nRun 'kong migrations up' to proceed\n")
    assert "run 'kong migrations up' to proceed" in fresh.cli('start').stderr
    assert '2 migrations processed' in migrate(fresh, 'up')
    assert catalogue(fresh)['sessions'] == CONTRACT['tables']['sessions']
    migrate(fresh, 'list')


def test_pending_and_new_ones_at_once(fresh):
    migrate(fresh, 'bootstrap')
    fresh.sql("UPDATE schema_meta SET executed = array_remove(executed, '004_212_to_213'),"
              " pending = ARRAY['004_212_to_213'], last_executed = '003_200_to_210'"
              " WHERE subsystem = 'acl'")
    fresh.sql("DELETE FROM schema_meta WHERE subsystem = 'session'")
    done = fresh.cli('migrations', 'list')
    assert done.returncode == 4, done.stderr
    assert 'pending migrations from a previous upgrade, and new migrations from this upgrade' \
        ' (version 3.2.2)' in done.stderr
    assert done.stdout.endswith(
        "\nRun 'kong migrations finish' when ready to complete pending migrations (postgres "
        'database will be incompatible with the previous Kong version)\n')
    assert fresh.cli('migrations', 'list', '-q').stderr == ''


def test_a_database_of_before_3_0_is_for_kong(fresh):
    migrate(fresh, 'bootstrap')
    fresh.sql("UPDATE schema_meta SET last_executed = '015_270_to_280', executed = array_remove("
              "array_remove(array_remove(executed, '016_280_to_300'), '017_300_to_310'),"
              " '018_310_to_320') WHERE subsystem = 'core'")
    before = catalogue(fresh)
    done = fresh.cli('migrations', 'up')
    assert done.returncode == 1
    assert 'the database is of a Kong before 3.0' in done.stderr
    assert '`kong migrations finish` of a Kong 3.0 to 3.2' in done.stderr
    assert catalogue(fresh) == before


def test_start_migrates_when_asked(fresh):
    migrate(fresh, 'bootstrap')
    fresh.sql("DELETE FROM schema_meta WHERE subsystem = 'session'")
    fresh.conf['nginx_daemon'] = 'on'
    fresh.write_conf()
    done = fresh.cli('start', '--run-migrations')
    try:
        assert done.returncode == 0, done.stderr
        assert fresh.api('/status').status == 200
    finally:
        fresh.cli('stop')


def test_two_nodes_at_once(fresh):
    args = [PROGRAM, 'migrations', 'bootstrap', '-c', fresh.conf_path]
    both = [subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=clean_environment()) for _ in range(2)]
    said = [p.communicate(timeout=60) for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    migrate(fresh, 'list')


def test_a_lock_of_another_node(fresh):
    migrate(fresh, 'bootstrap')
    fresh.sql("INSERT INTO locks VALUES ('migrations', 'x', now() + interval '1 hour')")
    assert 'another node' in migrate(fresh, 'finish')
    assert 'timeout' in fresh.cli('migrations', 'up', '--lock-timeout', '1').stderr
    fresh.sql("UPDATE locks SET ttl = now() - interval '1 second'")
    assert 'No pending' in migrate(fresh, 'finish')


def test_tags_are_kept_in_step(fresh):
    migrate(fresh, 'bootstrap')
    ws = fresh.sql('SELECT id FROM workspaces')
    fresh.sql("INSERT INTO consumers (id, username, ws_id, tags) VALUES"
              f" ('11111111-1111-4111-8111-111111111111', 'a', '{ws}', '{{x,y}}')")
    assert fresh.sql('SELECT entity_name, tags FROM tags') == 'consumers|{x,y}'
    fresh.sql("UPDATE consumers SET tags = '{z}'")
    assert fresh.sql('SELECT tags FROM tags') == '{z}'
    fresh.sql('DELETE FROM consumers')
    assert fresh.sql('SELECT count(*) FROM tags') == '0'


def test_another_schema(server, gateway):
    conf = server.new_database('elsewhere')
    gw = gateway(conf={**conf, 'pg_schema': 'my_kong'}, start=False)
    migrate(gw, 'bootstrap')
    assert server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'my_kong'",
                      'elsewhere') == str(len(CONTRACT['tables']))
    gw.start()
    assert gw.api('/services').json() == {'data': [], 'next': None}


def test_two_nodes_hear_of_each_other(server, gateway, origin):
    conf, o = server.new_database('fleet'), origin()
    one = gateway(conf={**conf, 'db_update_frequency': '60'}, start=False)
    migrate(one, 'bootstrap')
    one.start()
    two = gateway(conf={**conf, 'db_update_frequency': '60'})
    headers = [('Content-Type', 'application/json')]
    for path, body in (('/services', {'name': 's', 'url': f'http://127.0.0.1:{o.port}'}),
                       ('/services/s/routes', {'name': 'r', 'paths': ['/x']})):
        answer = one.api(path, 'POST', headers=headers, body=json.dumps(body).encode())
        assert answer.status == 201, answer
    wait_for(lambda: two.get('/x').status == 200, 'the other node to serve it', 3)
    assert two.api('/routes/r', 'DELETE').status == 204
    wait_for(lambda: one.get('/x').status == 404, 'the first node to know', 3)
    events = server.sql('SELECT channel, data FROM cluster_events', 'fleet')
    assert 'invalidations|router:version' in events


def test_a_node_that_is_told_nothing_looks(server, gateway, origin):
    """As a Kong would write: rows and an event, no NOTIFY."""
    conf, o = server.new_database('mixed'), origin()
    gw = gateway(conf={**conf, 'db_update_frequency': '1'}, start=False)
    migrate(gw, 'bootstrap')
    gw.start()
    headers = [('Content-Type', 'application/json')]
    gw.api('/services', 'POST', headers=headers,
           body=json.dumps({'name': 's', 'url': f'http://127.0.0.1:{o.port}'}).encode())
    server.sql("""BEGIN;
        INSERT INTO routes (id, name, service_id, protocols, paths, ws_id, strip_path,
          preserve_host, request_buffering, response_buffering, regex_priority,
          https_redirect_status_code, created_at)
        SELECT '22222222-2222-4222-8222-222222222222', 'k', s.id, '{http,https}', '{/k}', s.ws_id,
          true, false, true, true, 0, 426, now() FROM services s;
        INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
        VALUES (gen_random_uuid(), gen_random_uuid(), now(), now() + interval '1 hour',
          'invalidations', 'router:version');
        COMMIT""", 'mixed')
    wait_for(lambda: gw.get('/k').status == 200, 'the route to be served', 5)


@pytest.mark.parametrize('kind', ['sqlite', 'postgres'])
def test_import_and_export(server, gateway, tmp_path, kind):
    conf = {'database': 'sqlite'} if kind == 'sqlite' else server.new_database('imported')
    gw = gateway(conf=conf, start=False)
    if kind == 'postgres':
        migrate(gw, 'bootstrap')
    source, out, again = (str(tmp_path / n) for n in ('in.yml', 'out.yml', 'again.yml'))
    with open(source, 'w') as text:
        json.dump({'_format_version': '3.0', 'services': [
            {'name': f's{i}', 'url': 'http://h.test', 'tags': ['a'],
             'routes': [{'name': f'r{i}', 'paths': [f'/{i}']}]} for i in range(300)],
            'consumers': [{'username': 'u'}]}, text)
    done = gw.cli('config', 'db_import', source)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'parse successful, beginning import\nimport successful\n'
    assert gw.cli('config', 'db_import', source).returncode == 0
    assert gw.cli('config', 'db_export', out).returncode == 0
    assert 'already exists' in gw.cli('config', 'db_export', out).stderr
    assert gw.cli('config', 'parse', out).returncode == 0
    assert gw.cli('config', 'db_import', out).returncode == 0
    assert gw.cli('config', 'db_export', again).returncode == 0
    with open(out) as one, open(again) as two:
        assert [s for s in one if 'updated_at' not in s] == \
            [s for s in two if 'updated_at' not in s]
    gw.start()
    assert len(gw.api('/routes?size=1000').json()['data']) == 300


def test_an_import_is_all_or_nothing(server, gateway, tmp_path):
    gw = gateway(conf={'database': 'sqlite'})
    gw.api('/consumers', 'POST', headers=[('Content-Type', 'application/json')],
           body=b'{"username": "taken"}')
    source = str(tmp_path / 'in.yml')
    with open(source, 'w') as text:
        json.dump({'_format_version': '3.0', 'services': [{'name': 's', 'url': 'http://h'}],
                   'consumers': [{'username': 'taken'}]}, text)
    done = gw.cli('config', 'db_import', source)
    assert done.returncode == 1 and 'UNIQUE violation' in done.stderr
    assert gw.api('/services').json()['data'] == []
