/* SPDX-License-Identifier: Apache-2.0 */
/* worker - the process that does the work: data loops, control, offload threads.
 *
 *	main thread   control loop: Admin and Status API, signals, building and publishing
 *	threads 0..n  one data loop each: struct proxy and its acceptors
 *	offload       what must block
 *
 * It serves from the moment it tells the supervisor that it is ready; SIGQUIT
 * lets every connection finish its request, SIGTERM stops at once. */
#pragma once

#include "process/process.h"

worker_main_fn worker_main;
