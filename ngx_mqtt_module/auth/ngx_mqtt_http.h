
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A small HTTP/1.1 client in nginx's event loop: one POST over a connection of
 * its own.
 */


#ifndef _NGX_MQTT_HTTP_H_INCLUDED_
#define _NGX_MQTT_HTTP_H_INCLUDED_


#include "ngx_mqtt.h"


/* a longer answer is an error */

#define NGX_MQTT_HTTP_ANSWER           16384


/* op->result of a request that was answered, valid only inside of done() */

typedef struct {
    ngx_uint_t           status;
    ngx_str_t            body;
} ngx_mqtt_http_answer_t;


/*
 * "uri" begins with a slash; the request is in the queue while it is under
 * way.  The op completes with NGX_OK and the answer, or NGX_ERROR when there
 * was none in time.  NGX_ERROR at once: out of memory, the op is not taken.
 */
ngx_int_t ngx_mqtt_http_post(ngx_mqtt_worker_t *w, ngx_addr_t *addr,
    ngx_str_t *host, ngx_str_t *uri, ngx_str_t *body, ngx_msec_t timeout,
    ngx_queue_t *requests, ngx_mqtt_op_t *op);

/* the worker exits: all of these fail */
void ngx_mqtt_http_stop(ngx_queue_t *requests);

/* ngx_mqtt_http_parse.c: NGX_OK, NGX_AGAIN: not complete, NGX_ERROR; "eof" is
   1 when nothing follows.  A chunked body is put together in place. */
ngx_int_t ngx_mqtt_http_parse(u_char *p, u_char *last, ngx_uint_t eof,
    ngx_mqtt_http_answer_t *answer);


#endif /* _NGX_MQTT_HTTP_H_INCLUDED_ */
