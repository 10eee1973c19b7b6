
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The token service: application servers apply for tokens, revoke and query
 * them, and ask whether a client is connected.
 *
 * (1) Every request is signed with an access key; nothing else is looked at
 *     before the signature is right.
 * (2) The answer is JSON with a code of its own; HTTP says 200 to all that
 *     could be answered: clients of the contract expect it.
 * (3) A request that waits for Redis is held by its op, which completes
 *     always, also when the worker exits.
 *
 * Called from: nginx, replies of Redis.
 */


#include "ngx_http_mqtt_token.h"
#include "ngx_mqtt_session.h"
#include "ngx_mqtt_signature.h"
#include "ngx_mqtt_jwt.h"
#include "ngx_mqtt_token.h"


/* codes of the contract */

#define NGX_HTTP_MQTT_OK               200
#define NGX_HTTP_MQTT_BAD_REQUEST      400
#define NGX_HTTP_MQTT_BAD_SIGNATURE    407
#define NGX_HTTP_MQTT_NOT_ALLOWED      409
#define NGX_HTTP_MQTT_BAD_TOKEN        410
#define NGX_HTTP_MQTT_UNAVAILABLE      503

/* how far the clock of an application server may be off, ms */

#define NGX_HTTP_MQTT_CLOCK            600000


typedef struct {
    ngx_str_t              uri;          /* the end of it */
    ngx_uint_t             method;
    ngx_uint_t             nsigned;
    ngx_uint_t             params[5];    /* that are signed */
    void                 (*handler)(ngx_http_request_t *r,
                                    ngx_http_mqtt_params_t *params);
} ngx_http_mqtt_call_t;


/* a request that waits */

typedef struct {
    ngx_http_mqtt_call_t  *call;
    ngx_mqtt_worker_t     *worker;
    ngx_str_t              id;           /* of the token */
    u_char                 text[NGX_MQTT_TOKEN_ID];
} ngx_http_mqtt_token_ctx_t;


static ngx_http_mqtt_call_t *ngx_http_mqtt_token_call(ngx_http_request_t *r);
static void ngx_http_mqtt_token_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_mqtt_token_params(ngx_http_request_t *r,
    ngx_http_mqtt_call_t *call, ngx_http_mqtt_params_t *params);
static ngx_int_t ngx_http_mqtt_token_check(ngx_http_request_t *r,
    ngx_http_mqtt_call_t *call, ngx_http_mqtt_params_t *params);
static void ngx_http_mqtt_token_apply(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params);
static ngx_int_t ngx_http_mqtt_token_request(ngx_mqtt_token_request_t *tr,
    ngx_http_mqtt_params_t *params);
static ngx_int_t ngx_http_mqtt_token_time(ngx_str_t *text, int64_t *ms);
static void ngx_http_mqtt_token_revoke(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params);
static void ngx_http_mqtt_token_revoked(ngx_mqtt_op_t *op);
static void ngx_http_mqtt_token_query(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params);
static void ngx_http_mqtt_token_queried(ngx_mqtt_op_t *op);
static void ngx_http_mqtt_token_online(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params);
static void ngx_http_mqtt_token_answered(ngx_mqtt_op_t *op);
static ngx_int_t ngx_http_mqtt_token_inspect(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params, ngx_mqtt_token_info_t *info);
static ngx_mqtt_op_t *ngx_http_mqtt_token_op(ngx_http_request_t *r,
    ngx_mqtt_op_pt done);
static void ngx_http_mqtt_token_send(ngx_http_request_t *r, ngx_uint_t code,
    const char *message, const char *name, json_t *data);


static ngx_http_mqtt_call_t  ngx_http_mqtt_calls[] = {

    { ngx_string("/token/apply"), NGX_HTTP_POST, 5,
      { NGX_HTTP_MQTT_ACTIONS, NGX_HTTP_MQTT_RESOURCES,
        NGX_HTTP_MQTT_EXPIRE_TIME, NGX_HTTP_MQTT_SERVICE_NAME,
        NGX_HTTP_MQTT_INSTANCE_ID },
      ngx_http_mqtt_token_apply },

    { ngx_string("/token/revoke"), NGX_HTTP_POST, 1,
      { NGX_HTTP_MQTT_TOKEN },
      ngx_http_mqtt_token_revoke },

    { ngx_string("/token/query"), NGX_HTTP_POST, 1,
      { NGX_HTTP_MQTT_TOKEN },
      ngx_http_mqtt_token_query },

    { ngx_string("/route/clientId/get"), NGX_HTTP_GET, 4,
      { NGX_HTTP_MQTT_ACCESS_KEY, NGX_HTTP_MQTT_INSTANCE_ID,
        NGX_HTTP_MQTT_RESOURCE, NGX_HTTP_MQTT_TIMESTAMP },
      ngx_http_mqtt_token_online },

    { ngx_null_string, 0, 0, { 0 }, NULL }
};


