# SPDX-License-Identifier: Apache-2.0
"""grpc-web and grpc-gateway between clients of HTTP and real servers of gRPC."""
import base64
import json
import os
import struct

import grpc
import pytest
from concurrent import futures

from harness.config import declarative
from harness.gateway import ROOT

PROTO = os.path.join(ROOT, 'tests', 'harness', 'shop.proto')


def frame(data, flags=0):
    return struct.pack('>BI', flags, len(data)) + data


def frames(body):
    found = []
    while body:
        flags, n = struct.unpack('>BI', body[:5])
        found.append((flags, body[5:5 + n]))
        assert len(body) >= 5 + n
        body = body[5 + n:]
    return found


class Shop(grpc.GenericRpcHandler):
    """Says back what it was told; its messages are bytes, made and read by hand."""

    def __init__(self):
        self.told = []
        self.server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self])
        self.port = self.server.add_insecure_port('127.0.0.1:0')
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()

    def service(self, details):
        self.metadata = dict(details.invocation_metadata)
        unary = grpc.unary_unary_rpc_method_handler
        return {'/shop.Shop/Buy': unary(self.buy), '/shop.Shop/Fail': unary(self.fail),
                '/shop.Shop/Watch': grpc.unary_stream_rpc_method_handler(self.watch),
                }.get(details.method)

    def buy(self, request, context):
        self.told.append(request)
        context.set_trailing_metadata((('receipt', '7'),))
        return request

    def watch(self, request, context):
        for n in range(3):
            yield request + b'\x10' + bytes([n + 1])

    def fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, 'no such thing')


@pytest.fixture(scope='module')
def shop():
    one = Shop()
    yield one
    one.stop()


def config(shop, name, paths, protocols=('http', 'https'), **conf):
    return declarative({
        'name': 'shop', 'protocol': 'grpc', 'host': '127.0.0.1', 'port': shop.port,
        'routes': [{'name': 'shop', 'protocols': list(protocols), 'paths': paths}],
        'plugins': [{'name': name, 'config': conf}]})


@pytest.fixture(scope='module')
def web(module_gateway, shop):
    return module_gateway(config(shop, 'grpc-web', ['/shop.Shop', '/api'], proto=PROTO,
                                 allow_origin_header='https://a.test'))


@pytest.fixture(scope='module')
def rest(module_gateway, shop):
    return module_gateway(config(shop, 'grpc-gateway', ['/v1', '/none'], proto=PROTO))


def post(gateway, path, kind, body):
    return gateway.get(path, method='POST', headers=[('Content-Type', kind)], body=body)


PEN = b'\x0a\x03pen'
TRAILERS = b'grpc-status:0\r\ngrpc-message:\r\nreceipt:7\r\n'


@pytest.mark.parametrize('kind', ['application/grpc-web', 'application/grpc-web+proto'])
def test_frames_go_through_and_trailers_come_behind_them(web, shop, kind):
    answer = post(web, '/shop.Shop/Buy', kind, frame(PEN))
    assert answer.status == 200 and answer.get('Content-Type') == kind
    assert answer.get('Access-Control-Allow-Origin') == 'https://a.test'
    assert frames(answer.body) == [(0, PEN), (0x80, TRAILERS)]
    assert answer.trailers == []
    assert shop.told[-1] == PEN
    assert shop.metadata['x-forwarded-path'] == '/shop.Shop/Buy'


def test_frames_as_text_go_through(web):
    kind = 'application/grpc-web-text'
    answer = post(web, '/shop.Shop/Buy', kind, base64.b64encode(frame(PEN)))
    assert answer.get('Content-Type') == kind
    body, rest = b'', answer.body
    while rest:  # pieces, each padded by itself
        end = rest.find(b'=')
        end = len(rest) if end < 0 else end + (2 if rest[end:end + 2] == b'==' else 1)
        body, rest = body + base64.b64decode(rest[:end]), rest[end:]
    assert frames(body) == [(0, PEN), (0x80, TRAILERS)]


def test_messages_in_json_are_translated(web):
    order = {'item': 'pen', 'count': 2, 'size': 'LARGE', 'to': {'city': 'Rome', 'number': 3},
             'tags': ['a', 'b'], 'when': '2026-11-24T10:20:30Z', 'prices': {'eur': 5}}
    said = {**order, 'gift': False, 'when': '2026-11-24T10:20:30'}
    answer = post(web, '/shop.Shop/Buy', 'application/json', json.dumps(order).encode())
    assert answer.status == 200 and answer.get('Content-Type') == 'application/json'
    assert answer.json() == said
    answer = post(web, '/shop.Shop/Buy', 'application/grpc-web+json',
                  frame(json.dumps(order).encode()))
    (flags, message), trailers = frames(answer.body)
    assert flags == 0 and json.loads(message) == said and trailers == (0x80, TRAILERS)


