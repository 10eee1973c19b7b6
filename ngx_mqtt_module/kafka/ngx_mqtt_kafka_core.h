
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the files of kafka/ share; no other room includes it.
 */


#ifndef _NGX_MQTT_KAFKA_CORE_H_INCLUDED_
#define _NGX_MQTT_KAFKA_CORE_H_INCLUDED_


#include "ngx_mqtt_kafka.h"

#include <librdkafka/rdkafka.h>


#define NGX_MQTT_KAFKA_ERRSTR          512

/* bytes of the name that a node has in its group */

#define NGX_MQTT_KAFKA_INSTANCE        200


typedef struct ngx_mqtt_kafka_handle_s  ngx_mqtt_kafka_handle_t;
typedef struct ngx_mqtt_kafka_entry_s   ngx_mqtt_kafka_entry_t;
typedef struct ngx_mqtt_kafka_consumer_s  ngx_mqtt_kafka_consumer_t;
typedef struct ngx_mqtt_kafka_partition_s  ngx_mqtt_kafka_partition_t;


/* what the directives of one mqtt_gateway {} said */

struct ngx_mqtt_kafka_conf_s {
    rd_kafka_conf_t           *properties;     /* of producers */
    rd_kafka_conf_t           *consumer;       /* of consumers */
    ngx_array_t                names;          /* of kafka_set, ngx_str_t */
    ngx_array_t                topics;         /* ngx_str_t */
    ngx_str_t                  servers;

    ngx_uint_t                 dead_letter;    /* index of a topic */

    ngx_uint_t                 queue_messages;
    size_t                     queue_size;     /* NGX_CONF_UNSET_SIZE: none */
    size_t                     qos0_size;
    ngx_uint_t                 qos0_messages;

    ngx_array_t                sources;        /* ngx_str_t, consumed */
    ngx_str_t                  instance;       /* of the group, len 0: none;
                                                  a C string */
    size_t                     inflight_size;  /* NGX_CONF_UNSET_SIZE: none */
    ngx_uint_t                 inflight_messages;
};


/*
 * A client instance of librdkafka, its queue and the eventfd that wakes us.
 * "reports" gets the events that are not logs, errors or statistics; it
 * returns NGX_AGAIN when it has to be called again with the same event.
 */

typedef ngx_int_t (*ngx_mqtt_kafka_event_pt)(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event);

struct ngx_mqtt_kafka_handle_s {
    ngx_mqtt_kafka_t          *kafka;

    rd_kafka_t                *client;         /* NULL: closed */
    rd_kafka_queue_t          *queue;
    rd_kafka_event_t          *event;          /* handled in part */
    ngx_connection_t          *connection;     /* around the eventfd */

    ngx_mqtt_kafka_event_pt    handler;
    void                     (*on_fatal)(ngx_mqtt_kafka_handle_t *h);
    void                     (*on_turn)(ngx_mqtt_kafka_handle_t *h);
    int                        events;         /* wanted beside the usual */

    ngx_msec_t                 opened;
    time_t                     log_time;
    ngx_uint_t                 log_lines;      /* within that second */

    unsigned                   down:1;         /* no broker answers */
};


/* a topic that is produced to */

typedef struct {
    ngx_str_t                  name;
    rd_kafka_topic_t          *rkt;            /* of the current client */
    time_t                     refused_time;   /* of the last line logged */
    ngx_uint_t                 refused;        /* not logged since */
} ngx_mqtt_kafka_topic_t;


/*
 * A record from produce() to its end.  "headers" are ours only while the
 * record waits; in librdkafka's hands they are the library's.
 */

struct ngx_mqtt_kafka_entry_s {
    ngx_queue_t                queue;          /* in k->entries */

    ngx_mqtt_msg_t            *msg;
    ngx_mqtt_op_t             *op;             /* NULL: nobody asks */
    rd_kafka_headers_t        *headers;

    uint64_t                   timestamp;
    size_t                     size;           /* as counted */
    ngx_uint_t                 topic;

    uint32_t                   key_len;
    unsigned                   waiting:1;      /* to be produced (again) */
    unsigned                   dead_letter:1;
    unsigned                   reason:8;       /* of the refusal */

    u_char                     key[1];
};


/* one assigned partition of a topic that is consumed */

struct ngx_mqtt_kafka_partition_s {
    ngx_queue_t                queue;          /* in consumer->partitions */
    ngx_mqtt_kafka_consumer_t *consumer;

    ngx_uint_t                 source;
    int32_t                    number;
    rd_kafka_queue_t          *records;        /* fetched; NULL: revoked */
    rd_kafka_event_t          *event;          /* not handled yet, */
    const rd_kafka_message_t  *record;         /*   its record */

    ngx_queue_t                inflight;       /* in the order of offsets */
    int64_t                    done;           /* offset to be stored */

    ngx_uint_t                 way;            /* of those in flight that have
                                                  one, */
    ngx_uint_t                 nway;           /*   how many these are */

    unsigned                   store:1;        /* "done" is new */
    unsigned                   busy:1;         /* waits to be resumed */
    unsigned                   paused:1;       /* no record since it was */
    unsigned                   revoking:1;     /* nothing more is taken */
};


