
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth token: clients with tokens of the gateway, at CONNECT and later by
 * $SYS/uploadToken.
 *
 * (1) The password is "type|token" up to three times, each type once; one bad
 *     token refuses the whole.
 * (2) A token is verified here and then looked for among the revoked ones in
 *     Redis, without which nobody is accepted.
 * (3) The look-up owns the grants until its op completes.
 *
 * Called from: ngx_mqtt_auth.c, client/ (upload), replies of Redis.
 */


#include "ngx_mqtt_auth_int.h"


typedef struct {
    ngx_mqtt_op_t             *op;         /* the caller's */
    ngx_mqtt_grant_t          *grants;
    ngx_uint_t                 n;
} ngx_mqtt_token_lookup_t;


static ngx_int_t ngx_mqtt_tokens_parse(ngx_mqtt_worker_t *w,
    ngx_str_t *password, ngx_mqtt_credential_t *credential,
    ngx_mqtt_grant_t **grants, ngx_int_t *code);
static ngx_uint_t ngx_mqtt_tokens_next(ngx_str_t *rest, ngx_str_t *field);
static ngx_mqtt_grant_t *ngx_mqtt_token_grant(ngx_mqtt_worker_t *w,
    ngx_str_t *text, ngx_uint_t type, ngx_mqtt_credential_t *credential,
    ngx_int_t *code);
static ngx_int_t ngx_mqtt_token_belongs(json_t *claims,
    ngx_mqtt_credential_t *credential);
static ngx_int_t ngx_mqtt_tokens_lookup(ngx_mqtt_worker_t *w,
    ngx_mqtt_grant_t *grants, ngx_mqtt_op_pt done, ngx_mqtt_op_t *op);
static void ngx_mqtt_tokens_looked_up(ngx_mqtt_op_t *op);
static void ngx_mqtt_token_uploaded(ngx_mqtt_op_t *op);
static void ngx_mqtt_tokens_finish(ngx_mqtt_op_t *op, ngx_int_t rc,
    ngx_uint_t reason);


static ngx_str_t  ngx_mqtt_token_mode = ngx_string("Token");


ngx_int_t
ngx_mqtt_token_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    ngx_int_t               rc, code;
    ngx_mqtt_grant_t       *grants;
    ngx_mqtt_credential_t   credential;

    if (!ngx_mqtt_auth_mode(req, &ngx_mqtt_token_mode, &credential)) {
        return NGX_MQTT_AUTH_NEXT;
    }

    rc = ngx_mqtt_tokens_parse(w, &req->password, &credential, &grants, &code);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, req->connection->log, 0,
                      "client sent an invalid token, code %i", code);

        *reason = (code == NGX_MQTT_TOKEN_UNPARSABLE
                   || code == NGX_MQTT_TOKEN_SIGNATURE)
                  ? NGX_MQTT_BAD_USER_NAME_OR_PASSWORD
                  : NGX_MQTT_NOT_AUTHORIZED;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_mqtt_tokens_lookup(w, grants, ngx_mqtt_tokens_looked_up, op);
}


