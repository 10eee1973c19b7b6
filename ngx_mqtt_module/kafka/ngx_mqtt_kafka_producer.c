
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Records to Kafka, delivery reports back.
 *
 * (1) A record taken is an entry of k->entries, in the order of produce(),
 *     until its fate is known: Kafka has it, or refuses it for good.
 * (2) A failure that tells nothing about the record (time-out, transport, a
 *     purged queue, a lost producer) is no fate: the record waits and is
 *     produced again.  While one waits, new ones wait behind it.
 * (3) A producer that lost its state, or needs smaller batches, is replaced;
 *     its records are produced again by the new one, in order, once every
 *     report of the old one is in.
 * (4) Nothing is allocated to survive a failure: key and record are in the
 *     entry, headers come back with the report.
 * (5) Memory is bounded by our own count of bytes and records; librdkafka's
 *     bound is set out of reach.
 *
 * Called from: gateway/ (produce, full), kafka/.  One worker, no locks.
 */


#include "ngx_mqtt_kafka_core.h"


/* reports or records handled in one turn of the loop */

#define NGX_MQTT_KAFKA_BATCH           1000

/* at the end of the worker */

#define NGX_MQTT_KAFKA_STOP            200


static void ngx_mqtt_kafka_wait(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e);
static ngx_int_t ngx_mqtt_kafka_send(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e);
static rd_kafka_resp_err_t ngx_mqtt_kafka_enqueue(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e);
static ngx_int_t ngx_mqtt_kafka_reports(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event);
static void ngx_mqtt_kafka_acknowledged(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e);
static void ngx_mqtt_kafka_failed(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e, rd_kafka_message_t *rkm);
static void ngx_mqtt_kafka_turn(ngx_mqtt_kafka_handle_t *h);
static void ngx_mqtt_kafka_resend(ngx_mqtt_kafka_t *k);


#define ngx_mqtt_kafka_at_qos0_bound(k)                                       \
    ((k)->size >= (k)->conf->qos0_size                                        \
     || (k)->messages >= (k)->conf->qos0_messages)

#define ngx_mqtt_kafka_at_half(k)                                             \
    ((k)->size <= (k)->conf->queue_size / 2                                   \
     && (k)->messages <= (k)->conf->queue_messages / 2)


