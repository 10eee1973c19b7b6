
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The shared zone of a gateway: who the workers are, what they count.
 *
 * (1) A worker is a slot plus a 64-bit generation that is never used twice in
 *     a zone: pids, ngx_worker and process slots come again, generations do
 *     not (P28).
 * (2) Only the owner writes its counters; anybody reads them without a lock.
 * (3) Everything else changes under the slab mutex, which the master unlocks
 *     for a killed worker (P27), and is published by one last store.
 * (4) No pointer into process memory is ever stored (P26).
 */


#ifndef _NGX_MQTT_ZONE_H_INCLUDED_
#define _NGX_MQTT_ZONE_H_INCLUDED_


#define NGX_MQTT_ZONE_LAYOUT           4
#define NGX_MQTT_ZONE_SLOTS            256


/*
 * Counters: X(name in the status, kind, what it counts).  A gauge goes up and
 * down and dies with its worker; a counter of a dead worker is added to
 * zone->retired.
 */

#define NGX_MQTT_COUNTERS(X)                                                  \
    X(connections, GAUGE, "open connections, also before CONNECT")            \
    X(clients, GAUGE, "clients whose CONNECT was accepted")                   \
    X(websockets, GAUGE, "open connections of MQTT over WebSocket")           \
    X(websockets_refused, COUNTER, "WebSocket handshakes refused")            \
    X(clients_paused, GAUGE, "clients not read: Kafka or Redis is full")      \
    X(connects, COUNTER, "CONNECT packets accepted")                          \
    X(connects_refused, COUNTER, "CONNECT packets refused")                   \
    X(connect_timeouts, COUNTER, "connections without CONNECT in time")       \
    X(auth_failures, COUNTER, "CONNECT packets refused by auth")              \
    X(connects_banned, COUNTER, "CONNECT packets of whom is banned")          \
    X(connects_limited, COUNTER, "CONNECT packets over connect_rate")         \
    X(bans, COUNTER, "addresses and client ids banned")                       \
    X(publish_rate_exceeded, COUNTER, "clients that published too much")      \
    X(publishes_denied, COUNTER, "publishes and wills not allowed")           \
    X(subscribes_denied, COUNTER, "subscriptions not allowed")                \
    X(credentials_ended, COUNTER, "clients closed, their token has ended")    \
    X(disconnects, COUNTER, "connections ended by DISCONNECT")                \
    X(connections_lost, COUNTER, "connections ended without DISCONNECT")      \
    X(keepalive_timeouts, COUNTER, "connections ended by keep-alive")         \
    X(takeovers, COUNTER, "sessions taken over by a second CONNECT")          \
    X(sessions_expired, COUNTER, "sessions whose expiry interval passed")     \
    X(sessions_taken_over, COUNTER, "sessions of dead workers released")      \
    X(wills_published, COUNTER, "will messages published")                    \
    X(wills_waiting, GAUGE, "wills that wait for Kafka, Redis or a worker")   \
    X(protocol_errors, COUNTER, "connections closed for a bad packet")        \
    X(packets_in, COUNTER, "MQTT packets received")                           \
    X(packets_out, COUNTER, "MQTT packets sent")                              \
    X(bytes_in, COUNTER, "bytes received")                                    \
    X(bytes_out, COUNTER, "bytes sent")                                       \
    X(messages_in_qos0, COUNTER, "QoS 0 publishes received")                  \
    X(messages_in_qos1, COUNTER, "QoS 1 publishes received")                  \
    X(messages_in_qos2, COUNTER, "QoS 2 publishes received")                  \
    X(subscriptions, GAUGE, "subscriptions of connected clients")             \
    X(directory_filters, GAUGE, "filters that other workers know of")         \
    X(directory_full, COUNTER, "subscriptions refused, the zone is full")     \
    X(messages_out, COUNTER, "publishes sent to clients")                     \
    X(messages_out_dropped, COUNTER, "messages a client could not be sent")   \
    X(slow_clients, COUNTER, "clients closed because they were too slow")     \
    X(retained_stored, COUNTER, "retained messages stored in Redis")          \
    X(retained_removed, COUNTER, "retained messages removed by clients")      \
    X(retained_sent, COUNTER, "retained messages sent to new subscribers")    \
    X(messages_logged, COUNTER, "messages stored for persistent sessions")    \
    X(messages_discarded, COUNTER, "stored messages that were never read")    \
    X(messages_dropped, COUNTER, "QoS 0 messages dropped at a bound")         \
    X(messages_refused, COUNTER, "publishes refused for good")                \
    X(messages_unmapped, COUNTER, "publishes that no Kafka topic takes")      \
    X(pauses, COUNTER, "times a client was paused")                           \
    X(kafka_produced, COUNTER, "records handed to the producer")              \
    X(kafka_acked, COUNTER, "records that Kafka acknowledged")                \
    X(kafka_failed, COUNTER, "records that Kafka refused for good")           \
    X(kafka_dead_letters, COUNTER, "records sent to the dead-letter topic")   \
    X(kafka_partitions, GAUGE, "partitions assigned to the consumer")         \
    X(kafka_consumed, COUNTER, "records taken from Kafka")                    \
    X(kafka_inflight, GAUGE, "records of Kafka that are not delivered yet")   \
    X(kafka_pauses, COUNTER, "times consuming was paused")                    \
    X(kafka_own, COUNTER, "records skipped, the gateway produced them")       \
    X(kafka_poison, COUNTER, "records that could not be understood")          \
    X(p2p_sent, COUNTER, "P2P messages that a client has taken")              \
    X(p2p_stored, COUNTER, "P2P messages stored for persistent sessions")     \
    X(p2p_offline, COUNTER, "P2P messages whose client was not online")       \
    X(status_events, COUNTER, "client status events handed to the producer")  \
    X(status_waiting, GAUGE, "status events waiting for Kafka or Redis")      \
    X(status_dropped, COUNTER, "client status events dropped at their bound") \
    X(status_no_topic, COUNTER, "connections without a topic for events")     \
    X(kafka_errors, COUNTER, "errors reported by the Kafka client")           \
    X(kafka_queue_messages, GAUGE, "records waiting for Kafka")               \
    X(kafka_queue_bytes, GAUGE, "bytes of records waiting for Kafka")         \
    X(redis_up, GAUGE, "connections to Redis that are ready")                 \
    X(redis_commands, COUNTER, "commands sent to Redis")                      \
    X(redis_errors, COUNTER, "commands that failed")                          \
    X(redis_reconnects, COUNTER, "connections to Redis made again")           \
    X(redis_moved, COUNTER, "commands for a slot that another node has")      \
    X(redis_asked, COUNTER, "commands for a slot that is just moving")        \
    X(redis_waits_failed, COUNTER, "times too few replicas of Redis answered")\
    X(bus_frames_in, COUNTER, "frames received from other workers")           \
    X(bus_frames_out, COUNTER, "frames sent to other workers")                \
    X(inbox_frames_in, COUNTER, "frames received from other nodes")           \
    X(inbox_frames_out, COUNTER, "frames sent to other nodes")                \
    X(inbox_dropped, COUNTER, "frames for other nodes that were dropped")     \
    X(alloc_objects, GAUGE, "live blocks of the worker's allocator")          \
    X(alloc_bytes, GAUGE, "live bytes of the worker's allocator")


