/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of protobuf/ share: parse.c reads one file, load.c puts files together. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "protobuf/protobuf.h"

#define FILE_MOST   ((size_t)1 << 20)
#define FILES_MOST  200
#define NESTED_MOST 32                /* messages in messages, as written */
#define DEPTH_MOST  100               /* as sent */
#define VALUES_MOST ((size_t)1 << 20) /* of one message: a few bytes may stand for many defaults */

struct proto_import {
	str path;
	bool is_public;
};

/* What was read of one file: names are not resolved yet. */
struct proto_file {
	str path, package;
	bool is_proto2;
	struct {
		struct proto_import *v;
		size_t n, cap;
	} imports;
	struct {
		struct proto_message **v;
		size_t n, cap;
	} messages; /* nested ones too */
	struct {
		struct proto_enum **v;
		size_t n, cap;
	} enums;
	struct {
		struct proto_method *v;
		size_t n, cap;
	} methods;
};

MUST_CHECK struct err *proto_parse(struct arena *a, str text, struct proto_file *ret);

/* The text of a file that is built in; false: there is none. */
bool proto_built_in(str path, str *ret);
