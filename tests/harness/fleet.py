# SPDX-License-Identifier: Apache-2.0
"""fleet - several gateways over one PostgreSQL database, and a Kong beside them."""
import json
import uuid

from .waits import wait_for

STRANGER = '00000000-0000-4000-8000-00000000abcd'  # the node_id of a Kong beside us


def call(gw, method, path, body=None, status=None):
    more = {} if body is None else {'body': json.dumps(body).encode(),
                                    'headers': [('Content-Type', 'application/json')]}
    answer = gw.api(path, method, **more)
    assert answer.status == status if status else answer.status < 300, answer
    return answer.json() if answer.body else None


class Fleet:
    """Nodes over one database, the first of which makes the service / behind key-auth; and SQL."""

    def __init__(self, server, gateway, origin, name):
        self.server, self.name, self.gateway, self.origin = server, name, gateway, origin
        self.conf = {**server.new_database(name), 'db_update_frequency': '0.2',
                     'nginx_worker_processes': '2'}
        self.first = None

    def sql(self, text):
        return self.server.sql(text, self.name)

    def node(self, **conf):
        one = self.gateway(conf={**self.conf, **conf}, start=False)
        if not self.first:
            done = one.cli('migrations', 'bootstrap')
            assert done.returncode == 0, done.stderr
        one.start()
        if not self.first:
            self.first = one
            call(one, 'POST', '/services', {'name': 's', 'url': self.origin.url})
            call(one, 'POST', '/services/s/routes', {'name': 'r', 'paths': ['/']})
            call(one, 'POST', '/routes/r/plugins', {'name': 'key-auth'})
            wait_for(lambda: one.get('/').status == 401, 'the route to be served')
        self.workspace = self.sql("SELECT id FROM workspaces WHERE name = 'default'")
        return one

    def cache_key(self, kind, part):
        return f'{kind}:{part}:::::{self.workspace}'

    def tell(self, key, channel='invalidations'):
        """As a Kong node does."""
        self.sql("INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data) VALUES"
                 f" ('{uuid.uuid4()}', '{STRANGER}', now(), now() + interval '1 hour',"
                 f" '{channel}', '{key}')")
