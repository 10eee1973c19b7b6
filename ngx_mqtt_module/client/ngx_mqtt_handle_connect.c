
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * CONNECT, step by step:
 *
 *     handle -> check -> store -> authenticate -> authenticated -> claim
 *            -> claimed -> (restored) -> accept (CONNACK)
 *
 * (1) Everything needed later is stored before the first step that waits: the
 *     packet lies in the worker's buffer.
 * (2) No packet is parsed meanwhile; those that came behind CONNECT are kept
 *     and handled after CONNACK.
 * (3) While its session is being claimed a client stands in w->claiming, at
 *     most one for a client id: a second one ends the first.
 *
 * Called from: the dispatch of packets, completions of auth and claim.
 */


#include "ngx_mqtt_client_session.h"
#include "ngx_mqtt_client_auth.h"
#include "ngx_mqtt_limit.h"


#define NGX_MQTT_AUTO_ID_LEN  (sizeof("auto-") - 1 + 32)


static ngx_int_t ngx_mqtt_connect_malformed(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);
static ngx_int_t ngx_mqtt_connect_check(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);
static void ngx_mqtt_connect_store_limits(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);
static ngx_int_t ngx_mqtt_connect_store_id(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);
static ngx_int_t ngx_mqtt_connect_fits(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_connect_authenticate(ngx_mqtt_client_t *mc,
    ngx_mqtt_connect_t *pkt);
static void ngx_mqtt_connect_authenticated(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_connect_auth_accepted(ngx_mqtt_client_t *mc,
    ngx_mqtt_auth_result_t *result);
static ngx_int_t ngx_mqtt_connect_auth_refused(ngx_mqtt_client_t *mc,
    ngx_uint_t reason);
static ngx_int_t ngx_mqtt_connect_claim(ngx_mqtt_client_t *mc);
static void ngx_mqtt_connect_claimed(ngx_mqtt_op_t *op);
static void ngx_mqtt_connect_accept(ngx_mqtt_client_t *mc);
static void ngx_mqtt_connect_props(ngx_mqtt_client_t *mc,
    ngx_mqtt_props_t *props);


/*
 * 3.2.2.2 of 5.0 to 3.2.2.3 of 3.1.1, where 0 is a close without CONNACK; the
 * reason string of 5.0 where it says more than the code
 */

static struct {
    ngx_uint_t  reason;
    ngx_uint_t  code;
    ngx_str_t   text;
} ngx_mqtt_connect_codes[] = {
    { NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION, NGX_MQTT_V3_BAD_PROTOCOL,
      ngx_null_string },
    { NGX_MQTT_CLIENT_ID_NOT_VALID, NGX_MQTT_V3_BAD_CLIENT_ID,
      ngx_string("client id is too long") },
    { NGX_MQTT_SERVER_UNAVAILABLE, NGX_MQTT_V3_UNAVAILABLE,
      ngx_string("sessions are not available") },
    { NGX_MQTT_SERVER_BUSY, NGX_MQTT_V3_UNAVAILABLE, ngx_null_string },
    { NGX_MQTT_SERVER_SHUTTING_DOWN, NGX_MQTT_V3_UNAVAILABLE,
      ngx_null_string },
    { NGX_MQTT_BAD_USER_NAME_OR_PASSWORD, NGX_MQTT_V3_BAD_CREDENTIALS,
      ngx_null_string },
    { NGX_MQTT_NOT_AUTHORIZED, NGX_MQTT_V3_NOT_AUTHORIZED, ngx_null_string },
    { NGX_MQTT_BANNED, NGX_MQTT_V3_NOT_AUTHORIZED, ngx_null_string },
    { NGX_MQTT_QUOTA_EXCEEDED, NGX_MQTT_V3_UNAVAILABLE, ngx_null_string },
    { NGX_MQTT_CONNECTION_RATE_EXCEEDED, NGX_MQTT_V3_UNAVAILABLE,
      ngx_null_string },
    { NGX_MQTT_BAD_AUTHENTICATION_METHOD, 0,
      ngx_string("enhanced authentication is not supported") },
    { NGX_MQTT_RETAIN_NOT_SUPPORTED, 0,
      ngx_string("will with RETAIN is not allowed") },
    { 0, 0, ngx_null_string }
};


ngx_int_t
ngx_mqtt_handle_connect(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    ngx_mqtt_connect_t  pkt;

    if (mc->state != NGX_MQTT_CLIENT_WAIT_CONNECT) {
        return ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                                     "client sent a second CONNECT");
    }

    if (ngx_mqtt_decode_connect(p, p + fx->remaining, &pkt) != NGX_OK) {
        return ngx_mqtt_connect_malformed(mc, &pkt);
    }

    if (ngx_mqtt_fixed_check(fx, pkt.version) != NGX_OK) {

        /* before 3.1.1 they are not used, but the version is known only now */

        pkt.reason = NGX_MQTT_MALFORMED_PACKET;
        return ngx_mqtt_connect_malformed(mc, &pkt);
    }

    mc->version = (uint8_t) pkt.version;
    mc->state = NGX_MQTT_CLIENT_CONNECTING;

    if (mc->connection->read->timer_set) {
        ngx_del_timer(mc->connection->read);
    }

    ngx_mqtt_connect_store_limits(mc, &pkt);

    if (ngx_mqtt_connect_check(mc, &pkt) != NGX_OK
        || ngx_mqtt_connect_store_id(mc, &pkt) != NGX_OK
        || ngx_mqtt_connect_fits(mc) != NGX_OK
        || ngx_mqtt_client_will_store(mc, &pkt) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_mqtt_connect_authenticate(mc, &pkt);
}


static ngx_int_t
ngx_mqtt_connect_malformed(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client sent invalid CONNECT: %s",
                  ngx_mqtt_reason_name(pkt->reason));

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_protocol_errors);

    return ngx_mqtt_connect_refuse(mc, pkt->version, pkt->reason);
}