ngx_int_t
ngx_http_mqtt_token_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_mqtt_gateway_t         *gw;
    ngx_http_mqtt_call_t       *call;
    ngx_http_mqtt_token_ctx_t  *ctx;

    call = ngx_http_mqtt_token_call(r);

    if (call == NULL) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (r->method != call->method) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    gw = ngx_http_mqtt_token_gateway(r);

    if (gw->worker == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_mqtt_token_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->call = call;
    ctx->worker = gw->worker;

    ngx_http_set_ctx(r, ctx, ngx_http_mqtt_module);

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_mqtt_token_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* behind whatever the location begins with */

static ngx_http_mqtt_call_t *
ngx_http_mqtt_token_call(ngx_http_request_t *r)
{
    ngx_str_t             *uri;
    ngx_http_mqtt_call_t  *call;

    for (call = ngx_http_mqtt_calls; call->handler; call++) {
        uri = &call->uri;

        if (r->uri.len >= uri->len
            && ngx_memcmp(r->uri.data + r->uri.len - uri->len, uri->data,
                          uri->len)
               == 0)
        {
            return call;
        }
    }

    return NULL;
}


static void
ngx_http_mqtt_token_body(ngx_http_request_t *r)
{
    ngx_http_mqtt_params_t      params;
    ngx_http_mqtt_token_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

    ngx_memzero(&params, sizeof(ngx_http_mqtt_params_t));

    switch (ngx_http_mqtt_token_params(r, ctx->call, &params)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_REQUEST,
                                 "invalid parameters", NULL, NULL);
        return;

    default:
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    switch (ngx_http_mqtt_token_check(r, ctx->call, &params)) {

    case NGX_OK:
        ctx->call->handler(r, &params);
        return;

    case NGX_DECLINED:
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "request to the token service has a wrong signature");

        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_SIGNATURE,
                                 "wrong signature", NULL, NULL);
        return;

    default:
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


/* all that are signed have to be there, and so do key and signature */

static ngx_int_t
ngx_http_mqtt_token_params(ngx_http_request_t *r, ngx_http_mqtt_call_t *call,
    ngx_http_mqtt_params_t *params)
{
    ngx_int_t   rc;
    ngx_str_t   text;
    ngx_uint_t  i, commas;
    ngx_str_t  *resources;

    text = r->args;

    if (call->method == NGX_HTTP_POST) {
        rc = ngx_http_mqtt_form_body(r, &text);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_mqtt_form_parse(r, &text, params);

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < call->nsigned; i++) {

        if (params->values[call->params[i]].len == 0) {
            return NGX_DECLINED;
        }
    }

    if (params->values[NGX_HTTP_MQTT_ACCESS_KEY].len == 0
        || params->values[NGX_HTTP_MQTT_SIGNATURE].len == 0)
    {
        return NGX_DECLINED;
    }

    /* so many can be sorted for the signature */

    resources = &params->values[NGX_HTTP_MQTT_RESOURCES];

    for (i = 0, commas = 0; i < resources->len; i++) {
        commas += (resources->data[i] == ',');
    }

    return (commas < NGX_MQTT_TOKEN_RESOURCES
            && params->values[NGX_HTTP_MQTT_ACTIONS].len <= 3)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_mqtt_token_check(ngx_http_request_t *r, ngx_http_mqtt_call_t *call,
    ngx_http_mqtt_params_t *params)
{
    size_t        len;
    ngx_str_t     text;
    ngx_uint_t    i;
    ngx_keyval_t  pairs[5];

    len = 0;

    for (i = 0; i < call->nsigned; i++) {
        pairs[i].key = *ngx_http_mqtt_form_name(call->params[i]);
        pairs[i].value = params->values[call->params[i]];

        len += pairs[i].key.len + pairs[i].value.len + 2;
    }

    text.data = ngx_pnalloc(r->pool, len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_mqtt_signature_text(text.data, pairs, call->nsigned)
               - text.data;

    return ngx_mqtt_token_signed(ngx_http_mqtt_token_gateway(r),
                                 &params->values[NGX_HTTP_MQTT_ACCESS_KEY],
                                 &text,
                                 &params->values[NGX_HTTP_MQTT_SIGNATURE])
           ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_mqtt_token_apply(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params)
{
    ngx_str_t                  token;
    ngx_mqtt_gateway_t        *gw;
    ngx_mqtt_token_request_t   tr;

    gw = ngx_http_mqtt_token_gateway(r);

    if (ngx_http_mqtt_token_request(&tr, params) != NGX_OK) {
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_REQUEST,
                                 "invalid parameters", NULL, NULL);
        return;
    }

    switch (ngx_mqtt_token_make(gw, &tr, r->pool, &token)) {

    case NGX_OK:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_OK, "success", "tokenData",
                                 json_stringn((char *) token.data,
                                              token.len));
        return;

    case NGX_DECLINED:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_NOT_ALLOWED,
                                 "not allowed with this access key", NULL,
                                 NULL);
        return;

    case NGX_ABORT:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_REQUEST,
                                 "invalid resources", NULL, NULL);
        return;

    default:
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


static ngx_int_t
ngx_http_mqtt_token_request(ngx_mqtt_token_request_t *tr,
    ngx_http_mqtt_params_t *params)
{
    time_t      now;
    int64_t     ms;
    ngx_str_t  *values;

    values = params->values;

    tr->key = values[NGX_HTTP_MQTT_ACCESS_KEY];
    tr->instance = values[NGX_HTTP_MQTT_INSTANCE_ID];
    tr->resources = values[NGX_HTTP_MQTT_RESOURCES];
    tr->actions = ngx_mqtt_jwt_actions(&values[NGX_HTTP_MQTT_ACTIONS]);

    if (tr->actions == 0
        || ngx_http_mqtt_token_time(&values[NGX_HTTP_MQTT_EXPIRE_TIME], &ms)
           != NGX_OK
        || values[NGX_HTTP_MQTT_PROXY_TYPE].len != 4
        || ngx_strncmp(values[NGX_HTTP_MQTT_PROXY_TYPE].data, "MQTT", 4) != 0
        || values[NGX_HTTP_MQTT_SERVICE_NAME].len != 2
        || ngx_strncmp(values[NGX_HTTP_MQTT_SERVICE_NAME].data, "mq", 2) != 0)
    {
        return NGX_DECLINED;
    }

    now = ngx_time();

    tr->expires = (time_t) (ms / 1000);

    if (tr->expires < now + NGX_MQTT_TOKEN_MIN_TIME) {
        return NGX_DECLINED;
    }

    if (tr->expires > now + NGX_MQTT_TOKEN_MAX_TIME) {
        tr->expires = now + NGX_MQTT_TOKEN_MAX_TIME;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mqtt_token_time(ngx_str_t *text, int64_t *ms)
{
    ngx_int_t  n;

    n = ngx_atoi(text->data, text->len);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *ms = n;

    return NGX_OK;
}


static void
ngx_http_mqtt_token_revoke(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params)
{
    ngx_mqtt_op_t              *op;
    ngx_mqtt_token_info_t       info;
    ngx_http_mqtt_token_ctx_t  *ctx;

    if (ngx_http_mqtt_token_inspect(r, params, &info) != NGX_OK) {
        return;
    }

    op = ngx_http_mqtt_token_op(r, ngx_http_mqtt_token_revoked);

    if (op) {
        ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

        ngx_mqtt_token_revoke(ctx->worker, &ctx->id, info.expires, op);
    }
}


static void
ngx_http_mqtt_token_revoked(ngx_mqtt_op_t *op)
{
    if (op->rc != NGX_OK) {
        ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_UNAVAILABLE,
                                 "Redis is not available", NULL, NULL);
        return;
    }

    ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_OK, "success",
                             "tokenData", json_true());
}


static void
ngx_http_mqtt_token_query(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params)
{
    ngx_mqtt_op_t              *op;
    ngx_mqtt_token_info_t       info;
    ngx_http_mqtt_token_ctx_t  *ctx;

    if (ngx_http_mqtt_token_inspect(r, params, &info) != NGX_OK) {
        return;
    }

    op = ngx_http_mqtt_token_op(r, ngx_http_mqtt_token_queried);

    if (op == NULL) {
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

    if (ngx_mqtt_revoke_lookup(ctx->worker, &ctx->id, 1, op) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
    }
}


static void
ngx_http_mqtt_token_queried(ngx_mqtt_op_t *op)
{
    switch (ngx_mqtt_revoke_answer(op, 1)) {

    case NGX_OK:
        ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_OK, "success",
                                 "tokenData", json_true());
        return;

    case NGX_DECLINED:
        ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_BAD_TOKEN,
                                 "revoked token", "tokenData", json_false());
        return;

    default:
        ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_UNAVAILABLE,
                                 "Redis is not available", NULL, NULL);
    }
}


