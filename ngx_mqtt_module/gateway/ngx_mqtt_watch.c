
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Which workers of this node have ended: the bus tells of those that had a
 * socket to us, a look at the zone of all others.
 *
 * (1) What is told of a worker that has ended as it should is without effect:
 *     it has left nothing behind.
 * (2) A generation is told once, and is never used again.
 *
 * Called from: its timer, the bus.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_route.h"
#include "ngx_mqtt_session.h"


#define NGX_MQTT_WATCH_PERIOD  1000    /* ms */
#define NGX_MQTT_WATCH_SOON    20      /* ms, for the master to notice */


static void ngx_mqtt_watch_peer_lost(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);
static void ngx_mqtt_watch_handler(ngx_event_t *ev);
static ngx_uint_t ngx_mqtt_watch_alive(ngx_mqtt_zone_slot_t *slot);


ngx_int_t
ngx_mqtt_watch_start(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *ev;

    w->watched = ngx_pcalloc(w->cycle->pool,
                             NGX_MQTT_ZONE_SLOTS * sizeof(uint64_t));
    if (w->watched == NULL) {
        return NGX_ERROR;
    }

    ev = &w->watch_event;

    ev->handler = ngx_mqtt_watch_handler;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;

    ngx_mqtt_bus_on_lost(w->bus, ngx_mqtt_watch_peer_lost);

    ngx_add_timer(ev, NGX_MQTT_WATCH_SOON);

    return NGX_OK;
}


/*
 * Its socket has ended, but the process may be there a moment longer.  Those
 * who wait for it to give up a session need not any more.
 */

static void
ngx_mqtt_watch_peer_lost(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer)
{
    ngx_mqtt_session_peer_lost(w, peer->slot, peer->generation);

    w->watched[peer->slot] = peer->generation;

    if (w->watch_event.timer_set) {
        ngx_del_timer(&w->watch_event);
    }

    ngx_add_timer(&w->watch_event, NGX_MQTT_WATCH_SOON);
}


static void
ngx_mqtt_watch_handler(ngx_event_t *ev)
{
    uint64_t               generation;
    ngx_uint_t             i;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_worker_t     *w;
    ngx_mqtt_zone_slot_t  *slot;

    w = ngx_mqtt_event_worker(ev);
    zone = ngx_mqtt_zone(w->gateway);

    ngx_add_timer(ev, NGX_MQTT_WATCH_PERIOD);

    for (i = 0; i < zone->nslots; i++) {
        slot = &zone->slots[i];
        generation = slot->generation;

        if (w->watched[i] && w->watched[i] != generation) {
            ngx_mqtt_session_worker_lost(w, i, w->watched[i]);
            w->watched[i] = 0;
        }

        if (generation == 0 || generation == w->generation) {
            continue;
        }

        w->watched[i] = generation;

        if (!ngx_mqtt_watch_alive(slot) && slot->generation == generation) {
            ngx_mqtt_directory_bury(w, i, generation);
            ngx_mqtt_session_worker_lost(w, i, generation);
            w->watched[i] = 0;
        }
    }

    /* what waits is resumed by who has room; this is a safety net */

    ngx_mqtt_will_resume(w);
}


static ngx_uint_t
ngx_mqtt_watch_alive(ngx_mqtt_zone_slot_t *slot)
{
    return kill(slot->pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}
