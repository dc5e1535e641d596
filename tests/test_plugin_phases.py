# SPDX-License-Identifier: Apache-2.0
"""Which handlers of which plugins run, in which order and with which configuration, whatever
becomes of the request.  The plugins are probes that say where they have been."""
import itertools
import json
import subprocess

import pytest

from harness import otlp
from harness.config import declarative, route, service
from harness.origin import ok
from harness.plugin_objects import PluginObjects
from harness.ports import free_port
from harness.waits import patience, wait_for

PLUGIN_FIELDS = ('enabled', 'protocols', 'route', 'service', 'consumer')

PROBE = r'''
/* A probe: notes each phase as "<name>:<label>.<phase>", in a field of the reply and, of the
 * last request, in a page. */
#include <gibbon/plugin.h>
#include <pthread.h>
#include <stdio.h>

struct conf {
	str label, answers, url;
};

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, label, .def = J("-"), .help = "What it is called."),
	F_STR(T, answers, .help = "The phase in which it answers."),
	F_STR(T, url, .help = "What it asks in access."),
	F_END
};
#undef T

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last[4096];

static str noted(struct req *r)
{
	const struct value *v = value_get(req_shared(r), "phases");

	return v ? v->s : STR("");
}

static enum verdict note(struct req *r, const void *conf_, const char *phase)
{
	const struct conf *conf = conf_;
	struct arena *a = req_arena(r);
	str now = str_fmt(a, STRF "%sNAME:" STRF ".%s", STRV(noted(r)), noted(r).n ? " " : "",
			  STRV(conf->label), phase);

	value_set(a, req_shared(r), STR("phases"), value_str(a, now));
	return conf->answers.n && str_eq(conf->answers, str_of(phase)) ?
	       respond_message(r, 299, "NAME answers") : NEXT;
}

static enum verdict on_rewrite(struct req *r, const void *conf)
{
	return note(r, conf, "rewrite");
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct http_call call = { .url = conf->url };
	struct http_answer answer;

	if (conf->url.n && http_ask(req_arena(r), &call, &answer))
		err_forget();
	return note(r, conf, "access");
}

#ifndef RESPONSE
static enum verdict on_header_filter(struct req *r, const void *conf)
{
	note(r, conf, "header_filter");
	reply_set_header(r, STR("X-Phases"), noted(r));
	reply_will_change(r);
	return NEXT;
}

static enum verdict on_body_filter(struct req *r, const void *conf)
{
	bool is_last;

	reply_piece(r, &is_last);
	if (is_last)
		note(r, conf, "body_filter");
	return NEXT;
}
#else
static enum verdict on_response(struct req *r, const void *conf)
{
	enum verdict v = note(r, conf, "response");

	reply_set_body(r, str_cat(req_arena(r), reply_body(r), STR("!")));
	return v;
}
#endif

static enum verdict on_log(struct req *r, const void *conf)
{
	note(r, conf, "log");
	pthread_mutex_lock(&lock);
	snprintf(last, sizeof(last), "%.*s", (int)noted(r).n, noted(r).s);
	pthread_mutex_unlock(&lock);
	return NEXT;
}

static void tell(struct page_call *c)
{
	pthread_mutex_lock(&lock);
	page_answer_message(c, 200, "%s", last);
	pthread_mutex_unlock(&lock);
}

static const struct plugin_page pages[] = {
	{ .path = "/NAME", .on = { [HTTP_GET] = tell } },
	{ NULL },
};

static const struct plugin probe = {
	.name = "NAME",
	.help = "Says where it has been.",
	.priority = PRIORITY,
	.conf = conf_fields,
	.conf_size = sizeof(struct conf),
	.protocols = PROTOCOLS_ALL,
	.pages = pages,
	.on = {
		[PHASE_REWRITE] = on_rewrite,
		[PHASE_ACCESS] = on_access,
#ifndef RESPONSE
		[PHASE_HEADER_FILTER] = on_header_filter,
		[PHASE_BODY_FILTER] = on_body_filter,
#else
		[PHASE_RESPONSE] = on_response,
#endif
		[PHASE_LOG] = on_log,
	},
};
PLUGIN_MODULE(probe);
'''