ngx_int_t
ngx_mqtt_kafka_produce(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_record_t *rec,
    ngx_uint_t droppable, ngx_mqtt_op_t *op)
{
    ngx_mqtt_kafka_entry_t  *e;

    if (ngx_mqtt_kafka_at_bound(k)
        || (droppable && ngx_mqtt_kafka_at_qos0_bound(k)))
    {
        return NGX_BUSY;
    }

    e = ngx_mqtt_kafka_entry_create(k, rec, op);

    if (e == NULL) {

        /* no memory is a bound too: the next beat tells when to go on */

        k->full = 1;
        return NGX_BUSY;
    }

    ngx_mqtt_kafka_entry_add(k, e);

    if (k->waiting || k->lost) {
        ngx_mqtt_kafka_wait(k, e);
        return NGX_OK;
    }

    if (ngx_mqtt_kafka_send(k, e) == NGX_AGAIN) {
        ngx_mqtt_kafka_wait(k, e);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_kafka_full(ngx_mqtt_kafka_t *k)
{
    return ngx_mqtt_kafka_at_bound(k);
}


ngx_uint_t
ngx_mqtt_kafka_dead_letter_topic(ngx_mqtt_kafka_t *k)
{
    return k->conf->dead_letter;
}


ngx_uint_t
ngx_mqtt_kafka_pending(ngx_mqtt_kafka_t *k)
{
    return k ? k->messages : 0;
}


static void
ngx_mqtt_kafka_wait(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e)
{
    if (!e->waiting) {
        e->waiting = 1;
        k->waiting++;
    }
}


/*
 * NGX_OK: librdkafka has the record, or it was refused and the op was posted;
 * NGX_AGAIN: not now.
 */

static ngx_int_t
ngx_mqtt_kafka_send(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e)
{
    ngx_int_t             rc;
    rd_kafka_resp_err_t   err;

    do {
        err = ngx_mqtt_kafka_enqueue(k, e);

        if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            e->headers = NULL;

            if (e->waiting) {
                e->waiting = 0;
                k->waiting--;
            }

            return NGX_OK;
        }

        if (err == RD_KAFKA_RESP_ERR__FATAL) {
            ngx_mqtt_kafka_fatal(&k->producer);
            return NGX_AGAIN;
        }

        rc = ngx_mqtt_kafka_refuse(k, e, err);

    } while (rc == NGX_DECLINED);

    return rc;
}


static rd_kafka_resp_err_t
ngx_mqtt_kafka_enqueue(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e)
{
    ngx_str_t            *payload;
    rd_kafka_vu_t         vus[6];
    rd_kafka_error_t     *error;
    rd_kafka_resp_err_t   err;

    payload = &e->msg->payload;

    vus[0].vtype = RD_KAFKA_VTYPE_RKT;
    vus[0].u.rkt = k->topics[e->topic].rkt;

    /* an empty value must not become a null one, a tombstone */

    vus[1].vtype = RD_KAFKA_VTYPE_VALUE;
    vus[1].u.mem.ptr = payload->len ? payload->data : (u_char *) "";
    vus[1].u.mem.size = payload->len;

    vus[2].vtype = RD_KAFKA_VTYPE_KEY;
    vus[2].u.mem.ptr = e->key;
    vus[2].u.mem.size = e->key_len;

    vus[3].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    vus[3].u.i64 = (int64_t) e->timestamp;

    vus[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
    vus[4].u.ptr = e;

    vus[5].vtype = RD_KAFKA_VTYPE_HEADERS;
    vus[5].u.headers = e->headers;

    error = rd_kafka_produceva(k->producer.client, vus, 6);

    if (error == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }

    err = rd_kafka_error_is_fatal(error) ? RD_KAFKA_RESP_ERR__FATAL
                                         : rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);

    return err;
}


static ngx_int_t
ngx_mqtt_kafka_reports(ngx_mqtt_kafka_handle_t *h, rd_kafka_event_t *event)
{
    ngx_uint_t               n;
    ngx_mqtt_kafka_t        *k;
    rd_kafka_message_t      *rkm;
    ngx_mqtt_kafka_entry_t  *e;

    if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_DR) {
        return NGX_OK;
    }

    k = h->kafka;

    if (!k->partial) {
        k->oversized = (rd_kafka_event_error(event)
                        == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                        && rd_kafka_event_message_count(event) > 1);
    }

    if (k->oversized) {
        ngx_mqtt_kafka_shrink(k);
    }

    for (n = 0; n < NGX_MQTT_KAFKA_BATCH; n++) {

        rkm = (rd_kafka_message_t *) rd_kafka_event_message_next(event);

        if (rkm == NULL) {
            k->partial = 0;
            return NGX_OK;
        }

        e = rkm->_private;

        if (rkm->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            ngx_mqtt_kafka_acknowledged(k, e);

        } else {
            ngx_mqtt_kafka_failed(k, e, rkm);
        }
    }

    k->partial = 1;

    return NGX_AGAIN;
}


static void
ngx_mqtt_kafka_acknowledged(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e)
{
    ngx_mqtt_op_t  *op;

    ngx_mqtt_kafka_up(&k->producer);

    if (!e->dead_letter) {
        ngx_mqtt_count(k->worker, NGX_MQTT_STAT_kafka_acked);
    }

    op = ngx_mqtt_kafka_entry_free(k, e);

    if (op) {
        ngx_mqtt_op_complete(op, NGX_OK, NGX_MQTT_SUCCESS, NULL);
    }
}


