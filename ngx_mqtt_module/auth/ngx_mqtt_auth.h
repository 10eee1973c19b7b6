
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Who may connect.  The methods of the "auth" directives are asked in their
 * order; each accepts, refuses, or has no opinion and leaves it to the next.
 */


#ifndef _NGX_MQTT_AUTH_H_INCLUDED_
#define _NGX_MQTT_AUTH_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_grant.h"


/* user names that a certificate or a token gives: longer ones are refused */

#define NGX_MQTT_AUTH_NAME             256


/* what is known of a client that was accepted */

typedef struct {
    ngx_mqtt_grant_t    *grant;          /* NULL: no restriction */
    ngx_str_t            username;       /* instead of what it sent, or NULL */
    unsigned             any_user:1;     /* what it sent is not proven */
} ngx_mqtt_auth_result_t;


typedef struct {
    ngx_connection_t    *connection;     /* TLS, address, log */
    ngx_str_t            client_id;
    ngx_str_t            username;
    ngx_str_t            password;
    unsigned             has_username:1;
    unsigned             has_password:1;

    ngx_mqtt_auth_result_t  result;      /* with NGX_OK at once */
    u_char               name[NGX_MQTT_AUTH_NAME];  /* result.username */
} ngx_mqtt_auth_request_t;


/* config time: "auth method [parameters]" inside mqtt_gateway {} */
char *ngx_mqtt_auth_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);

/* called when the block ends: at least one method */
char *ngx_mqtt_auth_conf_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw);

ngx_int_t ngx_mqtt_auth_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_auth_stop(ngx_mqtt_worker_t *w);

/*
 * NGX_OK: accepted.  NGX_DECLINED: refused, *reason is BAD_USER_NAME_OR_
 * PASSWORD, NOT_AUTHORIZED, SERVER_BUSY, ...  NGX_AGAIN: the op completes
 * later with NGX_OK, or NGX_DECLINED and the reason; only then is the op
 * taken.  NGX_ERROR: out of memory.  What is needed after the call is copied.
 *
 * The result is in the request with NGX_OK, or in op->result inside of done():
 * the caller takes the grant and sets it to NULL there; one that is not taken
 * is freed by the method.  op->result may be NULL, there is nothing then.
 */
ngx_int_t ngx_mqtt_auth_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op, ngx_uint_t *reason);


#endif /* _NGX_MQTT_AUTH_H_INCLUDED_ */
