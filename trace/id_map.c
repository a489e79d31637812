/* Map from sample id to row. See id_map.h for the drawing. */
#include "trace/id_map.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 1024 };

/* Finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static size_t home(const struct tdbg_id_map *map, int64_t id)
{
    uint64_t x = (uint64_t)id;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)(x ^ x >> 31) & (map->n_slots - 1);
}

static size_t probe(const struct tdbg_id_map *map, int64_t id)
{
    size_t i = home(map, id);
    while (map->slots[i].row >= 0 && map->slots[i].id != id)
        i = (i + 1) & (map->n_slots - 1);
    return i;
}

int64_t tdbg_id_map_find(const struct tdbg_id_map *map, int64_t id)
{
    return map->n_slots == 0 ? -1 : map->slots[probe(map, id)].row;
}

static bool grow(struct tdbg_id_map *map)
{
    struct tdbg_id_map bigger = {.n_slots = map->n_slots ? 2 * map->n_slots : FIRST_SLOTS};
    bigger.slots = malloc(bigger.n_slots * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < bigger.n_slots; i++)
        bigger.slots[i].row = -1;
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].row >= 0)
            bigger.slots[probe(&bigger, map->slots[i].id)] = map->slots[i];
    }
    bigger.n_used = map->n_used;
    free(map->slots);
    *map = bigger;
    return true;
}

bool tdbg_id_map_add(struct tdbg_id_map *map, int64_t id, int64_t row)
{
    if (2 * (map->n_used + 1) > map->n_slots && !grow(map))
        return false;
    map->slots[probe(map, id)] = (struct tdbg_id_slot){.id = id, .row = row};
    map->n_used++;
    return true;
}

void tdbg_id_map_free(struct tdbg_id_map *map)
{
    free(map->slots);
    *map = (struct tdbg_id_map){0};
}
