
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * deliver(): the one entrance of messages that come from Kafka:
 *
 *     record -> message -> retained if asked -> P2P or route
 *
 * (1) A record is done when every durable step is: Redis has the retained
 *     message; a frame to another worker is in the hands of the kernel, so
 *     that it arrives even if this process is killed; the client has the P2P
 *     message in its window, or Redis in the inbox of its session.  What a
 *     client on this worker has got lives and dies with its connection.
 * (2) Nothing is done while a worker with subscribers, or Redis, is at its
 *     bound, or a subscriber has to catch up, or Redis has refused to store
 *     something: the record comes again (promise G4).
 * (3) Records that this gateway has produced are skipped: their messages went
 *     to subscribers without waiting for Kafka.
 * (4) Messages of a partition reach each device in their order.  Those that
 *     wait for Redis go one of two ways, through logs or to one client, and
 *     while some are on one of them nothing goes another way.
 * (5) A record that cannot be understood is counted, logged once per topic and
 *     second, sent to the dead-letter topic if there is one, and done.
 *
 * Called from: kafka/ (records).
 */


#include "ngx_mqtt_deliver_int.h"
#include "ngx_mqtt_retain.h"


/* why and from where a dead letter came */

#define NGX_MQTT_DELIVER_HEADERS  2


/* the ways of messages that others might overtake */

#define NGX_MQTT_DELIVER_LOGS     1
#define NGX_MQTT_DELIVER_P2P      2


/* how often is looked whether subscribers have caught up, ms */

#define NGX_MQTT_DELIVER_RETRY    2


static void ngx_mqtt_deliver_retry(ngx_event_t *ev);
static ngx_mqtt_msg_t *ngx_mqtt_deliver_message(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl);
static uint64_t ngx_mqtt_deliver_received(int64_t timestamp);
static ngx_int_t ngx_mqtt_deliver_prepare(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_str_t *client_id, ngx_uint_t *way,
    ngx_mqtt_fanout_t *fo);
static ngx_mqtt_op_t *ngx_mqtt_deliver_next_step(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_str_t *client_id, ngx_mqtt_fanout_t *fo,
    ngx_uint_t retain, ngx_mqtt_join_t *join);
static ngx_int_t ngx_mqtt_deliver_poison(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, const char *error, ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_deliver_dead_letter(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, const char *error, ngx_mqtt_op_t *op);
static void ngx_mqtt_deliver_log_poison(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, const char *error);


ngx_int_t
ngx_mqtt_deliver_start(ngx_mqtt_worker_t *w)
{
    ngx_uint_t            i, n;
    ngx_mqtt_map_t       *map;
    ngx_mqtt_deliver_t   *dr;

    map = w->gateway->map;

    dr = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_deliver_t));
    if (dr == NULL) {
        return NGX_ERROR;
    }

    /* there are no more sources than entries */

    n = ngx_max(map->nentries, 1);

    dr->sources = ngx_pcalloc(w->cycle->pool,
                              n * sizeof(ngx_mqtt_deliver_source_t));
    if (dr->sources == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < map->nentries; i++) {

        if (map->entries[i].direction & NGX_MQTT_MAP_DOWNLINK) {
            dr->sources[map->entries[i].source].entry = &map->entries[i];
        }
    }

    dr->retry.handler = ngx_mqtt_deliver_retry;
    dr->retry.data = &w->ident;
    dr->retry.log = w->log;
    dr->retry.cancelable = 1;

    w->deliver = dr;

    ngx_mqtt_deliver_again_start(w);

    return NGX_OK;
}


void
ngx_mqtt_deliver_stop(ngx_mqtt_worker_t *w)
{
    if (w->deliver->retry.timer_set) {
        ngx_del_timer(&w->deliver->retry);
    }

    ngx_mqtt_deliver_again_stop(w);

    w->deliver = NULL;
}


static void
ngx_mqtt_deliver_retry(ngx_event_t *ev)
{
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    ngx_mqtt_kafka_consume_resume(w->kafka);
}


ngx_int_t
ngx_mqtt_deliver_record(ngx_mqtt_worker_t *w, ngx_mqtt_kafka_consumed_t *rec,
    ngx_mqtt_op_t *op)
{
    ngx_int_t                 rc;
    ngx_str_t                *parent;
    ngx_mqtt_msg_t           *m;
    ngx_mqtt_map_downlink_t   dl;

    parent = &w->deliver->sources[rec->source].entry->parent;

    rc = ngx_mqtt_map_decode(parent, &w->gateway->name, rec->headers,
                             rec->nheaders, &dl);

    if (rc == NGX_DONE) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_own);
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        rec->way = 0;
        return ngx_mqtt_deliver_poison(w, rec, dl.error, op);
    }

    m = ngx_mqtt_deliver_message(w, rec, parent, &dl);
    if (m == NULL) {
        return NGX_BUSY;
    }

    rc = ngx_mqtt_deliver(w, m, dl.p2p.len ? &dl.p2p : NULL, &rec->way, op);

    ngx_mqtt_msg_unref(m);

    return rc;
}


