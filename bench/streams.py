# SPDX-License-Identifier: Apache-2.0
"""streams - connections relayed as they are: Gibbon's stream_listen beside nginx's stream module
and HAProxy in mode tcp, to one origin, one worker thread each."""
import os

from load import compare
from proxies import CONNECTIONS, DESCRIPTORS, HAPROXY, NGINX, Gibbon, Process

MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'
CASES = [
    # name, title, wrk's arguments, path, TLS
    ('tcp', 'TCP, 1 KB answers', {}, '/1k', False),
    ('tcp-fresh', 'TCP, a connection per KB', {'headers': ['Connection: close']}, '/1k', False),
    ('tcp-1m', 'TCP, 1 MB answers', {'connections': 8}, '/1m', False),
    ('tcp-tls', 'TLS ends here, 1 KB answers', {}, '/1k', True),
]


class GibbonStreams(Gibbon):
    def __init__(self, directory, origin, cert):
        super().__init__(directory, origin, cert, config={
            '_format_version': '3.0', 'services': [{
                'name': 'origin', 'protocol': 'tcp', 'host': '127.0.0.1', 'port': origin.port,
                'routes': [{'name': 'all', 'protocols': ['tcp', 'tls'], 'sources': [{'ip': '127.0.0.1'}]}]}]},
            is_stream=True)


class NginxStreams(Process):
    name = 'nginx'

    def __init__(self, directory, origin, cert):
        super().__init__(directory)
        config = os.path.join(self.directory, 'nginx.conf')
        with open(config, 'w') as out:
            out.write(f'''
load_module {MODULE};
daemon off;
worker_processes 1;
worker_rlimit_nofile {DESCRIPTORS};
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log;
{'user root;' if os.getuid() == 0 else ''}
events {{ worker_connections {CONNECTIONS}; multi_accept on; }}
stream {{
    access_log off;
    server {{
        listen 127.0.0.1:{self.port} reuseport backlog=4096;
        listen 127.0.0.1:{self.port_tls} ssl reuseport backlog=4096;
        ssl_certificate {cert.cert_path};
        ssl_certificate_key {cert.key_path};
        proxy_pass 127.0.0.1:{origin.port};
    }}
}}
''')
        self.run(NGINX, '-p', self.directory, '-c', config)


class HaproxyStreams(Process):
    name = 'haproxy'

    def __init__(self, directory, origin, cert):
        super().__init__(directory)
        both = os.path.join(self.directory, 'both.pem')
        with open(both, 'w') as out:
            out.write(cert.cert + cert.key)
        config = os.path.join(self.directory, 'haproxy.cfg')
        with open(config, 'w') as out:
            out.write(f'''
global
    nbthread 1
    maxconn {min(CONNECTIONS, (DESCRIPTORS - 200) // 2)}
defaults
    mode tcp
    timeout client 60s
    timeout server 60s
    timeout connect 5s
listen all
    bind 127.0.0.1:{self.port} backlog 4096
    bind 127.0.0.1:{self.port_tls} ssl crt {both}
    server one 127.0.0.1:{origin.port}
''')
        self.run(HAPROXY, '-db', '-f', config)


def measure_streams(folder, origin, cert, seconds, rounds):
    proxies = []
    try:
        for make in (GibbonStreams, NginxStreams, HaproxyStreams):
            proxies.append(make(os.path.join(folder, f'{make.name}-streams'), origin, cert))
        return compare(folder, proxies, CASES, seconds, rounds)
    finally:
        for one in proxies:
            one.stop()


def page(results):
    """Lines of the page."""
    if not results:
        return []
    names = ['gibbon', 'nginx', 'haproxy']
    lines = ['', '## Streams', '', 'CPU per request that goes through a relayed connection.', '',
             '| case | ' + ' | '.join(f'{n} µs' for n in names) + ' | gibbon/nginx |', '|---|' + '---:|' * 4]
    for name, title, *_ in CASES:
        r = results[name]
        lines.append(f'| {title} | ' + ' | '.join(f'{r[n]["cpu"]:.1f}' for n in names)
                     + f' | **{r["gibbon"]["cpu"] / r["nginx"]["cpu"]:.2f}** |')
    return lines
