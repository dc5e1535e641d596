# SPDX-License-Identifier: Apache-2.0
"""The router keeps Kong's rules: which route takes a request, and what path its service sees."""
import pytest

from harness.client import Client
from harness.config import declarative, named, who

# service path, route path (None: by host alone), strip_path, path_handling, request, upstream
PATHS = [
    ('/', '/route', True, 'v0', '/routereq', '/req'),
    ('/', '/route', True, 'v1', '/routereq', '/req'),
    ('/srv', '/rou', True, 'v0', '/roureq', '/srv/req'),
    ('/srv', '/rou', True, 'v1', '/roureq', '/srvreq'),
    ('/srv/', '/rou', True, 'v0', '/rou', '/srv'),
    ('/srv/', '/rou', True, 'v1', '/rou', '/srv/'),
    ('/service', '/', False, 'v0', '/route', '/service/route'),
    ('/service', '/', False, 'v1', '/route', '/serviceroute'),
    ('/service', '/route/', True, 'v0', '/route/', '/service/'),
    ('/service', '/route/', True, 'v1', '/route/', '/service'),
    ('/service/', '/route/', True, 'v0', '/route/req', '/service/req'),
    ('/service/', '/route/', True, 'v1', '/route/req', '/service/req'),
    ('/service', None, False, 'v0', '/route', '/service/route'),
    ('/service', None, True, 'v0', '/route', '/service/route'),
    ('/service', None, False, 'v1', '/route', '/serviceroute'),
    ('/service', None, True, 'v1', '/route', '/serviceroute'),
    (None, '/route', True, 'v0', '/route', '/'),
    (None, '/route', True, 'v0', '/route/', '/'),
    (None, '/route', False, 'v0', '/route/x', '/route/x'),
    ('/srv', '/rou', False, 'v0', '/rou', '/srv/rou'),
    ('/srv', '/', True, 'v0', '/', '/srv'),
    ('/srv/', '/rou', False, 'v0', '/rou/x', '/srv/rou/x'),
    ('/srv', '~/re/[0-9]+', True, 'v0', '/re/12/x', '/srv/x'),
    ('/srv', '~/re/[0-9]+', False, 'v0', '/re/12/x', '/srv/re/12/x'),
]
FLAVOURS = ['traditional', 'traditional_compatible']


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


def path_services(origin, flavour):
    services = []
    for i, (base, path, strip, handling, _, _) in enumerate(PATHS):
        if handling == 'v1' and flavour != 'traditional':
            continue
        fields = {'paths': [path]} if path else {}
        services.append({'name': f'path{i}', 'url': origin.url + (base or ''), 'routes': [{
            'name': f'path{i}', 'hosts': [f'path{i}.test'], 'strip_path': strip,
            'path_handling': handling, **fields}]})
    return services


def route_services(origin):
    def one(name, **fields):
        return named(origin, name, **fields)
    return [
        one('prefix', hosts=['p.test'], paths=['/a']),
        one('longer', hosts=['p.test'], paths=['/a/b']),
        one('regex', hosts=['p.test'], paths=['~/a/b/[0-9]+']),
        one('root', hosts=['p.test'], paths=['/']),
        one('anchored', hosts=['p.test'], paths=['~/z$']),
        one('low', hosts=['prio.test'], paths=['~/x/.*'], regex_priority=1),
        one('high', hosts=['prio.test'], paths=['~/x/y.*'], regex_priority=2),
        one('plainhost', hosts=['one.wild.test'], paths=['/']),
        one('leftwild', hosts=['*.wild.test'], paths=['/']),
        one('rightwild', hosts=['wild.*'], paths=['/']),
        one('byhost', hosts=['only.test']),
        one('bypath', paths=['/only-path']),
        one('both', hosts=['only.test'], paths=['/only-path']),
        one('method', hosts=['m.test'], methods=['GET', 'POST']),
        one('header1', hosts=['h.test'], headers={'x-one': ['a', 'b']}),
        one('header2', hosts=['h.test'], headers={'x-one': ['a'], 'x-two': ['c']}),
        one('noheader', hosts=['h.test'], paths=['/']),
        one('headerre', hosts=['hre.test'], headers={'x-re': ['~*^v[0-9]+$']}),
        one('withport', hosts=['port.test:8123'], paths=['/']),
        one('sni', hosts=['sni.test'], snis=['a.sni.test'], protocols=['https']),
        one('nosni', hosts=['sni.test']),
        one('upper', hosts=['path.test'], paths=['/Case']),
        one('named', hosts=['re.test'], paths=[r'~/u/(?<user>[a-z]+)/(?<n>\d+)']),
    ]


