# SPDX-License-Identifier: Apache-2.0
"""The command line: Kong's commands, messages and exit statuses."""
import json
import os
import re
import signal
import stat
import subprocess

import pytest

from harness.config import declarative, everything_to, named, who
from harness.gateway import PROGRAM, clean_environment, is_running
from harness.waits import patience, wait_for


def said(done):
    return done.stdout + done.stderr


def run(*args, env=None, cwd=None):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, cwd=cwd,
                          env=clean_environment(env), timeout=patience(20))


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


def start(gw, *more):
    return gw.cli('start', *more)


def test_start_stop(daemon):
    done = start(daemon)
    assert (done.returncode, 'Kong started' in said(done)) == (0, True)
    assert daemon.get('/').status == 200, 'it must serve when start returns'
    assert is_running(daemon.master)
    pids = [daemon.master, *daemon.workers]
    done = daemon.cli('stop', conf=False, env={'KONG_PREFIX': daemon.prefix})
    assert (done.returncode, 'Kong stopped' in said(done)) == (0, True)
    wait_for(lambda: not any(map(is_running, pids)), 'the end')


def test_start_twice(daemon):
    start(daemon)
    done = start(daemon)
    assert done.returncode == 1
    assert f'Kong is already running in {daemon.prefix}' in said(done)
    assert daemon.get('/').status == 200


def test_start_on_a_taken_port(gateway, daemon, origin):
    start(daemon)
    other = gateway(everything_to(origin()), start=False,
                    conf={'nginx_daemon': 'on', 'proxy_listen': f'127.0.0.1:{daemon.proxy}'})
    done = start(other)
    assert done.returncode == 1
    assert 'use' in said(done) and str(daemon.proxy) in said(done)


def test_health(daemon):
    done = daemon.cli('health', '-p', daemon.prefix, conf=False)
    assert done.returncode == 1
    start(daemon)
    done = daemon.cli('health', '-p', daemon.prefix, conf=False)
    assert done.returncode == 0
    assert f'Kong is healthy at {daemon.prefix}' in said(done)


def test_health_p_wins_over_the_environment(daemon, tmp_path):
    start(daemon)
    done = run('health', '-p', daemon.prefix, env={'KONG_PREFIX': str(tmp_path)})
    assert done.returncode == 0
    done = run('health', '-p', str(tmp_path), env={'KONG_PREFIX': daemon.prefix})
    assert done.returncode == 1


def test_reload_and_restart(daemon, origin):
    o = origin()
    start(daemon)
    daemon.write_config(declarative(named(o, 'reloaded', paths=['/'])))
    done = daemon.cli('reload')
    assert (done.returncode, 'Kong reloaded' in said(done)) == (0, True)
    wait_for(lambda: who(daemon.get('/')) == 'reloaded', 'the new configuration', timeout=1)
    old = daemon.master
    daemon.write_config(declarative(named(o, 'restarted', paths=['/'])))
    done = daemon.cli('restart')
    assert done.returncode == 0, said(done)
    assert 'Kong started' in said(done)
    assert daemon.master != old and who(daemon.get('/')) == 'restarted'


def test_quit(daemon):
    start(daemon)
    pids = [daemon.master, *daemon.workers]
    done = daemon.cli('quit', '-p', daemon.prefix, conf=False)
    assert done.returncode == 0 and 'Kong stopped' in said(done)
    wait_for(lambda: not any(map(is_running, pids)), 'the end', timeout=1)


@pytest.mark.parametrize('command', ['stop', 'quit', 'reload'])
def test_commands_for_a_running_gateway_say_that_none_runs(gateway, command):
    gw = gateway(declarative(), start=False)
    args = [command, '-p', gw.prefix] if command != 'reload' else [command, '-c', gw.conf_path,
                                                                  '-p', gw.prefix]
    done = run(*args)
    assert done.returncode == 1
    assert 'Error' in said(done)


def test_stop_signals_only_its_own(gateway):
    gw = gateway(declarative(), start=False)
    stranger = subprocess.Popen(['sleep', '60'])
    try:
        gw.cli('prepare')
        os.makedirs(os.path.join(gw.prefix, 'pids'), exist_ok=True)
        with open(os.path.join(gw.prefix, 'pids', 'nginx.pid'), 'w') as out:
            out.write(f'{stranger.pid}\n')
        assert run('stop', '-p', gw.prefix).returncode == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_start_after_an_unclean_end(daemon):
    start(daemon)
    master, workers = daemon.master, daemon.workers
    for pid in [master, *workers]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, [master, *workers])), 'the end')
    done = start(daemon)
    assert done.returncode == 0, said(done)
    assert daemon.get('/').status == 200


def test_check(gateway):
    gw = gateway(declarative(), start=False)
    done = run('check', gw.conf_path)
    assert done.returncode == 0
    assert f'configuration at {gw.conf_path} is valid' in said(done)
    gw.write_conf(log_level='loud', router_flavor='odd')
    done = run('check', gw.conf_path)
    assert done.returncode == 1
    for part in ('log_level has an invalid value', 'router_flavor has an invalid value'):
        assert part in said(done)


def test_check_of_a_file_that_is_not_there():
    done = run('check', '/nonexistent/kong.conf')
    assert done.returncode == 1
    assert 'no file at: /nonexistent/kong.conf' in said(done)


