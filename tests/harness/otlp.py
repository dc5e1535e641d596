# SPDX-License-Identifier: Apache-2.0
"""otlp - reads ExportTraceServiceRequest, from the wire format of protocol buffers up.

Strict: unknown fields, wrong wire types and bytes left over are errors.
"""
import struct


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def fields(data):
    """[(number, value)]: ints of varints and fixed64 (as bytes), bytes of the rest."""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size
        else:
            raise ValueError(f'wire type {key & 7}')
        found.append((key >> 3, value))
    assert at == len(data)
    return found


def any_value(data):
    (number, value), = fields(data)
    return {1: lambda: value.decode(), 2: lambda: bool(value), 3: lambda: value,
            4: lambda: struct.unpack('<d', value)[0]}[number]()


def attributes(pairs):
    found = {}
    for pair in pairs:
        (one, key), (two, value) = fields(pair)
        assert (one, two) == (1, 2) and key.decode() not in found
        found[key.decode()] = any_value(value)
    return found


def span(data):
    names = {1: 'trace_id', 2: 'span_id', 4: 'parent_id', 5: 'name', 6: 'kind', 7: 'start',
             8: 'end', 15: 'status'}
    found, pairs = {'parent_id': None, 'status': 0}, []
    for number, value in fields(data):
        if number == 9:
            pairs.append(value)
            continue
        name = names[number]
        if name.endswith('_id'):
            value = value.hex()
        elif name == 'name':
            value = value.decode()
        elif name in ('start', 'end'):
            value, = struct.unpack('<Q', value)
        elif name == 'status':
            (three, value), = fields(value)
            assert three == 3
        found[name] = value
    found['attributes'] = attributes(pairs)
    return found


def request(data):
    """(resource attributes, scope, spans) of one export."""
    (one, resource_spans), = fields(data)
    (resource_n, resource), (scoped_n, scoped) = fields(resource_spans)
    assert (one, resource_n, scoped_n) == (1, 1, 2)
    resource = [value for number, value in fields(resource) if number == 1]
    (scope_n, scope), *spans = fields(scoped)
    assert scope_n == 1 and {number for number, _ in spans} == {2}
    return (attributes(resource), {n: v.decode() for n, v in fields(scope)},
            [span(value) for _, value in spans])