static void
ngx_mqtt_kafka_failed(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e,
    rd_kafka_message_t *rkm)
{
    ngx_int_t  rc;

    if (rd_kafka_message_detach_headers(rkm, &e->headers)
        != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        e->headers = NULL;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_STREAM, k->log, 0,
                   "mqtt kafka record failed: topic %ui, error %d, status %d",
                   e->topic, rkm->err, rd_kafka_message_status(rkm));

    if (k->oversized || ngx_mqtt_kafka_doubtful(k)) {
        ngx_mqtt_kafka_wait(k, e);
        return;
    }

    rc = ngx_mqtt_kafka_refuse(k, e, rkm->err);

    if (rc == NGX_DECLINED) {
        rc = ngx_mqtt_kafka_send(k, e);
    }

    if (rc == NGX_AGAIN) {
        ngx_mqtt_kafka_wait(k, e);
    }
}


/* the end of a turn of the pump */

static void
ngx_mqtt_kafka_turn(ngx_mqtt_kafka_handle_t *h)
{
    ngx_mqtt_kafka_t  *k;

    k = h->kafka;

    if (k->lost) {
        ngx_mqtt_kafka_replace(k);
    }

    if (k->resend && !k->lost) {
        ngx_mqtt_kafka_resend(k);
    }

    if (k->careful && !k->lost && !k->waiting) {
        ngx_mqtt_kafka_relax(k);
    }

    if (k->full && ngx_mqtt_kafka_at_half(k)) {
        k->full = 0;
        k->on_drained(k->worker);
    }
}


/* produces what waits, in order, as much as one turn allows */

static void
ngx_mqtt_kafka_resend(ngx_mqtt_kafka_t *k)
{
    ngx_uint_t               n;
    ngx_queue_t             *q, *next;
    ngx_mqtt_kafka_entry_t  *e;

    n = 0;

    for (q = ngx_queue_head(&k->entries);
         q != ngx_queue_sentinel(&k->entries) && k->waiting;
         q = next)
    {
        next = ngx_queue_next(q);
        e = ngx_queue_data(q, ngx_mqtt_kafka_entry_t, queue);

        if (!e->waiting) {
            continue;
        }

        if (n++ == NGX_MQTT_KAFKA_BATCH) {
            ngx_post_event(k->producer.connection->read,
                           &ngx_posted_next_events);
            return;
        }

        if (ngx_mqtt_kafka_send(k, e) == NGX_AGAIN) {
            break;
        }
    }

    k->resend = 0;
}


ngx_int_t
ngx_mqtt_kafka_producer_start(ngx_mqtt_kafka_t *k)
{
    ngx_int_t    rc;
    ngx_str_t   *name;
    ngx_uint_t   i;

    ngx_queue_init(&k->entries);

    k->ntopics = k->conf->topics.nelts;

    k->topics = ngx_pcalloc(k->worker->cycle->pool,
                            k->ntopics * sizeof(ngx_mqtt_kafka_topic_t));
    if (k->topics == NULL) {
        return NGX_ERROR;
    }

    k->topics_size = k->ntopics;

    name = k->conf->topics.elts;

    for (i = 0; i < k->ntopics; i++) {
        k->topics[i].name = name[i];
    }

    k->producer.kafka = k;
    k->producer.handler = ngx_mqtt_kafka_reports;
    k->producer.on_fatal = ngx_mqtt_kafka_fatal;
    k->producer.on_turn = ngx_mqtt_kafka_turn;
    k->producer.events = RD_KAFKA_EVENT_DR;

    rc = ngx_mqtt_kafka_producer_open(k);

    if (rc == NGX_DECLINED) {

        /* a key file that cannot be read, say: as if Kafka were down */

        k->lost = 1;
        k->replace_time = ngx_current_msec + NGX_MQTT_KAFKA_LEAST_AGE;

        return NGX_OK;
    }

    return rc;
}


