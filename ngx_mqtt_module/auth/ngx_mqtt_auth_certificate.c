
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth certificate cn|san [as=username|clientid]: what nginx has verified in
 * the TLS handshake.
 *
 * (1) Only a certificate that nginx has verified counts: with
 *     "ssl_verify_client optional_no_ca" one that was not is none.
 * (2) A name with a zero byte, or that is no UTF-8, is no name.
 *
 * Called from: ngx_mqtt_auth.c.
 */


#include "ngx_mqtt_auth_int.h"

#if (NGX_SSL)
#include <openssl/x509v3.h>
#endif


typedef struct {
    ngx_uint_t                 san;         /* 0: the common name */
    ngx_uint_t                 clientid;    /* 0: is the user name */
} ngx_mqtt_certificate_conf_t;


#if (NGX_SSL)
static X509 *ngx_mqtt_certificate_verified(ngx_connection_t *c);
static ngx_int_t ngx_mqtt_certificate_name(X509 *cert, ngx_uint_t san,
    ngx_mqtt_auth_request_t *req, ngx_str_t *name);
static ngx_int_t ngx_mqtt_certificate_cn(X509 *cert, ASN1_STRING **string);
static ngx_int_t ngx_mqtt_certificate_san(STACK_OF(GENERAL_NAME) *names,
    ASN1_STRING **string);
#endif


char *
ngx_mqtt_certificate_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_str_t                    *value;
    ngx_mqtt_certificate_conf_t  *ccf;

#if !(NGX_SSL)
    return "method \"certificate\" needs nginx built with TLS";
#endif

    if (cf->args->nelts < 3 || cf->args->nelts > 4) {
        return "method \"certificate\" takes \"cn\" or \"san\", and \"as=\"";
    }

    value = cf->args->elts;

    ccf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_certificate_conf_t));
    if (ccf == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[2].data, "san") == 0) {
        ccf->san = 1;

    } else if (ngx_strcmp(value[2].data, "cn") != 0) {
        return "method \"certificate\" takes \"cn\" or \"san\", and \"as=\"";
    }

    if (cf->args->nelts == 4) {

        if (ngx_strcmp(value[3].data, "as=clientid") == 0) {
            ccf->clientid = 1;

        } else if (ngx_strcmp(value[3].data, "as=username") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[3]);
            return NGX_CONF_ERROR;
        }
    }

    entry->conf = ccf;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_mqtt_certificate_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
#if (NGX_SSL)

    X509                         *cert;
    ngx_int_t                     rc;
    ngx_str_t                     name;
    ngx_mqtt_certificate_conf_t  *ccf;

    ccf = entry->conf;

    cert = ngx_mqtt_certificate_verified(req->connection);

    if (cert == NULL) {
        return NGX_MQTT_AUTH_NEXT;
    }

    rc = ngx_mqtt_certificate_name(cert, ccf->san, req, &name);

    X509_free(cert);

    *reason = NGX_MQTT_NOT_AUTHORIZED;

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, req->connection->log, 0,
                      "certificate of client has no name");
        return rc;
    }

    if (!ccf->clientid) {
        req->result.username = name;
        return NGX_OK;
    }

    if (name.len != req->client_id.len
        || ngx_memcmp(name.data, req->client_id.data, name.len) != 0)
    {
        ngx_log_error(NGX_LOG_INFO, req->connection->log, 0,
                      "certificate of client is of \"%V\"", &name);
        return NGX_DECLINED;
    }

    req->result.any_user = 1;

    return NGX_OK;

#else

    return NGX_MQTT_AUTH_NEXT;

#endif
}


#if (NGX_SSL)

static X509 *
ngx_mqtt_certificate_verified(ngx_connection_t *c)
{
    X509  *cert;

    if (c->ssl == NULL) {
        return NULL;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);

    if (cert && SSL_get_verify_result(c->ssl->connection) != X509_V_OK) {
        X509_free(cert);
        return NULL;
    }

    return cert;
}


/* into the request */

static ngx_int_t
ngx_mqtt_certificate_name(X509 *cert, ngx_uint_t san,
    ngx_mqtt_auth_request_t *req, ngx_str_t *name)
{
    int                      len;
    u_char                  *utf8;
    ngx_int_t                rc;
    ngx_str_t                text;
    ASN1_STRING             *string;
    STACK_OF(GENERAL_NAME)  *names;

    names = NULL;

    if (san) {
        names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        rc = ngx_mqtt_certificate_san(names, &string);

    } else {
        rc = ngx_mqtt_certificate_cn(cert, &string);
    }

    if (rc == NGX_OK) {
        len = ASN1_STRING_to_UTF8(&utf8, string);

        rc = NGX_DECLINED;

        if (len > 0) {
            text.data = utf8;
            text.len = len;

            if (ngx_mqtt_utf8_check(&text) == NGX_OK
                && ngx_mqtt_auth_set_username(req, &text) == NGX_OK)
            {
                *name = req->result.username;
                ngx_str_null(&req->result.username);

                rc = NGX_OK;
            }
        }

        if (len >= 0) {
            OPENSSL_free(utf8);
        }
    }

    GENERAL_NAMES_free(names);

    return rc;
}


/* the last one is the most specific */

static ngx_int_t
ngx_mqtt_certificate_cn(X509 *cert, ASN1_STRING **string)
{
    int         i, last;
    X509_NAME  *subject;

    subject = X509_get_subject_name(cert);

    for (i = -1, last = -1; /* void */ ; last = i) {
        i = X509_NAME_get_index_by_NID(subject, NID_commonName, i);

        if (i < 0) {
            break;
        }
    }

    if (last < 0) {
        return NGX_DECLINED;
    }

    *string = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last));

    return NGX_OK;
}


/* the first DNS name, URI or mail address */

static ngx_int_t
ngx_mqtt_certificate_san(STACK_OF(GENERAL_NAME) *names, ASN1_STRING **string)
{
    int            i;
    GENERAL_NAME  *gn;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        gn = sk_GENERAL_NAME_value(names, i);

        if (gn->type == GEN_DNS || gn->type == GEN_URI
            || gn->type == GEN_EMAIL)
        {
            *string = gn->d.ia5;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}

#endif
