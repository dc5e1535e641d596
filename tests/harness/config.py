# SPDX-License-Identifier: Apache-2.0
"""config - short ways to write declarative configurations.

    declarative(service(origin, route(paths=['/a']), name='a'))
"""
import itertools

_count = itertools.count(1)


def route(**fields):
    return {'name': f'r{next(_count)}', **fields}


def service(where, *routes, **fields):
    """where: an origin (or anything with .url), or an URL."""
    url = where if isinstance(where, str) else where.url
    return {'name': f's{next(_count)}', 'url': url, 'routes': list(routes), **fields}


def declarative(*services, **entities):
    config = {'_format_version': '3.0', **entities}
    if services:
        config['services'] = list(services)
    return config


def everything_to(origin, **fields):
    """One route that takes every path, unchanged."""
    return declarative(service(origin, route(paths=['/'], strip_path=False), **fields))


def named(origin, name, **fields):
    """A service that shows in the path it asks for which one it is: /name/...

    Its one route, called by the same name, takes the fields given."""
    fields.setdefault('strip_path', False)
    return {'name': name, 'url': f'{origin.url}/{name}', 'routes': [{'name': name, **fields}]}


def who(answer):
    """The name of the `named` service that an echo came through; None for the gateway's 404."""
    if answer.status == 404 and b'no Route matched' in answer.body:
        return None
    assert answer.status == 200, answer
    return answer.json()['target'].split('/')[1].split('?')[0]


def sent(answer, name):
    """Values of a request header that an echo says the origin saw."""
    return [v for n, v in answer.json()['headers'] if n.lower() == name.lower()]
