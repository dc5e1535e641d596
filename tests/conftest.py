# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the promises in this folder; harness/ has what they hand out."""
import itertools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness.certs import Certs  # noqa: E402
from harness.gateway import Gateway  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.origin import Origin  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    setattr(item, 'report_' + outcome.get_result().when, outcome.get_result())


@pytest.fixture
def gateway(tmp_path, request):
    """gateway(config, conf={...}, env={...}): a running gateway; start=False leaves it to the test.

    At the end each is stopped in order, and must then have nothing to complain of."""
    made, count = [], itertools.count()

    def make(config=None, start=True, **more):
        one = Gateway(tmp_path / f'gateway{next(count)}', config, **more)
        made.append(one)
        if start:
            one.start()
        return one

    yield make
    failed = getattr(request.node, 'report_call', None) is None or request.node.report_call.failed
    try:
        for one in made:
            if failed and one.process is not None:
                print(f'--- {one.prefix}\n{one.output[-4000:]}\n{one.log()[-8000:]}')
                one.end()
            else:
                one.stop()
    finally:
        for one in made:
            one.end()


@pytest.fixture
def origin():
    """origin(...): a scripted origin, see harness/origin.py."""
    made = []

    def make(**more):
        made.append(Origin(**more))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def nginx(tmp_path):
    """nginx(extra='', files={}): Debian's nginx as an origin."""
    made = []

    def make(extra='', files=None):
        made.append(Nginx(tmp_path / f'nginx{len(made)}', extra, files))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope='session')
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp('certs'))
