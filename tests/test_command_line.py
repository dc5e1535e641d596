# SPDX-License-Identifier: Apache-2.0
"""The command line: Kong's commands, messages and exit codes."""
import json
import os
import re
import signal
import socket
import stat
import subprocess

import pytest

from harness.config import declarative, everything_to, named, who
from harness.gateway import PROGRAM, children, clean_environment, is_running
from harness.ports import free_port
from harness.waits import wait_for

DETAILS = '\n  Run with --v (verbose) or --vv (debug) for more details\n'


class Place:
    """A folder with a kong.conf; commands run in it."""

    def __init__(self, folder):
        self.folder, self.prefix = folder, str(folder / 'prefix')
        self.port = free_port()
        self.conf = str(folder / 'kong.conf')
        self.write()

    def write(self, **more):
        rows = {'prefix': self.prefix, 'database': 'off', 'admin_listen': 'off',
                'proxy_listen': f'127.0.0.1:{self.port}', 'nginx_worker_processes': '1', **more}
        with open(self.conf, 'w') as out:
            out.writelines(f'{n} = {v}\n' for n, v in rows.items())

    def run(self, *args, **env):
        return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60,
                              cwd=self.folder, env=clean_environment(env))

    def good(self, *args, **env):
        done = self.run(*args, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bad(self, *args, **env):
        done = self.run(*args, **env)
        assert done.returncode == 1, done.stdout
        return done.stderr

    def pid(self):
        with open(os.path.join(self.prefix, 'pids', 'nginx.pid')) as text:
            return int(text.read())


@pytest.fixture
def place(tmp_path):
    one = Place(tmp_path)
    yield one
    one.run('stop', '-p', one.prefix)


def test_help_is_printed_and_ends_well(place):
    assert place.good('--help').startswith('Usage: gibbon COMMAND')
    for command in ('start', 'stop', 'quit', 'restart', 'reload', 'health', 'check', 'prepare',
                    'version', 'print'):
        assert place.good(command, '--help').startswith(f'Usage: gibbon {command}')
    for command in ('config parse', 'vault get', 'hybrid gen_cert'):
        assert place.good(*command.split(), '-h').startswith(f'Usage: gibbon {command}')


def test_unknown_words_are_refused(place):
    assert place.bad('dance').startswith('No such command: dance\n')
    assert place.bad('config', 'dance').startswith('No such command for config: dance\n')
    assert place.bad('start', '--dance') == f"Error: unknown option '--dance'\n{DETAILS}"
    assert "needs a value" in place.bad('start', '-c')


def test_version_is_the_contracts(place):
    assert place.good('version') == '3.2.2\n'
    assert re.match(r'Kong: 3\.2\.2\nGibbon: \d+\.\d+\.\d+\n', place.good('version', '-a'))


def test_check_tells_every_mistake(place):
    assert place.good('check', place.conf) == f'configuration at {place.conf} is valid\n'
    place.write(log_level='loud', pg_port='x', upstream_keepalive_pool_size='many')
    told = [re.sub(r'^[\d/]+ [\d:]+ ', '', line)
            for line in place.bad('check', place.conf).splitlines()]
    assert told == [
        "[error] log_level has an invalid value: 'loud' (debug, info, notice, warn, error, crit, "
        'alert, emerg)',
        "[error] upstream_keepalive_pool_size is not a number: 'many'",
        "[error] pg_port is not a number: 'x'",
    ]
    assert 'no file at: /no/such.conf' in place.bad('check', '/no/such.conf')


def test_check_of_a_listener_has_kongs_message(place):
    place.write(proxy_listen='127.0.0.1')
    assert ('proxy_listen must be of form: [off] | <ip>:<port> [ssl] [http2] [proxy_protocol] '
            '[deferred] [bind] [reuseport] [backlog=%d+]') in place.bad('check', place.conf)


def test_check_of_a_missing_secret_has_a_message(place):
    place.write(pg_password='{vault://env/none}')
    assert ("failed to dereference '{vault://env/none}': unable to load value (none) from vault "
            "(env): not found [{vault://env/none}] for config option 'pg_password'"
            ) in place.bad('check', place.conf)
    assert place.good('check', place.conf, NONE='x')


def test_a_gateway_starts_once_and_stops(place):
    assert place.good('start', '-c', place.conf) == 'Kong started\n'
    assert (place.bad('start', '-c', place.conf)
            == f'Error: Kong is already running in {place.prefix}\n{DETAILS}')
    assert (place.good('health', '-p', place.prefix)
            == f'nginx.......running\n\nKong is healthy at {place.prefix}\n')
    assert place.good('health', '-p', place.prefix, KONG_PREFIX='/nowhere')
    assert place.bad('health', '-p', str(place.folder), KONG_PREFIX=place.prefix)
    assert place.good('stop', '-p', place.prefix) == 'Kong stopped\n'
    for command in ('stop', 'quit'):
        assert (place.bad(command, '-p', place.prefix)
                == f'Error: nginx not running in prefix: {place.prefix}\n{DETAILS}')
    assert f'Kong is not running at {place.prefix}' in place.bad('health', '-p', place.prefix)
    assert place.bad('stop', '-p', '/no/such') == f'Error: no such prefix: /no/such\n{DETAILS}'


def test_a_taken_port_is_named_with_what_to_do(place):
    with socket.create_server(('127.0.0.1', place.port)):
        assert place.bad('start', '-c', place.conf).startswith(
            f'Error: proxy_listen: 127.0.0.1:{place.port}: cannot listen on 127.0.0.1:{place.port}: '
            'Address already in use\n  Another process listens there')


def test_quit_and_restart(place):
    place.good('start', '-c', place.conf)
    first = place.pid()
    assert place.good('restart', '-c', place.conf) == 'Kong started\n'
    assert place.pid() != first
    assert place.good('quit', '-p', place.prefix) == 'Kong stopped (gracefully)\n'
    assert place.good('restart', '-c', place.conf) == 'Kong started\n'


def test_a_bad_restart_leaves_the_running_one(place):
    place.good('start', '-c', place.conf)
    first = place.pid()
    place.write(log_level='loud')
    assert 'log_level has an invalid value' in place.bad('restart', '-c', place.conf)
    assert place.pid() == first
    os.kill(first, 0)


def test_a_pid_file_of_somebody_else_is_not_believed(place):
    place.good('prepare', '-c', place.conf)
    other = subprocess.Popen(['sleep', '60'])
    try:
        with open(os.path.join(place.prefix, 'pids', 'nginx.pid'), 'w') as out:
            out.write(f'{other.pid}\n')
        assert 'nginx not running in prefix' in place.bad('stop', '-p', place.prefix)
        assert other.poll() is None
        assert place.good('start', '-c', place.conf) == 'Kong started\n'
    finally:
        other.kill()
        other.wait()


def test_reload_proves_itself(place):
    assert 'nginx not running' in place.bad('reload', '-c', place.conf, KONG_PREFIX='/tmp')
    place.good('start', '-c', place.conf)
    worker = children(place.pid())
    assert place.good('reload', '-c', place.conf) == 'Kong reloaded\n'
    wait_for(lambda: children(place.pid()) != worker and len(children(place.pid())) == 1,
             'the old worker to have drained')

    before = open(os.path.join(place.prefix, '.kong_env')).read()
    place.write(log_level='loud')
    assert 'log_level has an invalid value' in place.bad('reload', '-c', place.conf)
    place.write(proxy_listen='192.0.2.1:9')
    assert 'proxy_listen: 192.0.2.1:9' in place.bad('reload', '-c', place.conf)
    assert open(os.path.join(place.prefix, '.kong_env')).read() == before
    assert place.good('health', '-p', place.prefix)


def test_reload_reads_the_file_of_the_start_again(place):
    place.good('start', '-c', place.conf, KONG_PG_USER='me')
    place.write(log_level='debug')
    assert place.good('reload', '-p', place.prefix) == 'Kong reloaded\n'
    env = open(os.path.join(place.prefix, '.kong_env')).read()
    assert 'log_level = debug\n' in env and 'pg_user = me\n' in env


def test_a_worker_that_dies_is_back(place):
    place.good('start', '-c', place.conf)
    first = children(place.pid())
    os.kill(first[0], signal.SIGKILL)
    wait_for(lambda: children(place.pid()) not in ([], first), 'another worker', 2)
    assert place.good('health', '-p', place.prefix)


def test_what_cannot_be_served_is_refused_at_start(place):
    for rows, words in [({'database': 'postgres', 'pg_port': '1'}, 'connection refused'),
                        ({'database': 'cassandra'}, 'database = cassandra is not supported')]:
        place.write(**rows)
        assert words in place.bad('start', '-c', place.conf)


def test_prepare_makes_the_prefix(place):
    place.write(proxy_listen=f'127.0.0.1:{place.port} ssl')
    place.good('prepare', '-c', place.conf)
    for name, mode in [('.kong_env', 0o600), ('ssl/kong-default.key', 0o600),
                       ('ssl/kong-default-ecdsa.key', 0o600), ('logs/error.log', 0o644)]:
        at = os.stat(os.path.join(place.prefix, name))
        assert stat.S_IMODE(at.st_mode) == mode, name
    shown = subprocess.check_output(['openssl', 'x509', '-noout', '-subject', '-in',
                                     os.path.join(place.prefix, 'ssl/kong-default.crt')], text=True)
    assert 'localhost' in shown


def test_what_has_no_effect_is_named_once(place):
    place.write(vitals='off', nginx_http_lua_max_pending_timers='9')
    done = place.run('prepare', '-c', place.conf)
    assert done.returncode == 0
    assert done.stderr.count('vitals: kept without effect, this version has no Vitals yet') == 1
    assert done.stderr.count('the nginx directive lua_max_pending_timers does not apply') == 1


def test_declarative_files_are_made_and_checked(place):
    place.good('config', 'init')
    made = (place.folder / 'kong.yml').read_text()
    assert made.startswith('#')
    assert 'already exists.\nWill not overwrite it.' in place.bad('config', 'init')
    assert (place.folder / 'kong.yml').read_text() == made
    assert place.good('config', 'parse', 'kong.yml', '-c', place.conf) == 'parse successful\n'
    (place.folder / 'bad.yml').write_text('_format_version: "3.0"\nservices:\n- nam: x\n')
    assert place.bad('config', 'parse', 'bad.yml', '-c', place.conf).startswith(
        'Error: Failed parsing')
    assert 'only works with a database' in place.bad('config', 'db_import', 'x', '-c', place.conf)


def test_secrets_are_read_from_the_environment(place):
    assert place.good('vault', 'get', 'env/my-secret', MY_SECRET='x#y') == 'x#y\n'
    assert place.good('vault', 'get', '{vault://env/pair/user}',
                      PAIR=json.dumps({'user': 'me'})) == 'me\n'
    assert 'not found [{vault://env/none}]' in place.bad('vault', 'get', 'env/none')


def test_cluster_certificates_are_made(place):
    said = place.good('hybrid', 'gen_cert', '-d', '10')
    assert said.startswith('Successfully generated certificate/key pairs')
    shown = subprocess.check_output(['openssl', 'x509', '-noout', '-text', '-in', 'cluster.crt'],
                                    text=True, cwd=place.folder)
    assert 'CN = kong_clustering' in shown and 'secp384r1' in shown
    assert stat.S_IMODE(os.stat(place.folder / 'cluster.key').st_mode) == 0o600
    assert 'Will not overwrite it' in place.bad('hybrid', 'gen_cert')


def test_the_sample_is_a_valid_kong_conf(place):
    sample = place.good('print', 'sample')
    assert '#proxy_listen = 0.0.0.0:8000' in sample
    path = place.folder / 'sample.conf'
    path.write_text(re.sub(r'^#([a-z]\w* =)', r'\1', sample, flags=re.M))
    place.good('check', str(path))
    assert place.good('print', 'reference').startswith('# Settings')


# ---- with something to serve ----------------------------------------------------------------


@pytest.fixture
def daemon(gateway, origin):
    """A gateway that is started in the background by the command line; stopped at the end."""
    gw = gateway(everything_to(origin()), start=False, conf={'nginx_daemon': 'on'})
    yield gw
    pids = []
    try:
        pids = [gw.master, *gw.workers]
        os.kill(gw.master, signal.SIGTERM)
    except (OSError, ValueError):
        pass
    wait_for(lambda: not any(map(is_running, pids)), 'the daemon to end')
    assert gw.complaint() is None


def test_start_stop(daemon):
    done = daemon.cli('start')
    assert (done.returncode, 'Kong started' in done.stdout + done.stderr) == (0, True)
    assert daemon.get('/').status == 200, 'it must serve when start returns'
    assert is_running(daemon.master)
    pids = [daemon.master, *daemon.workers]
    done = daemon.cli('stop', conf=False, env={'KONG_PREFIX': daemon.prefix})
    assert (done.returncode, 'Kong stopped' in done.stdout + done.stderr) == (0, True)
    wait_for(lambda: not any(map(is_running, pids)), 'the end')


def test_reload_and_restart(daemon, origin):
    o = origin()
    daemon.cli('start')
    daemon.write_config(declarative(named(o, 'reloaded', paths=['/'])))
    done = daemon.cli('reload')
    assert (done.returncode, 'Kong reloaded' in done.stdout + done.stderr) == (0, True)
    wait_for(lambda: who(daemon.get('/')) == 'reloaded', 'the new configuration', timeout=1)
    old = daemon.master
    daemon.write_config(declarative(named(o, 'restarted', paths=['/'])))
    done = daemon.cli('restart')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Kong started' in done.stdout + done.stderr
    assert daemon.master != old and who(daemon.get('/')) == 'restarted'


def test_start_after_an_unclean_end(daemon):
    daemon.cli('start')
    master, workers = daemon.master, daemon.workers
    for pid in [master, *workers]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, [master, *workers])), 'the end')
    done = daemon.cli('start')
    assert done.returncode == 0, done.stdout + done.stderr
    assert daemon.get('/').status == 200


