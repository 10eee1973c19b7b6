
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A gateway in a worker: the engines in the order in which they need each
 * other, and backwards at the end.
 *
 * Called from: stream/ in init_process and exit_process.
 */


#include "ngx_mqtt_gateway.h"
#include "ngx_mqtt_auth.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_kafka.h"
#include "ngx_mqtt_log.h"
#include "ngx_mqtt_nodes.h"
#include "ngx_mqtt_redis.h"
#include "ngx_mqtt_retain.h"
#include "ngx_mqtt_session.h"


/* what Redis may take of the time that nginx gives a worker to exit */

#define NGX_MQTT_GATEWAY_LEAVE  300    /* ms */


static void ngx_mqtt_gateway_leave(ngx_mqtt_worker_t *w);
static void ngx_mqtt_gateway_dead(ngx_mqtt_worker_t *w, ngx_str_t *owner);
static void ngx_mqtt_gateway_complete(ngx_mqtt_worker_t *w);
static void ngx_mqtt_gateway_drained(ngx_mqtt_worker_t *w);
static void ngx_mqtt_gateway_resumed(ngx_mqtt_worker_t *w);


ngx_int_t
ngx_mqtt_gateway_start(ngx_mqtt_gateway_t *gw, ngx_cycle_t *cycle,
    ngx_mqtt_hooks_t *hooks)
{
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_worker_create(gw, cycle, hooks, ngx_mqtt_drain_start);
    if (w == NULL) {
        return NGX_ERROR;
    }

    gw->worker = w;

    if (ngx_mqtt_bus_start(w) != NGX_OK
        || ngx_mqtt_directory_start(w) != NGX_OK
        || ngx_mqtt_route_start(w) != NGX_OK
        || ngx_mqtt_redis_start(w) != NGX_OK
        || ngx_mqtt_session_start(w) != NGX_OK
        || ngx_mqtt_watch_start(w) != NGX_OK
        || ngx_mqtt_retain_start(w) != NGX_OK
        || ngx_mqtt_log_start(w) != NGX_OK
        || ngx_mqtt_nodes_start(w) != NGX_OK
        || ngx_mqtt_auth_start(w) != NGX_OK
        || ngx_mqtt_deliver_start(w) != NGX_OK
        || ngx_mqtt_p2p_start(w) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_mqtt_session_on_publish(w, ngx_mqtt_will_publish);
    ngx_mqtt_session_on_detach(w, ngx_mqtt_log_detach);
    ngx_mqtt_session_on_dead(w, ngx_mqtt_gateway_dead);
    ngx_mqtt_bus_on_drained(w->bus, ngx_mqtt_gateway_drained);

    if (gw->kafka == NULL) {
        return NGX_OK;
    }

    if (ngx_mqtt_kafka_start(w, ngx_mqtt_gateway_drained) != NGX_OK
        || ngx_mqtt_status_start(w) != NGX_OK
        || ngx_mqtt_kafka_consume(w, ngx_mqtt_deliver_record) != NGX_OK)
    {
        return NGX_ERROR;
    }

    w->on_resume = ngx_mqtt_gateway_resumed;

    return NGX_OK;
}


void
ngx_mqtt_gateway_stop(ngx_mqtt_gateway_t *gw)
{
    ngx_mqtt_worker_t  *w;

    w = gw->worker;

    if (w == NULL) {
        return;
    }

    w->stopping = 1;

    ngx_mqtt_gateway_leave(w);
    ngx_mqtt_will_stop(w);

    if (w->kafka) {
        ngx_mqtt_kafka_stop(w);
    }

    if (w->deliver) {
        ngx_mqtt_deliver_stop(w);
    }

    if (w->auth) {
        ngx_mqtt_auth_stop(w);
    }

    if (w->route) {
        ngx_mqtt_route_stop(w);
    }

    if (w->directory) {
        ngx_mqtt_directory_stop(w);
    }

    if (w->bus) {
        ngx_mqtt_bus_stop(w);
    }

    if (w->nodes) {
        ngx_mqtt_nodes_close(w);
    }

    if (w->redis) {
        ngx_mqtt_redis_stop(w);
    }

    ngx_mqtt_gateway_complete(w);

    if (w->p2p) {
        ngx_mqtt_p2p_stop(w);
        ngx_mqtt_gateway_complete(w);
    }

    if (w->status) {
        ngx_mqtt_status_stop(w);
        ngx_mqtt_gateway_complete(w);
    }

    if (w->nodes) {
        ngx_mqtt_nodes_stop(w);
    }

    if (w->logs) {
        ngx_mqtt_log_stop(w);
    }

    if (w->retain) {
        ngx_mqtt_retain_stop(w);
    }

    if (w->sessions) {
        ngx_mqtt_session_stop(w);
    }

    ngx_mqtt_worker_destroy(w);

    gw->worker = NULL;
}


/*
 * The sessions of the clients that are left are released; whoever is not left
 * the time to do that is taken over, as after a planned end.
 */

static void
ngx_mqtt_gateway_leave(ngx_mqtt_worker_t *w)
{
    if (w->sessions == NULL) {
        w->hooks->stop(w);
        return;
    }

    ngx_mqtt_session_leave_begin(w);

    w->hooks->stop(w);

    ngx_mqtt_group_leave(w);
    ngx_mqtt_nodes_leave(w);

    ngx_mqtt_redis_finish(w, NGX_MQTT_GATEWAY_LEAVE);

    if (ngx_mqtt_redis_pending(w->redis) == 0) {
        ngx_mqtt_session_leave_end(w);
        ngx_mqtt_redis_finish(w, NGX_MQTT_GATEWAY_LEAVE);
    }
}


/* another worker, by its name in Redis */

static void
ngx_mqtt_gateway_dead(ngx_mqtt_worker_t *w, ngx_str_t *owner)
{
    ngx_mqtt_inbox_drop(w, owner);
    ngx_mqtt_group_dead(w, owner);
}


/* the engines have posted what they gave up, completions may post more */

static void
ngx_mqtt_gateway_complete(ngx_mqtt_worker_t *w)
{
    while (!ngx_queue_empty(&w->ops_completed)) {
        ngx_mqtt_op_handler(&w->op_event);
    }
}


/* Kafka or the bus has room; posted, as it may be found inside of a send */

static void
ngx_mqtt_gateway_drained(ngx_mqtt_worker_t *w)
{
    ngx_post_event(&w->resume_event, &ngx_posted_events);
}


static void
ngx_mqtt_gateway_resumed(ngx_mqtt_worker_t *w)
{
    if (w->kafka) {
        ngx_mqtt_kafka_consume_resume(w->kafka);
        ngx_mqtt_status_resume(w);
    }
}
