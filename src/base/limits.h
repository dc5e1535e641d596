/* SPDX-License-Identifier: Apache-2.0 */
/* The ceilings on every size that comes from outside, in one place.  Those that
 * an operator may set are settings; these hold whatever is configured. */
#pragma once

#define LIMIT_JSON_DEPTH     64                   /* nested arrays and objects */
#define LIMIT_YAML_NODES     (32 * 1000 * 1000)   /* values after aliases are expanded */
#define LIMIT_CONFIG_BYTES   ((size_t)1 << 30)    /* a declarative document */
#define LIMIT_CONF_FILE      (4 * 1024 * 1024)    /* kong.conf */
#define LIMIT_PATTERN_STEPS  100000               /* a Lua pattern's match */
#define LIMIT_REGEX_MATCH    100000               /* PCRE2 match limit */
#define LIMIT_REGEX_DEPTH    100000               /* PCRE2 depth limit, without JIT */
#define LIMIT_HTTP_HEADERS   1000                 /* header lines of one message */
#define LIMIT_HTTP_TARGET    (64 * 1024)          /* bytes of a request target, at most */
#define LIMIT_HTTP_HEAD      (256 * 1024)         /* bytes of a head, whatever is configured */
#define LIMIT_ADMIN_BODY     (1024 * 1024 * 1024) /* POST /config */
#define LIMIT_PLUGIN_BODY    ((size_t)64 << 20)   /* a body that plugins look at as a whole */
#define LIMIT_REDIS_BYTES    ((size_t)16 << 20)   /* of one exchange with Redis, each way */
#define LIMIT_REDIS_ITEMS    ((size_t)1 << 16)    /* of the lists in its replies */
#define LIMIT_LDAP_MESSAGE   ((size_t)64 << 10)   /* of an LDAP server's answer, and of a request */
#define LIMIT_BALANCER_SLOTS 65536   /* addresses of one upstream, all targets together */
#define LIMIT_STATUS_LINE    2048    /* what a probe reads */
#define LIMIT_PROBES         256     /* at once, of one upstream */
#define LIMIT_UDP_HELD       16      /* datagrams that wait while a session begins */
#define LIMIT_UDP_HELD_BYTES 65536   /* of them together */
#define LIMIT_SCRIPT_STEPS   1000000 /* instructions of one run of Lua */
#define LIMIT_SCRIPT_BYTES   ((size_t)64 << 20) /* of one thread's Lua */
#define LIMIT_SCRIPT_CHUNKS  1024               /* compiled ones that a thread keeps of one kind */
#define LIMIT_HASH_ROUNDS    1000000            /* that the hash of a password may ask for */