AFTER = ('header_filter', 'body_filter', 'log')


@pytest.fixture(scope='module')
def probes(tmp_path_factory):
    """A folder with the probes early and late, which surround authentication, twin and twine,
    which have one priority, and whole, which has a response handler."""
    objects, folder = PluginObjects(tmp_path_factory), tmp_path_factory.mktemp('probes')
    for name, priority in ('early', 3000), ('late', 5), ('twin', 50), ('twine', 50), ('whole', 40):
        built = objects.build({'NAME': name, 'PRIORITY': str(priority),
                               '#include <pthread.h>': '#include <pthread.h>\n' +
                               ('#define RESPONSE' if name == 'whole' else '')}, PROBE)
        (built / 'hello.so').rename(folder / f'{name}.so')
    return {'plugins': 'bundled,early,late,twin,twine,whole', 'plugin_path': str(folder)}


def probe(name, label='-', **more):
    fields = {k: more.pop(k) for k in PLUGIN_FIELDS if k in more}
    return {'name': name, 'config': {'label': label, **more}, **fields}


def phases(*names, label='-'):
    """early.access -> early:-.access"""
    return ' '.join(n.replace('.', f':{label}.') for n in names)


def every(names, *of):
    return [f'{name}.{phase}' for phase in of for name in names]


def noted(gateway, name, expected):
    def look():
        assert gateway.api('/' + name).json()['message'] == expected
        return True
    wait_for(look, expected)


BOTH = ('early', 'late')
GLOBAL = [probe(name) for name in BOTH]


def test_a_request_passes_all_phases_by_priority(gateway, origin, probes):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=list(reversed(GLOBAL))),
                  conf=probes)
    answer = one.get('/')
    assert answer.status == 200
    assert answer.get('X-Phases') == phases(*every(BOTH, 'rewrite', 'access', 'header_filter'))
    noted(one, 'late', phases(*every(BOTH, 'rewrite', 'access', *AFTER)))


def test_equal_priorities_run_by_name_descending(gateway, origin, probes):
    one = gateway(declarative(service(origin(), route(paths=['/'])),
                              plugins=[probe('twin'), probe('twine')]), conf=probes)
    one.get('/')
    noted(one, 'twin', phases(*every(('twine', 'twin'), 'rewrite', 'access', *AFTER)))


def test_who_answers_in_access_ends_it_and_the_others_see_the_answer(gateway, origin, probes):
    where = origin()
    one = gateway(declarative(service(where, route(paths=['/'])),
                              plugins=[probe('early', answers='access'), probe('late')]),
                  conf=probes)
    answer = one.get('/')
    assert (answer.status, answer.json()) == (299, {'message': 'early answers'})
    assert where.requests == []
    noted(one, 'late', phases(*every(BOTH, 'rewrite'), 'early.access', *every(BOTH, *AFTER)))


def test_who_answers_in_rewrite_spares_the_router(gateway, probes):
    one = gateway(declarative(plugins=[probe('early', answers='rewrite'), probe('late')]),
                  conf=probes)
    assert one.get('/').status == 299
    noted(one, 'late', phases('early.rewrite', *every(BOTH, *AFTER)))


def test_rewrite_is_for_those_that_are_for_everybody(gateway, origin, probes):
    """The same plugin runs with its configuration for all in rewrite, and then with the route's."""
    one = gateway(declarative(
        service(origin(), {**route(paths=['/']), 'plugins': [probe('early', 'route'), probe('late', 'route')]}),
        plugins=[probe('early', 'all')]), conf=probes)
    one.get('/')
    noted(one, 'late', 'early:all.rewrite '
          + phases(*every(BOTH, 'access', *AFTER), label='route'))


