# SPDX-License-Identifier: Apache-2.0
"""Lua of the configuration: what chunks are told of a request, and what they may not do."""
import base64
import hashlib
import json
import pathlib
import re

import pytest

from harness.config import declarative, route, service
from harness.origin import ok
from harness.waits import wait_for


def plugin(name, **config):
    return {'name': name, 'config': config}


def logged_by(origin, *plugins):
    return declarative({**service(origin, route(paths=['/'], strip_path=False)), 'plugins': list(plugins)})


def lines_of(path, n):
    """The first n entries of a file."""
    def entries():
        return path.exists() and len(path.read_text().splitlines()) >= n and path.read_text()
    return [json.loads(line) for line in wait_for(entries, f'{n} entries').splitlines()]


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


CHUNKS = {
    'kong.request.get_scheme()': 'http',
    'kong.request.get_host()': 'shop.test',
    'kong.request.get_method()': 'GET',
    'kong.request.get_path()': '/a b/c',
    'kong.request.get_raw_path()': '/a%20b/x/../c',
    'kong.request.get_path_with_query()': '/a%20b/x/../c?k=1&k=2&flag&e=',
    'kong.request.get_raw_query()': 'k=1&k=2&flag&e=',
    'kong.request.get_query()': {'k': ['1', '2'], 'flag': True, 'e': ''},
    'kong.request.get_query_arg("k")': '1',
    'kong.request.get_query_arg("flag")': True,
    'kong.request.get_query_arg("e")': '',
    'kong.request.get_query_arg("none")': None,
    'kong.request.get_header("x-one")': 'first',
    'kong.request.get_header("X_One")': 'first',
    'kong.request.get_header("none")': None,
    'kong.request.get_headers()["x-one"]': ['first', 'second'],
    'select(2, kong.request.get_headers(1))': 'truncated',
    'kong.request.get_http_version()': 1.1,
    'kong.request.get_forwarded_scheme()': 'http',
    'kong.request.get_forwarded_host()': 'shop.test',
    'kong.request.get_forwarded_path()': '/a%20b/x/../c',
    'math.abs(kong.request.get_start_time() - kong.log.serialize().started_at) < 1000': True,
    'kong.request.get_uri_captures().named.rest': '/c',
    'kong.request.get_uri_captures().unnamed': ['/c'],
    'kong.response.get_status()': 203,
    'kong.response.get_header("x-from")': 'origin',
    'kong.response.get_headers()["x-from"]': 'origin',
    'kong.response.get_source()': 'service',
    'kong.service.response.get_status()': 203,
    'kong.service.response.get_header("X-From")': 'origin',
    'kong.client.get_ip()': '127.0.0.1',
    'kong.client.get_forwarded_ip()': '127.0.0.1',
    'kong.client.get_port() == kong.client.get_forwarded_port()': True,
    'kong.client.get_consumer()': None,
    'kong.client.get_credential()': None,
    'kong.client.get_protocol()': 'http',
    'kong.router.get_route().name': 'way',
    'kong.router.get_service().name': 'shop',
    'kong.ip.is_trusted("10.1.2.3")': False,
    'kong.nginx.get_subsystem()': 'http',
    '#kong.node.get_id()': 36,
    'kong.version': '3.2.2',
    'kong.version_num': 3002002,
    'kong.table.merge({ a = 1, b = 1 }, { b = 2 })': {'a': 1, 'b': 2},
    'kong.log.serialize().response.status': 203,
    'kong.ctx.shared.none': None,
    'ngx.var.request_method': 'GET',
    'ngx.var.host': 'shop.test',
    'ngx.var.http_x_one': 'first',
    'ngx.var.arg_k': '1',
    'ngx.var.cookie_c': 'crumb',
    'ngx.var.remote_addr': '127.0.0.1',
    'ngx.var.request_uri': '/a%20b/x/../c?k=1&k=2&flag&e=',
    'ngx.var.upstream_uri': '/a%20b/c?k=1&k=2&flag&e=',
    'ngx.var.no_such_thing': None,
    'ngx.ctx.route.name': 'way',
    'ngx.ctx.service.name': 'shop',
    'ngx.ctx.balancer_data.try_count': 1,
    'ngx.header["X-From"]': 'origin',
    'ngx.header.x_from': 'origin',
    'ngx.status': 203,
    'ngx.req.get_method()': 'GET',
    'ngx.req.get_headers()["cookie"]': 'c=crumb',
    'ngx.req.get_uri_args().k': ['1', '2'],
    'ngx.req.http_version()': 1.1,
    'math.abs(ngx.now() - ngx.req.start_time()) < 60': True,
    'ngx.resp.get_headers()["x-from"]': 'origin',
    'ngx.get_phase()': 'log',
    'ngx.config.subsystem()': 'http',
    'ngx.worker.count()': 2,
    'ngx.worker.id() < 2': True,
    'ngx.worker.pid() > 1': True,
    'ngx.encode_base64("a b")': base64.b64encode(b'a b').decode(),
    'ngx.encode_base64("a", true)': 'YQ',
    'ngx.decode_base64("YSBi")': 'a b',
    'ngx.decode_base64("!")': None,
    'ngx.md5("x")': hashlib.md5(b'x').hexdigest(),
    'ngx.encode_base64(ngx.md5_bin("x"))': base64.b64encode(hashlib.md5(b'x').digest()).decode(),
    'ngx.encode_base64(ngx.sha1_bin("x"))': base64.b64encode(hashlib.sha1(b'x').digest()).decode(),
    '#ngx.hmac_sha1("k", "x")': 20,
    'ngx.escape_uri("a b/c")': 'a%20b%2Fc',
    'ngx.unescape_uri("a+b%2F")': 'a b/',
    'ngx.decode_args("a=1&b")': {'a': '1', 'b': True},
    'ngx.http_time(0)': 'Thu, 01 Jan 1970 00:00:00 GMT',
    'ngx.parse_http_time("Thu, 01 Jan 1970 00:00:10 GMT")': 10,
    'ngx.utctime():sub(1, 10) == os.date("!%Y-%m-%d")': True,
    'ngx.localtime():sub(1, 10) == ngx.today()': True,
    'ngx.time() > 1700000000': True,
    'ngx.ERR + ngx.HTTP_OK': 204,
    'ngx.re.match("ab12", "([a-z]+)(?<n>[0-9]+)")[1]': 'ab',
    'ngx.re.match("ab12", "([a-z]+)(?<n>[0-9]+)").n': '12',
    'ngx.re.match("ab12", "([a-z]+)(?<n>[0-9]+)")[0]': 'ab12',
    'ngx.re.match("AB", "b", "ijo")[0]': 'B',
    'ngx.re.match("ab", "z")': None,
    'ngx.re.find("xab", "ab")': 2,
    'select(2, ngx.re.find("xab", "ab"))': 3,
    'ngx.re.sub("a1b2", "([a-z])", "<$1>")': '<a>1b2',
    'ngx.re.gsub("a1b2", "([a-z])", "${1}$1$$")': 'aa$1bb$2',
    'ngx.re.gsub("ab", "", "-")': '-a-b-',
    'select(2, ngx.re.gsub("a1b2", "[a-z]", "x", "i"))': 2,
}