@pytest.fixture(scope='module', params=FLAVOURS)
def routed(request, module_gateway, origin1):
    gateway = module_gateway(
        declarative(*path_services(origin1, request.param), *route_services(origin1)),
        conf={'router_flavor': request.param})
    gateway.flavour = request.param
    return gateway


@pytest.mark.parametrize('i', range(len(PATHS)))
def test_the_path_that_the_service_sees(routed, i):
    base, path, strip, handling, request, upstream = PATHS[i]
    if handling == 'v1' and routed.flavour != 'traditional':
        pytest.skip('path_handling v1 is the traditional router\'s')
    answer = routed.get(request, host=f'path{i}.test')
    assert answer.status == 200, PATHS[i]
    assert answer.json()['target'] == upstream, PATHS[i]


ROWS = [
    # host, target, headers, the route that takes it
    ('p.test', '/a', {}, 'prefix'),
    ('p.test', '/ab', {}, 'prefix'),
    ('p.test', '/a/b', {}, 'longer'),
    ('p.test', '/a/b/7', {}, 'regex'),
    ('p.test', '/a/b/x', {}, 'longer'),
    ('p.test', '/other', {}, 'root'),
    ('p.test', '/z', {}, 'anchored'),
    ('p.test', '/zz', {}, 'root'),
    ('prio.test', '/x/yy', {}, 'high'),
    ('prio.test', '/x/z', {}, 'low'),
    ('prio.test', '/none', {}, None),
    ('one.wild.test', '/', {}, 'plainhost'),
    ('two.wild.test', '/', {}, 'leftwild'),
    ('a.b.wild.test', '/', {}, 'leftwild'),
    ('wild.test', '/', {}, 'rightwild'),
    ('wild.example', '/', {}, 'rightwild'),
    ('only.test', '/', {}, 'byhost'),
    ('other.test', '/only-path', {}, 'bypath'),
    ('only.test', '/only-path', {}, 'both'),
    ('only.test:8080', '/', {}, 'byhost'),
    ('ONLY.test', '/', {}, 'byhost'),
    ('h.test', '/', {}, 'noheader'),
    ('h.test', '/', {'X-One': 'b'}, 'header1'),
    ('h.test', '/', {'X-One': 'A'}, 'header1'),
    ('h.test', '/', {'X-One': 'a', 'X-Two': 'c'}, 'header2'),
    ('h.test', '/', {'X-One': 'b', 'X-Two': 'c'}, 'header1'),
    ('h.test', '/', {'X-Two': 'c'}, 'noheader'),
    ('hre.test', '/', {'X-Re': 'v12'}, 'headerre'),
    ('hre.test', '/', {'X-Re': 'w12'}, None),
    ('port.test:8123', '/', {}, 'withport'),
    ('port.test:8124', '/', {}, None),
    ('path.test', '/Case', {}, 'upper'),
    ('path.test', '/case', {}, None),
    ('path.test', '/%43ase', {}, 'upper'),
    ('path.test', '/x/../Case', {}, 'upper'),
    ('path.test', '/x/%2e%2e/Case', {}, 'upper'),
    ('path.test', '//Case', {}, 'upper'),
    ('path.test', '/./Case', {}, 'upper'),
    ('re.test', '/u/bob/12', {}, 'named'),
    ('re.test', '/u/Bob/12', {}, None),
]


@pytest.mark.parametrize('host,target,headers,name', ROWS)
def test_which_route_takes_a_request(routed, host, target, headers, name):
    assert who(routed.get(target, host=host, headers=headers)) == name


@pytest.mark.parametrize('method,name', [('GET', 'method'), ('POST', 'method'), ('PUT', None),
                                         ('get', None)])