/* what is well-formed and yet not served */

static ngx_int_t
ngx_mqtt_connect_check(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    ngx_log_t               *log;
    ngx_uint_t               reason;
    ngx_mqtt_client_conf_t  *conf;

    log = mc->connection->log;
    conf = mc->conf;

    reason = ngx_mqtt_limit_connect(mc->worker, mc->connection,
                                    &pkt->client_id);

    if (reason) {
        return ngx_mqtt_connect_refuse(mc, pkt->version, reason);
    }

    if (pkt->version == NGX_MQTT_V5
        && ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_AUTH_METHOD))
    {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client asked for enhanced authentication");
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_BAD_AUTHENTICATION_METHOD);
    }

    if (pkt->client_id.len > (size_t) conf->max_client_id) {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client sent too long client id of %uz bytes",
                      pkt->client_id.len);
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_CLIENT_ID_NOT_VALID);
    }

    if (ngx_mqtt_client_will_check(mc, pkt) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_exiting) {
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_SERVER_SHUTTING_DOWN);
    }

    return NGX_OK;
}


static void
ngx_mqtt_connect_store_limits(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    uint32_t           max;
    ngx_mqtt_props_t  *props;

    props = &pkt->props;
    max = (uint32_t) mc->conf->max_session_expiry;

    mc->clean_start = pkt->clean;
    mc->keep_alive = pkt->keep_alive;
    mc->receive_maximum = 65535;
    mc->max_packet_out = NGX_MQTT_MAX_REMAINING + NGX_MQTT_MAX_FIXED_HEADER;

    if (mc->conf->max_keepalive
        && (mc->keep_alive == 0 || mc->keep_alive > mc->conf->max_keepalive))
    {
        mc->keep_alive = (uint16_t) mc->conf->max_keepalive;
        mc->keepalive_capped = 1;
    }

    if (pkt->version != NGX_MQTT_V5) {
        mc->session_expiry = pkt->clean ? 0 : max;
        return;
    }

    if (ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_SESSION_EXPIRY)) {
        mc->session_expiry = props->session_expiry;

        if (mc->session_expiry > max) {
            mc->session_expiry = max;
            mc->expiry_capped = 1;
        }
    }

    if (ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_RECEIVE_MAXIMUM)) {
        mc->receive_maximum = props->receive_maximum;
    }

    if (ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_MAXIMUM_PACKET_SIZE)) {
        mc->max_packet_out = props->maximum_packet_size;
    }

    if (ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_TOPIC_ALIAS_MAXIMUM)) {
        mc->aliases_out = (uint16_t)
                          ngx_min(props->topic_alias_maximum,
                                  mc->conf->topic_alias_maximum);
    }

    if (ngx_mqtt_prop_is_set(props, NGX_MQTT_PROP_REQUEST_PROBLEM)) {
        mc->no_problem = !props->request_problem;
    }
}