NAMES = [row for file in ('lua_kong.c', 'lua_ngx.c') for row in re.findall(
    r'\.name = "((?:kong|ngx)[a-z_.0-9]*)"',
    (pathlib.Path(__file__).parents[2] / 'src/serve' / file).read_text())]


def fields(chunks):
    return {f'f{i}': 'return ' + c for i, c in enumerate(chunks)}


@pytest.fixture
def told(gateway, origin1, tmp_path):
    """told(chunks, conf) -> what each says of one request; '!' when it failed."""
    def tell(chunks, conf=None, headers=(), path='/a%20b/x/../c?k=1&k=2&flag&e='):
        origin1.on('/a%20b/c', lambda c, r: c.send(ok(b'hello', status=203, headers=[('X-From', 'origin')])))
        log = tmp_path / 'lua.log'
        config = logged_by(origin1, plugin('file-log', path=str(log), custom_fields_by_lua={
            **{f'f{i}': 'return "!"' for i in range(len(chunks))}}))
        config['services'][0]['name'] = 'shop'
        config['services'][0]['routes'][0].update(
            name='way', paths=['~/a b(?<rest>/.*)?', '/'], strip_path=False)
        config['services'][0]['plugins'][0]['config']['custom_fields_by_lua'] = fields(chunks)
        g = gateway(config, conf={'nginx_worker_processes': '2', **(conf or {})})
        g.get(path, headers=[('Host', 'shop.test'), ('X-One', 'first'), ('X-One', 'second'),
                             ('Cookie', 'c=crumb'), *headers])
        [entry] = lines_of(log, 1)
        return g, [entry.get(f'f{i}') for i in range(len(chunks))]
    return tell


def test_what_chunks_are_told(told):
    chunks = {c: w for c, w in CHUNKS.items() if w != '!' and c != 'ngx.null'}
    g, said = told(chunks)
    wrong = {c: (s, w) for (c, w), s in zip(chunks.items(), said) if s != w}
    assert not wrong, g.log()


def test_every_name_of_the_tables_is_in_the_guide_and_is_there(told):
    guide = (pathlib.Path(__file__).parents[2] / 'docs/guides/lua.md').read_text()
    assert len(NAMES) > 80
    assert [n for n in NAMES if n.rsplit('.', 1)[-1] not in guide] == []
    _, said = told([f'{n} ~= nil' for n in NAMES])
    assert [n for n, s in zip(NAMES, said) if s is not True] == []


