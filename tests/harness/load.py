# SPDX-License-Identifier: Apache-2.0
"""load - clients that ask without a pause while a test does something to the gateway.

    with Load(port, kept=4, fresh=2) as load:
        ...
    assert load.failed == []

`kept` threads keep their connection as long as the gateway does: when it ends
between two answers they open another, as every client does.  `fresh` threads
open a connection per request.  Anything else that goes wrong is a failure.
"""
import threading
import time

from .client import Client, NoAnswer, request_bytes
from .waits import wait_for


class Load:
    def __init__(self, port, target='/', kept=4, fresh=2, tls=None, pause=0.001, check=None):
        self.port, self.target, self.tls, self.pause = port, target, tls, pause
        self.check = check or (lambda answer: answer.status == 200)
        self.failed, self.done, self.reopened = [], 0, 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._guard, args=(self._kept,), daemon=True)
                         for _ in range(kept)]
        self._threads += [threading.Thread(target=self._guard, args=(self._fresh,), daemon=True)
                          for _ in range(fresh)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        wait_for(lambda: self.done > 2 * len(self._threads), 'the load to flow')
        return self

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join(30)

    def flow(self, count=50):
        """Until so many further requests were answered."""
        goal = self.done + count
        wait_for(lambda: self.done >= goal or self.failed, f'{count} more answers', timeout=30)

    def _guard(self, run):
        while not self._stop.is_set():
            try:
                run()
            except Exception as error:  # noqa: BLE001 - every failure is told by the test
                self.failed.append(repr(error))
                time.sleep(0.01)

    def _judge(self, answer):
        if self.check(answer):
            self.done += 1
        else:
            self.failed.append(repr(answer))

    def _fresh(self):
        with Client(self.port, tls=self.tls) as c:
            self._judge(c.request('GET', self.target, close=True))
        time.sleep(self.pause)

    def _kept(self):
        with Client(self.port, tls=self.tls) as c:
            first = True
            while not self._stop.is_set():
                try:
                    c.send(request_bytes('GET', self.target))
                    answer = c.read_response()
                except (NoAnswer, ConnectionError):
                    if first:
                        raise
                    self.reopened += 1
                    return
                first = False
                self._judge(answer)
                if answer.get('Connection', '').lower() == 'close':
                    return
                time.sleep(self.pause)
