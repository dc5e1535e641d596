# SPDX-License-Identifier: Apache-2.0
"""Names of services, asked of a scripted name server: order, TTLs, failures, SRV, sharing."""
import threading
import time
from collections import Counter

import pytest

from harness.config import declarative, route, service
from harness.dns import REFUSED, SERVFAIL, SILENT, Dns
from harness.ports import free_port
from harness.waits import wait_for


@pytest.fixture
def dns():
    d = Dns()
    yield d
    d.stop()


def to_name(gateway, dns, name, port, conf=None, **fields):
    return gateway(declarative(service(f'http://{name}:{port}', route(paths=['/']), **fields)),
                   conf={'dns_resolver': dns.address, **(conf or {})})


def port_of(answer):
    assert answer.status == 200, answer
    return answer.json()['port']


# ---- kinds of records ---------------------------------------------------------------------------


def test_an_a_record(gateway, origin, dns):
    o = origin()
    dns.a('one.test', '127.0.0.1')
    g = to_name(gateway, dns, 'one.test', o.port)
    assert g.get('/').status == 200
    assert o.last().get('Host') == f'one.test:{o.port}'


def test_names_have_no_case(gateway, origin, dns):
    dns.a('one.test', '127.0.0.1')
    assert to_name(gateway, dns, 'ONE.Test', origin().port).get('/').status == 200


def test_several_addresses_take_turns(gateway, origin, dns):
    o = origin(host='127.0.0.2')
    dns.a('two.test', '127.0.0.2', '127.0.0.3')
    g = to_name(gateway, dns, 'two.test', o.port)
    for _ in range(6):  # at one of the two somebody listens; the other is tried in vain
        assert g.get('/').status == 200
    assert len(o.requests) == 6
    assert f'127.0.0.3:{o.port}' in g.log()


def test_an_srv_record_says_the_port(gateway, origin, dns):
    one, two, spare = origin(), origin(), origin()
    dns.a('host.test', '127.0.0.1')
    dns.srv('srv.test', [(1, 3, one.port, 'host.test'), (1, 1, two.port, 'host.test'),
                         (2, 9, spare.port, 'host.test')])
    g = to_name(gateway, dns, 'srv.test', 1)
    seen = Counter(port_of(g.get('/')) for _ in range(16))
    assert seen == {one.port: 12, two.port: 4}


def test_srv_targets_of_an_upstream(gateway, origin, dns):
    one, two = origin(), origin()
    dns.a('host.test', '127.0.0.1')
    dns.srv('srv.test', [(1, 1, one.port, 'host.test'), (1, 1, two.port, 'host.test')])
    g = gateway(declarative(service('http://up', route(paths=['/'])),
                            upstreams=[{'name': 'up', 'targets': [{'target': 'srv.test:1'}]}]),
                conf={'dns_resolver': dns.address})
    wait_for(lambda: g.get('/').status == 200, 'the targets')
    seen = Counter(port_of(g.get('/')) for _ in range(10))
    assert set(seen) == {one.port, two.port} and min(seen.values()) >= 4


def test_cnames_are_followed(gateway, origin, dns):
    dns.cname('alias.test', 'more.test').cname('more.test', 'one.test').a('one.test', '127.0.0.1')
    assert to_name(gateway, dns, 'alias.test', origin().port).get('/').status == 200


def test_a_circle_of_cnames_ends(gateway, dns):
    dns.cname('a.test', 'b.test').cname('b.test', 'a.test')
    answer = to_name(gateway, dns, 'a.test', free_port()).get('/')
    assert answer.status in (500, 503)


def test_aaaa_only_where_dns_order_has_it(gateway, origin, dns):
    o = origin()
    dns.aaaa('six.test', '::ffff:127.0.0.1')
    assert to_name(gateway, dns, 'six.test', o.port).get('/').status == 503
    assert dns.asked('six.test', 'AAAA') == 0
    g = to_name(gateway, dns, 'six.test', o.port, conf={'dns_order': 'AAAA,A'})
    assert g.get('/').status == 200


def test_types_are_asked_for_in_order(gateway, origin, dns):
    dns.a('one.test', '127.0.0.1')
    assert to_name(gateway, dns, 'one.test', origin().port,
                   conf={'dns_order': 'LAST,A,SRV'}).get('/').status == 200
    assert ('one.test', 'SRV') not in dns.queries


def test_the_hosts_file_comes_first(gateway, origin, dns, tmp_path):
    hosts = tmp_path / 'hosts'
    hosts.write_text('127.0.0.1 filed.test also.test\n')
    g = to_name(gateway, dns, 'also.test', origin().port, conf={'dns_hostsfile': str(hosts)})
    assert g.get('/').status == 200
    assert dns.asked('also.test') == 0


def test_localhost_needs_nobody(gateway, origin, dns):
    assert to_name(gateway, dns, 'localhost', origin().port).get('/').status == 200
    assert dns.queries == []


# ---- how long an answer holds ---------------------------------------------------------------------


def test_an_answer_is_kept_for_its_ttl(gateway, origin, dns):
    dns.a('one.test', '127.0.0.1', ttl=60)
    g = to_name(gateway, dns, 'one.test', origin().port)
    for _ in range(10):
        g.get('/')
    assert dns.asked('one.test', 'A') == 1


