# SPDX-License-Identifier: Apache-2.0
"""request-transformer: requests as upstreams see them."""
import json

import pytest

from harness.client import chunked
from harness.config import declarative, route, service
from harness.origin import ok

FORM = ('Content-Type', 'application/x-www-form-urlencoded')
JSON = ('Content-Type', 'application/json')

BASIC = '''$((function()
    local value = headers.Authorization
    if not value then
      return
    end
    if value:sub(1, 6) == "Basic " then
      return value            -- was already properly formed
    end
    return "Basic " .. value  -- added proper prefix
  end)())'''


def transformed(path, **config):
    return {**route(paths=[path], strip_path=False),
            'plugins': [{'name': 'request-transformer', 'config': config}]}


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return module_gateway(declarative(service(
        origin1,
        transformed('/all',
                    remove={'headers': ['X-Gone'], 'querystring': ['gone'], 'body': ['gone']},
                    rename={'headers': ['X-Old:X-New'], 'querystring': ['old:new'], 'body': ['old:new']},
                    replace={'headers': ['X-There:2', 'X-Absent:2'], 'querystring': ['there:2', 'absent:2'],
                             'body': ['there:2', 'absent:2']},
                    add={'headers': ['X-Added:1'], 'querystring': ['added:1'], 'body': ['added:1']},
                    append={'headers': ['X-Added:2'], 'querystring': ['added:2'], 'body': ['added:2']}),
        transformed('~/user/(?<name>[a-z]+)/(\\d+)$',
                    replace={'uri': '/users/$(uri_captures.name)/items/$(uri_captures[2] + 1)'},
                    add={'querystring': ['whole:$(uri_captures[0])']}),
        transformed('/basic', replace={'headers': ['Authorization:' + BASIC]}),
        transformed('/first', add={'headers': [
            'X-First:$(type(headers["x-a"]) == "table" and headers["x-a"][1] or headers["x-a"])']}),
        transformed('/fails', add={'headers': ['X-A:$(nothing())']}),
        transformed('/host', replace={'headers': ['Host:$(query_params.to)']}),
        transformed('/lines', add={'headers': ['X-A:$(query_params.a)']}),
        transformed('/post', http_method='POST', add={'headers': ['Content-Type:application/json'],
                                                      'body': ['body:some content']}),
        transformed('/get', http_method='GET'),
        transformed('/head', http_method='HEAD'))),
        conf={'nginx_worker_processes': '1'})


@pytest.fixture
def ask(gw, origin1):
    """ask(method, target, *headers, body=): what the origin saw."""
    def ask_(method, target, *headers, body=b''):
        answer = gw.client().request(method, target, list(headers), body)
        assert answer.status == 200, answer
        return origin1.last()
    return ask_


def test_headers_and_query(ask):
    seen = ask('GET', '/all?gone=1&old=1&old=2&there=1&x=%20', ('X-Gone', '1'), ('X-Old', '1'), ('X-Old', '2'),
               ('X-There', '1'))
    assert seen.all('X-New') == ['1', '2'] and seen.all('X-Old') == seen.all('X-Gone') == []
    assert seen.get('X-There') == '2' and seen.all('X-Absent') == []
    assert seen.all('X-Added') == ['1', '2']
    assert seen.target == '/all?new=1&new=2&there=2&x=%20&added=1&added=2'


@pytest.mark.parametrize('coded', [False, True])
def test_json(ask, coded):
    body = json.dumps({'gone': 1, 'old': [], 'there': None, 'big': 'x' * 100000, 'o': {}}).encode()
    if coded:
        seen = ask('POST', '/all', JSON, ('Transfer-Encoding', 'chunked'), body=chunked(body[:10], body[10:]))
    else:
        seen = ask('POST', '/all', JSON, body=body)
    assert json.loads(seen.body) == {'new': [], 'there': '2', 'big': 'x' * 100000, 'o': {},
                                     'added': ['1', '2']}
    assert int(seen.get('Content-Length')) == len(seen.body) and not seen.all('Transfer-Encoding')


def test_no_member_hides_by_coming_twice(ask):
    seen = ask('POST', '/all', JSON, body=b'{"gone":1,"there":"a","gone":2,"there":"b"}')
    assert json.loads(seen.body) == {'there': '2', 'added': ['1', '2']}


def test_forms(ask):
    assert ask('POST', '/all', FORM, body=b'gone=1&old=a+b&there&k=%C3%A9').body == \
        b'new=a%20b&there=2&k=%C3%A9&added=1&added=2'


