/* SPDX-License-Identifier: Apache-2.0 */
/* The files that others import most, so that they need not be on every node.  Those that only
 * say how options look are empty: options are known as they are. */
#include "protobuf/priv.h"

#define HEAD "syntax = \"proto3\"; package google.protobuf;"

/* clang-format off */
static const struct {
	str path, text;
} files[] = {
	{ STR_INIT("google/api/annotations.proto"),      STR_INIT("") },
	{ STR_INIT("google/api/http.proto"),             STR_INIT("") },
	{ STR_INIT("google/api/field_behavior.proto"),   STR_INIT("") },
	{ STR_INIT("google/api/httpbody.proto"),         STR_INIT(
		"syntax = \"proto3\"; package google.api; import \"google/protobuf/any.proto\";"
		"message HttpBody { string content_type = 1; bytes data = 2;"
		" repeated google.protobuf.Any extensions = 3; }") },
	{ STR_INIT("google/protobuf/descriptor.proto"),  STR_INIT("") },
	{ STR_INIT("google/protobuf/any.proto"),         STR_INIT(HEAD
		"message Any { string type_url = 1; bytes value = 2; }") },
	{ STR_INIT("google/protobuf/duration.proto"),    STR_INIT(HEAD
		"message Duration { int64 seconds = 1; int32 nanos = 2; }") },
	{ STR_INIT("google/protobuf/empty.proto"),       STR_INIT(HEAD
		"message Empty {}") },
	{ STR_INIT("google/protobuf/field_mask.proto"),  STR_INIT(HEAD
		"message FieldMask { repeated string paths = 1; }") },
	{ STR_INIT("google/protobuf/struct.proto"),      STR_INIT(HEAD
		"message Struct { map<string, Value> fields = 1; }"
		"message Value { oneof kind { NullValue null_value = 1; double number_value = 2;"
		" string string_value = 3; bool bool_value = 4; Struct struct_value = 5;"
		" ListValue list_value = 6; } }"
		"enum NullValue { NULL_VALUE = 0; }"
		"message ListValue { repeated Value values = 1; }") },
	{ STR_INIT("google/protobuf/timestamp.proto"),   STR_INIT(HEAD
		"message Timestamp { int64 seconds = 1; int32 nanos = 2; }") },
	{ STR_INIT("google/protobuf/wrappers.proto"),    STR_INIT(HEAD
		"message DoubleValue { double value = 1; } message FloatValue { float value = 1; }"
		"message Int64Value { int64 value = 1; } message UInt64Value { uint64 value = 1; }"
		"message Int32Value { int32 value = 1; } message UInt32Value { uint32 value = 1; }"
		"message BoolValue { bool value = 1; } message StringValue { string value = 1; }"
		"message BytesValue { bytes value = 1; }") },
};
/* clang-format on */

bool proto_built_in(str path, str *ret)
{
	for (size_t i = 0; i < COUNT(files); i++) {
		if (str_eq(path, files[i].path)) {
			*ret = files[i].text;
			return true;
		}
	}
	return false;
}
