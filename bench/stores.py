#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""stores.py - the Admin API beside its store's own cost, and imports.

    stores.py [--services N]

On SQLite and on PostgreSQL: so many services with a route each are imported,
the gateway starts from them, and then lists, reads, makes and changes services
over one connection.  Beside it the statements behind those calls run in the same
database without a gateway: by sqlite3 of Python with the same pragmas, by psql.
"""
import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from proxies import ROOT  # noqa: F401 (makes the tests' harness importable)

from harness.client import Client
from harness.gateway import Gateway
from harness.postgres import Postgres, as_owner

CALLS = 200
PAGE = 100
SELECT = 'SELECT * FROM services {where}ORDER BY id LIMIT {n}'
INSERT = ("INSERT INTO services (id, name, created_at, updated_at, protocol, host, port, ws_id)"
          " VALUES ('{id}', '{name}', {now}, {now}, 'http', 'h', 80, '{ws}')")
UPDATE = "UPDATE services SET host = 'other' WHERE id = '{id}'"


def median(taken):
    return sorted(taken)[len(taken) // 2] * 1000


def timed(call, n=CALLS):
    taken = []
    for i in range(n):
        began = time.perf_counter()
        call(i)
        taken.append(time.perf_counter() - began)
    return median(taken)


def document(n):
    return {'_format_version': '3.0', 'services': [
        {'name': f's{i}', 'url': 'http://127.0.0.1:1', 'routes': [
            {'name': f'r{i}', 'paths': [f'/r/{i}/']}]} for i in range(n)]}


def measure_admin(gateway):
    client = Client(gateway.admin, timeout=30)

    def ask(method, path, body=None):
        more = {} if body is None else {'body': json.dumps(body).encode()}
        headers = [('Content-Type', 'application/json')] if body is not None else []
        reply = client.request(method, path, headers, **more)
        assert reply.status in (200, 201), reply.body

    out = {
        'list': timed(lambda i: ask('GET', f'/services?size={PAGE}')),
        'read': timed(lambda i: ask('GET', f'/services/s{i}')),
        'make': timed(lambda i: ask('POST', '/services', {'name': f'new{i}', 'host': 'h'})),
        'change': timed(lambda i: ask('PATCH', f'/services/new{i}', {'host': 'other'})),
    }
    client.close()
    return out


def statements(ws, now, plus=''):
    """By what the Admin API's calls are named; ids that nobody has."""
    def id_of(i):
        return f'00000000-0000-4000-9000-{i:012d}'
    return {
        'list': lambda i: SELECT.format(where=f"WHERE {plus}ws_id = '{ws}' ", n=PAGE + 1),
        'read': lambda i: SELECT.format(where=f"WHERE name = 's{i}' ", n=1),
        'make': lambda i: INSERT.format(id=id_of(i), name=f'own{i}', ws=ws, now=now),
        'change': lambda i: UPDATE.format(id=id_of(i)),
    }


class Sqlite:
    name = 'sqlite'

    def __init__(self, folder):
        self.conf, self.file = {'database': 'sqlite'}, os.path.join(folder, 'sqlite', 'gibbon.db')

    def prepare(self, gateway):
        pass

    def own_costs(self):
        db = sqlite3.connect(self.file, isolation_level=None)
        db.execute('PRAGMA synchronous = FULL')
        ws = db.execute("SELECT id FROM workspaces WHERE name = 'default'").fetchone()[0]
        out = {name: timed(lambda i, text=text: db.execute(text(i)).fetchall())
               for name, text in statements(ws, '0', '+').items()}
        db.close()
        return out

    def end(self):
        pass


class Postgresql:
    name = 'postgres'

    def __init__(self, folder):
        self.server = Postgres().start()
        self.conf = self.server.new_database()

    def prepare(self, gateway):
        done = gateway.cli('migrations', 'bootstrap', timeout=60)
        assert done.returncode == 0, done.stderr

    def own_costs(self):
        ws = self.server.sql("SELECT id FROM workspaces WHERE name = 'default'", 'kong')
        out = {}
        for name, text in statements(ws, 'now()').items():
            lines = '\n'.join(['\\timing on', '\\o /dev/null',
                               *(text(i) + ';' for i in range(CALLS))])
            said = subprocess.run(
                as_owner('psql', '-qAtX', '-h', self.server.socket, '-p', str(self.server.port),
                         '-U', 'postgres', '-d', 'kong'),
                input=lines, capture_output=True, text=True, check=True).stdout
            out[name] = median([float(ms) / 1000 for ms in re.findall(r'Time: ([\d.]+) ms', said)])
        return out

    def end(self):
        self.server.end()


def measure_store(folder, make, services):
    store = make(folder)
    try:
        gateway = Gateway(os.path.join(folder, store.name),
                          conf={**store.conf, 'log_level': 'notice', 'proxy_access_log': 'off'})
        store.prepare(gateway)
        path = os.path.join(folder, 'services.json')
        with open(path, 'w') as out:
            json.dump(document(services), out)
        began = time.monotonic()
        done = gateway.cli('config', 'db_import', path, timeout=180)
        assert done.returncode == 0, done.stderr
        figures = {'import': time.monotonic() - began}
        began = time.monotonic()
        gateway.start(wait=False)
        gateway.wait_ready(timeout=60)
        figures['start'] = time.monotonic() - began
        try:
            figures['admin'] = measure_admin(gateway)
        finally:
            gateway.stop()
        figures['own'] = store.own_costs()
    finally:
        store.end()
    print(f'{store.name}: {services} services with routes imported in {figures["import"]:.2f} s, '
          f'started in {figures["start"]:.2f} s; ' + ', '.join(
              f'{name} {ms:.2f} ms ({figures["own"][name]:.2f})'
              for name, ms in figures['admin'].items()), flush=True)
    return figures


def measure_stores(folder, services=10000):
    """{'sqlite', 'postgres': {'import', 'start' in s, 'admin', 'own': {call: ms}}}"""
    return {make.name: measure_store(folder, make, services) for make in (Sqlite, Postgresql)}


TITLES = {'list': f'a page of {PAGE} services', 'read': 'a service by name',
          'make': 'a new service', 'change': 'a change of one'}


def lines_of(stores, services=10000):
    """For the page."""
    out = ['', '## Stores', '',
           f'{services:,} services with a route each; medians of {CALLS} calls of the Admin API over one connection, '
           'and of the', "statements behind them in the same database without a gateway (Python's sqlite3, psql).", '',
           '| | ' + ' | '.join(f'{n} ms | alone ms' for n in stores) + ' |',
           '|---|' + '---:|' * (2 * len(stores))]
    for call, title in TITLES.items():
        out.append(f'| {title} | ' + ' | '.join(
            f'{s["admin"][call]:.2f} | {s["own"][call]:.2f}' for s in stores.values()) + ' |')
    out += ['', 'Imported and started from: ' + '; '.join(
        f'{n} in {s["import"]:.1f} s and {s["start"]:.2f} s' for n, s in stores.items()) + '.']
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--services', type=int, default=10000)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix='gibbon-stores-')
    try:
        measure_stores(folder, options.services)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