typedef enum {
    NGX_MQTT_KAFKA_IDLE = 0,                   /* nothing to consume */
    NGX_MQTT_KAFKA_WAITING,                    /* for the predecessor */
    NGX_MQTT_KAFKA_MEMBER,
    NGX_MQTT_KAFKA_LOST,                       /* to be opened again */
    NGX_MQTT_KAFKA_FINISHING,                  /* what is under way */
    NGX_MQTT_KAFKA_LEAVING,
    NGX_MQTT_KAFKA_LEFT
} ngx_mqtt_kafka_state_e;


struct ngx_mqtt_kafka_consumer_s {
    ngx_mqtt_kafka_t          *kafka;
    ngx_mqtt_kafka_handle_t    handle;
    ngx_mqtt_kafka_deliver_pt  deliver;
    ngx_mqtt_kafka_state_e     state;

    rd_kafka_queue_t          *leaving;        /* of the asynchronous close */
    rd_kafka_topic_partition_list_t  *revoked; /* to be given back */

    ngx_queue_t                partitions;
    ngx_uint_t                 npartitions;

    ngx_uint_t                 messages;       /* in flight */
    size_t                     size;           /*   bytes of them */

    ngx_event_t                wait;           /* for the predecessor */
    ngx_msec_t                 reopen_time;
    ngx_msec_t                 revoke_time;
    ngx_msec_t                 leave_time;

    unsigned                   full:1;         /* until it falls to half */
    unsigned                   fenced:1;       /* our instance id is taken */
    unsigned                   assigned:1;     /* once, by this client */
};


struct ngx_mqtt_kafka_s {
    ngx_mqtt_worker_t         *worker;
    ngx_mqtt_kafka_conf_t     *conf;
    ngx_log_t                 *log;

    ngx_event_t                beat;

    ngx_mqtt_kafka_handle_t    producer;
    ngx_mqtt_kafka_topic_t    *topics;
    ngx_uint_t                 ntopics;
    ngx_uint_t                 topics_size;    /* room for so many */
    ngx_mqtt_hash_t            named;          /* those not configured */

    ngx_mqtt_kafka_consumer_t  consumer;

    ngx_queue_t                entries;        /* in the order of produce() */
    ngx_uint_t                 messages;       /* entries, */
    ngx_uint_t                 waiting;        /*   waiting ones of them */
    size_t                     size;           /*   bytes of all */

    ngx_msec_t                 lost_time;
    ngx_msec_t                 replace_time;
    ngx_uint_t                 batch_size;     /* 0: as configured */

    void                     (*on_drained)(ngx_mqtt_worker_t *w);

    unsigned                   full:1;         /* until it falls to half */
    unsigned                   resend:1;       /* waiting ones may go */
    unsigned                   lost:1;         /* producer to be replaced */
    unsigned                   careful:1;      /* stops at a refused record */
    unsigned                   shrunk:1;       /* batch_size is new */
    unsigned                   partial:1;      /* more reports of an event, */
    unsigned                   oversized:1;    /*   of a batch too large */
};


/* ngx_mqtt_kafka.c */

/* takes the properties over; NGX_DECLINED: librdkafka does not like them */
ngx_int_t ngx_mqtt_kafka_open(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_type_t type, rd_kafka_conf_t *properties);
void ngx_mqtt_kafka_close(ngx_mqtt_kafka_handle_t *h);

/* the client lives on, nobody listens to it any more */
void ngx_mqtt_kafka_abandon(ngx_mqtt_kafka_handle_t *h);
void ngx_mqtt_kafka_pump(ngx_mqtt_kafka_handle_t *h);

/* waits for one event and handles it, at the end only; NGX_AGAIN: none came */
ngx_int_t ngx_mqtt_kafka_drain(ngx_mqtt_kafka_handle_t *h,
    ngx_msec_t timeout);

/* a log line, an error, or what belongs to the handler; as the latter */
ngx_int_t ngx_mqtt_kafka_event(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event);

/* "queue" wakes the handle too */
void ngx_mqtt_kafka_watch_queue(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_queue_t *queue);

/* a broker has answered */
void ngx_mqtt_kafka_up(ngx_mqtt_kafka_handle_t *h);


/* ngx_mqtt_kafka_conf.c */

ngx_mqtt_kafka_conf_t *ngx_mqtt_kafka_conf(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw);

/* NGX_OK for a name that a broker accepts */
ngx_int_t ngx_mqtt_kafka_topic_check(ngx_str_t *name);


/* ngx_mqtt_kafka_property.c */

ngx_int_t ngx_mqtt_kafka_properties_init(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw, rd_kafka_conf_t *properties);
char *ngx_mqtt_kafka_properties_check(ngx_conf_t *cf,
    ngx_mqtt_kafka_conf_t *kcf);


/* ngx_mqtt_kafka_consumer_conf.c */

/*
 * Which of the two a property belongs to; one that is not known here is given
 * to both.
 */

