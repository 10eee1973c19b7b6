
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * JSON Web Tokens.  The only file that knows libjwt.
 *
 * (1) A token is valid only with the algorithm of the key: a public key is
 *     never taken for the secret of an HMAC, and "none" for a signature.
 * (2) Nothing waits: a verification is some ten to hundred microseconds.
 *
 * Called from: the methods "token" and "jwt" of auth, the token service.
 */


#include "ngx_mqtt_jwt.h"

#include <jwt.h>


static char *ngx_mqtt_jwt_text(ngx_str_t *text);


ngx_int_t
ngx_mqtt_jwt_algorithm(ngx_str_t *name, ngx_uint_t *alg)
{
    jwt_alg_t  a;

    a = jwt_str_alg((char *) name->data);

    if (a == JWT_ALG_NONE || a == JWT_ALG_INVAL) {
        return NGX_DECLINED;
    }

    *alg = a;

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_jwt_symmetric(ngx_uint_t alg)
{
    return alg == JWT_ALG_HS256 || alg == JWT_ALG_HS384
           || alg == JWT_ALG_HS512;
}


ngx_int_t
ngx_mqtt_jwt_verify(ngx_mqtt_jwt_key_t *key, ngx_str_t *text, json_t **claims)
{
    char       *token, *grants;
    jwt_t      *jwt;
    ngx_int_t   rc;

    token = ngx_mqtt_jwt_text(text);
    if (token == NULL) {
        return NGX_ERROR;
    }

    *claims = NULL;
    jwt = NULL;

    if (jwt_decode(&jwt, token, key->key.data, (int) key->key.len) == 0) {
        rc = NGX_DECLINED;

        if (jwt_get_alg(jwt) == (jwt_alg_t) key->alg) {
            grants = jwt_get_grants_json(jwt, NULL);

            if (grants) {
                *claims = json_loads(grants, 0, NULL);
                free(grants);
            }

            rc = *claims ? NGX_OK : NGX_ERROR;
        }

    } else {
        jwt = NULL;

        /* without a key it is only parsed */

        rc = (jwt_decode(&jwt, token, NULL, 0) == 0) ? NGX_DECLINED
                                                     : NGX_ERROR;
    }

    if (jwt) {
        jwt_free(jwt);
    }

    ngx_explicit_memzero(token, text->len);
    ngx_free(token);

    return rc;
}


/* a C string without anything that is not of a compact token */

static char *
ngx_mqtt_jwt_text(ngx_str_t *text)
{
    u_char  *p, *last;

    if (text->len == 0 || text->len > NGX_MQTT_JWT_MAX) {
        return NULL;
    }

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || (*p >= '0' && *p <= '9')
            || *p == '-' || *p == '_' || *p == '.' || *p == '=')
        {
            continue;
        }

        return NULL;
    }

    p = ngx_alloc(text->len + 1, ngx_cycle->log);
    if (p == NULL) {
        return NULL;
    }

    *ngx_cpymem(p, text->data, text->len) = '\0';

    return (char *) p;
}


ngx_int_t
ngx_mqtt_jwt_sign(ngx_pool_t *pool, ngx_mqtt_jwt_key_t *key, char *claims,
    ngx_str_t *text)
{
    char       *token;
    jwt_t      *jwt;
    ngx_int_t   rc;

    if (jwt_new(&jwt) != 0) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (jwt_add_grants_json(jwt, claims) == 0
        && jwt_set_alg(jwt, key->alg, key->key.data, (int) key->key.len) == 0)
    {
        token = jwt_encode_str(jwt);

        if (token) {
            text->len = ngx_strlen(token);
            text->data = ngx_pnalloc(pool, text->len);

            if (text->data) {
                ngx_memcpy(text->data, token, text->len);
                rc = NGX_OK;
            }

            free(token);
        }
    }

    jwt_free(jwt);

    return rc;
}


ngx_mqtt_grant_t *
ngx_mqtt_jwt_grant(ngx_mqtt_worker_t *w, json_t *resources,
    ngx_uint_t actions)
{
    size_t                  n, i, size;
    json_t                 *item;
    ngx_mqtt_grant_t       *grant;
    ngx_mqtt_grant_rule_t  *rules;

    n = json_array_size(resources);

    if (!json_is_array(resources) || n == 0 || n > NGX_MQTT_JWT_RESOURCES) {
        return NULL;
    }

    size = n * sizeof(ngx_mqtt_grant_rule_t);
    grant = NULL;

    rules = ngx_mqtt_alloc(w, size);
    if (rules == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        item = json_array_get(resources, i);

        if (!json_is_string(item)) {
            goto done;
        }

        rules[i].actions = actions;
        rules[i].filter.data = (u_char *) json_string_value(item);
        rules[i].filter.len = json_string_length(item);

        if (ngx_mqtt_topic_filter_check(&rules[i].filter, NULL) != NGX_OK) {
            goto done;
        }
    }

    grant = ngx_mqtt_grant_create(w, rules, n);

done:

    ngx_mqtt_free(w, rules, size);

    return grant;
}


ngx_int_t
ngx_mqtt_jwt_string(json_t *object, ngx_str_t *name, ngx_str_t *value)
{
    json_t  *json;

    json = json_object_get(object, (char *) name->data);

    if (!json_is_string(json) || json_string_length(json) == 0) {
        return NGX_DECLINED;
    }

    value->data = (u_char *) json_string_value(json);
    value->len = json_string_length(json);

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_jwt_actions(ngx_str_t *text)
{
    if (text->len == 1 && text->data[0] == 'R') {
        return NGX_MQTT_GRANT_READ;
    }

    if (text->len == 1 && text->data[0] == 'W') {
        return NGX_MQTT_GRANT_WRITE;
    }

    if ((text->len == 2 && ngx_strncmp(text->data, "RW", 2) == 0)
        || (text->len == 3 && (ngx_strncmp(text->data, "R,W", 3) == 0
                               || ngx_strncmp(text->data, "W,R", 3) == 0)))
    {
        return NGX_MQTT_GRANT_BOTH;
    }

    return 0;
}
