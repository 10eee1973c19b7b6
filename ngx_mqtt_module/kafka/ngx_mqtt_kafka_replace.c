
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The replacement of a producer, without a record lost or out of order.
 *
 * (1) A producer is lost when librdkafka gave it up, or when its batches are
 *     too large for a topic.  From then on new records wait, records that
 *     were not sent come back, and reports of those in flight are awaited.
 * (2) It is replaced when every report is in: destroying it then takes no
 *     longer than its threads need to end.
 * (3) One that librdkafka gave up has lived for NGX_MQTT_KAFKA_LEAST_AGE at
 *     least, so that a cluster that refuses us for good is not flooded.
 *
 * Called from: ngx_mqtt_kafka_producer.c.
 */


#include "ngx_mqtt_kafka_core.h"


/* time for the last reports of a lost producer */

#define NGX_MQTT_KAFKA_LAST_REPORTS    5000

/* batch.size of librdkafka when it is not configured */

#define NGX_MQTT_KAFKA_BATCH_SIZE      1000000


static ngx_uint_t ngx_mqtt_kafka_batch_size(ngx_mqtt_kafka_t *k);
static void ngx_mqtt_kafka_lose(ngx_mqtt_kafka_t *k);


void
ngx_mqtt_kafka_fatal(ngx_mqtt_kafka_handle_t *h)
{
    char                  errstr[NGX_MQTT_KAFKA_ERRSTR];
    ngx_mqtt_kafka_t     *k;
    rd_kafka_resp_err_t   err;

    k = h->kafka;

    if (k->lost) {
        return;
    }

    errstr[0] = '\0';
    err = rd_kafka_fatal_error(h->client, errstr, sizeof(errstr));

    if (err != RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE) {
        ngx_log_error(NGX_LOG_ERR, k->log, 0,
                      "Kafka producer of mqtt gateway \"%V\" is lost and will "
                      "be replaced: %s: %s", &k->worker->gateway->name,
                      rd_kafka_err2name(err), errstr);
    }

    ngx_mqtt_kafka_lose(k);
}


/*
 * A batch of several records was too large for the topic: that says nothing
 * about the records, they may each be small.  Only a new producer can be given
 * another batch.size.
 *
 * Behind a refused batch librdkafka goes on with the next one, and that would
 * overtake what is to be produced again.  So the new producer is a careful
 * one, which sends one batch at a time and stops for good at a refusal, until
 * nothing waits any more.
 */

void
ngx_mqtt_kafka_shrink(ngx_mqtt_kafka_t *k)
{
    if (k->shrunk) {
        return;
    }

    if (k->batch_size == 0) {
        k->batch_size = ngx_mqtt_kafka_batch_size(k);
    }

    /* k->size is no less than what any batch had */

    k->batch_size = ngx_min(k->batch_size, k->size) / 2;
    k->batch_size = ngx_max(k->batch_size, 1);

    k->shrunk = 1;
    k->careful = 1;

    ngx_log_error(NGX_LOG_WARN, k->log, 0,
                  "Kafka of mqtt gateway \"%V\" refused a batch larger than "
                  "max.message.bytes of its topic, batch.size becomes %ui",
                  &k->worker->gateway->name, k->batch_size);

    ngx_mqtt_kafka_lose(k);
}


static ngx_uint_t
ngx_mqtt_kafka_batch_size(ngx_mqtt_kafka_t *k)
{
    char       value[NGX_INT_T_LEN + 1];
    size_t     len;
    ngx_int_t  n;

    len = sizeof(value);

    if (rd_kafka_conf_get(k->conf->properties, "batch.size", value, &len)
        != RD_KAFKA_CONF_OK)
    {
        return NGX_MQTT_KAFKA_BATCH_SIZE;
    }

    n = ngx_atoi((u_char *) value, ngx_strlen(value));

    return (n > 0) ? (ngx_uint_t) n : NGX_MQTT_KAFKA_BATCH_SIZE;
}


/* back to the usual pace, as soon as the reports are in */

void
ngx_mqtt_kafka_relax(ngx_mqtt_kafka_t *k)
{
    k->careful = 0;
    k->lost = 1;
    k->lost_time = ngx_current_msec;
    k->replace_time = ngx_current_msec;
}


/* what was not sent yet comes back at once, reports for the rest follow */

static void
ngx_mqtt_kafka_lose(ngx_mqtt_kafka_t *k)
{
    ngx_mqtt_kafka_handle_t  *h;

    h = &k->producer;

    k->lost = 1;
    k->lost_time = ngx_current_msec;
    k->replace_time = k->careful ? ngx_current_msec
                                 : h->opened + NGX_MQTT_KAFKA_LEAST_AGE;

    (void) rd_kafka_purge(h->client, RD_KAFKA_PURGE_F_QUEUE
                                     |RD_KAFKA_PURGE_F_NON_BLOCKING);

    ngx_post_event(h->connection->read, &ngx_posted_next_events);
}


/*
 * Whatever a lost producer says about a record may be its own fault; but a
 * careful one is lost because of what it says.
 */

ngx_uint_t
ngx_mqtt_kafka_doubtful(ngx_mqtt_kafka_t *k)
{
    char  errstr[NGX_MQTT_KAFKA_ERRSTR];

    if (k->careful) {
        return 0;
    }

    return k->lost
           || rd_kafka_fatal_error(k->producer.client, errstr, sizeof(errstr));
}


void
ngx_mqtt_kafka_replace(ngx_mqtt_kafka_t *k)
{
    ngx_mqtt_kafka_handle_t  *h;

    h = &k->producer;

    if (ngx_mqtt_kafka_sent(k)) {

        if (ngx_current_msec - k->lost_time >= NGX_MQTT_KAFKA_LAST_REPORTS) {
            ngx_mqtt_kafka_purge(h);
        }

        return;
    }

    if ((ngx_msec_int_t) (k->replace_time - ngx_current_msec) > 0) {
        return;
    }

    ngx_mqtt_kafka_producer_close(k);

    if (ngx_mqtt_kafka_producer_open(k) != NGX_OK) {
        k->replace_time = ngx_current_msec + NGX_MQTT_KAFKA_LEAST_AGE;
        return;
    }

    k->lost = 0;
    k->shrunk = 0;
    k->resend = 1;

    ngx_log_error(NGX_LOG_NOTICE, k->log, 0,
                  "Kafka producer of mqtt gateway \"%V\" is replaced, %ui "
                  "record(s) are produced again", &k->worker->gateway->name,
                  k->waiting);
}
