# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the promises in this folder; harness/ has what they hand out."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness.certs import Certs  # noqa: E402
from harness.gateway import Gateway  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.origin import Origin  # noqa: E402
from harness.redis import Redis  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    setattr(item, 'report_' + outcome.get_result().when, outcome.get_result())


class Made:
    """What a fixture made for a test or a module: ended in the reverse order."""

    def __init__(self, cls, directory):
        self.cls, self.directory, self.all = cls, directory, []

    def __call__(self, *args, **more):
        if self.directory is not None:
            folder = self.directory / f'{self.cls.__name__.lower()}{len(self.all)}'
            self.all.append(self.cls(folder, *args, **more))
        else:
            self.all.append(self.cls(*args, **more))
        return self.all[-1]

    def stop(self):
        for one in reversed(self.all):
            one.stop()


class Gateways(Made):
    """gateway(config, conf={...}, env={...}): a running gateway; start=False leaves it to the
    test.  At the end each is stopped in order, and must then have nothing to complain of."""

    def __init__(self, directory):
        super().__init__(Gateway, directory)

    def __call__(self, config=None, start=True, **more):
        one = super().__call__(config, **more)
        return one.start() if start else one

    def finish(self, failed=False):
        try:
            for one in reversed(self.all):
                if failed and one.process is not None:
                    print(f'--- {one.prefix}\n{one.output[-4000:]}\n{one.log()[-8000:]}')
                else:
                    one.stop()
        finally:
            for one in self.all:
                one.end()


@pytest.fixture
def gateway(tmp_path, request):
    made = Gateways(tmp_path)
    yield made
    report = getattr(request.node, 'report_call', None)
    made.finish(failed=report is None or report.failed)


@pytest.fixture(scope='module')
def module_gateway(tmp_path_factory):
    """As gateway, for the tests of a whole file."""
    made = Gateways(tmp_path_factory.mktemp('module'))
    yield made
    made.finish()


@pytest.fixture
def origin():
    """origin(...): a scripted origin, see harness/origin.py."""
    made = Made(Origin, None)
    yield made
    made.stop()


@pytest.fixture(scope='module')
def module_origin():
    made = Made(Origin, None)
    yield made
    made.stop()


@pytest.fixture
def nginx(tmp_path):
    """nginx(extra='', files={}): Debian's nginx as an origin."""
    made = Made(Nginx, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def redis(tmp_path):
    """redis('requirepass x', tls=pair): Debian's redis-server."""
    made = Made(Redis, tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope='session')
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp('certs'))
