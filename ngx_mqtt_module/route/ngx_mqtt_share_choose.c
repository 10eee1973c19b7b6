
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Which worker gets the next message of a group.
 *
 * (1) A group's turn is counted in the zone, for all publishers together: of
 *     as many messages as it has members each worker gets as many as it has.
 * (2) A worker that can take no more, or whose members are all stalled, is
 *     left out while there is another one.
 *
 * Called from: ngx_mqtt_directory.c (what was found), ngx_mqtt_route.c and
 * ngx_mqtt_share.c.
 */


#include "ngx_mqtt_route_int.h"


/* who is left out: everybody of both kinds, those that are full, nobody */

#define NGX_MQTT_CHOOSE_READY  0
#define NGX_MQTT_CHOOSE_ROOM   1
#define NGX_MQTT_CHOOSE_ANY    2


static ngx_uint_t ngx_mqtt_group_left_out(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_worker_t *gw, ngx_uint_t choose);
static ngx_uint_t ngx_mqtt_group_full(ngx_mqtt_worker_t *w, ngx_uint_t slot);


ngx_int_t
ngx_mqtt_groups_init(ngx_mqtt_worker_t *w, ngx_mqtt_groups_t *groups)
{
    if (ngx_array_init(&groups->groups, w->cycle->pool, 16,
                       sizeof(ngx_mqtt_group_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_array_init(&groups->workers, w->cycle->pool, 64,
                          sizeof(ngx_mqtt_group_worker_t));
}


void
ngx_mqtt_groups_reset(ngx_mqtt_groups_t *groups, ngx_mqtt_workers_t *pending)
{
    ngx_uint_t  i;

    groups->serial++;
    groups->pending = *pending;
    groups->more = 0;

    for (i = 0; i < NGX_MQTT_WORKERS_WORDS; i++) {
        if (pending->bits[i]) {
            groups->more = 1;
        }
    }

    groups->groups.nelts = 0;
    groups->workers.nelts = 0;
}


ngx_mqtt_group_t *
ngx_mqtt_groups_add(ngx_mqtt_groups_t *groups, uint64_t id)
{
    ngx_mqtt_group_t  *group;

    group = ngx_array_push(&groups->groups);
    if (group == NULL) {
        return NULL;
    }

    group->id = id;
    group->turn = 0;
    group->first = groups->workers.nelts;
    group->nworkers = 0;

    return group;
}


ngx_int_t
ngx_mqtt_groups_add_worker(ngx_mqtt_groups_t *groups, ngx_mqtt_group_t *group,
    ngx_uint_t slot, ngx_uint_t members, ngx_uint_t stalled)
{
    ngx_mqtt_group_worker_t  *gw;

    gw = ngx_array_push(&groups->workers);
    if (gw == NULL) {
        return NGX_ERROR;
    }

    gw->slot = slot;
    gw->members = members;
    gw->stalled = stalled;

    group->nworkers++;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_groups_check(ngx_mqtt_worker_t *w, ngx_mqtt_groups_t *groups)
{
    ngx_uint_t                i, n;
    ngx_mqtt_group_t         *group;
    ngx_mqtt_group_worker_t  *gw;

    group = groups->groups.elts;

    for (i = 0; i < groups->groups.nelts; i++) {
        gw = groups->workers.elts;
        gw += group[i].first;

        for (n = 0; n < group[i].nworkers; n++) {
            if (!ngx_mqtt_group_full(w, gw[n].slot)) {
                break;
            }
        }

        if (n && n == group[i].nworkers) {
            return NGX_BUSY;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_group_choose(ngx_mqtt_worker_t *w, ngx_mqtt_groups_t *groups,
    ngx_mqtt_group_t *group, ngx_mqtt_workers_t *tried)
{
    ngx_uint_t                i, n, choose, total;
    ngx_mqtt_workers_t        out;
    ngx_mqtt_group_worker_t  *gw;

    gw = groups->workers.elts;
    gw += group->first;

    total = 0;

    for (choose = NGX_MQTT_CHOOSE_READY;
         total == 0 && choose <= NGX_MQTT_CHOOSE_ANY;
         choose++)
    {
        out = *tried;

        for (i = 0; i < group->nworkers; i++) {

            if (ngx_mqtt_group_left_out(w, &gw[i], choose)) {
                ngx_mqtt_workers_set(&out, gw[i].slot);
            }

            if (!ngx_mqtt_workers_has(&out, gw[i].slot)) {
                total += gw[i].members;
            }
        }
    }

    if (total == 0) {
        return NGX_MQTT_ZONE_SLOTS;
    }

    n = group->turn % total;

    for (i = 0; /* void */ ; i++) {

        if (ngx_mqtt_workers_has(&out, gw[i].slot)) {
            continue;
        }

        if (n < gw[i].members) {
            return gw[i].slot;
        }

        n -= gw[i].members;
    }
}


static ngx_uint_t
ngx_mqtt_group_left_out(ngx_mqtt_worker_t *w, ngx_mqtt_group_worker_t *gw,
    ngx_uint_t choose)
{
    if (choose == NGX_MQTT_CHOOSE_READY && gw->stalled) {
        return 1;
    }

    return choose != NGX_MQTT_CHOOSE_ANY && ngx_mqtt_group_full(w, gw->slot);
}


static ngx_uint_t
ngx_mqtt_group_full(ngx_mqtt_worker_t *w, ngx_uint_t slot)
{
    ngx_mqtt_peer_t  peer;

    if (slot == w->slot_index) {
        return 0;
    }

    peer.slot = slot;
    peer.node = 0;
    peer.generation = ngx_mqtt_zone(w->gateway)->slots[slot].generation;

    return ngx_mqtt_bus_full(w->bus, &peer);
}