#define NGX_MQTT_KAFKA_PRODUCER_ONLY   1
#define NGX_MQTT_KAFKA_CONSUMER_ONLY   2

ngx_uint_t ngx_mqtt_kafka_property_scope(ngx_str_t *name);
ngx_int_t ngx_mqtt_kafka_consumer_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_mqtt_kafka_conf_t *kcf);
char *ngx_mqtt_kafka_consumer_check(ngx_conf_t *cf,
    ngx_mqtt_kafka_conf_t *kcf, ngx_str_t *name, ngx_str_t *value);

/* what no directive has set, at the end of the block */
void ngx_mqtt_kafka_consumer_bounds(ngx_mqtt_kafka_conf_t *kcf);


/* ngx_mqtt_kafka_record.c */

#define ngx_mqtt_kafka_at_bound(k)                                            \
    ((k)->size >= (k)->conf->queue_size                                       \
     || (k)->messages >= (k)->conf->queue_messages)

ngx_mqtt_kafka_entry_t *ngx_mqtt_kafka_entry_create(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_record_t *rec, ngx_mqtt_op_t *op);
void ngx_mqtt_kafka_entry_add(ngx_mqtt_kafka_t *k, ngx_mqtt_kafka_entry_t *e);

/* the end of an entry; its op is for the caller to complete */
ngx_mqtt_op_t *ngx_mqtt_kafka_entry_free(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e);

/*
 * NGX_OK: the record is gone, its op posted; NGX_DECLINED: it is a dead letter
 * now, to be sent; NGX_AGAIN: the error is not its fate.
 */
ngx_int_t ngx_mqtt_kafka_refuse(ngx_mqtt_kafka_t *k,
    ngx_mqtt_kafka_entry_t *e, rd_kafka_resp_err_t err);


/* ngx_mqtt_kafka_producer.c */

ngx_int_t ngx_mqtt_kafka_producer_start(ngx_mqtt_kafka_t *k);
void ngx_mqtt_kafka_producer_beat(ngx_mqtt_kafka_t *k);
void ngx_mqtt_kafka_producer_stop(ngx_mqtt_kafka_t *k);

ngx_int_t ngx_mqtt_kafka_producer_open(ngx_mqtt_kafka_t *k);
void ngx_mqtt_kafka_producer_close(ngx_mqtt_kafka_t *k);


/* ngx_mqtt_kafka_consumer.c */

void ngx_mqtt_kafka_consumer_beat(ngx_mqtt_kafka_t *k);
void ngx_mqtt_kafka_consumer_stop(ngx_mqtt_kafka_t *k);


/* ngx_mqtt_kafka_partition.c */

/* NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_kafka_partition_add(ngx_mqtt_kafka_consumer_t *kc,
    const char *topic, int32_t number);

/* no more is taken from it, or from all: what is in flight may complete */
void ngx_mqtt_kafka_partition_revoke(ngx_mqtt_kafka_consumer_t *kc,
    const char *topic, int32_t number);
void ngx_mqtt_kafka_partitions_revoke(ngx_mqtt_kafka_consumer_t *kc);

/* 1 if a partition that is revoked has records in flight */
ngx_uint_t ngx_mqtt_kafka_partitions_pending(ngx_mqtt_kafka_consumer_t *kc);

/* those revoked go, the rest is not waited for */
void ngx_mqtt_kafka_partitions_remove(ngx_mqtt_kafka_consumer_t *kc);

/* takes records from all partitions, as many as a turn allows */
void ngx_mqtt_kafka_partitions_take(ngx_mqtt_kafka_consumer_t *kc);

/* what is done is handed to librdkafka, which commits it */
void ngx_mqtt_kafka_partitions_store(ngx_mqtt_kafka_consumer_t *kc);

void ngx_mqtt_kafka_partitions_resume(ngx_mqtt_kafka_consumer_t *kc);


/* ngx_mqtt_kafka_replace.c */

#define NGX_MQTT_KAFKA_LEAST_AGE       5000

/* handed to librdkafka and not reported yet */
#define ngx_mqtt_kafka_sent(k)  ((k)->messages - (k)->waiting)

#define ngx_mqtt_kafka_purge(h)                                               \
    (void) rd_kafka_purge((h)->client, RD_KAFKA_PURGE_F_QUEUE                 \
                                       |RD_KAFKA_PURGE_F_INFLIGHT             \
                                       |RD_KAFKA_PURGE_F_NON_BLOCKING)

/* the producer cannot go on; its batches are too large for a topic */
void ngx_mqtt_kafka_fatal(ngx_mqtt_kafka_handle_t *h);
void ngx_mqtt_kafka_shrink(ngx_mqtt_kafka_t *k);

/* 1 if what the producer says about a record is not to be believed */
ngx_uint_t ngx_mqtt_kafka_doubtful(ngx_mqtt_kafka_t *k);

void ngx_mqtt_kafka_relax(ngx_mqtt_kafka_t *k);

/* the next step of a replacement, at the end of a turn */
void ngx_mqtt_kafka_replace(ngx_mqtt_kafka_t *k);


#endif /* _NGX_MQTT_KAFKA_CORE_H_INCLUDED_ */
