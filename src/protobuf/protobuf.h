/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf - .proto files, and the messages they describe as JSON and as bytes.
 *
 * proto_load() reads a file with all it imports into an immutable set of messages, enums
 * and methods; the files of google/protobuf/ and google/api/ that are imported most are
 * built in.  proto_encode() and proto_decode() turn documents into the wire format and
 * back.  Names are as the .proto file has them; a Timestamp is a text, all other known
 * types are the messages that they are.
 *
 * All that comes from outside has a ceiling: files, nesting, messages. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

enum proto_type {
	PROTO_DOUBLE = 1,
	PROTO_FLOAT,
	PROTO_INT64,
	PROTO_UINT64,
	PROTO_INT32,
	PROTO_FIXED64,
	PROTO_FIXED32,
	PROTO_BOOL,
	PROTO_STRING,
	PROTO_GROUP,
	PROTO_MESSAGE,
	PROTO_BYTES,
	PROTO_UINT32,
	PROTO_ENUM,
	PROTO_SFIXED32,
	PROTO_SFIXED64,
	PROTO_SINT32,
	PROTO_SINT64,
};

struct proto_field {
	str name;
	int64_t number;
	enum proto_type type;
	str type_name; /* of messages and enums, as written */
	const struct proto_message *message;
	const struct proto_enum *enumeration;
	bool is_repeated, is_packed;
	bool has_presence; /* absent is not the same as its default */
};

struct proto_message {
	str name; /* "pkg.Outer.Inner" */
	struct {
		struct proto_field *v;
		size_t n, cap;
	} fields;
	bool is_map_entry; /* of a map<>: fields 1 and 2 */
	bool is_timestamp;
};

struct proto_enum {
	str name;
	struct {
		struct proto_enum_value {
			str name;
			int64_t number;
		} * v;
		size_t n, cap;
	} values;
};

/* A binding of google.api.http. */
struct proto_rule {
	str method; /* "GET", as sent */
	str path;   /* a template */
	str body;   /* "*", a field, or empty */
};

struct proto_method {
	str path; /* "/pkg.Service/Method" */
	str input_name, output_name;
	const struct proto_message *input, *output;
	struct {
		struct proto_rule *v;
		size_t n, cap;
	} rules;
};

struct proto_set {
	struct {
		struct proto_method *v;
		size_t n, cap;
	} methods; /* of the file and of what it imports publicly */
};

/* Reads files: not on a loop's thread.  Imports are looked for beside the file and where
 * Kong looks. */
MUST_CHECK struct err *proto_load(struct arena *a, str path, const struct proto_set **ret);

/* The same of a text, with what is built in. */
MUST_CHECK struct err *proto_load_text(struct arena *a, str text, const struct proto_set **ret);

const struct proto_method *proto_method_of(const struct proto_set *s, str path);
const struct proto_field *proto_field_of(const struct proto_message *m, str name);

/* A document as a message; members that it does not have are left out.  The error says
 * where. */
MUST_CHECK struct err *proto_encode(const struct proto_message *m, const struct value *v,
				    struct buf *out);
MUST_CHECK struct err *proto_decode(struct arena *a, const struct proto_message *m, str bytes,
				    struct value **ret);

/* ---- messages of gRPC: a flag, a length, and the bytes -------------------------------- */

enum { GRPC_PREFIX = 5, GRPC_COMPRESSED = 1, GRPC_WEB_TRAILERS = 0x80 };

void grpc_frame(struct buf *out, unsigned flags, str message);

/* Takes the first message off *rest; false: it is not whole yet. */
bool grpc_unframe(str *rest, unsigned *ret_flags, str *ret_message);

/* ---- path templates of google.api.http ----------------------------------------------- */

struct proto_binding {
	str field; /* "a.b" */
	str value;
};

/* Does the template take this path?  Then *ret has what it binds, in a. */
struct proto_bindings {
	struct proto_binding *v;
	size_t n, cap;
};
bool proto_template_match(struct arena *a, str template, str path, struct proto_bindings *ret);
bool proto_template_is_good(str template);

/* Messages of a stream as JSON: a piece is added to `pending`, and the messages that are whole
 * then to `out`, one behind the other, or each in a frame of its own. */
MUST_CHECK struct err *grpc_to_json(struct arena *a, const struct proto_message *m,
				    struct buf *pending, str piece, bool is_framed,
				    struct buf *out);
