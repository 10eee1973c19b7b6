
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * "tcpclean": it is told once, by whoever Redis says has to tell it, and what
 * is told stands in the session until Kafka has it.
 *
 *     connection gone --> held --Redis: ours--> produced --> noted in Redis
 *                          |  \--somebody else has taken it--> forgotten here
 *                          |
 *                          +--Redis has lost the session--> held until the
 *                                lease is renewed --> produced
 *
 * (1) The place of an event in the order of its client id is taken before
 *     Redis is asked, so that what another worker has to say of a connection
 *     that follows comes behind it.
 * (2) A session that is not there was lost by Redis, or ended by whoever has
 *     taken over from this worker: the next answer to its lease tells which.
 * (3) What is told of a connection of a worker that is dead is not under the
 *     bound of this one: session/ does not take more than it may.
 *
 * Called from: session/.
 */


#include "ngx_mqtt_status_int.h"


static void ngx_mqtt_status_tell(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, ngx_str_t *connection, ngx_mqtt_op_t *op);
static ngx_mqtt_status_entry_t *ngx_mqtt_status_entry(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch);
static ngx_mqtt_msg_t *ngx_mqtt_status_of_connection(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch, ngx_str_t *connection);
static void ngx_mqtt_status_expect(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch);
static void ngx_mqtt_status_settle(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch, ngx_uint_t forgotten);
static ngx_mqtt_status_entry_t *ngx_mqtt_status_held(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id, uint64_t epoch);
static void ngx_mqtt_status_leased(ngx_mqtt_worker_t *w, ngx_uint_t lost);


ngx_mqtt_session_ends_t  ngx_mqtt_status_ends = {
    ngx_mqtt_status_tell,
    ngx_mqtt_status_expect,
    ngx_mqtt_status_settle,
    ngx_mqtt_status_leased
};


static void
ngx_mqtt_status_tell(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, ngx_str_t *connection, ngx_mqtt_op_t *op)
{
    ngx_uint_t                cell;
    ngx_mqtt_status_entry_t  *e;

    if (w->status == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_SHUTTING_DOWN);
        return;
    }

    if (ngx_mqtt_status_topic(w, client_id) == NGX_MQTT_KAFKA_NO_TOPIC) {

        /* of a configuration in which it was to be told */

        ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
        return;
    }

    e = ngx_mqtt_status_entry(w, client_id, epoch);

    if (e == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    cell = e->cell;

    if (e->msg == NULL) {
        e->msg = ngx_mqtt_status_of_connection(w, client_id, epoch,
                                               connection);
    }

    if (e->msg) {
        e->epoch = epoch;
        e->held = 0;
        e->op = op;

    } else {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        ngx_mqtt_status_free(e);
    }

    (void) ngx_mqtt_status_send(w, cell);
}


/* the one that is held, one that was expected, or a new one */

static ngx_mqtt_status_entry_t *
ngx_mqtt_status_entry(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch)
{
    ngx_mqtt_status_entry_t  *e;

    e = ngx_mqtt_status_held(w, client_id, epoch);

    if (e == NULL) {
        e = ngx_mqtt_status_held(w, client_id, 0);
    }

    if (e == NULL) {
        e = ngx_mqtt_status_add(w, client_id,
                                ngx_mqtt_status_topic(w, client_id));
    }

    return e;
}


static ngx_mqtt_msg_t *
ngx_mqtt_status_of_connection(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, ngx_str_t *connection)
{
    ngx_mqtt_status_event_t  ev;

    ngx_mqtt_status_read(connection, &ev);

    ev.client_id = *client_id;
    ev.epoch = epoch;
    ev.event = NGX_MQTT_STATUS_TCPCLEAN;
    ev.reason = NGX_MQTT_STATUS_NO_WORKER;

    return ngx_mqtt_status_json(w, &ev);
}


static void
ngx_mqtt_status_expect(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch)
{
    ngx_uint_t                topic;
    ngx_mqtt_status_entry_t  *e;

    if (w->status == NULL) {
        return;
    }

    topic = ngx_mqtt_status_topic(w, client_id);

    if (topic == NGX_MQTT_KAFKA_NO_TOPIC) {
        return;
    }

    e = ngx_mqtt_status_add(w, client_id, topic);

    if (e) {
        e->epoch = epoch;
        e->held = 1;
    }
}


static void
ngx_mqtt_status_settle(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, ngx_uint_t forgotten)
{
    ngx_uint_t                cell;
    ngx_mqtt_status_entry_t  *e;

    if (w->status == NULL) {
        return;
    }

    e = ngx_mqtt_status_held(w, client_id, epoch);

    if (e == NULL) {
        return;
    }

    if (forgotten) {
        e->forgotten = 1;
        return;
    }

    cell = e->cell;

    ngx_mqtt_status_free(e);
    (void) ngx_mqtt_status_send(w, cell);
}


static ngx_mqtt_status_entry_t *
ngx_mqtt_status_held(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch)
{
    ngx_queue_t              *q, *cell;
    ngx_mqtt_status_entry_t  *e;

    cell = &w->status->cells[ngx_mqtt_status_cell(w, client_id)];

    for (q = ngx_queue_head(cell); q != cell; q = ngx_queue_next(q)) {
        e = ngx_queue_data(q, ngx_mqtt_status_entry_t, queue);

        if (e->held && e->epoch == epoch
            && e->client_id.len == client_id->len
            && ngx_memcmp(e->client_id.data, client_id->data, client_id->len)
               == 0)
        {
            return e;
        }
    }

    return NULL;
}


static void
ngx_mqtt_status_leased(ngx_mqtt_worker_t *w, ngx_uint_t lost)
{
    ngx_uint_t                i;
    ngx_queue_t              *q, *next, *cell;
    ngx_mqtt_status_entry_t  *e;

    if (w->status == NULL) {
        return;
    }

    for (i = 0; i < NGX_MQTT_STATUS_CELLS; i++) {
        cell = &w->status->cells[i];

        for (q = ngx_queue_head(cell); q != cell; q = next) {
            next = ngx_queue_next(q);
            e = ngx_queue_data(q, ngx_mqtt_status_entry_t, queue);

            if (e->held && lost) {

                /* what is ours to tell after all comes with its answer */

                ngx_mqtt_status_free(e);

            } else if (e->forgotten) {
                e->forgotten = 0;
                e->held = 0;
            }
        }

        (void) ngx_mqtt_status_send(w, i);
    }
}