def test_dns_valid_ttl_wins_over_the_server_s(gateway, origin, dns):
    dns.a('one.test', '127.0.0.1', ttl=1)
    g = to_name(gateway, dns, 'one.test', origin().port, conf={'dns_valid_ttl': '100'})
    g.get('/')
    time.sleep(1.2)  # past the server's own
    g.get('/')
    assert dns.asked('one.test', 'A') == 1


def test_a_stale_answer_serves_while_a_new_one_is_fetched(gateway, origin, dns):
    old, new = origin(), origin()
    dns.a('host.test', '127.0.0.1', ttl=600).srv('s.test', [(1, 1, old.port, 'host.test')], ttl=1)
    g = to_name(gateway, dns, 's.test', 1, conf={'dns_stale_ttl': '30'})
    assert port_of(g.get('/')) == old.port
    dns.srv('s.test', [(1, 1, new.port, 'host.test')], ttl=60)
    dns.delay = 0.2
    time.sleep(1.1)
    began = time.monotonic()
    assert port_of(g.get('/')) in (old.port, new.port)
    assert time.monotonic() - began < 0.2
    wait_for(lambda: port_of(g.get('/')) == new.port, 'the new answer')


def test_ttl_0_is_asked_for_again(gateway, origin, dns):
    dns.a('zero.test', '127.0.0.1', ttl=0)
    g = to_name(gateway, dns, 'zero.test', origin().port, conf={'dns_stale_ttl': '0'})
    for _ in range(3):
        assert g.get('/').status == 200
    assert dns.asked('zero.test', 'A') >= 2


def test_that_a_name_is_not_there_is_kept_too(gateway, origin, dns):
    o = origin()
    g = to_name(gateway, dns, 'late.test', o.port, conf={'dns_not_found_ttl': '1', 'dns_stale_ttl': '0'})
    for _ in range(5):
        answer = g.get('/')
        assert answer.status == 503 and answer.json() == {'message': 'name resolution failed'}
    assert dns.asked('late.test', 'A') == 1
    dns.a('late.test', '127.0.0.1')
    wait_for(lambda: g.get('/').status == 200, 'the name')


# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize('code', [SERVFAIL, REFUSED])
def test_a_failing_server_is_a_500(gateway, dns, code):
    dns.fail('bad.test', code)
    answer = to_name(gateway, dns, 'bad.test', free_port()).get('/')
    assert answer.status == 500 and answer.json() == {'message': 'An unexpected error occurred'}


def test_it_recovers_after_dns_error_ttl(gateway, origin, dns):
    dns.fail('bad.test', SERVFAIL)
    g = to_name(gateway, dns, 'bad.test', origin().port, conf={'dns_error_ttl': '1', 'dns_stale_ttl': '0'})
    assert g.get('/').status == 500
    dns.a('bad.test', '127.0.0.1')
    wait_for(lambda: g.get('/').status == 200, 'the name')


def test_a_silent_server_holds_nobody_else_up(gateway, origin, dns):
    o = origin()
    dns.fail('mute.test', SILENT)
    g = gateway(declarative(service(f'http://mute.test:{o.port}', route(paths=['/mute']), connect_timeout=700),
                            service(o, route(paths=['/fine']))), conf={'dns_resolver': dns.address})
    with g.client() as c:
        c.send(b'GET /mute HTTP/1.1\r\nHost: x\r\n\r\n')
        for _ in range(20):
            assert g.get('/fine').status == 200
        assert c.read_response().status == 500


def test_the_second_server_answers_for_a_silent_first(gateway, origin, dns):
    deaf = Dns()
    deaf.fail('one.test', SILENT)
    dns.a('one.test', '127.0.0.1')
    try:
        g = to_name(gateway, dns, 'one.test', origin().port,
                    conf={'dns_resolver': f'{deaf.address},{dns.address}'})
        assert g.get('/', timeout=20).status == 200
    finally:
        deaf.stop()


# ---- sharing ------------------------------------------------------------------------------------


def test_many_at_once_ask_once(gateway, origin, dns):
    dns.a('one.test', '127.0.0.1')
    dns.delay = 0.2
    g = to_name(gateway, dns, 'one.test', origin().port, conf={
        'nginx_worker_processes': '2', 'dns_order': 'A'})
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(g.get('/').status)) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses == [200] * 20
    assert dns.asked('one.test', 'A') == 1


def test_a_configuration_without_the_name_stops_asking(gateway, origin, dns):
    o = origin()
    dns.a('one.test', '127.0.0.1', ttl=1)
    g = gateway(declarative(service('http://up', route(paths=['/'])),
                            upstreams=[{'name': 'up', 'targets': [{'target': f'one.test:{o.port}'}]}]),
                conf={'dns_resolver': dns.address})
    wait_for(lambda: g.get('/').status == 200, 'the target')
    g.write_config(declarative(service(o, route(paths=['/']))))
    g.reload()
    wait_for(lambda: len(g.workers) == 1, 'the old worker to go')
    asked = len(dns.queries)
    time.sleep(1.6)  # a TTL and the refresh behind it
    assert len(dns.queries) == asked
