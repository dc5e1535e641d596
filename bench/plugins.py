# SPDX-License-Identifier: Apache-2.0
"""plugins - what plugins cost: the suite that Kong publishes, and logs at full traffic.

The suite is proxying alone, rate limiting, and rate limiting behind two ways to say who
calls; each with one route and one consumer and with a hundred of both, over HTTPS, beside
an nginx that proxies alone.  All of a case take turns in each round.
"""
import base64
import os
import re
import socket

from load import measure, medians
from proxies import Gibbon, Origin, gateway_config

RATE_LIMITING = {'name': 'rate-limiting', 'config': {'minute': 1000000000, 'policy': 'local'}}
KEY_AUTH, BASIC_AUTH = {'name': 'key-auth'}, {'name': 'basic-auth'}
SUITE = [
    # title, plugins
    ('no plugin', []),
    ('rate-limiting', [RATE_LIMITING]),
    ('rate-limiting, key-auth', [RATE_LIMITING, KEY_AUTH]),
    ('rate-limiting, basic-auth', [RATE_LIMITING, BASIC_AUTH]),
]
MANY = 100
# Plugins that are configured for routes that nobody asks for.
ELSEWHERE = ['key-auth', 'rate-limiting', 'cors', 'correlation-id', 'acl', 'ip-restriction',
             'response-transformer', 'bot-detection', 'request-size-limiting', 'prometheus']
ELSEWHERE_CONFIG = {
    'rate-limiting': RATE_LIMITING['config'], 'acl': {'allow': ['a']},
    'ip-restriction': {'deny': ['192.0.2.1']},
    'response-transformer': {'add': {'headers': ['x:y']}}}
SCRIPT = '''
local values, header, requests, n, i = {%s}, "%s", {}, %d, 0
request = function()
  i = i %% n + 1
  if not requests[i] then
    wrk.headers[header] = values[i]
    requests[i] = wrk.format("GET", "/r/" .. i - 1 .. "/x")
  end
  return requests[i]
end
'''


def key(i):
    return f'key-of-consumer-{i}'


def basic(i):
    return 'Basic ' + base64.b64encode(f'user{i}:password-{i}'.encode()).decode()


def config_of(origin, plugins, count):
    """So many routes, and as many consumers where there is somebody to know them."""
    config = gateway_config(origin, count)
    config['plugins'] = plugins
    config['consumers'] = [{
        'username': f'user{i}', 'keyauth_credentials': [{'key': key(i)}],
        'basicauth_credentials': [{'username': f'user{i}', 'password': f'password-{i}'}]}
        for i in range(count)]
    return config


def script_of(plugins, count):
    header, value = ('apikey', key) if KEY_AUTH in plugins else ('Authorization', basic)
    values = [value(i) for i in range(count)] if len(plugins) > 1 else []
    return SCRIPT % (', '.join(f'"{v}"' for v in values), header, count)


def elsewhere_config(origin):
    config = gateway_config(origin, MANY)
    for i, one in enumerate(config['services'][0]['routes'][1:]):
        name = ELSEWHERE[i % len(ELSEWHERE)]
        one['plugins'] = [{'name': name, 'config': ELSEWHERE_CONFIG.get(name, {})}]
    return config


class Contestants:
    """Gateways of one comparison, started as they are named, stopped together."""

    def __init__(self, folder, origin, cert):
        self.folder, self.origin, self.cert = folder, origin, cert
        self.all, self.loads = {}, {}

    def add(self, name, proxy, path='/1k', **load):
        self.all[name], self.loads[name] = proxy, (path, load)

    def add_gateway(self, name, config, path='/1k', **load):
        folder = os.path.join(self.folder, re.sub(r'\W+', '-', name))
        self.add(name, Gibbon(folder, self.origin, self.cert, config=config), path, **load)

    def run(self, seconds, rounds, tls=False):
        taken = {name: [] for name in self.all}
        for i in range(rounds):
            for name, proxy in self.all.items():
                path, load = self.loads[name]
                taken[name].append(measure(self.folder, proxy, path, tls, seconds, warm=i == 0, **load))
        out = {name: medians(all_rounds) for name, all_rounds in taken.items()}
        for name, figures in out.items():
            print(f'{name:44}{figures["cpu"]:7.1f} us {figures["rps"]:8.0f}/s {figures["errors"]}',
                  flush=True)
        return out

    def stop(self):
        for proxy in self.all.values():
            if isinstance(proxy, Gibbon):
                proxy.stop()


def suite_over_https(folder, origin, cert, nginx, seconds, rounds):
    c = Contestants(folder, origin, cert)
    try:
        c.add('nginx', nginx)
        for title, plugins in SUITE:
            for count in (1, MANY):
                c.add_gateway(f'{title} ({count})', config_of(origin, plugins, count),
                              script=script_of(plugins, count))
        return c.run(seconds, rounds, tls=True)
    finally:
        c.stop()


