/* SPDX-License-Identifier: Apache-2.0 */
/* grpc - the gateway's own words to clients of gRPC. */
#pragma once

#include "http/http.h"

int grpc_status_of(int status);              /* of HTTP */
str grpc_status_name(int status);            /* "NotFound"; empty: there is no such */
str grpc_message(struct arena *a, str text); /* as it may stand in a header */

/* Sets both fields; without a message the status's name says it. */
void grpc_tell(struct arena *a, struct http_headers *h, int status, str message);
