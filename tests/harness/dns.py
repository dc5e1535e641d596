# SPDX-License-Identifier: Apache-2.0
"""dns - a name server over UDP that answers by a table, and counts what it is asked.

    d = Dns()
    d.a('one.test', '127.0.0.1', ttl=60)
    d.srv('srv.test', [(priority, weight, port, 'one.test')])
    d.fail('bad.test', SERVFAIL)
    d.asked('one.test', 'A')      how often

A name that is not in the table is NXDOMAIN; a type that it lacks, an empty answer.
"""
import ipaddress
import socket
import struct
import threading

NOERROR, SERVFAIL, NXDOMAIN, REFUSED, SILENT = 0, 2, 3, 5, -1
TYPES = {'A': 1, 'CNAME': 5, 'AAAA': 28, 'SRV': 33}
NAMES = {n: t for t, n in TYPES.items()}


def packed(name):
    return b''.join(bytes([len(p)]) + p.encode() for p in name.strip('.').split('.')) + b'\0'


class Dns:
    def __init__(self):
        self.table, self.codes, self.queries = {}, {}, []
        self.delay = 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.port = self.sock.getsockname()[1]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    # ---- the table -------------------------------------------------------------

    def _set(self, name, kind, records, ttl):
        self.codes.pop(name, None)
        self.table.setdefault(name, {})[kind] = (records, ttl)
        return self

    def a(self, name, *addresses, ttl=60):
        return self._set(name, 'A', [ipaddress.IPv4Address(a).packed for a in addresses], ttl)

    def aaaa(self, name, *addresses, ttl=60):
        return self._set(name, 'AAAA', [ipaddress.IPv6Address(a).packed for a in addresses], ttl)

    def srv(self, name, records, ttl=60):
        return self._set(name, 'SRV', [struct.pack('>HHH', p, w, port) + packed(target)
                                       for p, w, port, target in records], ttl)

    def cname(self, name, target, ttl=60):
        return self._set(name, 'CNAME', [packed(target)], ttl)

    def fail(self, name, code):
        self.codes[name] = code
        return self

    def forget(self, name):
        self.table.pop(name, None)
        return self

    def asked(self, name, kind=None):
        return sum(n == name and kind in (None, k) for n, k in list(self.queries))

    # ---- answering ---------------------------------------------------------------

    def _run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            name, end = self._name(query)
            kind = NAMES.get(struct.unpack('>H', query[end:end + 2])[0], '?')
            self.queries.append((name, kind))
            answer = self._answer(query, end + 4, name, kind)
            if answer is not None and not (self.delay and self._stopping.wait(self.delay)):
                try:
                    self.sock.sendto(answer, peer)
                except OSError:
                    return

    @staticmethod
    def _name(query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return '.'.join(labels).lower(), at + 1

    def _answer(self, query, end, name, kind):
        code = self.codes.get(name, NOERROR if name in self.table else NXDOMAIN)
        if code == SILENT:
            return None
        records = []
        seen = set()
        while code == NOERROR and name not in seen:
            seen.add(name)
            kinds = self.table.get(name, {})
            found, ttl = kinds.get(kind, ([], 0))
            records += [(name, TYPES[kind], ttl, r) for r in found]
            if found or 'CNAME' not in kinds:
                break
            (target,), ttl = kinds['CNAME']
            records.append((name, TYPES['CNAME'], ttl, target))
            name = self._name(b'\0' * 12 + target)[0]
        head = query[:2] + struct.pack('>HHHHH', 0x8180 | max(code, 0), 1, len(records), 0, 0)
        return head + query[12:end] + b''.join(
            packed(n) + struct.pack('>HHIH', t, 1, ttl, len(r)) + r for n, t, ttl, r in records)

    def stop(self):
        self._stopping.set()
        self.sock.close()
