
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What every room knows: the names of the objects, the configuration of a
 * gateway and the state of a gateway in a worker.
 *
 * Locals are named alike everywhere: gw the gateway, w the worker state,
 * mc the client, m the message, op the continuation, pkt a decoded packet.
 */


#ifndef _NGX_MQTT_H_INCLUDED_
#define _NGX_MQTT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_mqtt_wire.h"


typedef struct ngx_mqtt_gateway_s      ngx_mqtt_gateway_t;
typedef struct ngx_mqtt_worker_s       ngx_mqtt_worker_t;
typedef struct ngx_mqtt_client_s       ngx_mqtt_client_t;
typedef struct ngx_mqtt_msg_s          ngx_mqtt_msg_t;
typedef struct ngx_mqtt_op_s           ngx_mqtt_op_t;

typedef struct ngx_mqtt_redis_s        ngx_mqtt_redis_t;
typedef struct ngx_mqtt_redis_conf_s   ngx_mqtt_redis_conf_t;
typedef struct ngx_mqtt_kafka_s        ngx_mqtt_kafka_t;
typedef struct ngx_mqtt_kafka_conf_s   ngx_mqtt_kafka_conf_t;
typedef struct ngx_mqtt_bus_s          ngx_mqtt_bus_t;
typedef struct ngx_mqtt_map_s          ngx_mqtt_map_t;
typedef struct ngx_mqtt_auth_conf_s    ngx_mqtt_auth_conf_t;
typedef struct ngx_mqtt_auth_s         ngx_mqtt_auth_t;
typedef struct ngx_mqtt_acl_s          ngx_mqtt_acl_t;
typedef struct ngx_mqtt_limit_s        ngx_mqtt_limit_t;
typedef struct ngx_mqtt_sessions_s     ngx_mqtt_sessions_t;
typedef struct ngx_mqtt_route_s        ngx_mqtt_route_t;
typedef struct ngx_mqtt_retain_s       ngx_mqtt_retain_t;
typedef struct ngx_mqtt_subscriber_s   ngx_mqtt_subscriber_t;
typedef struct ngx_mqtt_shared_s       ngx_mqtt_shared_t;
typedef struct ngx_mqtt_directory_s    ngx_mqtt_directory_t;
typedef struct ngx_mqtt_logs_s         ngx_mqtt_logs_t;
typedef struct ngx_mqtt_nodes_s        ngx_mqtt_nodes_t;
typedef struct ngx_mqtt_copy_s         ngx_mqtt_copy_t;
typedef struct ngx_mqtt_deliver_s      ngx_mqtt_deliver_t;
typedef struct ngx_mqtt_p2p_s          ngx_mqtt_p2p_t;
typedef struct ngx_mqtt_status_s       ngx_mqtt_status_t;


#include "ngx_mqtt_hash.h"
#include "ngx_mqtt_op.h"
#include "ngx_mqtt_zone.h"


/* what becomes of a 3.1/3.1.1 publish that Kafka refuses for good */

#define NGX_MQTT_REFUSED_CLOSE         0
#define NGX_MQTT_REFUSED_ACKNOWLEDGE   1


/* mqtt_gateway {}: lives in cf->pool, read-only once the cycle runs */

struct ngx_mqtt_gateway_s {
    ngx_str_t                  name;

    ngx_shm_zone_t            *shm_zone;
    ngx_mqtt_redis_conf_t     *redis;
    ngx_mqtt_kafka_conf_t     *kafka;          /* NULL: no Kafka at all */
    ngx_mqtt_map_t            *map;
    ngx_mqtt_auth_conf_t      *auth;
    ngx_mqtt_acl_t            *acl;            /* NULL: no rules */
    ngx_mqtt_limit_t          *limit;          /* NULL: CONNECT has none */

    ngx_str_t                  redis_prefix;   /* of every key */
    ngx_uint_t                 refused_publish;
    ngx_uint_t                 status_topic;   /* of Kafka, by index */
    ngx_int_t                  status_queue;   /* events that may wait */
    ngx_uint_t                 status_per_group;   /* a topic for each group,
                                                      status_topic for ids
                                                      without one */
    ngx_int_t                  drain_rate;     /* clients per second */
    ngx_msec_t                 takeover_timeout;
    ngx_msec_t                 lease_timeout;
    ngx_int_t                  offline_messages;   /* of a filter's log */
    ngx_msec_t                 offline_retention;

    u_char                    *file_name;
    ngx_uint_t                 line;

    ngx_mqtt_worker_t         *worker;         /* of this process, or NULL */
};


/*
 * The event of a private timer or posted handler.  Debug builds print
 * ((ngx_connection_t *) ev->data)->fd of every timer, so ev->data has to look
 * like a connection: that is what "ident" is for; ev->data points to it and
 * ngx_mqtt_event_worker() finds the worker behind it.
 */