def test_multipart(ask):
    def part(head, text):
        return b'--xyz\r\nContent-Disposition: form-data; ' + head + b'\r\n\r\n' + text + b'\r\n'

    body = part(b'name="gone"', b'1') + part(b'name="old"', b'2') + \
        part(b'name="file"; filename="f"\r\nContent-Type: a/b', b'\x00\xff') + b'--xyz--\r\n'
    assert ask('POST', '/all', ('Content-Type', 'multipart/form-data; boundary=xyz'), body=body).body == \
        part(b'name="new"', b'2') + part(b'name="file"; filename="f"\r\nContent-Type: a/b', b'\x00\xff') + \
        part(b'name="added"', b'1') + b'--xyz--\r\n'


@pytest.mark.parametrize('type_, body', [(JSON, b'{"gone":'), (JSON, b'["gone"]'), (JSON, b'no json'),
                                         (('Content-Type', 'text/plain'), b'gone=1'),
                                         (('Content-Type', 'multipart/form-data; boundary=x'), b'gone')])
def test_other_bodies_go_on_as_they_came(ask, type_, body):
    assert ask('POST', '/all', type_, body=body).body == body


def test_paths_from_groups_of_the_route(ask):
    assert ask('GET', '/user/jo/41?q').target == '/users/jo/items/42?q&whole=%2Fuser%2Fjo%2F41'


def test_the_function_of_kong_s_manual(ask):
    assert ask('GET', '/basic', ('Authorization', 'abc')).get('Authorization') == 'Basic abc'
    assert ask('GET', '/basic', ('Authorization', 'Basic abc')).get('Authorization') == 'Basic abc'
    assert ask('GET', '/basic').all('Authorization') == []


def test_repeated_headers_are_tables(ask):
    assert ask('GET', '/first', ('X-A', '1'), ('X-A', '2')).get('X-First') == '1'
    assert ask('GET', '/first', ('X-A', '3')).get('X-First') == '3'


def test_what_cannot_be_rendered_is_a_500_and_told_in_the_log(gw):
    answer = gw.get('/fails')
    assert answer.status == 500 and answer.json() == {'message': 'An unexpected error occurred'}
    assert "attempt to call global 'nothing' (a nil value)" in gw.log()


def test_the_host_that_goes_on(ask):
    assert ask('GET', '/host?to=other.test').get('Host') == 'other.test'


def test_values_are_never_more_lines(ask):
    seen = ask('GET', '/lines?a=1%0d%0aX-B:%202%00')
    assert seen.get('X-A') == '1%0D%0AX-B: 2%00' and seen.all('X-B') == []


def test_a_get_becomes_a_post_with_a_body(ask):
    seen = ask('GET', '/post')
    assert seen.method == 'POST' and json.loads(seen.body) == {'body': 'some content'}


def test_a_form_becomes_the_query_of_a_get(ask):
    seen = ask('POST', '/get?a=1', FORM, body=b'a=2&b=%26')
    assert seen.method == 'GET' and seen.target == '/get?a=1&a=2&b=%26'


def test_the_answer_to_another_method_keeps_the_connection_in_step(gw, origin1):
    """HEAD made GET has a body that nobody asked for, GET made HEAD a length without a body."""
    origin1.on('/get', ok(b'x' * 50000))
    origin1.on('/head', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
    with gw.client() as c:
        for _ in range(3):
            answer = c.request('HEAD', '/get')
            assert answer.status == 200 and answer.body == b''
            answer = c.request('GET', '/head')
            assert answer.status == 200 and answer.body == b'' and answer.get('Content-Length') == '0'
            answer = c.request('GET', '/get')
            assert answer.body == b'x' * 50000


@pytest.mark.parametrize('config, words', [
    ({'add': {'querystring': ['a:']}}, "key 'a' has no value"),
    ({'add': {'body': ['a:$(b c)']}}, "value '$(b c)' is not in supported format, error:"),
    ({'add': {'headers': ['a:' + 'x' * 9000]}}, 'longer than 8192 bytes'),
    ({'rename': {'headers': ['a:b c']}}, "'b c' is not a valid header")])
def test_what_cannot_be_read_is_refused(gw, config, words):
    answer = gw.api('/schemas/plugins/validate', 'POST', headers=[JSON],
                    body=json.dumps({'name': 'request-transformer', 'config': config}).encode())
    assert answer.status == 400 and words in answer.json()['message']
