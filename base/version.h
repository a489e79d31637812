/* The version of tdbg, as in meson.build. */
#ifndef TDBG_BASE_VERSION_H
#define TDBG_BASE_VERSION_H

#define TDBG_VERSION "0.1.0"

#endif
