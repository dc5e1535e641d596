# SPDX-License-Identifier: Apache-2.0
"""Plugins outside the tree: built against an installed gateway, loaded by name, and refused
when something about them is wrong."""
import os
import re

import pytest

from harness.config import declarative, route, service
from harness.plugin_objects import PluginObjects


@pytest.fixture(scope='module')
def make(tmp_path_factory):
    return PluginObjects(tmp_path_factory).build


@pytest.fixture(scope='module')
def hello(make):
    return make()


def enabled(folder):
    return {'plugins': 'bundled,hello', 'plugin_path': f'/nowhere/at/all,{folder}'}


def with_hello(origin, **config):
    return declarative(service(origin, route(paths=['/'], plugins=[{'name': 'hello', 'config': config}])))


def refused(gateway, folder):
    g = gateway('_format_version: "3.0"\n', conf=enabled(folder), start=False)
    done = g.cli('start')
    assert done.returncode == 1
    return done.stderr


def test_the_example_serves(gateway, origin, hello):
    g = gateway(with_hello(origin(), greeting='good day'), conf=enabled(hello))
    assert g.get('/').get('X-Hello') == 'good day'
    assert 'hello' in g.api('/plugins/enabled').json()['enabled_plugins']
    fields = g.api('/schemas/plugins/hello').json()['fields']
    config = next(f['config'] for f in fields if 'config' in f)
    assert [next(iter(f)) for f in config['fields']] == ['greeting', 'only']


def test_it_answers_itself(gateway, origin, hello):
    o = origin()
    g = gateway(with_hello(o, only=True), conf=enabled(hello))
    assert g.get('/').json() == {'message': 'hello'}
    assert not o.requests


def test_its_pages_are_part_of_the_admin_api(gateway, origin, hello):
    g = gateway(with_hello(origin()), conf=enabled(hello))
    g.get('/')
    assert g.api('/hello').json() == {'greeted': 1}
    assert g.api('/hello', method='DELETE').status == 204
    assert g.api('/hello').json() == {'greeted': 0}
    assert g.api('/hello/a%20b').json() == {'message': 'hello, a b'}
    assert g.api('/hello/a', method='HEAD').status == 200
    wrong = g.api('/hello', method='PATCH')
    assert wrong.status == 405 and wrong.json() == {'message': 'Method not allowed'}
    options = g.api('/hello', method='OPTIONS')
    assert options.status == 204 and options.get('Allow') == 'DELETE, GET, HEAD, OPTIONS'
    assert g.api('/hello/a/b').status == 404
    assert {'/hello', '/hello/{who}'} <= set(g.api('/endpoints').json()['data'])


def test_its_configuration_is_checked_by_its_rows(gateway, origin, hello):
    g = gateway(with_hello(origin(), greeting=5), conf=enabled(hello), start=False)
    done = g.cli('config', 'parse', g.config_path)
    assert done.returncode == 1
    assert 'expected a string' in done.stderr


def test_one_that_is_not_there_stops_the_start(gateway, tmp_path):
    said = refused(gateway, tmp_path)
    assert 'hello plugin is enabled but not installed' in said
    assert str(tmp_path) in said


def test_one_that_was_not_enabled_is_not_loaded(gateway, origin, hello):
    g = gateway(with_hello(origin()), conf={'plugin_path': str(hello)}, start=False)
    done = g.cli('start')
    assert done.returncode == 1
    assert "plugin 'hello' not enabled; add it to the 'plugins' configuration property" in done.stderr


def test_one_for_another_door_is_refused(gateway, make):
    said = refused(gateway, make({'PLUGIN_MODULE(plugin_hello);':
                                  'extern const struct plugin_module gibbon_plugin_module;\n'
                                  'const struct plugin_module gibbon_plugin_module = '
                                  '{ 999, sizeof(struct plugin), &plugin_hello };'}))
    assert re.search(r'plugin hello: \S+/hello\.so was built for version 999 of the plugin door', said)


def test_one_with_another_name_is_refused(gateway, make):
    assert 'holds the plugin "other", not "hello"' in \
        refused(gateway, make({'.name = "hello"': '.name = "other"'}))


def test_a_file_that_is_no_plugin_is_refused(gateway, make, tmp_path):
    assert 'is no plugin: it does not say PLUGIN_MODULE()' in \
        refused(gateway, make({'PLUGIN_MODULE(plugin_hello);':
                               'extern const struct plugin *const p; const struct plugin *const p = &plugin_hello;'}))
    (tmp_path / 'hello.so').write_bytes(b'not an object')
    os.chmod(tmp_path / 'hello.so', 0o644)
    assert 'hello.so: ' in refused(gateway, tmp_path)


def test_a_file_that_others_can_change_is_refused(gateway, make):
    folder = make()
    os.chmod(folder / 'hello.so', 0o666)
    said = refused(gateway, folder)
    assert 'can be changed by other users' in said and 'chmod go-w' in said