def test_default_certificates_are_kept(gateway, origin):
    gw = gateway(everything_to(origin()))
    path = os.path.join(gw.prefix, 'ssl', 'kong-default.crt')
    first = open(path).read()
    gw.stop()
    gw.start()
    assert open(path).read() == first


@pytest.mark.parametrize('text,says', [
    ('services:\n- name: a\n  url: http://a\n', '_format_version'),
    ('_format_version: "9.9"\n', '_format_version'),
    ('_format_version: "3.0"\nservices:\n- name: a b\n  url: http://a\n', 'name'),
    ('_format_version: "3.0"\nservices:\n- name: a\n  host: a\n  port: lots\n', 'port'),
    ('_format_version: "3.0"\nnonsense: []\n', 'unknown field'),
    ('_format_version: "3.0"\nservices: [\n', 'Failed parsing'),
])
def test_config_parse_says_what_is_wrong(place, text, says):
    (place.folder / 'bad.yml').write_text(text)
    told = place.bad('config', 'parse', 'bad.yml')
    assert 'Failed parsing' in told and says in told


def test_config_parse_of_a_file_that_is_not_there(place):
    assert '/nonexistent.yml' in place.bad('config', 'parse', '/nonexistent.yml')


def test_a_bad_declarative_file_stops_the_start(gateway):
    gw = gateway('_format_version: "3.0"\nservices: [{name: x, nonsense: 1}]', start=False)
    done = gw.cli('start')
    assert done.returncode == 1
    assert 'nonsense' in done.stdout + done.stderr and 'unknown field' in done.stdout + done.stderr


def test_a_missing_declarative_file_stops_the_start(gateway):
    gw = gateway(start=False, conf={'declarative_config': '/nonexistent/kong.yml'})
    done = gw.cli('start')
    assert done.returncode == 1
    assert '/nonexistent/kong.yml' in done.stdout + done.stderr


def test_a_prefix_of_spaces_and_umlauts(gateway, origin, tmp_path):
    gw = gateway(everything_to(origin()), start=False)
    gw.prefix = str(tmp_path / 'a b ü')
    os.makedirs(gw.prefix)
    gw.write_conf(prefix=gw.prefix)
    gw.start()
    assert gw.get('/').status == 200
    assert json.loads(gw.api('/').body)['configuration']['prefix'] == gw.prefix
