/* SPDX-License-Identifier: Apache-2.0 */
/* bot-detection - refuses programs that say in User-Agent that they are robots.
 *
 * Patterns of the configuration come first: `allow` lets in, `deny` keeps out; then the
 * list below.  Who says nothing passes: this keeps honest robots out, no others. */
#include <gibbon/plugin.h>

struct patterns {
	struct regex **v;
	size_t n;
};

struct conf {
	strs allow, deny;
	struct patterns allowed, denied, known;
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STRS(T, allow, .def = J([]), .elements = FIELD(FIELD_STRING, .is_regex = true), .help = "Patterns of User-Agent that pass."),
	F_STRS(T, deny,  .def = J([]), .elements = FIELD(FIELD_STRING, .is_regex = true), .help = "Patterns that do not."),
	F_END
};
#undef T

/* What robots, crawlers and libraries for making requests call themselves. */
static const char *const known[] = {
	/* name and version, where the name says what it is */
	"(?:[Bb]ot|[Ss]pider|[Cc]rawl[a-z]*|[Ii]ndexer|[Ss]craper|[Aa]rchiver)[/ -]v?\\d",
	"[Ss][Pp][Ii][Dd][Ee][Rr]|[Ss]crape|[Cc][Rr][Aa][Ww][Ll]",
	"[A-Za-z-]*[Gg]oogle[Bb]ot|AdsBot-Google|Mediapartners-Google|AppEngine-Google|Google.*/\\+/web/snippet|Google SketchUp|gsa-crawler",
	"bingbot|BingPreview|msnbot|msrbot|adidxbot|Microsoft .{0,30} Bot|MSIECrawler",
	"[Bb]ai[Dd]u[Ss]pider|BaiduMobaider|Yandex\\w+|Yahoo! Slurp|YahooSeeker|\\bSlurp\\b|Yeti\\b|Y!J-BR[A-Z]/\\d|DuckDuckBot|Daumoa|Ask Jeeves|ia_archiver|InternetArchive|archive.{0,30}\\.org_bot",
	"facebookexternalhit|Twitterbot|LinkedInBot|Slackbot-LinkExpanding|Slack-ImgProxy|WhatsApp|Pingdom\\.com_bot_version_|Feedbin|SimplePie|SimpleRSS|Netvibes|NewsGator|Bloglovin|BlogBridge",
	"SemrushBot|MJ12bot|AhrefsBot|gigabot|BUbiNG|Catchpoint|Scrapy|masscan|WhatWeb|heritrix|larbin|Nutch|htdig|Xenu(?:.s)? Link Sleuth|Checklinks|findlinks|LinkAider|Linguee Bot|Wotbox|ZyBorg|yacy|boitho\\.com-dc|[Cc]harlotte|Genieo|Riddler|scooter|seekbot|Qwantify|Peeplo|PagePeeker|PagesInventory|Kraken|Kurzor|grub-client|lycos|ichiro|holmes|mogimogi|Orbiter|Pompos|URL2PNG|WebThumb|WordPress|Mail\\.RU_Bot|URLAppendBot",
	" PTST/\\d",
	"\\b(?:Boto3?|JetS3t|s3fs|aws-(?:cli|sdk-[a-z0-9-]+))/\\d",
	"Google-HTTP-Java-Client|Apache-HttpClient|Go-http-client|scalaj-http|http%20client|Python-urllib|HttpMonitor|TLSProber|WinHTTP|JNLP|okhttp|aihttp|reqwest|axios|unirest-(?:java|python|ruby|nodejs|php|net)",
	"\\b(?:008|Altresium|Argus|BoardReader|DNSGroup|DataparkSearch|EDI|Goodzer|Grub|INGRID|Infohelfer|LOOQ|OgScrper|PathDefender|Peew|PostPost|Steeler|VSE|WebCrunch|WebZIP|envolk|sproose|wminer)/\\d",
};
/* clang-format on */

static struct err *add(struct arena *a, struct patterns *list, str pattern)
{
	TRY(regex_new(a, pattern, 0, &list->v[list->n]), "pattern " STRF, STRV(pattern));
	list->n++;
	return NULL;
}

static struct err *compile(struct arena *a, strs patterns, struct patterns *ret)
{
	*ret = (struct patterns){ NEWS(a, struct regex *, patterns.n), 0 };
	for (size_t i = 0; i < patterns.n; i++)
		PASS(add(a, ret, patterns.v[i]));
	return NULL;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	PASS(compile(a, conf->allow, &conf->allowed));
	PASS(compile(a, conf->deny, &conf->denied));
	conf->known.v = NEWS(a, struct regex *, COUNT(known));
	for (size_t i = 0; i < COUNT(known); i++)
		PASS(add(a, &conf->known, str_of(known[i])));
	return NULL;
}

static bool matches(const struct patterns *list, str text)
{
	for (size_t i = 0; i < list->n; i++) {
		if (regex_match(list->v[i], text, NULL, 0))
			return true;
	}
	return false;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	str agent = str_trim(req_header(r, STR("User-Agent")));

	if (req_header_count(r, STR("User-Agent")) > 1)
		return respond_error(r, 400, "Only one User-Agent header allowed");
	if (!agent.s || matches(&conf->allowed, agent))
		return NEXT;
	if (matches(&conf->denied, agent) || matches(&conf->known, agent))
		return respond_error(r, 403, "Forbidden");
	return NEXT;
}

const struct plugin plugin_bot_detection = {
	.name = "bot-detection",
	.help = "Refuses robots that say so.",
	.priority = 2500,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
