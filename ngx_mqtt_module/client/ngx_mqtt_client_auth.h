
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What a connected client may do, by what was found out at CONNECT.
 */


#ifndef _NGX_MQTT_CLIENT_AUTH_H_INCLUDED_
#define _NGX_MQTT_CLIENT_AUTH_H_INCLUDED_


#include "ngx_mqtt_client.h"
#include "ngx_mqtt_auth.h"
#include "ngx_mqtt_token.h"


/* ngx_mqtt_client_auth.c */

struct ngx_mqtt_client_auth_s {
    ngx_mqtt_grant_t     *grants;
    ngx_queue_t           uploads;       /* tokens that are looked up */
    ngx_uint_t            nuploads;
};


/*
 * The client is accepted: takes over the result, which may be NULL.
 * NGX_DECLINED: the will is refused, which was logged and counted; NGX_ERROR:
 * out of memory.
 */
ngx_int_t ngx_mqtt_client_auth_accept(ngx_mqtt_client_t *mc,
    ngx_mqtt_auth_result_t *result);

/* the client leaves */
void ngx_mqtt_client_auth_free(ngx_mqtt_client_t *mc);

/*
 * NGX_OK, or NGX_DECLINED, which was logged and counted.  The filter is
 * without its share.
 */
ngx_int_t ngx_mqtt_client_may_publish(ngx_mqtt_client_t *mc,
    ngx_str_t *topic);
ngx_int_t ngx_mqtt_client_may_subscribe(ngx_mqtt_client_t *mc,
    ngx_str_t *filter);

/*
 * Answers a publish that is not allowed: with the reason code in PUBACK or
 * PUBREC; before 5.0 by closing the connection; not at all to QoS 0 of 5.0.
 * Returns what the handler of PUBLISH does.
 */
ngx_int_t ngx_mqtt_client_refuse_publish(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt, ngx_uint_t reason);


/* ngx_mqtt_client_limit.c */

/*
 * A publish of len bytes: NGX_ERROR when it is too much, the client is closed
 * then.  again(): the handler returns NGX_BUSY, the same packet comes again.
 */
ngx_int_t ngx_mqtt_client_limit_publish(ngx_mqtt_client_t *mc, size_t len);
void ngx_mqtt_client_limit_again(ngx_mqtt_client_t *mc);


/* ngx_mqtt_client_token.c */

/*
 * PUBLISH to a control topic: NGX_DECLINED when it is none, otherwise what
 * the handler of PUBLISH returns.
 */
ngx_int_t ngx_mqtt_client_control(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);

/* a will cannot go there */
ngx_uint_t ngx_mqtt_client_is_control(ngx_str_t *topic);

/* the grant is the client's: its end is the client's; NGX_ERROR: no memory */
ngx_int_t ngx_mqtt_client_watch(ngx_mqtt_client_t *mc,
    ngx_mqtt_grant_t *grant);

/* the three below only while mc->auth is there: whether the client has tokens
   of the gateway; one that may not publish is told why, and closed; the client
   leaves */
ngx_uint_t ngx_mqtt_client_has_token(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_token_denied(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_orphan_uploads(ngx_mqtt_client_t *mc);


#endif /* _NGX_MQTT_CLIENT_AUTH_H_INCLUDED_ */
