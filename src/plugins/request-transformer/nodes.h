/* SPDX-License-Identifier: Apache-2.0 */
/* nodes - a compiled expression: what parse.c makes and evaluate.c walks. */
#pragma once

#include "plugins/request-transformer/expression.h"

enum node_kind {
	NODE_CONSTANT,
	NODE_LOCAL,  /* slot */
	NODE_GLOBAL, /* name */
	NODE_INDEX,  /* left[right] */
	NODE_CALL,   /* left(args) */
	NODE_METHOD, /* left:name(args); slot is its number */
	NODE_BLOCK,  /* (function() ... end)() */
	NODE_NOT,
	NODE_MINUS,
	NODE_LENGTH,
	NODE_AND,
	NODE_OR,
	NODE_CONCAT,
	NODE_ARITHMETIC, /* op: + - * / % ^ */
	NODE_COMPARISON, /* op: = ~ < > and, for <= and >=, { } */
};

#define NODE_ARGS 3

struct node {
	enum node_kind kind;
	char op;
	int slot, depth;
	str name;
	struct lua_value constant;
	const struct node *left, *right;
	const struct node *args[NODE_ARGS];
	size_t n_args;
	const struct statement *block;
};

enum statement_kind {
	STATEMENT_SET,    /* local slot = value */
	STATEMENT_IF,     /* if value then block else other */
	STATEMENT_DO,     /* block */
	STATEMENT_RETURN, /* value, or NULL */
};

struct statement {
	enum statement_kind kind;
	int slot;
	const struct node *value;
	const struct statement *block, *other;
	const struct statement *next;
};

struct expression {
	const struct node *root;
};

/* By name; -1: Lua has none of that name, -2: it has, and we have not. */
int method_number(str name);
