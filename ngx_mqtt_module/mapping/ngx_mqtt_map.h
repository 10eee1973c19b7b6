
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The mapping contract: MQTT topics to Kafka topics, what stands around the
 * payload to Kafka headers.  Pure functions, built and fuzzed without nginx.
 */


#ifndef _NGX_MQTT_MAP_H_INCLUDED_
#define _NGX_MQTT_MAP_H_INCLUDED_


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_MAP_UPLINK            0x01
#define NGX_MQTT_MAP_DOWNLINK          0x02


/* one "topic" directive */

typedef struct {
    ngx_str_t              parent;       /* first level of the MQTT topic */
    ngx_str_t              kafka;        /* Kafka topic */
    ngx_uint_t             index;        /* of the Kafka topic in the engine */
    ngx_uint_t             direction;
    ngx_uint_t             source;       /* its index where it is consumed */
} ngx_mqtt_map_entry_t;


struct ngx_mqtt_map_s {
    ngx_mqtt_map_entry_t  *entries;      /* sorted by parent */
    ngx_uint_t             nentries;
};

#if (NGX_MQTT_STANDALONE)
typedef struct ngx_mqtt_map_s  ngx_mqtt_map_t;
#else
#include "ngx_mqtt.h"
#endif


/* what the headers of an uplink record are made of */

typedef struct {
    ngx_str_t              sub;          /* "/engine/rpm", or empty */
    ngx_str_t              client_id;
    ngx_str_t              gateway;      /* name, for the loop guard */
    ngx_str_t              props;        /* encoded MQTT 5 properties */
    uint32_t               expiry;       /* seconds left */
    ngx_uint_t             qos;
    unsigned               clean:1;
    unsigned               retain:1;
    unsigned               has_expiry:1;
} ngx_mqtt_map_uplink_t;


/*
 * What the headers of a downlink record say.  Names and values point into the
 * headers; a header that stands twice counts with its last value, as in the
 * clients of Kafka.  The lengths are those of what the writers below write.
 */

typedef struct {
    ngx_str_t              second;       /* "/engine/rpm", or empty; the slash
                                            may be missing */
    ngx_str_t              real;         /* mqttRealTopic, or empty */
    ngx_str_t              p2p;          /* client id; empty: to subscribers */
    ngx_str_t              content_type;
    ngx_str_t              response_topic;
    ngx_str_t              correlation_data;
    ngx_str_t              format;       /* one digit; data NULL: none */

    size_t                 topic_len;
    size_t                 real_len;     /* 0: the device sees the topic */
    size_t                 props_len;

    uint32_t               expiry;       /* seconds */
    ngx_uint_t             qos;
    unsigned               clean:1;      /* only if the device is online */
    unsigned               retain:1;
    unsigned               has_expiry:1;

    const char            *error;        /* why it cannot be understood */
} ngx_mqtt_map_downlink_t;


/* digits of a message expiry interval */

#define NGX_MQTT_MAP_SCRATCH           16


/* sorts the entries; NGX_ERROR and *dup set when a parent stands twice */
ngx_int_t ngx_mqtt_map_init(ngx_mqtt_map_t *map, ngx_str_t *dup);

/*
 * The entry of a topic name or NULL; *sub becomes everything behind the first
 * level with its leading slash.  A topic that begins with "$" has no entry.
 */
ngx_mqtt_map_entry_t *ngx_mqtt_map_find(ngx_mqtt_map_t *map,
    ngx_str_t *topic, ngx_str_t *sub);

/* 1 if a header of this name belongs to the contract, in any case */
ngx_uint_t ngx_mqtt_map_is_contract_header(ngx_str_t *name);

/* no more than this many headers come from such properties */
ngx_uint_t ngx_mqtt_map_headers_max(ngx_str_t *props);

/*
 * Fills headers, which has room for ngx_mqtt_map_headers_max(), and returns
 * how many.  Names and values point to constants, to "up" and to scratch.
 */
ngx_uint_t ngx_mqtt_map_headers(ngx_mqtt_map_uplink_t *up,
    ngx_keyval_t *headers, u_char scratch[NGX_MQTT_MAP_SCRATCH]);


/*
 * ngx_mqtt_downlink.c: reads the headers of a record, any bytes at all; a
 * value may be null (data NULL).  NGX_OK; NGX_DONE: the record was produced by
 * the gateway of this name and is to be skipped; NGX_ERROR: it cannot be
 * understood, and dl->error says why.
 */
ngx_int_t ngx_mqtt_map_decode(ngx_str_t *parent, ngx_str_t *gateway,
    ngx_keyval_t *headers, ngx_uint_t nheaders, ngx_mqtt_map_downlink_t *dl);

/* after NGX_OK: the topic, what the device sees instead of it, and encoded
   MQTT 5 properties, each with the length that dl says */
u_char *ngx_mqtt_map_write_topic(u_char *p, ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl);
u_char *ngx_mqtt_map_write_real(u_char *p, ngx_str_t *parent,
    ngx_mqtt_map_downlink_t *dl);
u_char *ngx_mqtt_map_write_props(u_char *p, ngx_keyval_t *headers,
    ngx_uint_t nheaders, ngx_mqtt_map_downlink_t *dl);

/*
 * 1 if the sub-levels address one client, "/p2p/" and a client id, with or
 * without the first slash; the id is everything behind it.
 */
ngx_uint_t ngx_mqtt_map_is_p2p(ngx_str_t *sub, ngx_str_t *client_id);


#endif /* _NGX_MQTT_MAP_H_INCLUDED_ */