/* client id and user name in one block, freed with the client */

static ngx_int_t
ngx_mqtt_connect_store_id(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    u_char     *p;
    uint32_t    r[4];
    ngx_str_t  *id, username;

    id = &mc->node.key;

    ngx_str_null(&username);

    if (pkt->has_username) {
        username = pkt->username;
    }

    id->len = pkt->client_id.len ? pkt->client_id.len : NGX_MQTT_AUTO_ID_LEN;

    p = ngx_mqtt_alloc(mc->worker, id->len + username.len);

    if (p == NULL) {
        id->len = 0;
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
    }

    id->data = p;

    if (pkt->client_id.len) {
        p = ngx_cpymem(p, pkt->client_id.data, pkt->client_id.len);

    } else {
        r[0] = (uint32_t) ngx_random() << 1 ^ (uint32_t) ngx_random() >> 3;
        r[1] = (uint32_t) ngx_random() << 1 ^ (uint32_t) ngx_random() >> 3;
        r[2] = (uint32_t) mc->worker->generation;
        r[3] = (uint32_t) mc->connection->number;

        p = ngx_sprintf(p, "auto-%08xD%08xD%08xD%08xD",
                        r[0], r[1], r[2], r[3]);
        mc->assigned_id = 1;
    }

    mc->username.data = p;
    mc->username.len = username.len;

    if (username.len) {
        ngx_memcpy(p, username.data, username.len);
    }

    return NGX_OK;
}


/* [MQTT-3.1.2-24]: CONNACK is the largest packet that cannot be avoided */

static ngx_int_t
ngx_mqtt_connect_fits(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_connack_t  pkt;

    if (mc->version != NGX_MQTT_V5) {
        return NGX_OK;
    }

    ngx_mqtt_props_reset(&pkt.props);
    ngx_mqtt_connect_props(mc, &pkt.props);

    if (ngx_mqtt_connack_len(mc->version, &pkt) <= mc->max_packet_out) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client allows packets of %uD bytes only, less than CONNACK",
                  mc->max_packet_out);

    return ngx_mqtt_connect_refuse(mc, mc->version, NGX_MQTT_PACKET_TOO_LARGE);
}


static ngx_int_t
ngx_mqtt_connect_authenticate(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    ngx_int_t                 rc;
    ngx_uint_t                reason;
    ngx_mqtt_op_t            *op;
    ngx_mqtt_auth_request_t   req;

    mc->connection->log->action = "authenticating client";

    op = ngx_mqtt_op_get(mc->worker, &mc->ops,
                         ngx_mqtt_connect_authenticated, mc);
    if (op == NULL) {
        return ngx_mqtt_connect_refuse(mc, mc->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
    }

    ngx_memzero(&req, sizeof(ngx_mqtt_auth_request_t));

    req.connection = mc->connection;
    req.client_id = mc->node.key;
    req.has_username = pkt->has_username;
    req.has_password = pkt->has_password;

    if (pkt->has_username) {
        req.username = mc->username;
    }

    if (pkt->has_password) {
        req.password = pkt->password;
    }

    reason = NGX_MQTT_SERVER_UNAVAILABLE;

    rc = ngx_mqtt_auth_connect(mc->worker, &req, op, &reason);

    if (rc == NGX_AGAIN) {
        return NGX_OK;
    }

    ngx_mqtt_op_cancel(op);

    if (rc != NGX_OK) {
        return ngx_mqtt_connect_auth_refused(mc, reason);
    }

    rc = ngx_mqtt_connect_auth_accepted(mc, &req.result);

    /* what was not taken */

    ngx_mqtt_grant_free(mc->worker, req.result.grant);

    return rc;
}


static void
ngx_mqtt_connect_authenticated(ngx_mqtt_op_t *op)
{
    ngx_mqtt_client_t  *mc;

    mc = op->data;

    if (op->rc != NGX_OK) {
        (void) ngx_mqtt_connect_auth_refused(mc, op->reason);
        return;
    }

    (void) ngx_mqtt_connect_auth_accepted(mc, op->result);
}


static ngx_int_t
ngx_mqtt_connect_auth_accepted(ngx_mqtt_client_t *mc,
    ngx_mqtt_auth_result_t *result)
{
    ngx_int_t  rc;

    rc = ngx_mqtt_client_auth_accept(mc, result);

    if (rc == NGX_OK) {
        return ngx_mqtt_connect_claim(mc);
    }

    return ngx_mqtt_connect_refuse(mc, mc->version,
                                   (rc == NGX_DECLINED)
                                   ? NGX_MQTT_NOT_AUTHORIZED
                                   : NGX_MQTT_SERVER_UNAVAILABLE);
}


static ngx_int_t
ngx_mqtt_connect_auth_refused(ngx_mqtt_client_t *mc, ngx_uint_t reason)
{
    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client was refused: %s", ngx_mqtt_reason_name(reason));

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_auth_failures);

    ngx_mqtt_limit_failed(mc->worker, mc->connection, &mc->node.key, reason);

    return ngx_mqtt_connect_refuse(mc, mc->version, reason);
}


