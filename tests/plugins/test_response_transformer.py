# SPDX-License-Identifier: Apache-2.0
"""response-transformer: replies as clients see them."""
import json

import pytest

from harness.config import declarative, route, service


def reply(body, type_='application/json', extra=b''):
    return (b'HTTP/1.1 200 OK\r\nContent-Type: ' + type_.encode() + b'\r\n' + extra +
            b'Content-Length: %d\r\n\r\n' % len(body) + body)


CHUNKED = (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
           b'5\r\n{"a":\r\n7\r\n1,"b":2\r\n1\r\n}\r\n0\r\n\r\n')
BIG = json.dumps({'a': 1, 'many': ['x' * 50] * 20000}).encode()


@pytest.fixture(scope='module')
def transformed(module_gateway, module_origin):
    origin = module_origin()
    origin.on('/json', reply(b'{"a":1,"b":"two"}', extra=b'X-Old: 1\r\nX-Old: 2\r\nX-Gone: 3\r\n'))
    origin.on('/text', reply(b'{"a":1}', 'text/plain'))
    origin.on('/broken', reply(b'{"a":1'))
    origin.on('/chunked', CHUNKED)
    origin.on('/twice', reply(b'{"a":1,"b":"two","a":2}'))
    origin.on('/big', reply(BIG))
    return module_gateway(declarative(service(origin, {
        **route(paths=['/'], strip_path=False),
        'plugins': [{'name': 'response-transformer', 'config': {
            'remove': {'headers': ['X-Gone'], 'json': ['a']},
            'rename': {'headers': ['X-Old:X-New']},
            'replace': {'json': ['b:3'], 'json_types': ['number']},
            'add': {'headers': ['X-Added:yes'], 'json': ['c:true'], 'json_types': ['boolean']},
            'append': {'headers': ['X-Added:again'], 'json': ['d:e']}}}]})))


def test_headers_and_members_are_changed(transformed):
    answer = transformed.get('/json')
    assert answer.status == 200
    assert answer.json() == {'b': 3, 'c': True, 'd': ['e']}
    assert answer.all('X-New') == ['1', '2']
    assert answer.all('X-Old') == answer.all('X-Gone') == []
    assert answer.all('X-Added') == ['yes', 'again']


def test_no_member_hides_by_coming_twice(transformed):
    assert transformed.get('/twice').json() == {'b': 3, 'c': True, 'd': ['e']}


def test_a_body_in_pieces_is_changed_as_a_whole(transformed):
    assert transformed.get('/chunked').json() == {'b': 3, 'c': True, 'd': ['e']}
    answer = transformed.get('/big').json()
    assert 'a' not in answer and len(answer['many']) == 20000 and answer['c'] is True


@pytest.mark.parametrize('path, body', [('/text', b'{"a":1}'), ('/broken', b'{"a":1')])
def test_other_bodies_stay_as_they_are(transformed, path, body):
    answer = transformed.get(path)
    assert answer.body == body
    assert answer.all('X-Added') == ['yes', 'again']


def test_head_gets_the_headers_alone(transformed):
    client = transformed.client()
    answer = client.request('HEAD', '/head')
    assert answer.status == 200 and answer.body == b''
    assert answer.all('X-Added') == ['yes', 'again']
    assert client.request('GET', '/json').json()['b'] == 3