static ngx_int_t
ngx_mqtt_tokens_parse(ngx_mqtt_worker_t *w, ngx_str_t *password,
    ngx_mqtt_credential_t *credential, ngx_mqtt_grant_t **grants,
    ngx_int_t *code)
{
    ngx_str_t          rest, name, text;
    ngx_uint_t         type, types;
    ngx_mqtt_grant_t  *grant;

    *grants = NULL;

    rest = *password;
    types = 0;

    while (ngx_mqtt_tokens_next(&rest, &name)) {

        *code = NGX_MQTT_TOKEN_UNPARSABLE;

        type = ngx_mqtt_jwt_actions(&name);

        if (type == 0 || name.len == 3 || (types & (1 << type))
            || !ngx_mqtt_tokens_next(&rest, &text))
        {
            goto invalid;
        }

        types |= 1 << type;

        grant = ngx_mqtt_token_grant(w, &text, type, credential, code);

        if (grant == NULL) {
            goto invalid;
        }

        grant->next = *grants;
        *grants = grant;
    }

    if (*grants) {
        return NGX_OK;
    }

    *code = NGX_MQTT_TOKEN_UNPARSABLE;

invalid:

    ngx_mqtt_grant_free(w, *grants);

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_mqtt_tokens_next(ngx_str_t *rest, ngx_str_t *field)
{
    u_char  *p, *last;

    if (rest->data == NULL) {
        return 0;
    }

    last = rest->data + rest->len;
    p = ngx_strlchr(rest->data, last, '|');

    field->data = rest->data;
    field->len = (p ? p : last) - rest->data;

    if (p == NULL) {
        ngx_str_null(rest);
        return 1;
    }

    rest->data = p + 1;
    rest->len = last - rest->data;

    return 1;
}


static ngx_mqtt_grant_t *
ngx_mqtt_token_grant(ngx_mqtt_worker_t *w, ngx_str_t *text, ngx_uint_t type,
    ngx_mqtt_credential_t *credential, ngx_int_t *code)
{
    json_t                 *claims;
    ngx_mqtt_grant_t       *grant;
    ngx_mqtt_token_info_t   info;

    *code = ngx_mqtt_token_verify(w->gateway, text, &info, &claims);

    if (claims == NULL) {
        return NULL;
    }

    grant = NULL;

    if (*code == NGX_MQTT_TOKEN_OK
        && ngx_mqtt_token_belongs(claims, credential) != NGX_OK)
    {
        *code = NGX_MQTT_TOKEN_ACCOUNT;
    }

    if (*code == NGX_MQTT_TOKEN_OK && (type & ~info.actions)) {
        *code = NGX_MQTT_TOKEN_ACTION;
    }

    if (*code == NGX_MQTT_TOKEN_OK) {
        grant = ngx_mqtt_jwt_grant(w, json_object_get(claims, "res"), type);

        if (grant) {
            grant->term = ngx_mqtt_term_create(w, info.expires, info.id,
                                                 type);
        }

        if (grant == NULL || grant->term == NULL) {
            ngx_mqtt_grant_free(w, grant);
            grant = NULL;

            *code = NGX_MQTT_TOKEN_UNPARSABLE;
        }
    }

    json_decref(claims);

    return grant;
}


/* the key and the instance that the user name tells */

static ngx_int_t
ngx_mqtt_token_belongs(json_t *claims, ngx_mqtt_credential_t *credential)
{
    json_t  *ak, *ins;

    ak = json_object_get(claims, "ak");
    ins = json_object_get(claims, "ins");

    if (json_string_length(ak) != credential->key.len
        || ngx_memcmp(json_string_value(ak), credential->key.data,
                      credential->key.len)
           != 0
        || json_string_length(ins) != credential->instance.len
        || ngx_memcmp(json_string_value(ins), credential->instance.data,
                      credential->instance.len)
           != 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* takes the grants */

static ngx_int_t
ngx_mqtt_tokens_lookup(ngx_mqtt_worker_t *w, ngx_mqtt_grant_t *grants,
    ngx_mqtt_op_pt done, ngx_mqtt_op_t *op)
{
    ngx_str_t                 ids[NGX_MQTT_TOKENS];
    ngx_mqtt_op_t            *redis_op;
    ngx_mqtt_grant_t         *grant;
    ngx_mqtt_token_lookup_t  *lookup;

    lookup = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_token_lookup_t));

    if (lookup == NULL) {
        ngx_mqtt_grant_free(w, grants);
        return NGX_ERROR;
    }

    lookup->op = op;
    lookup->grants = grants;
    lookup->n = 0;

    for (grant = grants; grant; grant = grant->next) {
        ids[lookup->n].data = grant->term->id;
        ids[lookup->n].len = NGX_MQTT_TOKEN_ID;
        lookup->n++;
    }

    redis_op = ngx_mqtt_op_get(w, NULL, done, lookup);

    if (redis_op
        && ngx_mqtt_revoke_lookup(w, ids, lookup->n, redis_op) == NGX_OK)
    {
        return NGX_AGAIN;
    }

    if (redis_op) {
        ngx_mqtt_op_cancel(redis_op);
    }

    ngx_mqtt_grant_free(w, grants);
    ngx_mqtt_free(w, lookup, sizeof(ngx_mqtt_token_lookup_t));

    return NGX_ERROR;
}


static void
ngx_mqtt_tokens_looked_up(ngx_mqtt_op_t *op)
{
    ngx_mqtt_token_lookup_t  *lookup;

    lookup = op->data;

    switch (ngx_mqtt_revoke_answer(op, lookup->n)) {

    case NGX_OK:
        ngx_mqtt_tokens_finish(op, NGX_OK, NGX_MQTT_SUCCESS);
        break;

    case NGX_DECLINED:
        ngx_mqtt_tokens_finish(op, NGX_DECLINED, NGX_MQTT_NOT_AUTHORIZED);
        break;

    default:
        ngx_mqtt_tokens_finish(op, NGX_DECLINED, NGX_MQTT_SERVER_UNAVAILABLE);
    }
}


static void
ngx_mqtt_tokens_finish(ngx_mqtt_op_t *op, ngx_int_t rc, ngx_uint_t reason)
{
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_auth_result_t    result;
    ngx_mqtt_token_lookup_t  *lookup;

    w = op->worker;
    lookup = op->data;

    ngx_memzero(&result, sizeof(ngx_mqtt_auth_result_t));
    result.grant = lookup->grants;

    ngx_mqtt_op_complete(lookup->op, rc, reason, &result);

    ngx_mqtt_grant_free(w, result.grant);
    ngx_mqtt_free(w, lookup, sizeof(ngx_mqtt_token_lookup_t));
}


ngx_int_t
ngx_mqtt_token_upload(ngx_mqtt_worker_t *w, ngx_str_t *username,
    ngx_str_t *payload, ngx_mqtt_op_t *op, ngx_int_t *code, ngx_uint_t *type)
{
    json_t                 *json, *token, *name;
    ngx_str_t               text;
    ngx_mqtt_grant_t       *grant;
    ngx_mqtt_credential_t   credential;

    *code = NGX_MQTT_TOKEN_UNPARSABLE;
    *type = 0;

    grant = NULL;

    if (ngx_mqtt_credential_parse(username, &credential) != NGX_OK) {
        return NGX_DECLINED;
    }

    json = json_loadb((char *) payload->data, payload->len,
                      JSON_REJECT_DUPLICATES, NULL);

    token = json_object_get(json, "token");
    name = json_object_get(json, "type");

    if (json_is_string(token) && json_is_string(name)) {
        text.data = (u_char *) json_string_value(name);
        text.len = json_string_length(name);

        *type = (text.len < 3) ? ngx_mqtt_jwt_actions(&text) : 0;

        text.data = (u_char *) json_string_value(token);
        text.len = json_string_length(token);

        if (*type) {
            grant = ngx_mqtt_token_grant(w, &text, *type, &credential, code);
        }
    }

    json_decref(json);

    if (grant == NULL) {
        return NGX_DECLINED;
    }

    return ngx_mqtt_tokens_lookup(w, grant, ngx_mqtt_token_uploaded, op);
}


static void
ngx_mqtt_token_uploaded(ngx_mqtt_op_t *op)
{
    ngx_mqtt_token_lookup_t  *lookup;

    lookup = op->data;

    switch (ngx_mqtt_revoke_answer(op, lookup->n)) {

    case NGX_OK:
        ngx_mqtt_tokens_finish(op, NGX_OK, NGX_MQTT_TOKEN_OK);
        break;

    case NGX_DECLINED:
        ngx_mqtt_tokens_finish(op, NGX_DECLINED, NGX_MQTT_TOKEN_REVOKED);
        break;

    default:
        ngx_mqtt_tokens_finish(op, NGX_ERROR, NGX_MQTT_TOKEN_OK);
    }
}
