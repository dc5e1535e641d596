/* SPDX-License-Identifier: Apache-2.0 */
/* What nobody may call, included before everything else by the build: calls
 * that cannot know the size of what they write, that keep hidden state, or that
 * turn bad input into zero.  Use str, buf and str_to_int instead. */
#pragma once

/* Declared first, for a poisoned name may not even be declared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A macro in it, which nobody uses, names one of them. */
#include <luaconf.h>

#pragma GCC poison strcpy strcat strtok sprintf vsprintf gets
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison asctime ctime gmtime localtime
