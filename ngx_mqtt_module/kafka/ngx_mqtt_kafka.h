
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The Kafka engine: librdkafka's queues in nginx's event loop.  Nothing MQTT
 * in here but the message that carries a payload.
 */


#ifndef _NGX_MQTT_KAFKA_H_INCLUDED_
#define _NGX_MQTT_KAFKA_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"


/* a Kafka topic that records are produced to: an index given at config time */

#define NGX_MQTT_KAFKA_NO_TOPIC        ((ngx_uint_t) -1)


typedef struct {
    ngx_uint_t                topic;
    ngx_str_t                 key;
    ngx_mqtt_msg_t           *msg;          /* holds the value: m->payload */
    ngx_keyval_t             *headers;      /* copied */
    ngx_uint_t                nheaders;
    uint64_t                  timestamp;    /* ms since the epoch */
} ngx_mqtt_kafka_record_t;


/*
 * A record that was consumed; everything is valid only inside the call.  A
 * value of a header may be null: then its data is NULL.
 */

typedef struct {
    ngx_uint_t                source;       /* an index given at config time */
    int32_t                   partition;
    int64_t                   offset;
    int64_t                   timestamp;    /* ms since the epoch, -1: none */
    ngx_str_t                 key;
    ngx_str_t                 value;
    ngx_keyval_t             *headers;
    ngx_uint_t                nheaders;
    ngx_uint_t                way;          /* see below */
} ngx_mqtt_kafka_consumed_t;

/*
 * NGX_OK: done with the record; NGX_AGAIN: the op was taken and completes
 * later, with anything but NGX_ERROR when done; NGX_BUSY: nothing was done,
 * the record comes again, after ngx_mqtt_kafka_consume_resume() or in a
 * second.
 *
 * Records of a partition whose ops complete later may overtake each other if
 * they go different ways: rec->way is the one of those in flight, 0 if there
 * are none, and becomes the one of this record, 0 if nothing can overtake it.
 * NGX_DECLINED: nothing was done, it comes again when none are in flight.
 */
typedef ngx_int_t (*ngx_mqtt_kafka_deliver_pt)(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_consumed_t *rec, ngx_mqtt_op_t *op);


/*
 * Config time.  Handlers of "kafka", "kafka_set", "kafka_queue",
 * "kafka_inflight" and "dead_letter"; each returns NGX_CONF_OK, a text, or
 * NGX_CONF_ERROR after logging.  ngx_mqtt_kafka_conf_topic() gives the index
 * of a topic to produce to by name, ngx_mqtt_kafka_conf_source() that of a
 * topic to consume, which may be asked for once; NGX_MQTT_KAFKA_NO_TOPIC after
 * logging why not.  ngx_mqtt_kafka_conf_need() is for who will produce to
 * topics that are not known yet.  ngx_mqtt_kafka_conf_init() is called when
 * the block ends and checks what needs the whole of it.
 */

char *ngx_mqtt_kafka_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);
char *ngx_mqtt_kafka_set_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);
char *ngx_mqtt_kafka_queue_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);
char *ngx_mqtt_kafka_inflight_directive(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw);
char *ngx_mqtt_kafka_dead_letter_directive(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw);
ngx_uint_t ngx_mqtt_kafka_conf_topic(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_str_t *name);
ngx_uint_t ngx_mqtt_kafka_conf_source(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_str_t *name);
char *ngx_mqtt_kafka_conf_need(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);
char *ngx_mqtt_kafka_conf_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);


/*
 * Worker life.  start() sets w->kafka, unless the gateway has no Kafka;
 * pending() tells how many records wait; stop() gives up what is left, ops
 * with NGX_ERROR, and never blocks longer than half a second.  on_drained is
 * called from the event loop each time the queue falls to half of its bound
 * after having been full.
 */

ngx_int_t ngx_mqtt_kafka_start(ngx_mqtt_worker_t *w,
    void (*on_drained)(ngx_mqtt_worker_t *w));
void ngx_mqtt_kafka_stop(ngx_mqtt_worker_t *w);
ngx_uint_t ngx_mqtt_kafka_pending(ngx_mqtt_kafka_t *k);


/*
 * Hands one record to the producer.  The message is referenced until the
 * delivery report, its payload is not copied.
 *
 * NGX_OK: the op completes later, with NGX_OK when Kafka acknowledged the
 * record (or its dead letter), with NGX_DECLINED and an MQTT reason code when
 * it was refused for good, or with NGX_ERROR when the worker ends first and
 * nobody knows.  The op may be NULL (QoS 0): then failures are
 * only counted.  NGX_BUSY: the bound is reached, nothing was taken, on_drained
 * will tell.  "droppable" records (QoS 0) see the smaller bound.
 */
ngx_int_t ngx_mqtt_kafka_produce(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_record_t *rec, ngx_uint_t droppable, ngx_mqtt_op_t *op);

/*
 * The index of a topic that no directive has named, which is made the first
 * time; NGX_MQTT_KAFKA_NO_TOPIC: no broker accepts the name, there are too
 * many of them, or out of memory.
 */
ngx_uint_t ngx_mqtt_kafka_topic(ngx_mqtt_kafka_t *k, ngx_str_t *name);

/* 1 while the bound for records that must not be dropped is reached */
ngx_uint_t ngx_mqtt_kafka_full(ngx_mqtt_kafka_t *k);

/* the topic of "dead_letter", or NGX_MQTT_KAFKA_NO_TOPIC */
ngx_uint_t ngx_mqtt_kafka_dead_letter_topic(ngx_mqtt_kafka_t *k);
ngx_str_t *ngx_mqtt_kafka_source_name(ngx_mqtt_kafka_t *k, ngx_uint_t source);


/*
 * The consumer.  consume() starts it, if there is a topic to consume; it joins
 * the group as soon as its predecessor, an old worker of the same number, has
 * left.  resume() offers records again that were answered with NGX_BUSY.
 * leave() stops it without blocking: what is under way is completed and
 * committed, then the group is left.  consuming() is 1 until that is over.
 */

ngx_int_t ngx_mqtt_kafka_consume(ngx_mqtt_worker_t *w,
    ngx_mqtt_kafka_deliver_pt deliver);
void ngx_mqtt_kafka_consume_resume(ngx_mqtt_kafka_t *k);
void ngx_mqtt_kafka_leave(ngx_mqtt_kafka_t *k);
ngx_uint_t ngx_mqtt_kafka_consuming(ngx_mqtt_kafka_t *k);


#endif /* _NGX_MQTT_KAFKA_H_INCLUDED_ */