#define NGX_MQTT_COUNTER_ENUM(name, kind, text)  NGX_MQTT_STAT_##name,

typedef enum {
    NGX_MQTT_COUNTERS(NGX_MQTT_COUNTER_ENUM)
    NGX_MQTT_STATS
} ngx_mqtt_stat_e;


typedef struct {
    ngx_str_t            name;
    ngx_uint_t           gauge;      /* 1: dies with the worker */
} ngx_mqtt_counter_t;

extern ngx_mqtt_counter_t  ngx_mqtt_counters[];


/* size classes of ngx_mqtt_alloc.c: multiples of 32 bytes */

#define NGX_MQTT_ALLOC_STEP            32
#define NGX_MQTT_ALLOC_CLASSES         32
#define NGX_MQTT_ALLOC_MAX             (NGX_MQTT_ALLOC_STEP                   \
                                        * NGX_MQTT_ALLOC_CLASSES)


/* cells of client status events, which wait for each other by cell */

#define NGX_MQTT_STATUS_CELLS          64


typedef struct {
    uint64_t             generation;    /* 0: the slot is free; stored last */
    ngx_pid_t            pid;
    ngx_uint_t           worker;        /* ngx_worker, for people */
    ngx_uint_t           exiting;
    ngx_uint_t           directory;     /* not 0: filters in the directory */
    ngx_uint_t           consumer;      /* not 0: a member of its group */
    ngx_uint_t           behind;        /* clients to be waited for */
    uint64_t             retain_begun;  /* writes of retained messages */
    uint64_t             retain_oldest; /* of them that is not done yet */
    ngx_atomic_t         counters[NGX_MQTT_STATS];
    uint64_t             status[NGX_MQTT_STATUS_CELLS];  /* oldest tickets */
} ngx_mqtt_zone_slot_t;


typedef struct {
    ngx_uint_t            layout;       /* NGX_MQTT_ZONE_LAYOUT and sizes */
    uint64_t              node_id;      /* random, made with the zone (P29) */
    uint64_t              generations;  /* the last one given out */
    uint64_t              seed;         /* random, of hashes in the zone */
    ngx_atomic_t          tickets;      /* of client status events */
    void                 *directory;    /* of route/; zeros at first */
    size_t                directory_size;
    uint64_t              log_index;    /* incarnation of the index of logs */
    uint64_t              log_version;  /* that a worker has to know */
    ngx_uint_t            nslots;       /* slots ever used */
    ngx_atomic_t          retired[NGX_MQTT_STATS];
    ngx_mqtt_zone_slot_t  slots[NGX_MQTT_ZONE_SLOTS];
} ngx_mqtt_zone_t;


/* "zone size": NULL on failure, which was logged */
ngx_shm_zone_t *ngx_mqtt_zone_add(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    size_t size);

/*
 * Takes a free slot, after the slots of those that are gone were freed; one
 * that is still in the directory only if there is no other.
 */
ngx_int_t ngx_mqtt_zone_attach(ngx_mqtt_worker_t *w);
void ngx_mqtt_zone_detach(ngx_mqtt_worker_t *w);

/*
 * A worker is dead: its counters are retired and its slot is freed, once,
 * whoever finds out first.  NGX_DECLINED if somebody else did it.
 */
ngx_int_t ngx_mqtt_zone_bury(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation);

#define ngx_mqtt_zone(gw)                                                     \
    ((ngx_mqtt_zone_t *) ((ngx_slab_pool_t *) (gw)->shm_zone->shm.addr)->data)


#endif /* _NGX_MQTT_ZONE_H_INCLUDED_ */