def test_a_stream_comes_message_by_message(web):
    answer = post(web, '/shop.Shop/Watch', 'application/grpc-web', frame(PEN))
    found = frames(answer.body)
    assert [m for _, m in found[:3]] == [PEN + b'\x10' + bytes([n]) for n in (1, 2, 3)]
    assert found[3][0] == 0x80 and found[3][1].startswith(b'grpc-status:0\r\n')


def test_a_failed_call_says_so_in_the_trailers(web):
    answer = post(web, '/shop.Shop/Fail', 'application/grpc-web', frame(PEN))
    assert answer.status == 200
    assert frames(answer.body)[-1][1].startswith(
        b'grpc-status:5\r\ngrpc-message:no such thing\r\n')


def test_a_preflight_is_answered(web):
    answer = web.get('/shop.Shop/Buy', method='OPTIONS')
    assert answer.status == 200 and answer.body == b'OK'
    assert answer.get('Content-Type') == 'application/grpc-web-text+proto'
    assert answer.get('Access-Control-Allow-Origin') == 'https://a.test'
    assert answer.get('Access-Control-Allow-Methods') == 'POST'
    assert answer.get('Access-Control-Allow-Headers') == 'content-type,x-grpc-web,x-user-agent'


def test_what_cannot_be_translated_is_refused(web):
    answer = post(web, '/shop.Shop/None', 'application/json', b'{}')
    assert answer.status == 400 and answer.body == b'Unkown path "/shop.Shop/None"'
    answer = post(web, '/shop.Shop/Buy', 'application/json', b'{"count":[]}')
    assert answer.status == 400 and answer.body == b'count: expected a number'


def test_a_stripped_path_may_go_on(gateway, shop):
    g = gateway(config(shop, 'grpc-web', ['/api'], pass_stripped_path=True))
    answer = post(g, '/api/shop.Shop/Buy', 'application/grpc-web', frame(PEN))
    assert frames(answer.body)[0] == (0, PEN)


def test_a_server_that_is_not_there_is_told_as_ever(gateway, shop):
    conf = config(shop, 'grpc-web', ['/'], proto=PROTO)
    conf['services'][0].update(port=1, retries=0)
    answer = post(gateway(conf), '/shop.Shop/Buy', 'application/grpc-web', frame(PEN))
    assert answer.status == 502 and b'invalid response' in answer.body


# ---- grpc-gateway -------------------------------------------------------------------------


def test_requests_become_calls(rest, shop):
    answer = post(rest, '/v1/orders', 'application/json', b'{"item": "pen"}')
    assert answer.status == 200 and answer.get('Content-Type') == 'application/json'
    assert answer.json() == {'item': 'pen', 'count': 0, 'gift': False, 'size': 'SMALL'}
    assert shop.told[-1] == PEN
    answer = rest.get('/v1/orders/pen?count=300&gift=true&to.city=Rome&tags=a&tags=b&arg=1')
    assert answer.json() == {'item': 'pen', 'count': 300, 'gift': True, 'size': 'SMALL',
                             'to': {'city': 'Rome', 'number': 0}, 'tags': ['a', 'b']}
    answer = rest.get('/v1/orders/pen/address', method='PUT', body=b'{"city": "Rome"}')
    assert answer.json()['to'] == {'city': 'Rome', 'number': 0}
    assert answer.get('Access-Control-Allow-Origin') == '*'
    assert answer.trailers == []


def test_a_status_of_grpc_becomes_one_of_http(rest):
    answer = rest.get('/v1/fail/1')
    assert answer.status == 404 and answer.get('grpc-status') == '5'
    assert answer.get('grpc-message') == 'no such thing' and answer.body == b''


def test_answers_that_stream_are_documents_one_behind_the_other(rest):
    answer = rest.get('/v1/watch/pen')
    decoder, text, counts = json.JSONDecoder(), answer.body.decode(), []
    while text:
        one, end = decoder.raw_decode(text)
        counts.append(one['count'])
        text = text[end:]
    assert counts == [1, 2, 3]


def test_what_no_binding_takes_is_refused(rest):
    answer = rest.get('/none/x')
    assert answer.status == 400
    assert answer.body == b'failed to transcode .proto file Unknown path "/none/x"'
    answer = post(rest, '/v1/orders', 'application/json', b'{"count": "x"}')
    assert answer.status == 400 and answer.body == b'count: expected a number'
    answer = rest.get('/v1/orders', method='OPTIONS')
    assert answer.status == 200 and answer.body == b'OK'
    assert answer.get('Access-Control-Allow-Methods') == 'GET,POST,PATCH,DELETE'


@pytest.mark.parametrize('name, path', [('grpc-gateway', '/v1/orders/pen'),
                                        ('grpc-web', '/shop.Shop/Buy')])
def test_without_its_file_a_plugin_says_so_and_nothing_else_breaks(gateway, shop, name, path):
    g = gateway(config(shop, name, ['/'], proto='/none/none.proto'))
    answer = g.get(path, headers=[('Content-Type', 'application/json')])
    assert answer.status == 500
    assert answer.json()['message'] == 'An unexpected error occurred'
    assert f'{name}: proto cannot be used' in g.log()
