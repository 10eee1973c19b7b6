
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Clients that fall behind what comes from Kafka.
 *
 * (1) A client for which more than half of mqtt_max_queued messages, or of
 *     mqtt_max_queued_size bytes, wait is waited for: its worker's slot in the
 *     zone says so, and nobody in the node takes records from Kafka for this
 *     worker.  Without that the back end, which is faster than any device,
 *     would have every device closed to which it sends a thousand commands.
 * (2) It is waited for until a quarter is left, but no longer than
 *     NGX_MQTT_BEHIND_MAX, nor if it acknowledges nothing at all: then it is
 *     on its own until it has caught up, so that one bad device does not hold
 *     up the others.
 *
 * Called from: the window, close.
 */


#include "ngx_mqtt_client.h"


#define NGX_MQTT_BEHIND_MAX   5000     /* ms */
#define NGX_MQTT_BEHIND_MUTE  1000     /* ms without an acknowledgement */


static ngx_uint_t ngx_mqtt_client_waits(ngx_mqtt_client_t *mc,
    ngx_uint_t part);
static void ngx_mqtt_client_not_behind(ngx_mqtt_worker_t *w,
    ngx_mqtt_window_t *window);


void
ngx_mqtt_client_behind(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_worker_t  *w;
    ngx_mqtt_window_t  *window;

    w = mc->worker;
    window = &mc->extra->window;

    if (window->behind || window->given_up) {
        window->behind_acked = ngx_current_msec;

        if (!ngx_mqtt_client_waits(mc, 4)) {
            ngx_mqtt_client_behind_end(mc);
            window->given_up = 0;
        }

        return;
    }

    if (!ngx_mqtt_client_waits(mc, 2)) {
        return;
    }

    window->behind = 1;
    window->behind_time = ngx_current_msec;
    window->behind_acked = ngx_current_msec;

    ngx_queue_insert_tail(&w->behind, &window->behind_queue);
    w->slot->behind++;

    if (!w->behind_event.timer_set) {
        ngx_add_timer(&w->behind_event, NGX_MQTT_BEHIND_MUTE);
    }
}


/* more than this part of what may wait */

static ngx_uint_t
ngx_mqtt_client_waits(ngx_mqtt_client_t *mc, ngx_uint_t part)
{
    ngx_mqtt_window_t  *window;

    window = &mc->extra->window;

    return window->nwaiting > (ngx_uint_t) mc->conf->max_queued / part
           || window->waiting_size > mc->conf->max_queued_size / part;
}


void
ngx_mqtt_client_behind_end(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_not_behind(mc->worker, &mc->extra->window);
}


static void
ngx_mqtt_client_not_behind(ngx_mqtt_worker_t *w, ngx_mqtt_window_t *window)
{
    if (!window->behind) {
        return;
    }

    window->behind = 0;
    ngx_queue_remove(&window->behind_queue);

    if (--w->slot->behind == 0) {
        ngx_post_event(&w->resume_event, &ngx_posted_events);
    }
}


void
ngx_mqtt_client_behind_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q, *next;
    ngx_mqtt_window_t  *window;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    for (q = ngx_queue_head(&w->behind);
         q != ngx_queue_sentinel(&w->behind);
         q = next)
    {
        next = ngx_queue_next(q);
        window = ngx_queue_data(q, ngx_mqtt_window_t, behind_queue);

        if (ngx_current_msec - window->behind_acked >= NGX_MQTT_BEHIND_MUTE
            || ngx_current_msec - window->behind_time >= NGX_MQTT_BEHIND_MAX)
        {
            window->given_up = 1;
            ngx_mqtt_client_not_behind(w, window);
        }
    }

    if (!ngx_queue_empty(&w->behind)) {
        ngx_add_timer(ev, NGX_MQTT_BEHIND_MUTE);
    }
}
