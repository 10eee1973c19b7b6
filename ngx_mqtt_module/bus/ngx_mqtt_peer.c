
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Names of workers, as other nodes know them: the random number of the node,
 * the slot, and the generation, which comes only once.
 *
 * Called from: session/ (owners), route/ (inboxes).
 */


#include "ngx_mqtt_bus.h"


u_char *
ngx_mqtt_peer_name(u_char *p, ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer)
{
    uint64_t  node;

    node = peer->node ? peer->node : ngx_mqtt_zone(w->gateway)->node_id;

    return ngx_sprintf(p, "%016xL:%uL:%uL", node, peer->slot,
                       peer->generation);
}


ngx_int_t
ngx_mqtt_peer_parse(ngx_mqtt_worker_t *w, ngx_str_t *name,
    ngx_mqtt_peer_t *peer)
{
    off_t       generation;
    u_char     *p, *last, ch;
    uint64_t    node;
    ngx_int_t   slot;
    ngx_uint_t  i;

    if (name->len < sizeof("0123456789abcdef:0:1") - 1
        || name->data[16] != ':')
    {
        return NGX_ERROR;
    }

    node = 0;

    for (i = 0; i < 16; i++) {
        ch = name->data[i];

        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f'))) {
            return NGX_ERROR;
        }

        node = (node << 4) + ((ch <= '9') ? ch - '0' : ch - 'a' + 10);
    }

    last = name->data + name->len;
    p = ngx_strlchr(name->data + 17, last, ':');

    if (p == NULL) {
        return NGX_ERROR;
    }

    slot = ngx_atoi(name->data + 17, p - name->data - 17);
    generation = ngx_atoof(p + 1, last - p - 1);

    if (slot == NGX_ERROR || slot >= NGX_MQTT_ZONE_SLOTS
        || generation == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    peer->slot = slot;
    peer->generation = generation;
    peer->node = (node == ngx_mqtt_zone(w->gateway)->node_id) ? 0 : node;

    return NGX_OK;
}
