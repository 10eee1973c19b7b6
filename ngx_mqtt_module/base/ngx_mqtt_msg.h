
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A message: built once, from the wire, from a frame of another worker or from
 * what Redis has retained, then only referred to.
 *
 * (1) One block: the header and behind it "size" bytes of data, into which
 *     topic, payload, props, origin and real point.
 * (2) Read-only once it has been handed to ingest() or to the routes.
 * (3) Freed with the last reference, in the worker that made it.
 */


#ifndef _NGX_MQTT_MSG_H_INCLUDED_
#define _NGX_MQTT_MSG_H_INCLUDED_


struct ngx_mqtt_msg_s {
    ngx_mqtt_worker_t   *worker;
    size_t               size;          /* of the data behind the header */

    ngx_str_t            topic;
    ngx_str_t            payload;
    ngx_str_t            props;         /* MQTT 5 properties that travel with
                                           the message, as they stand in a
                                           PUBLISH: encoded, without length,
                                           without alias and subscription id */
    ngx_str_t            origin;        /* client id of the sender */
    ngx_str_t            real;          /* what the subscriber sees instead
                                           of the topic, or empty */

    uint64_t             received;      /* ms since the epoch */
    uint32_t             expiry;        /* seconds after "received", 0: none */
    uint32_t             refs;

    unsigned             qos:2;
    unsigned             retain:1;
    unsigned             clean:1;       /* the sender's session dies with its
                                           connection: cleansessionflag */
    unsigned             has_expiry:1;
};


#define ngx_mqtt_msg_data(m)  ((u_char *) (m) + sizeof(ngx_mqtt_msg_t))


/* one reference, everything else zero; NULL when out of memory */
ngx_mqtt_msg_t *ngx_mqtt_msg_create(ngx_mqtt_worker_t *w, size_t size);

#define ngx_mqtt_msg_ref(m)  ((m)->refs++)

void ngx_mqtt_msg_unref(ngx_mqtt_msg_t *m);

/* 3.3.2.3.3: 1 when the message may not be delivered anymore */
ngx_uint_t ngx_mqtt_msg_expired(ngx_mqtt_msg_t *m);


#endif /* _NGX_MQTT_MSG_H_INCLUDED_ */
