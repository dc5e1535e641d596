/* SPDX-License-Identifier: Apache-2.0 */
/* contract - the Kong Gateway whose words we speak, as clients look for it. */
#pragma once

#define CONTRACT_VERSION "3.2.2"