typedef struct {
    ngx_mqtt_worker_t         *worker;
    void                      *pad[2];
    intptr_t                   fd;             /* always -1 */
} ngx_mqtt_ident_t;

#define ngx_mqtt_event_worker(ev)                                             \
    (((ngx_mqtt_ident_t *) (ev)->data)->worker)


/*
 * What lower rooms ask of client/.  takeover() closes the client of this id
 * unless its session is of a later epoch; disconnect() closes one client for
 * the drain and returns NGX_AGAIN when it has to wait for acknowledgements;
 * resume() lets the paused clients read again; stop() ends all at once, when
 * the worker exits; fence() closes all clients, as their sessions were taken
 * over; deliver() gives a subscriber its one copy of a message; subscriber()
 * finds the connected client of this id, or NULL; recheck() has it look into
 * the logs that it reads, as pushes may have been missed.
 *
 * p2p() gives the client of this id a message that is for it alone:
 * NGX_DECLINED when it is not here, NGX_AGAIN when it is to be stored in the
 * inbox of its session first.  "number" tells where it stands there; NULL: it
 * was not stored yet, 0: it is not to be.
 *
 * deliver_shared() gives it one that is for a single member of a shared
 * subscription, and with QoS 1 and 2 a "sd" that is to be given back, see
 * ngx_mqtt_route.h; room() tells before what it would do with it, and
 * window() how many of QoS 1 and 2 it would send at once.
 */

#define NGX_MQTT_ROOM_NONE             0        /* drop it, or close */
#define NGX_MQTT_ROOM_QUEUE            1        /* let it wait */
#define NGX_MQTT_ROOM_SEND             2        /* send it at once */


typedef struct {
    void                     (*takeover)(ngx_mqtt_worker_t *w,
                                         ngx_str_t *client_id,
                                         uint64_t epoch);
    ngx_int_t                (*disconnect)(ngx_mqtt_worker_t *w,
                                           ngx_queue_t *connection,
                                           ngx_uint_t force);
    void                     (*resume)(ngx_mqtt_worker_t *w);
    void                     (*stop)(ngx_mqtt_worker_t *w);
    void                     (*fence)(ngx_mqtt_worker_t *w);
    void                     (*deliver)(ngx_mqtt_subscriber_t *subscriber,
                                        ngx_mqtt_msg_t *m,
                                        ngx_mqtt_copy_t *copy);
    ngx_mqtt_subscriber_t   *(*subscriber)(ngx_mqtt_worker_t *w,
                                           ngx_str_t *client_id);
    void                     (*recheck)(ngx_mqtt_subscriber_t *subscriber);
    ngx_uint_t               (*room)(ngx_mqtt_subscriber_t *subscriber,
                                     ngx_uint_t qos);
    ngx_uint_t               (*window)(ngx_mqtt_subscriber_t *subscriber);
    void                     (*deliver_shared)(
                                        ngx_mqtt_subscriber_t *subscriber,
                                        ngx_mqtt_msg_t *m,
                                        ngx_mqtt_copy_t *copy,
                                        ngx_mqtt_shared_t *sd);
    ngx_int_t                (*p2p)(ngx_mqtt_worker_t *w,
                                    ngx_str_t *client_id, ngx_mqtt_msg_t *m,
                                    uint64_t *number);
    void                     (*flush)(ngx_event_t *ev);
    void                     (*close)(ngx_event_t *ev);
    void                     (*behind)(ngx_event_t *ev);
} ngx_mqtt_hooks_t;


/*
 * A gateway in one worker process.  Made in init_process, freed in
 * exit_process; only this process touches it.
 */

struct ngx_mqtt_worker_s {
    ngx_mqtt_gateway_t        *gateway;
    ngx_cycle_t               *cycle;
    ngx_log_t                 *log;

    ngx_mqtt_zone_slot_t      *slot;           /* ours in the zone */
    ngx_uint_t                 slot_index;
    uint64_t                   generation;
    ngx_atomic_t              *counters;       /* slot->counters */

    ngx_mqtt_redis_t          *redis;
    ngx_mqtt_kafka_t          *kafka;
    ngx_mqtt_bus_t            *bus;
    ngx_mqtt_auth_t           *auth;
    ngx_mqtt_sessions_t       *sessions;
    ngx_mqtt_route_t          *route;
    ngx_mqtt_retain_t         *retain;
    ngx_mqtt_directory_t      *directory;
    ngx_mqtt_logs_t           *logs;
    ngx_mqtt_deliver_t        *deliver;
    ngx_mqtt_p2p_t            *p2p;
    ngx_mqtt_status_t         *status;
    ngx_mqtt_nodes_t          *nodes;

