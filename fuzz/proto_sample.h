/* SPDX-License-Identifier: Apache-2.0 */
/* A message with a field of each kind, for the targets that read messages. */
#pragma once

#include "protobuf/protobuf.h"

static inline const struct proto_message *proto_sample(struct arena *a)
{
	const struct proto_set *s;
	struct err *e = proto_load_text(
		a,
		STR("syntax = 'proto3'; import 'google/protobuf/timestamp.proto';"
		    "enum E { A = 0; B = 1; } message M { double d = 1; float f = 2; int64 i = 3;"
		    "uint64 u = 4; bool b = 5; string s = 6; bytes y = 7; E e = 8; sint32 z = 9;"
		    "fixed32 x = 10; fixed64 w = 11; M m = 12; repeated M ms = 13;"
		    "repeated int32 n = 14; map<string, M> by = 15; map<int32, int32> c = 16;"
		    "google.protobuf.Timestamp t = 17; oneof o { int32 l = 18; string r = 19; } }"
		    "service S { rpc R(M) returns (M); }"),
		&s);

	return e ? NULL : s->methods.v[0].input;
}