def beside_plain(folder, origin, cert, nginx, seconds, rounds):
    plugins = [RATE_LIMITING, KEY_AUTH]
    c = Contestants(folder, origin, cert)
    try:
        c.add('nginx', nginx)
        c.add_gateway('plain', gateway_config(origin, 0))
        c.add_gateway('plain, 100 plugins elsewhere', elsewhere_config(origin))
        c.add_gateway('plain, rate-limiting and key-auth', config_of(origin, plugins, 1),
                      script=script_of(plugins, 1))
        return c.run(seconds, rounds)
    finally:
        c.stop()


def measure_plugins(folder, origin, cert, nginx, seconds, rounds):
    return {'https': suite_over_https(folder, origin, cert, nginx, seconds, rounds),
            'plain': beside_plain(folder, origin, cert, nginx, seconds, rounds)}


# ---- logs -----------------------------------------------------------------------------------------


def dropped_by(gateway):
    """Entries that were dropped, as the log tells it when the gateway has ended."""
    return sum(int(n) for n in re.findall(r'(\d+) entries were dropped', gateway.gateway.log()))


def measure_logging(folder, origin, cert, seconds, rounds):
    """Each request logged to a server; what that costs, and what the server was not sent."""
    http = Origin(os.path.join(folder, 'sink'), {'1k': 1024})
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # what it has no room for is not read
    udp.bind(('127.0.0.1', 0))
    cases = {
        'no log': [],
        'http-log, up to 100 entries in a call': [{'name': 'http-log', 'config': {
            'http_endpoint': f'http://127.0.0.1:{http.port}/log', 'queue_size': 100, 'flush_timeout': 1}}],
        'udp-log': [{'name': 'udp-log', 'config': {
            'host': '127.0.0.1', 'port': udp.getsockname()[1]}}]}
    c = Contestants(folder, origin, cert)
    try:
        for name, plugins in cases.items():
            c.add_gateway(name, {**gateway_config(origin, 0), 'plugins': plugins})
        out = c.run(seconds, rounds)
        for name, gateway in c.all.items():
            served = gateway.gateway.api('/status').json()['server']['total_requests']
            out[name] |= {'memory_kb': gateway.memory_kb(), 'served': served}
    finally:
        c.stop()
        udp.close()
        http.stop()
    for name, gateway in c.all.items():
        out[name]['dropped'] = dropped_by(gateway) if cases[name] else None
        print(f'{name:44}{out[name]["memory_kb"] / 1024:.0f} MB, {out[name]["dropped"]} of '
              f'{out[name]["served"]} dropped')
    return {'logging': out}


# ---- the page -------------------------------------------------------------------------------------


def page(results):
    lines = []
    if 'https' in results:
        r = results['https']
        base = r['nginx']['cpu']
        lines += ['', '## Plugins over HTTPS', '',
                  f'Beside nginx without any: {base:.1f} µs, {r["nginx"]["rps"]:.0f} requests a second. Each '
                  'request shows who it is from, and requests', 'spread over all routes and consumers.', '',
                  f'| plugins | 1 route, 1 consumer µs | to nginx | /s | {MANY} of both µs | to nginx | /s |',
                  '|---|---:|---:|---:|---:|---:|---:|']
        for title, _ in SUITE:
            one, many = r[f'{title} (1)'], r[f'{title} ({MANY})']
            lines.append(f'| {title} | ' + ' | '.join(
                f'{x["cpu"]:.1f} | {x["cpu"] / base:.2f} | {x["rps"]:.0f}' for x in (one, many)) + ' |')
    if 'plain' in results:
        r = results['plain']
        lines += ['', '## Plugins over HTTP', '', '| | µs | to nginx | to plain | /s |', '|---|---:|---:|---:|---:|']
        lines += [f'| {name} | {x["cpu"]:.1f} | {x["cpu"] / r["nginx"]["cpu"]:.2f} | '
                  f'{x["cpu"] / r["plain"]["cpu"]:.2f} | {x["rps"]:.0f} |' for name, x in r.items()]
    if 'logging' in results:
        lines += ['', '## Logs', '', 'Every request logged to a server beside it, which shares the machine. '
                  'What cannot be sent in time waits in', 'a queue of 64 MB, and is then dropped and counted.', '',
                  '| | µs | /s | worker memory | requests | not sent |', '|---|---:|---:|---:|---:|---:|']
        lines += [f'| {name} | {x["cpu"]:.1f} | {x["rps"]:.0f} | {x["memory_kb"] / 1024:.1f} MB | '
                  f'{x["served"]} | {"" if x["dropped"] is None else x["dropped"]} |'
                  for name, x in results['logging'].items()]
    return lines
