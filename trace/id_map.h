/* Map from sample id to its row in /samples: open addressing, linear probing.
 *
 *     slot   0        1        2        3
 *          [id|row] [empty ] [id|row] [id|row]     empty: row is -1; at most half are full
 */
#ifndef TDBG_TRACE_ID_MAP_H
#define TDBG_TRACE_ID_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tdbg_id_map {
    struct tdbg_id_slot {
        int64_t id, row;
    } * slots;
    size_t n_slots, n_used; /* n_slots: 0 or a power of two */
};

/* Row of an id, or -1. A zeroed map is an empty one. */
int64_t tdbg_id_map_find(const struct tdbg_id_map *map, int64_t id);

/* Adds an id that is not there yet; false: no memory. */
bool tdbg_id_map_add(struct tdbg_id_map *map, int64_t id, int64_t row);

void tdbg_id_map_free(struct tdbg_id_map *map);

#endif