static ngx_mqtt_msg_t *
ngx_mqtt_deliver_message(ngx_mqtt_worker_t *w, ngx_mqtt_kafka_consumed_t *rec,
    ngx_str_t *parent, ngx_mqtt_map_downlink_t *dl)
{
    u_char          *p;
    ngx_mqtt_msg_t  *m;

    m = ngx_mqtt_msg_create(w, dl->topic_len + rec->value.len + dl->props_len
                               + dl->real_len);
    if (m == NULL) {
        return NULL;
    }

    p = ngx_mqtt_msg_data(m);

    m->topic.data = p;
    m->topic.len = dl->topic_len;
    p = ngx_mqtt_map_write_topic(p, parent, dl);

    m->payload.data = p;
    m->payload.len = rec->value.len;

    if (rec->value.len) {
        p = ngx_cpymem(p, rec->value.data, rec->value.len);
    }

    m->props.data = p;
    m->props.len = dl->props_len;
    p = ngx_mqtt_map_write_props(p, rec->headers, rec->nheaders, dl);

    m->real.data = p;
    m->real.len = dl->real_len;
    p = ngx_mqtt_map_write_real(p, parent, dl);

    m->origin.data = p;
    m->origin.len = 0;

    m->received = ngx_mqtt_deliver_received(rec->timestamp);
    m->expiry = dl->expiry;
    m->has_expiry = dl->has_expiry;
    m->qos = dl->qos;
    m->retain = dl->retain;
    m->clean = dl->clean;

    return m;
}


/* what a producer with a fast clock has sent does not live longer */

static uint64_t
ngx_mqtt_deliver_received(int64_t timestamp)
{
    uint64_t     now;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;

    return (timestamp >= 0 && (uint64_t) timestamp < now)
           ? (uint64_t) timestamp : now;
}


ngx_int_t
ngx_mqtt_deliver(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m, ngx_str_t *client_id,
    ngx_uint_t *way, ngx_mqtt_op_t *op)
{
    ngx_int_t            rc;
    ngx_uint_t           reason;
    ngx_mqtt_op_t       *step;
    ngx_mqtt_join_t     *join;
    ngx_mqtt_fanout_t    fo;

    if (ngx_mqtt_msg_expired(m)) {
        *way = 0;
        return NGX_OK;
    }

    rc = ngx_mqtt_deliver_prepare(w, m, client_id, way, &fo);

    if (rc != NGX_OK) {
        return rc;
    }

    join = ngx_mqtt_join_create(w, op);
    if (join == NULL) {
        return NGX_BUSY;
    }

    /* of what has to wait this comes first: without memory nothing is done */

    step = ngx_mqtt_deliver_next_step(w, m, client_id, &fo, m->retain, join);

    if (step == NULL && (m->retain || client_id || fo.waits)) {
        (void) ngx_mqtt_join_end(join);
        return NGX_BUSY;
    }

    if (m->retain) {
        ngx_mqtt_retain_store(w, m, step);
        step = ngx_mqtt_deliver_next_step(w, m, client_id, &fo, 0, join);
    }

    if (client_id) {

        if (ngx_mqtt_p2p_send(w, m, client_id, step, &reason) == NGX_OK) {
            ngx_mqtt_join_cancel(join, step);
        }

        return ngx_mqtt_join_end(join);
    }

    rc = ngx_mqtt_fanout(w, m, &fo, NULL, step);

    if (!fo.logged && rc != NGX_DECLINED) {
        ngx_mqtt_route_sent(w, &fo.workers, ngx_mqtt_join_step, join);
    }

    return ngx_mqtt_join_end(join);
}


/* nothing is done here, and everything can be in the same call */

static ngx_int_t
ngx_mqtt_deliver_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *client_id, ngx_uint_t *way, ngx_mqtt_fanout_t *fo)
{
    ngx_uint_t  inflight;

    fo->logged = 0;
    fo->waits = 0;

    if ((m->retain && ngx_mqtt_retain_busy(w))
        || (client_id && ngx_mqtt_p2p_busy(w))
        || (client_id == NULL
            && ngx_mqtt_fanout_prepare(w, m, fo) == NGX_BUSY))
    {
        return NGX_BUSY;
    }

    inflight = *way;
    *way = client_id ? NGX_MQTT_DELIVER_P2P
                     : (fo->logged ? NGX_MQTT_DELIVER_LOGS : 0);

    if (inflight && inflight != *way) {
        return NGX_DECLINED;
    }

    if ((m->retain || fo->waits) && ngx_mqtt_deliver_refused(w)) {
        return NGX_BUSY;
    }

    if (m->qos && ngx_mqtt_route_behind(w, client_id ? NULL : &fo->workers)) {

        if (!w->deliver->retry.timer_set) {
            ngx_add_timer(&w->deliver->retry, NGX_MQTT_DELIVER_RETRY);
        }

        return NGX_BUSY;
    }

    return NGX_OK;
}


