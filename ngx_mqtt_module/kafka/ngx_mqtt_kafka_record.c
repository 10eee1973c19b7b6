
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * One record: its memory, and what happens when Kafka refuses it.
 *
 * (1) A refusal is the record's own fate; whatever else went wrong is not:
 *     ngx_mqtt_kafka_refuse() draws the line.
 * (2) A refused record becomes a dead letter, once; its op then follows the
 *     dead letter, and the reason stays that of the first refusal.
 * (3) An op is posted, never completed in here: a refusal may be found inside
 *     produce().
 *
 * Called from: ngx_mqtt_kafka_producer.c.
 */


#include "ngx_mqtt_kafka_core.h"


/* what a record costs beyond its bytes: our entry, librdkafka's message */

#define NGX_MQTT_KAFKA_OVERHEAD        384
#define NGX_MQTT_KAFKA_HEADER_OVERHEAD 64


static ngx_int_t ngx_mqtt_kafka_entry_headers(ngx_mqtt_kafka_entry_t *e,
    ngx_mqtt_kafka_record_t *rec);
static ngx_uint_t ngx_mqtt_kafka_refusal(rd_kafka_resp_err_t err);
static void ngx_mqtt_kafka_dead_letter(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e, rd_kafka_resp_err_t err);
static void ngx_mqtt_kafka_log_refused(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e, rd_kafka_resp_err_t err);


ngx_mqtt_kafka_entry_t *
ngx_mqtt_kafka_entry_create(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_record_t *rec,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_kafka_entry_t  *e;

    e = ngx_mqtt_alloc(k->worker, sizeof(ngx_mqtt_kafka_entry_t)
                                  + rec->key.len);
    if (e == NULL) {
        return NULL;
    }

    ngx_memzero(e, sizeof(ngx_mqtt_kafka_entry_t));

    e->size = NGX_MQTT_KAFKA_OVERHEAD + sizeof(ngx_mqtt_msg_t)
              + rec->msg->size + rec->key.len;

    if (ngx_mqtt_kafka_entry_headers(e, rec) != NGX_OK) {
        rd_kafka_headers_destroy(e->headers);
        ngx_mqtt_free(k->worker, e, sizeof(ngx_mqtt_kafka_entry_t)
                                    + rec->key.len);
        return NULL;
    }

    e->msg = rec->msg;
    ngx_mqtt_msg_ref(e->msg);

    e->op = op;
    e->topic = rec->topic;
    e->timestamp = rec->timestamp;
    e->key_len = rec->key.len;

    if (rec->key.len) {
        ngx_memcpy(e->key, rec->key.data, rec->key.len);
    }

    return e;
}


static ngx_int_t
ngx_mqtt_kafka_entry_headers(ngx_mqtt_kafka_entry_t *e,
    ngx_mqtt_kafka_record_t *rec)
{
    ngx_uint_t     i;
    ngx_keyval_t  *h;

    /* two more: why and from where a dead letter came */

    e->headers = rd_kafka_headers_new(rec->nheaders + 2);

    for (i = 0; i < rec->nheaders; i++) {
        h = &rec->headers[i];

        /* NULL is a null value: that of a dead letter may be one */

        if (rd_kafka_header_add(e->headers, (char *) h->key.data,
                                h->key.len, h->value.data, h->value.len)
            != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            return NGX_ERROR;
        }

        e->size += NGX_MQTT_KAFKA_HEADER_OVERHEAD + h->key.len + h->value.len;
    }

    return NGX_OK;
}


void
ngx_mqtt_kafka_entry_add(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e)
{
    ngx_mqtt_worker_t  *w;

    w = k->worker;

    ngx_queue_insert_tail(&k->entries, &e->queue);

    k->messages++;
    k->size += e->size;

    if (ngx_mqtt_kafka_at_bound(k)) {
        k->full = 1;
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_produced);
    ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_queue_messages);
    ngx_mqtt_count_add(w, NGX_MQTT_STAT_kafka_queue_bytes, e->size);
}