ngx_int_t
ngx_mqtt_kafka_producer_open(ngx_mqtt_kafka_t *k)
{
    u_char                    size[NGX_INT_T_LEN + 1];
    ngx_int_t                 rc;
    ngx_uint_t                i;
    rd_kafka_conf_t          *properties;
    ngx_mqtt_kafka_topic_t   *t;
    ngx_mqtt_kafka_handle_t  *h;

    h = &k->producer;

    properties = rd_kafka_conf_dup(k->conf->properties);

    if (k->batch_size) {
        ngx_sprintf(size, "%ui%Z", k->batch_size);
        (void) rd_kafka_conf_set(properties, "batch.size", (char *) size,
                                 NULL, 0);
    }

    if (k->careful) {
        (void) rd_kafka_conf_set(properties, "max.in.flight", "1", NULL, 0);
        (void) rd_kafka_conf_set(properties, "enable.gapless.guarantee",
                                 "true", NULL, 0);
    }

    rc = ngx_mqtt_kafka_open(h, RD_KAFKA_PRODUCER, properties);

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < k->ntopics; i++) {
        t = &k->topics[i];

        t->rkt = rd_kafka_topic_new(h->client, (char *) t->name.data, NULL);

        if (t->rkt == NULL) {
            ngx_log_error(NGX_LOG_EMERG, k->log, 0,
                          "Kafka topic \"%V\" is not usable: %s", &t->name,
                          rd_kafka_err2str(rd_kafka_last_error()));

            ngx_mqtt_kafka_producer_close(k);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_mqtt_kafka_producer_close(ngx_mqtt_kafka_t *k)
{
    ngx_uint_t  i;

    for (i = 0; i < k->ntopics; i++) {

        if (k->topics[i].rkt) {
            rd_kafka_topic_destroy(k->topics[i].rkt);
            k->topics[i].rkt = NULL;
        }
    }

    ngx_mqtt_kafka_close(&k->producer);
}


/* once a second */

void
ngx_mqtt_kafka_producer_beat(ngx_mqtt_kafka_t *k)
{
    if (k->waiting) {
        k->resend = 1;
    }

    if (k->producer.client) {
        ngx_mqtt_kafka_pump(&k->producer);

    } else {
        ngx_mqtt_kafka_turn(&k->producer);
    }
}


/* whatever is left was never acknowledged to anybody */

void
ngx_mqtt_kafka_producer_stop(ngx_mqtt_kafka_t *k)
{
    ngx_msec_t                start, passed;
    ngx_queue_t              *q;
    ngx_mqtt_op_t            *op;
    ngx_mqtt_kafka_entry_t   *e;
    ngx_mqtt_kafka_handle_t  *h;

    h = &k->producer;

    if (k->messages) {
        ngx_log_error(NGX_LOG_WARN, k->log, 0,
                      "%ui unacknowledged record(s) of mqtt gateway \"%V\" "
                      "are given up", k->messages,
                      &k->worker->gateway->name);
    }

    if (h->client && ngx_mqtt_kafka_sent(k)) {
        k->lost = 1;
        k->careful = 0;

        ngx_mqtt_kafka_purge(h);

        ngx_time_update();
        start = ngx_current_msec;
        passed = 0;

        while (ngx_mqtt_kafka_sent(k) && passed < NGX_MQTT_KAFKA_STOP) {
            (void) ngx_mqtt_kafka_drain(h, NGX_MQTT_KAFKA_STOP - passed);

            ngx_time_update();
            passed = ngx_current_msec - start;
        }
    }

    ngx_mqtt_kafka_producer_close(k);
    ngx_mqtt_hash_free(&k->named);

    while (!ngx_queue_empty(&k->entries)) {
        q = ngx_queue_head(&k->entries);
        e = ngx_queue_data(q, ngx_mqtt_kafka_entry_t, queue);

        op = ngx_mqtt_kafka_entry_free(k, e);

        if (op) {
            ngx_mqtt_op_complete(op, NGX_ERROR, NGX_MQTT_SERVER_SHUTTING_DOWN,
                                 NULL);
        }
    }
}