@pytest.mark.parametrize('status, path', [(404, '/none'), (502, '/refused'), (503, '/alone'),
                                          (426, '/tls')])
def test_the_gateway_s_own_answers_pass_them_too(gateway, origin, probes, status, path):
    one = gateway(declarative(
        {'name': 's', 'url': f'http://127.0.0.1:{free_port()}', 'retries': 0,
         'routes': [{**route(paths=['/refused']), 'plugins': [probe('late', 'route')]},
                    {**route(paths=['/tls'], protocols=['https'])}]},
        routes=[route(paths=['/alone'])], plugins=GLOBAL), conf=probes)
    answer = one.get(path)
    assert answer.status == status
    before = ['rewrite'] + ['access'] * (path in ('/refused', '/alone'))
    expected = phases(*every(BOTH, *before, *AFTER))
    if path == '/refused':
        expected = expected.replace('late:-', 'late:route').replace('late:route.rewrite', 'late:-.rewrite')
    noted(one, 'late', expected)
    assert answer.get('X-Phases')


@pytest.mark.parametrize('head, status', [
    (b'GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n', 400),
    (b'GET /' + b'x' * 40000 + b' HTTP/1.1\r\nHost: a\r\n\r\n', 414)], ids=['400', '414'])
def test_requests_that_are_none_pass_what_is_for_everybody(gateway, origin, probes, head, status):
    one = gateway(declarative(
        service(origin(), {**route(paths=['/']), 'plugins': [probe('late', 'route')]}),
        plugins=GLOBAL), conf=probes)
    with one.client() as client:
        client.send(head)
        answer = client.read_response()
    assert answer.status == status
    noted(one, 'late', phases(*every(BOTH, *AFTER)))


def test_disabled_ones_and_those_for_streams_do_not_run(gateway, origin, probes):
    one = gateway(declarative(
        service(origin(), {**route(paths=['/']), 'plugins': [probe('early', enabled=False)]}),
        plugins=[probe('late', protocols=['tcp']), probe('twin', protocols=['tcp', 'grpc'])]),
        conf=probes)
    one.get('/')
    noted(one, 'twin', phases(*every(('twin',), 'rewrite', 'access', *AFTER)))


def test_a_response_handler_sees_the_whole_and_may_answer(gateway, origin, probes):
    where = origin()
    where.default = lambda connection, request: connection.send(ok(b'body'))
    one = gateway(declarative(
        service(where, {**route(paths=['/a']), 'plugins': [probe('whole')]},
                {**route(paths=['/b']), 'plugins': [probe('whole', answers='response')]}),
        plugins=[probe('late')]), conf=probes)
    answer = one.get('/a')
    assert (answer.status, answer.body) == (200, b'body!')
    noted(one, 'whole', phases('late.rewrite', *every(('whole', 'late'), 'access'), 'whole.response',
                               'late.header_filter', 'late.body_filter', 'whole.log'))
    answer = one.get('/b')
    assert (answer.status, answer.json()) == (299, {'message': 'whole answers'})
    assert one.get('/none').status == 404


SCOPES = [('route', 'service', 'consumer'), ('route', 'consumer'), ('service', 'consumer'),
          ('route', 'service'), ('consumer',), ('route',), ('service',), ()]


def in_scopes(where, scopes):
    """A configuration with the probe late in each of those scopes, named after it."""
    ids = {k: f'{n}1111111-1111-1111-1111-111111111111'
           for n, k in enumerate(('route', 'service', 'consumer'), 1)}
    return declarative(
        service(where, route(paths=['/'], id=ids['route']), id=ids['service']),
        consumers=[{'id': ids['consumer'], 'username': 'jo', 'keyauth_credentials': [{'key': 'jo'}]},
                   {'username': 'al', 'keyauth_credentials': [{'key': 'al'}]}],
        plugins=[{'name': 'key-auth', 'config': {'key_names': ['k']}}]
        + [probe('late', '+'.join(s) or 'all', **{k: ids[k] for k in s}) for s in scopes])