static void
ngx_http_mqtt_token_online(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params)
{
    int64_t                     ms, now;
    ngx_time_t                 *tp;
    ngx_mqtt_op_t              *op;
    ngx_http_mqtt_token_ctx_t  *ctx;

    tp = ngx_timeofday();
    now = (int64_t) tp->sec * 1000 + tp->msec;

    if (ngx_http_mqtt_token_time(&params->values[NGX_HTTP_MQTT_TIMESTAMP], &ms)
        != NGX_OK
        || ngx_abs(now - ms) > NGX_HTTP_MQTT_CLOCK)
    {
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_REQUEST,
                                 "timestamp is too old or too new", NULL,
                                 NULL);
        return;
    }

    op = ngx_http_mqtt_token_op(r, ngx_http_mqtt_token_answered);

    if (op) {
        ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

        ngx_mqtt_session_online(ctx->worker,
                                &params->values[NGX_HTTP_MQTT_RESOURCE], op);
    }
}


static void
ngx_http_mqtt_token_answered(ngx_mqtt_op_t *op)
{
    if (op->rc == NGX_ERROR) {
        ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_UNAVAILABLE,
                                 "Redis is not available", NULL, NULL);
        return;
    }

    ngx_http_mqtt_token_send(op->data, NGX_HTTP_MQTT_OK, "success", "online",
                             json_boolean(op->rc == NGX_OK));
}