    ngx_mqtt_hooks_t          *hooks;
    ngx_mqtt_ident_t           ident;

    ngx_mqtt_hash_t            clients;        /* by client id */
    ngx_mqtt_hash_t            claiming;       /* CONNECT in progress */
    ngx_queue_t                connections;    /* all, also before CONNECT */
    ngx_queue_t                dirty;          /* something to flush */
    ngx_queue_t                closing;        /* to be freed */
    ngx_queue_t                paused;         /* not read: Kafka is full */
    ngx_queue_t                wills;          /* not published: the same */
    ngx_queue_t                unsaved;        /* sessions, write-behind */
    ngx_queue_t                saving;         /* sessions, in this turn */
    ngx_queue_t                behind;         /* waited for, oldest first */

    ngx_event_t                flush_event;
    ngx_event_t                close_event;
    ngx_event_t                resume_event;
    ngx_event_t                op_event;
    ngx_event_t                drain_event;
    ngx_event_t                watch_event;
    ngx_event_t                save_event;
    ngx_event_t                behind_event;

    ngx_queue_t                ops_completed;  /* posted completions */
    void                      *free_lists[NGX_MQTT_ALLOC_CLASSES];

    u_char                    *read_buffer;    /* NGX_MQTT_READ_BUFFER */
    u_char                    *write_buffer;   /* NGX_MQTT_WRITE_BUFFER */

    uint64_t                  *watched;        /* generations by slot */

    ngx_connection_t          *quit_connection;
    void                     (*quit)(ngx_mqtt_worker_t *w);
    void                     (*on_resume)(ngx_mqtt_worker_t *w);
    ngx_msec_t                 drain_deadline;
    ngx_uint_t                 drain_tokens;   /* thousandths of a client */
    unsigned                   draining:1;
    unsigned                   drain_forced:1; /* worker_shutdown_timeout */
    unsigned                   stopping:1;     /* the engines are stopped */
};


extern ngx_module_t  ngx_mqtt_module;

#define NGX_MQTT_READ_BUFFER           65536
#define NGX_MQTT_WRITE_BUFFER          16384    /* one TLS record */

#define ngx_mqtt_count(w, counter)         ((w)->counters[counter]++)
#define ngx_mqtt_count_add(w, counter, n)  ((w)->counters[counter] += (n))
#define ngx_mqtt_count_sub(w, counter, n)  ((w)->counters[counter] -= (n))


/* ngx_mqtt_module.c: the gateways of a cycle, an array of pointers */

ngx_array_t *ngx_mqtt_gateways(ngx_cycle_t *cycle);
ngx_mqtt_gateway_t *ngx_mqtt_gateway_find(ngx_cycle_t *cycle,
    ngx_str_t *name);
ngx_int_t ngx_mqtt_gateway_add(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);

/*
 * A directive that names a gateway: *gateway is set when the configuration is
 * complete; check() returns what the gateway lacks, or NULL.
 */

typedef struct {
    ngx_str_t                  name;
    ngx_mqtt_gateway_t       **gateway;
    const char              *(*check)(ngx_mqtt_gateway_t *gw);
    u_char                    *file_name;
    ngx_uint_t                 line;
} ngx_mqtt_gateway_ref_t;

ngx_int_t ngx_mqtt_gateway_refer(ngx_conf_t *cf, ngx_mqtt_gateway_ref_t *ref);


/*
 * ngx_mqtt_worker.c: the state itself, without the engines; "quit" is called
 * once when nginx begins to quit, and again when worker_shutdown_timeout is
 * over (w->drain_forced is set then)
 */

ngx_mqtt_worker_t *ngx_mqtt_worker_create(ngx_mqtt_gateway_t *gw,
    ngx_cycle_t *cycle, ngx_mqtt_hooks_t *hooks,
    void (*quit)(ngx_mqtt_worker_t *w));
void ngx_mqtt_worker_destroy(ngx_mqtt_worker_t *w);


/*
 * ngx_mqtt_alloc.c: the worker's memory, counted live in the zone
 * (alloc_objects, alloc_bytes).  Blocks up to NGX_MQTT_ALLOC_MAX bytes come
 * from free lists by size class.  The caller remembers the size.
 */

void *ngx_mqtt_alloc(ngx_mqtt_worker_t *w, size_t size);
void *ngx_mqtt_calloc(ngx_mqtt_worker_t *w, size_t size);
void ngx_mqtt_free(ngx_mqtt_worker_t *w, void *p, size_t size);
void ngx_mqtt_alloc_release(ngx_mqtt_worker_t *w);


#endif /* _NGX_MQTT_H_INCLUDED_ */