def expect_scopes(one, scopes):
    for key in ('jo', 'al'):
        fitting = [s for s in SCOPES if s in scopes and (key == 'jo' or 'consumer' not in s)]
        best = '+'.join(fitting[0]) or 'all' if fitting else None
        answer = one.get('/', headers=[('k', key)])
        assert answer.status == 200
        said = [s for s in (answer.get('X-Phases') or '').split() if not s.endswith('.rewrite')]
        assert said == ([f'late:{best}.access', f'late:{best}.header_filter'] if best else []), (scopes, key)


def test_the_most_special_configuration_runs_whichever_others_there_are(gateway, origin, probes):
    where = origin()
    one = gateway(in_scopes(where, []), conf=probes)
    for scopes in [SCOPES[n:] for n in range(len(SCOPES))] + list(itertools.combinations(SCOPES, 2)):
        done = one.api('/config', 'POST', headers=[('Content-Type', 'application/json')],
                       body=json.dumps(in_scopes(where, scopes)).encode())
        assert done.status == 201, done.body
        expect_scopes(one, scopes)


def test_a_database_s_configurations_are_chosen_the_same_way(gateway, origin, probes):
    one = gateway(in_scopes(origin(), SCOPES), conf={**probes, 'database': 'sqlite'}, start=False)
    done = one.cli('config', 'db_import', one.config_path)
    assert done.returncode == 0, done.stderr
    one.start()
    expect_scopes(one, SCOPES)


def test_who_runs_before_authentication_does_not_know_the_consumer(gateway, origin, probes):
    one = gateway(declarative(
        service(origin(), route(paths=['/'])),
        consumers=[{'username': 'jo', 'keyauth_credentials': [{'key': 'good'}],
                    'plugins': [probe('early', 'jo'), probe('late', 'jo')]}],
        plugins=[{'name': 'key-auth', 'config': {}}, probe('late', 'all')]), conf=probes)
    answer = one.get('/', headers=[('apikey', 'good')])
    assert answer.get('X-Phases') == 'late:all.rewrite late:jo.access late:jo.header_filter'


def test_what_a_handler_asks_over_http_has_a_span(gateway, origin, probes):
    where, refused = origin(), free_port()
    where.default = lambda connection, request: connection.send(ok(status=418, reason='no'))
    collector = origin()
    collector.default = lambda connection, request: connection.send(ok())
    urls = {'early': f'http://jo:secret@{where.host}:{where.port}/a?b=c',
            'late': f'http://127.0.0.1:{refused}/d'}
    one = gateway(declarative(
        service(where, route(paths=['/'])),
        plugins=[probe(name, url=url) for name, url in urls.items()] + [
            {'name': 'opentelemetry', 'config': {'endpoint': collector.url, 'batch_flush_delay': 0}}]),
        conf={**probes, 'tracing_instrumentations': 'http_client'})
    one.get('/')
    one.stop()
    spans = [s for r in collector.requests for s in otlp.request(r.body)[2]]
    root, good, bad = spans
    url = f'http://{where.host}:{where.port}/a?b=c'
    assert (root['name'], good['name'], bad['name']) == ('GET /', f'HTTP GET {url}', f'HTTP GET {urls["late"]}')
    agent = good['attributes'].pop('http.user_agent')
    assert agent.startswith('gibbon/')
    assert good['attributes'] == {'http.url': url, 'http.method': 'GET', 'http.flavor': '1.1',
                                  'http.status_code': 418}
    assert bad['attributes'] == {'http.url': urls['late'], 'http.method': 'GET', 'http.flavor': '1.1',
                                 'http.user_agent': agent}
    assert (good['status'], bad['status']) == (0, 2)
    for s in (good, bad):
        assert s['kind'] == 3 and s['parent_id'] == root['span_id']
        assert root['start'] <= s['start'] <= s['end'] <= root['end']


