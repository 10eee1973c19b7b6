
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth token FILE: the secrets that tokens are signed with, the making of a
 * token and the reading of one.
 *
 * (1) The first secret of the file signs, all of them verify: so a secret can
 *     be replaced without a token becoming invalid.
 * (2) A token counts in the gateway that made it: it carries its name.
 * (3) A token is worth no more than the access key that asked for it: it ends
 *     when the key is taken out of its file, with the next CONNECT.
 *
 * Called from: ngx_mqtt_auth_token.c, the token service.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_auth_file.h"

#include <sys/random.h>


#define NGX_MQTT_TOKEN_SECRET  32      /* bytes at least */


static ngx_int_t ngx_mqtt_token_resources(ngx_str_t *text,
    ngx_mqtt_access_key_t *key, ngx_uint_t actions, json_t *resources);
static ngx_int_t ngx_mqtt_token_resource(ngx_str_t *filter,
    ngx_mqtt_access_key_t *key, ngx_uint_t actions);
static json_t *ngx_mqtt_token_claims(ngx_mqtt_gateway_t *gw,
    ngx_mqtt_token_request_t *tr, json_t *resources);
static ngx_int_t ngx_mqtt_token_check(ngx_mqtt_gateway_t *gw, json_t *claims,
    ngx_mqtt_token_info_t *info);
static ngx_uint_t ngx_mqtt_token_claim_is(json_t *claims, const char *name,
    ngx_str_t *value);


static ngx_str_t  ngx_mqtt_token_algorithm = ngx_string("HS256");

static ngx_str_t  ngx_mqtt_token_types[] = {
    ngx_null_string,
    ngx_string("R"),
    ngx_string("W"),
    ngx_string("RW")
};


char *
ngx_mqtt_token_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_str_t            *value, file, text, line;
    ngx_uint_t            number;
    ngx_array_t          *keys;
    ngx_mqtt_jwt_key_t   *key;

    if (cf->args->nelts != 3) {
        return "method \"token\" takes one parameter, the file";
    }

    if (entry->gateway->auth->tokens) {
        return "method \"token\" is duplicate";
    }

    value = cf->args->elts;
    file = value[2];

    keys = ngx_array_create(cf->pool, 2, sizeof(ngx_mqtt_jwt_key_t));

    if (keys == NULL || ngx_mqtt_auth_file_read(cf, &file, &text) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    number = 0;

    while (ngx_mqtt_auth_file_line(&text, &line, &number)) {

        if (line.len < NGX_MQTT_TOKEN_SECRET) {
            (void) ngx_mqtt_auth_file_error(cf, &file, number,
                                            "a secret of less than 32 bytes");
            return NGX_CONF_ERROR;
        }

        key = ngx_array_push(keys);
        if (key == NULL) {
            return NGX_CONF_ERROR;
        }

        (void) ngx_mqtt_jwt_algorithm(&ngx_mqtt_token_algorithm, &key->alg);
        key->key = line;
    }

    if (keys->nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no secret in \"%V\"", &file);
        return NGX_CONF_ERROR;
    }

    entry->gateway->auth->tokens = keys;

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_mqtt_token_served(ngx_mqtt_gateway_t *gw)
{
    return gw->auth->keys && gw->auth->tokens;
}


ngx_uint_t
ngx_mqtt_token_signed(ngx_mqtt_gateway_t *gw, ngx_str_t *key, ngx_str_t *text,
    ngx_str_t *signature)
{
    ngx_str_t               secret;
    ngx_uint_t              valid;
    ngx_mqtt_access_key_t  *ak;

    ak = ngx_mqtt_keys_find(gw->auth->keys, key);

    ngx_str_set(&secret, "-");

    if (ak) {
        secret = ak->secret;
    }

    valid = ngx_mqtt_signature_check(&secret, text, signature);

    return valid && ak;
}


