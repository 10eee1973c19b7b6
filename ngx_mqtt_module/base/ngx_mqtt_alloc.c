
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The worker's memory.
 *
 * (1) Small blocks come from free lists by size class and go back there; the
 *     lists are given to the system when the worker ends.
 * (2) Every live block and byte is counted in the zone: a test that sees a
 *     gauge above zero after the last client has found a leak.
 * (3) With NGX_DEBUG_PALLOC (sanitizer builds) there are no lists, so that
 *     every block is the sanitizer's own.
 *
 * Called from: every room, one worker, no locks.
 */


#include "ngx_mqtt.h"


#define ngx_mqtt_alloc_class(size)                                            \
    (((size) + NGX_MQTT_ALLOC_STEP - 1) / NGX_MQTT_ALLOC_STEP - 1)


void *
ngx_mqtt_alloc(ngx_mqtt_worker_t *w, size_t size)
{
    void        *p;
#if !(NGX_DEBUG_PALLOC)
    ngx_uint_t   n;
#endif

    if (size == 0) {
        size = 1;
    }

#if !(NGX_DEBUG_PALLOC)

    if (size <= NGX_MQTT_ALLOC_MAX) {
        n = ngx_mqtt_alloc_class(size);
        p = w->free_lists[n];

        if (p) {
            w->free_lists[n] = *(void **) p;

        } else {
            p = ngx_alloc((n + 1) * NGX_MQTT_ALLOC_STEP, w->log);
        }

    } else
#endif
    {
        p = ngx_alloc(size, w->log);
    }

    if (p) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_alloc_objects);
        ngx_mqtt_count_add(w, NGX_MQTT_STAT_alloc_bytes, size);
    }

    return p;
}


void *
ngx_mqtt_calloc(ngx_mqtt_worker_t *w, size_t size)
{
    void  *p;

    p = ngx_mqtt_alloc(w, size);

    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


void
ngx_mqtt_free(ngx_mqtt_worker_t *w, void *p, size_t size)
{
#if !(NGX_DEBUG_PALLOC)
    ngx_uint_t  n;
#endif

    if (p == NULL) {
        return;
    }

    if (size == 0) {
        size = 1;
    }

    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_alloc_objects, 1);
    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_alloc_bytes, size);

#if !(NGX_DEBUG_PALLOC)

    if (size <= NGX_MQTT_ALLOC_MAX) {
        n = ngx_mqtt_alloc_class(size);

        *(void **) p = w->free_lists[n];
        w->free_lists[n] = p;

        return;
    }

#endif

    ngx_free(p);
}


void
ngx_mqtt_alloc_release(ngx_mqtt_worker_t *w)
{
    void        *p, *next;
    ngx_uint_t   n;

    for (n = 0; n < NGX_MQTT_ALLOC_CLASSES; n++) {

        for (p = w->free_lists[n]; p; p = next) {
            next = *(void **) p;
            ngx_free(p);
        }

        w->free_lists[n] = NULL;
    }
}
