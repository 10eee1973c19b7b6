
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The end of a worker that quits (reload, shutdown, upgrade).
 *
 * (1) Clients are disconnected at drain_rate per second, so that a fleet does
 *     not come back all at once; each may first get the acknowledgements it
 *     is owed, for at most NGX_MQTT_DRAIN_WAIT.
 * (2) One timer that is not cancelable holds the worker (P20) until the last
 *     client, Kafka record and Redis command is gone.
 * (3) Nothing more is taken from Kafka: the worker that follows does that.
 * (4) worker_shutdown_timeout ends the waiting: what is not acknowledged then
 *     never was, and the device sends it again.
 *
 * Called from: the quit event of base/, its own timer.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_kafka.h"
#include "ngx_mqtt_nodes.h"
#include "ngx_mqtt_redis.h"
#include "ngx_mqtt_session.h"


#define NGX_MQTT_DRAIN_TICK  50        /* ms */
#define NGX_MQTT_DRAIN_WAIT  10000     /* ms */


static void ngx_mqtt_drain_clients(ngx_mqtt_worker_t *w);
static ngx_uint_t ngx_mqtt_drain_is_over(ngx_mqtt_worker_t *w);


void
ngx_mqtt_drain_start(ngx_mqtt_worker_t *w)
{
    if (!w->draining) {
        w->draining = 1;
        w->slot->exiting = 1;
        w->drain_deadline = ngx_current_msec + NGX_MQTT_DRAIN_WAIT;

        if (w->kafka) {
            ngx_mqtt_kafka_leave(w->kafka);
        }

        w->drain_event.handler = ngx_mqtt_drain_handler;
        w->drain_event.data = &w->ident;
        w->drain_event.log = w->log;

        ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                      "mqtt_gateway \"%V\" drains %uA clients",
                      &w->gateway->name,
                      w->counters[NGX_MQTT_STAT_clients]);
    }

    /* not from here: nginx is walking over the connections */

    if (!w->drain_event.timer_set) {
        ngx_add_timer(&w->drain_event, 1);
    }
}


void
ngx_mqtt_drain_handler(ngx_event_t *ev)
{
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    ngx_mqtt_drain_clients(w);

    if (ngx_mqtt_drain_is_over(w)) {
        ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                      "mqtt_gateway \"%V\" is drained", &w->gateway->name);
        return;
    }

    ngx_add_timer(ev, NGX_MQTT_DRAIN_TICK);
}


static void
ngx_mqtt_drain_clients(ngx_mqtt_worker_t *w)
{
    ngx_uint_t    rate, force;
    ngx_queue_t  *q, *next;

    rate = (ngx_uint_t) w->gateway->drain_rate;
    force = w->drain_forced
            || (ngx_msec_int_t) (ngx_current_msec - w->drain_deadline) >= 0;

    /* what was not used, because clients had to wait, is not made up for */

    w->drain_tokens = ngx_min(w->drain_tokens, 1000)
                      + rate * NGX_MQTT_DRAIN_TICK;

    for (q = ngx_queue_head(&w->connections);
         q != ngx_queue_sentinel(&w->connections);
         q = next)
    {
        next = ngx_queue_next(q);

        if (rate && !w->drain_forced && w->drain_tokens < 1000) {
            return;
        }

        if (w->hooks->disconnect(w, q, force) == NGX_OK && rate
            && w->drain_tokens >= 1000)
        {
            w->drain_tokens -= 1000;
        }
    }
}


static ngx_uint_t
ngx_mqtt_drain_is_over(ngx_mqtt_worker_t *w)
{
    if (!ngx_queue_empty(&w->connections)) {
        return 0;
    }

    ngx_mqtt_nodes_leave(w);

    if (w->drain_forced) {
        return 1;
    }

    if (w->kafka
        && (ngx_mqtt_kafka_pending(w->kafka)
            || ngx_mqtt_kafka_consuming(w->kafka)))
    {
        return 0;
    }

    return ngx_mqtt_redis_pending(w->redis) == 0
           && ngx_mqtt_p2p_pending(w) == 0
           && ngx_mqtt_status_pending(w) == 0
           && ngx_mqtt_session_pending(w) == 0;
}
