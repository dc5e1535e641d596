# SPDX-License-Identifier: Apache-2.0
"""kong.conf and KONG_*: what wins, what is refused and in which words."""
import base64
import os
import stat
import subprocess

import pytest

from harness.client import Client
from harness.config import declarative, everything_to, route, sent, service
from harness.gateway import PROGRAM, clean_environment
from harness.ports import free_port
from harness.waits import patience


def check(tmp_path, text, env=None):
    path = tmp_path / 'kong.conf'
    path.write_text(text)
    done = subprocess.run([PROGRAM, 'check', str(path)], capture_output=True, text=True,
                          env=clean_environment(env), timeout=patience(20))
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize('line,message', [
    ('log_level = loud', "log_level has an invalid value: 'loud' "
                         '(debug, info, notice, warn, error, crit, alert, emerg)'),
    ('router_flavor = odd', "router_flavor has an invalid value: 'odd'"),
    ('worker_consistency = odd', "worker_consistency has an invalid value: 'odd' "
                                 '(strict, eventual)'),
    ('ssl_cipher_suite = odd', 'Undefined cipher suite odd'),
    ('role = king', "role has an invalid value: 'king'"),
    ('proxy_listen = nonsense', 'proxy_listen must be of form: [off] | <ip>:<port>'),
    ('admin_listen = 127.0.0.1', 'admin_listen must be of form: [off] | <ip>:<port>'),
    ('status_listen = 127.0.0.1:80 nonsense', 'status_listen must be of form'),
    ('headers = nonsense', "headers: invalid entry 'nonsense'"),
    ('trusted_ips = nonsense', 'trusted_ips'),
    ('worker_state_update_frequency = 0', 'worker_state_update_frequency must be greater than 0'),
    ('dns_resolver = name', 'dns_resolver'),
    ('dns_order = ODD', 'dns_order'),
    ('dns_hostsfile = /nonexistent', 'dns_hostsfile: file does not exist'),
    ('ssl_cert = /nonexistent.crt', 'ssl_cert'),
    ('ssl_cert = nonsense\nssl_cert_key = nonsense',
     'ssl_cert: failed loading certificate from nonsense'),
    ('upstream_keepalive_pool_size = -1', 'upstream_keepalive_pool_size'),
    ('upstream_keepalive_pool_size = many',
     "upstream_keepalive_pool_size is not a number: 'many'"),
    ('port_maps = 1:2:3', 'port_maps'),
    ('tracing_sampling_rate = 2', 'tracing_sampling_rate'),
    ('pg_port = abc', 'pg_port'),
    ('cluster_max_payload = 1', 'cluster_max_payload'),
    ('error_default_type = image/png', 'error_default_type has an invalid value'),
    ('pg_password = {vault://env/not-there}', 'failed to dereference'),
])
def test_bad_values_are_refused_by_name(tmp_path, line, message):
    status, said = check(tmp_path, line + '\n')
    assert status == 1
    assert message in said


@pytest.mark.parametrize('text', [
    '', '# only a comment\n', 'log_level = debug # behind a comment\n', 'log_level=debug\n',
    '  log_level   =   debug  \n', 'unknown_property = x\n', 'proxy_listen = off\n',
    'proxy_listen = 0.0.0.0:8000 reuseport backlog=16384, [::]:8443 ssl http2\n',
    'trusted_ips = 0.0.0.0/0,::/0, unix:\n', 'nginx_proxy_anything = x\n',
    'plugins = bundled\n', 'headers = off\n', 'headers = via, X-Kong-Upstream-Status\n',
    'nginx_http_client_max_body_size = 10m\n', 'mem_cache_size = 64m\n', 'log_level =\n',
])
def test_what_is_right_is_accepted(tmp_path, text):
    assert check(tmp_path, text)[0] == 0


def test_all_errors_are_told_at_once(tmp_path):
    status, said = check(tmp_path, 'log_level = a\nrouter_flavor = b\nrole = c\n')
    assert status == 1
    assert all(name in said for name in ('log_level', 'router_flavor', 'role'))


def configuration(gw):
    return gw.api('/').json()['configuration']


def test_the_environment_beats_the_file(gateway):
    gw = gateway(conf={'log_level': 'info', 'db_cache_ttl': '7'}, env={'KONG_LOG_LEVEL': 'warn'})
    assert (configuration(gw)['log_level'], configuration(gw)['db_cache_ttl']) == ('warn', 7)


def test_a_running_gateway_needs_no_file(gateway, origin):
    """All from the environment, as containers are started."""
    gw = gateway(everything_to(origin()), start=False)
    gw.env = {f'KONG_{n.upper()}': v for n, v in gw.conf.items()}
    open(gw.conf_path, 'w').close()
    gw.start()
    assert gw.get('/').status == 200


def test_comments_and_escaped_hashes(gateway):
    gw = gateway(conf={'pg_user': 'a\\#b # comment'})
    assert configuration(gw)['pg_user'] == 'a#b'


def test_secrets_are_hidden(gateway):
    gw = gateway(conf={'pg_password': 'hush', 'database': 'off'})
    assert configuration(gw)['pg_password'] == '******'
    assert 'hush' not in gw.api('/').text
    mode = os.stat(os.path.join(gw.prefix, '.kong_env')).st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_vault_reference(gateway):
    dead = service(f'http://127.0.0.1:{free_port()}', route(paths=['/']), retries=0)
    gw = gateway(declarative(dead), env={'OWN_TYPE': 'application/json'},
                 conf={'error_default_type': '{vault://env/own-type}'})
    assert gw.get('/').get('Content-Type') == 'application/json; charset=utf-8'
    assert configuration(gw)['error_default_type'] == '{vault://env/own-type}', 'not the secret'


def test_a_certificate_in_base64(gateway, origin, certs):
    pair = certs.make('encoded.test')
    cert, key = (base64.b64encode(pem.encode()).decode() for pem in (pair.cert, pair.key))
    gw = gateway(everything_to(origin()), conf={'ssl_cert': cert, 'ssl_cert_key': key})
    assert gw.get_tls('/').status == 200


def test_a_certificate_as_text_in_the_environment(gateway, origin, certs):
    pair = certs.make('text.test')
    gw = gateway(everything_to(origin()), env={'KONG_SSL_CERT': pair.cert,
                                               'KONG_SSL_CERT_KEY': pair.key})
    assert gw.get_tls('/').status == 200


def test_listeners_can_be_off(gateway, origin):
    gw = gateway(everything_to(origin()), admin=False)
    assert gw.get('/').status == 200


def test_ipv6_listeners(gateway, origin):
    port = free_port()
    gw = gateway(everything_to(origin()), start=False)
    gw.write_conf(proxy_listen=gw.conf['proxy_listen'] + f', [::1]:{port}')
    gw.start()
    with Client(port, host='::1') as c:
        answer = c.request('GET', '/', host='x')
    assert answer.status == 200
    assert sent(answer, 'X-Forwarded-For') == ['::1']


def test_properties_without_effect_are_named_once(gateway, origin):
    gw = gateway(everything_to(origin()), conf={'nginx_http_gunzip': 'on',
                                                'nginx_proxy_proxy_bind': '127.0.0.1'})
    text = gw.log() + gw.output
    assert 'nginx_http_gunzip' in text and 'nginx_proxy_proxy_bind' in text


def test_the_sample_is_valid(tmp_path):
    sample = subprocess.run([PROGRAM, 'print', 'sample'], capture_output=True, text=True,
                            env=clean_environment())
    assert sample.returncode == 0
    assert 'proxy_listen' in sample.stdout
    assert check(tmp_path, sample.stdout)[0] == 0