ngx_mqtt_op_t *
ngx_mqtt_kafka_entry_free(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e)
{
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = k->worker;
    op = e->op;

    ngx_queue_remove(&e->queue);

    k->messages--;
    k->size -= e->size;

    if (e->waiting) {
        k->waiting--;
    }

    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_kafka_queue_messages, 1);
    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_kafka_queue_bytes, e->size);

    if (e->headers) {
        rd_kafka_headers_destroy(e->headers);
    }

    ngx_mqtt_msg_unref(e->msg);
    ngx_mqtt_free(w, e, sizeof(ngx_mqtt_kafka_entry_t) + e->key_len);

    return op;
}


ngx_int_t
ngx_mqtt_kafka_refuse(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e,
    rd_kafka_resp_err_t err)
{
    ngx_uint_t      reason;
    ngx_mqtt_op_t  *op;

    reason = ngx_mqtt_kafka_refusal(err);

    if (reason == 0) {
        return NGX_AGAIN;
    }

    ngx_mqtt_kafka_log_refused(k, e, err);

    if (!e->dead_letter) {
        ngx_mqtt_count(k->worker, NGX_MQTT_STAT_kafka_failed);

        e->reason = reason;

        if (k->conf->dead_letter != NGX_MQTT_KAFKA_NO_TOPIC
            && k->conf->dead_letter != e->topic)
        {
            ngx_mqtt_kafka_dead_letter(k, e, err);
            return NGX_DECLINED;
        }
    }

    reason = e->reason;
    op = ngx_mqtt_kafka_entry_free(k, e);

    if (op) {
        ngx_mqtt_op_post(op, NGX_DECLINED, reason);
    }

    return NGX_OK;
}


/*
 * The MQTT reason code of an error that is the record's fate, or 0.  What
 * librdkafka itself says about a record is none, but for a few; what a broker
 * says is one, but for what is transient or about the producer: librdkafka
 * has retried already.
 */

static ngx_uint_t
ngx_mqtt_kafka_refusal(rd_kafka_resp_err_t err)
{
    switch (err) {

    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return NGX_MQTT_QUOTA_EXCEEDED;

    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return NGX_MQTT_NOT_AUTHORIZED;

    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return NGX_MQTT_TOPIC_NAME_INVALID;

    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
        return 0;

    default:
        return (err < RD_KAFKA_RESP_ERR__END) ? 0
                                              : NGX_MQTT_IMPLEMENTATION_ERROR;
    }
}


static void
ngx_mqtt_kafka_dead_letter(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e,
    rd_kafka_resp_err_t err)
{
    ngx_str_t   *name;
    const char  *reason;

    ngx_mqtt_count(k->worker, NGX_MQTT_STAT_kafka_dead_letters);

    if (e->headers == NULL) {
        e->headers = rd_kafka_headers_new(2);
    }

    name = &k->topics[e->topic].name;
    reason = rd_kafka_err2name(err);

    (void) rd_kafka_header_add(e->headers, "mqttDeadLetterReason", -1,
                               reason, -1);
    (void) rd_kafka_header_add(e->headers, "mqttDeadLetterTopic", -1,
                               name->data, name->len);

    e->dead_letter = 1;
    e->topic = k->conf->dead_letter;
}


static void
ngx_mqtt_kafka_log_refused(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e,
    rd_kafka_resp_err_t err)
{
    ngx_mqtt_kafka_topic_t  *t;

    t = &k->topics[e->topic];
    t->refused++;

    if (t->refused_time == ngx_time()) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, k->log, 0,
                  "Kafka of mqtt gateway \"%V\" refused %ui record(s) for "
                  "topic \"%V\": %s", &k->worker->gateway->name, t->refused,
                  &t->name, rd_kafka_err2str(err));

    t->refused_time = ngx_time();
    t->refused = 0;
}
