/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite - the embedded database: one file, made and migrated when it is opened.
 *
 * In WAL mode, with foreign keys, every commit on the disk before it is told.  There
 * is one writer; readers do not wait for it.  Jobs run on an offload thread when a
 * fiber asks, else where they are.  Another process may use the same file. */
#pragma once

#include "store/sql/sql.h"

MUST_CHECK struct err *sqlite_open(const char *path, struct sql_database **ret) SUSPENDS;