def test_a_trusted_proxy_is_believed(told):
    chunks = ['kong.request.get_forwarded_scheme()', 'kong.request.get_forwarded_host()',
              'kong.request.get_forwarded_port()', 'kong.request.get_forwarded_path()',
              'kong.request.get_forwarded_prefix()', 'kong.client.get_protocol(true)',
              'kong.ip.is_trusted("127.0.0.1")']
    headers = [('X-Forwarded-Proto', 'HTTPS'), ('X-Forwarded-Host', 'Out.test:444'),
               ('X-Forwarded-Port', '443'), ('X-Forwarded-Path', '/out'), ('X-Forwarded-Prefix', '/pre')]
    _, said = told(chunks, conf={'trusted_ips': '127.0.0.0/8'}, headers=headers)
    assert said == ['https', 'out.test', 443, '/out', '/pre', 'https', True]


def test_the_entry_is_read_and_changed(gateway, origin1, tmp_path):
    log = tmp_path / 'x.log'
    g = gateway(logged_by(origin1, plugin('file-log', path=str(log), custom_fields_by_lua={
        'a': 'kong.log.set_serialize_value("b.c", { 1, 2 }) return kong.log.serialize().b.c[2]',
        'd': 'kong.log.set_serialize_value("service", nil) return nil',
        'e': 'kong.log.set_serialize_value("started_at", 1, { mode = "add" }) '
             'kong.log.set_serialize_value("none", 1, { mode = "replace" }) return 1',
        'f': 'kong.log.set_serialize_value("request.method", "X", { mode = "replace" }) return 1',
        'g': 'kong.ctx.shared.seen = { n = 1 } return kong.ctx.shared.seen.n',
    }), plugin('tcp-log', host='127.0.0.1', port=1)))
    g.get('/')
    [e] = lines_of(log, 1)
    assert e['a'] == 2 and e['b'] == {'c': [1, 2]} and 'service' not in e and e['started_at'] > 1
    assert 'none' not in e and e['request']['method'] == 'X' and e['g'] == 1


def test_one_that_fails_leaves_the_entry_whole(gateway, origin1, tmp_path):
    log = tmp_path / 'x.log'
    g = gateway(logged_by(origin1, plugin('file-log', path=str(log), custom_fields_by_lua={
        'endless': 'while true do end', 'large': 'return ("x"):rep(1e9)', 'wrong': 'return no.such',
        'no_value': 'return type', 'harm': 'return io.open("/etc/passwd"):read()',
        'client_ip.x': 'return 1', 'fine': 'return 1'})))
    for i in range(3):
        assert g.get(f'/{i}').status == 200
    for e in lines_of(log, 3):
        assert e['fine'] == 1 and e['client_ip'] == '127.0.0.1' and e['response']['status'] == 200
        assert not {'endless', 'large', 'wrong', 'no_value', 'harm'} & set(e)
    text = g.log()
    for why in ('more than 1000000 instructions', 'not enough memory', "attempt to index global 'no'",
                'a function is no value', "attempt to index global 'io'", '"client_ip" of the entry has no members'):
        assert text.count(why) == 1, why


def test_lines_go_to_the_error_log(told):
    g, _ = told(['kong.log("n", 1, nil, true, { a = 1 })', 'kong.log.err("bad\\nline")',
                 'ngx.log(ngx.WARN, "w", 2)'])
    wait_for(lambda: '[lua] w2' in g.log(), 'the lines')
    assert '[notice]' in g.log() and '[lua] n1niltrue{"a":1}' in g.log()
    assert '[lua] bad\\x0Aline' in g.log() or '[lua] bad\\nline' in g.log()


def test_untrusted_lua_decides(told):
    g, said = told(['1'], conf={'untrusted_lua': 'off'})
    assert said == [None] and 'untrusted_lua is off' in g.log()


def test_trusted_lua_has_all(told):
    chunks = ['type(io.open)', 'require("cjson").encode({1})', 'kong.request.get_method()']
    assert told(chunks, conf={'untrusted_lua': 'on'})[1] == ['function', '[1]', 'GET']


def test_the_sandbox_may_have_more(told, tmp_path):
    (tmp_path / 'mine.lua').write_text('return { word = function() return "mine" end }')
    said = told(['require("mine").word()', 'require("io")', 'type(os.getenv)', 'type(os.execute)'], conf={
        'untrusted_lua_sandbox_requires': 'mine', 'untrusted_lua_sandbox_environment': 'os.getenv',
        'lua_package_path': f'{tmp_path}/?.lua'})[1]
    assert said == ['mine', None, 'function', 'nil']


def test_what_cannot_be_compiled_is_refused(gateway, origin1):
    g = gateway(logged_by(origin1, plugin('file-log', path='/dev/null')))
    bad = logged_by(origin1, plugin('file-log', path='/dev/null', custom_fields_by_lua={'a': 'return ('}))
    r = g.api('/config', method='POST', headers=[('Content-Type', 'application/json')],
              body=json.dumps(bad).encode())
    assert r.status == 400 and b'Error parsing function: lua:1: ' in r.body
    assert g.get('/').status == 200
