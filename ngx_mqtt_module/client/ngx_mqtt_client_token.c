
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Control topics, and tokens of connected clients.
 *
 * (1) A control topic is no topic: what is published to it goes to the gateway
 *     alone, so a token reaches no subscriber, and nobody but the gateway can
 *     publish a notice.
 * (2) A new token counts when PUBACK is sent; it replaces that of its type.
 * (3) The end of a token ends the connection, behind a notice.
 * (4) An upload outlives its client, for the sake of its acknowledgement slot;
 *     upload->client is NULL then.
 *
 * Called from: the handler of PUBLISH, events of terms, look-ups of tokens.
 */


#include "ngx_mqtt_client_auth.h"


/* each asks Redis: who sends more before the answers is closed */

#define NGX_MQTT_UPLOADS  16


typedef struct {
    ngx_queue_t            queue;        /* in mc->auth->uploads */
    ngx_mqtt_client_t     *client;
    ngx_mqtt_ack_slot_t   *slot;         /* NULL: QoS 0 */
    ngx_uint_t             type;
} ngx_mqtt_upload_t;


static ngx_int_t ngx_mqtt_control_find(ngx_str_t *topic);
static ngx_int_t ngx_mqtt_control_slot(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt, ngx_mqtt_ack_slot_t **slot);
static ngx_int_t ngx_mqtt_control_upload(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_control_upload_start(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt, ngx_mqtt_upload_t *upload, ngx_int_t *code);
static void ngx_mqtt_control_uploaded(ngx_mqtt_op_t *op);
static void ngx_mqtt_control_replace(ngx_mqtt_client_t *mc,
    ngx_uint_t type, ngx_mqtt_auth_result_t *result);
static void ngx_mqtt_control_upload_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_upload_t *upload);
static ngx_int_t ngx_mqtt_control_order(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_control_forbidden(ngx_mqtt_client_t *mc,
    ngx_mqtt_publish_t *pkt);
static ngx_int_t ngx_mqtt_client_term_event(void *data,
    ngx_mqtt_term_t *term, ngx_uint_t event);
static void ngx_mqtt_client_invalid(ngx_mqtt_client_t *mc, ngx_int_t code,
    ngx_uint_t type);
static void ngx_mqtt_client_notice(ngx_mqtt_client_t *mc, ngx_str_t *topic,
    u_char *text, size_t len);


static struct {
    ngx_str_t    topic;
    ngx_int_t  (*handler)(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt);
} ngx_mqtt_control_topics[] = {

    { ngx_string("$SYS/uploadToken"), ngx_mqtt_control_upload },
    { ngx_string("$SYS/enableOrderMsg"), ngx_mqtt_control_order },
    { ngx_string("$SYS/tokenExpireNotice"), ngx_mqtt_control_forbidden },
    { ngx_string("$SYS/tokenInvalidNotice"), ngx_mqtt_control_forbidden },

    { ngx_null_string, NULL }
};


static ngx_str_t  ngx_mqtt_expire_notice =
    ngx_string("$SYS/tokenExpireNotice");

static ngx_str_t  ngx_mqtt_invalid_notice =
    ngx_string("$SYS/tokenInvalidNotice");


ngx_int_t
ngx_mqtt_client_control(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_int_t  i;

    i = ngx_mqtt_control_find(&pkt->topic);

    if (i == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    return ngx_mqtt_control_topics[i].handler(mc, pkt);
}


ngx_uint_t
ngx_mqtt_client_is_control(ngx_str_t *topic)
{
    return ngx_mqtt_control_find(topic) != NGX_DECLINED;
}


static ngx_int_t
ngx_mqtt_control_find(ngx_str_t *topic)
{
    ngx_int_t   i;
    ngx_str_t  *name;

    if (topic->data[0] != '$') {
        return NGX_DECLINED;
    }

    for (i = 0; ngx_mqtt_control_topics[i].handler; i++) {
        name = &ngx_mqtt_control_topics[i].topic;

        if (name->len == topic->len
            && ngx_memcmp(name->data, topic->data, name->len) == 0)
        {
            return i;
        }
    }

    return NGX_DECLINED;
}


/* the place in the order of acknowledgements; NULL for QoS 0 */

static ngx_int_t
ngx_mqtt_control_slot(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt,
    ngx_mqtt_ack_slot_t **slot)
{
    *slot = NULL;

    if (pkt->qos == 0) {
        return NGX_OK;
    }

    if (pkt->qos == 2
        && (ngx_mqtt_client_get_extra(mc) == NULL
            || ngx_mqtt_id_set_add(mc->worker, &mc->extra->received,
                                   pkt->packet_id)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    *slot = ngx_mqtt_ack_take(mc->worker, &mc->acks, pkt->qos,
                              pkt->packet_id);

    return *slot ? NGX_OK : NGX_ERROR;
}


/* $SYS/uploadToken */

static ngx_int_t
ngx_mqtt_control_upload(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_int_t           rc, code;
    ngx_uint_t          type;
    ngx_mqtt_upload_t  *upload;

    if (mc->auth == NULL || !ngx_mqtt_client_has_token(mc)) {
        return ngx_mqtt_control_forbidden(mc, pkt);
    }

    if (mc->auth->nuploads == NGX_MQTT_UPLOADS) {
        return ngx_mqtt_client_error(mc, NGX_MQTT_QUOTA_EXCEEDED,
                                     "client uploads too many tokens");
    }

    upload = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_upload_t));

    if (upload == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    upload->client = mc;
    ngx_queue_insert_tail(&mc->auth->uploads, &upload->queue);
    mc->auth->nuploads++;

    rc = ngx_mqtt_control_upload_start(mc, pkt, upload, &code);

    if (rc == NGX_AGAIN) {
        return NGX_OK;
    }

    type = upload->type;

    /* a slot is freed when the client leaves */

    if (upload->slot) {
        ngx_mqtt_ack_return(upload->slot);
    }

    ngx_mqtt_control_upload_free(mc->worker, upload);

    if (rc == NGX_DECLINED) {
        ngx_mqtt_client_invalid(mc, code, type);
        return NGX_ERROR;
    }

    ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);

    return NGX_ERROR;
}


static ngx_int_t
ngx_mqtt_control_upload_start(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt,
    ngx_mqtt_upload_t *upload, ngx_int_t *code)
{
    ngx_int_t       rc;
    ngx_mqtt_op_t  *op;

    if (ngx_mqtt_control_slot(mc, pkt, &upload->slot) != NGX_OK) {
        return NGX_ERROR;
    }

    /* not the client's, (4) */

    op = ngx_mqtt_op_get(mc->worker, NULL, ngx_mqtt_control_uploaded, upload);
    if (op == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_mqtt_token_upload(mc->worker, &mc->username, &pkt->payload, op,
                               code, &upload->type);

    if (rc != NGX_AGAIN) {
        ngx_mqtt_op_cancel(op);
    }

    return rc;
}


static void
ngx_mqtt_control_uploaded(ngx_mqtt_op_t *op)
{
    ngx_int_t             rc;
    ngx_uint_t            type;
    ngx_mqtt_client_t    *mc;
    ngx_mqtt_upload_t    *upload;
    ngx_mqtt_ack_slot_t  *slot;

    upload = op->data;
    mc = upload->client;
    slot = upload->slot;
    type = upload->type;
    rc = op->rc;

    ngx_mqtt_control_upload_free(op->worker, upload);

    if (mc && rc == NGX_OK) {
        ngx_mqtt_control_replace(mc, type, op->result);
    }

    if (mc && rc == NGX_DECLINED) {
        ngx_mqtt_client_invalid(mc, op->reason, type);
    }

    if (slot) {
        ngx_mqtt_ack_done(slot, (rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                               : NGX_MQTT_UNSPECIFIED_ERROR);
    }
}


static void
ngx_mqtt_control_replace(ngx_mqtt_client_t *mc, ngx_uint_t type,
    ngx_mqtt_auth_result_t *result)
{
    ngx_mqtt_grant_t  *grant, **gp;

    for (gp = &mc->auth->grants; *gp; gp = &(*gp)->next) {

        if ((*gp)->term && (*gp)->term->type == type) {
            grant = *gp;
            *gp = grant->next;

            grant->next = NULL;
            ngx_mqtt_grant_free(mc->worker, grant);
            break;
        }
    }

    grant = result->grant;
    result->grant = NULL;

    grant->next = mc->auth->grants;
    mc->auth->grants = grant;

    if (ngx_mqtt_client_watch(mc, grant) != NGX_OK) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client renewed its token");
}


static void
ngx_mqtt_control_upload_free(ngx_mqtt_worker_t *w, ngx_mqtt_upload_t *upload)
{
    if (upload->client) {
        ngx_queue_remove(&upload->queue);
        upload->client->auth->nuploads--;
    }

    ngx_mqtt_free(w, upload, sizeof(ngx_mqtt_upload_t));
}


void
ngx_mqtt_client_orphan_uploads(ngx_mqtt_client_t *mc)
{
    ngx_queue_t        *q;
    ngx_mqtt_upload_t  *upload;

    while (!ngx_queue_empty(&mc->auth->uploads)) {
        q = ngx_queue_head(&mc->auth->uploads);
        upload = ngx_queue_data(q, ngx_mqtt_upload_t, queue);

        ngx_queue_remove(q);
        upload->client = NULL;
    }
}


/* $SYS/enableOrderMsg: there is nothing to enable, order is always kept */

static ngx_int_t
ngx_mqtt_control_order(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_mqtt_ack_slot_t  *slot;

    if (ngx_mqtt_control_slot(mc, pkt, &slot) != NGX_OK) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    if (slot) {
        ngx_mqtt_ack_done(slot, NGX_MQTT_SUCCESS);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_control_forbidden(ngx_mqtt_client_t *mc, ngx_mqtt_publish_t *pkt)
{
    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_publishes_denied);

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client may not publish to \"%V\"", &pkt->topic);

    return ngx_mqtt_client_refuse_publish(mc, pkt, NGX_MQTT_NOT_AUTHORIZED);
}


ngx_int_t
ngx_mqtt_client_watch(ngx_mqtt_client_t *mc, ngx_mqtt_grant_t *grant)
{
    if (grant->term == NULL) {
        return NGX_OK;
    }

    return ngx_mqtt_term_watch(mc->worker, grant->term,
                                ngx_mqtt_client_term_event, mc);
}


ngx_uint_t
ngx_mqtt_client_has_token(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_grant_t  *grant;

    grant = mc->auth->grants;

    return grant && grant->term && grant->term->token;
}


void
ngx_mqtt_client_token_denied(ngx_mqtt_client_t *mc)
{
    ngx_uint_t         types;
    ngx_mqtt_grant_t  *grant;

    types = 0;

    for (grant = mc->auth->grants; grant; grant = grant->next) {
        types |= grant->term->type;
    }

    ngx_mqtt_client_invalid(mc, (types & NGX_MQTT_GRANT_WRITE)
                                ? NGX_MQTT_TOKEN_RESOURCE
                                : NGX_MQTT_TOKEN_ACTION,
                            (types & NGX_MQTT_GRANT_WRITE)
                            ? NGX_MQTT_GRANT_WRITE : types);
}


static ngx_int_t
ngx_mqtt_client_term_event(void *data, ngx_mqtt_term_t *term,
    ngx_uint_t event)
{
    u_char              text[NGX_INT64_LEN + 64], *p;
    ngx_mqtt_client_t  *mc;

    mc = data;

    if (mc->closing) {
        return NGX_OK;
    }

    if (event == NGX_MQTT_TERM_EXPIRES_SOON) {

        if (mc->state != NGX_MQTT_CLIENT_CONNECTED) {
            return NGX_AGAIN;
        }

        p = ngx_snprintf(text, sizeof(text),
                         "{\"expireTime\":%uL,\"type\":\"%V\"}",
                         (uint64_t) term->expires * 1000,
                         ngx_mqtt_token_type_name(term->type));

        ngx_mqtt_client_notice(mc, &ngx_mqtt_expire_notice, text, p - text);

        return NGX_OK;
    }

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_credentials_ended);

    if (term->type == 0) {
        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "credentials of client have expired");

        ngx_mqtt_client_close(mc, NGX_MQTT_NOT_AUTHORIZED);
        return NGX_OK;
    }

    ngx_mqtt_client_invalid(mc, (event == NGX_MQTT_TERM_REVOKED)
                                ? NGX_MQTT_TOKEN_REVOKED
                                : NGX_MQTT_TOKEN_EXPIRED,
                            term->type);

    return NGX_OK;
}


/* the client is told which token is invalid, and closed */

static void
ngx_mqtt_client_invalid(ngx_mqtt_client_t *mc, ngx_int_t code,
    ngx_uint_t type)
{
    u_char  text[NGX_INT64_LEN + 64], *p;

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "token of client is invalid, code %i", code);

    if (mc->state == NGX_MQTT_CLIENT_CONNECTED) {
        p = ngx_snprintf(text, sizeof(text), "{\"code\":%i,\"type\":\"%V\"}",
                         code, ngx_mqtt_token_type_name(type));

        ngx_mqtt_client_notice(mc, &ngx_mqtt_invalid_notice, text, p - text);
    }

    ngx_mqtt_client_close(mc, NGX_MQTT_NOT_AUTHORIZED);
}


static void
ngx_mqtt_client_notice(ngx_mqtt_client_t *mc, ngx_str_t *topic, u_char *text,
    size_t len)
{
    ngx_mqtt_msg_t  *m;

    m = ngx_mqtt_msg_create(mc->worker, len);
    if (m == NULL) {
        return;
    }

    ngx_memcpy(ngx_mqtt_msg_data(m), text, len);

    m->topic = *topic;
    m->payload.data = ngx_mqtt_msg_data(m);
    m->payload.len = len;

    if (ngx_mqtt_client_send_publish(mc, m, ngx_mqtt_publish_flags(0, 0, 0), 0,
                                     NULL, 0)
        == NGX_DECLINED)
    {
        ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_messages_out_dropped);
    }

    ngx_mqtt_msg_unref(m);
}
