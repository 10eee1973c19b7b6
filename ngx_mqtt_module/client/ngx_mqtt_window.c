
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Sets of packet ids: QoS 2 publishes that were received and not released.
 *
 * A set is an array in no order: it holds as many ids as the client may have
 * in flight, twenty by default, so looking through it is cheaper than any
 * structure.  It is freed when the last id goes.
 *
 * Called from: the packet handlers.
 */


#include "ngx_mqtt_client.h"


#define NGX_MQTT_ID_SET_MIN  8


ngx_uint_t
ngx_mqtt_id_set_has(ngx_mqtt_id_set_t *set, uint16_t id)
{
    ngx_uint_t  i;

    for (i = 0; i < set->n; i++) {
        if (set->ids[i] == id) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_mqtt_id_set_add(ngx_mqtt_worker_t *w, ngx_mqtt_id_set_t *set, uint16_t id)
{
    uint16_t    *ids;
    ngx_uint_t   size;

    if (set->n == set->size) {
        size = set->size ? ngx_min(set->size * 2, 65535) : NGX_MQTT_ID_SET_MIN;

        ids = ngx_mqtt_alloc(w, size * sizeof(uint16_t));
        if (ids == NULL) {
            return NGX_ERROR;
        }

        if (set->n) {
            ngx_memcpy(ids, set->ids, set->n * sizeof(uint16_t));
            ngx_mqtt_free(w, set->ids, set->size * sizeof(uint16_t));
        }

        set->ids = ids;
        set->size = (uint16_t) size;
    }

    set->ids[set->n++] = id;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_id_set_remove(ngx_mqtt_worker_t *w, ngx_mqtt_id_set_t *set,
    uint16_t id)
{
    ngx_uint_t  i;

    for (i = 0; i < set->n; i++) {

        if (set->ids[i] == id) {
            set->ids[i] = set->ids[--set->n];

            if (set->n == 0) {
                ngx_mqtt_id_set_free(w, set);
            }

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_mqtt_id_set_free(ngx_mqtt_worker_t *w, ngx_mqtt_id_set_t *set)
{
    if (set->size) {
        ngx_mqtt_free(w, set->ids, set->size * sizeof(uint16_t));
    }

    ngx_memzero(set, sizeof(ngx_mqtt_id_set_t));
}