/*
 * A token of this access key that is valid, but for a revocation; otherwise
 * the request is answered.
 */

static ngx_int_t
ngx_http_mqtt_token_inspect(ngx_http_request_t *r,
    ngx_http_mqtt_params_t *params, ngx_mqtt_token_info_t *info)
{
    ngx_int_t                   code;
    ngx_http_mqtt_token_ctx_t  *ctx;

    code = ngx_mqtt_token_inspect(ngx_http_mqtt_token_gateway(r),
                                  &params->values[NGX_HTTP_MQTT_TOKEN],
                                  &params->values[NGX_HTTP_MQTT_ACCESS_KEY],
                                  info);

    switch (code) {

    case NGX_MQTT_TOKEN_OK:
        ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

        ngx_memcpy(ctx->text, info->id, NGX_MQTT_TOKEN_ID);

        ctx->id.data = ctx->text;
        ctx->id.len = NGX_MQTT_TOKEN_ID;

        return NGX_OK;

    case NGX_MQTT_TOKEN_EXPIRED:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_TOKEN, "expired token",
                                 "tokenData", json_false());
        break;

    case NGX_MQTT_TOKEN_ACCOUNT:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_NOT_ALLOWED,
                                 "token of another access key", NULL, NULL);
        break;

    default:
        ngx_http_mqtt_token_send(r, NGX_HTTP_MQTT_BAD_TOKEN, "invalid token",
                                 "tokenData", json_false());
    }

    return NGX_DECLINED;
}


/* NULL: the request is finalized */

static ngx_mqtt_op_t *
ngx_http_mqtt_token_op(ngx_http_request_t *r, ngx_mqtt_op_pt done)
{
    ngx_mqtt_op_t              *op;
    ngx_http_mqtt_token_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

    op = ngx_mqtt_op_get(ctx->worker, NULL, done, r);

    if (op == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }

    return op;
}


/* takes the reference to the data */

static void
ngx_http_mqtt_token_send(ngx_http_request_t *r, ngx_uint_t code,
    const char *message, const char *name, json_t *data)
{
    int               rc;
    json_t           *json;
    ngx_str_t         text;
    ngx_int_t         status;
    ngx_connection_t *c;

    c = r->connection;
    json = json_object();

    rc = json_object_set_new(json, "success",
                             json_boolean(code == NGX_HTTP_MQTT_OK));
    rc |= json_object_set_new(json, "code", json_integer(code));
    rc |= json_object_set_new(json, "message", json_string(message));

    if (name) {
        rc |= json_object_set_new(json, name, data);
    }

    status = NGX_HTTP_INTERNAL_SERVER_ERROR;

    if (rc == 0 && ngx_http_mqtt_json_text(r, json, &text) == NGX_OK) {
        status = ngx_http_mqtt_send_json(r, (code == NGX_HTTP_MQTT_UNAVAILABLE)
                                            ? NGX_HTTP_SERVICE_UNAVAILABLE
                                            : NGX_HTTP_OK, &text);
    }

    json_decref(json);

    ngx_http_finalize_request(r, status);
    ngx_http_run_posted_requests(c);
}