def test_prepare_writes_the_prefix(gateway):
    gw = gateway(declarative(), start=False)
    done = gw.cli('prepare')
    assert done.returncode == 0, said(done)

    def mode(*name):
        return stat.S_IMODE(os.stat(os.path.join(gw.prefix, *name)).st_mode)
    assert mode('.kong_env') == 0o600
    for kind in ('', '-ecdsa'):
        assert mode('ssl', f'kong-default{kind}.key') == 0o600
        assert os.path.exists(os.path.join(gw.prefix, 'ssl', f'kong-default{kind}.crt'))
    for folder in ('logs', 'pids'):
        assert os.path.isdir(os.path.join(gw.prefix, folder))


def test_default_certificates_are_kept(gateway, origin):
    gw = gateway(everything_to(origin()))
    path = os.path.join(gw.prefix, 'ssl', 'kong-default.crt')
    first = open(path).read()
    gw.stop()
    gw.start()
    assert open(path).read() == first


def test_version():
    done = run('version')
    assert done.returncode == 0
    assert re.search(r'^\d+\.\d+\.\d+', done.stdout, re.M)


@pytest.mark.parametrize('args', [['--help'], ['start', '--help'], ['config', '--help']])
def test_help(args):
    done = run(*args)
    assert done.returncode == 0
    assert 'Usage' in said(done)


@pytest.mark.parametrize('args', [['nonsense'], ['start', '--nonsense'], ['config', 'nonsense'],
                                  ['start', '-c']])
def test_what_it_does_not_know(args):
    done = run(*args)
    assert done.returncode == 1
    assert said(done).strip() != ''


# ---- config ---------------------------------------------------------------------------------


def test_config_init_and_parse(tmp_path):
    done = run('config', 'init', cwd=tmp_path)
    assert done.returncode == 0, said(done)
    assert '_format_version' in (tmp_path / 'kong.yml').read_text()
    done = run('config', 'parse', 'kong.yml', cwd=tmp_path)
    assert (done.returncode, 'parse successful' in said(done)) == (0, True)


def test_config_init_keeps_what_is_there(tmp_path):
    (tmp_path / 'kong.yml').write_text('mine')
    done = run('config', 'init', cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / 'kong.yml').read_text() == 'mine'


@pytest.mark.parametrize('text,says', [
    ('services:\n- name: a\n  url: http://a\n', '_format_version'),
    ('_format_version: "9.9"\n', '_format_version'),
    ('_format_version: "3.0"\nservices:\n- name: a b\n  url: http://a\n', 'name'),
    ('_format_version: "3.0"\nservices:\n- name: a\n  host: a\n  port: lots\n', 'port'),
    ('_format_version: "3.0"\nnonsense: []\n', 'unknown field'),
    ('_format_version: "3.0"\nservices: [\n', 'Failed parsing'),
])
def test_config_parse_says_what_is_wrong(tmp_path, text, says):
    (tmp_path / 'bad.yml').write_text(text)
    done = run('config', 'parse', str(tmp_path / 'bad.yml'))
    assert done.returncode == 1
    assert 'Failed parsing' in said(done) and says in said(done)


def test_config_parse_of_a_file_that_is_not_there():
    done = run('config', 'parse', '/nonexistent.yml')
    assert done.returncode == 1
    assert '/nonexistent.yml' in said(done)


# ---- others ---------------------------------------------------------------------------------


def test_vault_get():
    done = run('vault', 'get', 'env/my-secret/key', env={'MY_SECRET': '{"key": "value"}'})
    assert (done.returncode, done.stdout) == (0, 'value\n')
    done = run('vault', 'get', 'env/plain', env={'PLAIN': 'text'})
    assert (done.returncode, done.stdout) == (0, 'text\n')
    done = run('vault', 'get', 'env/not-there')
    assert done.returncode == 1 and said(done).strip()


def test_hybrid_gen_cert(tmp_path):
    done = run('hybrid', 'gen_cert', cwd=tmp_path)
    assert done.returncode == 0, said(done)
    assert stat.S_IMODE((tmp_path / 'cluster.key').stat().st_mode) == 0o600
    text = subprocess.run(['openssl', 'x509', '-noout', '-text', '-in', tmp_path / 'cluster.crt'],
                          capture_output=True, text=True, check=True).stdout
    assert 'kong_clustering' in text and 'secp384r1' in text
    assert run('hybrid', 'gen_cert', cwd=tmp_path).returncode == 1, 'must not overwrite'


def test_a_bad_declarative_file_stops_the_start(gateway):
    gw = gateway('_format_version: "3.0"\nservices: [{name: x, nonsense: 1}]', start=False)
    done = start(gw)
    assert done.returncode == 1
    assert 'nonsense' in said(done) and 'unknown field' in said(done)


def test_a_missing_declarative_file_stops_the_start(gateway):
    gw = gateway(start=False, conf={'declarative_config': '/nonexistent/kong.yml'})
    done = start(gw)
    assert done.returncode == 1
    assert '/nonexistent/kong.yml' in said(done)


@pytest.mark.parametrize('database', ['cassandra'])
def test_databases_that_this_build_lacks_are_named(gateway, database):
    gw = gateway(start=False, conf={'database': database})
    done = start(gw)
    assert done.returncode == 1
    assert database in said(done)


def test_a_prefix_of_spaces_and_umlauts(gateway, origin, tmp_path):
    gw = gateway(everything_to(origin()), start=False)
    gw.prefix = str(tmp_path / 'a b ü')
    os.makedirs(gw.prefix)
    gw.write_conf(prefix=gw.prefix)
    gw.start()
    assert gw.get('/').status == 200
    assert json.loads(gw.api('/').body)['configuration']['prefix'] == gw.prefix
