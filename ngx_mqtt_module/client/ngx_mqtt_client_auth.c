
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Permissions of a connected client.
 *
 * (1) mc->auth is there only when there is something to remember: a client
 *     without permissions of its own costs nothing but the pointer.
 * (2) What a client may do is what its credentials and the rules of "acl" both
 *     allow; it is looked up with each PUBLISH and SUBSCRIBE.
 * (3) Each refusal is one line in the log and one in a counter.
 *
 * Called from: the handlers of CONNECT, PUBLISH and SUBSCRIBE.
 */


#include "ngx_mqtt_client_auth.h"
#include "ngx_mqtt_acl.h"


static ngx_mqtt_client_auth_t *ngx_mqtt_client_get_auth(
    ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_client_set_username(ngx_mqtt_client_t *mc,
    ngx_str_t *username);
static ngx_int_t ngx_mqtt_client_check_will(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_who(ngx_mqtt_client_t *mc,
    ngx_mqtt_acl_who_t *who);


static ngx_mqtt_client_auth_t *
ngx_mqtt_client_get_auth(ngx_mqtt_client_t *mc)
{
    if (mc->auth == NULL) {
        mc->auth = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_client_auth_t));

        if (mc->auth) {
            ngx_queue_init(&mc->auth->uploads);
        }
    }

    return mc->auth;
}


ngx_int_t
ngx_mqtt_client_auth_accept(ngx_mqtt_client_t *mc,
    ngx_mqtt_auth_result_t *result)
{
    ngx_mqtt_grant_t  *grant;

    if (result) {
        mc->any_user = result->any_user;
    }

    if (result && result->username.len
        && ngx_mqtt_client_set_username(mc, &result->username) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (result && result->grant) {

        if (ngx_mqtt_client_get_auth(mc) == NULL) {
            return NGX_ERROR;
        }

        mc->auth->grants = result->grant;
        result->grant = NULL;

        for (grant = mc->auth->grants; grant; grant = grant->next) {

            if (ngx_mqtt_client_watch(mc, grant) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    return ngx_mqtt_client_check_will(mc);
}


/* in one block with the client id; the client is in no table yet */

static ngx_int_t
ngx_mqtt_client_set_username(ngx_mqtt_client_t *mc, ngx_str_t *username)
{
    u_char     *p;
    ngx_str_t  *id;

    id = &mc->node.key;

    p = ngx_mqtt_alloc(mc->worker, id->len + username->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, id->data, id->len);
    ngx_memcpy(p + id->len, username->data, username->len);

    ngx_mqtt_free(mc->worker, id->data, id->len + mc->username.len);

    id->data = p;

    mc->username.data = p + id->len;
    mc->username.len = username->len;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_client_check_will(ngx_mqtt_client_t *mc)
{
    if (mc->will == NULL) {
        return NGX_OK;
    }

    if (ngx_mqtt_client_may_publish(mc, &mc->will->topic) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_mqtt_client_is_control(&mc->will->topic)) {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_publishes_denied);

        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "client sent will to a control topic");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_mqtt_client_auth_free(ngx_mqtt_client_t *mc)
{
    if (mc->auth == NULL) {
        return;
    }

    ngx_mqtt_client_orphan_uploads(mc);
    ngx_mqtt_grant_free(mc->worker, mc->auth->grants);

    ngx_mqtt_free(mc->worker, mc->auth, sizeof(ngx_mqtt_client_auth_t));
    mc->auth = NULL;
}


ngx_int_t
ngx_mqtt_client_may_publish(ngx_mqtt_client_t *mc, ngx_str_t *topic)
{
    ngx_mqtt_acl_t      *acl;
    ngx_mqtt_acl_who_t   who;

    acl = mc->worker->gateway->acl;

    if (acl == NULL && mc->auth == NULL) {
        return NGX_OK;
    }

    if (mc->auth == NULL
        || ngx_mqtt_grant_publish(mc->auth->grants, topic) == NGX_OK)
    {
        if (acl == NULL) {
            return NGX_OK;
        }

        ngx_mqtt_client_who(mc, &who);

        if (ngx_mqtt_acl_publish(acl, &who, topic) == NGX_OK) {
            return NGX_OK;
        }
    }

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_publishes_denied);

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client may not publish to \"%V\"", topic);

    return NGX_DECLINED;
}


ngx_int_t
ngx_mqtt_client_may_subscribe(ngx_mqtt_client_t *mc, ngx_str_t *filter)
{
    ngx_mqtt_acl_t      *acl;
    ngx_mqtt_acl_who_t   who;

    acl = mc->worker->gateway->acl;

    if (mc->auth == NULL
        || ngx_mqtt_grant_subscribe(mc->auth->grants, filter) == NGX_OK)
    {
        if (acl == NULL) {
            return NGX_OK;
        }

        ngx_mqtt_client_who(mc, &who);

        if (ngx_mqtt_acl_subscribe(acl, &who, filter) == NGX_OK) {
            return NGX_OK;
        }
    }

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_subscribes_denied);

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client may not subscribe to \"%V\"", filter);

    return NGX_DECLINED;
}


static void
ngx_mqtt_client_who(ngx_mqtt_client_t *mc, ngx_mqtt_acl_who_t *who)
{
    who->client_id = mc->node.key;
    who->username = mc->username;

    /* a name that anybody may send gives no rights */

    if (mc->any_user) {
        ngx_str_null(&who->username);
    }
}


ngx_int_t
ngx_mqtt_client_refuse_publish(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt,
    ngx_uint_t reason)
{
    ngx_mqtt_ack_slot_t  *slot;

    if (mc->version != NGX_MQTT_V5) {

        if (mc->auth && ngx_mqtt_client_has_token(mc)) {
            ngx_mqtt_client_token_denied(mc);
            return NGX_ERROR;
        }

        return ngx_mqtt_client_close(mc, reason);
    }

    if (pkt->qos == 0) {
        return NGX_OK;
    }

    /* in the order of the publishes, 4.6; a refused id of QoS 2 is free */

    slot = NULL;

    if (ngx_mqtt_client_get_extra(mc)) {
        slot = ngx_mqtt_ack_take(mc->worker, &mc->acks, pkt->qos,
                                 pkt->packet_id);
    }

    if (slot == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    ngx_mqtt_ack_done(slot, reason);

    return NGX_OK;
}