# ---- the certificate phase ------------------------------------------------------------------------

CERTIFIER = r'''
/* Shows its own certificate to those who ask for a name, after it has asked a server. */
#include <gibbon/plugin.h>

struct conf {
	str name, cert, key, url;
};

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, name, .required = true, .help = "Who is shown it."),
	F_STR(T, cert, .help = "In PEM."),
	F_STR(T, key, .help = "In PEM."),
	F_STR(T, url, .help = "What is asked before."),
	F_END
};
#undef T

static enum verdict on_certificate(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct http_call call = { .url = conf->url };
	struct http_answer answer;
	struct err *e = conf->url.n ? http_ask(req_arena(r), &call, &answer) : NULL;
	str sni = req_sni(r), ip = req_client_ip(r);

	if (!e && str_eq(sni, conf->name))
		e = req_use_certificate(r, conf->cert, conf->key);
	if (e)
		log_err(LOG_ERROR_, e, "no certificate of its own");
	else
		log_notice("a handshake for \"" STRF "\" from " STRF, STRV(sni), STRV(ip));
	err_forget();
	return NEXT;
}

static const struct plugin certifier = {
	.name = "certifier",
	.help = "Shows a certificate of its own.",
	.priority = 1,
	.conf = conf_fields,
	.conf_size = sizeof(struct conf),
	.protocols = PROTOCOLS_ALL,
	.on = { [PHASE_CERTIFICATE] = on_certificate },
};
PLUGIN_MODULE(certifier);
'''


@pytest.fixture(scope='module')
def certifier(tmp_path_factory):
    built = PluginObjects(tmp_path_factory).build(source=CERTIFIER)
    (built / 'hello.so').rename(built / 'certifier.so')
    return {'plugins': 'bundled,certifier', 'plugin_path': str(built)}


def names_shown(port, sni):
    """The names in the certificate that a handshake shows."""
    pem = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-servername', sni],
                         input='', capture_output=True, text=True, timeout=patience(20)).stdout
    said = subprocess.run(['openssl', 'x509', '-noout', '-subject', '-ext', 'subjectAltName'], input=pem,
                          capture_output=True, text=True).stdout
    return said


def test_a_plugin_chooses_the_certificate_of_a_handshake(gateway, origin, certs, certifier):
    own, asked, stream_port = certs.make('own.test'), origin(), free_port()
    asked.on('/slow', lambda c, r: c.send(ok(b'')))
    config = {'name': 'certifier', 'protocols': ['http', 'https', 'tls'], 'config': {
        'name': 'own.test', 'cert': own.cert, 'key': own.key,
        'url': f'http://127.0.0.1:{asked.port}/slow'}}
    g = gateway(declarative(
        service(origin(), route(paths=['/'])),
        {'name': 'tcp', 'url': f'tcp://127.0.0.1:{origin().port}', 'routes': [
            {'name': 's', 'protocols': ['tls'], 'snis': ['own.test']}]},
        plugins=[config]), conf={**certifier, 'stream_listen': f'127.0.0.1:{stream_port} ssl'})
    assert 'own.test' in names_shown(g.proxy_tls, 'own.test')
    assert 'own.test' not in names_shown(g.proxy_tls, 'other.test')
    assert 'own.test' in names_shown(stream_port, 'own.test')
    assert g.get_tls('/', sni='own.test').status == 200
    assert 'a handshake for "own.test" from 127.0.0.1' in g.log()
    assert 'a handshake for "other.test"' in g.log()
    assert len(asked.requests) >= 4


def test_a_certificate_that_cannot_be_used_leaves_the_configured_one(gateway, origin, certs, certifier):
    own = certs.make('own.test')
    g = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[{'name': 'certifier', 'config': {
        'name': 'own.test', 'cert': own.cert, 'key': 'none'}}]), conf=certifier)
    assert g.get_tls('/', sni='own.test').status == 200
    assert 'no certificate of its own' in g.log()