static ngx_int_t
ngx_mqtt_connect_claim(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_op_t             *op;
    ngx_mqtt_client_t         *other;
    ngx_mqtt_worker_t         *w;
    ngx_mqtt_hash_node_t      *node;
    ngx_mqtt_session_claim_t   claim;

    w = mc->worker;

    mc->connection->log->action = "claiming session";

    if (ngx_mqtt_client_describe(mc, &claim.connection) != NGX_OK) {
        return ngx_mqtt_connect_refuse(mc, mc->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
    }

    node = ngx_mqtt_hash_find(&w->claiming, &mc->node.key);

    if (node) {
        other = ngx_queue_data(node, ngx_mqtt_client_t, node);
        ngx_mqtt_client_abort(other, NGX_MQTT_SESSION_TAKEN_OVER);
    }

    op = ngx_mqtt_op_get(w, &mc->ops, ngx_mqtt_connect_claimed, mc);

    if (op == NULL
        || ngx_mqtt_hash_insert(&w->claiming, &mc->node) != NGX_OK)
    {
        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_mqtt_free(w, claim.connection.data, claim.connection.len);

        return ngx_mqtt_connect_refuse(mc, mc->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
    }

    mc->claiming = 1;

    claim.client_id = mc->node.key;
    claim.expiry = mc->session_expiry;
    claim.will = mc->will;
    claim.will_delay = mc->will_delay;
    claim.clean = mc->clean_start;

    ngx_mqtt_session_claim(w, &claim, op);

    ngx_mqtt_free(w, claim.connection.data, claim.connection.len);

    return NGX_OK;
}


static void
ngx_mqtt_connect_claimed(ngx_mqtt_op_t *op)
{
    ngx_mqtt_client_t           *mc;
    ngx_mqtt_worker_t           *w;
    ngx_mqtt_session_claimed_t  *claimed;

    mc = op->data;
    w = mc->worker;

    ngx_mqtt_hash_remove(&w->claiming, &mc->node);
    mc->claiming = 0;

    if (op->rc != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "session could not be claimed");
        (void) ngx_mqtt_connect_refuse(mc, mc->version, op->reason);
        return;
    }

    claimed = op->result;
    mc->epoch = claimed->epoch;

    if (mc->taken_epoch > mc->epoch) {

        /* a stale epoch ends nothing in Redis, but the id leaves our list */

        ngx_mqtt_client_release(mc);
        ngx_mqtt_client_abort(mc, NGX_MQTT_SESSION_TAKEN_OVER);
        return;
    }

    /* also where Redis has forgotten that we own it */

    w->hooks->takeover(w, &mc->node.key, mc->epoch);

    mc->claimed = 1;
    mc->lasting = claimed->present || mc->session_expiry || mc->will;

    if (ngx_mqtt_hash_insert(&w->clients, &mc->node) != NGX_OK) {
        (void) ngx_mqtt_connect_refuse(mc, mc->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    mc->hashed = 1;
    mc->present = claimed->present;

    switch (ngx_mqtt_client_session_start(mc, claimed)) {

    case NGX_OK:
        ngx_mqtt_connect_accept(mc);
        return;

    case NGX_AGAIN:
        mc->connection->log->action = "resuming session";
        return;

    default:
        (void) ngx_mqtt_connect_refuse(mc, mc->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
    }
}


void
ngx_mqtt_connect_restored(ngx_mqtt_client_t *mc, ngx_int_t rc)
{
    if (rc == NGX_OK) {
        ngx_mqtt_connect_accept(mc);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "session could not be resumed");

    (void) ngx_mqtt_connect_refuse(mc, mc->version,
                                   NGX_MQTT_SERVER_UNAVAILABLE);
}


static void
ngx_mqtt_connect_accept(ngx_mqtt_client_t *mc)
{
    u_char              *p;
    ngx_mqtt_connack_t   pkt;

    pkt.session_present = mc->present;
    pkt.code = NGX_MQTT_SUCCESS;
    ngx_mqtt_props_reset(&pkt.props);

    if (mc->version == NGX_MQTT_V5) {
        ngx_mqtt_connect_props(mc, &pkt.props);
    }

    p = ngx_mqtt_client_room(mc, ngx_mqtt_connack_len(mc->version, &pkt));

    if (p == NULL) {
        return;
    }

    (void) ngx_mqtt_write_connack(p, mc->version, &pkt);

    mc->connection->log->action = NULL;

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0, "client connected");

    ngx_mqtt_client_connected(mc);
    ngx_mqtt_client_session_ready(mc);
    ngx_mqtt_client_resume(mc);
}


/* 3.2.2.3: only what differs from the defaults of the standard */

static void
ngx_mqtt_connect_props(ngx_mqtt_client_t *mc, ngx_mqtt_props_t *props)
{
    ngx_mqtt_client_conf_t  *conf;

    conf = mc->conf;

    props->present = ngx_mqtt_prop_bit(NGX_MQTT_PROP_RECEIVE_MAXIMUM)
                     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_MAXIMUM_PACKET_SIZE);

    props->receive_maximum = (uint16_t) conf->receive_maximum;
    props->maximum_packet_size = (uint32_t) conf->max_packet_size;

    if (conf->topic_alias_maximum) {
        props->present |= ngx_mqtt_prop_bit(NGX_MQTT_PROP_TOPIC_ALIAS_MAXIMUM);
        props->topic_alias_maximum = (uint16_t) conf->topic_alias_maximum;
    }

    if (!conf->retain) {
        props->present |= ngx_mqtt_prop_bit(NGX_MQTT_PROP_RETAIN_AVAILABLE);
        props->retain_available = 0;
    }

    if (mc->keepalive_capped) {
        props->present |= ngx_mqtt_prop_bit(NGX_MQTT_PROP_SERVER_KEEP_ALIVE);
        props->server_keep_alive = mc->keep_alive;
    }

    if (mc->expiry_capped) {
        props->present |= ngx_mqtt_prop_bit(NGX_MQTT_PROP_SESSION_EXPIRY);
        props->session_expiry = mc->session_expiry;
    }

    if (mc->assigned_id) {
        props->present |=
                        ngx_mqtt_prop_bit(NGX_MQTT_PROP_ASSIGNED_CLIENT_ID);
        props->assigned_client_id = mc->node.key;
    }
}


/*
 * "version" is 0 where no protocol was recognised: then there is no shape for
 * a CONNACK.  CONTRACT: levels up to 5 that are not served get the CONNACK of
 * 3.1.1, later ones that of 5.0.
 */

ngx_int_t
ngx_mqtt_connect_refuse(ngx_mqtt_client_t *mc, ngx_uint_t version,
    ngx_uint_t reason)
{
    u_char              *p;
    ngx_uint_t           i;
    ngx_mqtt_connack_t   pkt;

    if (mc->closing) {
        return NGX_ERROR;
    }

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_connects_refused);

    pkt.session_present = 0;
    pkt.code = reason;
    ngx_mqtt_props_reset(&pkt.props);

    for (i = 0; ngx_mqtt_connect_codes[i].reason; i++) {

        if (ngx_mqtt_connect_codes[i].reason == reason) {
            break;
        }
    }

    if (version >= NGX_MQTT_V5
        && (version > NGX_MQTT_V5
            || reason != NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION))
    {
        version = NGX_MQTT_V5;

        ngx_mqtt_client_reason_string(mc, &pkt.props,
                                      ngx_mqtt_connack_len(version, &pkt),
                                      &ngx_mqtt_connect_codes[i].text);

    } else if (version) {
        version = NGX_MQTT_V311;
        pkt.code = ngx_mqtt_connect_codes[i].code;
    }

    if (version && pkt.code) {
        p = ngx_mqtt_client_room(mc, ngx_mqtt_connack_len(version, &pkt));

        if (p) {
            (void) ngx_mqtt_write_connack(p, version, &pkt);
        }
    }

    return ngx_mqtt_client_close(mc, reason);
}