ngx_int_t
ngx_mqtt_token_make(ngx_mqtt_gateway_t *gw, ngx_mqtt_token_request_t *tr,
    ngx_pool_t *pool, ngx_str_t *token)
{
    char                   *text;
    json_t                 *claims, *resources;
    ngx_int_t               rc;
    ngx_mqtt_access_key_t  *key;

    key = ngx_mqtt_keys_find(gw->auth->keys, &tr->key);

    if (key == NULL
        || key->instance.len != tr->instance.len
        || ngx_memcmp(key->instance.data, tr->instance.data,
                      tr->instance.len)
           != 0)
    {
        return NGX_DECLINED;
    }

    resources = json_array();
    if (resources == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_mqtt_token_resources(&tr->resources, key, tr->actions,
                                  resources);

    if (rc != NGX_OK) {
        json_decref(resources);
        return rc;
    }

    claims = ngx_mqtt_token_claims(gw, tr, resources);
    if (claims == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    text = json_dumps(claims, JSON_COMPACT);

    if (text) {
        rc = ngx_mqtt_jwt_sign(pool, gw->auth->tokens->elts, text, token);
        free(text);
    }

    json_decref(claims);

    return rc;
}


static ngx_int_t
ngx_mqtt_token_resources(ngx_str_t *text, ngx_mqtt_access_key_t *key,
    ngx_uint_t actions, json_t *resources)
{
    u_char     *p, *last, *comma;
    ngx_int_t   rc;
    ngx_str_t   filter;

    p = text->data;
    last = p + text->len;

    for ( /* void */ ; p <= last; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        filter.data = p;
        filter.len = comma - p;

        rc = ngx_mqtt_token_resource(&filter, key, actions);

        if (rc != NGX_OK) {
            return rc;
        }

        if (json_array_size(resources) == NGX_MQTT_TOKEN_RESOURCES) {
            return NGX_ABORT;
        }

        if (json_array_append_new(resources,
                                  json_stringn((char *) filter.data,
                                               filter.len))
            != 0)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* an access key with permissions gives away what it has, no more */

static ngx_int_t
ngx_mqtt_token_resource(ngx_str_t *filter, ngx_mqtt_access_key_t *key,
    ngx_uint_t actions)
{
    ngx_uint_t              i, granted;
    ngx_mqtt_grant_rule_t  *rule;

    if (ngx_mqtt_utf8_check(filter) != NGX_OK
        || ngx_mqtt_topic_filter_check(filter, NULL) != NGX_OK)
    {
        return NGX_ABORT;
    }

    if (key->grant.nrules == 0) {
        return NGX_OK;
    }

    granted = 0;

    for (i = 0; i < key->grant.nrules; i++) {
        rule = &key->grant.rules[i];

        if (ngx_mqtt_topic_covers(&rule->filter, filter)) {
            granted |= rule->actions;
        }
    }

    return (actions & ~granted) ? NGX_DECLINED : NGX_OK;
}


/* takes the reference to the resources */

static json_t *
ngx_mqtt_token_claims(ngx_mqtt_gateway_t *gw, ngx_mqtt_token_request_t *tr,
    json_t *resources)
{
    int         rc;
    u_char      id[NGX_MQTT_TOKEN_ID], random[NGX_MQTT_TOKEN_ID / 2];
    json_t     *claims;
    ngx_str_t  *type;

    claims = json_object();

    rc = json_object_set_new(claims, "res", resources);

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        json_decref(claims);
        return NULL;
    }

    (void) ngx_hex_dump(id, random, sizeof(random));

    type = ngx_mqtt_token_type_name(tr->actions);

    rc |= json_object_set_new(claims, "jti",
                              json_stringn((char *) id, NGX_MQTT_TOKEN_ID));
    rc |= json_object_set_new(claims, "aud",
                              json_stringn((char *) gw->name.data,
                                           gw->name.len));
    rc |= json_object_set_new(claims, "ak",
                              json_stringn((char *) tr->key.data,
                                           tr->key.len));
    rc |= json_object_set_new(claims, "ins",
                              json_stringn((char *) tr->instance.data,
                                           tr->instance.len));
    rc |= json_object_set_new(claims, "act",
                              json_stringn((char *) type->data, type->len));
    rc |= json_object_set_new(claims, "exp", json_integer(tr->expires));

    if (rc != 0) {
        json_decref(claims);
        return NULL;
    }

    return claims;
}


ngx_int_t
ngx_mqtt_token_inspect(ngx_mqtt_gateway_t *gw, ngx_str_t *text,
    ngx_str_t *key, ngx_mqtt_token_info_t *info)
{
    json_t     *claims;
    ngx_int_t   code;

    code = ngx_mqtt_token_verify(gw, text, info, &claims);

    if (claims == NULL) {
        return code;
    }

    if (key && !ngx_mqtt_token_claim_is(claims, "ak", key)) {
        code = NGX_MQTT_TOKEN_ACCOUNT;
    }

    json_decref(claims);

    return code;
}


/* claims are there when the signature is right, also of an expired token */

ngx_int_t
ngx_mqtt_token_verify(ngx_mqtt_gateway_t *gw, ngx_str_t *text,
    ngx_mqtt_token_info_t *info, json_t **claims)
{
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_mqtt_jwt_key_t  *keys;

    keys = gw->auth->tokens->elts;
    rc = NGX_ERROR;

    for (i = 0; i < gw->auth->tokens->nelts; i++) {
        rc = ngx_mqtt_jwt_verify(&keys[i], text, claims);

        if (rc != NGX_DECLINED) {
            break;
        }
    }

    if (rc == NGX_OK) {
        return ngx_mqtt_token_check(gw, *claims, info);
    }

    *claims = NULL;

    return (rc == NGX_DECLINED) ? NGX_MQTT_TOKEN_SIGNATURE
                                : NGX_MQTT_TOKEN_UNPARSABLE;
}


static ngx_int_t
ngx_mqtt_token_check(ngx_mqtt_gateway_t *gw, json_t *claims,
    ngx_mqtt_token_info_t *info)
{
    json_t                 *id, *exp, *act, *ak, *ins;
    ngx_str_t               text;
    ngx_mqtt_access_key_t  *key;

    id = json_object_get(claims, "jti");
    exp = json_object_get(claims, "exp");
    act = json_object_get(claims, "act");
    ak = json_object_get(claims, "ak");
    ins = json_object_get(claims, "ins");

    if (!json_is_string(id) || json_string_length(id) != NGX_MQTT_TOKEN_ID
        || !json_is_integer(exp) || !json_is_string(act)
        || !json_is_string(ak) || !json_is_string(ins)
        || !ngx_mqtt_token_claim_is(claims, "aud", &gw->name))
    {
        return NGX_MQTT_TOKEN_UNPARSABLE;
    }

    text.data = (u_char *) json_string_value(act);
    text.len = json_string_length(act);

    info->actions = ngx_mqtt_jwt_actions(&text);
    info->expires = (time_t) json_integer_value(exp);
    ngx_memcpy(info->id, json_string_value(id), NGX_MQTT_TOKEN_ID);

    text.data = (u_char *) json_string_value(ak);
    text.len = json_string_length(ak);

    key = gw->auth->keys ? ngx_mqtt_keys_find(gw->auth->keys, &text) : NULL;

    if (key == NULL
        || !ngx_mqtt_token_claim_is(claims, "ins", &key->instance))
    {
        return NGX_MQTT_TOKEN_ACCOUNT;
    }

    return (info->expires <= ngx_time()) ? NGX_MQTT_TOKEN_EXPIRED
                                         : NGX_MQTT_TOKEN_OK;
}


static ngx_uint_t
ngx_mqtt_token_claim_is(json_t *claims, const char *name, ngx_str_t *value)
{
    json_t  *claim;

    claim = json_object_get(claims, name);

    return json_is_string(claim)
           && json_string_length(claim) == value->len
           && ngx_memcmp(json_string_value(claim), value->data, value->len)
              == 0;
}


ngx_str_t *
ngx_mqtt_token_type_name(ngx_uint_t type)
{
    return &ngx_mqtt_token_types[type & NGX_MQTT_GRANT_BOTH];
}
