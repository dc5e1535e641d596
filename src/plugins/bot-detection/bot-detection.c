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
	struct patterns allowed, denied;
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STRS(T, allow, .def = J([]), .elements = FIELD(FIELD_STRING, .is_regex = true), .help = "Patterns of User-Agent that pass."),
	F_STRS(T, deny,  .def = J([]), .elements = FIELD(FIELD_STRING, .is_regex = true), .help = "Patterns that do not."),
	F_END
};
#undef T

/* What robots, crawlers and libraries for making requests call themselves.  Some names count with a
 * version alone, for they are words too. */
static const char *const known_patterns[] = {
	/* what says that it is one */
	"(?:[Aa]rchiver|[Bb]ot|[Cc]rawl[a-z]*|[Ii]ndexer|[Ss]craper)[/ ]\\d",
	"[Ss][Pp][Ii][Dd][Ee][Rr]|[Ss]crape|[Cc][Rr][Aa][Ww][Ll]",
	"/(?:[A-z]+[Bb]ot|Axtaris|Isara|ShopSalad|Tailsweep|fetchurl)[ -]\\d",
	/* robots of search engines, feeds, archives, previews, monitors */
	"50\\.nu|Aboundex|Accoona-[A-z]{1,30}-Agent|AdsBot-Google|AppEngine-Google|Ask Jeeves"
	"|BUbiNG|BingPreview|BlogBridge|Bloglovin|BoardReader (?:Blog Indexer|Favicon Fetcher)|BotName/\\$BotVersion|BotSeer"
	"|Catchpoint|Checklinks|Cityreview Robot|Comodo-Webinspector|Daumoa|Feed Seeker Bot|Feedbin|Finderbots"
	"|Flamingo_SearchEngine|FollowSite Bot|Genieo|GomezAgent|Google SketchUp|Google.*/\\+/web/snippet|Googlebot"
	"|HiddenMarket|HooWWWer|IP2[a-z]{1,30}Bot|Icarus6j|IconSurf|IlTrovatore|InfuzApp|InternetArchive|Job Roboter"
	"|KaloogaBot|Kraken|Kurzor|LEIA|LesnikBot|LinkAider|LinkedInBot|Linguee Bot|Lite Bot|Llaut|MJ12bot|Mail\\.RU_Bot"
	"|Mediapartners-Google|Microsoft .{0,30} Bot|Mtps Feed Aggregation System|Netvibes|NewsGator|Nutch|Nymesis"
	"|OOZBOT|ObjectsSearch|OgScrper|Orbiter|PagePeeker|PagesInventory|PaxleFramework|Peeplo Screenshot Bot"
	"|Pingdom\\.com_bot_version_\\d+\\.\\d|PlantyNet_WebRobot|Pompos|Qwantify|Read%20Later|Reaper|RedCarpet|Retreiver"
	"|Riddler|Rival IQ|SEOstats|Scrapy|Scrubby|SemrushBot|SimplePie|SimpleRSS|Simpy|SiteCat Webbot|SiteCon"
	"|Slack-ImgProxy|Slackbot-LinkExpanding|Slurp|Squrl Java|Stringer|TheUsefulbot|ThumbShotsBot|Thumbshots\\.ru"
	"|Tiny Tiny RSS|Twitterbot|URL2PNG|Vagabondo|VoilaBot|Votay bot|WASALive.Bot|WIRE|WeSEE:[A-z]"
	"|Web-sniffer|WebThumb|WhatWeb|WhatsApp|WordPress|Wotbox|Xenu(?:.s|) Link Sleuth|Xerka [A-z]{1,30}Bot"
	"|YahooSeeker|Yandex\\w|YodaoBot|YottaaMonitor|Yowedo|ZeBot_www\\.ze\\.bz|ZooShot|ZyBorg|\\bYeti"
	"|\\b\\w{0,30}favicon\\w{0,30}\\b|altavista|archive.{0,30}\\.org_bot|archiver|bingbot|blitzbot|boitho.com-dc"
	"|clumboot|facebookexternalhit/\\d+\\.\\d|findlinks|furlbot|gigabot|gonzo1|grub-client|heritrix|holmes|htdig"
	"|ia_archiver|ichiro|jbot\\b|larbin|lycos|masidani_bot|masscan|mogimogi|mozDex|msnbot|msrbot|netresearch|scooter"
	"|searchsight|seekbot|semanticdiscovery|snappy|www\\.almaden\\.ibm\\.com|yacy|[Cc]harlotte",
	"^(?:NING|Zao|vortex|voyager)",
	" PTST/\\d+\\.?\\d+$",
	"\\b(?:008|Altresium|Argus|BaiduMobaider|BoardReader|DNSGroup|DataparkSearch|EDI|Goodzer|Grub|INGRID|Infohelfer|LOOQ"
	"|PathDefender|Peew|PostPost|Steeler|VSE|WebCrunch|WebZIP|Y!J-BR[A-Z]|envolk|sproose|wminer)/\\d",
	/* libraries */
	"\\b(?:Boto3?|JetS3t|s3fs|aws-(?:cli|sdk-(?:cpp|go|java|nodejs|ruby2?|dotnet-(?:\\d{1,2}|core))))/\\d+\\.\\d",
	"Apache-HttpClient|Go-http-client|Google-HTTP-Java-Client|HttpMonitor|JNLP|Python-urllib|TLSProber|WinHTTP|aihttp"
	"|axios|http%20client|okhttp|reqwest|scalaj-http|unirest-(?:java|python|ruby|nodejs|php|net)",
};
/* clang-format on */

/* The same for all configurations, for the life of the process. */
static struct {
	struct arena *a;
	struct patterns robots;
} known;

static struct err *compile(struct arena *a, strs patterns, struct patterns *ret)
{
	*ret = (struct patterns){ NEWS(a, struct regex *, patterns.n), patterns.n };
	for (size_t i = 0; i < patterns.n; i++)
		TRY(regex_new(a, patterns.v[i], 0, &ret->v[i]), "pattern " STRF,
		    STRV(patterns.v[i]));
	return NULL;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	PASS(compile(a, conf->allow, &conf->allowed));
	return compile(a, conf->deny, &conf->denied);
}

static void start(const struct plugin_node *node)
{
	str list[COUNT(known_patterns)];
	struct err *e;

	(void)node;
	for (size_t i = 0; i < COUNT(list); i++)
		list[i] = str_of(known_patterns[i]);
	known.a = arena_new();
	e = compile(known.a, (strs){ list, COUNT(list) }, &known.robots);
	if (e)
		die("bot-detection: " STRF, STRV(err_line(known.a, e)));
}

static void stop(void)
{
	arena_drop(&known.a);
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
	if (matches(&conf->denied, agent) || matches(&known.robots, agent))
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
	.start = start,
	.stop = stop,
	.on = { [PHASE_ACCESS] = on_access },
};