def test_methods_match_exactly(routed, method, name):
    with routed.client() as c:
        assert who(c.request(method, '/', host='m.test')) == name


def test_snis_match_the_name_asked_for(routed):
    assert who(routed.get_tls('/', host='sni.test', sni='a.sni.test')) == 'sni'
    assert who(routed.get_tls('/', host='sni.test', sni='b.sni.test')) == 'nosni'


@pytest.mark.parametrize('sent,seen', [
    ('/x/%41b', '/x/Ab'), ('/x/%2fy', '/x/%2Fy'), ('/x/%3fy', '/x/%3Fy'), ('/x/%20y', '/x/%20y'),
    ('/x/./y/../z', '/x/z'), ('/x//y///z', '/x/y/z'), ('/x/%c3%a9', '/x/%C3%A9'),
    ('/x/%25', '/x/%25'), ('/x/a+b', '/x/a+b'), ('/x/~%7e', '/x/~~'),
])
def test_the_service_sees_the_normalised_path(routed, sent, seen):
    answer = routed.get(sent + '?q=%41', host='p.test')
    assert answer.json()['target'] == f'/root{seen}?q=%41'


def test_a_path_above_the_root_is_refused(routed):
    assert routed.get('/../..', host='p.test').status == 400


def test_an_absolute_target_is_sent_in_origin_form(routed):
    answer = routed.get('http://p.test/a/b?x', host='p.test')
    assert answer.json()['target'] == '/longer/a/b?x'


def test_regex_captures_do_not_change_what_is_sent(routed):
    assert routed.get('/u/bob/12', host='re.test').json()['target'] == '/named/u/bob/12'


# ---- https only ---------------------------------------------------------------------------


@pytest.fixture(scope='module')
def secure(module_gateway, origin1):
    return module_gateway(declarative(
        named(origin1, 'upgrade', paths=['/upgrade'], protocols=['https']),
        *(named(origin1, f'to{code}', paths=[f'/to{code}'], protocols=['https'],
                https_redirect_status_code=code) for code in (301, 302, 307, 308)),
        named(origin1, 'plain', paths=['/plain'], protocols=['http'])))


def test_https_routes_ask_for_an_upgrade(secure):
    answer = secure.get('/upgrade')
    assert (answer.status, answer.json()) == (426, {'message': 'Please use HTTPS protocol'})
    assert answer.get('Upgrade') == 'TLS/1.2, HTTP/1.1'
    assert who(secure.get_tls('/upgrade')) == 'upgrade'


@pytest.mark.parametrize('code', [301, 302, 307, 308])
def test_https_routes_redirect_when_told_to(secure, code):
    answer = secure.get(f'/to{code}/x?y=1', host='host.test:8000')
    assert (answer.status, answer.body) == (code, b'')
    assert answer.get('Location') == f'https://host.test/to{code}/x?y=1'


def test_an_http_route_takes_https_as_well(secure):
    assert who(secure.get_tls('/plain')) == 'plain'


# ---- ties ---------------------------------------------------------------------------------


@pytest.mark.parametrize('flavour', FLAVOURS)
def test_the_oldest_of_equal_routes_wins(gateway, origin1, flavour):
    first = named(origin1, 'first', paths=['/same'], created_at=1600000001,
                  id='00000000-0000-4000-8000-000000000001')
    second = named(origin1, 'second', paths=['/same'], created_at=1600000000,
                   id='00000000-0000-4000-8000-000000000002')
    one = gateway(declarative(first, second), conf={'router_flavor': flavour})
    assert who(one.get('/same')) == 'second'


def test_many_routes_each_take_their_own(gateway, origin1):
    count = 2000
    one = gateway({'_format_version': '3.0', 'services': [{
        'name': 'all', 'url': origin1.url, 'routes': [
            {'name': f'r{i}', 'paths': [f'/r/{i}/'], 'strip_path': True} for i in range(count)]}]})
    with Client(one.proxy) as c:
        for i in range(0, count, 37):
            assert c.get(f'/r/{i}/x').json()['target'] == '/x'
        assert c.get(f'/r/{count}/x').status == 404
