/* What the shared library exports; all else in it is hidden. */
#pragma once

#define MMSTATS_API __attribute__((visibility("default")))
