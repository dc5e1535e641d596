# SPDX-License-Identifier: Apache-2.0
"""Logs are where the configuration says, in nginx's formats."""
import os
import re

import pytest

from harness.config import declarative, everything_to, route, service
from harness.origin import ok
from harness.ports import free_port
from harness.waits import wait_for

COMBINED = re.compile(r'(\S+) - (\S+) \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                      r'"([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"')


def lines(gw, name='access.log', count=1):
    def whole():
        got = gw.log(name).splitlines()
        return got if len(got) >= count else None
    return wait_for(whole, f'{count} lines of {name}')


def test_the_access_log_has_nginx_s_combined_format(gateway, origin):
    o = origin()
    o.on('/x', ok(b'twelve bytes', 201, 'Created'))
    gw = gateway(everything_to(o))
    gw.get('/x?y=1', headers={'Referer': 'http://r/', 'User-Agent': 'agent "quoted" \\'})
    m = COMBINED.fullmatch(lines(gw)[0])
    assert m, lines(gw)[0]
    assert m.groups() == ('127.0.0.1', '-', 'GET /x?y=1 HTTP/1.1', '201', '12', 'http://r/',
                          'agent \\x22quoted\\x22 \\x5C')


def test_each_request_has_one_line(gateway, origin):
    gw = gateway(declarative(
        service(origin(), route(paths=['/ok'])),
        service(f'http://127.0.0.1:{free_port()}', route(paths=['/dead']), retries=0)))
    with gw.client() as c:
        for target in ('/ok', '/dead', '/none'):
            c.get(target)
        c.send(b'GET / HTTP/1.1\r\nBad Header: x\r\n\r\n')
        c.read_response()
    got = [COMBINED.fullmatch(line).groups()[2:4] for line in lines(gw, count=4)]
    assert got == [('GET /ok HTTP/1.1', '200'), ('GET /dead HTTP/1.1', '502'),
                   ('GET /none HTTP/1.1', '404'), ('GET / HTTP/1.1', '400')]


def test_absent_things_are_dashes(gateway, origin):
    gw = gateway(everything_to(origin()))
    gw.get('/')
    assert lines(gw)[0].endswith('"-" "-"')


def test_control_bytes_cannot_forge_lines(gateway, origin):
    gw = gateway(everything_to(origin()))
    with gw.client() as c:
        c.send(b'GET /a\xff HTTP/1.1\r\nHost: x\r\nUser-Agent: a\xff\tb\r\n\r\n')
        c.read_response()
    text = lines(gw)[0]
    assert '\\xFF' in text and '\t' not in text


def test_the_access_log_can_be_off(gateway, origin):
    gw = gateway(everything_to(origin()), conf={'proxy_access_log': 'off'})
    assert gw.get('/').status == 200
    gw.stop()
    assert gw.log('access.log') == ''


def test_the_access_log_can_be_elsewhere(gateway, origin, tmp_path):
    gw = gateway(everything_to(origin()), conf={'proxy_access_log': str(tmp_path / 'own.log')})
    gw.get('/elsewhere')
    wait_for(lambda: '/elsewhere' in (tmp_path / 'own.log').read_text(), 'the line')


def test_an_own_format(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o), conf={
        'nginx_http_log_format': "own '$status $request_method $upstream_addr "
                                 "$http_x_own $sent_http_content_type $scheme'",
        'proxy_access_log': 'logs/own.log own'})
    gw.get('/', headers={'X-Own': 'value'})
    assert lines(gw, 'own.log')[0] == \
        f'200 GET 127.0.0.1:{o.port} value application/json http'


def test_admin_requests_have_their_own_log(gateway):
    gw = gateway()
    gw.api('/services')
    wait_for(lambda: 'GET /services HTTP/1.1' in gw.log('admin_access.log'), 'the line')
    assert '/services' not in gw.log('access.log')


def test_the_error_log_tells_failed_tries(gateway):
    gw = gateway(declarative(service(f'http://127.0.0.1:{free_port()}', route(paths=['/']),
                                     retries=0)))
    gw.get('/', headers={'Host': 'told.test'})
    wait_for(lambda: re.search(r'\[error\].*refused', gw.log(), re.I), 'the reason in the log')


@pytest.mark.parametrize('level,has', [('error', False), ('info', True)])
def test_the_log_level_is_honoured(gateway, origin, level, has):
    gw = gateway(everything_to(origin()), conf={'log_level': level})
    gw.get('/')
    gw.stop()
    assert bool(re.search(r'\[(info|notice|debug)\]', gw.log() + gw.output)) == has


def test_error_log_lines_have_nginx_s_layout(gateway, origin):
    gw = gateway(everything_to(origin()))
    for line in gw.log().splitlines():
        assert re.match(r'\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: |  ', line), line


def test_secrets_do_not_show(gateway, certs):
    pair = certs.make('secret.test')
    gw = gateway(declarative(certificates=[{'cert': pair.cert, 'key': pair.key,
                                            'snis': [{'name': 'secret.test'}]}]),
                 conf={'log_level': 'debug', 'pg_password': 'hush-hush'})
    gw.get('/')
    secret = pair.key.splitlines()[1]
    for name in os.listdir(os.path.join(gw.prefix, 'logs')):
        assert secret not in gw.log(name) and 'hush-hush' not in gw.log(name)
    assert secret not in gw.output and 'hush-hush' not in gw.output
