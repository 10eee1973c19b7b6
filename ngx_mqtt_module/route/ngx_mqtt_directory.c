
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The directory of the node in its coarsest form: every worker that has any
 * subscription gets every message and matches it itself.
 *
 * Called from: ngx_mqtt_route.c.
 */


#include "ngx_mqtt_route.h"


struct ngx_mqtt_directory_s {
    ngx_uint_t  filters;
};


ngx_int_t
ngx_mqtt_directory_start(ngx_mqtt_worker_t *w)
{
    w->directory = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_directory_t));

    return w->directory ? NGX_OK : NGX_ERROR;
}


void
ngx_mqtt_directory_stop(ngx_mqtt_worker_t *w)
{
    w->directory = NULL;
}


ngx_int_t
ngx_mqtt_directory_add(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    w->directory->filters++;

    return NGX_OK;
}


void
ngx_mqtt_directory_remove(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    w->directory->filters--;
}


ngx_uint_t
ngx_mqtt_directory_find(ngx_mqtt_worker_t *w, ngx_str_t *topic,
    ngx_mqtt_workers_t *workers)
{
    ngx_uint_t             i, found;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_zone_slot_t  *slot;

    ngx_memzero(workers, sizeof(ngx_mqtt_workers_t));

    zone = ngx_mqtt_zone(w->gateway);
    found = 0;

    for (i = 0; i < zone->nslots; i++) {
        slot = &zone->slots[i];

        if (slot != w->slot
            && slot->generation
            && slot->counters[NGX_MQTT_STAT_subscriptions])
        {
            workers->bits[i / 64] |= (uint64_t) 1 << (i % 64);
            found = 1;
        }
    }

    return found;
}
