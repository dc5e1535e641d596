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