/* NULL also when there is nothing to wait for */

static ngx_mqtt_op_t *
ngx_mqtt_deliver_next_step(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_str_t *client_id, ngx_mqtt_fanout_t *fo, ngx_uint_t retain,
    ngx_mqtt_join_t *join)
{
    if (retain) {
        return ngx_mqtt_deliver_step(w, m, NGX_MQTT_DELIVER_RETAIN, join);
    }

    if (client_id) {
        return ngx_mqtt_join_step(join);
    }

    if (!fo->waits) {
        return NULL;
    }

    return ngx_mqtt_deliver_step(w, m, fo->logged ? NGX_MQTT_DELIVER_FANOUT
                                                  : NGX_MQTT_DELIVER_NODES,
                                 join);
}


static ngx_int_t
ngx_mqtt_deliver_poison(ngx_mqtt_worker_t *w, ngx_mqtt_kafka_consumed_t *rec,
    const char *error, ngx_mqtt_op_t *op)
{
    ngx_int_t   rc;
    ngx_uint_t  topic;

    rc = NGX_OK;
    topic = ngx_mqtt_kafka_dead_letter_topic(w->kafka);

    if (topic != NGX_MQTT_KAFKA_NO_TOPIC) {
        rc = ngx_mqtt_deliver_dead_letter(w, rec, error, op);

        if (rc == NGX_BUSY) {
            return NGX_BUSY;
        }

        ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_dead_letters);
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_poison);

    ngx_mqtt_deliver_log_poison(w, rec, error);

    return rc;
}


/* the record as it was, and two headers more */

static ngx_int_t
ngx_mqtt_deliver_dead_letter(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, const char *error, ngx_mqtt_op_t *op)
{
    ngx_int_t                 rc;
    ngx_uint_t                n;
    ngx_keyval_t             *headers;
    ngx_mqtt_msg_t           *m;
    ngx_mqtt_kafka_record_t   dead;

    n = rec->nheaders + NGX_MQTT_DELIVER_HEADERS;
    rc = NGX_BUSY;

    m = ngx_mqtt_msg_create(w, rec->value.len);
    headers = ngx_mqtt_alloc(w, n * sizeof(ngx_keyval_t));

    if (m == NULL || headers == NULL) {
        goto done;
    }

    m->payload.data = ngx_mqtt_msg_data(m);
    m->payload.len = rec->value.len;

    if (rec->value.len) {
        ngx_memcpy(m->payload.data, rec->value.data, rec->value.len);
    }

    if (rec->nheaders) {
        ngx_memcpy(headers, rec->headers,
                   rec->nheaders * sizeof(ngx_keyval_t));
    }

    ngx_str_set(&headers[n - 2].key, "mqttDeadLetterReason");
    headers[n - 2].value.data = (u_char *) error;
    headers[n - 2].value.len = ngx_strlen(error);

    ngx_str_set(&headers[n - 1].key, "mqttDeadLetterTopic");
    headers[n - 1].value = *ngx_mqtt_kafka_source_name(w->kafka, rec->source);

    dead.topic = ngx_mqtt_kafka_dead_letter_topic(w->kafka);
    dead.key = rec->key;
    dead.msg = m;
    dead.headers = headers;
    dead.nheaders = n;
    dead.timestamp = rec->timestamp;

    if (ngx_mqtt_kafka_produce(w->kafka, &dead, 0, op) == NGX_OK) {
        rc = NGX_AGAIN;
    }

done:

    if (headers) {
        ngx_mqtt_free(w, headers, n * sizeof(ngx_keyval_t));
    }

    if (m) {
        ngx_mqtt_msg_unref(m);
    }

    return rc;
}


static void
ngx_mqtt_deliver_log_poison(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, const char *error)
{
    ngx_mqtt_deliver_source_t  *source;

    source = &w->deliver->sources[rec->source];
    source->poison++;

    if (source->poison_time == ngx_time()) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, w->log, 0,
                  "mqtt gateway \"%V\" did not understand %ui record(s) of "
                  "Kafka topic \"%V\", the last one, %L of partition %d: %s",
                  &w->gateway->name, source->poison,
                  ngx_mqtt_kafka_source_name(w->kafka, rec->source),
                  rec->offset, (int) rec->partition, error);

    source->poison_time = ngx_time();
    source->poison = 0;
}
