# SPDX-License-Identifier: Apache-2.0
"""Several plugins that say who calls: all of them must be content, or, with an anonymous
consumer, one of them."""
import base64
import email.utils
import hmac
import itertools
import json

import pytest

from harness.config import declarative, route, sent, service


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def show_key():
    return '', [('apikey', 'key')]


def show_password():
    return '', [('Authorization', 'Basic ' + base64.b64encode(b'basic:pass').decode())]


def show_token():
    text = '.'.join(b64(json.dumps(p).encode()) for p in ({'alg': 'HS256'}, {'iss': 'jwt'}))
    return f'?jwt={text}.{b64(hmac.new(b"s", text.encode(), "sha256").digest())}', []


def show_signature():
    date = email.utils.formatdate(usegmt=True)
    mac = base64.b64encode(hmac.new(b's', f'date: {date}'.encode(), 'sha1').digest()).decode()
    return '', [('Date', date), ('Proxy-Authorization', 'hmac username="hmac", algorithm="hmac-sha1", '
                                                        f'headers="date", signature="{mac}"')]


# In the order of their priorities: of several that are content, the last one says who it is.
SHOWS = {'jwt': show_token, 'key-auth': show_key, 'basic-auth': show_password, 'hmac-auth': show_signature}
PAIRS = list(itertools.combinations(SHOWS, 2))


@pytest.fixture(scope='module')
def guarded(module_gateway, module_origin):
    origin = module_origin()

    def guarded_route(kind, names, **config):
        return {**route(paths=[f'/{kind}/{"/".join(names)}/']),
                'plugins': [{'name': name, 'config': config} for name in reversed(names)]}
    routes = [guarded_route('and', names) for names in PAIRS + [tuple(SHOWS)]]
    routes += [guarded_route('or', names, anonymous='guest') for names in PAIRS + [tuple(SHOWS)]]
    return module_gateway(declarative(service(origin, *routes), consumers=[
        {'username': 'guest'},
        {'username': 'jwt', 'jwt_secrets': [{'key': 'jwt', 'secret': 's'}]},
        {'username': 'key-auth', 'keyauth_credentials': [{'key': 'key'}]},
        {'username': 'basic-auth', 'basicauth_credentials': [{'username': 'basic', 'password': 'pass'}]},
        {'username': 'hmac-auth', 'hmacauth_credentials': [{'username': 'hmac', 'secret': 's'}]}]))


def ask(gw, kind, names, shown):
    query, headers = '', []
    for name in shown:
        more, fields = SHOWS[name]()
        query, headers = query + more, headers + fields
    return gw.get(f'/{kind}/{"/".join(names)}/{query}', headers=headers)


def subsets(names):
    return [s for n in range(len(names) + 1) for s in itertools.combinations(names, n)]


@pytest.mark.parametrize('names', PAIRS + [tuple(SHOWS)], ids='+'.join)
def test_all_must_be_content(guarded, names):
    for shown in subsets(names):
        answer = ask(guarded, 'and', names, shown)
        if shown != names:
            assert answer.status == 401, (shown, answer)
            continue
        assert answer.status == 200, (shown, answer)
        assert sent(answer, 'X-Consumer-Username') == [names[-1]]
        assert sent(answer, 'X-Anonymous-Consumer') == []


@pytest.mark.parametrize('names', PAIRS + [tuple(SHOWS)], ids='+'.join)
def test_one_is_enough_with_an_anonymous_consumer(guarded, names):
    for shown in subsets(names):
        answer = ask(guarded, 'or', names, shown)
        assert answer.status == 200 and answer.get('WWW-Authenticate') is None, (shown, answer)
        assert sent(answer, 'X-Consumer-Username') == [shown[0] if shown else 'guest'], shown
        assert sent(answer, 'X-Anonymous-Consumer') == ([] if shown else ['true']), shown
        assert len(sent(answer, 'X-Credential-Identifier')) == (1 if shown else 0), shown
