
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Messages: one block each, reference-counted; see ngx_mqtt_msg.h.
 *
 * Called from: client/ (from the wire), bus/ (from bytes), whoever holds one:
 * kafka/ until the delivery report.  One worker, no locks.
 */


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"


ngx_mqtt_msg_t *
ngx_mqtt_msg_create(ngx_mqtt_worker_t *w, size_t size)
{
    ngx_mqtt_msg_t  *m;

    m = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_msg_t) + size);
    if (m == NULL) {
        return NULL;
    }

    ngx_memzero(m, sizeof(ngx_mqtt_msg_t));

    m->worker = w;
    m->size = size;
    m->refs = 1;

    return m;
}


void
ngx_mqtt_msg_unref(ngx_mqtt_msg_t *m)
{
    if (--m->refs) {
        return;
    }

    ngx_mqtt_free(m->worker, m, sizeof(ngx_mqtt_msg_t) + m->size);
}


ngx_uint_t
ngx_mqtt_msg_expired(ngx_mqtt_msg_t *m)
{
    ngx_time_t  *tp;

    if (!m->has_expiry) {
        return 0;
    }

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec
           >= m->received + (uint64_t) m->expiry * 1000;
}
